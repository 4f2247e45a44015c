"""Writes the tables of README and docs from benchmarks/results: accuracy, real processors, search spaces.

python benchmarks/studies/readme_tables.py [--check]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from error_tables import sources_table
from interval_tables import cost_table, intervals_table
from non_additivity_tables import non_additivity_table
from real_cpu_tables import overview_table

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
RESULT = ROOT / "benchmarks" / "results" / "accuracy.json"
SHORT_PROCESSORS = {
    "real_cpu": "AMD EPYC, ONNX Runtime",
    "real_cpu_quick": "the same, small campaign",
    "real_cpu_openvino": "AMD EPYC, OpenVINO",
}
SHORT_GROUPS = {"networks": "real networks", "fresh": "held-out networks", "ten": "real networks"}
SHORT_SUITES = {
    "classic12": "12 networks of 2014 to 2018",
    "modern12": "12 others, transformers among them",
    "nasbench101-500": "500 cells of NAS-Bench-101",
}
MODELS = {
    "roofline": "roofline",
    "refined_roofline": "refined",
    "statistical": "statistical",
    "mixed": "**mixed**",
}


def accuracy_table(document: dict[str, Any]) -> str:
    """One row a platform and suite: MAPE of the four models, then rank, kernels and mapping of mixed."""
    head = ["platform", "networks", *(f"MAPE {title}" for title in MODELS.values())]
    head += ["Spearman of mixed", "kernel MAPE of mixed", "kernels mapped exactly"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for platform, entry in document["platforms"].items():
        for name, suite in entry["suites"].items():
            mixed = suite["models"]["mixed"]
            cells = [platform, name, *(f"{suite['models'][model]['mape']:.1%}" for model in MODELS)]
            cells += [
                f"{mixed['spearman']:.4f}",
                f"{mixed['kernel_mape']:.1%}",
                f"{suite['mapping_accuracy']:.1%}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def short_table(accuracy: dict[str, Any], processors: dict[str, dict[str, Any]]) -> str:
    """What a reader of the README wants to know of the default model, real devices first."""
    head = ("device", "networks", "mean error", "measured again", "within 10 %", "Spearman")
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]

    def row(device: str, networks: str, figures: dict[str, Any], repeat: dict[str, Any] | None = None) -> str:
        again = "-" if repeat is None else f"{repeat['mape']:.1%}"
        near, rank = f"{figures['within_10_percent']:.0%}", f"{figures['spearman']:.3f}"
        return f"| {device} | {networks} | {figures['mape']:.1%} | {again} | {near} | {rank} |"

    for study, title in SHORT_PROCESSORS.items():
        for group, words in SHORT_GROUPS.items():
            entry = processors[study]["groups"].get(group)
            if entry is not None:
                figures = entry["learned"]["mixed"]
                lines.append(row(title, f"{figures['networks']} {words}", figures, entry["repeat"]))
    for platform, entry in accuracy["platforms"].items():
        for name, words in SHORT_SUITES.items():
            figures = entry["suites"][name]["models"]["mixed"]
            lines.append(row(f"`{platform}`, simulated", words, figures))
    return "\n".join(lines)


def fidelity_table(document: dict[str, Any]) -> str:
    """One row a platform and search space: how the mixed model ranks it, also among neighbours."""
    head = ["platform", "networks", "MAPE", "Spearman", "in each quartile of latency", "Kendall"]
    head += ["fastest 1 % found", "most lost under a budget", "kernels mapped exactly"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for platform, entry in document["platforms"].items():
        for name, suite in entry["suites"].items():
            mixed = suite["models"]["mixed"]
            ranking = mixed["ranking"]
            top = min(ranking["top"], key=lambda item: abs(item["k"] - suite["networks"] / 100))
            lost = [item["regret_fraction"] for item in ranking["budgets"]]
            cells = [
                platform, name, f"{mixed['mape']:.2%}", f"{mixed['spearman']:.4f}",
                " ".join(f"{item['spearman']:.3f}" for item in ranking["quartiles"]),
                f"{mixed['kendall_tau']:.3f}", f"{top['overlap']:.0%}",
                f"{max(item for item in lost if item is not None):.1%}", f"{suite['mapping_accuracy']:.2%}",
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def speed_table(document: dict[str, Any]) -> str:
    """One row a figure with a target, on the first platform; of one and two processes the better one."""
    found: dict[str, dict[str, Any]] = {}
    for row in document["rows"]:
        if row.get("target") is None or "value" not in row or row.get("platform") not in (None, "zcu102-dpu"):
            continue
        other = found.get(row["what"])
        sign = 1 if row.get("more_is_better") else -1
        if other is None or sign * row["value"] > sign * other["value"]:
            found[row["what"]] = row
    lines = ["| what | measured | target | |", "|---|---|---|---|"]
    for what, row in found.items():
        verdict = {True: "met", False: "**missed**", None: "open: a lower bound"}[row["met"]]
        measured, target = (f"{_number(row[key])} {row['unit']}" for key in ("value", "target"))
        lines.append(f"| {what} | {measured} | {target} | {verdict} |")
    return "\n".join(lines)


def few_table(document: dict[str, Any], intervals: dict[str, Any]) -> str:
    """One row a space and group of devices: ranks by what a device is known from, error and coverage.

    Coverage at ten samples is out of few_intervals.json: of numbers that did not see the device's chip.
    """
    unseen = _unseen_coverage(intervals)
    columns = tuple(
        f"{count} {key}" for count in (10, 20) for key in ("random", "designed", "designed with sources")
    )
    head = [
        "space",
        "devices",
        "MACs alone",
        *columns,
        "oracle",
        "MAPE at 20 designed",
        "covered at 10 designed",
    ]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for space, entry in document["spaces"].items():
        groups = entry["summary"]
        for title, figures in groups.items():
            if title != "all" and figures["devices"] == groups["all"]["devices"]:
                continue
            cells = [space, f"{len(figures['devices'])}" + ("" if title == "all" else f", {title}")]
            cells += [f"{figures['macs_spearman']:.3f}"]
            cells += [f"{figures[column]['spearman']:.3f}" for column in columns]
            cells += [f"{figures['oracle_spearman']:.3f}", f"{figures['20 designed']['mape']:.1%}"]
            covered = [unseen[space, device] for device in figures["devices"]]
            cells += [f"{sum(covered) / len(covered):.0%}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _unseen_coverage(intervals: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Coverage at ten designed samples by space and device, of numbers that did not see the chip."""
    rows = ((*key.split("/"), entry["10 designed"]) for key, entry in intervals["coverage"].items())
    return {(space.partition(",")[0], device): covered for space, device, covered in rows}


