"""Targets and Markdown tables of the study of real devices.

python benchmarks/studies/real_cpu_tables.py benchmarks/results/real_cpu.json [--networks]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TITLES = {
    "networks": "real networks",
    "fresh": "held-out networks",
    "development": "networks of development",
    "cells": "NASBench-101 cells",
    "int8": "INT8 (QDQ)",
    "batch8": "batch 8",
    "five": "real networks",
    "ten": "real networks",
}
MODELS = ("roofline", "refined_roofline", "statistical", "mixed")
MAPE_TARGETS = {"int8": 0.10, "batch8": 0.10, "five": 0.10, "ten": 0.08}
"""Of the smaller groups, with the predicted mapping."""


def check_targets(document: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a target: what was reached and whether it is enough."""
    return [
        {**row, "met": row["reached"] <= row["target"] if row["most"] else row["reached"] >= row["target"]}
        for group, entry in document["groups"].items()
        for row in _rows(group, entry)
        if row["reached"] is not None
    ]


def _rows(group: str, entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    def row(figure: str, target: float, reached: float | None, *, most: bool) -> dict[str, Any]:
        return {"group": group, "figure": figure, "target": target, "reached": reached, "most": most}

    learned, oracle = entry["learned"]["mixed"], entry["oracle"].get("mixed")
    repeat, lookup = entry["repeat"], entry["lookup"]
    if group in ("networks", "fresh"):
        floor = 0.0 if repeat is None else repeat["mape"] + 0.02
        yield row("mape", max(0.05, floor), learned["mape"], most=True)
        yield row("worst", 0.15, learned["worst"], most=True)
        yield row("within_10_percent", 0.90, learned["within_10_percent"], most=False)
        if oracle is not None:
            yield row("mape above oracle", 0.01, learned["mape"] - oracle["mape"], most=True)
        if lookup is not None:
            yield row("mape above look-up", 0.0, learned["mape"] - lookup["mape"], most=True)
    elif group == "cells":
        yield row("spearman", 0.99, learned["spearman"], most=False)
    elif group in MAPE_TARGETS:
        yield row("mape", MAPE_TARGETS[group], learned["mape"], most=True)


def markdown(document: dict[str, Any]) -> str:
    """The table of `group_table`, then what the targets say."""
    lines = [group_table(document)]
    for row in document["targets"]:
        sign = "<=" if row["most"] else ">="
        verdict = "met" if row["met"] else "MISSED"
        figure = f"{row['group']} {row['figure']} {row['reached']:.4f}"
        lines.append(f"{verdict}: {figure} (target {sign} {row['target']:.4f})")
    return "\n\n".join(lines)


def group_table(document: dict[str, Any]) -> str:
    """One row a group and way to predict."""
    head = [
        "networks",
        "predicted by",
        "MAPE",
        "bias",
        "worst",
        "within 10 %",
        "Spearman",
        "kernels mapped exactly",
    ]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for group, entry in document["groups"].items():
        mapped = entry["mapping"]["accuracy"]
        for way, figures in _ways(entry):
            rank = figures["spearman"]
            cells = [
                f"{figures['networks']} {TITLES.get(group, group)}",
                way,
                f"{figures['mape']:.1%}",
                f"{figures['bias']:+.1%}",
                f"{figures['worst']:.1%}",
                f"{figures['within_10_percent']:.0%}",
                "-" if rank is None else f"{rank:.4f}",
                f"{mapped:.1%}" if way.startswith("**mixed") and mapped is not None else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


RESULTS = {
    "real_cpu": "ONNX Runtime",
    "real_cpu_quick": "ONNX Runtime, `cpu-quick`",
    "real_cpu_two_threads": "ONNX Runtime, 2 threads",
    "real_cpu_openvino": "OpenVINO",
}
"""What was trained and judged, by the name of the result."""


def overview_table(documents: Mapping[str, dict[str, Any]]) -> str:
    """One row a result and group: the mixed model, and the MAPE of what it is compared with."""
    head = ["trained on", "networks", "MAPE of **mixed**", "bias", "worst", "within 10 %", "Spearman"]
    head += ["with the runtime's own mapping", "sum of kernels alone", "measured again", "mapped exactly"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name in RESULTS:
        for group, entry in documents[name]["groups"].items() if name in documents else ():
            mixed = entry["learned"]["mixed"]
            others = [entry["oracle"].get("mixed"), entry["lookup"], entry["repeat"]]
            mapped = entry["mapping"]["accuracy"]
            cells = [
                RESULTS[name],
                f"{mixed['networks']} {TITLES.get(group, group)}",
                f"{mixed['mape']:.1%}",
                f"{mixed['bias']:+.1%}",
                f"{mixed['worst']:.1%}",
                f"{mixed['within_10_percent']:.0%}",
                "-" if mixed["spearman"] is None or mixed["networks"] < 8 else f"{mixed['spearman']:.4f}",
                *("" if other is None else f"{other['mape']:.1%}" for other in others),
                "" if mapped is None else f"{mapped:.1%}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ways(entry: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for model in MODELS:
        title = f"**{model}**" if model == "mixed" else model.replace("_", " ")
        yield title, entry["learned"][model]
    if "mixed" in entry["oracle"]:
        yield "mixed, the runtime's own mapping", entry["oracle"]["mixed"]
    if entry["lookup"] is not None:
        yield "sum of its kernels measured alone", entry["lookup"]
    if entry["repeat"] is not None:
        yield "the measurement, repeated", entry["repeat"]


def network_table(document: dict[str, Any]) -> str:
    """One row a network: measured, predicted, error, repeatability, kernels."""
    head = [
        "network",
        "group",
        "measured ms",
        "mixed ms",
        "error",
        "own mapping",
        "look-up",
        "repeated",
        "kernels",
    ]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for item in document["networks"]:
        measured, halves = item["measured_s"], item["halves_s"]
        oracle, lookup = item["oracle_s"].get("mixed"), item["lookup_s"]
        kernels = item["measured_kernels"]
        cells = [
            item["name"],
            item["group"],
            f"{measured * 1e3:.2f}",
            f"{item['predicted_s']['mixed'] * 1e3:.2f}",
            f"{item['predicted_s']['mixed'] / measured - 1:+.1%}",
            "" if oracle is None else f"{oracle / measured - 1:+.1%}",
            "" if lookup is None else f"{lookup / measured - 1:+.1%}",
            "" if halves is None else f"{halves[1] / halves[0] - 1:+.1%}",
            ""
            if kernels is None
            else f"{item['exact_kernels']} of {kernels}, {item['predicted_kernels']} expected",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("result", type=Path)
    parser.add_argument("--networks", action="store_true", help="one row a network instead")
    arguments = parser.parse_args()
    document = json.loads(arguments.result.read_text(encoding="utf-8"))
    print(network_table(document) if arguments.networks else markdown(document))


if __name__ == "__main__":
    main()
