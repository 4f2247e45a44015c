"""``annette explain``: which ceilings a network runs into on a device, and what raising them would give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annette.cli.console import OutputFormat, print_json, print_line, print_table
from annette.cli.options import (
    BatchOption,
    DeviceOption,
    FormatOption,
    NetworkArgument,
    SetOption,
    ShapeOption,
    change_by_settings,
    open_accelerator_argument,
    open_network_argument,
    parse_settings,
)
from annette.errors import UsageError
from annette.units import format_count, format_fraction, format_joules, format_number, format_seconds

if TYPE_CHECKING:
    from annette.graph.network import Network
    from annette.hardware.accelerator import Accelerator
    from annette.simulator.nvdla_sheet import SheetResult

__all__ = ["explain"]

_DEFAULT_TOP = 10
_LEAST_GAIN = 1.0005
"""Speed-ups below are called none: they would print as 1.00x."""


def explain(
    network: NetworkArgument,
    device: DeviceOption,
    top: Annotated[
        int | None,
        typer.Option(
            "--top", min=1, help=f"How many kernels and changes to print; by default {_DEFAULT_TOP}."
        ),
    ] = None,
    settings: SetOption = None,
    sheet: Annotated[
        str | None,
        typer.Option(
            "--sheet",
            help="For an NVDLA: its public performance sheet instead, by the rules of that for alexnet (each "
            "tensor crosses the bus once) or resnet50 (what does not fit is read again).",
        ),
    ] = None,
    shape: ShapeOption = None,
    batch: BatchOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Say why NETWORK takes as long as it does on a simulated accelerator, and what would help.

    Each kernel has ceilings: the array's peak, the array as the kernel fills it, every memory, the vector
    unit, the host, what it costs to start. The highest binds. What-if changes the description of the device,
    twice as much of one thing or as good as free, and simulates the network anew.

    Example: annette explain zoo:resnet50 --device nvdla-full
    """
    if sheet is not None and top is not None:
        raise UsageError("--top with --sheet: the sheet has a row for every layer; leave --top away")
    accelerator = change_by_settings(open_accelerator_argument(device), settings)
    graph = open_network_argument(network, shape, batch)
    if sheet is not None:
        _explain_by_sheet(graph, accelerator, sheet, output, settings or ())
        return
    from annette.explore.explain import explain_network

    document = explain_network(graph, accelerator).to_dict()
    if output is OutputFormat.JSON:
        print_json({"schema_version": 1, "settings": parse_settings(settings or ()), **document})
        return
    if not document["kernels"]:
        print_line(
            f"{graph.name} on {_changed_name(accelerator, settings or ())}: no kernels, nothing takes time"
        )
        return
    top = top or _DEFAULT_TOP
    energy_j = document["energy_j"]
    costs = format_seconds(document["latency_s"]) + (
        "" if energy_j is None else f", {format_joules(energy_j)}"
    )
    print_line(
        f"{graph.name} on {_changed_name(accelerator, settings or ())}: {costs} in "
        f"{format_number(len(document['kernels']), 'kernel')}\n",
        bold=True,
    )
    _print_causes(document["root_causes"])
    _print_kernels(document["kernels"], top)
    _print_changes(document["what_if"], top)


def _changed_name(accelerator: Accelerator, settings: Sequence[str]) -> str:
    """The accelerator's name, and what ``--set`` changed of it."""
    return f"{accelerator.name} with {', '.join(settings)}" if settings else accelerator.name


def _print_causes(causes: Sequence[dict[str, Any]]) -> None:
    rows = [
        (
            item["ceiling"],
            str(item["kernels"]),
            format_seconds(item["latency_s"]),
            format_fraction(item["fraction"]),
            format_fraction(item["at_ceiling_fraction"]),
        )
        for item in causes
    ]
    columns = ("ceiling that binds", "kernels", "latency", "share", "at the ceiling")
    print_table(columns, rows, title="root causes")
    print_line()


def _print_kernels(kernels: Sequence[dict[str, Any]], top: int) -> None:
    slowest = sorted(kernels, key=lambda item: -item["latency_s"])[:top]
    rows = [
        (
            item["name"],
            item["unit"],
            format_seconds(item["latency_s"]),
            format_fraction(item["fraction"]),
            item["ceiling"],
            format_fraction(item["at_ceiling_fraction"]),
            "-" if item["second_ceiling"] is None else item["second_ceiling"],
            "-" if item["second_fraction"] is None else format_fraction(item["second_fraction"]),
        )
        for item in slowest
    ]
    columns = ("kernel", "unit", "latency", "share", "ceiling", "at it", "second", "of the first")
    print_table(columns, rows, left=2, title="slowest kernels")
    print_line()


