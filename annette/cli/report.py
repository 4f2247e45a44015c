"""``annette report``: one HTML file that shows an estimate, an evaluation, a comparison or a campaign."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annette.cli.console import OutputFormat, print_json, print_line, stages
from annette.cli.options import (
    BatchOption,
    FormatOption,
    ModelOption,
    ShapeOption,
    check_model,
    open_accelerator_argument,
    open_network_argument,
    require_writable,
    write_output,
)
from annette.errors import UsageError

if TYPE_CHECKING:
    from annette.estimation.estimate import Estimate
    from annette.estimation.platform import Platform
    from annette.graph.network import Network
    from annette.hardware.accelerator import Accelerator

__all__ = ["report", "write_estimate_page", "write_page"]


def report(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A network (zoo:NAME, an ONNX file) with --platform; a campaign's store (RUN.db, or its "
            "Parquet file); or a file with what annette evaluate or annette compare --format json printed.",
        ),
    ],
    platform: Annotated[
        str | None,
        typer.Option(
            "--platform",
            "-p",
            help="For a network: the trained platform, a name (see annette platforms) or a folder.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write; an existing one is replaced.")
    ] = Path("report.html"),
    model: ModelOption = "mixed",
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            "-d",
            help="The description of the platform's device for the what-if sliders, as simulator:FILE.yaml, "
            "where it is no preset.",
        ),
    ] = None,
    shape: ShapeOption = None,
    batch: BatchOption = None,
    form: FormatOption = OutputFormat.TABLE,
) -> None:
    """Write one HTML file that shows WHAT; it needs no network and no annette to be read.

    Of a network: the estimate with verdict and interval, the graph of its kernels, timeline, roofline,
    shares, coverage, and sliders for another clock, bandwidth or array where the platform's device is a
    simulated one. Of an evaluation: predicted against measured, residuals and ranks of the four layer
    models. Of a comparison: both timelines, and what changed kernel by kernel. Of a campaign: what was
    measured, how steady it was, and what failed.

    Examples: annette report zoo:resnet50 --platform zcu102-dpu; annette report run.db -o run.html
    """
    check_model(model)
    require_writable("--output", output)
    kind = _kind(what, platform)
    if kind == "network":
        document = _report_network(
            what, platform, output, model=model, device=device, shapes=shape, batch=batch
        )
        _print_answer(document, form)
        return
    if platform is not None or device is not None or shape or batch is not None or model != "mixed":
        name = "a campaign's store" if kind == "campaign" else "a document"
        raise UsageError(
            f"{what}: is {name}; --platform, --model, --device, --shape and --batch are for networks"
        )
    document = _campaign_document(what) if kind == "campaign" else _document(what)
    write_page(document, output)
    _print_answer(document, form)


def write_estimate_page(
    network: Network,
    platform: Platform,
    estimate: Estimate,
    output: Path,
    *,
    option: str = "--output",
    accelerator: Accelerator | None = None,
) -> dict[str, Any]:
    """Write the page of an estimate to ``output``, say so on stderr, and give the document behind it.

    Without a description of the platform's device, it is looked for among the presets.
    """
    from annette.report.device import find_accelerator
    from annette.report.estimate_summary import summarise_estimate

    accelerator = accelerator or find_accelerator(platform.device)

    with stages("report") as on_stage:
        on_stage("simulating other clocks, bandwidths and arrays" if accelerator else "drawing")
        document = summarise_estimate(network, platform, estimate, accelerator=accelerator)
    write_page(document, output, option)
    return document


def _print_answer(document: dict[str, Any], form: OutputFormat) -> None:
    """What the page says first, or all that it shows."""
    from annette.report.page import headline

    if form is OutputFormat.JSON:
        print_json(document)
    else:
        print_line(headline(document), bold=True)


def write_page(document: dict[str, Any], output: Path, option: str = "--output") -> None:
    """Write the page of any document to ``output``, and say so on stderr."""
    from annette.report.page import render_page

    page = render_page(document)
    write_output(option, output, lambda: output.write_text(page, encoding="utf-8"))


def _kind(what: str, platform: str | None) -> str:
    """``network``, ``campaign`` or ``document``: by what stands at the beginning of the file."""
    from annette.store.documents import file_kind

    if what.startswith("zoo:"):
        return "network"
    if not Path(what).is_file():
        if platform is not None:
            return "network"  # which says that there is none
        raise UsageError(
            f"{what}: no such file; expected a network (zoo:NAME, an ONNX file) with --platform, a "
            "campaign's store, or a file with what annette evaluate or compare --format json printed"
        )
    kind = file_kind(what)
    if kind == "campaign":
        return kind
    return "document" if platform is None and kind == "json" else "network"


def _report_network(
    what: str,
    platform: str | None,
    output: Path,
    *,
    model: str,
    device: str | None,
    shapes: list[str] | None,
    batch: int | None,
) -> dict[str, Any]:
    from annette.estimation.catalogue import load_platform
    from annette.report.device import describes

    graph = open_network_argument(what, shapes, batch)
    if platform is None:
        raise UsageError(
            f"{what}: is a network; say on which platform by --platform (annette platforms lists them)"
        )
    trained = load_platform(platform)
    accelerator = None
    if device is not None:
        accelerator = open_accelerator_argument(device)
        if not describes(accelerator, trained.device):
            raise UsageError(
                f"--device {device}: is another device than that of platform {trained.name}, which was "
                f"trained on {trained.device.name}; expected its description, unchanged"
            )
    estimate = trained.estimate(graph, model=model)
    return write_estimate_page(graph, trained, estimate, output, accelerator=accelerator)


def _campaign_document(what: str) -> dict[str, Any]:
    from annette.report.campaign_summary import summarise_campaign
    from annette.store.campaign import CampaignStore

    with stages(f"reading {Path(what).name}"), CampaignStore.open(what) as store:
        return summarise_campaign(store)


def _document(what: str) -> dict[str, Any]:
    from annette.report.comparison_summary import is_comparison, summarise_comparison
    from annette.report.evaluation_summary import is_evaluation, summarise_evaluation
    from annette.store.documents import read_document

    document = read_document(what, "what annette evaluate or compare --format json prints")
    if is_comparison(document):
        return summarise_comparison(document, what)
    if not is_evaluation(document):
        raise UsageError(
            f"{what}: found no evaluation and no comparison in it; expected what annette evaluate or compare "
            "--format json prints, or for a network --platform"
        )
    return summarise_evaluation(document, what)
