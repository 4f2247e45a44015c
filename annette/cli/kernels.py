"""Prints the kernels of a measurement or an estimate: the costly ones first, then the shares by family."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from annette.cli.console import print_line, print_table
from annette.units import format_fraction, format_joules, format_number, format_seconds

__all__ = ["print_kernels"]


def print_kernels(kernels: Sequence[Mapping[str, Any]], total_s: float, *, show_all: bool) -> None:
    """A table of kernels; the ten that take longest unless all are wanted (then in order of execution)."""
    if not kernels:
        return
    shown = list(kernels) if show_all else sorted(kernels, key=lambda item: -item["latency_s"])[:10]
    has_energy = any(kernel.get("energy_j") is not None for kernel in kernels)
    has_ends = show_all and any(kernel.get("interval_s") is not None for kernel in kernels)
    rows = [
        (
            _shorten(kernel["name"]),
            str(kernel["family"]),
            str(kernel.get("unit") or "-"),
            str(kernel.get("bound") or "-"),
            format_seconds(kernel["latency_s"]),
            _share(kernel["latency_s"], total_s),
            *((_ends(kernel.get("interval_s")),) if has_ends else ()),
            *((_energy(kernel.get("energy_j")),) if has_energy else ()),
        )
        for kernel in shown
    ]
    more = [name for name, is_known in (("90 % interval", has_ends), ("energy", has_energy)) if is_known]
    columns = ("kernel", "family", "unit", "bound", "latency", "share", *more)
    print_table(columns, rows, left=4, bars=[kernel["latency_s"] for kernel in shown])
    if len(shown) < len(kernels):
        rest_s = total_s - sum(kernel["latency_s"] for kernel in shown)
        print_line(
            f"... and {format_number(len(kernels) - len(shown), 'more kernel')} with "
            f"{_share(rest_s, total_s)} of the time "
            "(--all prints every kernel)"
        )
    print_line()
    for text, key in (("by family", "family"), ("by unit", "unit"), ("by bound", "bound")):
        if not any(kernel.get(key) for kernel in kernels):
            continue
        times: dict[str, float] = defaultdict(float)
        for kernel in kernels:
            times[str(kernel.get(key) or "-")] += kernel["latency_s"]
        ranked = sorted(times.items(), key=lambda item: -item[1])
        print_line(f"{text}: " + ", ".join(f"{name} {_share(time_s, total_s)}" for name, time_s in ranked))


def _ends(interval_s: Sequence[float] | None) -> str:
    return "-" if interval_s is None else " to ".join(map(format_seconds, interval_s))


def _energy(value_j: float | None) -> str:
    return "-" if value_j is None else format_joules(value_j)


def _share(part_s: float, total_s: float) -> str:
    return format_fraction(part_s / total_s) if total_s > 0 else "-"


def _shorten(name: str, limit: int = 60) -> str:
    return name if len(name) <= limit else f"{name[: limit - 3]}..."
