"""``annette explore tradeoff``: networks on accelerators in latency, energy, area and published accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annette.cli.completion import complete_device, complete_network
from annette.cli.console import OutputFormat, note_line, print_json, print_line, print_table, progress_bar
from annette.cli.options import FormatOption, JobsOption, open_accelerator_argument, open_network_argument
from annette.errors import HardwareError, UsageError
from annette.units import format_bytes, format_joules, format_number, format_seconds

if TYPE_CHECKING:
    from annette.explore.tradeoff import Subject, TradeoffStudy
    from annette.explore.tradeoff_report import ArrayStudy
    from annette.graph.network import Network
    from annette.hardware.accelerator import Accelerator

__all__ = ["tradeoff"]

_SUITES = ("classic12", "modern12")
_DEFAULT_MACS, _DEFAULT_KIB = 1024, 1536


def tradeoff(
    devices: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            help="A simulated accelerator with a table of energies: a preset or a YAML file; may be "
            "repeated. By default every such preset.",
            autocompletion=complete_device,
        ),
    ] = None,
    suites: Annotated[
        list[str] | None,
        typer.Option(
            "--suite", help="A suite of networks; may be repeated. By default classic12 and modern12."
        ),
    ] = None,
    networks: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            "-n",
            help="An ONNX file or zoo:NAME; may be repeated. In place of suites unless they are named too.",
            autocompletion=complete_network,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="A folder for tradeoff.html, tradeoff.png, and the points: tradeoff.csv, arrays.csv.",
        ),
    ] = None,
    arrays: Annotated[
        bool,
        typer.Option(
            help="Also which systolic array each network prefers: shape, dataflow and split of the buffers."
        ),
    ] = True,
    macs: Annotated[
        int | None,
        typer.Option(
            "--macs", help=f"Cells of those arrays, a power of two from 64; by default {_DEFAULT_MACS}."
        ),
    ] = None,
    buffer_kib: Annotated[
        int | None,
        typer.Option(
            "--buffer-kib", min=3, help=f"Their three buffers together, in KiB; by default {_DEFAULT_KIB}."
        ),
    ] = None,
    jobs: JobsOption = 2,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """What accuracy costs: every network on every accelerator, and the Pareto fronts of the pairs.

    Latency and energy are simulated, areas are summed up from the descriptions' tables, and accuracies are
    published ones, of floating point. Fronts: accuracy against latency, energy and energy times delay;
    latency, energy and area over the accelerators. Nothing is printed or written before all of it is done:
    an interrupted study is lost.

    Example: annette explore tradeoff --suite classic12 --out tradeoff
    """
    from annette.explore.tradeoff import study_tradeoff
    from annette.explore.tradeoff_report import tradeoff_document

    if not arrays and (macs is not None or buffer_kib is not None):
        option = "--buffer-kib" if macs is None else "--macs"
        raise UsageError(f"{option} with --no-arrays: it describes the arrays; leave one of them away")
    subjects = _subjects(suites, networks)
    accelerators = _accelerators(devices)
    with progress_bar("networks on accelerators") as on_progress:
        study = study_tradeoff(subjects, accelerators, jobs=jobs, on_progress=on_progress)
    if study.failures and not study.points:
        raise HardwareError(_failures_line(tradeoff_document(study, None)["failures"]))
    cells = _DEFAULT_MACS if macs is None else macs
    buffer_bytes = 1024 * (buffer_kib or _DEFAULT_KIB)
    found = _array_study(subjects, cells, buffer_bytes, jobs) if arrays else None
    document = tradeoff_document(study, found)
    if out is not None:
        _write(study, found, out)
    if output is OutputFormat.JSON:
        print_json({"schema_version": 1, **document})
    else:
        _print(document)


def _subjects(suites: list[str] | None, specs: list[str] | None) -> list[Subject]:
    """The networks with the accuracies that are published of them as they are."""
    from annette.explore.imagenet import published_accuracies
    from annette.explore.tradeoff import Subject
    from annette.zoo.suites import iterate_suite

    networks: dict[str, Network] = {}
    for suite in suites or (() if specs else _SUITES):
        networks.update((f"zoo:{network.name}", network) for network in iterate_suite(suite))
    for spec in specs or ():
        networks[spec] = open_network_argument(spec, None, None)
    accuracies = {f"zoo:{name}": item.top1_fraction for name, item in published_accuracies().items()}
    return [
        Subject(name=spec.removeprefix("zoo:"), network=network, top1_fraction=accuracies.get(spec))
        for spec, network in networks.items()
    ]


def _accelerators(names: list[str] | None) -> list[Accelerator]:
    from annette.hardware.codec import list_accelerators, load_accelerator

    if names:
        return [open_accelerator_argument(name) for name in names]
    presets = [load_accelerator(name) for name, _ in list_accelerators()]
    return [preset for preset in presets if preset.energy is not None]


def _array_study(subjects: list[Subject], macs: int, buffer_bytes: int, jobs: int) -> ArrayStudy:
    from annette.explore.array_choice import list_arrays
    from annette.explore.tradeoff import study_tradeoff
    from annette.explore.tradeoff_report import ArrayStudy

    choices = list_arrays(macs, buffer_bytes)
    with progress_bar("networks on systolic arrays") as on_progress:
        study = study_tradeoff(
            subjects, [choice.accelerator for choice in choices], jobs=jobs, on_progress=on_progress
        )
    return ArrayStudy(macs=macs, buffer_bytes=buffer_bytes, choices=choices, study=study)


def _write(study: TradeoffStudy, arrays: ArrayStudy | None, folder: Path) -> None:
    from annette.explore.tradeoff_page import write_page
    from annette.explore.tradeoff_plot import draw_tradeoff
    from annette.explore.tradeoff_report import points_csv

    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tradeoff.csv").write_text(points_csv(study.points), encoding="utf-8")
        if arrays is not None:
            (folder / "arrays.csv").write_text(points_csv(arrays.study.points), encoding="utf-8")
        write_page(study, folder / "tradeoff.html", arrays)
        try:
            draw_tradeoff(study.points, folder / "tradeoff.png")
        except UsageError as err:
            note_line(str(err))
    except OSError as err:
        raise UsageError(f"--out {folder}: cannot be written: {err.strerror or err}") from err
    note_line(f"wrote {folder / 'tradeoff.html'} and what is behind it")


def _print(document: dict[str, Any]) -> None:
    rows = []
    for item in document["accelerators"]:
        best = item["best_network"]["EDP"]
        rows.append(
            (
                item["device"],
                format_seconds(item["latency_s"]),
                format_joules(item["energy_j"]),
                f"{item['edp_js']:.2e} Js",
                "-" if item["area_mm2"] is None else f"{item['area_mm2']:.3g} mm2",
                "yes" if item["is_on_front"] else "",
                "-" if best is None else f"{best['network']} ({best['dominates']} of {best['of']})",
            )
        )
    columns = ("accelerator", "latency", "energy", "EDP", "area", "on the front", "dominates most networks")
    count = format_number(document["networks"], "network")
    print_table(columns, rows, title=f"{count}, geometric means of those that run everywhere")
    print_line(
        "on the front: none is at least as good in latency, energy and area; networks: accuracy and EDP"
    )
    for cost, front in document["fronts"].items():
        if front:
            print_line()
            _print_front(cost, front)
    if "arrays" in document:
        print_line()
        _print_arrays(document["arrays"])
    if document["failures"]:
        print_line(f"\n{_failures_line(document['failures'])}")


def _failures_line(failures: list[dict[str, Any]]) -> str:
    first, count = failures[0], format_number(len(failures), "pair")
    where = f"{first['network']} on {first['device']}"
    return f"{count} could not be run, the first {where}: {first['error']}"


def _print_front(cost: str, front: list[dict[str, Any]]) -> None:
    from annette.explore.tradeoff_report import FRONT_COLUMNS, front_rows

    title = f"Pareto front of accuracy against {cost}"
    print_table(FRONT_COLUMNS, front_rows(front), left=2, title=title)


def _print_arrays(found: dict[str, Any]) -> None:
    costs = list(found["by_cost"])
    networks = [row["network"] for row in found["by_cost"][costs[0]]["networks"]]
    rows = []
    for index, name in enumerate(networks):
        own = [found["by_cost"][cost]["networks"][index] for cost in costs]
        rows.append((name, *(f"{item['shape']} {item['dataflow']} {item['split']}" for item in own)))
    common = [found["by_cost"][cost]["common"] for cost in costs]
    rows.append(("best for all", *(" ".join(item.values()) for item in common)))
    title = (
        f"the best of {found['choices']} systolic arrays of {found['macs']} cells with "
        f"{format_bytes(found['buffer_bytes'])} of buffers: shape, dataflow, what has most of the buffers"
    )
    print_table(("network", *(f"by {cost}" for cost in costs)), rows, left=4, title=title, bold_last=1)
    losses = ", ".join(f"{cost} {found['by_cost'][cost]['common_loss']:.2f}x" for cost in costs)
    print_line(f"the best for all costs, over each network's own best, on the mean: {losses}")
