"""How accurate the shipped platforms are on the suites, measurement noise on, against the targets.

    python benchmarks/studies/accuracy.py [--jobs 2] [--platform zcu102-dpu --platform ncs2]

MAPE, bias, Spearman, kernel-level error and mapping for the four layer models; ``fresh`` holds networks of no
suite. Writes benchmarks/results/accuracy.json and prints a table. The targets are this project's own.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from provenance import record

import annette
from annette.evaluation.suite import evaluate_suite
from annette.zoo.registry import open_network
from annette.zoo.suites import suite_networks

SUITES = ("classic12", "modern12", "nasbench101-34", "nasbench101-500")
FRESH = (
    "lenet5", "alexnet", "vgg16", "vgg19", "resnet34", "resnet101", "squeezenet1_0", "mobilenet_v3_small",
    "tc_resnet8", "vit_base", "swin_tiny", "bert_base", "mobilenet_v2,width=0.75,resolution=160",
    "resnet50,resolution=288,batch=4", "unet,resolution=160", "yolov3_tiny,resolution=320",
)  # fmt: skip
"""Networks of no suite: nobody looked at their errors while the mapping's features were designed."""
FRESH_CELLS = "nasbench101-100"
FRESH_SEED = 20_261_120
GOLDEN = json.loads((Path(__file__).resolve().parents[1] / "golden.json").read_text(encoding="utf-8"))


def evaluate_platform(name: str, seed: int, jobs: int) -> dict[str, Any]:
    """Every suite on the platform's own device."""
    platform = annette.load(name)
    suites: dict[str, Any] = {}
    for suite in SUITES:
        document = evaluate_suite(platform, suite, seed=seed, jobs=jobs).to_dict()
        if len(document["networks"]) > 100:
            document.pop("networks")
        suites[suite] = document
    fresh = [open_network(f"zoo:{spec}") for spec in FRESH]
    fresh.extend(suite_networks(FRESH_CELLS, seed=FRESH_SEED))
    document = evaluate_suite(platform, fresh, seed=seed, jobs=jobs).to_dict()
    suites["fresh"] = {
        **document,
        "suite": f"{len(FRESH)} zoo networks of no suite, 100 new NASBench-101 cells",
    }
    return suites


def check_targets(name: str, suites: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a target: what was reached by the mixed model and whether it is enough."""
    rows = []
    for suite, targets in GOLDEN["platforms"].get(name, {}).items():
        for key, target in targets.items():
            document = suites[suite]
            reached = document[key] if key == "mapping_accuracy" else document["models"]["mixed"][key]
            enough = reached <= target if key.endswith("mape") else reached >= target
            rows.append({"suite": suite, "figure": key, "target": target, "reached": reached, "met": enough})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--platform", action="append", help="a platform; may be repeated")
    parser.add_argument("--seed", type=int, default=GOLDEN["seed"], help="seed of the measurement noise")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"platforms": {}}
    for name in arguments.platform or list(GOLDEN["platforms"]):
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
