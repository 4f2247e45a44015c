"""The instruction engine against the tile engines: what it evaluates, how fast, and how far they differ.

    python benchmarks/studies/instruction_engine.py [--suite classic12 --suite modern12] [--preset NAME ...]

Every preset, and a systolic array of 32 x 32 in each dataflow, runs both suites. The *evaluated share* of a
kernel is the iterations evaluated over the instructions its program stands for; the share of instructions
evaluated is given beside it and is stricter. Further sizes of systolic arrays are a group of their own, for
the best case: which sizes one adds would move a median over all. Times are of one run on a shared machine,
lowering included. Writes benchmarks/results/instruction_engine.json.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from provenance import record
from scipy.stats import spearmanr

from annette.errors import AnnetteError
from annette.hardware.codec import list_accelerators, load_accelerator
from annette.simulator.facts import NetworkFacts
from annette.simulator.instructions.engine import evaluate_program
from annette.simulator.instructions.machine import Block, Loop
from annette.simulator.instructions.run import InstructionKernel, evaluate_network, kernel_program
from annette.zoo.registry import zoo_network
from annette.zoo.suites import suite_networks

DATAFLOWS = tuple(f"systolic-32x32-{dataflow}" for dataflow in ("os", "ws", "is"))
SIZES = ("systolic-1x1-ws", "systolic-8x8-os", "systolic-64x64-is", "systolic-256x256-ws")
MOST_SHARE, MOST_ITERATIONS, LEAST_INSTRUCTIONS = 1e-3, 154, 4.19e9
FACTORS = (1, 10**3, 10**6, 10**9)


def evaluate(device: str, suites: Sequence[str]) -> tuple[list[dict[str, Any]], list[InstructionKernel]]:
    """A row a network, and all kernels."""
    accelerator = load_accelerator(device)
    rows, kernels = [], []
    for suite in suites:
        for network in suite_networks(suite):
            row = {"device": device, "suite": suite, "network": network.name}
            try:
                found = evaluate_network(network, accelerator)
            except AnnetteError as err:
                rows.append({**row, "error": str(err)})
                continue
            kernels.extend(found)
            tile_s = sum(item.tile_latency_s for item in found)
            rows.append(
                {
                    **row,
                    "kernels": len(found),
                    "difference": sum(item.latency_s for item in found) / tile_s - 1 if found else None,
                    "instructions": sum(item.evaluation.instructions for item in found),
                    "evaluated_iterations": sum(item.evaluation.evaluated_iterations for item in found),
                }
            )
    return rows, kernels


def summary(kernels: Iterable[InstructionKernel]) -> dict[str, Any]:
    """What is said of a set of kernels."""
    found = list(kernels)
    values = [item.evaluation for item in found]
    shares = [item.evaluated_iterations / item.instructions for item in values]
    milliseconds = [item.elapsed_s * 1e3 for item in found]
    differences = sorted(item.difference for item in found)
    order = spearmanr([item.instructions for item in values], milliseconds).statistic
    return {
        "kernels": len(found),
        "instructions": sum(item.instructions for item in values),
        "iterations": sum(item.iterations for item in values),
        "evaluated_iterations": sum(item.evaluated_iterations for item in values),
        "most_evaluated_iterations": max(item.evaluated_iterations for item in values),
        "median_evaluated_share": statistics.median(shares),
        "median_evaluated_share_of_instructions": statistics.median(
            item.evaluated_instructions / item.instructions for item in values
        ),
        "kernels_below_a_thousandth": sum(share < MOST_SHARE for share in shares) / len(found),
        "median_ms": statistics.median(milliseconds),
        "p99_ms": sorted(milliseconds)[int(0.99 * (len(milliseconds) - 1))],
        "median_evaluation_ms": statistics.median(item.elapsed_s * 1e3 for item in values),
        "spearman_ms_instructions": float(order) if math.isfinite(order) else None,
        "median_absolute_difference": statistics.median(map(abs, differences)),
        "p5_difference": differences[int(0.05 * (len(differences) - 1))],
        "p95_difference": differences[int(0.95 * (len(differences) - 1))],
        "least_difference": differences[0],
        "most_difference": differences[-1],
    }


def best_case(kernels: Iterable[tuple[str, InstructionKernel]]) -> dict[str, Any]:
    """Of the kernels with as many instructions as the target asks for, the one evaluated least."""
    large = [(d, k) for d, k in kernels if k.evaluation.instructions >= LEAST_INSTRUCTIONS]
    if not large:
        return {"met": False, "reason": f"no kernel stands for {LEAST_INSTRUCTIONS:g} instructions"}
    device, kernel = min(large, key=lambda item: item[1].evaluation.evaluated_iterations)
    return {
        "met": kernel.evaluation.evaluated_iterations <= MOST_ITERATIONS,
        "kernels_of_that_size": len(large),
        "most_evaluated_iterations_among_them": max(k.evaluation.evaluated_iterations for _, k in large),
        "device": device,
        "kernel": kernel.kernel.name,
        "instructions": kernel.evaluation.instructions,
        "evaluated_iterations": kernel.evaluation.evaluated_iterations,
        "evaluated_instructions": kernel.evaluation.evaluated_instructions,
        "ms": kernel.elapsed_s * 1e3,
    }


def scaled(block: Block, factor: int) -> Block:
    """``block`` with the trip counts of its innermost loops that much larger."""
    return tuple(
        (
            Loop(count=item.count * factor, body=item.body)
            if not any(isinstance(inner, Loop) for inner in item.body)
            else Loop(count=item.count, body=scaled(item.body, factor))
        )
        if isinstance(item, Loop)
        else item
        for item in block
    )


def trip_counts(device: str, name: str) -> list[dict[str, Any]]:
    """Iterations evaluated and time for the kernels of a network whose innermost loops run so much longer."""
    network, accelerator = zoo_network(name), load_accelerator(device)
    programs = [
        kernel_program(NetworkFacts(network), accelerator, kernel.kernel.unit, layers)
        for kernel in evaluate_network(network, accelerator)
        for layers in [[network.layer(layer) for layer in kernel.kernel.layers]]
    ]
    rows = []
    for factor in FACTORS:
        larger = [replace(program, body=scaled(program.body, factor)) for program in programs]
        start = time.perf_counter()
        found = [evaluate_program(program) for program in larger]
        seconds = time.perf_counter() - start
        rows.append(
            {
                "device": device,
                "network": name,
                "factor": factor,
                "instructions": sum(item.instructions for item in found),
                "evaluated_iterations": sum(item.evaluated_iterations for item in found),
                "evaluation_ms_per_kernel": seconds * 1e3 / len(found),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--suite", action="append", help="default: classic12 and modern12")
    parser.add_argument("--preset", action="append", help="default: all of them")
    arguments = parser.parse_args()
    suites = arguments.suite or ["classic12", "modern12"]
    listed = arguments.preset or [name for name, _ in list_accelerators()]
    presets = list(dict.fromkeys((*listed, *DATAFLOWS)))
    rows, by_device, targeted, everything = [], {}, [], []
    for device in dict.fromkeys((*presets, *SIZES)):
        found, kernels = evaluate(device, suites)
        rows.extend(found)
        everything.extend((device, kernel) for kernel in kernels)
        if device in presets:
            targeted.extend(kernels)
        if kernels:
            by_device[device] = summary(kernels)
            print(f"{device:20} {by_device[device]}")
    overall, best = summary(targeted), best_case(everything)
    compared = [row for row in rows if row["device"] in presets]
    differences = [row["difference"] for row in compared if row.get("difference") is not None]
    result = {
        "targets": {
            "median_evaluated_share_below": MOST_SHARE,
            "median_evaluated_share": overall["median_evaluated_share"],
            "median_met": overall["median_evaluated_share"] < MOST_SHARE,
            "best_case": {
                "at_most_iterations": MOST_ITERATIONS,
                "at_least_instructions": LEAST_INSTRUCTIONS,
                **best,
            },
        },
        "suites": suites,
        "presets": presets,
        "further_sizes": [name for name in SIZES if name not in presets],
        "overall": overall,
        "networks": {
            "count": len(differences),
            "median_absolute_difference": statistics.median(map(abs, differences)),
            "least_difference": min(differences),
            "most_difference": max(differences),
            "failed": sum("error" in row for row in compared),
        },
        "devices": by_device,
        "trip_counts": [
            *trip_counts("zcu102-dpu", "resnet50"),
            *trip_counts("systolic-32x32-ws", "resnet50"),
        ],
        "rows": rows,
    }
    for key in ("targets", "overall", "networks", "trip_counts"):
        print(key, result[key])
    print(f"written to {record('instruction_engine', result, seed=None).name}")


if __name__ == "__main__":
    main()
