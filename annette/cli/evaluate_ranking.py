"""What ``annette evaluate`` says of choosing: each suite alone, the fastest, budgets, front, quartiles."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from annette.cli.console import print_line, print_table
from annette.units import format_fraction, format_number, format_seconds

__all__ = ["MODEL_TITLES", "format_rank", "print_groups", "print_ranking"]

_SHOWN_MODEL = "mixed"
_FEWEST_OF_TOP = 10
"""Of fewer than that, 1 % of a small suite, the share that is found says nothing."""
MODEL_TITLES: Mapping[str, str] = MappingProxyType(
    {
        "roofline": "roofline",
        "refined_roofline": "refined",
        "statistical": "statistical",
        "mixed": "mixed",
        "calibrated": "calibrated",
    }
)
"""What tables call the layer models, and the one of a calibrated device."""


def print_groups(document: Mapping[str, Any]) -> None:
    """The figures of each suite alone, where there are several."""
    groups = document.get("groups") or {}
    if len(groups) < 2:
        return
    print_line(f"\neach suite alone, {_SHOWN_MODEL} model", bold=True)
    rows = []
    for name, group in groups.items():
        figures = group["models"][_SHOWN_MODEL]
        ranking = figures["ranking"]
        worst = None if ranking is None else _worst(ranking)
        rows.append(
            (
                name,
                str(group["networks"]),
                *(format_fraction(figures[key]) for key in ("mape", "bias", "within_10_percent")),
                *(format_rank(value) for value in (figures["spearman"], figures["kendall_tau"], worst)),
            )
        )
    columns = ("networks", "MAPE", "bias", "within 10 %", "Spearman", "Kendall tau", "worst quartile")
    print_table(("suite", *columns), rows)


def print_ranking(models: Mapping[str, Any]) -> None:
    """What a search would find, by model, then the quartiles of the best one; nothing for few networks."""
    found = {title: models[name]["ranking"] for name, title in MODEL_TITLES.items() if name in models}
    found = {title: ranking for title, ranking in found.items() if ranking is not None}
    if not found:
        return
    _print_choices(found)
    shown = MODEL_TITLES[_SHOWN_MODEL] if MODEL_TITLES[_SHOWN_MODEL] in found else next(iter(found))
    _print_quartiles(found[shown], shown)


def _print_choices(found: Mapping[str, Mapping[str, Any]]) -> None:
    first = next(iter(found.values()))
    quality = "MACs" if first["quality"] == "macs" else first["quality"]
    print_line(f"\nwhat a search for the most {quality} would find", bold=True)
    tops = tuple(f"fastest {item['k']}" for item in first["top"] if item["k"] >= _FEWEST_OF_TOP)
    rows = []
    for title, ranking in found.items():
        budgets = ranking["budgets"]
        rows.append(
            (
                title,
                *(format_fraction(item["overlap"]) for item in ranking["top"] if item["k"] >= _FEWEST_OF_TOP),
                *(_regret(item) for item in budgets),
                format_fraction(ranking["front_recall"]),
                format_fraction(ranking["front_excess_fraction"]),
            )
        )
    limits = tuple(f"within {format_seconds(item['budget_s'])}" for item in first["budgets"])
    print_table(("layer model", *tops, *limits, "front found", "front slower"), rows)
    count = format_number(first["front_networks"], "network")
    print_line(
        f"fastest k: share of them among the k predicted to be the fastest; within a budget: {quality} lost "
        "against the best choice / by how much the chosen network is over it;"
    )
    print_line(f"front: of the {count} that no other beats in latency and {quality}")


def _print_quartiles(ranking: Mapping[str, Any], title: str) -> None:
    print_line(f"\nby quartile of the measured latency, {title} model", bold=True)
    rows = [
        (
            f"{format_seconds(item['from_s'])} to {format_seconds(item['to_s'])}",
            str(item["networks"]),
            format_fraction(item["mape"]),
            format_rank(item["spearman"]),
            format_rank(item["kendall_tau"]),
        )
        for item in ranking["quartiles"]
    ]
    print_table(("measured", "networks", "MAPE", "Spearman", "Kendall tau"), rows)


def _regret(item: Mapping[str, Any]) -> str:
    regret = item["regret_fraction"]
    return (
        f"{'-' if regret is None else format_fraction(regret)} / {format_fraction(item['excess_fraction'])}"
    )


def _worst(ranking: Mapping[str, Any]) -> float | None:
    known = [item["spearman"] for item in ranking["quartiles"] if item["spearman"] is not None]
    return min(known, default=None)


def format_rank(value: float | None) -> str:
    """A rank correlation, or a dash where there was nothing to rank."""
    return "-" if value is None else f"{value:.4f}"
