"""Draws a sweep: every point by two of its costs, and the Pareto front, as a picture or as a web page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from annette.errors import UsageError
from annette.explore.sweep_study import SweepStudy
from annette.explore.ticks import label_ticks

__all__ = ["draw_sweep", "drawn_objectives", "require_plot_path"]

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
    """Write the first objective of ``study`` over the second that varies to ``path``, and its front.

    The front is that of all objectives; a line joins its points only where there are two.
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
    front = np.array(study.front)
    front = front[np.argsort(study.costs[front, drawn_objectives(study)[0]], kind="stable")]
    (_draw_page if path.suffix.lower() == ".html" else _draw_picture)(study, front, path)


def drawn_objectives(study: SweepStudy) -> tuple[int, int]:
    """Which objectives are drawn, to the right and upwards: the first two that differ between points.

    Where fewer do, the first of the others stand in.
    """
    known = study.costs[study.is_known]
    varies = [bool(column.min() < column.max()) for column in known.T]
    up, across = sorted(sorted(range(len(varies)), key=lambda index: not varies[index])[:2])
    return across, up


def _title(study: SweepStudy) -> str:
    return f"{', '.join(study.networks)} on {len(study.points)} variants of {study.device}"


def _labels(study: SweepStudy) -> tuple[str, str]:
    across, up = (study.objectives[index] for index in drawn_objectives(study))
    return _UNITS.get(across, across), _UNITS.get(up, up)


def _front_label(study: SweepStudy) -> str:
    return "front" if len(study.objectives) == 2 else f"front of all {len(study.objectives)} objectives"


def _draw_picture(study: SweepStudy, front: np.ndarray, path: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise UsageError('--plot needs matplotlib: pip install "annette[notebook]"') from err
    figure = Figure(figsize=(7.0, 4.8), layout="constrained")
    axes = figure.add_subplot()
    right, high = drawn_objectives(study)
    axes.plot(
        study.costs[:, right], study.costs[:, high], ".", color="0.65", markersize=4, label="all points"
    )
    axes.plot(
        study.costs[front, right], study.costs[front, high],
        marker="o", markersize=4, color="C3", drawstyle="steps-post", label=_front_label(study),
        linestyle="-" if len(study.objectives) == 2 else "none",
    )  # fmt: skip
    across, up = _labels(study)
    axes.set(xlabel=across, ylabel=up, title=_title(study), xscale="log", yscale="log")
    known = study.costs[study.is_known]
    for axis, values in ((axes.xaxis, known[:, right]), (axes.yaxis, known[:, high])):
        label_ticks(axis, float(values.min()), float(values.max()))
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
    right, high = drawn_objectives(study)
    across_costs, up_costs = study.costs[:, right], study.costs[:, high]
    figure = plotly.Figure(
        [
            plotly.Scatter(
                x=across_costs.tolist(), y=up_costs.tolist(), text=texts, mode="markers", name="all points",
                marker={"color": "#aaa", "size": 5},
            ),
            plotly.Scatter(
                x=across_costs[front].tolist(), y=up_costs[front].tolist(),
                text=[texts[row] for row in front],
                mode="lines+markers" if len(study.objectives) == 2 else "markers", name=_front_label(study),
                line={"shape": "hv", "color": "#c33"}, marker={"color": "#c33"},
            ),
        ]
    )  # fmt: skip
    across, up = _labels(study)
    figure.update_layout(title=_title(study), template="plotly_white")
    figure.update_xaxes(title=across, type="log")
    figure.update_yaxes(title=up, type="log")
    figure.write_html(path, include_plotlyjs=True)
