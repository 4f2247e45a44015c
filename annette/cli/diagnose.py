"""``annette diagnose``: measures a network and says where its estimate goes wrong, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annette.cli.compare import print_changes, signed_seconds
from annette.cli.completion import complete_store
from annette.cli.console import OutputFormat, print_json, print_line, print_table, progress_bar
from annette.cli.options import (
    BatchOption,
    DeviceOption,
    FormatOption,
    ModelOption,
    NetworkArgument,
    PlatformOption,
    SeedOption,
    ShapeOption,
    check_model,
    open_network_argument,
)
from annette.evaluation.error_words import format_points
from annette.units import format_fraction, format_seconds

if TYPE_CHECKING:
    from annette.evaluation.diagnosis import Diagnosis
    from annette.evaluation.error_parts import ErrorPart

__all__ = ["diagnose"]

_LEAST = 0.0005
"""Less prints as 0.0 %, without a sign."""
_ROUNDING = 1e-9
"""Of the latency: less is what is left of adding and taking away."""


def diagnose(
    network: NetworkArgument,
    platform: PlatformOption,
    device: DeviceOption,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            "-s",
            help="The campaign behind the platform (RUN.db, or its Parquet file): tells how the device has "
            "changed since, by its reference network or by nine benchmarks that are timed again.",
            autocompletion=complete_store,
        ),
    ] = None,
    model: ModelOption = "mixed",
    seed: SeedOption = 0,
    shape: ShapeOption = None,
    batch: BatchOption = None,
    show_all: Annotated[bool, typer.Option("--all", "-a", help="Print every kernel.")] = False,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Measure NETWORK on a device and say where the error of its estimate comes from.

    The error is told apart into points that add up: layers that the device puts together otherwise than
    predicted, kernel families that are priced too high or too low, what lies beyond kernels, and drift.

    Example: annette diagnose zoo:mobilenet_v2 --platform zcu102-dpu --device zcu102-dpu
    """
    from annette.backends.registry import open_device
    from annette.errors import UsageError
    from annette.estimation.catalogue import load_platform
    from annette.evaluation.diagnosis import diagnose_on

    check_model(model)
    if store is not None and not store.is_file():
        raise UsageError(f"--store {store}: no such file; expected what annette benchmark --store wrote")
    backend, trained = open_device(device), load_platform(platform)
    graph = open_network_argument(network, shape, batch)
    with progress_bar(f"measuring {graph.name}") as on_progress:
        found = diagnose_on(
            graph, trained, backend, store=store, model=model, seed=seed, on_progress=on_progress
        )
    if output is OutputFormat.JSON:
        print_json({**found.to_dict(), "seed": seed})
        return
    _print(found, show_all=show_all)


def _print(found: Diagnosis, *, show_all: bool) -> None:
    estimate = found.estimate
    print_line(
        f"{estimate.network} on {found.measurement.device.name}, platform {estimate.platform}, "
        f"{estimate.model} model",
        bold=True,
    )
    for sentence in found.summary:
        print_line(sentence)
    print_line()
    rows = [_row(part, found) for part in found.parts]
    rows.append(
        (
            "all",
            "-",
            format_seconds(found.measurement.latency_s),
            format_seconds(estimate.latency_s),
            signed_seconds(found.error_s),
            format_points(found.error_fraction),
            format_fraction(1.0) if found.error_s else "-",
        )
    )
    columns = ("part", "kernels", "measured", "predicted", "error", "points", "share")
    print_table(columns, rows, bold_last=1, bars=[*(abs(part.error_s) for part in found.parts), 0.0])
    print_line("points: per cent of the measured latency; families: with the mapping that the device has")
    if found.comparison.way is not None and (show_all or _regroups(found)):
        print_line("\nA: measured, B: predicted", bold=True)
        print_changes(found.comparison, show_all=show_all, with_units=True)
    print_line("\nwhat to do", bold=True)
    for number, step in enumerate(found.advice, start=1):
        print_line(f"  {number}. {step}")


def _regroups(found: Diagnosis) -> bool:
    """Whether some kernels are not as predicted."""
    return any(item.kind != "same" or item.units for item in found.comparison.changes)


def _row(part: ErrorPart, found: Diagnosis) -> tuple[str, ...]:
    whole_s = found.measurement.latency_s
    return (
        part.name,
        str(part.kernels) if part.kind == "family" else "-",
        *(
            "-" if seconds is None else _signless(seconds, whole_s)
            for seconds in (part.measured_s, part.predicted_s)
        ),
        signed_seconds(part.error_s) if abs(part.error_s) > _ROUNDING * whole_s else format_seconds(0.0),
        format_points(part.fraction),
        _share(part.error_s / found.error_s) if found.error_s else "-",
    )


def _share(value: float) -> str:
    return format_fraction(value if abs(value) >= _LEAST else 0.0)


def _signless(value_s: float, whole_s: float) -> str:
    """Seconds, with a sign only if they are negative; nothing of what rounding leaves."""
    if abs(value_s) <= _ROUNDING * whole_s:
        return format_seconds(0.0)
    return f"-{format_seconds(-value_s)}" if value_s < 0 else format_seconds(value_s)
