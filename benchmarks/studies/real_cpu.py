"""How accurate a platform of a real device is on real networks that it never saw, measured in one session.

Measure on the quiet machine (can be stopped and resumed; every visit is kept), then score anywhere:

    python benchmarks/studies/real_cpu.py --measure-only --device onnxruntime --folder data/real-cpu
        [--group networks --group fresh ...] [--lookup onnxruntime:kernels=alone]
        [--plan cpu --store cpu.db] [--development]
    python benchmarks/studies/real_cpu.py --score-only --folder data/real-cpu --platform FOLDER

Networks are visited in interleaved rounds with the device's reference network between them.
FOLDER/evaluation.db keeps every visit; evaluation.parquet and repeats.json, which scoring reads, come of it.
With ``--plan`` a campaign runs in the same session, into ``--store`` and then campaign.parquet: a round of
the campaign, a round of the networks, a round of the look-up table, and so on. ``--development`` measures
the networks on which changes of the models are judged, which are no part of the evaluation, into a store of
their own; with ``--score-only`` it scores them in place of the evaluation.
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
from real_cpu_session import campaign_turn, run_session, tasks_turn
from real_cpu_tables import check_targets, markdown

from annette.backends.registry import open_device
from annette.benchmark.plan import load_plan
from annette.errors import AnnetteError
from annette.estimation.platform import Platform
from annette.evaluation.repeats import Repeats, find_repeats, read_repeats, write_repeats
from annette.evaluation.score import RecordedEvaluation, score_records
from annette.evaluation.suite_file import SuiteFile, read_suite_file
from annette.models.generator import generate_platform
from annette.store.campaign import CampaignStore
from annette.store.records import Task

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "data" / "suites" / "real-cpu.yaml"
GROUPS = ("networks", "fresh", "cells", "int8", "batch8")
DEVELOPMENT = "development"
EVALUATION = "evaluation"
SEED = 3


def evaluation_tasks(suite: SuiteFile, groups: Sequence[str]) -> tuple[Task, ...]:
    """The networks of the groups as tasks of a store of their own; never part of a campaign."""
    return tuple(
        Task(network=network, category="block", group=group, tags=(("suite", suite.name),))
        for group in groups
        for network in suite.networks(group)
    )


def measure(arguments: argparse.Namespace, groups: Sequence[str]) -> None:
    """Time what the stores lack: campaign, evaluation and look-up table in turns, a round of each."""
    suite, backend = read_suite_file(arguments.suite), open_device(arguments.device)
    turns = []
    if arguments.plan is not None:
        turns.append(campaign_turn(arguments.store, backend, load_plan(arguments.plan)))
    path = arguments.folder / f"{EVALUATION}.db"
    turns.append(tasks_turn(path, backend, evaluation_tasks(suite, groups), seed=SEED))
    if arguments.development:
        tasks = evaluation_tasks(suite, (DEVELOPMENT,))
        turns.append(tasks_turn(arguments.folder / f"{DEVELOPMENT}.db", backend, tasks, seed=SEED))
    if arguments.lookup is not None:
        tasks = evaluation_tasks(suite, groups[:1])
        turns.append(
            tasks_turn(arguments.folder / "lookup.db", open_device(arguments.lookup), tasks, seed=SEED)
        )
    run_session(turns)


def write_record(folder: Path, campaign: Path | None) -> None:
    """Make evaluation.parquet and repeats.json from the stores in ``folder``; campaign.parquet of another."""
    sources = [(campaign, "campaign"), (folder / f"{DEVELOPMENT}.db", DEVELOPMENT)]
    for path, name in sources:
        if path is not None and path.is_file():
            with CampaignStore.open(path) as store:
                store.export_campaign(folder / f"{name}.parquet")
    lookup_path = folder / "lookup.db"
    with CampaignStore.open(folder / f"{EVALUATION}.db") as store:
        store.export_campaign(folder / f"{EVALUATION}.parquet")
        if lookup_path.is_file():
            with CampaignStore.open(lookup_path) as lookup:
                repeats = find_repeats(store, lookup.records(partial=True))
        else:
            repeats = find_repeats(store)
    write_repeats(repeats, folder / "repeats.json")


def score(folder: Path, name: str, platform: Platform) -> tuple[RecordedEvaluation, dict[str, Any]]:
    """The platform against what ``folder`` recorded under ``name``, and the conditions of the measurement."""
    repeats_path = folder / "repeats.json"
    repeats = read_repeats(repeats_path) if repeats_path.is_file() else Repeats()
    with CampaignStore.open(folder / f"{name}.parquet") as store:
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


def _scored(arguments: argparse.Namespace) -> str:
    """The name of what is judged."""
    return DEVELOPMENT if arguments.development else EVALUATION


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, required=True, help="holds what is measured")
    parser.add_argument("--suite", type=Path, default=SUITE)
    parser.add_argument("--device", default="onnxruntime", help="what measures")
    parser.add_argument("--group", action="append", help=f"of the suite; by default {', '.join(GROUPS)}")
    parser.add_argument(
        "--lookup", help="device that times kernels alone: measures the group networks with it"
    )
    parser.add_argument(
        "--plan", help="also runs this campaign into --store, a round of it before each of the networks"
    )
    parser.add_argument(
        "--development", action="store_true", help="measures the group development too, or scores it"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--platform", type=Path, help="folder of the platform")
    source.add_argument("--store", type=Path, help="store or recorded campaign to train the platform from")
    parser.add_argument("--name", help="name of the platform that is trained")
    parser.add_argument("--output", help="name of the result; real_cpu, or real_cpu_development")
    steps = parser.add_mutually_exclusive_group()
    steps.add_argument("--measure-only", action="store_true")
    steps.add_argument("--score-only", action="store_true")
    arguments = parser.parse_args()
    if arguments.plan is not None and (arguments.store is None or arguments.score_only):
        parser.error("--plan runs a campaign: give --store FILE.db to keep it in, and not --score-only")
    if arguments.development and not (arguments.measure_only or arguments.score_only):
        parser.error("--development goes with --measure-only or with --score-only")
    if arguments.score_only and not (arguments.folder / f"{_scored(arguments)}.parquet").is_file():
        parser.error(f"{arguments.folder}: no {_scored(arguments)}.parquet; measure first")
    if not arguments.measure_only and arguments.platform is None and arguments.store is None:
        parser.error("to score, give --platform or --store; to measure alone, --measure-only")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    folder: Path = arguments.folder
    groups = tuple(arguments.group or GROUPS)
    if not arguments.score_only:
        measure(arguments, groups)
        write_record(folder, None if arguments.plan is None else arguments.store)
    if arguments.measure_only:
        return
    evaluation, conditions = score(folder, _scored(arguments), open_platform(arguments))
    document = evaluation.to_dict()
    result = {"conditions": conditions, "targets": check_targets(document), **document}
    output = arguments.output or ("real_cpu_development" if arguments.development else "real_cpu")
    path = record(output, result, seed=SEED)
    print(markdown(result))
    print(f"\nwritten to {path.name}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; what was measured is kept, the same command goes on from there")
    except AnnetteError as err:
        sys.exit(f"\nerror: {err}")
