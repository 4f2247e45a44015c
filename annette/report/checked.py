"""Reads values out of documents that nobody vouches for: what is wrong is said with its place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from annette.errors import UsageError

__all__ = ["read_list", "read_mapping", "read_number", "read_seconds", "read_text"]

_MOST_SHOWN = 40


def read_mapping(value: object, where: str) -> Mapping[str, Any]:
    """The object by name.

    Raises
    ------
    UsageError
        If it is something else.
    """
    if not isinstance(value, Mapping):
        raise UsageError(f"{where}: found {type(value).__name__}, expected an object by name")
    return value


def read_list(value: object, where: str) -> list[Any]:
    """The list; an empty one where there is nothing.

    Raises
    ------
    UsageError
        If it is something else.
    """
    if value is not None and not isinstance(value, list):
        raise UsageError(f"{where}: found {type(value).__name__}, expected a list")
    return value or []


def read_number(value: object, where: str) -> float | None:
    """The number; ``None`` where there is none.

    Raises
    ------
    UsageError
        If it is something else, or not finite.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{where}: found {_shown(value)}, expected a finite number")
    return float(value)


def read_seconds(value: object, where: str, *, may_be_zero: bool = False) -> float:
    """A time.

    Raises
    ------
    UsageError
        If it is none, or not above 0.
    """
    found = read_number(value, where)
    if found is None or found < 0 or (found == 0 and not may_be_zero):
        raise UsageError(f"{where}: found {_shown(value)}, expected seconds {'>=' if may_be_zero else '>'} 0")
    return found


def read_text(value: object) -> str:
    """The text; nothing where there is none, and whatever else is there as text."""
    return "" if value is None else str(value)


def _shown(value: object) -> str:
    return repr(str(value)[:_MOST_SHOWN])
