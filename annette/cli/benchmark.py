"""``annette benchmark``: runs a campaign of benchmark networks on a device."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annette.cli.console import OutputFormat, print_json, print_line, print_table, progress_bar, stages
from annette.cli.options import DeviceOption, FormatOption, JobsOption, PlanOption, StoreOption
from annette.errors import UsageError
from annette.units import format_duration, format_fraction, format_number, format_seconds

if TYPE_CHECKING:
    from annette.benchmark.campaign import CampaignSummary
    from annette.store.records import Noise, StoreSummary

__all__ = ["benchmark", "print_campaign", "run_benchmark"]

STANDARD = "standard"
"""The plan where none is named."""
_NAMED = 5  # unstable networks, and reasons of failures, that are named one by one


def benchmark(
    device: DeviceOption,
    store: StoreOption,
    plan: PlanOption = STANDARD,
    suggested: Annotated[
        Path | None,
        typer.Option(
            "--suggested",
            metavar="FILE",
            help="In place of a plan, measure what annette suggest -o FILE wrote, into a store of any plan "
            "or a new one.",
        ),
    ] = None,
    jobs: JobsOption = 1,
    dask: Annotated[
        str | None,
        typer.Option(
            "--dask",
            metavar="SCHEDULER",
            help="Measure on the workers of a Dask cluster, as in tcp://10.0.0.1:8786; this process alone "
            "writes the store.",
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Also write networks and kernels as Parquet tables to this folder."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            help="Also write the whole campaign to this .parquet file, for annette train and replay:FILE.",
        ),
    ] = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Time small networks of all kinds on a device; stop it at any time and start it again.

    The plans cpu (20 minutes) and cpu-quick (5 minutes) are for processors, quick and standard for
    accelerators.

    Examples: annette benchmark --device onnxruntime --plan cpu --store cpu.db;
    annette benchmark --device zcu102-dpu --plan quick --store run.db --jobs 2
    """
    if suggested is not None and plan != STANDARD:
        raise UsageError(f"--suggested {suggested}: stands in place of --plan {plan}; give one of the two")
    document = run_benchmark(
        device, store, plan, suggested=suggested, jobs=jobs, dask=dask, export=export, record=record
    )
    if output is OutputFormat.JSON:
        print_json(document)
        return
    print_campaign(document)
    print_line(f"\nNext: annette train {shlex.quote(str(store))} --output my-platform")


def run_benchmark(
    device: str,
    store: Path,
    plan: str,
    *,
    suggested: Path | None = None,
    jobs: int,
    dask: str | None = None,
    export: Path | None = None,
    record: Path | None = None,
) -> dict[str, Any]:
    """Plan, time what the store lacks with a progress bar, and summarise as JSON types.

    With ``suggested`` the tasks of that file are appended instead, to a store of any plan.

    Raises
    ------
    UsageError
        If the device, the plan, the suggestion or the file to record to cannot be what was meant, if the Dask
        cluster cannot be used, or the device times one network at a time and is to run on a cluster.
    StoreError
        If the store belongs to another device or plan, or something cannot be written.
    """
    from annette.backends.registry import open_device
    from annette.benchmark.campaign import check_jobs, run_campaign
    from annette.benchmark.plan import load_plan, plan_campaign
    from annette.benchmark.suggested import KIND, add_suggested, open_for_suggested, read_suggested
    from annette.evaluation.adaptive import run_adaptive_campaign
    from annette.store.campaign import CampaignStore

    _check_outputs(export, record)
    backend = open_device(device)
    if dask is not None and backend.info.is_exclusive:
        raise UsageError(
            f"--dask {dask}: {backend.info.name} times one network at a time, here; start the command "
            "without --dask on the machine that has the device"
        )
    jobs = jobs if dask is None else -1
    check_jobs(jobs, backend.info)
    more = None if suggested is None else read_suggested(suggested)
    campaign = load_plan(plan)
    with (
        _workers(dask),
        CampaignStore.open_or_create(store, device=backend.info, plan=campaign.record)
        if more is None
        else open_for_suggested(store, device=backend.info, suggested=more) as kept,
    ):
        with stages(f"planning {campaign.name if more is None else KIND}"):
            tasks = plan_campaign(campaign) if more is None else add_suggested(kept, more)
        with progress_bar(f"benchmarking {backend.info.name}") as on_progress:
            ran = (
                run_adaptive_campaign(
                    campaign, backend, kept, tasks=tasks, jobs=jobs, on_progress=on_progress
                )
                if more is None
                else run_campaign(tasks, backend, kept, jobs=jobs, on_progress=on_progress)
            )
        name = kept.plan.name
        summary, noise = kept.summary(), kept.noise()
        written = [*(kept.export_parquet(export) if export is not None else ())]
        if record is not None:
            written.append(kept.export_campaign(record))
    return _campaign_document(store, backend.info.name, name, ran, summary, noise, written)


