"""Bounds on the numbers of a description: declared beside the field, checked when the object is made."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from annette.errors import HardwareError

__all__ = ["Bounds", "FieldFault", "bounds_of", "check_fields", "quantity"]

_KEY = "bounds"


class FieldFault(HardwareError):
    """One field holds what it must not; `path` leads to it from the object that was checked."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        """The field, for example ``memories[1].size_bytes``."""
        self.problem = problem
        """What was found, what was expected, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The range of a number, as one says it."""

    above: float | None = None
    """Exclusive lower bound."""
    at_least: float | None = None
    """Inclusive lower bound."""
    at_most: float | None = None
    """Inclusive upper bound."""
    hint: str = ""
    """What to do, for the message."""

    def allows(self, value: float) -> bool:
        """Whether ``value`` is finite and in the range."""
        return (
            abs(value) < math.inf
            and (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
        )

    def describe(self, kind: str) -> str:
        """The range in words, for example ``an integer > 0``."""
        parts = [
            f"{sign} {bound:g}"
            for sign, bound in ((">", self.above), (">=", self.at_least), ("<=", self.at_most))
            if bound is not None
        ]
        return f"{kind} {' and '.join(parts)}".strip()


def quantity(
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    default: float | None = None,
    is_optional: bool = False,
    hint: str = "",
) -> Any:
    """A dataclass field for a number within bounds; without ``default`` it must be given.

    ``is_optional``: the default is ``None``, which the bounds do not concern.
    """
    metadata = {_KEY: Bounds(above=above, at_least=at_least, at_most=at_most, hint=hint)}
    if default is None and not is_optional:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def bounds_of(instance: Any, name: str) -> Bounds:
    """The range of the `quantity` of that name."""
    found = next(item for item in dataclasses.fields(instance) if item.name == name)
    bounds: Bounds = found.metadata[_KEY]
    return bounds


def check_fields(instance: Any) -> None:
    """Check every `quantity` of a dataclass instance; integers are asked for where annotated ``int``.

    Raises
    ------
    FieldFault
        Naming the first field outside its bounds.
    """
    for item in dataclasses.fields(instance):
        bounds = item.metadata.get(_KEY)
        if bounds is None:
            continue
        value = getattr(instance, item.name)
        if value is None and item.default is None:
            continue
        wants_integer = item.type == "int"
        is_number = isinstance(value, int if wants_integer else (int, float)) and not isinstance(value, bool)
        if not is_number or not bounds.allows(value):
            kind = "an integer" if wants_integer else "a number"
            hint = f"; {bounds.hint}" if bounds.hint else ""
            raise FieldFault(item.name, f"found {value!r}, expected {bounds.describe(kind)}{hint}")
