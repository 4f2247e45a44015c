"""Accuracy of the shipped platforms on the suites, noise on: MAPE, Spearman, mapping, kernel-level error, against the targets.

    python benchmarks/studies/accuracy.py [--jobs 2] [--platform zcu102-dpu --platform ncs2]

Writes benchmarks/results/accuracy.json and prints a table. The targets are this project's own.
"""

from __future__ import annotations

import argparse
from typing import Any

from provenance import record

import annette
from annette.evaluation.suite import evaluate_suite

SUITES = ("classic12", "modern12", "nasbench101-34", "nasbench101-500")
TARGETS: dict[str, dict[tuple[str, str], float]] = {
    "zcu102-dpu": {
        ("classic12", "mape"): 0.025,
        ("modern12", "mape"): 0.05,
        ("nasbench101-34", "spearman"): 0.995,
        ("nasbench101-500", "spearman"): 0.99,
        ("classic12", "mapping_accuracy"): 0.99,
        ("kernels", "kernel_mape"): 0.05,
    },
    "ncs2": {
        ("classic12", "mape"): 0.04,
        ("modern12", "mape"): 0.07,
        ("nasbench101-34", "spearman"): 0.99,
        ("nasbench101-500", "spearman"): 0.985,
        ("classic12", "mapping_accuracy"): 0.98,
        ("kernels", "kernel_mape"): 0.08,
    },
}


def evaluate_platform(name: str, seed: int, jobs: int) -> dict[str, Any]:
    """Every suite on the platform's own device."""
    platform = annette.load(name)
    suites: dict[str, Any] = {}
    for suite in SUITES:
        document = evaluate_suite(platform, suite, seed=seed, jobs=jobs).to_dict()
        if len(document["networks"]) > 100:
            document.pop("networks")
        suites[suite] = document
    return suites


def check_targets(name: str, suites: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a target: what was reached by the mixed model and whether it is enough."""
    rows = []
    for (suite, key), target in TARGETS.get(name, {}).items():
        if key == "mapping_accuracy":
            reached = suites[suite]["mapping_accuracy"]
        elif key == "kernel_mape":
            reached = max(
                suites[item]["models"]["mixed"]["kernel_mape"] for item in ("classic12", "modern12")
            )
        else:
            reached = suites[suite]["models"]["mixed"][key]
        enough = reached <= target if key.endswith("mape") else reached >= target
        rows.append({"suite": suite, "figure": key, "target": target, "reached": reached, "met": enough})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--platform", action="append", help="a platform; may be repeated")
    parser.add_argument("--seed", type=int, default=2021, help="seed of the measurement noise")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"platforms": {}}
    for name in arguments.platform or list(TARGETS):
        suites = evaluate_platform(name, arguments.seed, arguments.jobs)
        targets = check_targets(name, suites)
        result["platforms"][name] = {"targets": targets, "suites": suites}
        print(f"\n{name}")
        for suite, document in suites.items():
            print(f"  {suite}: mapping {document['mapping_accuracy']:.4f}")
            for model, values in document["models"].items():
                print(
                    f"    {model:17} MAPE {values['mape']:7.2%}  bias {values['bias']:+7.2%}  "
                    f"kernel MAPE {values['kernel_mape']:7.2%}  Spearman {values['spearman']:.4f}  "
                    f"within 10 % {values['within_10_percent']:.0%}"
                )
        for row in targets:
            print(
                f"  {'met   ' if row['met'] else 'MISSED'} {row['suite']} {row['figure']}: "
                f"{row['reached']:.4f} (target {row['target']})"
            )
    print(f"\nwritten to {record('accuracy', result, seed=arguments.seed).name}")


if __name__ == "__main__":
    main()