def _workers(dask: str | None) -> AbstractContextManager[object]:
    from annette.parallel import on_dask

    return nullcontext() if dask is None else on_dask(dask)


def _campaign_document(
    store: Path,
    device: str,
    plan: str,
    ran: CampaignSummary,
    summary: StoreSummary,
    noise: Noise,
    written: Sequence[Path],
) -> dict[str, Any]:
    """What the store holds and what this run did, as JSON types."""
    return {
        "schema_version": 1,
        "store": str(store),
        "device": device,
        "plan": plan,
        "planned": summary.planned,
        "measured": summary.measured,
        "failed": summary.failed,
        "done_before": ran.done_before,
        "done_now": ran.measured + ran.failed,
        "elapsed_s": ran.elapsed_s,
        "visits": summary.visits,
        "visits_per_benchmark": summary.visits_per_task,
        "visits_now": ran.visits,
        "unstable": [{"network": name, "spread_fraction": spread} for name, spread in ran.unstable],
        "noise": _noise_document(noise),
        "categories": dict(summary.categories),
        "failures": [{"reason": reason, "count": count} for reason, count in summary.failures],
        "exported": [str(path) for path in written],
    }


def _check_outputs(export: Path | None, record: Path | None) -> None:
    """Find out now, not after minutes, that a result could not be written."""
    from annette.store.recorded import require_pyarrow

    if export is not None or record is not None:
        require_pyarrow()
    if export is not None and export.exists() and not export.is_dir():
        raise UsageError(f"--export {export}: it is a file, expected a folder")
    if record is None:
        return
    if record.suffix != ".parquet" or record.is_dir():
        raise UsageError(f"--record {record}: expected a file name that ends in .parquet")
    if not os.access(record.parent, os.W_OK):
        raise UsageError(
            f"--record {record}: the folder {record.parent} does not exist or may not be written"
        )


def _noise_document(noise: Noise) -> dict[str, float | None]:
    return {
        "reference_s": noise.reference_s,
        "reference_drift_fraction": noise.drift_fraction,
        "load_fraction": noise.load_fraction,
        "peak_load_fraction": noise.peak_load_fraction,
    }


def print_campaign(document: dict[str, Any]) -> None:
    """How far the campaign is, what it holds, what failed, and what is not to be trusted."""
    rate = document["visits_now"] / document["elapsed_s"] if document["elapsed_s"] > 0 else 0.0
    print_line(
        f"{document['store']}: {document['measured']} of {document['planned']} benchmarks measured on "
        f"{document['device']}, {document['failed']} failed",
        bold=True,
    )
    each = document["visits_per_benchmark"]
    visits = f"; {document['visits_now']} visits, {each} or more of each" if each > 1 else ""
    print_line(
        f"{document['done_before']} done before, {document['done_now']} now in "
        f"{format_duration(document['elapsed_s'])}{visits} ({rate:{'.0f' if rate >= 10 else '.1f'}} a second)"
    )
    rows = [(name, str(count)) for name, count in document["categories"].items()]
    print_table(("category", "benchmarks"), rows)
    noise = _noise_line(document["noise"])
    if noise:
        print_line(noise)
    _print_unstable(document["unstable"], document["planned"])
    _print_failures(document["failures"])
    for path in document["exported"]:
        print_line(f"exported to {path}")


def _print_failures(failures: list[dict[str, Any]]) -> None:
    for failure in failures[:_NAMED]:
        print_line(f"failed {format_number(failure['count'], 'time')}: {failure['reason']}")
    if len(failures) > _NAMED:
        print_line(
            f"... and {format_number(len(failures) - _NAMED, 'more reason')} (--format json has them all)"
        )


def _noise_line(noise: dict[str, float | None]) -> str:
    parts = []
    drift, load, peak = noise["reference_drift_fraction"], noise["load_fraction"], noise["peak_load_fraction"]
    if noise["reference_s"] is not None and drift is not None:
        parts.append(
            f"the reference network took {format_seconds(noise['reference_s'])} and drifted by "
            f"{format_fraction(drift)} (divided out)"
        )
    if load is not None and peak is not None:
        parts.append(f"load of the machine {format_fraction(load)}, at times {format_fraction(peak)}")
    return "noise: " + "; ".join(parts) if parts else ""


def _print_unstable(unstable: list[dict[str, Any]], planned: int) -> None:
    if not unstable:
        return
    named = ", ".join(
        f"{item['network']} ({format_fraction(item['spread_fraction'])})" for item in unstable[:_NAMED]
    )
    more = f" and {len(unstable) - _NAMED} more" if len(unstable) > _NAMED else ""
    print_line(
        f"unstable: the visits of {len(unstable)} of {planned} benchmarks differ by more than 10 %: "
        f"{named}{more}"
    )
    print_line(
        "they were visited again without success and are kept as they are; if they are many, stop other "
        "programs or fix the clock's speed, and measure again into a new store"
    )
