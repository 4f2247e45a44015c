"""Tells what a file of a stranger is by how it begins, and reads JSON that annette printed from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from annette.errors import UsageError
from annette.store.strict_json import parse_strict_json

__all__ = ["MAX_DOCUMENT_BYTES", "FileKind", "file_kind", "read_document"]

FileKind = Literal["campaign", "json", "other"]

MAX_DOCUMENT_BYTES = 32_000_000
"""Of a JSON document. Once read it takes up to 36 times that, about 1.2 GB."""
_STORES = (b"SQLite format 3\x00", b"PAR1")
"""How stores begin, and campaigns that were written as Parquet."""
_MOST_BLANKS = 64


def file_kind(path: Path | str) -> FileKind:
    """What a file is: a campaign's store or its Parquet file, JSON, or something else, such as ONNX.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b' {"schema_version": 1}')
    ...     file.flush()
    ...     file_kind(file.name)
    'json'
    """
    with Path(path).open("rb") as file:
        head = file.read(_MOST_BLANKS)
    if head.startswith(_STORES):
        return "campaign"
    return "json" if head.lstrip().startswith(b"{") else "other"


def read_document(path: Path | str, expected: str) -> Any:
    """The JSON in a file.

    Parameters
    ----------
    path : Path or str
        The file.
    expected : str
        What else would have been right, for messages: ``what annette compare --format json prints``.

    Raises
    ------
    UsageError
        If the file is larger than `MAX_DOCUMENT_BYTES`, or not such JSON as
        `annette.store.strict_json.parse_strict_json` takes.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b'{"schema_version": 1}')
    ...     file.flush()
    ...     read_document(file.name, "what annette compare --format json prints")
    {'schema_version': 1}
    """
    path = Path(path)
    with path.open("rb") as file:
        content = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise UsageError(
            f"{path}: {path.stat().st_size} bytes, expected a JSON document of at most {MAX_DOCUMENT_BYTES}"
        )
    try:
        return parse_strict_json(content)
    except ValueError as err:
        raise UsageError(f"{path}: {err}; expected {expected}") from err
