"""The tables of docs/intervals.md from benchmarks/results/intervals.json."""

from __future__ import annotations

from typing import Any

__all__ = ["cost_table", "intervals_table"]


def intervals_table(document: dict[str, Any]) -> str:
    """One row a platform and suite: how many networks lie inside, how wide intervals are, and the targets."""
    head = ["platform", "networks", "", "networks inside", "median half-width", "MAPE", "width / MAPE"]
    head += ["kernels inside"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for platform, entry in document["platforms"].items():
        for name, suite in entry["suites"].items():
            inside, width = f"{suite['coverage']:.1%}", f"{suite['width_over_mape']:.1f}"
            cells = [
                platform, name, f"{suite['networks']}",
                inside if suite["coverage_met"] else f"**{inside}**",
                f"{suite['median_half_width']:.1%}", f"{suite['mape']:.1%}",
                width if suite["width_met"] else f"**{width}**",
                f"{suite['kernel_coverage']:.1%}",
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def cost_table(document: dict[str, Any]) -> str:
    """One row a platform and space: processor time with intervals over that without."""
    lines = ["| platform | space | architectures | new kernels | known kernels |", "|---|---|---|---|---|"]
    for platform, entry in document["platforms"].items():
        for space, row in entry.get("cost", {}).items():
            cells = [platform, space, f"{row['architectures']:,}", f"{row['new']:.2f}", f"{row['known']:.2f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
