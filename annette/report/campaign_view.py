"""What the page of a campaign is made of: figures and rows of tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from annette.report.figures import Bar, Figure, Point, histogram, linear, logarithmic
from annette.report.rows import Column, Table, cell, limit
from annette.units import format_count, format_duration, format_fraction, format_number, format_seconds

__all__ = ["view_campaign"]

_LEFT, _TOP, _RIGHT, _BOTTOM = 76.0, 20.0, 844.0, 300.0
_BINS = 48
_MOST_POINTS = 1500
_MOST_NETWORKS = 2000
_BY_CATEGORY = {"micro-kernel": "b-compute", "sweep": "b-memory", "block": "b-host"}


def view_campaign(document: Mapping[str, Any]) -> dict[str, Any]:
    """The context of the template ``campaign.html`` for a document of `summarise_campaign`."""
    networks = document["networks"]
    return {
        "title": f"Campaign {document['plan']['name']} on {document['device']['name']}",
        "facts": _facts(document),
        "status": _status(document["counts"]),
        "categories": [(name, _BY_CATEGORY.get(name, "b-other")) for name in document["categories"]],
        "latencies": _latencies(document),
        "spread": _spread(networks),
        "drift": _drift(document["drift"]),
        "kinds": _kinds(networks),
        "kernels": _kernels(document["kernels"]),
        "failures": _failures(document["failures"]),
        "networks": _networks(networks),
        "left_out": max(len(networks) - _MOST_NETWORKS, 0),
        "provenance": _provenance(document),
    }


def _status(counts: Mapping[str, int]) -> tuple[str, str]:
    """A level, and a sentence."""
    if counts["pending"]:
        return (
            "check",
            f"Unfinished: {counts['pending']} of {counts['planned']} networks are still to be measured.",
        )
    if counts["failed"]:
        return "check", f"Finished, with {format_number(counts['failed'], 'failure')}."
    return "solid", "Finished: every planned network was measured."


def _facts(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    counts, noise = document["counts"], document["noise"]
    per_task = counts["visits_per_task"]
    facts = [
        ("measured", f"{counts['measured']} of {counts['planned']}", "networks"),
        ("failed", str(counts["failed"]), "networks that the device could not run"),
        ("visits", str(counts["visits"]), f"{per_task} a network"),
        ("kernels", format_count(sum(item["kernels"] for item in document["kernels"])), "timed one by one"),
    ]
    spreads = [
        item["spread_fraction"] for item in document["networks"] if item["spread_fraction"] is not None
    ]
    if spreads:
        worst = format_fraction(max(spreads))
        facts.append(
            ("visits differ by", format_fraction(statistics.median(spreads)), f"median; at most {worst}")
        )
    runs = [
        item["run_spread_fraction"]
        for item in document["networks"]
        if item["run_spread_fraction"] is not None
    ]
    if runs:
        facts.append(
            ("runs differ by", format_fraction(statistics.median(runs)), "median of (most - least) / median")
        )
    if noise["drift_fraction"] is not None:
        remark = f"of the reference network, {format_seconds(noise['reference_s'])}"
        facts.append(("drift", format_fraction(noise["drift_fraction"]), remark))
    if noise["load_fraction"] is not None:
        peak = format_fraction(noise["peak_load_fraction"])
        facts.append(("load", format_fraction(noise["load_fraction"]), f"median; 95 % quantile {peak}"))
    return facts


def _css(item: Mapping[str, Any]) -> str:
    return _BY_CATEGORY.get(item["category"], "b-other")


def _some(items: Sequence[Any]) -> list[Any]:
    """As many as can be drawn, evenly taken."""
    if len(items) <= _MOST_POINTS:
        return list(items)
    return [items[place * len(items) // _MOST_POINTS] for place in range(_MOST_POINTS)]


def _latencies(document: Mapping[str, Any]) -> Figure | None:
    """How many networks take how long; categories are stacked."""
    networks = [item for item in document["networks"] if item["latency_s"] > 0]
    bins = histogram([item["latency_s"] for item in networks], _BINS, is_logarithmic=True)
    if not bins:
        return None
    x = logarithmic([bins[0][0], bins[-1][1]], _LEFT, _RIGHT, format_seconds)
    y = linear([0, max(count for _, _, count in bins)], _BOTTOM, _TOP, "{:g}".format, from_zero=True)
    bars, categories = [], list(document["categories"])
    for place, (low, high, _) in enumerate(bins):
        last = place == len(bins) - 1
        inside = [
            item
            for item in networks
            if low <= item["latency_s"] < high or (last and item["latency_s"] >= high)
        ]
        base = 0
        for name in categories:
            count = sum(item["category"] == name for item in inside)
            if count:
                top, foot = y.at(base + count), y.at(base)
                bars.append(
                    Bar(
                        x=x.at(low),
                        y=top,
                        width=max(round(x.at(high) - x.at(low), 1), 0.5),
                        height=round(foot - top, 1),
                        css=_BY_CATEGORY.get(name, "b-other"),
                        tip=f"{format_seconds(low)} to {format_seconds(high)}: {format_number(count, name)}",
                    )
                )
            base += count
    return Figure(
        name="latencies", title="How long the networks take", x=x, y=y, x_label="latency",
        y_label="networks", height=350, bars=tuple(bars),
    )  # fmt: skip


def _spread(networks: Sequence[Mapping[str, Any]]) -> Figure | None:
    """How much visits, or runs where there was one visit, differ, over the latency."""
    key = (
        "spread_fraction"
        if any(item["spread_fraction"] is not None for item in networks)
        else "run_spread_fraction"
    )
    known = [item for item in networks if item[key] is not None and item["latency_s"] > 0]
    if not known:
        return None
    x = logarithmic([item["latency_s"] for item in known], _LEFT, _RIGHT, format_seconds)
    y = linear([item[key] for item in known], _BOTTOM, _TOP, format_fraction, from_zero=True)
    points = tuple(
        Point(
            x=x.at(item["latency_s"]),
            y=y.at(item[key]),
            radius=3,
            css=_css(item),
            tip=f"{limit(item['name'], 80)}: {format_fraction(item[key])}",
        )
        for item in _some(known)
    )
    what = "visits" if key == "spread_fraction" else "runs"
    return Figure(
        name="spread", title=f"How much {what} of one network differ", x=x, y=y, x_label="latency",
        y_label="difference", height=350, points=points,
    )  # fmt: skip


def _drift(drift: Sequence[Sequence[float]]) -> Figure | None:
    """The reference network over the time of the campaign, as shares of its median."""
    if not drift:
        return None
    start_s, middle = drift[0][0], statistics.median(reference for _, reference in drift)
    if middle <= 0:
        return None
    known = [(at - start_s, reference / middle) for at, reference in drift]
    x = linear([at for at, _ in known], _LEFT, _RIGHT, format_duration, from_zero=True)
    y = linear([0.9, 1.1, *(share for _, share in known)], _BOTTOM, _TOP, "{:.2f}".format)
    points = tuple(
        Point(x=x.at(at), y=y.at(share), radius=2.5, css="b-other", tip=f"{format_duration(at)}: {share:.3f}")
        for at, share in _some(known)
    )
    return Figure(
        name="drift", title="The reference network while the campaign ran, over its median", x=x, y=y,
        x_label="time since the first visit", y_label="of the median", height=350, points=points,
    )  # fmt: skip


# Tables ----------------------------------------------------------------------------------------------


def _kinds(networks: Sequence[Mapping[str, Any]]) -> Table:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for item in networks:
        groups.setdefault((item["category"], item["kind"]), []).append(item)
    rows = []
    for (category, kind), items in sorted(groups.items()):
        times = [item["latency_s"] for item in items]
        spreads = [item["spread_fraction"] for item in items if item["spread_fraction"] is not None]
        rows.append(
            (
                cell(category),
                cell(kind),
                cell(str(len(items)), len(items)),
                *_times(min(times), statistics.median(times), max(times)),
                cell(format_fraction(statistics.median(spreads)), statistics.median(spreads))
                if spreads
                else cell("-", -1.0),
            )
        )
    columns = (
        Column("category", is_text=True), Column("kind", is_text=True), Column("networks"), Column("least"),
        Column("median"), Column("most"), Column("visits differ by"),
    )  # fmt: skip
    return Table(name="kinds", caption="Networks by kind", columns=columns, rows=tuple(rows))


def _times(*values: float) -> list[Any]:
    return [cell(format_seconds(value), value) for value in values]


def _kernels(kernels: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            cell(item["family"]),
            cell(item["unit"]),
            cell(str(item["kernels"]), item["kernels"]),
            *_times(item["least_s"], item["median_s"], item["most_s"]),
        )
        for item in kernels
    )
    columns = (
        Column("family", is_text=True), Column("unit", is_text=True), Column("kernels"), Column("least"),
        Column("median"), Column("most"),
    )  # fmt: skip
    return Table(name="kernels", caption="Kernels by family and unit", columns=columns, rows=rows)


def _failures(failures: Sequence[Mapping[str, Any]]) -> Table | None:
    if not failures:
        return None
    rows = tuple((cell(item["error"]), cell(str(item["networks"]), item["networks"])) for item in failures)
    columns = (Column("reason", is_text=True), Column("networks"))
    return Table(name="failures", caption="Why networks failed", columns=columns, rows=rows)


def _networks(networks: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            cell(item["name"]),
            cell(item["category"]),
            cell(item["kind"]),
            *_times(item["latency_s"]),
            cell(str(item["visits"]), item["visits"]),
            *(
                cell("-", -1.0) if item[key] is None else cell(format_fraction(item[key]), item[key])
                for key in ("spread_fraction", "run_spread_fraction")
            ),
            cell("-" if item["kernels"] is None else str(item["kernels"]), item["kernels"] or 0),
        )
        for item in networks[:_MOST_NETWORKS]
    )
    columns = (
        Column("network", is_text=True), Column("category", is_text=True), Column("kind", is_text=True),
        Column("latency"), Column("visits"), Column("visits differ by"), Column("runs differ by"),
        Column("kernels"),
    )  # fmt: skip
    return Table(name="networks", caption="Networks that were measured", columns=columns, rows=rows)


def _provenance(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    device, plan = document["device"], document["plan"]
    return [
        ("device", f"{device['name']}: {device['description']}".removesuffix(": ")),
        ("backend", device["backend"]),
        ("plan", f"{plan['name']}, seed {plan['seed']}, {plan['hash']}"),
        *sorted((f"device {name}", str(value)) for name, value in device["environment"].items()),
        *sorted((name, str(value)) for name, value in document["provenance"].items()),
    ]
