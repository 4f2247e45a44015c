"""``annette evaluate --kernel-table``: a platform against the networks of someone else's kernel table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from annette.cli.console import progress_bar
from annette.errors import UsageError

__all__ = ["ColumnsOption", "KernelTableOption", "NetworksOption", "evaluate_kernel_table"]

KernelTableOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--kernel-table",
        help="A kernel table or profile as for annette import: networks that were not trained on count.",
    ),
]
ColumnsOption = Annotated[
    str | None, typer.Option("--columns", "-c", help="What the kernel table's columns hold.")
]
NetworksOption = Annotated[
    Path | None, typer.Option("--networks", help="End-to-end times of the kernel table's networks.")
]


def evaluate_kernel_table(
    platform: str, tables: list[Path], columns: str | None, *, networks: Path | None, device: str | None
) -> dict[str, object]:
    """The evaluation as a document.

    Raises
    ------
    UsageError
        Without a schema, and as `read_tables` and `evaluate_table`.
    StoreError
        As `read_tables`.
    """
    from annette.estimation.catalogue import load_platform
    from annette.tables.evaluating import evaluate_table
    from annette.tables.importing import read_tables
    from annette.tables.schema import list_schemas, read_schema

    if columns is None:
        raise UsageError(
            f"--kernel-table: what do its columns hold? --columns FILE.yaml, or one of "
            f"{', '.join(list_schemas())}"
        )
    trained = load_platform(platform)
    table = read_tables(tables, read_schema(columns), device=device, networks=networks)
    with progress_bar(f"predicting {tables[0].name}"):
        return evaluate_table(trained, table).to_dict()
