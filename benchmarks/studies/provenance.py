"""Writes the result of a study with where it comes from: command, commit, machine, versions, seed."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results"
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "onnx", "joblib")


def cpu_model() -> str:
    """The processor's name, as Linux tells it, or what Python knows."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """The commit the study ran on, marked ``+changes`` if tracked files of the package differ from it."""
    root = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=root, capture_output=True, text=True, check=False
        ).stdout.strip()

    changed = git(
        "status", "--porcelain", "--untracked-files=no", "--", "annette", "benchmarks/plans", "trained_models"
    )
    return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")


COMMIT = commit()
"""Taken when the study starts: what it writes itself is no change of what it ran on."""


def shown_command(words: list[str]) -> str:
    """The command of a study as a reader would type it; of absolute paths only the name."""
    shown = []
    for word in words[1:]:
        option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        is_absolute = Path(value).is_absolute()
        shown.append(f"{option}{equals}{Path(value).name}" if is_absolute else word)
    return " ".join(["python", f"benchmarks/studies/{Path(words[0]).name}", *shown])


def provenance(*, seed: int | None) -> dict[str, Any]:
    """What a reader needs to judge and repeat a result."""
    import xgboost

    return {
        "command": shown_command(sys.argv),
        "commit": COMMIT,
        "seed": seed,
        "machine": {"cpu": cpu_model(), "cores": os.cpu_count(), "system": platform.system()},
        "python": platform.python_version(),
        "versions": {**{name: version(name) for name in PACKAGES}, "xgboost": xgboost.__version__},
    }


def record(name: str, result: dict[str, Any], *, seed: int | None) -> Path:
    """Write ``benchmarks/results/NAME.json`` and return its path."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    document = {"study": name, "provenance": provenance(seed=seed), **result}
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path
