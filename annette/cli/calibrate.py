"""``annette calibrate``: a model of a device from the latencies of a few whole networks on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annette.cli.calibrated import CALIBRATED_SCHEMA_VERSION, print_calibrated
from annette.cli.console import OutputFormat, note_line, print_json, print_line
from annette.cli.evaluate_recorded import TableUnit, UnitOption, note_repeats
from annette.cli.options import FormatOption, open_network_argument
from annette.cli.suggest import EMPTY_COLUMN
from annette.errors import StoreError, UsageError

if TYPE_CHECKING:
    from annette.calibration.calibrated import CalibratedModel
    from annette.calibration.prior import Prior
    from annette.evaluation.latency_table import LatencyTable

__all__ = ["calibrate"]

_NETWORK_COLUMN = "network"


def calibrate(
    latencies: Annotated[
        Path,
        typer.Argument(
            metavar="LATENCIES",
            help="CSV or Parquet: one row a network, one column of latencies a device. The networks are "
            "architectures of a search space (arch, op_idx_list, ...), or ONNX files and zoo:NAME in a "
            "column named network.",
        ),
    ],
    space: Annotated[
        str | None,
        typer.Option("--space", help="The table's search space, if its columns do not tell: ofa,width=1.2."),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option("--device-column", help="The column of the device; needed if there are several."),
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            help="Another device that may be alike: a platform, a folder written by -o, or a column of the "
            "table; may be repeated. Counts only as far as it helps on latencies that are left out.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Write the model into this folder, which also names the device where the table does not.",
        ),
    ] = None,
    unit: UnitOption = TableUnit.SECONDS,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Make a model of a device from the latencies of a few whole networks, ten or so, and say how good it is.

    A latency is taken as a sum of physical terms (kernels, multiply-accumulates, bytes, parameters by
    kind of layer), each with a cost that is not negative. What is printed: the share of each term, the error
    on latencies that were left out, which graphs the device runs, whether sources help, what the latencies
    cannot tell, and which network to time next.

    Example: annette calibrate ten.csv --space nasbench201 -o my-phone
    """
    model, following = _calibrate(latencies, space, column, sources or [], unit)
    if folder is not None and model.device == EMPTY_COLUMN:
        model = replace(model, device=folder.resolve().name)
    if folder is not None:
        from annette.calibration.codec import save_calibrated

        save_calibrated(model, folder)
        note_line(f"wrote {folder}")
    if output is OutputFormat.JSON:
        from annette.calibration.codec import to_document

        document = {"schema_version": CALIBRATED_SCHEMA_VERSION, **to_document(model)}
        print_json({**document, "term_shares": model.term_shares(), "next": following})
        return
    print_calibrated(model)
    if following is not None:
        print_line(f"- the next network to time, which would tell the most: {following}")


def _calibrate(
    path: Path, space: str | None, column: str | None, sources: list[str], unit: TableUnit
) -> tuple[CalibratedModel, str | None]:
    """The model, and the architecture to time next."""
    from annette.calibration.calibrate import MOST_SAMPLES, calibrate_networks, calibrate_space
    from annette.calibration.design import suggest_architectures
    from annette.evaluation.latency_table import UNITS, read_latency_table
    from annette.evaluation.table_file import read_columns

    if space is None:
        columns = read_columns(path)
        if _NETWORK_COLUMN in columns:
            if sources:
                raise UsageError("--source: goes with a search space, found a table of networks")
            names, values, device = _network_rows(path, columns, column)
            networks = [open_network_argument(name, None, None) for name in names]
            seconds = [value * UNITS[unit.value] for value in values]
            return calibrate_networks(networks, seconds, device=device), None
    table = read_latency_table(path, space=space, unit=unit.value)
    note_repeats(table)
    device = _device_column(path, table.devices, column)
    known = table.latencies_s(device)
    rows = table.encodings[known.rows]
    models = [_source(name, table) for name in sources]
    model = calibrate_space(table.space, rows, known.values, device=device, sources=models)
    if len(rows) > MOST_SAMPLES:  # there is nothing to learn from one more
        return model, None
    following = suggest_architectures(table.space, 1, measured=rows)[0]
    return model, table.space.format(following.tolist())


def _device_column(path: Path, devices: tuple[str, ...], column: str | None) -> str:
    if column is not None:
        return column
    if len(devices) != 1:
        found = ", ".join(devices) or "none"
        raise UsageError(f"--device-column: which one? {path} has {found}, expected one column of numbers")
    return devices[0]


def _network_rows(
    path: Path, columns: dict[str, list[Any]], column: str | None
) -> tuple[list[str], list[float], str]:
    """The networks and the numbers beside them, and the column's name."""
    others = tuple(name for name in columns if name != _NETWORK_COLUMN)
    device = _device_column(path, others, column)
    if device not in columns:
        raise UsageError(f"{path}: no column {device!r}, expected one of {', '.join(others) or 'none'}")
    names, values = [], []
    for row, (name, cell) in enumerate(zip(columns[_NETWORK_COLUMN], columns[device], strict=True), 1):
        if cell is None or str(cell).strip() == "":
            continue
        try:
            values.append(float(cell))
        except (TypeError, ValueError):
            raise StoreError(
                f"{path}: row {row}, column {device!r}: found {str(cell)[:60]!r}, expected a number"
            ) from None
        names.append(str(name))
    return names, values, device


def _source(name: str, table: LatencyTable) -> CalibratedModel | Prior:
    """The source that a word means: a column of the table, a folder of a calibrated model, a platform."""
    from annette.calibration.codec import load_calibrated
    from annette.calibration.sources import prior_from_platform, source_from_column
    from annette.estimation.catalogue import load_platform
    from annette.store.calibrated_folder import is_calibrated

    if name in table.devices:
        return source_from_column(table, name)
    if is_calibrated(name):
        return load_calibrated(name)
    return prior_from_platform(load_platform(name), table.space)
