"""How much faster than SCALE-Sim 3.0.0 annette counts ResNet-18 on a 32 x 32 array, with the same results.

    python -m venv VENV && VENV/bin/pip install scalesim==3.0.0 numpy==2.3.5
    python benchmarks/studies/scalesim_speed.py VENV/bin/python

Both read the same topology file, made from zoo:resnet18, with memory stalls off; every column of every layer
is compared. SCALE-Sim runs beside it in the same session and takes minutes a dataflow. Times are processor
time, since the machine may be shared. Writes benchmarks/results/scalesim_speed.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from provenance import record
from scalesim_reference import COLUMNS, HEADER, differing_cells, our_columns, reference_reports

from annette.graph.geometry import layer_geometry
from annette.graph.network import Network
from annette.hardware.systolic_array import DATAFLOWS, SystolicArray
from annette.simulator.systolic import count_systolic
from annette.zoo.registry import zoo_network

SEED = 5
LAYERS = 100_000


def topology_text(network: Network) -> str:
    """The convolutions and matrix products of ``network`` as a topology of SCALE-Sim."""
    rows = []
    for layer in network.layers:
        size = layer_geometry(network, layer)
        if layer.op_type == "Conv":
            cells = (
                size.in_h, size.in_w, size.kernel_h, size.kernel_w, size.in_channels, size.out_channels,
                size.stride_h,
            )  # fmt: skip
        elif layer.op_type == "Gemm":
            cells = (1, 1, 1, 1, size.in_channels, size.out_channels, 1)
        else:
            continue
        rows.append(", ".join([f"L{len(rows)}", *map(str, cells)]) + ",\n")
    return HEADER + "".join(rows)


def cpu_s(action: Callable[[], object], *, at_least_s: float = 1.0) -> float:
    """Processor time of one call, from as many as take a second."""
    action()
    calls, start = 0, time.process_time()
    while (spent := time.process_time() - start) < at_least_s:
        action()
        calls += 1
    return spent / calls


def vectorised() -> list[dict[str, Any]]:
    """Layers a second of the closed form, for many random layers at once."""
    sizes = np.random.default_rng(SEED).integers(1, 4096, size=(3, LAYERS))
    rows = []
    for dataflow in DATAFLOWS:
        array = SystolicArray(rows=32, columns=32, dataflow=dataflow)
        seconds = cpu_s(lambda array=array: count_systolic(*sizes, array))  # type: ignore[misc]
        rows.append({"dataflow": dataflow, "layers": LAYERS, "layers_per_s": LAYERS / seconds})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("python", help="The Python of an environment with scalesim 3.0.0.")
    parser.add_argument("--dataflows", default=",".join(DATAFLOWS))
    arguments = parser.parse_args()
    text, rows = topology_text(zoo_network("resnet18")), []
    for dataflow in arguments.dataflows.split(","):
        array = SystolicArray(rows=32, columns=32, dataflow=dataflow)
        job = {"rows": 32, "columns": 32, "dataflow": dataflow, "topology": text, "is_product": False}
        report = reference_reports(arguments.python, [job])[0]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "resnet18.csv"
            path.write_text(text, encoding="utf-8")
            ours = our_columns(path, array)
            seconds = cpu_s(lambda path=path, array=array: our_columns(path, array))  # type: ignore[misc]
        differing = len(differing_cells(report, ours))
        rows.append(
            {
                "dataflow": dataflow,
                "layers": len(report["layers"]),
                "total_cycles": sum(ours["Total Cycles"]),
                "cells_compared": len(report["layers"]) * len(COLUMNS),
                "cells_that_differ": differing,
                "scalesim_cpu_s": report["cpu_s"],
                "scalesim_wall_s": report["wall_s"],
                "annette_cpu_s": seconds,
                "times_faster": report["cpu_s"] / seconds,
                "target_times_faster": 1e5,
                "met": differing == 0 and report["cpu_s"] / seconds >= 1e5,
            }
        )
        print(
            f"{dataflow}: {report['cpu_s']:.1f} s against {seconds * 1e6:.0f} us, "
            f"{rows[-1]['times_faster']:.3g} times faster, {differing} cells differ",
            flush=True,
        )
    result = {
        "what": "zoo:resnet18 on a 32 x 32 array: file read, all columns of all layers counted",
        "unit": "seconds of processor time",
        "resnet18": rows,
        "closed_form": vectorised(),
        "target_layers_per_s": 1e6,
    }
    print([f"{row['dataflow']}: {row['layers_per_s']:.3g} layers/s" for row in result["closed_form"]])
    print(f"written to {record('scalesim_speed', result, seed=SEED).name}")


if __name__ == "__main__":
    main()
