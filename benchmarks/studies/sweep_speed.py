"""How fast design-space studies are: a sweep of 1,000 points, single networks, and the closed forms.

    python benchmarks/studies/sweep_speed.py [--jobs 2]

Every row has wall time and, where one process does the work, its processor time: the machine may be shared.
Writes benchmarks/results/sweep_speed.json.
"""

from __future__ import annotations

import argparse
import functools
import gc
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from provenance import record

from annette.explore.sweep import run_sweep
from annette.explore.sweep_axes import parse_axis
from annette.hardware.codec import list_accelerators, load_accelerator
from annette.hardware.systolic_array import SystolicArray
from annette.simulator.nvdla_description import Nvdla, SheetLayer, stack_layers
from annette.simulator.nvdla_layers import sheet_network
from annette.simulator.nvdla_sheet import evaluate_sheet
from annette.simulator.run import simulate
from annette.simulator.systolic import count_systolic
from annette.zoo.registry import zoo_network
from annette.zoo.suites import suite_networks

SUITES = ("classic12", "modern12")
NETWORK_TARGET_S, SWEEP_TARGET_S, LAYERS_PER_S = 0.050, 60.0, 1e6
SWEEPS = {
    "zcu102-dpu": (
        "array.unroll.out_channels=4..64*2",
        "memories[0].size_bytes=65536..1048576*2",
        "external_memory.bandwidth_bytes_per_s=2e9..16e9+2e9",
        "clock_hz+vector.clock_hz=1e8..5e8+1e8",
    ),
    "systolic-32x32-ws": (
        "array.systolic.rows=8..128*2",
        "array.systolic.columns=8..128*2",
        "memories[0].size_bytes=65536..1048576*2",
        "external_memory.bandwidth_bytes_per_s=2e9..16e9+2e9",
    ),
}
"""1,000 points each."""


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of ``action``."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - cpu


def clear_caches() -> None:
    """Forget what the simulator has seen before: every network is timed cold."""
    for item in gc.get_objects():
        if isinstance(item, functools._lru_cache_wrapper):
            module = getattr(item, "__module__", None) or ""
            if module.startswith("annette.simulator"):
                item.cache_clear()


def network_rows() -> Iterator[dict[str, Any]]:
    """Every suite network on every preset, cold: the least of three runs, since others disturb."""
    for device, _ in list_accelerators():
        accelerator = load_accelerator(device)
        times = {}
        for suite in SUITES:
            for network in suite_networks(suite):
                found = []
                for _ in range(3):
                    clear_caches()
                    found.append(timed(functools.partial(simulate, network, accelerator)))
                times[network.name] = min(wall for wall, _ in found), min(cpu for _, cpu in found)
        cpus = {name: cpu for name, (_, cpu) in times.items()}
        worst = max(cpus, key=lambda name: cpus[name])
        yield (
            {
                "what": f"simulate a suite network on {device}, cold",
                "networks": len(times),
                "wall_s": statistics.median(wall for wall, _ in times.values()),
                "cpu_s": statistics.median(cpus.values()),
                "worst_network": worst,
                "worst_wall_s": times[worst][0],
                "worst_cpu_s": cpus[worst],
                "target_s": NETWORK_TARGET_S,
                "over_target": sorted(name for name, cpu in cpus.items() if cpu > NETWORK_TARGET_S),
                "met": cpus[worst] <= NETWORK_TARGET_S,
            }
        )


def sweep_rows(jobs: int) -> Iterator[dict[str, Any]]:
    """1,000 points of ResNet-50, in one process and in ``jobs``, each with cold caches."""
    network = zoo_network("resnet50")
    for device, texts in SWEEPS.items():
        accelerator, axes = load_accelerator(device), [parse_axis(text) for text in texts]
        for processes in (1, jobs):
            clear_caches()
            studies: list[Any] = []

            def run(processes: int = processes, studies: list[Any] = studies) -> None:
                studies.append(run_sweep([network], accelerator, axes, jobs=processes))  # noqa: B023

            wall, cpu = timed(run)
            study = studies[0]
            assert len(study.points) == study.planned == 1000
            yield (
                {
                    "what": f"sweep of 1,000 points of ResNet-50 on {device}, {processes} process(es)",
                    "wall_s": wall,
                    "cpu_s": cpu if processes == 1 else None,
                    "front": len(study.front),
                    "target_s": SWEEP_TARGET_S if processes == jobs else None,
                    "met": wall <= SWEEP_TARGET_S if processes == jobs else None,
                }
            )


def closed_form_rows() -> Iterator[dict[str, Any]]:
    """Layers a second of the two closed forms, on columns of many layers."""
    rng, count = np.random.default_rng(1), 200_000
    m, k, n = (rng.integers(1, 4096, count) for _ in range(3))
    for dataflow in ("OS", "WS", "IS"):
        array = SystolicArray(rows=32, columns=32, dataflow=dataflow)
        found = [timed(lambda array=array: count_systolic(m, k, n, array)) for _ in range(5)]  # type: ignore[misc]
        yield _layer_row(f"count_systolic, {dataflow}", count, found)
    layers: list[SheetLayer] = list(sheet_network(zoo_network("resnet50")).layers)
    table = stack_layers(layers * (count // len(layers)))
    for traffic in ("once", "refetch"):
        npu = Nvdla(
            macs_per_cycle=2048, buffer_bytes=2**19, clock_hz=1e9, dram_bytes_per_s=10e9, traffic=traffic
        )
        found = [timed(lambda npu=npu: evaluate_sheet(table, npu)) for _ in range(5)]  # type: ignore[misc]
        yield _layer_row(f"evaluate_sheet, {traffic}", len(table.names), found)


def _layer_row(what: str, count: int, found: list[tuple[float, float]]) -> dict[str, Any]:
    wall, cpu = min(item[0] for item in found), min(item[1] for item in found)
    return {
        "what": f"{what}, {count} layers at once",
        "wall_s": wall,
        "cpu_s": cpu,
        "layers_per_cpu_s": count / cpu,
        "target_layers_per_s": LAYERS_PER_S,
        "met": count / cpu >= LAYERS_PER_S,
    }


def _print_row(row: dict[str, Any]) -> None:
    cpu = "" if row["cpu_s"] is None else f"{row['cpu_s'] * 1e3:9.1f} ms of processor"
    rest = ""
    if "worst_network" in row:
        rest = f"worst {row['worst_network']} {row['worst_cpu_s'] * 1e3:.1f} ms"
    if "layers_per_cpu_s" in row:
        rest = f"{row['layers_per_cpu_s']:.3g} layers/s"
    print(f"{row['what']:68} {row['wall_s'] * 1e3:9.1f} ms {cpu:28} {rest}  met: {row['met']}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=2)
    jobs = parser.parse_args().jobs
    load_before = os.getloadavg()
    rows = []
    for row in itertools.chain(closed_form_rows(), sweep_rows(jobs), network_rows()):
        rows.append(row)
        _print_row(row)
    load = {"load_before": list(load_before), "load_after": list(os.getloadavg())}
    print(f"written to {record('sweep_speed', {'machine_load': load, 'rows': rows}, seed=1).name}")


if __name__ == "__main__":
    main()
