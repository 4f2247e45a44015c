"""Figures as values: axes, lines, points and bars in the coordinates of a drawing; the page makes SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["Bar", "Figure", "Line", "Point", "Scale", "Tick", "histogram", "linear", "logarithmic"]

_DECIMALS = 1
_MOST_TICKS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A place on an axis and what is written there."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A circle; ``row`` is that of the table behind the figure."""

    x: float
    y: float
    radius: float = 4.0
    css: str = ""
    row: int | None = None
    tip: str = ""
    """What a pointer over it is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    css: str = ""
    row: int | None = None
    tip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A polyline, with a text at its end if it has one."""

    points: tuple[tuple[float, float], ...]
    css: str = ""
    text: str = ""
    is_below: bool = False
    """Whether the text is below the line's last point."""

    @property
    def path(self) -> str:
        """The points in SVG's words."""
        return " ".join(f"{x},{y}" for x, y in self.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where values lie on an axis."""

    low: float
    high: float
    start: float
    end: float
    is_logarithmic: bool = False
    format: Callable[[float], str] = field(default="{:g}".format, repr=False)

    def at(self, value: float) -> float:
        """The coordinate of a value; values beyond the ends are drawn there."""
        low, high, value = (
            (math.log(item) for item in (self.low, self.high, max(value, self.low)))
            if self.is_logarithmic
            else (self.low, self.high, value)
        )
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return round(self.start + share * (self.end - self.start), _DECIMALS)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """Round values, not too many."""
        values = _decades(self.low, self.high) if self.is_logarithmic else _steps(self.low, self.high)
        return tuple(Tick(at=self.at(value), text=self.format(value)) for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What is drawn."""

    name: str
    """Of the element on the page; unique there."""
    title: str
    """What it shows, in words."""
    x: Scale
    y: Scale
    x_label: str
    y_label: str
    width: float = 860.0
    height: float = 380.0
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()
    points: tuple[Point, ...] = ()
    has_rows: bool = False
    """Whether points and bars are rows of the page's main table, which can be chosen."""
    hides_y: bool = False
    """Whether the vertical axis says nothing."""


def linear(
    values: Iterable[float],
    start: float,
    end: float,
    text: Callable[[float], str],
    *,
    from_zero: bool = False,
) -> Scale:
    """A linear axis that holds all values.

    Examples
    --------
    >>> [tick.text for tick in linear([0.0, 2.0], 0.0, 100.0, "{:g}".format).ticks]
    ['0', '0.5', '1', '1.5', '2']
    """
    known = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(known), max(known)
    low = min(low, 0.0) if from_zero else low
    if not high > low:
        low, high = low - (abs(low) * 0.1 or 0.5) * (not from_zero), high + (abs(high) * 0.1 or 0.5)
    return Scale(low=low, high=high, start=start, end=end, format=text)


def logarithmic(values: Iterable[float], start: float, end: float, text: Callable[[float], str]) -> Scale:
    """A logarithmic axis that holds all values above 0, with some room.

    Examples
    --------
    >>> [tick.text for tick in logarithmic([1.0, 1000.0], 0.0, 100.0, "{:g}".format).ticks]
    ['1', '10', '100', '1000']
    """
    known = [value for value in values if value > 0 and math.isfinite(value)] or [1.0]
    low, high = min(known) / 1.3, max(known) * 1.3
    return Scale(low=low, high=high, start=start, end=end, is_logarithmic=True, format=text)


def histogram(values: Sequence[float], bins: int, *, is_logarithmic: bool) -> list[tuple[float, float, int]]:
    """Lower end, upper end and count of each bin; nothing for no values.

    Examples
    --------
    >>> [count for _, _, count in histogram([1.0, 3.0, 3.2, 3.5], 2, is_logarithmic=False)]
    [1, 3]
    """
    if not values:
        return []
    keys = [math.log(value) for value in values] if is_logarithmic else list(values)
    low, high = min(keys), max(keys)
    if high == low:
        low, high = low - 0.05, high + 0.05
    counts = [0] * bins
    for key in keys:
        counts[min(int((key - low) / (high - low) * bins), bins - 1)] += 1
    ends = [low + (high - low) * place / bins for place in range(bins + 1)]
    ends = [math.exp(end) for end in ends] if is_logarithmic else ends
    return list(zip(ends, ends[1:], counts, strict=False))


def _decades(low: float, high: float) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = max(1, math.ceil((last - first + 1) / _MOST_TICKS))
    found = [10.0**power for power in range(first, last + 1, step)]
    if len(found) >= 3:
        return found
    parts = [part * 10.0**power for power in range(first - 1, last + 1) for part in (1, 2, 5)]
    inside = [value for value in parts if low <= value <= high]
    return inside if len(inside) >= 2 else _steps(low, high)


def _steps(low: float, high: float) -> list[float]:
    raw = (high - low) / (_MOST_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(part * power for part in (1, 2, 5, 10) if part * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) + 0.0 for place in range(first, math.floor(high / step + 1e-9) + 1)]
