"""Draws a sweep: every point by two of its costs, and the Pareto front, as a picture or as a web page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from annette.errors import UsageError
from annette.explore.pareto import pareto_front
from annette.explore.sweep_study import SweepStudy

__all__ = ["draw_sweep", "require_plot_path"]

_PICTURES = (".png", ".svg", ".pdf")
_UNITS = {
    "latency": "latency (s)",
    "energy": "energy (J)",
    "edp": "energy x latency (Js)",
    "area": "area (mm2)",
}


def require_plot_path(path: Path) -> None:
    """Nothing, if the file is of a kind that can be drawn.

    Raises
    ------
    UsageError
        Otherwise.
    """
    if path.suffix.lower() not in (*_PICTURES, ".html"):
        raise UsageError(f"--plot {path}: expected a name that ends in {', '.join((*_PICTURES, '.html'))}")


def draw_sweep(study: SweepStudy, path: Path) -> None:
    """Write the first objective of ``study`` over the second to ``path``, with the front of these two.

    A web page (.html) needs nothing from elsewhere, and shows the settings of the point under the mouse.

    Raises
    ------
    UsageError
        For a file of another kind, a study of one objective or without points to compare, or where matplotlib
        is not installed.
    """
    require_plot_path(path)
    if len(study.objectives) < 2 or not study.is_known.any():
        raise UsageError(f"--plot {path}: found nothing to draw, expected points with two objectives")
    costs = study.costs[:, :2]
    front = np.flatnonzero(pareto_front(costs))
    front = front[np.argsort(costs[front, 1], kind="stable")]
    (_draw_page if path.suffix.lower() == ".html" else _draw_picture)(study, front, path)


def _title(study: SweepStudy) -> str:
    return f"{', '.join(study.networks)} on {len(study.points)} variants of {study.device}"


def _labels(study: SweepStudy) -> tuple[str, str]:
    return _UNITS.get(study.objectives[1], study.objectives[1]), _UNITS.get(
        study.objectives[0], study.objectives[0]
    )


def _draw_picture(study: SweepStudy, front: np.ndarray, path: Path) -> None:
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter
    except ImportError as err:
        raise UsageError('--plot needs matplotlib: pip install "annette[notebook]"') from err
    figure = Figure(figsize=(7.0, 4.8), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(study.costs[:, 1], study.costs[:, 0], ".", color="0.65", markersize=4, label="all points")
    axes.plot(
        study.costs[front, 1], study.costs[front, 0],
        marker="o", markersize=4, color="C3", drawstyle="steps-post", label="front",
    )  # fmt: skip
    across, up = _labels(study)
    axes.set(xlabel=across, ylabel=up, title=_title(study), xscale="log", yscale="log")
    for axis, values in ((axes.xaxis, study.costs[:, 1]), (axes.yaxis, study.costs[:, 0])):
        if values.max() < 10 * values.min():  # within a decade all ticks are labelled: plainly
            axis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def _draw_page(study: SweepStudy, front: np.ndarray, path: Path) -> None:
    import plotly.graph_objects as plotly

    names = [axis.name for axis in study.axes]
    texts = [
        "<br>".join(f"{name} = {value}" for name, value in zip(names, point.settings, strict=True))
        for point in study.points
    ]
    costs = study.costs
    figure = plotly.Figure(
        [
            plotly.Scatter(
                x=costs[:, 1].tolist(), y=costs[:, 0].tolist(), text=texts, mode="markers", name="all points",
                marker={"color": "#aaa", "size": 5},
            ),
            plotly.Scatter(
                x=costs[front, 1].tolist(), y=costs[front, 0].tolist(), text=[texts[row] for row in front],
                mode="lines+markers", name="front", line={"shape": "hv", "color": "#c33"},
            ),
        ]
    )  # fmt: skip
    across, up = _labels(study)
    figure.update_layout(title=_title(study), template="plotly_white")
    figure.update_xaxes(title=across, type="log")
    figure.update_yaxes(title=up, type="log")
    figure.write_html(path, include_plotlyjs=True)
