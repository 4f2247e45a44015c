"""Parameters behind a name, as in ``resnet50,width=0.5,resolution=160``: their types, parsing and errors."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from annette.errors import UsageError

__all__ = ["ParameterValue", "Parameters", "nearest", "parameters_of", "split_parameters"]

ParameterValue = int | float | bool | str

_BOOLS = {"true": True, "false": False}
_TYPE_TEXTS: Mapping[type, str] = MappingProxyType(
    {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a network or a space of the zoo takes by name."""

    owner: str
    """Whose they are, as it stands in messages."""
    defaults: Mapping[str, ParameterValue]
    """Every parameter and its default."""
    types: Mapping[str, type]
    """int, float, bool or str by parameter."""

    def type_of(self, key: str) -> type:
        """The type of one parameter.

        Raises
        ------
        UsageError
            If there is no such parameter.
        """
        if key not in self.types:
            raise UsageError(f"{self.owner}: no parameter {key!r}{nearest(key, self.types)}{self.hint}")
        return self.types[key]

    def parse(self, text: str, items: Iterable[str]) -> dict[str, ParameterValue]:
        """The values that items of the form ``NAME=VALUE`` give; ``text`` is all that the user wrote.

        Raises
        ------
        UsageError
            If an item has another form, or its name or value does not fit.
        """
        found: dict[str, ParameterValue] = {}
        for item in items:
            key, equals, value = (part.strip() for part in item.partition("="))
            if not equals or not key:
                raise UsageError(f"{text}: {item!r} is no parameter, expected NAME=VALUE{self.hint}")
            if key in found:
                raise UsageError(f"{text}: parameter {key!r} is given twice, expected once")
            found[key] = self._parse_value(key, value)
        return found

    def _parse_value(self, key: str, text: str) -> ParameterValue:
        kind = self.type_of(key)
        try:
            value: ParameterValue = _BOOLS[text.lower()] if kind is bool else kind(text)
        except (ValueError, KeyError):
            raise self.wrong_value(key, text) from None
        return value

    def wrong_value(self, key: str, value: object) -> UsageError:
        """The error for a value of another type, to be raised."""
        expected = _TYPE_TEXTS[self.types[key]]
        return UsageError(f"{self.owner}: {key}={value!r}, expected {expected}{self.hint}")

    @property
    def hint(self) -> str:
        """The end of a message: which parameters there are."""
        if not self.defaults:
            return "; it has no parameters"
        return "; its parameters: " + ", ".join(f"{key}={value}" for key, value in self.defaults.items())


def parameters_of(make: Callable[..., object], owner: str) -> Parameters:
    """The parameters of a function, or of a class that is called to make an object.

    Examples
    --------
    >>> def network(*, width: float = 1.0) -> str: ...
    >>> parameters_of(network, "zoo:network").parse("network,width=2", ["width=2"])
    {'width': 2.0}
    """
    found = inspect.signature(make, eval_str=True).parameters
    return Parameters(
        owner=owner,
        defaults=MappingProxyType({key: item.default for key, item in found.items()}),
        types=MappingProxyType({key: item.annotation for key, item in found.items()}),
    )


def split_parameters(text: str) -> tuple[str, list[str]]:
    """The name and the items after it."""
    name, *items = (part.strip() for part in text.split(","))
    return name, items


def nearest(name: str, known: Iterable[str]) -> str:
    """The part of a message that offers the known name most like ``name``; empty where none is like it."""
    found = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""
