"""Draws a scale-up against scale-out study: cycles over the number of arrays, a line a bandwidth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from annette.errors import UsageError
from annette.explore.scale_out import ScaleStudy
from annette.explore.ticks import label_ticks

__all__ = ["draw_scale", "require_picture_path"]

_SUFFIXES = (".png", ".svg", ".pdf")


def require_picture_path(path: Path) -> None:
    """Nothing, if the file is of a kind that can be drawn.

    Raises
    ------
    UsageError
        Otherwise.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"--plot {path}: expected a name that ends in {', '.join(_SUFFIXES)}")


def draw_scale(studies: Mapping[str, ScaleStudy], path: Path) -> None:
    """Write the figure of the studies, a panel each, to ``path``.

    Raises
    ------
    UsageError
        For a file of another kind than .png, .svg or .pdf, or where matplotlib is not installed.
    """
    require_picture_path(path)
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError as err:
        raise UsageError('--plot needs matplotlib: pip install "annette[notebook]"') from err
    figure = Figure(figsize=(6.2 * len(studies), 4.4), layout="constrained")
    for column, (name, study) in enumerate(studies.items()):
        axes = figure.add_subplot(1, len(studies), column + 1)
        every: list[float] = []
        shades = len(study.bandwidths_bytes_per_cycle)
        for number, bandwidth in enumerate(study.bandwidths_bytes_per_cycle):
            points = study.fastest_by_arrays(bandwidth)
            arrays, cycles = list(points), [total for _, total in points.values()]
            every.extend(cycles)
            label = "free memory" if math.isinf(bandwidth) else f"{bandwidth:g} B/cycle"
            colour = colormaps["viridis"](0.88 * number / max(shades - 1, 1))
            axes.plot(arrays, cycles, marker="o", markersize=3, color=colour, label=label)
            least = min(range(len(cycles)), key=cycles.__getitem__)
            axes.plot(arrays[least], cycles[least], marker="*", markersize=11, color=colour)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        label_ticks(axes.yaxis, min(every), max(every))
        axes.set_xlabel("arrays that share the budget")
        axes.set_ylabel("cycles of the network")
        axes.set_title(f"{name}, {' / '.join(study.dataflows)}")
        axes.grid(visible=True, which="both", alpha=0.25)
    lines, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, title="DRAM", fontsize="small", frameon=False, loc="outside right upper")
    figure.savefig(path, dpi=150)
