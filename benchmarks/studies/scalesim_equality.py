"""Random layers through the real SCALE-Sim 3.0.0 and through annette: every column of every layer.

    python -m venv VENV && VENV/bin/pip install scalesim==3.0.0 numpy==2.3.5
    python benchmarks/studies/scalesim_equality.py VENV/bin/python [--jobs 200]

A job is a topology of some layers on an array of its own sides and dataflow, memory stalls off; both sides
read the same text. Layers are small, since SCALE-Sim takes about 0.1 ms a cycle. Beside the columns it
compares what the DRAM has to give: SCALE-Sim replays addresses, annette has a closed form of its own, so that
these are two models and need not be equal. Writes benchmarks/results/scalesim_equality.json.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from provenance import record
from scalesim_reference import COLUMNS, HEADER, differing_cells, our_columns, reference_reports

from annette.hardware.scalesim_files import ScaleSimConfiguration, read_topology
from annette.hardware.systolic_array import DATAFLOWS, SystolicArray
from annette.simulator.products import topology_products
from annette.simulator.systolic_report import configuration_system, report_systolic

SEED = 7
MOST_CYCLES = 4000
KINDS = ("conv", "strided", "one_row", "whole_input", "pointwise", "depthwise")
BUFFERS_KIB = (64, 1)


def random_rows(rng: np.random.Generator, kind: str) -> str:
    """One row of a topology, of one of `KINDS` or ``product``."""
    if kind == "product":
        m, n, k = (int(size) for size in np.ceil(np.exp(rng.uniform(0, np.log(60), 3))))
        return f"G, {m}, {n}, {k},\n"
    height, width = (int(size) for size in rng.integers(1, 15, 2))
    kernel_h, kernel_w = (int(rng.integers(1, min(size, 5) + 1)) for size in (height, width))
    channels, filters, stride = int(rng.integers(1, 9)), int(rng.integers(1, 33)), 1
    name = "C"
    if kind == "strided":
        stride = int(rng.integers(2, 5))
    elif kind == "one_row":
        height = kernel_h = 1
    elif kind == "whole_input":
        kernel_h, kernel_w = height, width
    elif kind == "pointwise":
        kernel_h = kernel_w = 1
    elif kind == "depthwise":
        name, filters = "DP", 1
    return f"{name}, {height}, {width}, {kernel_h}, {kernel_w}, {channels}, {filters}, {stride},\n"


def random_job(rng: np.random.Generator, number: int, folder: Path) -> dict[str, Any]:
    """A topology of up to four layers that SCALE-Sim gets through in about a second."""
    array = SystolicArray(
        rows=int(rng.integers(1, 33)), columns=int(rng.integers(1, 33)), dataflow=DATAFLOWS[number % 3]
    )
    is_product = number % 4 == 3
    kinds = ["product"] * 4 if is_product else [KINDS[(number + step) % len(KINDS)] for step in range(4)]
    text = "Layer, M, N, K,\n" if is_product else HEADER
    header, path = text, folder / "net.csv"
    for kind in kinds:
        row = random_rows(rng, kind)
        path.write_text(header + row, encoding="utf-8")
        cycles = our_columns(path, array)["Total Cycles"]
        if min(cycles) >= 1 and sum(cycles) <= MOST_CYCLES:  # SCALE-Sim divides by 0 after a single cycle
            text += row
    job = {"rows": array.rows, "columns": array.columns, "dataflow": array.dataflow, "topology": text}
    return {**job, "is_product": is_product, "buffer_kib": BUFFERS_KIB[number % 2]}


def dram_rows(job: dict[str, Any], path: Path, report: dict[str, Any]) -> list[dict[str, float]]:
    """Elements between DRAM and buffers by operand, SCALE-Sim's and ours."""
    size = 1024 * job["buffer_kib"]
    array = SystolicArray(rows=job["rows"], columns=job["columns"], dataflow=job["dataflow"])
    configuration = ScaleSimConfiguration(
        name="", array=array, input_buffer_bytes=size, weight_buffer_bytes=size, output_buffer_bytes=size,
        bandwidth_elements_per_cycle=None,
    )  # fmt: skip
    system = configuration_system(configuration, sum_bytes=1.0)  # elements are compared, sums among them
    ours = report_systolic(topology_products(read_topology(path)), system).dram_bytes
    names = {"input": "DRAM IFMAP Reads", "weight": "DRAM Filter Reads", "output": "DRAM OFMAP Writes"}
    return [
        {f"{operand}_{side}": value for operand, name in names.items() for side, value in
         (("theirs", layer[name]), ("ours", float(ours[operand][index])))}
        for index, layer in enumerate(report["layers"])
    ]  # fmt: skip


def dram_summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    """By operand: layers in which both models move the same, and ours over theirs."""
    found: dict[str, Any] = {"layers": len(rows)}
    for operand in ("input", "weight", "output"):
        ratio = np.array([row[f"{operand}_ours"] / row[f"{operand}_theirs"] for row in rows])
        low, middle, high = np.quantile(ratio, (0.05, 0.5, 0.95)).tolist()
        found[operand] = {
            "equal_fraction": float((np.abs(ratio - 1) < 1e-9).mean()),
            "ours_over_theirs": {"5 %": low, "median": middle, "95 %": high},
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("python", help="The Python of an environment with scalesim 3.0.0.")
    parser.add_argument("--jobs", type=int, default=200)
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    layers: Counter[str] = Counter()
    mismatches: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    dram: dict[int, list[dict[str, float]]] = {size: [] for size in BUFFERS_KIB}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.csv"
        jobs = [random_job(rng, number, Path(folder)) for number in range(arguments.jobs)]
        jobs = [job for job in jobs if job["topology"].count("\n") > 1]
        for job, report in zip(jobs, reference_reports(arguments.python, jobs), strict=True):
            if "error" in report:
                failed.append({"job": job, "error": report["error"]})
                continue
            path.write_text(job["topology"], encoding="utf-8")
            array = SystolicArray(rows=job["rows"], columns=job["columns"], dataflow=job["dataflow"])
            differing = differing_cells(report, our_columns(path, array))
            mismatches.extend({"job": job, "layer": layer, "column": name} for layer, name in differing)
            for name in ("all", job["dataflow"], "products" if job["is_product"] else "convolutions"):
                layers[name] += len(report["layers"])
            dram[job["buffer_kib"]].extend(dram_rows(job, path, report))
    result = {
        "jobs": len(jobs),
        "layers": layers["all"],
        "layers_by_kind": {name: count for name, count in sorted(layers.items()) if name != "all"},
        "cells_compared": layers["all"] * len(COLUMNS),
        "cells_that_differ": len(mismatches),
        "mismatches": mismatches[:20],
        "jobs_that_scalesim_breaks_on": failed,
        "dram_elements": {f"buffers of {size} KiB": dram_summary(rows) for size, rows in dram.items()},
    }
    print(f"{result['layers']} layers, {result['cells_compared']} cells, {len(mismatches)} differ")
    print(f"{len(failed)} jobs failed in SCALE-Sim")
    for name, item in result["dram_elements"].items():
        print(name, item)
    print(f"written to {record('scalesim_equality', result, seed=SEED).name}")


if __name__ == "__main__":
    main()
