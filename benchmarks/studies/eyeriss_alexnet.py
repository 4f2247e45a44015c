"""Compares eyeriss-v1 with the measured chip on the convolutions of AlexNet, after one calibrated number.

    python benchmarks/studies/eyeriss_alexnet.py --measured ../shared/data/eyeriss/alexnet_n4.csv

The chip was measured on batches of four images at 200 MHz; a row of the file is a convolution with its total
latency (DRAM included) and its processing latency (without). The simulator runs the same convolutions, two of
them in groups. One number is fitted, the share of its cycles in which the array multiplies
(``array.cycle_efficiency``): on the total latencies, as the number that makes the geometric mean of simulated
over measured seconds 1. The error of a layer is also given with the number fitted on the other four.

Two more numbers of the description were set with the same table in sight. The bandwidth of the DRAM was read
off CONV1 (its bytes over its total less its processing latency): leaving CONV1 out of the fit does not leave
it out of that; how much it matters is shown by halving and doubling it. How much time the compiler gives for
fewer bytes (``compiler.tiling_slack_fraction``) was set with the measured DRAM traffic in sight.

Prints the errors and writes benchmarks/results/eyeriss_alexnet.json; the number goes into the preset
(annette/hardware/presets/eyeriss-v1.yaml), which a test compares with the recorded one.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from provenance import record
from scipy.optimize import brentq

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator
from annette.hardware.codec import load_accelerator
from annette.simulator.run import SimulatedKernel, simulate

BATCH = 4
_COLUMNS = ("channels", "size", "filters", "kernel", "stride", "padding", "groups")
_ROWS = {
    "CONV1": (3, 227, 96, 11, 4, 0, 1),
    "CONV2": (96, 27, 256, 5, 1, 2, 2),
    "CONV3": (256, 13, 384, 3, 1, 1, 1),
    "CONV4": (384, 13, 384, 3, 1, 1, 2),
    "CONV5": (384, 13, 256, 3, 1, 1, 2),
}
CONVOLUTIONS = {name: dict(zip(_COLUMNS, row, strict=True)) for name, row in _ROWS.items()}
"""AlexNet of 2012."""


def convolution(name: str) -> Network:
    """One convolution of AlexNet with its ReLU, on a batch."""
    sizes = CONVOLUTIONS[name]
    build = NetworkBuilder(name)
    x = build.input("x", (BATCH, sizes["channels"], sizes["size"], sizes["size"]))
    y = build.conv(
        x,
        sizes["filters"],
        kernel=sizes["kernel"],
        stride=sizes["stride"],
        padding=sizes["padding"],
        groups=sizes["groups"],
    )
    return build.finish(build.relu(y))


def read_measured(path: Path, column: str) -> dict[str, float]:
    """Measured seconds by layer."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = {row["layer"]: float(row[column]) / 1e3 for row in csv.DictReader(file)}
    return {name: rows[name] for name in CONVOLUTIONS}


def with_efficiency(accelerator: Accelerator, efficiency: float) -> Accelerator:
    """``accelerator`` with an array that multiplies in so many of its cycles."""
    return replace(accelerator, array=replace(accelerator.array, cycle_efficiency=efficiency))


def run_layers(accelerator: Accelerator) -> dict[str, SimulatedKernel]:
    """Each convolution as the simulator runs it."""
    return {name: simulate(convolution(name), accelerator).kernels[0] for name in CONVOLUTIONS}


def fit_efficiency(accelerator: Accelerator, measured_s: dict[str, float]) -> float:
    """The efficiency at which the logarithms of simulated over measured seconds have the mean 0."""

    def mean_log(efficiency: float) -> float:
        adapted = with_efficiency(accelerator, efficiency)
        ratios = [
            simulate(convolution(name), adapted).kernels[0].latency_s / value
            for name, value in measured_s.items()
        ]
        return sum(map(math.log, ratios)) / len(ratios)

    return round(float(brentq(mean_log, 0.3, 1.0, xtol=1e-5)), 4)


