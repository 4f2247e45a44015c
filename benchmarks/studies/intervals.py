"""What 90 % intervals hold: coverage and width on every suite, of shipped platforms, and what they cost.

    python benchmarks/studies/intervals.py [--jobs 2] [--platform zcu102-dpu --platform ncs2] [--no-recorded]

A platform is a name, or NAME=FOLDER for one that is kept elsewhere. Simulated devices are measured with
noise; onnxruntime-epyc is judged on what data/real-cpu recorded. Writes benchmarks/results/intervals.json.
The targets are this project's own: 85 to 97 % of a suite's networks inside, half-widths of at most 1.5 times
the MAPE, at most twice the time of estimates without intervals.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import FRESH, FRESH_CELLS, FRESH_SEED, SUITES
from provenance import record

import annette
from annette.estimation.platform import Platform
from annette.evaluation.score import score_records
from annette.evaluation.suite import evaluate_suite
from annette.store.campaign import CampaignStore
from annette.zoo.registry import open_network
from annette.zoo.spaces.registry import open_space
from annette.zoo.suites import suite_networks

SPACES = (
    "nasbench201-500", "fbnet-100", "ofa-60", "darts-60", "mnasnet-60", "transformer-60",
)  # fmt: skip
RECORDED = Path(__file__).resolve().parents[2] / "data" / "real-cpu" / "evaluation.parquet"
LEAST, MOST, WIDEST, DEAREST = 0.85, 0.97, 1.5, 2.0
COST_SPACES = (("ofa", 1000), ("darts", 1000), ("fbnet", 4000))


def judge(coverage: float, half_width: float, mape: float) -> dict[str, Any]:
    """The figures of one suite against the targets."""
    return {
        "coverage": coverage,
        "median_half_width": half_width,
        "mape": mape,
        "width_over_mape": half_width / mape,
        "coverage_met": LEAST <= coverage <= MOST,
        "width_met": half_width <= WIDEST * mape,
    }


def measured(platform: Platform, device: str, seed: int, jobs: int) -> dict[str, Any]:
    """Every suite on a simulated device."""
    fresh = [open_network(f"zoo:{spec}") for spec in FRESH]
    fresh.extend(suite_networks(FRESH_CELLS, seed=FRESH_SEED))
    suites: dict[str, Any] = {name: name for name in (*SUITES, *SPACES)} | {"fresh": fresh}
    found = {}
    for name, members in suites.items():
        answer = evaluate_suite(platform, members, device=device, seed=seed, jobs=jobs)
        score = answer.interval_score("mixed")
        if score is None:
            raise SystemExit(f"{platform.name}: has no intervals; train it again")
        found[name] = {
            "networks": score.networks,
            **judge(score.coverage, score.median_half_width, answer.accuracy("mixed").mape),
            "kernel_coverage": answer.kernel_coverage("mixed"),
            "missed": [
                {"name": item.name, "error": dict(item.predicted_s)["mixed"] / item.measured_s - 1.0}
                for item in answer.networks
                for model, low, high in item.intervals_s
                if model == "mixed" and not low <= item.measured_s <= high
            ][:20],
        }
        _print(name, found[name])
    return found


def recorded(platform: Platform) -> dict[str, Any]:
    """Every group of the recorded networks of a real processor."""
    with CampaignStore.open(RECORDED) as store:
        answer = score_records(platform, store.records())
    found = {}
    for group in answer.groups():
        score, figures = answer.interval_score(group), answer.figures(group)
        if score is None or figures is None:
            raise SystemExit(f"{platform.name}: has no intervals; train it again")
        found[group] = {
            "networks": score.networks,
            **judge(score.coverage, score.median_half_width, figures.mape),
            "kernel_coverage": answer.kernel_coverage(group),
        }
        _print(group, found[group])
    return found


def _print(name: str, row: dict[str, Any]) -> None:
    print(
        f"  {name:16} {row['networks']:4} networks  inside {row['coverage']:6.1%}  half-width "
        f"{row['median_half_width']:6.2%} = {row['width_over_mape']:.2f} x MAPE  kernels inside "
        f"{row['kernel_coverage']:6.1%}",
        flush=True,
    )


def cost(platform: Platform) -> dict[str, Any]:
    """Processor time of populations with intervals over that without, kernels new and known."""
    found = {}
    for name, count in COST_SPACES:
        rows = open_space(name).sample(count, seed=7)
        ratios: dict[str, list[float]] = {"new": [], "known": []}
        for _ in range(5):
            times: dict[str, list[float]] = {}
            for what in ("estimate_space", "estimate_space_intervals"):
                space = open_space(name)  # what is kept of a space goes with it
                platform.clear_cache()
                ask: Callable[..., Any] = getattr(platform, what)
                times[what] = [_seconds(ask, space, rows) for _ in range(2)]
            plain, with_ends = times["estimate_space"], times["estimate_space_intervals"]
            for number, kind in enumerate(ratios):
                ratios[kind].append(with_ends[number] / plain[number])
        figures = {kind: statistics.median(values) for kind, values in ratios.items()}
        found[name] = {"architectures": count, **figures, "met": max(figures.values()) <= DEAREST}
        print(
            f"  cost on {name}: {figures['new']:.2f} with new kernels, {figures['known']:.2f} with known ones"
        )
    return found


def _seconds(ask: Callable[..., Any], space: Any, rows: np.ndarray[Any, Any]) -> float:
    start = time.process_time()
    ask(space, rows)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--platform", action="append", help="NAME or NAME=FOLDER; may be repeated")
    parser.add_argument("--seed", type=int, default=11, help="seed of the measurement noise")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--no-recorded", action="store_true", help="leave the real processor out")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"targets": {"coverage": [LEAST, MOST], "width": WIDEST, "cost": DEAREST}}
    platforms: dict[str, Any] = {}
    real = [] if arguments.no_recorded else ["onnxruntime-epyc"]
    for word in [*(arguments.platform or ["zcu102-dpu", "ncs2"]), *real]:
        name, _, folder = word.partition("=")
        platform = annette.load(folder or name)
        print(name)
        if name == "onnxruntime-epyc":
            platforms[name] = {"suites": recorded(platform)}
        else:
            suites = measured(platform, name, arguments.seed, arguments.jobs)
            platforms[name] = {"suites": suites, "cost": cost(platform)}
        intervals = platform.intervals
        platforms[name]["campaign"] = None if intervals is None else dict(intervals.calibration["mixed"])
    print(f"written to {record('intervals', {**result, 'platforms': platforms}, seed=arguments.seed).name}")


if __name__ == "__main__":
    main()
