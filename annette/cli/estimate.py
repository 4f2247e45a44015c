"""``annette estimate``: predicts the latency and the energy of one network from a trained platform."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from annette.cli.console import OutputFormat, print_json, print_line
from annette.cli.kernels import print_kernels
from annette.cli.options import (
    BatchOption,
    FormatOption,
    ModelOption,
    NetworkArgument,
    PlatformOption,
    ShapeOption,
    check_model,
    open_network_argument,
)
from annette.units import format_bytes, format_count, format_fraction, format_joules, format_seconds

__all__ = ["estimate"]


def estimate(
    network: NetworkArgument,
    platform: PlatformOption,
    model: ModelOption = "mixed",
    shape: ShapeOption = None,
    batch: BatchOption = None,
    show_all: Annotated[bool, typer.Option("--all", "-a", help="Print every kernel.")] = False,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Predict how long NETWORK runs, and what energy it takes if the platform knows, without the device.

    Example: annette estimate zoo:resnet50 --platform zcu102-dpu
    """
    import annette
    from annette.graph.work import network_work

    check_model(model)
    graph = open_network_argument(network, shape, batch)
    answer = annette.load(platform).estimate(graph, model=model)
    document: dict[str, Any] = answer.to_dict()
    if output is OutputFormat.JSON:
        print_json(document)
        return
    work = network_work(graph)
    energy = "" if answer.energy_j is None else f", {format_joules(answer.energy_j)}"
    print_line(
        f"{document['network']} on {document['platform']}: {format_seconds(document['latency_s'])}{energy}",
        bold=True,
    )
    print_line(
        f"{model} model; {format_count(work.macs, 'MAC')}, {format_count(work.params)} parameters "
        f"({format_bytes(work.weight_bytes)} in the file), {len(graph.layers)} layers in "
        f"{len(document['kernels'])} kernels\n"
    )
    print_kernels(
        document["kernels"], document["latency_s"] - document.get("overhead_s", 0.0), show_all=show_all
    )
    if "overhead_s" in document:
        beyond_s = document["overhead_s"]
        share = format_fraction(beyond_s / document["latency_s"]) if beyond_s else "nothing"
        print_line(f"beyond the kernels: {_signed_seconds(beyond_s)}, {share} of the latency")
    print_line(_coverage(document["coverage"], bool(document["kernels"])))


def _signed_seconds(value_s: float) -> str:
    return f"-{format_seconds(-value_s)}" if value_s < 0 else format_seconds(value_s)


def _coverage(coverage: dict[str, Any], has_kernels: bool) -> str:
    if not has_kernels:
        return "no kernel is expected to run: the network has no layers, or all of them vanish on this device"
    generic, outside = coverage["generic_kernels"], coverage["out_of_range_kernels"]
    modelled = format_fraction(coverage["modelled_fraction"])
    text = f"coverage: {modelled} of the latency comes from kernel families that were measured"
    notes = []
    if generic:
        notes.append(
            f"{format_fraction(generic)} from the generic model, since too few kernels like "
            f"{', '.join(coverage['generic_operators'])} were measured"
        )
    if outside:
        notes.append(
            f"{format_fraction(outside)} from kernels whose sizes or operators lie outside what was "
            "measured: take that part as a guess"
        )
    return "; ".join((text, *notes))
