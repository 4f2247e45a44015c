"""Tables of other people, CSV or Parquet, as columns of cells: bounded in size, nothing guessed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

from annette.errors import AnnetteError, StoreError, UsageError
from annette.store.strict_json import shorten

__all__ = ["Cell", "read_columns"]

Cell = str | int | float | bool | None | list[object]
"""What one cell holds: text in a CSV file; empty ones are ``None``."""

MAX_FILE_BYTES = 256 << 20
"""A file with all of NAS-Bench-101 on twenty devices has about half of that."""
MAX_CONTENT_BYTES = 1 << 30
"""The same of what a Parquet file holds once it is unpacked."""
MAX_ROWS = 1_000_000
MAX_COLUMNS = 1_000


def read_columns(path: str | PathLike[str]) -> dict[str, list[Cell]]:
    """The columns of a CSV file with a header line, or of a Parquet file, in the file's order.

    Raises
    ------
    StoreError
        If the file is missing, too large, damaged, or has no rows, a row of another length, or a column name
        that is empty or there twice.
    UsageError
        For a Parquet file without the extra that reads it.
    """
    where = str(path)
    try:
        size = Path(path).stat().st_size
        if size > MAX_FILE_BYTES:
            raise StoreError(f"{where}: {size} bytes, expected at most {MAX_FILE_BYTES}; split the table")
        found = _read_parquet(Path(path)) if _is_parquet(Path(path)) else _read_csv(Path(path), where)
    except OSError as err:
        if isinstance(err, AnnetteError):
            raise
        raise StoreError(f"{where}: {shorten(err.strerror or err)}; expected a table to read") from err
    if not any(found.values()):
        raise StoreError(f"{where}: no rows, expected one an architecture")
    return found


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _read_csv(path: Path, where: str) -> dict[str, list[Cell]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        lines = _rows(text, where)
        header = _checked_header([name.strip() for name in next(lines, [])], where)
        columns: list[list[Cell]] = [[] for _ in header]
        for number, row in enumerate(lines, 1):
            if number > MAX_ROWS:
                raise StoreError(f"{where}: more than {MAX_ROWS} rows; split the table")
            if len(row) != len(header):
                raise StoreError(
                    f"{where}: row {number} has {len(row)} cells, expected {len(header)} as the header has; "
                    "quote cells that hold commas"
                )
            for column, cell in zip(columns, row, strict=True):
                column.append(cell.strip() or None)
    except (csv.Error, UnicodeDecodeError) as err:
        raise StoreError(f"{where}: {shorten(err)}; expected CSV in UTF-8, or a Parquet file") from err
    return dict(zip(header, columns, strict=True))


def _rows(text: str, where: str) -> Iterator[list[str]]:
    """The rows with anything in them."""
    if "\0" in text:
        raise StoreError(f"{where}: holds NUL characters, expected CSV in UTF-8, or a Parquet file")
    return (row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row)


def _read_parquet(path: Path) -> dict[str, list[Cell]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as err:
        raise UsageError(f'{path}: a Parquet file needs pyarrow: pip install "annette[parquet]"') from err
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            meta = file.metadata
            content = sum(meta.row_group(index).total_byte_size for index in range(meta.num_row_groups))
            if meta.num_rows > MAX_ROWS or content > MAX_CONTENT_BYTES:
                raise StoreError(
                    f"{path}: {meta.num_rows} rows and {content} bytes, expected at most {MAX_ROWS} and "
                    f"{MAX_CONTENT_BYTES}; split the table"
                )
            header = _checked_header(list(file.schema_arrow.names), str(path))
            table = file.read()
        return {name: table.column(index).to_pylist() for index, name in enumerate(header)}
    except pyarrow.ArrowException as err:
        raise StoreError(f"{path}: {shorten(err)}; restore a copy of it") from err


def _checked_header(header: Sequence[str], where: str) -> tuple[str, ...]:
    if not 0 < len(header) <= MAX_COLUMNS:
        raise StoreError(
            f"{where}: {len(header)} columns, expected 1 to {MAX_COLUMNS}, named in the first line"
        )
    for number, name in enumerate(header):
        if not name or name in header[:number]:
            raise StoreError(
                f"{where}: column {number + 1} is called {shorten(repr(name))}, expected a name that no "
                "other column has"
            )
    return tuple(header)
