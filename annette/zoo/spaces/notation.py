"""What the notations of several search spaces have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from annette.errors import UsageError

__all__ = ["choice_indices", "parse_fields", "parse_numbers", "require_positive", "space_name"]

_SHOWN = 80
_MOST_DIGITS = 9


def space_name(base: str, given: Mapping[str, object], defaults: Mapping[str, object]) -> str:
    """``base``, then each parameter that is not its default, as the registry of spaces reads them.

    Examples
    --------
    >>> space_name("ofa", {"width": 1.2, "batch": 1}, {"width": 1.0, "batch": 1})
    'ofa,width=1.2'
    """
    items = [f"{key}={value}" for key, value in given.items() if value != defaults[key]]
    return ",".join([base, *items])


def require_positive(space: str, **parameters: float) -> None:
    """Nothing, if every parameter is a number above zero.

    Raises
    ------
    UsageError
        If one is not; the message names it.
    """
    for key, value in parameters.items():
        if not 0 < value < float("inf"):
            raise UsageError(f"{space}: {key}={value}, expected a number above 0")


def parse_fields(space: str, text: str, keys: Sequence[str]) -> dict[str, str]:
    """The values of ``key=value;key=value``, where each key occurs once, in any order.

    Raises
    ------
    UsageError
        If a key is missing, unknown or given twice.

    Examples
    --------
    >>> parse_fields("ofa", "d=2; r=204", ("d", "r"))
    {'d': '2', 'r': '204'}
    """
    fields: dict[str, str] = {}
    for item in text.split(";"):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or key not in keys or key in fields:
            break
        fields[key] = value
    else:
        if len(fields) == len(keys):
            return fields
    expected = ";".join(f"{key}=..." for key in keys)
    raise UsageError(f"{space}: {text[:_SHOWN]!r} is no architecture, expected {expected}")


def parse_numbers(space: str, text: str, count: int) -> tuple[int, ...]:
    """``count`` whole numbers with commas, in brackets or without.

    Raises
    ------
    UsageError
        If the text is anything else.

    Examples
    --------
    >>> parse_numbers("fbnet", "[7, 8, 1]", 3)
    (7, 8, 1)
    """
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    items = [item.strip() for item in inner.split(",")]
    if len(items) != count or not all(_is_number(item) for item in items):
        expected = "a whole number" if count == 1 else f"{count} whole numbers with commas"
        raise UsageError(f"{space}: {text[:_SHOWN]!r} is no architecture, expected {expected}")
    return tuple(int(item) for item in items)


def choice_indices(space: str, what: str, values: Sequence[int], choices: Sequence[int]) -> tuple[int, ...]:
    """Where among the choices each value stands.

    Raises
    ------
    UsageError
        If a value is no choice.

    Examples
    --------
    >>> choice_indices("ofa", "ks", (7, 3), (3, 5, 7))
    (2, 0)
    """
    known = {value: index for index, value in enumerate(choices)}
    for position, value in enumerate(values):
        if value not in known:
            expected = " ".join(map(str, choices))
            raise UsageError(f"{space}: {what}[{position}] is {value}, expected one of {expected}")
    return tuple(known[value] for value in values)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
