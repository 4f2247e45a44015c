"""How well timing alone finds what a device merges: precision and recall on devices whose truth is known.

    python benchmarks/studies/mapping_inference.py [--plan quick] [--seed 0]

Simulated devices, with the noise of their profilers and a cost of each call, hide their kernels. annette's
inference is compared with the rule that is common elsewhere: two layers are merged if timing them apart takes
longer than timing them together by more than half of the cheaper one, T1 + T2 - T12 > 0.5 min(T1, T2), each
timed once as a network of its own. Counted are edges between two layers of one kernel, in the blocks of the
plan, and of annette's inference also whole kernels.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from provenance import record

from annette.backends.mapping_inferring import InferringBackend
from annette.backends.mapping_probe import MAC_FAMILIES, cut_out
from annette.backends.protocol import Backend
from annette.backends.simulator import open_simulator
from annette.benchmark.plan import load_plan, plan_campaign
from annette.graph.families import layer_family
from annette.graph.mapping import Mapping
from annette.graph.network import Network
from annette.measurement import DeviceInfo, Measurement

DEVICES = ("zcu102-dpu", "ncs2")
CALL_COSTS_S = (0.0, 100e-6, 1e-3)

Edge = tuple[str, str]


@dataclass
class Secretive:
    """A device that tells how long a network takes, plus the cost of the call, and nothing else."""

    inner: Backend
    call_s: float
    calls: int = 0

    @property
    def info(self) -> DeviceInfo:
        """The device's."""
        return self.inner.info

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        """The whole network's times."""
        self.calls += 1
        answer = self.inner.measure(network, seed=seed)
        if answer.values_s is None:
            return answer
        values_s = tuple(value + self.call_s for value in answer.values_s)
        return replace(answer, values_s=values_s, kernels=None, eliminated_layers=())


@dataclass
class Score:
    """Edges found rightly, found wrongly, and missed."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def add(self, found: set[Edge], true: set[Edge]) -> None:
        """Count one network."""
        self.right += len(found & true)
        self.wrong += len(found - true)
        self.missed += len(true - found)

    def document(self) -> dict[str, float]:
        """As JSON types."""
        return {
            "merged_edges": self.right + self.missed,
            "found_rightly": self.right,
            "found_wrongly": self.wrong,
            "missed": self.missed,
            "precision": self.right / max(self.right + self.wrong, 1),
            "recall": self.right / max(self.right + self.missed, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plan", default="quick", help="the plan whose blocks are looked at")
    parser.add_argument("--seed", type=int, default=0, help="seed of the devices' noise")
    arguments = parser.parse_args()
    blocks = [task.network for task in plan_campaign(load_plan(arguments.plan)) if task.category == "block"]
    results = []
    for device, call_s in itertools.product(DEVICES, CALL_COSTS_S):
        result = study(device, call_s, blocks, arguments.seed)
        results.append(result)
        print(
            f"{device:12} call {call_s * 1e6:6.0f} us: by chains precision "
            f"{result['chains']['precision']:.3f} recall {result['chains']['recall']:.3f} kernels exact "
            f"{result['exact_kernels']} of {result['kernels']} in {result['calls']} calls; naive precision "
            f"{result['naive']['precision']:.3f} recall {result['naive']['recall']:.3f}"
        )
    path = record(
        "mapping_inference",
        {"plan": arguments.plan, "blocks": len(blocks), "devices": results},
        seed=arguments.seed,
    )
    print(f"recorded in {path}")


def study(device: str, call_s: float, blocks: list[Network], seed: int) -> dict[str, Any]:
    """Both rules on one device."""
    truth = open_simulator(device, noise=False)
    hidden = Secretive(open_simulator(device), call_s)
    backend = InferringBackend(hidden)
    seeds = itertools.count(1_000_000 * (seed + 1))
    chains, naive = Score(), Score()
    kernels = exact = 0
    start = time.perf_counter()
    for network in blocks:
        true = truth.measure(network).mapping
        if true is None:
            continue
        found = backend.infer_mapping(network)
        chains.add(merged_edges(network, found), merged_edges(network, true))
        inferred = {frozenset(kernel.layers) for kernel in found.kernels}
        kernels += len(true.kernels)
        exact += sum(frozenset(kernel.layers) in inferred for kernel in true.kernels)
    elapsed_s, calls = time.perf_counter() - start, hidden.calls
    for network in blocks:
        true = truth.measure(network).mapping
        if true is not None:
            found_edges = naive_edges(network, lambda item: hidden.measure(item, seed=next(seeds)))
            naive.add(found_edges, merged_edges(network, true))
    verdicts = [item.verdict for item in backend.findings]
    return {
        "device": device,
        "call_s": call_s,
        "chains": chains.document(),
        "kernels": kernels,
        "exact_kernels": exact,
        "findings": {name: verdicts.count(name) for name in sorted(set(verdicts))},
        "calls": calls,
        "simulated_in_s": round(elapsed_s, 2),
        "naive": naive.document(),
        "naive_calls": hidden.calls - calls,
    }


def merged_edges(network: Network, mapping: Mapping) -> set[Edge]:
    """Pairs of layers in one kernel of which the second reads the first."""
    home = {name: number for number, kernel in enumerate(mapping.kernels) for name in kernel.layers}
    return {
        (layer.name, reader.name)
        for layer in network.layers
        for reader in network.successors(layer)
        if layer.name in home and home.get(reader.name) == home[layer.name]
    }


def naive_edges(network: Network, measure: Callable[[Network], Measurement]) -> set[Edge]:
    """Edges that the common rule calls merged, at their own sizes; no layer of MACs as the second."""
    found = set()
    for layer in network.layers:
        for reader in network.successors(layer):
            if layer_family(network, reader) in MAC_FAMILIES:
                continue
            parts = ((layer.name,), (reader.name,), (layer.name, reader.name))
            answers = [measure(cut_out(network, names)) for names in parts]
            if any(answer.values_s is None for answer in answers):
                continue
            one, other, both = (statistics.median(answer.values_s or ()) for answer in answers)
            if one + other - both > 0.5 * min(one, other):
                found.add((layer.name, reader.name))
    return found


if __name__ == "__main__":
    main()
