"""The table of docs/compare.md from benchmarks/results/error_sources.json."""

from __future__ import annotations

from typing import Any

__all__ = ["sources_table"]

_SHOWN = 8
_GROUPS = {"networks": "real networks", "fresh": "held-out networks"}


def sources_table(document: dict[str, Any]) -> str:
    """One row a part of the error, the largest first: its mean size and its mean with the sign, by group."""
    groups = {words: document["groups"][name] for name, words in _GROUPS.items()}
    head = ["part"]
    for words, group in groups.items():
        head += [f"{group['networks']} {words}: size", "with sign", "the largest part of"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    known = {name for group in groups.values() for name in group["parts"]}
    sizes = {name: max(_size(group, name) for group in groups.values()) for name in known}
    for name in sorted(known, key=lambda name: (-sizes[name], name))[:_SHOWN]:
        cells = [name]
        for group in groups.values():
            part = group["parts"].get(name)
            cells += ["-"] * 3 if part is None else _cells(part)
        lines.append(f"| {' | '.join(cells)} |")
    cells = ["**whole error**"]
    for group in groups.values():
        cells += [f"{group['mape']:.1%}", "-", "-"]
    return "\n".join([*lines, f"| {' | '.join(cells)} |"])


def _size(group: dict[str, Any], name: str) -> float:
    return float(group["parts"].get(name, {}).get("mean_absolute", 0.0))


def _cells(part: dict[str, Any]) -> list[str]:
    return [f"{part['mean_absolute']:.1%}", f"{part['mean']:+.1%}", f"{part['leads']}"]
