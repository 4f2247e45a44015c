"""How fast annette answers: cold start, second estimate, ONNX files, simulator; beside a reference.

    python benchmarks/studies/speed.py [--platform zcu102-dpu]

Wall times on a shared machine are noisy: rows also give the ratio to something timed in the same session.
Writes benchmarks/results/speed.json.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from provenance import record

import annette
from annette.backends.registry import open_device
from annette.benchmark.plan import load_plan, plan_campaign
from annette.graph.onnx_writer import write_onnx
from annette.zoo.registry import zoo_network
from annette.zoo.suites import suite_networks


def median_s(action: Callable[[], object], repeats: int) -> float:
    """Median wall time of ``action``, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def process_s(*words: str, repeats: int = 7) -> float:
    """Median wall time of a fresh Python process, in seconds."""
    return median_s(
        lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True), repeats
    )


def cold_start(platform: str) -> dict[str, Any]:
    """``annette estimate`` in a fresh process, beside a process that only imports XGBoost."""
    estimate_s = process_s("-m", "annette", "estimate", "zoo:resnet50", "--platform", platform)
    return {
        "what": "annette estimate zoo:resnet50, fresh process",
        "seconds": estimate_s,
        "target_s": 2.5,
        "reference": "python -c 'import xgboost', fresh process",
        "reference_s": process_s("-c", "import xgboost"),
    }


def second_estimates(platform: str) -> list[dict[str, Any]]:
    """In-process estimates of ResNet-50 from a network and from a file with its weights."""
    trained = annette.load(platform)
    network = zoo_network("resnet50")
    trained.estimate(network)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet50.onnx"
        write_onnx(network, path)
        trained.estimate(path)
        reference_s = median_s(lambda: onnx.shape_inference.infer_shapes(onnx.load(path)), 7)
        from_file_s = median_s(lambda: trained.estimate(path), 25)
    reference = {"reference": "onnx.load + onnx.shape_inference of the same file", "reference_s": reference_s}
    from_network_s = median_s(lambda: trained.estimate(network), 50)
    fresh_s = median_s(lambda: trained.estimate(zoo_network("resnet50")), 25)
    return [
        {"what": "estimate, same Network object", "seconds": from_network_s, "target_s": 0.010, **reference},
        {"what": "build the network and estimate", "seconds": fresh_s, "target_s": None, **reference},
        {"what": "estimate, ONNX file with weights", "seconds": from_file_s, "target_s": 0.060, **reference},
    ]


def simulator_rows(device: str) -> list[dict[str, Any]]:
    """The simulator on a suite and on a thousand micro-kernels, in one process."""
    backend = open_device(device)
    rows = []
    for network in suite_networks("classic12"):
        seconds = median_s(lambda item=network: backend.measure(item, seed=1), 1)  # type: ignore[misc]
        rows.append({"what": f"simulate {network.name}", "seconds": seconds, "target_s": 0.050})
    tasks = [task for task in plan_campaign(load_plan("standard")) if task.category == "micro-kernel"][::5]
    seconds = median_s(lambda: [backend.measure(task.network, seed=1) for task in tasks], 1)
    rows.append(
        {
            "what": "simulate 5,000 micro-kernels (from a fifth of them)",
            "seconds": seconds * 5000 / len(tasks),
            "target_s": 60.0,
        }
    )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--platform", default="zcu102-dpu")
    arguments = parser.parse_args()
    rows = [
        cold_start(arguments.platform),
        *second_estimates(arguments.platform),
        *simulator_rows(arguments.platform),
    ]
    for row in rows:
        if row.get("reference_s"):
            row["ratio_to_reference"] = row["seconds"] / row["reference_s"]
        row["met"] = None if row["target_s"] is None else row["seconds"] <= row["target_s"]
        ratio = f"{row['ratio_to_reference']:.3f} x {row['reference']}" if "ratio_to_reference" in row else ""
        target = f"target {row['target_s'] * 1e3:8.1f} ms" if row["target_s"] else " " * 18
        print(f"{row['what']:52} {row['seconds'] * 1e3:9.2f} ms   {target}  {ratio}")
    print(f"written to {record('speed', {'rows': rows}, seed=1).name}")


if __name__ == "__main__":
    main()
