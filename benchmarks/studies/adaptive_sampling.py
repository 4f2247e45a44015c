"""What adaptive sampling gains over random sampling at the same budget: learning curves over a measured pool.

    python benchmarks/studies/adaptive_sampling.py [--device zcu102-dpu] [--plan standard] [--seeds 3]
    python benchmarks/studies/adaptive_sampling.py --store cpu.db

A large pool of benchmarks is measured once (or read from a recorded campaign). For each budget and seed, one
model learns from so many benchmarks drawn at random from the pool, another from the same number of which the
last part was drawn in steps, by the cross-validated errors of what was drawn before: `family_needs` and
`source_weights` as in `annette benchmark`. Both are judged on networks that are never in the pool: the zoo's
suites on a simulated device; of a recorded campaign, a third of its synthetic networks. Their mapping is the
device's own, so that the error is the layer models' alone.

A budget counts benchmarks. Where a pool mixes single layers and blocks, adaptive draws may hold more kernels
than random ones of the same number; how many is in the result, and a comparison must look at it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from provenance import record

from annette.backends.protocol import Backend
from annette.backends.registry import open_device
from annette.benchmark.adaptation import is_whole_network, plan_sources
from annette.benchmark.campaign import measure_network, run_campaign
from annette.benchmark.plan import CampaignPlan, load_plan, plan_campaign
from annette.evaluation.adaptive import family_needs, source_weights
from annette.graph.network import Network
from annette.measurement import DeviceInfo, Measurement
from annette.models.kernel_table import build_kernel_table
from annette.models.layer_fit import fit_layer_models
from annette.models.training import training_data
from annette.store.campaign import CampaignStore
from annette.store.records import Record, Task
from annette.zoo.suites import suite_networks

SUITES = ("classic12", "modern12")
SHARE, STEPS = 0.3, 2
TEST_SHARE = 1 / 3

Judged = tuple[Network, Measurement]
"""A network and what the device said of it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="zcu102-dpu", help="simulated device that measures the pool")
    parser.add_argument("--plan", default="standard", help="plan of the pool")
    parser.add_argument("--store", type=Path, help="take the pool from this recorded campaign instead")
    parser.add_argument("--budgets", type=int, nargs="+", default=[150, 300, 600, 1200])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--name", default="adaptive_sampling", help="of the result file")
    arguments = parser.parse_args()
    plan = load_plan(arguments.plan)
    start = time.perf_counter()
    if arguments.store is None:
        pool, judged, device = simulated(arguments.device, plan)
    else:
        pool, judged, device = recorded(arguments.store)
    print(f"{len(pool)} benchmarks in the pool, {len(judged)} networks to judge by, {device.name}")
    rows = []
    for budget in (item for item in arguments.budgets if item < 0.7 * len(pool)):
        for seed in range(arguments.seeds):
            rng = np.random.default_rng((budget, seed))
            drawn = pick(pool, {}, budget, rng)
            chosen = adaptively(plan, pool, budget, device, rng)
            row = {"budget": budget, "seed": seed}
            for way, items in (("random", drawn), ("adaptive", chosen)):
                row[way] = score(items, judged, device, seed)
            rows.append(row)
            print(
                f"budget {budget:5d} seed {seed}: random {row['random']['network_mape']:.1%} "
                f"adaptive {row['adaptive']['network_mape']:.1%}"
            )
    curves = summarise(rows)
    for curve in curves:
        print(curve)
    path = record(
        arguments.name,
        {
            "device": device.name,
            "plan": plan.name if arguments.store is None else arguments.store.name,
            "pool": len(pool),
            "judged": [network.name for network, _ in judged],
            "share": SHARE,
            "steps": STEPS,
            "elapsed_s": time.perf_counter() - start,
            "curves": curves,
            "runs": rows,
        },
        seed=arguments.seeds,
    )
    print(path)


# The pool ----------------------------------------------------------------------------------------------


