"""Tables of other people, CSV or Parquet, as columns of cells: bounded in size, nothing guessed."""

from __future__ import annotations

import csv
import io
import math
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from annette.errors import AnnetteError, StoreError, UsageError
from annette.store.strict_json import shorten

__all__ = ["Cell", "TableFile", "is_missing", "number_in", "read_columns", "read_table"]

Cell = str | int | float | bool | None | list[object]
"""What one cell holds: text in a CSV file; empty ones are ``None``."""

_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
MAX_FILE_BYTES = 256 << 20
"""A file with all of NAS-Bench-101 on twenty devices has about half of that."""
MAX_CONTENT_BYTES = 1 << 30
"""The same of what a Parquet file holds once it is unpacked."""
MAX_ROWS = 1_000_000
MAX_COLUMNS = 1_000
MAX_CELLS = 1 << 24
"""The same table has half of that. A file of nothing but commas would have many more for its size."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableFile:
    """What a file holds, as columns."""

    columns: dict[str, list[Cell]]
    """The cells by the column's name, in the file's order; at least one each."""
    row_numbers: Sequence[int]
    """Where each row stands in the file: 1 is the first below the header, and blank lines count."""


def read_columns(path: str | PathLike[str]) -> dict[str, list[Cell]]:
    """The columns of `read_table` alone.

    Raises
    ------
    StoreError, UsageError
        As from `read_table`.
    """
    return read_table(path).columns


def read_table(path: str | PathLike[str]) -> TableFile:
    """The columns of a CSV file with a header line, or of a Parquet file, in the file's order.

    Raises
    ------
    StoreError
        If the file is missing, none to read, too large, damaged, or has no rows, a row of another length, no
        commas between its cells, or a column name that is empty or there twice.
    UsageError
        For a Parquet file without the extra that reads it.
    """
    where = str(path)
    if "\0" in where:
        raise StoreError(f"{where!r}: a name with NUL, expected the path of a table to read")
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, and /dev/zero never ends
            found = "a directory" if stat.S_ISDIR(status.st_mode) else "a device, a pipe or a socket"
            raise StoreError(f"{where}: is {found}, expected a file to read")
        if status.st_size > MAX_FILE_BYTES:
            raise StoreError(
                f"{where}: {status.st_size} bytes, expected at most {MAX_FILE_BYTES}; split the table"
            )
        table = _read_parquet(Path(path)) if _is_parquet(Path(path)) else _read_csv(Path(path), where)
    except OSError as err:
        if isinstance(err, AnnetteError):
            raise
        raise StoreError(f"{where}: {shorten(err.strerror or err)}; expected a table to read") from err
    if not len(table.row_numbers):
        raise StoreError(f"{where}: no rows, expected at least one below the names of the columns")
    return table


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _read_csv(path: Path, where: str) -> TableFile:
    try:
        text = path.read_text(encoding="utf-8-sig")
        lines = _rows(text, where)
        top, names = next(lines, (0, []))
        header = _checked_header([name.strip() for name in names], where)
        _require_commas(header, where)
        columns: list[list[Cell]] = [[] for _ in header]
        numbers: list[int] = []
        for place, row in lines:
            number = place - top
            _require_size(len(numbers) + 1, len(header), where)
            if len(row) != len(header):
                raise StoreError(
                    f"{where}: row {number} has {len(row)} cells, expected {len(header)} as the header has; "
                    "quote cells that hold commas"
                )
            numbers.append(number)
            for column, cell in zip(columns, row, strict=True):
                column.append(cell.strip() or None)
    except (csv.Error, UnicodeDecodeError) as err:
        raise StoreError(f"{where}: {shorten(err)}; expected CSV in UTF-8, or a Parquet file") from err
    return TableFile(columns=dict(zip(header, columns, strict=True)), row_numbers=numbers)


def _rows(text: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """The rows with anything in them, each with its place among all lines."""
    if "\0" in text:
        raise StoreError(f"{where}: holds NUL characters, expected CSV in UTF-8, or a Parquet file")
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    return ((place, row) for place, row in enumerate(lines) if row)


def _require_size(rows: int, columns: int, where: str) -> None:
    if rows > MAX_ROWS or rows * columns > MAX_CELLS:
        raise StoreError(
            f"{where}: {rows} rows or more of {columns} cells, expected at most {MAX_ROWS} rows and "
            f"{MAX_CELLS} cells; split the table"
        )


def _require_commas(header: Sequence[str], where: str) -> None:
    found = next((name for mark, name in ((";", "';'"), ("\t", "tabs")) if mark in header[0]), None)
    if len(header) == 1 and found is not None:
        raise StoreError(f"{where}: {found} between the names of the columns, expected commas")


def _read_parquet(path: Path) -> TableFile:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as err:
        raise UsageError(f'{path}: a Parquet file needs pyarrow: pip install "annette[parquet]"') from err
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            meta = file.metadata
            content = sum(meta.row_group(index).total_byte_size for index in range(meta.num_row_groups))
            if content > MAX_CONTENT_BYTES:
                raise StoreError(
                    f"{path}: {content} bytes, expected at most {MAX_CONTENT_BYTES}; split the table"
                )
            _require_size(meta.num_rows, meta.num_columns, str(path))
            header = _checked_header(list(file.schema_arrow.names), str(path))
            table = file.read()
        columns = {name: table.column(index).to_pylist() for index, name in enumerate(header)}
        return TableFile(columns=columns, row_numbers=range(1, table.num_rows + 1))
    except pyarrow.ArrowException as err:
        raise StoreError(f"{path}: {shorten(err)}; restore a copy of it") from err


def _checked_header(header: Sequence[str], where: str) -> tuple[str, ...]:
    if not 0 < len(header) <= MAX_COLUMNS:
        raise StoreError(
            f"{where}: {len(header)} columns, expected 1 to {MAX_COLUMNS}, named in the first line"
        )
    for number, name in enumerate(header):
        if not name and not number:
            raise StoreError(
                f"{where}: column 1 has no name, expected one; of pandas' row numbers: write the table by "
                "to_csv(..., index=False)"
            )
        if not name or name in header[:number]:
            raise StoreError(
                f"{where}: column {number + 1} is called {shorten(repr(name))}, expected a name that no "
                "other column has"
            )
    return tuple(header)


def is_missing(cell: Cell) -> bool:
    """Whether nothing was measured there."""
    if isinstance(cell, float):
        return math.isnan(cell)
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in _MISSING)


def number_in(cell: Cell) -> float | None:
    """The number in a cell; ``None`` if it holds anything else."""
    if isinstance(cell, bool | list) or cell is None or (isinstance(cell, str) and "_" in cell):
        return None
    try:
        return float(cell)
    except (ValueError, TypeError, OverflowError):
        return None
