"""Trains the platforms that ship in trained_models/: the standard campaign, then the generator.

    python benchmarks/studies/train_platforms.py [--jobs 2] [--device zcu102-dpu --device ncs2]

Uses the same commands a user types, and records their times in benchmarks/results/train_platforms.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from provenance import record

TRAINED = Path(__file__).resolve().parents[2] / "trained_models"


def annette(*words: str) -> float:
    """Run one annette command; returns its wall time in seconds."""
    print("$ annette", *words, flush=True)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "annette", *words], check=True)
    return time.perf_counter() - start


def folder_bytes(path: Path) -> int:
    """Size of all files in a folder."""
    return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", action="append", help="a simulated device; may be repeated")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    for device in arguments.device or ["zcu102-dpu", "ncs2"]:
        with tempfile.TemporaryDirectory() as folder:
            store = str(Path(folder) / f"{device}.db")
            jobs = ("--jobs", str(arguments.jobs))
            benchmark_s = annette(
                "benchmark", "--device", device, "--plan", "standard", "--store", store, *jobs
            )
            target = TRAINED / device
            train_s = annette(
                "train", store, "--output", str(target), "--force", "--seed", str(arguments.seed)
            )
        result[device] = {
            "benchmark_s": benchmark_s,
            "train_s": train_s,
            "together_s": benchmark_s + train_s,
            "folder_bytes": folder_bytes(target),
        }
        print(
            f"{device}: campaign {benchmark_s:.0f} s, training {train_s:.0f} s, "
            f"{folder_bytes(target) / 1e6:.1f} MB"
        )
    record("train_platforms", result, seed=arguments.seed)


if __name__ == "__main__":
    main()
