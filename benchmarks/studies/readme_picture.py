"""Draws the README's picture from the recorded study: predicted against measured on a real processor.

python benchmarks/studies/readme_picture.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "real_cpu.json"
PICTURE = ROOT / "docs" / "assets" / "predicted-measured.svg"
GROUPS = {
    "networks": ("real networks", "#26a69a", "o"),
    "fresh": ("held-out networks", "#ef6c00", "s"),
    "cells": ("NAS-Bench-101 cells", "#7986cb", "^"),
}
GREY = "#8a8a8a"
"""Readable on white and on black: the picture has no background of its own."""


def source_of(document: dict[str, Any]) -> str:
    """What the picture was drawn from; stands in its metadata, where a test looks for it."""
    return f"benchmarks/results/real_cpu.json, commit {document['provenance']['commit']}"


def main() -> None:
    document = json.loads(RESULT.read_text(encoding="utf-8"))
    mpl.rcParams.update({
        "svg.hashsalt": "annette", "svg.fonttype": "path", "font.size": 10, "text.color": GREY,
        "axes.labelcolor": GREY, "xtick.color": GREY, "ytick.color": GREY, "axes.edgecolor": GREY,
    })  # fmt: skip
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    shown = [row for row in document["networks"] if row["group"] in GROUPS]
    ends = [min(row["measured_s"] for row in shown) * 700, max(row["measured_s"] for row in shown) * 1400]
    axes.fill_between(
        ends, [0.9 * end for end in ends], [1.1 * end for end in ends], color=GREY, alpha=0.25, lw=0
    )
    axes.plot(ends, ends, color=GREY, lw=0.8)
    for group, (title, color, marker) in GROUPS.items():
        rows = [row for row in shown if row["group"] == group]
        mape = document["groups"][group]["learned"]["mixed"]["mape"]
        axes.scatter(
            [1e3 * row["measured_s"] for row in rows],
            [1e3 * row["predicted_s"]["mixed"] for row in rows],
            s=22, marker=marker, color=color, alpha=0.8, lw=0,
            label=f"{len(rows)} {title}, mean error {mape:.1%}",
        )  # fmt: skip
    axes.set(
        xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="measured latency, ms",
        ylabel="predicted latency, ms",
    )  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.set_title("ONNX Runtime on an AMD EPYC, one thread; the band is 10 % to either side", fontsize=10)
    axes.legend(frameon=False, loc="upper left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(
        PICTURE,
        transparent=True,
        metadata={"Date": None, "Creator": None, "Description": source_of(document)},
    )
    print(f"wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
