"""Numbers to text for people and back: seconds, joules, bytes, operations, shares; used at the edge only."""

from __future__ import annotations

import math
import re

__all__ = [
    "format_bytes",
    "format_count",
    "format_duration",
    "format_fraction",
    "format_joules",
    "format_number",
    "format_rate",
    "format_seconds",
    "parse_joules",
    "parse_seconds",
]

_DECIMAL = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_TIME = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_QUANTITY = re.compile(
    r"\s*(?P<number>[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+\.)\s*(?P<unit>[^\s0-9.]+)\s*"
)
_ENERGY = ((1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ"), (1e-9, "nJ"), (1e-12, "pJ"))


def format_seconds(value_s: float) -> str:
    """A latency with three significant digits and the unit that fits.

    Examples
    --------
    >>> format_seconds(0.0032)
    '3.20 ms'
    >>> format_seconds(0)
    '0 s'
    """
    return _with_unit(value_s, _TIME)


def format_joules(value_j: float) -> str:
    """An energy with three significant digits and the unit that fits.

    Examples
    --------
    >>> format_joules(0.0032)
    '3.20 mJ'
    >>> format_joules(0)
    '0 J'
    """
    return _with_unit(value_j, _ENERGY)


def parse_seconds(text: str) -> float:
    """Seconds of a time that a person wrote with its unit: ``30ms``, ``0.03 s``, ``500us``.

    Returns
    -------
    float
        Seconds; > 0 and finite.

    Raises
    ------
    ValueError
        Without a unit of seconds, for anything else, and for what is not more than nothing; in one line.

    Examples
    --------
    >>> parse_seconds("30ms"), parse_seconds("0.03 s"), parse_seconds("500us")
    (0.03, 0.03, 0.0005)
    >>> parse_seconds("30")
    Traceback (most recent call last):
    ...
    ValueError: found '30', expected a number with its unit (s, ms, us, ns), as in 30ms
    """
    return _parse(text, _TIME, "30ms")


def parse_joules(text: str) -> float:
    """Joules of an energy that a person wrote with its unit: ``2mJ``, ``0.002 J``.

    Returns
    -------
    float
        Joules; > 0 and finite.

    Raises
    ------
    ValueError
        Without a unit of joules, for anything else, and for what is not more than nothing; in one line.

    Examples
    --------
    >>> parse_joules("2mJ"), parse_joules("500 uJ")
    (0.002, 0.0005)
    """
    return _parse(text, _ENERGY, "2mJ")


def format_duration(value_s: float) -> str:
    """A waiting time in whole seconds, minutes and hours.

    Examples
    --------
    >>> format_duration(75)
    '1 min 15 s'
    """
    total = round(value_s)
    hours, minutes, seconds = total // 3600, total // 60 % 60, total % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def format_count(value: float, unit: str = "") -> str:
    """A count with a decimal prefix.

    Examples
    --------
    >>> format_count(4.09e9, "MAC")
    '4.09 GMAC'
    >>> format_count(12, "layers")
    '12 layers'
    """
    for scale, prefix in _DECIMAL:
        if abs(value) >= 0.9995 * scale and scale > 1:
            return f"{_three_digits(value / scale)} {prefix}{unit}".rstrip()
    text = f"{value:.0f}" if float(value).is_integer() else _three_digits(value)
    return f"{text} {unit}".rstrip()


def format_number(number: int, noun: str) -> str:
    """A whole number with its noun, which gets an s unless there is one.

    Examples
    --------
    >>> format_number(1, "kernel"), format_number(0, "more kernel")
    ('1 kernel', '0 more kernels')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def format_bytes(value: float) -> str:
    """Bytes with a decimal prefix (1 kB = 1000 B).

    Examples
    --------
    >>> format_bytes(25_600_000)
    '25.6 MB'
    """
    return format_count(value, "B")


def format_rate(value: float, unit: str) -> str:
    """A rate with a decimal prefix.

    Examples
    --------
    >>> format_rate(1.15e12, "ops")
    '1.15 Tops/s'
    """
    return f"{format_count(value, unit)}/s"


def format_fraction(value: float) -> str:
    """A share or a relative error in percent, with one decimal.

    Examples
    --------
    >>> format_fraction(0.0347)
    '3.5 %'
    """
    return f"{100 * value:.1f} %"


def _with_unit(value: float, units: tuple[tuple[float, str], ...]) -> str:
    """The value in the largest unit that it reaches, else in the smallest."""
    if value == 0:
        return f"0 {units[0][1]}"
    scale, unit = next((item for item in units if abs(value) >= 0.9995 * item[0]), units[-1])
    return f"{_three_digits(value / scale)} {unit}"


def _parse(text: str, units: tuple[tuple[float, str], ...], example: str) -> float:
    """The number times its unit; divided for small units, so that 30 ms is the float nearest to 0.03."""
    found = _QUANTITY.fullmatch(text)
    unit = found["unit"].replace("\u00b5", "u").replace("\u03bc", "u") if found else ""
    scale = next((scale for scale, name in units if name == unit), None)
    if found is None or scale is None:
        names = ", ".join(name for _, name in units)
        raise ValueError(f"found {text[:40]!r}, expected a number with its unit ({names}), as in {example}")
    value = float(found["number"]) / round(1.0 / scale)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"found {text[:40]!r}, expected more than 0 and a finite number, as in {example}")
    return value


def _three_digits(value: float) -> str:
    size = abs(value)
    decimals = 0 if size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{value:.{decimals}f}"
