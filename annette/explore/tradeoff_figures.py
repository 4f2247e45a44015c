"""Interactive figures of a trade-off study, as plotly's plain dictionaries: what the web page shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from annette.explore.array_choice import SPLITS
from annette.explore.tradeoff import COSTS, DeviceSummary, TradeoffPoint, accuracy_front
from annette.explore.tradeoff_report import ArrayStudy
from annette.units import format_joules, format_seconds

__all__ = ["accelerator_figure", "accuracy_figure", "array_figure", "energy_figure"]

_LABELS = {"latency": "latency (s)", "energy": "energy (J)", "EDP": "energy x delay (Js)"}
_COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22",
    "#17becf", "#393b79", "#637939", "#8c6d31", "#843c39", "#7b4173", "#3182bd", "#e6550d", "#31a354",
    "#756bb1", "#636363",
)  # fmt: skip
_PARTS = {
    "mac_j": "multiply-accumulates", "register_j": "registers", "buffer_j": "on-chip memories",
    "external_j": "external memory", "vector_j": "vector unit", "leakage_j": "leakage", "host_j": "host",
}  # fmt: skip
_GRID = {"gridcolor": "#e6e6e6", "zeroline": False}
_MINOR = {"showgrid": True, "gridcolor": "#f3f3f3"}
_LOG = {"type": "log", "dtick": 1, "exponentformat": "power", "minor": _MINOR}
_REACH = 300.0
Figure = dict[str, Any]


def accuracy_figure(points: Sequence[TradeoffPoint], shown: Sequence[str]) -> Figure:
    """Accuracy against a cost that buttons choose: a colour an accelerator, and the front over all of them.

    Parameters
    ----------
    shown : sequence of str
        Accelerators that are visible at first; the legend brings the others.
    """
    known = [point for point in points if point.top1_fraction is not None]
    costs = list(COSTS)
    series = []
    for index, device in enumerate(dict.fromkeys(point.device for point in known)):
        own = sorted((point for point in known if point.device == device), key=lambda item: item.latency_s)
        series.append((device, dict.fromkeys(costs, own), "markers", _COLOURS[index % len(_COLOURS)]))
    front = {cost: list(accuracy_front(known, cost)) for cost in costs}
    series.append(("Pareto front of all", front, "lines+markers", "#000000"))
    traces = []
    for name, chosen, mode, colour in series:
        is_front = mode != "markers"
        traces.append(
            {
                "type": "scatter",
                "name": name,
                "mode": mode,
                **_accuracy_data(chosen[costs[0]], costs[0]),
                "hovertemplate": "%{text}<extra></extra>",
                "visible": True if is_front or name in shown else "legendonly",
                "marker": {"color": colour, "size": 5 if is_front else 9, "opacity": 0.85},
                "line": {"color": colour, "width": 1.5, "dash": "dot", "shape": "hv"},
            }
        )
    buttons = []
    for cost in costs:
        data = [_accuracy_data(chosen[cost], cost) for _, chosen, _, _ in series]
        update = {key: [item[key] for item in data] for key in ("x", "y", "text")}
        buttons.append(
            {"label": cost, "method": "update", "args": [update, {"xaxis.title.text": _LABELS[cost]}]}
        )
    menu = {
        "type": "buttons", "direction": "right", "x": 0.0, "xanchor": "left", "y": 1.12, "buttons": buttons,
        "pad": {"b": 6}, "showactive": True,
    }  # fmt: skip
    layout = _layout(_LABELS[costs[0]], "published ImageNet top-1 (%)", height=620)
    layout["xaxis"].update(_LOG)
    return {"data": traces, "layout": {**layout, "updatemenus": [menu]}}


def _accuracy_data(points: Sequence[TradeoffPoint], cost: str) -> dict[str, list[Any]]:
    return {
        "x": [getattr(point, COSTS[cost]) for point in points],
        "y": [100 * (point.top1_fraction or 0.0) for point in points],
        "text": [_hover(point) for point in points],
    }


def _hover(point: TradeoffPoint) -> str:
    area = "" if point.area_mm2 is None else f", {point.area_mm2:.3g} mm2"
    return (
        f"<b>{point.network}</b> on {point.device}{area}<br>"
        f"top-1 {100 * (point.top1_fraction or 0.0):.1f} %<br>"
        f"{format_seconds(point.latency_s)}, {format_joules(point.energy_j)}, {point.edp_js:.2e} Js"
    )


def accelerator_figure(devices: Sequence[DeviceSummary]) -> Figure:
    """Latency and energy of the accelerators, circles as large as their area, the front in red and named.

    The picture opens on those within a factor of `_REACH` of the fastest; a double click shows all.
    """
    largest = max((item.area_mm2 or 0.0 for item in devices), default=1.0) or 1.0
    traces = []
    for is_front, name in ((True, "on the Pareto front"), (False, "dominated")):
        chosen = sorted(
            (item for item in devices if item.is_on_front == is_front), key=lambda item: item.latency_s
        )
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text" if is_front else "markers",
                "name": name,
                "x": [item.latency_s for item in chosen],
                "y": [item.energy_j for item in chosen],
                "text": [item.device for item in chosen],
                "textposition": [("top center", "bottom center")[index % 2] for index in range(len(chosen))],
                "textfont": {"size": 10},
                "customdata": [item.area_mm2 for item in chosen],
                "hovertemplate": (
                    "<b>%{text}</b><br>%{x:.3s}s, %{y:.3s}J, %{customdata:.3g} mm2<extra></extra>"
                ),
                "marker": {
                    "color": "#c0392b" if is_front else "#9aa0a6",
                    "opacity": 0.55,
                    "sizemode": "area",
                    "size": [item.area_mm2 or 0.0 for item in chosen],
                    "sizeref": largest / 70**2,
                    "sizemin": 5,
                },
            }
        )
    layout = _layout("latency (s), geometric mean", "energy (J), geometric mean", height=560)
    fastest = min(item.latency_s for item in devices)
    near = [item for item in devices if item.latency_s <= _REACH * fastest]
    for axis, name in (("xaxis", "latency_s"), ("yaxis", "energy_j")):
        values = [getattr(item, name) for item in near]
        ends = [math.log10(min(values)) - 0.3, math.log10(max(values)) + 0.3]
        layout[axis].update(_LOG, range=ends)
    return {"data": traces, "layout": layout}


def energy_figure(points: Sequence[TradeoffPoint]) -> Figure:
    """Where the energy of each accelerator goes: shares by part, mean over the networks."""
    devices = list(dict.fromkeys(point.device for point in points))
    traces = []
    for part, label in _PARTS.items():
        shares = []
        for device in devices:
            own = [point for point in points if point.device == device]
            shares.append(
                100 * sum(dict(item.energy_parts_j)[part] / item.energy_j for item in own) / len(own)
            )
        traces.append(
            {
                "type": "bar", "orientation": "h", "name": label, "y": devices, "x": shares,
                "hovertemplate": f"%{{y}}: {label} %{{x:.1f}} %<extra></extra>",
            }
        )  # fmt: skip
    layout = _layout("share of the energy (%), mean over networks", "", height=130 + 24 * len(devices))
    layout["yaxis"]["autorange"] = "reversed"
    return {"data": traces, "layout": {**layout, "barmode": "stack"}}


def array_figure(arrays: ArrayStudy, cost: str) -> Figure:
    """What each shape and dataflow costs a network over its own best, with the best split of the buffers."""
    attribute = COSTS[cost]
    found: Mapping[tuple[str, str], float] = {
        (point.network, point.device): getattr(point, attribute) for point in arrays.study.points
    }
    names = [choice.name for choice in arrays.choices]
    networks = [name for name in arrays.study.networks if all((name, choice) in found for choice in names)]
    columns = list(dict.fromkeys(f"{item.shape} {item.dataflow}" for item in arrays.choices))
    losses, texts = [], []
    for network in networks:
        best = min(found[network, name] for name in names)
        row = []
        for column in columns:
            row.append(min((found[network, f"{column} {split}"] / best, split) for split in SPLITS))
        losses.append([loss for loss, _ in row])
        texts.append([f"{loss:.2f} x, most for {split}" for loss, split in row])
    trace = {
        "type": "heatmap", "x": columns, "y": networks,
        "z": [[min(loss, 3.0) for loss in row] for row in losses], "text": texts,
        "colorscale": "YlOrRd", "zmin": 1.0, "zmax": 3.0,
        "colorbar": {"title": {"text": f"{cost}<br>over best"}},
        "hovertemplate": "<b>%{y}</b> on %{x}<br>%{text}<extra></extra>",
    }  # fmt: skip
    layout = _layout("rows x columns, dataflow", "", height=160 + 22 * len(networks))
    layout["yaxis"]["autorange"] = "reversed"
    return {"data": [trace], "layout": layout}


def _layout(x: str, y: str, *, height: int) -> dict[str, Any]:
    return {
        "template": None,
        "height": height,
        "margin": {"l": 10, "r": 10, "t": 50, "b": 10},
        "xaxis": {**_GRID, "title": {"text": x}, "automargin": True},
        "yaxis": {**_GRID, "title": {"text": y}, "automargin": True},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#222"},
        "legend": {"font": {"size": 11}},
    }
