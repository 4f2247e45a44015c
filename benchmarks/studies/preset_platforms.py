"""Platforms learned on structurally different accelerators: the mixed model against regression and rooflines.

    python benchmarks/studies/preset_platforms.py [--jobs 2] [--device zcu102-dpu --device gemmini-16x16 ...]

For each preset the standard campaign, the generator, and classic12, whose networks are in no campaign.
``statistical`` is regression alone, ``roofline`` and ``refined_roofline`` are the analytical models. Writes
benchmarks/results/preset_platforms.json and prints a table. The target is this project's own: a mixed MAPE of
4 % at most on each, below that of the other three, as Lübeck et al. (arXiv 2409.08595) report for theirs.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from provenance import record
from train_platforms import annette

from annette.estimation.platform import Platform
from annette.evaluation.suite import evaluate_suite

DEVICES = (
    "zcu102-dpu",
    "systolic-32x32-ws",
    "systolic-32x32-os",
    "nvdla-full",
    "gemmini-16x16",
    "eyeriss-v1",
)
SUITE = "classic12"
TARGET = 0.04


def study_device(device: str, seed: int, jobs: int) -> dict[str, Any]:
    """Campaign, training and evaluation on one preset."""
    with tempfile.TemporaryDirectory() as folder:
        store, target = str(Path(folder) / "run.db"), Path(folder) / device
        words = ("--plan", "standard", "--store", store, "--jobs", str(jobs))
        benchmark_s = annette("benchmark", "--device", device, *words)
        train_s = annette("train", store, "--output", str(target), "--seed", str(seed))
        document = evaluate_suite(Platform.load(target), SUITE, seed=seed, jobs=jobs).to_dict()
    mape = {model: values["mape"] for model, values in document["models"].items()}
    others = min(value for model, value in mape.items() if model != "mixed")
    return {
        "benchmark_s": benchmark_s,
        "train_s": train_s,
        "mixed_mape": mape["mixed"],
        "target_mape": TARGET,
        "met": mape["mixed"] <= TARGET and mape["mixed"] < others,
        "evaluation": document,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", action="append", help="a preset; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    devices = arguments.device or list(DEVICES)
    result = {device: study_device(device, arguments.seed, arguments.jobs) for device in devices}
    for device, found in result.items():
        models = found["evaluation"]["models"]
        errors = "  ".join(f"{model} {values['mape']:.1%}" for model, values in models.items())
        ranks = models["mixed"]["spearman"]
        print(f"{device:20} {errors}  Spearman {ranks:.4f}  {'met' if found['met'] else 'MISSED'}")
    print(f"kept in {record('preset_platforms', {'suite': SUITE, 'devices': result}, seed=arguments.seed)}")


if __name__ == "__main__":
    main()
