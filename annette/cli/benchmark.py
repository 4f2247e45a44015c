"""``annette benchmark``: runs a campaign of benchmark networks on a device."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from annette.cli.console import OutputFormat, print_json, print_line, print_table, progress_bar, stages
from annette.cli.options import DeviceOption, FormatOption, JobsOption, StoreOption
from annette.units import format_duration

__all__ = ["benchmark", "print_campaign", "run_benchmark"]


def benchmark(
    device: DeviceOption,
    store: StoreOption,
    plan: Annotated[
        str, typer.Option("--plan", help="A campaign plan: standard, quick, or a YAML file.")
    ] = "standard",
    jobs: JobsOption = 1,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Also write networks and kernels as Parquet to this folder."),
    ] = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Time micro-kernels, sweeps and blocks on a device; stop it at any time and start it again.

    Example: annette benchmark --device zcu102-dpu --plan quick --store run.db --jobs 2
    """
    document = run_benchmark(device, store, plan, jobs=jobs, export=export)
    if output is OutputFormat.JSON:
        print_json(document)
        return
    print_campaign(document)
    print_line(f"\nNext: annette train {shlex.quote(str(store))} --output my-platform")


def run_benchmark(
    device: str, store: Path, plan: str, *, jobs: int, export: Path | None = None
) -> dict[str, Any]:
    """Plan, time what the store lacks with a progress bar, and summarise as JSON types."""
    from annette.backends.registry import open_device
    from annette.benchmark.campaign import run_campaign
    from annette.benchmark.plan import load_plan, plan_campaign
    from annette.store.campaign import CampaignStore

    backend = open_device(device)
    campaign = load_plan(plan)
    with CampaignStore.open_or_create(store, device=backend.info, plan=campaign.record) as kept:
        with stages(f"planning {campaign.name}"):
            tasks = plan_campaign(campaign)
        with progress_bar(f"benchmarking {backend.info.name}") as on_progress:
            ran = run_campaign(tasks, backend, kept, jobs=jobs, on_progress=on_progress)
        summary = kept.summary()
        written = kept.export_parquet(export) if export is not None else ()
    return {
        "schema_version": 1,
        "store": str(store),
        "device": backend.info.name,
        "plan": campaign.name,
        "planned": summary.planned,
        "measured": summary.measured,
        "failed": summary.failed,
        "done_before": ran.done_before,
        "done_now": ran.measured + ran.failed,
        "elapsed_s": ran.elapsed_s,
        "categories": dict(summary.categories),
        "failures": [{"reason": reason, "count": count} for reason, count in summary.failures],
        "exported": [str(path) for path in written],
    }


def print_campaign(document: dict[str, Any]) -> None:
    """How far the campaign is, what it holds, and what failed."""
    rate = document["done_now"] / document["elapsed_s"] if document["elapsed_s"] > 0 else 0.0
    print_line(
        f"{document['store']}: {document['measured']} of {document['planned']} benchmarks measured on "
        f"{document['device']}, {document['failed']} failed",
        bold=True,
    )
    print_line(
        f"{document['done_before']} done before, {document['done_now']} now in "
        f"{format_duration(document['elapsed_s'])} ({rate:.0f} a second)"
    )
    rows = [(name, str(count)) for name, count in document["categories"].items()]
    print_table(("category", "benchmarks"), rows)
    for failure in document["failures"]:
        print_line(f"failed {failure['count']} times: {failure['reason']}")
    for path in document["exported"]:
        print_line(f"exported to {path}")
