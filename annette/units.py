"""Numbers to text for people: seconds, joules, bytes, operations and shares; used at the edge only."""

from __future__ import annotations

__all__ = [
    "format_bytes",
    "format_count",
    "format_duration",
    "format_fraction",
    "format_joules",
    "format_number",
    "format_rate",
    "format_seconds",
]

_DECIMAL = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_TIME = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
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


def _three_digits(value: float) -> str:
    size = abs(value)
    decimals = 0 if size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{value:.{decimals}f}"
