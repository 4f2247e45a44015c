"""The axes of a sweep: paths of a description and the values they take, read from text."""

from __future__ import annotations

import math
from dataclasses import dataclass

from annette.errors import UsageError
from annette.hardware.settings import Setting, parse_setting

__all__ = ["Axis", "parse_axis"]

_MOST_VALUES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Numbers of a description that change together."""

    paths: tuple[str, ...]
    """All of them have the same value."""
    values: tuple[Setting, ...]
    """In the order in which they are tried."""

    @property
    def name(self) -> str:
        """The paths, joined by ``+``."""
        return "+".join(self.paths)


def parse_axis(text: str) -> Axis:
    """The axis that a text describes: ``PATH=v1,v2,...``, or ``PATH+PATH=...`` for several that are equal.

    In place of a value may stand a range, ``FIRST..LAST*FACTOR`` or ``FIRST..LAST+STEP``.

    Raises
    ------
    UsageError
        For another form, too many values, or one that is not finite.

    Examples
    --------
    >>> parse_axis("array.systolic.rows=8..64*2").values
    (8, 16, 32, 64)
    >>> parse_axis("clock_hz+vector.clock_hz=1e9,2e9").paths
    ('clock_hz', 'vector.clock_hz')
    """
    names, equals, rest = text.partition("=")
    paths = tuple(name.strip() for name in names.split("+"))
    words = [word.strip() for word in rest.split(",")]
    if not equals or not all(paths) or not all(words):
        raise UsageError(
            f"--vary {text}: expected PATH=v1,v2,... or PATH=FIRST..LAST*FACTOR, as in clock_hz=1e9,2e9"
        )
    values: list[Setting] = []
    for word in words:
        values.extend(_range(text, word) if ".." in word else [_value(text, word)])
    return Axis(paths=paths, values=tuple(dict.fromkeys(values)))


def _value(text: str, word: str) -> Setting:
    try:
        return parse_setting(word)
    except UsageError as err:
        raise UsageError(f"--vary {text}: {err}") from err


def _range(text: str, word: str) -> list[Setting]:
    """The values that a range stands for; whole numbers stay whole."""
    first, _, rest = word.partition("..")
    sign = "*" if "*" in rest else "+"
    last, _, step = rest.replace("e+", "e").partition(sign)
    numbers = [_value(text, item) for item in (first, last, step or "")]
    begin, end, by = (item if isinstance(item, (int, float)) else math.nan for item in numbers)
    grows = begin > 0 and by > 1 if sign == "*" else by > 0
    if not (grows and begin <= end < math.inf):
        raise UsageError(
            f"--vary {text}: found {word}, expected FIRST..LAST*FACTOR with a factor above 1, or "
            "FIRST..LAST+STEP"
        )
    values: list[Setting] = []
    value = begin
    while value <= end * (1 + 1e-12) and len(values) <= _MOST_VALUES:
        values.append(int(value) if isinstance(begin, int) and value == int(value) else value)
        value = begin * by ** len(values) if sign == "*" else begin + by * len(values)
    if len(values) > _MOST_VALUES:
        raise UsageError(f"--vary {text}: found more than {_MOST_VALUES} values, expected fewer")
    return values
