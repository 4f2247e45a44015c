"""How near the what-if sliders of a report are to the simulator, between the points of their grid.

    python benchmarks/studies/what_if_accuracy.py

For each accelerator, network and size of the array: 4 clocks by 4 bandwidths off the grid, simulated anew.
Writes benchmarks/results/what_if_accuracy.json.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from provenance import record

from annette.hardware.accelerator import Accelerator
from annette.hardware.codec import load_accelerator
from annette.report.what_if import interpolate_s, simulate_grid
from annette.simulator.run import simulate
from annette.zoo.registry import zoo_network

DEVICES = ("zcu102-dpu", "ncs2", "nvdla-full", "tpu-v1", "eyeriss-v1", "gemmini-16x16", "ethos-u55-256")
NETWORKS = ("resnet50", "mobilenet_v2", "squeezenet1_1")
CLOCKS, BANDWIDTHS = (0.3, 0.7, 1.4, 3.0), (0.35, 0.8, 1.3, 2.6)


def changed(accelerator: Accelerator, clock: float, bandwidth: float) -> Accelerator:
    """The description with so many times the clock and the bandwidth."""
    memory, vector = accelerator.external_memory, accelerator.vector
    return replace(
        accelerator,
        clock_hz=accelerator.clock_hz * clock,
        vector=None if vector is None else replace(vector, clock_hz=vector.clock_hz * clock),
        external_memory=replace(memory, bandwidth_bytes_per_s=memory.bandwidth_bytes_per_s * bandwidth),
    )


def study(device: str, name: str) -> dict[str, Any]:
    """Errors of a network's and of its kernels' seconds with the array as it is."""
    network, accelerator = zoo_network(name), load_accelerator(device)
    start_s = time.perf_counter()
    grid = simulate_grid(network, accelerator)
    grid_s = time.perf_counter() - start_s
    errors, kernels = [], []
    for clock in CLOCKS:
        for bandwidth in BANDWIDTHS:
            run = simulate(network, changed(accelerator, clock, bandwidth))
            truth = np.array([item.latency_s for item in run.kernels])
            found = np.array(interpolate_s(grid, clock=clock, bandwidth=bandwidth))
            errors.append(float(found.sum() / truth.sum() - 1))
            kernels.append(np.abs(found / truth - 1))
    return {
        "device": device,
        "network": name,
        "grid_s": grid_s,
        "sizes_of_the_array": [item["factor"] for item in grid["arrays"]],
        "mean_error": float(np.mean(np.abs(errors))),
        "worst_error": float(np.max(np.abs(errors))),
        "worst_kernel_error": float(np.max(kernels)),
    }


def main() -> None:
    rows = []
    for device in DEVICES:
        for name in NETWORKS:
            rows.append(study(device, name))
            print(rows[-1], flush=True)
    result = {
        "points": len(CLOCKS) * len(BANDWIDTHS),
        "mean_error": float(np.mean([row["mean_error"] for row in rows])),
        "worst_error": max(row["worst_error"] for row in rows),
        "worst_kernel_error": max(row["worst_kernel_error"] for row in rows),
        "rows": rows,
    }
    print({key: value for key, value in result.items() if key != "rows"})
    print(f"written to {record('what_if_accuracy', result, seed=None).name}")


if __name__ == "__main__":
    main()
