"""Recorded latencies of real devices: one row an architecture of a search space, one column a device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from annette.errors import StoreError, UsageError
from annette.evaluation.repeated_rows import distinct_rows
from annette.evaluation.table_file import Cell, is_missing, number_in, read_table
from annette.store.strict_json import shorten
from annette.zoo.spaces.registry import list_spaces, open_space
from annette.zoo.spaces.space import Encodings, SearchSpace

__all__ = ["UNITS", "LatencyTable", "NumberColumn", "read_latency_table"]

UNITS: Mapping[str, float] = MappingProxyType({"s": 1.0, "ms": 1e-3, "us": 1e-6})
"""Seconds in each unit that a table may have its latencies in."""

_BY_NUMBER = ("index",)
_FORMS: Sequence[tuple[str | None, tuple[str, ...], str]] = (
    ("ofa", ("ks", "e", "d", "r"), "ks={};e={};d={};r={}"),
    ("fbnet", ("op_idx_list",), "{}"),
    (
        "mnasnet",
        tuple(f"block{block}_{part}" for block in range(7) for part in ("e", "k", "l", "se")),
        " ".join(["e{}k{}l{}s{}"] * 7),
    ),
    (None, ("arch",), "{}"),
    (None, ("architecture",), "{}"),
    (None, ("arch_str",), "{}"),
    (None, _BY_NUMBER, "{}"),
)
"""Space, columns and how their cells make an architecture in its notation; a form without space fits any."""
_MOST_NAMED = 4
_LABELS = frozenset(name for _, names, _ in _FORMS for name in names)
"""Columns that never hold latencies."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumberColumn:
    """The numbers of one column, and the rows that have one."""

    rows: NDArray[np.int64]
    """Shape (n_known,): positions of the architectures, ascending."""
    values: NDArray[np.float64]
    """Shape (n_known,): finite."""
    missing: int
    """Rows without a number."""

    def __post_init__(self) -> None:
        for array in (self.rows, self.values):
            array.setflags(write=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatencyTable:
    """Architectures of one search space with what was measured of them."""

    path: str
    """Where it was read; for messages."""
    space: SearchSpace
    encodings: Encodings
    """Shape (n_architectures, n_genes); all differ."""
    row_numbers: Sequence[int]
    """Where each architecture stands first in the file: 1 is the first row below the header, blank lines
    count."""
    unit: str
    """Of the latencies in the file: a key of `UNITS`."""
    cells: Mapping[str, Sequence[Cell]] = field(repr=False)
    """The other columns by name: those of devices, and whatever else the table has."""
    merged: int = 0
    """Rows that repeat the architecture of an earlier one: their numbers are in its mean."""
    disagreements: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Columns whose numbers of one architecture are too different for a mean, and where."""

    def __len__(self) -> int:
        return len(self.encodings)

    @property
    def devices(self) -> tuple[str, ...]:
        """The columns that may be latencies: their first cell that is not empty is a number."""
        firsts = {
            name: next((cell for cell in cells if not is_missing(cell)), None)
            for name, cells in self.cells.items()
        }
        return tuple(
            name for name, first in firsts.items() if first is not None and number_in(first) is not None
        )

    def numbers(self, column: str) -> NumberColumn:
        """The numbers of a column as they are in the file.

        Raises
        ------
        UsageError
            If there is no such column.
        StoreError
            If a cell is neither empty nor a finite number, or all are empty, or two rows of the same
            architecture are far apart; the message names the rows.
        """
        if column not in self.cells:
            raise UsageError(
                f"{self.path}: no column {column!r}, expected one of {', '.join(self.devices) or 'none'}"
            )
        if column in self.disagreements:
            raise StoreError(f"{self.path}: {self.disagreements[column]}; keep one of them")
        rows, values = [], []
        for row, cell in enumerate(self.cells[column]):
            if is_missing(cell):
                continue
            value = number_in(cell)
            if value is None or not math.isfinite(value):
                raise StoreError(
                    f"{self.path}: row {self.row_numbers[row]}, column {column!r}: found "
                    f"{shorten(repr(cell))}, expected a number, or nothing where it was not measured"
                )
            rows.append(row)
            values.append(value)
        if not rows:
            raise StoreError(f"{self.path}: column {column!r} has no number, expected at least one")
        return NumberColumn(rows=np.array(rows), values=np.array(values), missing=len(self) - len(rows))

    def latencies_s(self, device: str) -> NumberColumn:
        """The latencies of a device, in seconds; > 0.

        Raises
        ------
        UsageError, StoreError
            As `numbers`; StoreError also for a latency that is not > 0 in seconds.
        """
        found = self.numbers(device)
        seconds = found.values * UNITS[self.unit]
        if (seconds <= 0).any():
            place = int(np.flatnonzero(seconds <= 0)[0])
            raise StoreError(
                f"{self.path}: row {self.row_numbers[found.rows[place]]}, column {device!r}: found "
                f"{found.values[place]} {self.unit}, expected a latency above 0 s; leave the cell empty "
                "where it was not measured"
            )
        return NumberColumn(rows=found.rows, values=seconds, missing=found.missing)


def read_latency_table(
    path: str | PathLike[str], *, space: str | None = None, unit: str = "s"
) -> LatencyTable:
    """The table in a CSV or a Parquet file.

    Architectures stand in a column ``arch``, ``architecture`` or ``arch_str`` in the notation of their
    space; in ``op_idx_list`` for FBNet; in ``ks``, ``e``, ``d`` and ``r`` for Once-for-All; or else in
    ``index``, for NAS-Bench-201: no other space numbers them. Rows are counted from 1, blank ones too, the
    header not. Rows of the same architecture become one with the means of their numbers.

    Parameters
    ----------
    path
        The file; what it is shows its content, not its name.
    space : str, optional
        The search space, as `open_space` takes it; by default the one that the columns or the first
        architecture belong to, with its parameters' defaults.
    unit : str
        ``s``, ``ms`` or ``us``.

    Raises
    ------
    UsageError
        For an unknown space or unit, where the space cannot be told, or for a Parquet file without pyarrow.
    StoreError
        If the file cannot be read, or a row holds no architecture of the space.
    """
    if unit not in UNITS:
        raise UsageError(f"unit {unit!r}, expected {', '.join(UNITS)}")
    file = read_table(path)
    columns, places = file.columns, file.row_numbers
    where = str(path)
    own_space, names, template = _form(columns, where)
    texts = _texts(columns, names, template, where, places)
    opened = _open_space(space, own_space, names, texts[0], where)
    encodings = _parse(opened, texts, where, places)
    cells = {name: column for name, column in columns.items() if name not in _LABELS}
    distinct = distinct_rows(encodings, cells, places)
    encodings = encodings[distinct.kept]
    encodings.setflags(write=False)
    return LatencyTable(
        path=where,
        space=opened,
        encodings=encodings,
        row_numbers=[places[row] for row in distinct.kept.tolist()],
        unit=unit,
        cells=MappingProxyType(dict(distinct.cells)),
        merged=distinct.merged,
        disagreements=MappingProxyType(dict(distinct.disagreements)),
    )


def _form(columns: Mapping[str, list[Cell]], where: str) -> tuple[str | None, tuple[str, ...], str]:
    for form in _FORMS:
        if all(name in columns for name in form[1]):
            return form
    wanted = "; ".join(
        " ".join(names) if len(names) <= _MOST_NAMED else f"{names[0]} to {names[-1]}"
        for _, names, _ in _FORMS
    )
    found = shorten(", ".join(columns))
    raise StoreError(f"{where}: found the columns {found}, expected architectures in one of: {wanted}")


def _texts(
    columns: Mapping[str, list[Cell]],
    names: tuple[str, ...],
    template: str,
    where: str,
    places: Sequence[int],
) -> list[str]:
    texts = []
    for row, *cells in zip(places, *(columns[name] for name in names), strict=True):
        if any(cell is None for cell in cells):
            raise StoreError(f"{where}: row {row} has no {' or '.join(names)}, expected an architecture")
        texts.append(template.format(*cells))
    return texts


def _open_space(
    given: str | None, own: str | None, names: tuple[str, ...], first: str, where: str
) -> SearchSpace:
    if given is not None:
        if own is not None and given.partition(",")[0] != own:
            raise UsageError(f"{where}: columns {', '.join(names)} are of the space {own}, not of {given}")
        opened = open_space(given)
        if names == _BY_NUMBER and not _takes(opened, "0"):
            raise UsageError(
                f"{where}: column index, but {opened.name} does not number its architectures: only "
                f"{', '.join(_numbering())} does; give a column architecture in the space's notation"
            )
        return opened
    if own is not None:
        return open_space(own)
    spaces = [entry.name for entry in list_spaces()]
    if names == _BY_NUMBER:
        spaces = _numbering()
    else:
        fitting = [space for space in map(open_space, spaces) if _takes(space, first)]
        if len(fitting) == 1:
            return fitting[0]
    raise UsageError(
        f"{where}: cannot tell the space of {names[0]} {shorten(repr(first))}; say which one it is by "
        f"--space, in Python space=..., out of {', '.join(spaces)}"
    )


def _numbering() -> list[str]:
    """The spaces whose notation knows architectures by their number."""
    return [entry.name for entry in list_spaces() if _takes(open_space(entry.name), "0")]


def _takes(space: SearchSpace, text: str) -> bool:
    try:
        space.parse(text)
    except UsageError:
        return False
    return True


def _parse(space: SearchSpace, texts: Sequence[str], where: str, places: Sequence[int]) -> Encodings:
    try:
        return np.array(space.parse_many(texts), dtype=np.int64)
    except UsageError:
        for row, text in zip(places, texts, strict=True):  # one of them is wrong: which?
            try:
                space.parse(text)
            except UsageError as err:
                raise StoreError(f"{where}: row {row}: {err}") from err
        raise