def few_covered_table(intervals: dict[str, Any]) -> str:
    """How many columns have about what their intervals promise, by number and sort of samples."""
    lines = ["| samples | source devices | worst | test devices | worst |", "|---|---|---|---|---|"]
    groups = [intervals["summary"][name] for name in ("source devices, each chip left out", "test devices")]
    for title in groups[0]:
        cells = [title]
        for group in groups:
            figures = group[title]
            cells += [f"{figures['at least 85 %']} of {figures['devices']}", f"{figures['least']:.0%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def prior_table(document: dict[str, Any]) -> str:
    """What a platform of a simulated board tells of the real one, by measured networks."""
    ways = ("without prior", "factor and constant", "with prior")
    head = (
        "measured networks",
        "without",
        "covered",
        "platform x factor + constant",
        "`--source`",
        "covered",
    )
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    first = document["0"]["with prior"]["all"]
    macs = document["0"]["macs_spearman"]
    start = f"{first['spearman']:.3f}, {first['mape']:.1%} (`estimate`)"
    lines.append(f"| 0 | {macs:.3f} (MACs) | - | - | {start} | - |")
    for count in ("5", "10", "20"):
        found = [document[count][f"designed, {way}"] for way in ways]
        cells = []
        for item in found:
            cells.append(f"{item['spearman']['mean']:.3f}, {item['mape']['mean']:.1%}")
            if "coverage" in item:
                cells.append(f"{item['coverage']['mean']:.0%}")
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def few_tasks_table(document: dict[str, Any]) -> str:
    """The published tasks, as far as their devices are there."""
    columns = ("10 random", "10 random with sources", "20 random", "20 random with sources")
    head = ["space, task", "test devices", *columns, "oracle"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for space, entry in document["spaces"].items():
        for task, found in entry.get("tasks", {}).items():
            devices = found["devices"]
            oracle = sum(entry["devices"][name]["oracle_spearman"] for name in devices) / len(devices)
            ranks = [f"{found['mean'][column]['spearman']:.3f}" for column in columns]
            lines.append(f"| {space}, {task} | {', '.join(devices)} | {' | '.join(ranks)} | {oracle:.3f} |")
    return "\n".join(lines)


def few_devices_table(document: dict[str, Any], intervals: dict[str, Any]) -> str:
    """Every device: rank with its spread over seeds, error and coverage at ten and twenty samples."""
    unseen = _unseen_coverage(intervals)
    head = ["space", "device", "10: Spearman", "MAPE", "covered", "20: Spearman", "MAPE", "covered", "oracle"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    formulas = set(document["formulas"])
    for space, entry in document["spaces"].items():
        for device, found in entry["devices"].items():
            cells = [space, f"{device} *" if f"{space}/{device}" in formulas else device]
            for count in ("10 designed", "20 designed"):
                rank, error = found[count]["spearman"], found[count]["mape"]["mean"]
                of_ten = count == "10 designed"
                covered = unseen[space, device] if of_ten else found[count]["coverage"]["mean"]
                cells += [f"{rank['mean']:.3f} ± {rank['sd']:.3f}", f"{error:.1%}", f"{covered:.0%}"]
            lines.append(f"| {' | '.join([*cells, format(found['oracle_spearman'], '.3f')])} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def with_table(readme: str, table: str, mark: str = "accuracy") -> str:
    """The README's text with the table between its two marks; as it was where it has none."""
    return re.sub(
        rf"(<!-- {mark}: .*? -->\n).*?(<!-- end of {mark} -->)",
        lambda match: f"{match[1]}{table}\n{match[2]}",
        readme,
        flags=re.DOTALL,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="only say whether the README is up to date")
    arguments = parser.parse_args()
    stale = False
    for page, tables in _tables().items():
        before = page.read_text(encoding="utf-8")
        after = before
        for mark, table in tables.items():
            after = with_table(after, table, mark)
        stale |= before != after
        if not arguments.check:
            page.write_text(after, encoding="utf-8")
    sys.exit(arguments.check and stale)


def _tables() -> dict[Path, dict[str, str]]:
    """By page the tables between its marks."""

    def load(name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((RESULT.parent / f"{name}.json").read_text(encoding="utf-8"))
        return document

    processors = {path.stem: load(path.stem) for path in RESULT.parent.glob("real_cpu*.json")}
    return {
        README: {"short": short_table(load("accuracy"), processors)},
        ROOT / "docs" / "accuracy.md": {
            "accuracy": accuracy_table(load("accuracy")),
            "real_cpu": overview_table(processors),
        },
        ROOT / "docs" / "few_measurements.md": {
            "few": few_table(load("few_measurements"), load("few_intervals")),
            "prior": prior_table(load("prior_zcu102")),
            "few_covered": few_covered_table(load("few_intervals")),
            "few_tasks": few_tasks_table(load("few_measurements")),
            "few_devices": few_devices_table(load("few_measurements"), load("few_intervals")),
        },
        ROOT / "docs" / "compare.md": {"sources": sources_table(load("error_sources"))},
        ROOT / "docs" / "evaluation.md": {"fidelity": fidelity_table(load("nas_fidelity"))},
        ROOT / "docs" / "search.md": {"speed": speed_table(load("nas_speed"))},
        ROOT / "docs" / "method.md": {"non_additivity": non_additivity_table(load("non_additivity"))},
        ROOT / "docs" / "intervals.md": {
            "intervals": intervals_table(load("intervals")),
            "intervals_cost": cost_table(load("intervals")),
        },
    }


if __name__ == "__main__":
    main()
