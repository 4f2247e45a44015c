"""``annette demo``: the whole chain, from a benchmarked device to predictions beside measurements."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from annette.cli.benchmark import print_campaign, run_benchmark
from annette.cli.console import print_line, progress_bar
from annette.cli.evaluate import print_evaluation
from annette.cli.options import DeviceOption, JobsOption, PlanOption, SeedOption
from annette.cli.train import train_platform
from annette.units import format_duration

__all__ = ["demo", "plan_name"]


def demo(
    folder: Annotated[
        Path, typer.Option("--folder", help="Where the campaign and the platform are kept.")
    ] = Path("demo"),
    device: DeviceOption = "zcu102-dpu",
    plan: PlanOption = "standard",
    suite: Annotated[str, typer.Option("--suite", help="The networks to predict.")] = "classic12",
    seed: SeedOption = 0,
    jobs: JobsOption = 1,
) -> None:
    """Benchmark a simulated device, train a platform, and predict networks that were never measured.

    Example: annette demo --plan quick
    """
    from annette.backends.registry import open_device
    from annette.benchmark.plan import load_plan
    from annette.evaluation.suite import evaluate_suite
    from annette.zoo.suites import iterate_members

    start = time.perf_counter()
    backend = open_device(device)
    load_plan(plan)
    iterate_members(suite)  # a wrong name is found now, not after minutes
    folder.mkdir(parents=True, exist_ok=True)
    store, trained = folder / f"{backend.info.name}-{plan_name(plan)}.db", folder / backend.info.name
    print_line(f"1. Benchmark {backend.info.name} with the {plan_name(plan)} campaign", bold=True)
    print_campaign(run_benchmark(device, store, plan, jobs=jobs))
    print_line("\n2. Train a platform on these measurements", bold=True)
    platform = train_platform(store, trained, seed=seed, force=True)
    families = len(platform.layer_models.parameters.families) - 1
    print_line(
        f"{platform.metrics['measured_kernels']} kernels in {families} "
        f"families, {len(platform.describe())} mapping rules; kept in {trained}"
    )
    print_line(f"\n3. Predict the networks of {suite}, none of which was measured for training", bold=True)
    with progress_bar(f"measuring {suite}") as on_progress:
        answer = evaluate_suite(
            platform, suite, device=backend, seed=seed, jobs=jobs, on_progress=on_progress
        )
    print_evaluation(answer.to_dict())
    print_line(
        f"\ndone in {format_duration(time.perf_counter() - start)}; next: "
        f"annette estimate zoo:resnet50 --platform {trained}"
    )


def plan_name(plan: str) -> str:
    """The name of a plan, whether given as a name or as a file."""
    return Path(plan).stem
