"""How well the shipped platforms rank search spaces, over the whole range and among neighbours.

    python benchmarks/studies/nas_fidelity.py [--jobs 2] [--platform ncs2] [--suite nasbench201-all]

Every network is measured on the simulated device, noise on, and predicted by the four layer models.
Recorded are MAPE, Spearman, Kendall, the same within each quartile of latency, the fastest k, what would be
chosen under a budget, and the front of multiply-accumulates and latency. Where a target is missed, the first
networks of the suite are predicted once more with the device's own mapping, and the kernels that the mapping
model gets wrong are counted. Writes benchmarks/results/nas_fidelity.json and prints a table. The targets are
this project's own.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from itertools import islice
from typing import Any

from provenance import record

import annette
from annette.backends.registry import open_device
from annette.benchmark.campaign import measure_network
from annette.estimation.platform import Platform
from annette.evaluation.metrics import accuracy
from annette.evaluation.suite import evaluate_suite
from annette.graph.mapping import Kernel
from annette.graph.network import Network
from annette.zoo.suites import iterate_suite

PLATFORMS = ("zcu102-dpu", "ncs2")
SUITES = ("nasbench101-500", "nasbench201-all", "ofa-1000")
SPEARMAN_TARGET = 0.99
QUARTILE_TARGET = 0.95
SEED = 20_261_128
EXPLAINED = 200
"""Networks of a suite that are looked at kernel by kernel."""


def evaluate(platform: Platform, suite: str, seed: int, jobs: int) -> dict[str, Any]:
    """One suite on the platform's own device, without the single networks."""
    start = time.perf_counter()
    document: dict[str, Any] = evaluate_suite(platform, suite, seed=seed, jobs=jobs).to_dict()
    networks = document.pop("networks")
    document.pop("groups")
    document["networks"] = len(networks)
    document["seconds"] = round(time.perf_counter() - start, 1)
    return document


def check_targets(suite: str, document: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a target: what the mixed model reached and whether it is enough."""
    figures = document["models"]["mixed"]
    rows = [("spearman", SPEARMAN_TARGET, figures["spearman"])]
    for number, quartile in enumerate(figures["ranking"]["quartiles"], 1):
        rows.append((f"spearman of quartile {number}", QUARTILE_TARGET, quartile["spearman"]))
    return [
        {"suite": suite, "figure": name, "target": target, "reached": reached, "met": reached >= target}
        for name, target, reached in rows
    ]


def explain(platform: Platform, suite: str, seed: int) -> dict[str, Any]:
    """Errors of the mapping apart from errors of the layer models, on the first networks of a suite."""
    backend = open_device(f"simulator:{platform.device.name}")
    measured, learned, oracle = [], [], []
    missed: Counter[str] = Counter()
    surplus: Counter[str] = Counter()
    for number, network in enumerate(islice(iterate_suite(suite), EXPLAINED)):
        answer = measure_network(backend, network, seed * 1_000_003 + number)
        truth, guess = answer.mapping, platform.mapping_model.predict(network)
        if truth is None:
            continue
        measured.append(answer.latency_s)
        learned.append(platform.estimate(network, mapping=guess).latency_s)
        oracle.append(platform.estimate(network, mapping=truth).latency_s)
        wanted, given = ({kernel.key for kernel in item.kernels} for item in (truth, guess))
        missed.update(_words(network, kernel) for kernel in truth.kernels if kernel.key not in given)
        surplus.update(_words(network, kernel) for kernel in guess.kernels if kernel.key not in wanted)
    return {
        "networks": len(measured),
        "learned_mapping": accuracy(measured, learned).to_dict(),
        "device_mapping": accuracy(measured, oracle).to_dict(),
        "missed_kernels": dict(missed.most_common(8)),
        "surplus_kernels": dict(surplus.most_common(8)),
    }


def _words(network: Network, kernel: Kernel) -> str:
    return "+".join(network.layer(name).op_type for name in kernel.layers) or f"move {kernel.unit}"


def print_suite(suite: str, document: dict[str, Any]) -> None:
    """What was reached, for people."""
    print(f"  {suite}: {document['networks']} networks in {document['seconds']} s, ", end="")
    print(f"mapping {document['mapping_accuracy']:.4f}")
    for model, values in document["models"].items():
        ranking = values["ranking"]
        quartiles = " ".join(f"{item['spearman']:.4f}" for item in ranking["quartiles"])
        tops = " ".join(f"{item['k']}: {item['overlap']:.0%}" for item in ranking["top"])
        regret = max(item["regret_fraction"] for item in ranking["budgets"])
        excess = max(item["excess_fraction"] for item in ranking["budgets"])
        print(
            f"    {model:17} MAPE {values['mape']:6.2%}  Spearman {values['spearman']:.4f} ({quartiles})  "
            f"Kendall {values['kendall_tau']:.4f}  fastest {tops}  regret {regret:.2%} over {excess:.2%}  "
            f"front {ranking['front_recall']:.0%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--platform", action="append", help="a platform; may be repeated")
    parser.add_argument("--suite", action="append", help="a suite of a search space; may be repeated")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the measurement noise")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"platforms": {}}
    for name in arguments.platform or PLATFORMS:
        platform = annette.load(name)
        print(name)
        entry: dict[str, Any] = {"targets": [], "suites": {}}
        for suite in arguments.suite or SUITES:
            document = evaluate(platform, suite, arguments.seed, arguments.jobs)
            print_suite(suite, document)
            targets = check_targets(suite, document)
            if not all(row["met"] for row in targets):
                document["explained"] = explain(platform, suite, arguments.seed)
            entry["targets"] += targets
            entry["suites"][suite] = document
        result["platforms"][name] = entry
        for row in entry["targets"]:
            print(
                f"  {'met   ' if row['met'] else 'MISSED'} {row['suite']} {row['figure']}: "
                f"{row['reached']:.4f} (target {row['target']})"
            )
    print(f"written to {record('nas_fidelity', result, seed=arguments.seed).name}")


if __name__ == "__main__":
    main()
