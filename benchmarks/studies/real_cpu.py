"""How accurate a platform of a real device is on real networks that it never saw, measured in one session.

Measure on the quiet machine (can be stopped and resumed; every visit is kept), then score anywhere:

    python benchmarks/studies/real_cpu.py --measure-only --device onnxruntime --folder data/real-cpu
        [--group networks --group cells --group int8 --group batch8] [--lookup onnxruntime:kernels=alone]
    python benchmarks/studies/real_cpu.py --score-only --folder data/real-cpu --platform FOLDER

Networks are visited in interleaved rounds with the device's reference network between them.
FOLDER/evaluation.db keeps every visit; evaluation.parquet and repeats.json, which scoring reads, come of it.
``--store`` trains the platform from a store of a campaign in place of ``--platform``. Scoring writes
benchmarks/results/OUTPUT.json: errors of the four layer models with the predicted mapping and the own one of
the device, of the sum of kernels timed alone (an ideal look-up table), and of the measurement against itself.
The targets are those of this project.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from provenance import record
from real_cpu_tables import check_targets, markdown

from annette.backends.registry import open_device
from annette.benchmark.campaign import run_campaign
from annette.estimation.platform import Platform
from annette.evaluation.repeats import Repeats, find_repeats, read_repeats, write_repeats
from annette.evaluation.score import RecordedEvaluation, score_records
from annette.evaluation.suite_file import SuiteFile, read_suite_file
from annette.models.generator import generate_platform
from annette.store.campaign import CampaignStore
from annette.store.records import PlanRecord, Task

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "data" / "suites" / "real-cpu.yaml"
GROUPS = ("networks", "cells", "int8", "batch8")
SEED = 3


def evaluation_tasks(suite: SuiteFile, groups: Sequence[str]) -> tuple[Task, ...]:
    """The networks of the groups as tasks of a store of their own; never part of a campaign."""
    return tuple(
        Task(network=network, category="block", group=group, tags=(("suite", suite.name),))
        for group in groups
        for network in suite.networks(group)
    )


def measure(device: str, tasks: Sequence[Task], path: Path) -> None:
    """Time what the store at ``path`` lacks, in rounds over all networks."""
    backend = open_device(device)
    plan = PlanRecord(name="evaluation", seed=SEED, text="\n".join(task.id for task in tasks))
    path.parent.mkdir(parents=True, exist_ok=True)
    with CampaignStore.open_or_create(path, device=backend.info, plan=plan) as store:
        summary = run_campaign(tasks, backend, store, on_progress=_progress)
        noise = store.noise()
    print(
        f"\n{path.name}: {summary.measured} measured now, {summary.failed} failed, {noise}", file=sys.stderr
    )
    for reason, count in summary.failures:
        print(f"  failed {count}x: {reason}", file=sys.stderr)


def _progress(done: int, total: int, failed: int) -> None:
    print(f"\r{done}/{total}, {failed} failed", end="", file=sys.stderr, flush=True)


def write_record(folder: Path) -> None:
    """Make evaluation.parquet and repeats.json from the stores in ``folder``."""
    lookup_path = folder / "lookup.db"
    with CampaignStore.open(folder / "evaluation.db") as store:
        store.export_campaign(folder / "evaluation.parquet")
        if lookup_path.is_file():
            with CampaignStore.open(lookup_path) as lookup:
                repeats = find_repeats(store, lookup.records())
        else:
            repeats = find_repeats(store)
    write_repeats(repeats, folder / "repeats.json")


def score(folder: Path, platform: Platform) -> tuple[RecordedEvaluation, dict[str, Any]]:
    """The platform against what ``folder`` recorded, and the conditions of the measurement."""
    repeats_path = folder / "repeats.json"
    repeats = read_repeats(repeats_path) if repeats_path.is_file() else Repeats()
    with CampaignStore.open(folder / "evaluation.parquet") as store:
        evaluation = score_records(platform, store.records(), repeats=repeats)
        noise = store.noise()
        conditions = {
            "device": store.device.name,
            "environment": dict(store.device.environment),
            "visits": store.device.visits,
            "measured_with": store.provenance,
            "reference_s": noise.reference_s,
            "load_fraction": noise.load_fraction,
        }
    return evaluation, conditions


def open_platform(arguments: argparse.Namespace) -> Platform:
    """The platform that was named, or the one that a campaign's store gives."""
    if arguments.platform is not None:
        return Platform.load(arguments.platform)
    with CampaignStore.open(arguments.store) as store:
        return Platform.from_parts(generate_platform(store, name=arguments.name))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, required=True, help="holds what is measured")
    parser.add_argument("--suite", type=Path, default=SUITE)
    parser.add_argument("--device", default="onnxruntime", help="what measures")
    parser.add_argument("--group", action="append", help=f"of the suite; by default {', '.join(GROUPS)}")
    parser.add_argument(
        "--lookup", help="device that times kernels alone: measures the group networks with it"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--platform", type=Path, help="folder of the platform")
    source.add_argument("--store", type=Path, help="store or recorded campaign to train the platform from")
    parser.add_argument("--name", help="name of the platform that is trained")
    parser.add_argument("--output", default="real_cpu", help="name of the result")
    steps = parser.add_mutually_exclusive_group()
    steps.add_argument("--measure-only", action="store_true")
    steps.add_argument("--score-only", action="store_true")
    arguments = parser.parse_args()
    if not arguments.measure_only and arguments.platform is None and arguments.store is None:
        parser.error("to score, give --platform or --store; to measure alone, --measure-only")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    folder: Path = arguments.folder
    groups = tuple(arguments.group or GROUPS)
    if not arguments.score_only:
        suite = read_suite_file(arguments.suite)
        measure(arguments.device, evaluation_tasks(suite, groups), folder / "evaluation.db")
        if arguments.lookup:
            measure(arguments.lookup, evaluation_tasks(suite, groups[:1]), folder / "lookup.db")
        write_record(folder)
    if arguments.measure_only:
        return
    evaluation, conditions = score(folder, open_platform(arguments))
    document = evaluation.to_dict()
    result = {"conditions": conditions, "targets": check_targets(document), **document}
    path = record(arguments.output, result, seed=SEED)
    print(markdown(result))
    print(f"\nwritten to {path.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
