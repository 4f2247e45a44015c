"""The verdict: whether an estimate may be relied on, by one rule, with its reasons in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annette.units import format_fraction

if TYPE_CHECKING:
    from annette.estimation.estimate import Coverage, Interval

__all__ = ["CHECK", "LEVELS", "SOLID", "UNRELIABLE", "Verdict", "judge", "judge_whole", "level_title"]

SOLID, CHECK, UNRELIABLE = "solid", "check", "unreliable"
LEVELS = (SOLID, CHECK, UNRELIABLE)
"""From the best to the worst."""
_TITLES = {SOLID: "solid", CHECK: "check", UNRELIABLE: "do not rely"}

_SOME_UNSEEN, _MUCH_UNSEEN = 0.01, 0.25
"""Share of the latency from operators that were never measured: above these it is no longer solid, and no
longer to be relied on. A price made of bytes and operations alone may be off by several times."""
_SOME_GENERIC, _MUCH_GENERIC = 0.1, 0.5
_SOME_OUTSIDE, _MUCH_OUTSIDE = 0.1, 0.5
"""The same for sizes outside the measured range, where families are known but trees no longer follow."""
_WIDE, _VERY_WIDE = 0.2, 0.5
"""Half-widths of the interval relative to the latency."""
_MOST_WIDE = 10.0
"""Above this no figure is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One word on an estimate, and why."""

    level: str
    """One of `LEVELS`."""
    reasons: tuple[str, ...]
    """Sentences, the gravest first; empty for ``solid``."""

    @property
    def title(self) -> str:
        """The level as people read it: ``solid``, ``check`` or ``do not rely``."""
        return level_title(self.level)

    def to_dict(self) -> dict[str, object]:
        """The verdict as JSON types."""
        return {"level": self.level, "reasons": list(self.reasons)}


def level_title(level: str) -> str:
    """A level as people read it.

    Examples
    --------
    >>> level_title("unreliable")
    'do not rely'
    """
    return _TITLES[level]


def judge(coverage: Coverage, *, latency_s: float, n_kernels: int, interval: Interval | None) -> Verdict:
    """The verdict on an estimate; docs/intervals.md has the rule as a table.

    Each of these is compared with two limits; the worst of them decides:

    - latency from operators that were never measured on the device: over 1 % ``check``, over 25 %
      ``unreliable``;
    - latency from kernels that the generic model prices: over 10 %, over 50 %;
    - latency from kernels whose sizes lie outside the measured range: over 10 %, over 50 %;
    - half the width of the 90 % interval, relative to the latency: over 20 %, over 50 %. A platform without
      intervals is judged by the rest;
    - a network of which no kernel is expected to run is ``check``.

    Layers placed on the host are no reason: the host was measured like any other unit.

    Parameters
    ----------
    coverage : Coverage
        How much of the latency rests on measurements.
    latency_s : float
        Seconds; >= 0.
    n_kernels : int
        Kernels that are expected to run.
    interval : Interval or None
        The network's 90 % interval.
    """
    if not n_kernels:
        return Verdict(level=CHECK, reasons=("No kernel is expected to run on this device.",))
    found: list[tuple[int, str]] = []

    def weigh(value: float, limits: tuple[float, float], reason: str) -> None:
        if rank := _rank(value, limits):
            found.append((rank, reason))

    unseen, generic, outside = (
        coverage.unseen_fraction, coverage.generic_fraction, coverage.out_of_range_fraction,
    )  # fmt: skip
    names = _shorten(coverage.unseen_operators)
    weigh(
        unseen, (_SOME_UNSEEN, _MUCH_UNSEEN),
        f"{format_fraction(unseen)} of the latency comes from operators that were never measured on this "
        f"device: {names}.",
    )  # fmt: skip
    weigh(
        generic, (_SOME_GENERIC, _MUCH_GENERIC),
        f"{format_fraction(generic)} of the latency is priced by the generic model, since too few kernels "
        f"like {_shorten(coverage.generic_operators)} were measured.",
    )  # fmt: skip
    weigh(
        outside, (_SOME_OUTSIDE, _MUCH_OUTSIDE),
        f"{format_fraction(outside)} of the latency comes from kernels whose sizes or operators lie outside "
        "what was measured.",
    )  # fmt: skip
    if interval is not None and latency_s > 0:
        half = (interval.high_s - interval.low_s) / 2.0 / latency_s
        weigh(
            half, (_WIDE, _VERY_WIDE),
            f"The 90 % interval is wide: {format_fraction(half)} of the latency to either side.",
        )  # fmt: skip
    return _worst(found)


def judge_whole(
    *, latency_s: float, interval: tuple[float, float], unseen: tuple[str, ...] | None, unseen_fraction: float
) -> Verdict:
    """The verdict on an estimate by a model that knows whole networks and no kernels.

    The limits are those of `judge`:

    - half the width of the 90 % interval, relative to the latency: over 20 % ``check``, over 50 %
      ``unreliable``;
    - bytes or multiply-accumulates of operators that no sample had: over 1 %, over 25 %. Their share of the
      latency is not known;
    - a model that does not say which operators its samples had is ``check``.

    Parameters
    ----------
    latency_s : float
        Seconds; > 0.
    interval : tuple of two floats
        Both ends of the 90 % interval, seconds.
    unseen : tuple of str or None
        Operators of the network that no sample had; ``None`` where that is not known.
    unseen_fraction : float
        Their share of the network's bytes or multiply-accumulates, 0 to 1.

    Examples
    --------
    >>> judge_whole(latency_s=1.0, interval=(0.9, 1.2), unseen=("Softmax",), unseen_fraction=0.3).level
    'unreliable'
    """
    found: list[tuple[int, str]] = []
    half = (interval[1] - interval[0]) / 2.0 / latency_s
    if unseen is None:
        found.append((1, "It is not known which operators the model was calibrated on; calibrate again."))
    elif rank := _rank(unseen_fraction, (_SOME_UNSEEN, _MUCH_UNSEEN)):
        share = format_fraction(unseen_fraction)
        reason = f"{share} of the network's work is of operators that no sample had: {_shorten(unseen)}."
        found.append((rank, reason))
    if rank := _rank(half, (_WIDE, _VERY_WIDE)):
        width = f"{format_fraction(half)} of the latency to either side"
        says_nothing = "so wide that it says nothing"
        found.append(
            (rank, f"The 90 % interval is {f'wide: {width}' if half < _MOST_WIDE else says_nothing}.")
        )
    return _worst(found)


def _rank(value: float, limits: tuple[float, float]) -> int:
    """How many limits a value is above: the place of its level in `LEVELS`."""
    return sum(value > limit for limit in limits)


def _worst(found: list[tuple[int, str]]) -> Verdict:
    """The verdict of reasons with their ranks, the gravest first."""
    found.sort(key=lambda item: -item[0])
    worst = found[0][0] if found else 0
    return Verdict(level=LEVELS[worst], reasons=tuple(reason for _, reason in found))


def _shorten(names: tuple[str, ...], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