def _print_changes(changes: Sequence[dict[str, Any]], top: int) -> None:
    useful = [item for item in changes if item["removed_speed_up"] >= _LEAST_GAIN]
    rows = [
        (
            item["ceiling"],
            ", ".join(item["fields"][:2]) + (", ..." if len(item["fields"]) > 2 else ""),
            f"{item['doubled_speed_up']:.2f}x",
            f"{item['removed_speed_up']:.2f}x",
        )
        for item in useful[:top]
    ]
    columns = ("what if", "fields", "twice as good", "free")
    print_table(columns, rows, left=2, title="speed-up of the network")
    rest = [item["ceiling"] for item in changes if item not in useful]
    if len(useful) > top:
        print_line(f"... and {format_number(len(useful) - top, 'more change')} that help (--top prints more)")
    if rest:
        print_line(f"no gain from: {', '.join(rest)}")


def _explain_by_sheet(
    graph: Network, accelerator: Accelerator, sheet: str, output: OutputFormat, settings: Sequence[str]
) -> None:
    from annette.simulator.ceilings import find_root_causes, study_what_if
    from annette.simulator.nvdla_accelerator import sheet_description
    from annette.simulator.nvdla_layers import sheet_network
    from annette.simulator.nvdla_sheet import evaluate_sheet

    npu, rows = sheet_description(accelerator, sheet), sheet_network(graph)
    result = evaluate_sheet(rows.layers, npu)
    if output is OutputFormat.JSON:
        causes, changes = find_root_causes(result.ceilings), study_what_if(result.ceilings)
        print_json(
            {
                "schema_version": 1,
                "settings": parse_settings(settings),
                "network": graph.name,
                "device": accelerator.name,
                "sheet": sheet,
                "cycles": result.total_cycles,
                "frames_per_s": result.frames_per_s,
                "columns": result.columns(),
                "left_out": list(rows.left_out),
                "root_causes": {item.ceiling: item.fraction for item in causes},
                "what_if": {item.ceiling: [item.doubled_speed_up, item.removed_speed_up] for item in changes},
            }
        )
        return
    name = _changed_name(accelerator, settings)
    print_line(f"{graph.name} on {name} by the rules of NVDLA's sheet for {sheet}\n", bold=True)
    _print_sheet(result)
    if rows.left_out:
        print_line(f"cost nothing on the sheet: {', '.join(rows.left_out)}")


def _print_sheet(result: SheetResult) -> None:
    from annette.simulator.ceilings import find_root_causes, study_what_if

    causes, changes = find_root_causes(result.ceilings), study_what_if(result.ceilings)
    titles = tuple(f"{name} cycles" for name in result.ceilings.names)
    cells = list(_sheet_cells(result))
    print_table(("layer", *titles, "max", "long pole"), cells)
    if len(cells) < len(result.ceilings.layers):
        print_line("NAME xN: the layer's N equal groups one after the other, cycles of all of them")
    print_line(
        f"\ntotal {result.total_cycles:,.2f} cycles, {format_seconds(1 / result.frames_per_s)}, "
        f"{result.frames_per_s:.4g} frames/s",
        bold=True,
    )
    print_line(
        "root causes: " + ", ".join(f"{item.ceiling} {format_fraction(item.fraction)}" for item in causes)
    )
    print_line(
        "what if twice as fast, or free: "
        + ", ".join(
            f"{item.ceiling} {item.doubled_speed_up:.2f}x, {item.removed_speed_up:.2f}x" for item in changes
        )
    )


def _sheet_cells(result: SheetResult) -> Iterator[tuple[str, ...]]:
    """A row a layer; equal rows of one layer that follow each other, its groups, are one with their sum."""
    ceilings = result.ceilings
    rows = zip(ceilings.layers, map(tuple, ceilings.cycles.tolist()), ceilings.long_poles, strict=True)
    for (name, cycles, pole), same in groupby(rows):
        count = len(list(same))
        label = name if count == 1 else f"{name} x{count}"
        yield (label, *(format_count(count * value) for value in (*cycles, max(cycles))), pole)