def relative_errors(accelerator: Accelerator, measured_s: dict[str, float]) -> dict[str, float]:
    """Simulated over measured seconds less 1."""
    found = run_layers(accelerator)
    return {name: found[name].latency_s / value - 1 for name, value in measured_s.items()}


def summary(errors: dict[str, float]) -> dict[str, Any]:
    """Errors by layer, their mean and their largest size."""
    sizes = [abs(value) for value in errors.values()]
    return {
        "error": {name: round(value, 4) for name, value in errors.items()},
        "mean_absolute_error": round(sum(sizes) / len(sizes), 4),
        "largest_absolute_error": round(max(sizes), 4),
    }


def run_study(path: Path) -> dict[str, Any]:
    """The fitted number, the layers, and the errors before, after, left out, and by bandwidth."""
    base = with_efficiency(load_accelerator("eyeriss-v1"), 1.0)
    total_s = read_measured(path, "total_latency_ms")
    processing_s = read_measured(path, "processing_latency_ms")
    efficiency = fit_efficiency(base, total_s)
    fitted = with_efficiency(base, efficiency)
    left_out = {}
    for name in CONVOLUTIONS:
        others = {other: value for other, value in total_s.items() if other != name}
        adapted = with_efficiency(base, fit_efficiency(base, others))
        left_out[name] = relative_errors(adapted, {name: total_s[name]})[name]
    layers = {}
    for name, kernel in run_layers(fitted).items():
        cells = kernel.utilisation_fraction * base.array.macs_per_cycle
        layers[name] = {
            "measured_total_ms": round(total_s[name] * 1e3, 3),
            "measured_processing_ms": round(processing_s[name] * 1e3, 3),
            "simulated_ms": round(kernel.latency_s * 1e3, 3),
            "multiplying_ms": round(kernel.compute_s * 1e3, 3),
            "mean_active_cells": round(cells / efficiency, 1),
            "moved_megabytes": round(kernel.moved_bytes / 1e6, 2),
        }
    by_bandwidth = {}
    for factor in (0.5, 2.0):
        external = replace(
            base.external_memory,
            bandwidth_bytes_per_s=base.external_memory.bandwidth_bytes_per_s * factor,
        )
        adapted = replace(base, external_memory=external)
        number = fit_efficiency(adapted, total_s)
        errors = relative_errors(with_efficiency(adapted, number), total_s)
        by_bandwidth[f"{factor:g}"] = {"cycle_efficiency": number, **summary(errors)}
    on_processing = fit_efficiency(base, processing_s)
    return {
        "device": "eyeriss-v1",
        "cycle_efficiency": efficiency,
        "layers": layers,
        "before": summary(relative_errors(base, total_s)),
        "after": summary(relative_errors(fitted, total_s)),
        "left_out": summary(left_out),
        "sum_of_layers": {
            "measured_ms": round(sum(total_s.values()) * 1e3, 3),
            "simulated_ms": round(sum(item.latency_s for item in run_layers(fitted).values()) * 1e3, 3),
        },
        "fitted_on_processing_latency": {
            "cycle_efficiency": on_processing,
            **summary(relative_errors(with_efficiency(base, on_processing), processing_s)),
        },
        "bandwidth_times": by_bandwidth,
    }


def print_study(study: dict[str, Any]) -> None:
    """The study as a few lines."""
    print(f"cycle efficiency {study['cycle_efficiency']}")
    for name, row in study["layers"].items():
        print(
            f"  {name}: measured {row['measured_total_ms']:.2f} ms, simulated {row['simulated_ms']:.2f} ms, "
            f"error {study['after']['error'][name]:+.1%}, left out {study['left_out']['error'][name]:+.1%}"
        )
    for key in ("before", "after", "left_out", "fitted_on_processing_latency"):
        print(
            f"  {key}: mean {study[key]['mean_absolute_error']:.1%}, "
            f"largest {study[key]['largest_absolute_error']:.1%}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--measured", type=Path, required=True, help="CSV file with the measured layers")
    options = parser.parse_args(arguments)
    study = run_study(options.measured)
    print_study(study)
    print(record("eyeriss_alexnet", study, seed=None))


if __name__ == "__main__":
    main()
