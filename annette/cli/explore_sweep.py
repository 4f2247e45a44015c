"""``annette explore sweep``: any numbers of a device's description over a grid, and the Pareto front."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annette.cli.completion import complete_network
from annette.cli.console import OutputFormat, note_line, print_json, print_line, print_table, progress_bar
from annette.cli.options import (
    BatchOption,
    DeviceOption,
    FormatOption,
    SetOption,
    ShapeOption,
    change_by_settings,
    open_accelerator_argument,
    open_network_argument,
    parse_settings,
    require_writable,
    write_output,
)
from annette.errors import HardwareError, UsageError
from annette.units import format_bytes, format_joules, format_number, format_seconds

if TYPE_CHECKING:
    from annette.explore.sweep_study import SweepStudy
    from annette.hardware.settings import Setting

__all__ = ["default_jobs", "sweep"]

_INTERRUPTED = "what was done until then is printed"
_MANY_POINTS = 64
"""From here on several processes are worth their start."""


def sweep(
    device: DeviceOption,
    networks: Annotated[
        list[str],
        typer.Option(
            "--network",
            "-n",
            help="An ONNX file or zoo:NAME; may be repeated.",
            autocompletion=complete_network,
        ),
    ],
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="PATH=V1,V2,...",
            help="A number of the description by its path in the YAML, and its values: "
            "memories[0].size_bytes=65536,131072, array.systolic.rows=8..128*2, clock_hz=1e9..2e9+5e8. "
            "Several that change together are joined by +. May be repeated: all combinations are tried.",
        ),
    ],
    objective: Annotated[
        list[str] | None,
        typer.Option(
            "--objective",
            "-o",
            help="latency, energy, edp, area, macs, buffer_bytes, or a path; less is better; may be "
            "repeated. By default latency and what it is bought with.",
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many points of the front to print.")] = 20,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes to work with; by default all cores.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", help="Draw the points and the front (.png, .svg, .pdf, or .html to look around)."
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write all points to this file.")] = None,
    settings: SetOption = None,
    shape: ShapeOption = None,
    batch: BatchOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Vary numbers of a simulated accelerator over a grid and find the variants that nothing else beats.

    With several networks, latency and energy are geometric means. Where the size of an on-chip memory is
    varied, its energies and its area go with it, but for the area of the vector unit's buffer, which is a
    part of area.other_mm2. On Ctrl-C what is done so far is printed and written.

    Example: annette explore sweep -d systolic-32x32-ws -n zoo:resnet18 --vary array.systolic.rows=8..128*2
    """
    from annette.explore.sweep import run_sweep
    from annette.explore.sweep_axes import parse_axis
    from annette.explore.sweep_plot import require_plot_path

    if plot is not None:
        require_plot_path(plot)
    require_writable("--plot", plot)
    require_writable("--csv", csv)
    axes = [parse_axis(text) for text in vary]
    for path in parse_settings(settings or ()):
        if any(path in axis.paths for axis in axes):
            raise UsageError(f"--set {path}: --vary varies it as well, expected one of the two")
    accelerator = change_by_settings(open_accelerator_argument(device), settings)
    graphs = [open_network_argument(spec, shape, batch) for spec in networks]
    with progress_bar(f"sweeping {accelerator.name}") as on_progress:
        study = run_sweep(
            graphs,
            accelerator,
            axes,
            objectives=objective or (),
            jobs=jobs or default_jobs([len(axis.values) for axis in axes]),
            on_progress=on_progress,
        )
    done = len(study.points) + len(study.failures)
    if not study.is_complete and not done:
        raise KeyboardInterrupt
    try:
        _give(study, output, top, csv, plot)
    except KeyboardInterrupt:
        raise typer.Abort(_INTERRUPTED) from None
    if not study.is_complete:
        note_line(f"{done} of {study.planned} points were done")
        raise typer.Abort(_INTERRUPTED)
    if not study.points:
        raise HardwareError(_failures_line(study))


def _give(study: SweepStudy, output: OutputFormat, top: int, csv: Path | None, plot: Path | None) -> None:
    """Print the study first, which cannot fail, and write then."""
    from annette.explore.sweep_plot import draw_sweep

    if output is OutputFormat.JSON:
        print_json({"schema_version": 1, **study.to_dict()})
    elif study.points:
        _print_study(study, top)
    elif not study.is_complete:
        print_line(_failures_line(study))
    if csv is not None:
        write_output("--csv", csv, lambda: csv.write_text(study.to_csv(), encoding="utf-8"))
    if plot is not None and study.points:
        write_output("--plot", plot, lambda: draw_sweep(study, plot))


def default_jobs(sizes: list[int]) -> int:
    """One process for a small grid, all cores for a large one."""
    points = 1
    for size in sizes:
        points *= size
    return (os.cpu_count() or 1) if points >= _MANY_POINTS else 1


def _print_study(study: SweepStudy, top: int) -> None:
    front, names = study.front, [axis.name for axis in study.axes]
    print_line(
        f"{', '.join(study.networks)} on {format_number(len(study.points), 'point')} of {study.device}",
        bold=True,
    )
    print_line(f"objectives: {', '.join(study.objectives)}")
    varied = {path for axis in study.axes for path in axis.paths}
    shown = [index for index, name in enumerate(study.objectives) if name not in varied]
    points = [study.points[position] for position in front[:top]]
    rows = [
        (
            *(_format_setting(value) for value in point.settings),
            *(_format_cost(study.objectives[index], point.costs[index]) for index in shown),
        )
        for point in points
    ]
    if rows:
        print_table((*names, *(study.objectives[index] for index in shown)), rows, left=0)
    rest = f"; the first {top} are shown (--top prints more)" if len(front) > top else ""
    known = int(study.is_known.sum())
    beaten = known - len(front)
    print_line(f"\nthe Pareto front has {format_number(len(front), 'point')} and dominates {beaten}{rest}")
    unknown = len(study.points) - known
    if unknown:
        gaps = ", ".join(study.gaps)
        print_line(f"not compared: {format_number(unknown, 'point')} without a value of {gaps}")
    if study.failures:
        print_line(_failures_line(study))


def _failures_line(study: SweepStudy) -> str:
    first, names = study.failures[0], (axis.name for axis in study.axes)
    where = ", ".join(f"{name}={value}" for name, value in zip(names, first.settings, strict=True))
    count = format_number(len(study.failures), "point")
    return f"{count} cannot be, the first at {where}: {first.error}"


def _format_setting(value: Setting) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _format_cost(name: str, cost: float) -> str:
    if name == "latency":
        return format_seconds(cost)
    if name == "energy":
        return format_joules(cost)
    if name == "buffer_bytes":
        return format_bytes(cost)
    return f"{cost:.4g} mm2" if name == "area" else f"{cost:.6g}"
