"""What the page of an evaluation is made of: scatter, residuals and ranks by layer model, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annette.report.figures import Figure, Line, Point, Scale, linear, logarithmic
from annette.report.rows import Cell, Column, Table, cell, limit
from annette.units import format_fraction, format_number, format_seconds

__all__ = ["view_evaluation"]

_LEFT, _TOP, _RIGHT, _BOTTOM = 76.0, 20.0, 844.0, 330.0
_MOST_POINTS = 600
_MOST_NETWORKS = 2000
_SHOWN = "mixed"
_TITLES = {"refined_roofline": "refined roofline"}
_COLOURS = ("b-compute", "b-memory", "b-host", "b-overhead", "b-other")


def view_evaluation(document: Mapping[str, Any]) -> dict[str, Any]:
    """The context of the template ``evaluation.html`` for a document of `summarise_evaluation`."""
    networks, models = document["networks"], list(document["models"])
    shown = _SHOWN if _SHOWN in models else models[-1]
    groups = list(dict.fromkeys(item["group"] for item in networks))
    colours = {name: _COLOURS[min(place, len(_COLOURS) - 1)] for place, name in enumerate(groups)}
    places = _some(sorted(range(len(networks)), key=lambda place: (networks[place]["measured_s"], place)))
    drawn = [networks[place] for place in places]
    ranks = {name: _ranks(networks, name) for name in (*models, "measured")}
    return {
        "title": f"{document['suite']}: {document['platform']} against {document['device']}",
        "facts": _facts(document, shown),
        "is_scaled": document["is_scaled"],
        "models": [(name, _TITLES.get(name, name)) for name in models],
        "shown": shown,
        "colours": [(name, css) for name, css in colours.items() if name] if len(groups) > 1 else [],
        "plots": [
            (
                name,
                (
                    _scatter(drawn, name, colours),
                    _residuals(drawn, name, colours),
                    _rank_plot(places, networks, ranks, name, colours),
                ),
            )
            for name in models
        ],
        "figures": _figures("figures", "Figures of merit by layer model", "layer model", document["models"]),
        "groups": _figures("groups", f"Each suite alone, {_SHOWN} model", "suite", document["groups"])
        if len(document["groups"]) > 1
        else None,
        "networks": _networks(networks, models),
        "drawn": len(drawn) if len(drawn) < len(networks) else None,
        "left_out": max(len(networks) - _MOST_NETWORKS, 0),
        "failed": [(limit(item["name"], 120), limit(item["error"])) for item in document["failed"][:200]],
        "provenance": _provenance(document),
    }


def _some(places: list[int]) -> list[int]:
    if len(places) <= _MOST_POINTS:
        return places
    return [places[number * len(places) // _MOST_POINTS] for number in range(_MOST_POINTS)]


def _facts(document: Mapping[str, Any], shown: str) -> list[tuple[str, str, str]]:
    figures, title = document["models"][shown], _TITLES.get(shown, shown)
    error = figures.get("scaled_mape") if document["is_scaled"] else figures.get("mape")
    remark = "scaled to the device by one factor" if document["is_scaled"] else "mean absolute relative error"
    facts = [
        ("networks", str(len(document["networks"])), f"{len(document['failed'])} left out"),
        (f"MAPE, {title}", "-" if error is None else format_fraction(error), remark),
    ]
    for key, name in (("spearman", "Spearman"), ("kendall_tau", "Kendall tau")):
        if figures.get(key) is not None:
            facts.append((f"{name}, {title}", f"{figures[key]:.4f}", "rank correlation"))
    coverage, half = (figures.get(f"interval_{key}") for key in ("coverage", "median_half_width"))
    if coverage is not None and half is not None:
        facts.append(
            ("in their 90 % interval", format_fraction(coverage), f"half as wide as {format_fraction(half)}")
        )
    if document["mapping_accuracy"] is not None:
        facts.append(("mapping", format_fraction(document["mapping_accuracy"]), "kernels predicted exactly"))
    if document["spread_fraction"] is not None:
        facts.append(("noise", format_fraction(document["spread_fraction"]), "visits of a network differ"))
    return facts


# Figures ---------------------------------------------------------------------------------------------


def _error(item: Mapping[str, Any], model: str) -> float:
    return float(item["predicted_s"][model] / item["measured_s"] - 1.0)


def _tip(item: Mapping[str, Any], model: str) -> str:
    return (
        f"{limit(item['name'], 90)}: measured {format_seconds(item['measured_s'])}, predicted "
        f"{format_seconds(item['predicted_s'][model])} ({100 * _error(item, model):+.1f} %)"
    )


def _diagonal(x: Scale, y: Scale, factor: float, css: str, text: str = "") -> Line:
    low, high = max(x.low, y.low / factor), min(x.high, y.high / factor)
    return Line(
        points=((x.at(low), y.at(low * factor)), (x.at(high), y.at(high * factor))), css=css, text=text
    )


def _scatter(networks: Sequence[Mapping[str, Any]], model: str, colours: Mapping[str, str]) -> Figure:
    values = [value for item in networks for value in (item["measured_s"], item["predicted_s"][model])]
    x = logarithmic(values, _LEFT, _RIGHT, format_seconds)
    y = logarithmic(values, _BOTTOM, _TOP, format_seconds)
    points = tuple(
        Point(
            x=x.at(item["measured_s"]), y=y.at(item["predicted_s"][model]), css=colours[item["group"]],
            tip=_tip(item, model),
        )
        for item in networks
    )  # fmt: skip
    lines = (
        _diagonal(x, y, 1.0, "guide"),
        _diagonal(x, y, 1.1, "guide near"),
        _diagonal(x, y, 1 / 1.1, "guide near"),
    )
    return Figure(
        name=f"scatter-{model}", title="Predicted over measured latency; dotted: 10 % too long or too short",
        x=x, y=y, x_label="measured", y_label="predicted", lines=lines, points=points,
    )  # fmt: skip


def _residuals(networks: Sequence[Mapping[str, Any]], model: str, colours: Mapping[str, str]) -> Figure:
    errors = [_error(item, model) for item in networks]
    ends = [end / item["measured_s"] - 1.0 for item in networks for end in item["interval_s"][model] or ()]
    x = logarithmic([item["measured_s"] for item in networks], _LEFT, _RIGHT, format_seconds)
    y = linear([-0.1, 0.1, *errors, *ends], _BOTTOM, _TOP, lambda value: f"{100 * value:+.0f} %")
    points = tuple(
        Point(x=x.at(item["measured_s"]), y=y.at(error), css=colours[item["group"]], tip=_tip(item, model))
        for item, error in zip(networks, errors, strict=True)
    )
    level = Line(points=((x.start, y.at(0.0)), (x.end, y.at(0.0))), css="guide")
    whiskers = [
        Line(
            points=tuple(
                (x.at(item["measured_s"]), y.at(end / item["measured_s"] - 1.0))
                for end in item["interval_s"][model]
            ),
            css="whisker",
        )
        for item in networks
        if item["interval_s"][model]
    ]
    also = "; lines: 90 % intervals, which should reach over 0" if whiskers else ""
    return Figure(
        name=f"residuals-{model}", title=f"Residuals: relative error of each network{also}", x=x, y=y,
        x_label="measured", y_label="error", lines=(level, *whiskers), points=points,
    )  # fmt: skip


def _ranks(networks: Sequence[Mapping[str, Any]], name: str) -> list[int]:
    """The place of each network from the fastest on."""
    values = [item["measured_s"] if name == "measured" else item["predicted_s"][name] for item in networks]
    order = sorted(range(len(values)), key=lambda place: (values[place], place))
    ranks = [0] * len(values)
    for rank, place in enumerate(order, start=1):
        ranks[place] = rank
    return ranks


def _rank_plot(
    places: Sequence[int],
    networks: Sequence[Mapping[str, Any]],
    ranks: Mapping[str, Sequence[int]],
    model: str,
    colours: Mapping[str, str],
) -> Figure:
    x = linear([1, len(networks)], _LEFT, _RIGHT, "{:g}".format)
    y = linear([1, len(networks)], _BOTTOM, _TOP, "{:g}".format)
    points = tuple(
        Point(
            x=x.at(ranks["measured"][place]), y=y.at(ranks[model][place]),
            css=colours[networks[place]["group"]],
            tip=f"{limit(networks[place]['name'], 90)}: {ranks['measured'][place]} by measurement, "
            f"{ranks[model][place]} by prediction",
        )
        for place in places
    )  # fmt: skip
    return Figure(
        name=f"ranks-{model}", title="Ranks: the fastest network is 1; on the line where the order is right",
        x=x, y=y, x_label="rank by measurement", y_label="rank by prediction",
        lines=(_diagonal(x, y, 1.0, "guide"),), points=points,
    )  # fmt: skip


# Tables ----------------------------------------------------------------------------------------------


def _figures(name: str, caption: str, first: str, found: Mapping[str, Mapping[str, Any]]) -> Table:
    known = [key for key in _WORDS if any(values.get(key) is not None for values in found.values())]
    rows = tuple(
        (cell(_TITLES.get(title, title)), *(_figure_cell(values.get(key), key) for key in known))
        for title, values in found.items()
    )
    columns = (Column(first, is_text=True), *(Column(_WORDS[key]) for key in known))
    return Table(name=name, caption=caption, columns=columns, rows=rows)


_WORDS = {
    "mape": "MAPE",
    "bias": "bias",
    "within_10_percent": "within 10 %",
    "spearman": "Spearman",
    "kendall_tau": "Kendall tau",
    "scale_factor": "factor",
    "scaled_mape": "MAPE scaled",
    "interval_coverage": "in 90 % interval",
    "interval_median_half_width": "half-width",
}


def _figure_cell(value: float | None, key: str) -> Cell:
    if value is None:
        return cell("-", -1.0)
    if key in ("spearman", "kendall_tau"):
        return cell(f"{value:.4f}", value)
    return cell(f"{value:.3g}" if key == "scale_factor" else format_fraction(value), value)


def _networks(networks: Sequence[Mapping[str, Any]], models: Sequence[str]) -> Table:
    columns = [Column("network", is_text=True), Column("suite", is_text=True), Column("measured")]
    for model in models:
        columns += [Column(_TITLES.get(model, model)), Column("error")]
    shown = _SHOWN if _SHOWN in models else models[-1]
    has_intervals = any(item["interval_s"][shown] for item in networks)
    columns += [Column("90 % interval"), Column("inside", is_text=True)] if has_intervals else []
    rows = []
    for item in networks[:_MOST_NETWORKS]:
        cells = [cell(item["name"]), cell(item["group"]), _time(item["measured_s"])]
        for model in models:
            error = _error(item, model)
            cells += [_time(item["predicted_s"][model]), cell(f"{100 * error:+.1f} %", error)]
        cells += _interval_cells(item, shown) if has_intervals else []
        rows.append(tuple(cells))
    return Table(
        name="networks",
        caption="Each network, measured and predicted",
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _interval_cells(item: Mapping[str, Any], model: str) -> list[Cell]:
    ends = item["interval_s"][model]
    if not ends:
        return [cell("-", -1.0), cell("")]
    low, high = ends
    text = f"{format_seconds(low)} to {format_seconds(high)}"
    return [cell(text, high - low), cell("yes" if low <= item["measured_s"] <= high else "no")]


def _time(value_s: float) -> Cell:
    return cell(format_seconds(value_s), value_s)


def _provenance(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("platform", limit(document["platform"])),
        ("device", limit(document["device"])),
        ("networks", limit(document["suite"]) + ", " + format_number(len(document["networks"]), "network")),
    ]
    return [*rows, *([] if document["seed"] is None else [("seed", f"{document['seed']:.0f}")])]
