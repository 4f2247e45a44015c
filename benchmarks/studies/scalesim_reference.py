"""SCALE-Sim 3.0.0 beside annette: its reports on topologies, ours on the same files, where they differ."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from annette.hardware.scalesim_files import read_topology
from annette.hardware.systolic_array import SystolicArray
from annette.simulator.products import topology_products
from annette.simulator.systolic import count_systolic

HEADER = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
)
COLUMNS = (
    "Total Cycles", "Overall Util %", "Mapping Efficiency %", "Compute Util %",
    "SRAM IFMAP Reads", "SRAM Filter Reads", "SRAM OFMAP Writes",
)  # fmt: skip


def reference_reports(python: str, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What SCALE-Sim answers, run by its own Python; see scalesim_run.py for the jobs."""
    script = Path(__file__).with_name("scalesim_run.py")
    done = subprocess.run(
        [python, str(script)], input=json.dumps(jobs), capture_output=True, text=True, check=True
    )
    reports: list[dict[str, Any]] = json.loads(done.stdout)
    return reports


def our_columns(path: Path, array: SystolicArray) -> dict[str, list[float]]:
    """SCALE-Sim's columns as annette counts them for the topology in ``path``."""
    products = topology_products(read_topology(path))
    counts = count_systolic(products.m, products.k, products.n, array)
    values = (
        counts.total_cycles, 100 * counts.overall_efficiency(array), 100 * counts.mapping_efficiency,
        100 * counts.compute_efficiency, counts.input_reads, counts.weight_reads, counts.output_writes,
    )  # fmt: skip
    return {name: column.tolist() for name, column in zip(COLUMNS, values, strict=True)}


def differing_cells(report: dict[str, Any], ours: dict[str, list[float]]) -> list[tuple[int, str]]:
    """Layer and column of cells that are not equal: whole numbers exactly, shares to rounding (1e-12)."""
    if len(report["layers"]) != len(ours["Total Cycles"]):
        raise SystemExit(
            f"{len(report['layers'])} layers in SCALE-Sim, {len(ours['Total Cycles'])} in annette"
        )
    return [
        (index, name)
        for index, layer in enumerate(report["layers"])
        for name in COLUMNS
        if abs(layer[name] - ours[name][index]) > (1e-12 * abs(layer[name]) if "%" in name else 0)
    ]
