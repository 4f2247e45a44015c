"""``annette evaluate --recorded-table``: a platform against latencies that others recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annette.cli.console import note_line, print_line, print_table, progress_bar
from annette.cli.evaluate_ranking import MODEL_TITLES, format_rank, print_ranking
from annette.errors import UsageError
from annette.units import format_fraction, format_number

if TYPE_CHECKING:
    from annette.evaluation.latency_table import LatencyTable

__all__ = [
    "ColumnOption",
    "QualityOption",
    "SpaceOption",
    "TableOption",
    "TableUnit",
    "UnitIfGiven",
    "UnitOption",
    "evaluate_recorded",
    "note_repeats",
    "print_table_evaluation",
]


_NEAR = 0.16
"""Of a factor of a thousand, by its logarithm: threefold."""


class TableUnit(StrEnum):
    """What a table's latencies are in."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"


TableOption = Annotated[
    Path | None,
    typer.Option(
        "--recorded-table",
        help="CSV or Parquet: one row an architecture of a search space, one column of latencies a device.",
    ),
]
ColumnOption = Annotated[
    str | None, typer.Option("--device-column", help="The table's column of latencies to compare with.")
]
SpaceOption = Annotated[
    str | None,
    typer.Option("--space", help="The table's search space, if its columns do not tell: ofa,width=1.2."),
]
UnitOption = Annotated[TableUnit, typer.Option("--unit", help="What the table's latencies are in.")]
UnitIfGiven = Annotated[
    TableUnit | None, typer.Option("--unit", help="What the table's latencies are in; s by default.")
]
"""The same where it has to be known whether it was said."""
QualityOption = Annotated[
    str | None,
    typer.Option(
        "--quality-column", help="What a search would maximise, as an accuracy; without it the MACs."
    ),
]


def evaluate_recorded(
    platform: str,
    path: Path,
    column: str | None,
    *,
    space: str | None,
    unit: TableUnit | None,
    quality: str | None,
    jobs: int,
) -> dict[str, object]:
    """The evaluation as a document.

    Raises
    ------
    UsageError
        Without a column, and as `read_latency_table` and `evaluate_table`.
    StoreError
        As these two.
    """
    import annette
    from annette.estimation.platform import Platform
    from annette.evaluation.latency_table import read_latency_table
    from annette.evaluation.recorded_table import evaluate_table
    from annette.models.trained_networks import noted
    from annette.store.records import SUGGESTED_FOR

    trained = annette.load(platform)
    table = read_latency_table(path, space=space, unit=(unit or TableUnit.SECONDS).value)
    if column is None:
        raise UsageError(f"--device-column: which one of {', '.join(table.devices) or 'none'}?")
    note_repeats(table)
    if isinstance(trained, Platform) and (targets := noted(trained.metrics, SUGGESTED_FOR)):
        note_line(
            f"{trained.name} was trained on kernels suggested for {format_number(len(targets), 'network')}: "
            "those of them in the table count here, though they are no longer unseen"
        )
    with progress_bar(f"predicting {path.name}") as on_progress:
        answer = evaluate_table(trained, table, column, quality=quality, jobs=jobs, on_progress=on_progress)
    return answer.to_dict()


def note_repeats(table: LatencyTable) -> None:
    """Say on stderr that rows were merged, if any were."""
    if table.merged:
        rows = format_number(table.merged, "row")
        note_line(f"{rows} of {table.path} repeat an architecture: the mean of its numbers is taken")


def print_table_evaluation(document: Mapping[str, Any]) -> None:
    """The figures of each layer model, as they are and scaled to the device, then those of choice."""
    count = format_number(len(document["networks"]), "network")
    print_line(
        f"platform {document['platform']} against {document['device']} of {document['table']}: {count} of "
        f"{document['space']}",
        bold=True,
    )
    fitted = len(document["networks"]) > 1  # one network is fitted exactly by its factor
    rows = [
        (
            title,
            format_rank(figures["spearman"]),
            format_rank(figures["kendall_tau"]),
            format_fraction(figures["mape"]),
            f"{figures['scale_factor']:.3g}",
            format_fraction(figures["scaled_mape"]) if fitted else "-",
            format_fraction(figures["scaled_within_10_percent"]) if fitted else "-",
        )
        for name, title in MODEL_TITLES.items()
        if (figures := document["models"].get(name)) is not None
    ]
    head = ("Spearman", "Kendall tau", "MAPE as it is", "factor", "MAPE scaled", "within 10 % scaled")
    print_table(("layer model", *head), rows)
    print_line(
        "ranks are what counts where the platform is of another device; scaled: times the one factor, the "
        "median of recorded / predicted"
    )
    models = document["models"]
    factor = models.get("mixed", next(iter(models.values())))["scale_factor"]
    if _is_unit(factor):
        print_line(f"a factor of {factor:.3g} is about that between two units: is --unit what the table has?")
    if document["missing"]:
        print_line(f"left out: {format_number(document['missing'], 'network')} without a recorded value")
    print_ranking(models)


def _is_unit(factor: float) -> bool:
    """Whether a factor is near a thousand or a million, or one over these: seconds, ms and us differ so."""
    thousands = abs(math.log10(factor)) / 3
    return round(thousands) > 0 and abs(thousands - round(thousands)) < _NEAR
