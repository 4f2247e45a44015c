"""Tables as values: columns, and cells with the text that is shown and the number that it is sorted by."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cell", "Column", "Table", "cell", "limit"]

_MOST_LETTERS = 400


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column."""

    title: str
    is_text: bool = False
    """Whether it holds words; numbers are aligned right."""
    is_bar: bool = False
    """Whether each cell has a bar as long as its share."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell."""

    text: str
    value: float | None = None
    """What it is sorted by; ``None``: by its text."""
    bar: float | None = None
    """In [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that can be sorted."""

    name: str
    """Of the element on the page; unique there."""
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def cell(text: str, value: float | None = None, *, bar: float | None = None) -> Cell:
    """A cell; very long text is cut."""
    return Cell(limit(text), value, bar)


def limit(text: str, most: int = _MOST_LETTERS) -> str:
    """The text, cut in the middle if it is longer, without control characters.

    Examples
    --------
    >>> limit("a" * 20, 9)
    'aaaa…aaaa'
    """
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    if len(clean) <= most:
        return clean
    half = (most - 1) // 2
    return f"{clean[:half]}…{clean[-half:]}"