def simulated(name: str, plan: CampaignPlan) -> tuple[list[Record], list[Judged], DeviceInfo]:
    """The plan's benchmarks without its sweeps, and the zoo's suites, measured on a simulated device."""
    backend: Backend = open_device(name)
    tasks = [task for task in plan_campaign(plan) if task.category != "sweep"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.db"
        with CampaignStore.create(path, device=backend.info, plan=plan.record) as store:
            run_campaign(tasks, backend, store)
            pool = [item for item in store.records() if item.measurement.error is None]
    networks = [network for suite in SUITES for network in suite_networks(suite)]
    judged = [(network, measure_network(backend, network, index)) for index, network in enumerate(networks)]
    return pool, [item for item in judged if item[1].error is None], backend.info


def recorded(path: Path) -> tuple[list[Record], list[Judged], DeviceInfo]:
    """A recorded campaign's benchmarks; every third of its synthetic networks is kept for judging."""
    with CampaignStore.open(path) as store:
        kept = [item for item in store.records() if item.measurement.error is None]
        device = store.device
    pool: list[Record] = []
    judged: list[Judged] = []
    whole = 0
    for item in kept:
        whole += is_whole_network(item.task)
        if is_whole_network(item.task) and whole % round(1 / TEST_SHARE) == 0:
            judged.append((item.task.network, item.measurement))
        else:
            pool.append(item)
    return pool, judged, device


# Drawing -----------------------------------------------------------------------------------------------


def sources(task: Task) -> list[str]:
    """What a task was drawn from; of a mosaic all its pieces' kinds."""
    kind = task.tag("kind") or ""
    if kind.startswith("mosaic"):
        return [f"{kind}/{piece}" for piece in (task.tag("pieces") or "").split(",")]
    return [f"network/{kind}" if is_whole_network(task) else f"{task.category}/{kind}"]


def pick(
    pool: Sequence[Record], weights: dict[str, float], number: int, rng: np.random.Generator
) -> list[Record]:
    """So many records, each source as likely as its weight; without weights all records alike."""
    if not weights:
        return [pool[index] for index in rng.choice(len(pool), size=number, replace=False)]
    found = [sources(item.task) for item in pool]
    counts: dict[str, int] = {}
    for names in found:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    chances = np.array(
        [statistics.fmean(weights.get(name, 0.0) / counts[name] for name in names) for names in found]
    )
    chances = chances + 1e-9
    order = rng.choice(len(pool), size=number, replace=False, p=chances / chances.sum())
    return [pool[index] for index in order]


def adaptively(
    plan: CampaignPlan, pool: Sequence[Record], budget: int, device: DeviceInfo, rng: np.random.Generator
) -> list[Record]:
    """The budget's first part at random, the rest in steps where the models err."""
    extra = round(SHARE * budget)
    chosen = pick(pool, {}, budget - extra, rng)
    known = dict(plan_sources(plan))
    for step in range(STEPS):
        number = extra // STEPS + (step < extra % STEPS)
        data = training_data(chosen, device)
        whole = [item for item in chosen if is_whole_network(item.task)]
        typical = training_data(whole, device) if len(whole) >= 10 else None
        needs = family_needs(data, seed=step, growth=number / len(chosen), typical=typical)
        weights = {key: value for key, value in source_weights(plan, needs).items() if key in known}
        taken = {item.task.id for item in chosen}
        chosen += pick([item for item in pool if item.task.id not in taken], weights, number, rng)
    return chosen


# Judging -----------------------------------------------------------------------------------------------


def score(
    chosen: Sequence[Record], judged: Sequence[Judged], device: DeviceInfo, seed: int
) -> dict[str, float]:
    """Errors of the mixed model fitted on what was chosen, as fractions."""
    data = training_data(chosen, device)
    models = fit_layer_models(data, seed=seed)
    errors, kernel_errors = [], []
    for network, measurement in judged:
        if measurement.mapping is None or measurement.kernels is None:
            continue
        table = build_kernel_table([(network, measurement.mapping)], device)
        predicted = models.predict_s(table, "mixed")
        measured = np.array([item.latency_s for item in measurement.kernels])
        errors.append(float(predicted.sum() / measured.sum() - 1.0))
        kernel_errors.append(float(np.abs(predicted - measured).sum() / measured.sum()))
    absolute = np.abs(errors)
    return {
        "kernels": len(data),
        "network_mape": float(absolute.mean()),
        "network_worst": float(absolute.max()),
        "kernel_error": float(np.mean(kernel_errors)),
    }


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means and spreads over the seeds, by budget."""
    curves = []
    for budget in sorted({row["budget"] for row in rows}):
        same = [row for row in rows if row["budget"] == budget]
        curve: dict[str, Any] = {"budget": budget}
        for way in ("random", "adaptive"):
            for figure in ("network_mape", "network_worst", "kernel_error", "kernels"):
                values = [row[way][figure] for row in same]
                curve[f"{way}_{figure}"] = round(statistics.fmean(values), 5)
            values = [row[way]["network_mape"] for row in same]
            curve[f"{way}_spread"] = round(statistics.stdev(values), 5) if len(values) > 1 else 0.0
        curves.append(curve)
    return curves


if __name__ == "__main__":
    main()
