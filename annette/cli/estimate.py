"""``annette estimate``: predicts the latency and the energy of one network from a trained platform."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annette.cli.calibrated import estimate_calibrated
from annette.cli.console import OutputFormat, print_json, print_line, verdict_tone
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
    require_writable,
)
from annette.cli.report import write_estimate_page
from annette.errors import UsageError
from annette.units import (
    format_bytes,
    format_count,
    format_fraction,
    format_joules,
    format_number,
    format_seconds,
)

if TYPE_CHECKING:
    from annette.estimation.verdict import Verdict

__all__ = ["estimate"]


def estimate(
    network: NetworkArgument,
    platform: PlatformOption,
    model: ModelOption = "mixed",
    shape: ShapeOption = None,
    batch: BatchOption = None,
    show_all: Annotated[bool, typer.Option("--all", "-a", help="Print every kernel.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE", help="Also write the report, one HTML file (see annette report)."
        ),
    ] = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Predict how long NETWORK runs, and what energy it takes if the platform knows, without the device.

    Example: annette estimate zoo:resnet50 --platform zcu102-dpu
    """
    from annette.estimation.catalogue import load_platform
    from annette.graph.work import network_work
    from annette.store.calibrated_folder import is_calibrated

    check_model(model)
    require_writable("--html", html)
    if is_calibrated(platform):
        if html is not None:
            raise UsageError(f"--html: {platform} knows no kernels, and a report shows them; leave it away")
        estimate_calibrated(
            network, platform, model=model, shapes=shape, batch=batch, show_all=show_all, output=output
        )
        return
    graph = open_network_argument(network, shape, batch)
    trained = load_platform(platform)
    answer = trained.estimate(graph, model=model)
    if html is not None:
        write_estimate_page(graph, trained, answer, html, option="--html")
    document: dict[str, Any] = answer.to_dict()
    if output is OutputFormat.JSON:
        print_json(document)
        return
    work = network_work(graph)
    energy = "" if answer.energy_j is None else f", {format_joules(answer.energy_j)}"
    print_line(
        f"{document['network']} on {document['platform']}: {format_seconds(document['latency_s'])}"
        f"{_interval(document['interval_s'])}{energy}",
        bold=True,
    )
    print_line(_verdict(answer.verdict), tone=verdict_tone(answer.verdict.level))
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
        alone = format_seconds(document["latency_s"] - beyond_s)
        print_line(
            f"beyond the kernels: {_signed_seconds(beyond_s)}, {share} of the latency; their sum is {alone}"
        )
    print_line(_coverage(document["coverage"], bool(document["kernels"])))


def _interval(interval_s: list[float] | None) -> str:
    if interval_s is None:
        return ""
    low, high = (format_seconds(value) for value in interval_s)
    return f" (90 % interval {low} to {high})"


def _verdict(verdict: Verdict) -> str:
    return (
        f"verdict: {' '.join((verdict.title + '.' if verdict.reasons else verdict.title, *verdict.reasons))}"
    )


def _signed_seconds(value_s: float) -> str:
    return f"-{format_seconds(-value_s)}" if value_s < 0 else format_seconds(value_s)


def _coverage(coverage: dict[str, Any], has_kernels: bool) -> str:
    if not has_kernels:
        return "no kernel is expected to run: the network has no layers, or all of them vanish on this device"
    modelled = format_fraction(coverage["modelled_fraction"])
    notes = [f"coverage: {modelled} of the latency comes from kernel families that were measured"]
    generic, outside = coverage["generic_kernels"], coverage["out_of_range_kernels"]
    if generic:
        notes.append(
            f"{format_fraction(generic)} from the generic model, since too few kernels like "
            f"{', '.join(coverage['generic_operators'])} were measured"
        )
    if coverage["unseen_fraction"]:
        notes.append(
            f"{format_fraction(coverage['unseen_fraction'])} from operators that were never measured here: "
            f"{', '.join(coverage['unseen_operators'])}"
        )
    if outside:
        notes.append(
            f"{format_fraction(outside)} from kernels whose sizes or operators lie outside what was "
            "measured: take that part as a guess"
        )
    if coverage["host_layers"]:
        layers = format_number(len(coverage["host_layers"]), "layer")
        notes.append(f"{format_fraction(coverage['host_fraction'])} from {layers} placed on the host")
    return "; ".join(notes)
