"""Draws a trade-off study: accuracy against each cost with its front, and accelerators beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from annette.errors import UsageError
from annette.explore.tradeoff import COSTS, DeviceSummary, TradeoffPoint, accuracy_front, summarise_devices

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_tradeoff"]

_LABELS = {
    "latency": ("latency (s)", "latency_s"),
    "energy": ("energy (J)", "energy_j"),
    "EDP": ("energy x delay (Js)", "edp_js"),
}
_REACH = 300.0
"""Points that cost more than this many times the dearest one on the front are left out of the picture."""
_GREY, _BLUE, _RED = "#9aa0a6", "#1f5fa8", "#c0392b"


def draw_tradeoff(points: Sequence[TradeoffPoint], path: Path) -> None:
    """Write the four panels to ``path``.

    Raises
    ------
    UsageError
        If matplotlib is not installed, or there is nothing to draw.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise UsageError(f'{path.name} needs matplotlib: pip install "annette[notebook]"') from err
    if not points:
        raise UsageError(f"{path.name}: found no points, expected a network that runs somewhere")
    figure = Figure(figsize=(16, 11), layout="constrained")
    for number, cost in enumerate(COSTS, start=1):
        _draw_front(figure.add_subplot(2, 2, number), points, cost)
    _draw_devices(figure.add_subplot(2, 2, 4), summarise_devices(points))
    figure.savefig(path, dpi=110)


def _draw_front(axes: Axes, points: Sequence[TradeoffPoint], cost: str) -> None:
    label, attribute = _LABELS[cost]
    known = [point for point in points if point.top1_fraction is not None]
    front = accuracy_front(known, cost)
    axes.set_xlabel(label)
    axes.set_ylabel("published ImageNet top-1 (%)")
    axes.set_title(f"accuracy against {cost}: networks on accelerators")
    axes.set_xscale("log")
    axes.grid(visible=True, which="both", alpha=0.2)
    if not front:
        return
    most = _REACH * getattr(front[-1], attribute)
    shown = [point for point in known if getattr(point, attribute) <= most]
    label = f"{len(shown)} pairs ({len(known) - len(shown)} dearer)"
    axes.scatter(
        [getattr(point, attribute) for point in shown], [_percent(point) for point in shown],
        s=14, color=_GREY, alpha=0.6, linewidths=0, label=label,
    )  # fmt: skip
    costs, percents = [getattr(point, attribute) for point in front], [_percent(point) for point in front]
    axes.step(costs, percents, where="post", color=_BLUE, linewidth=1.5)
    axes.scatter(costs, percents, s=34, color=_BLUE, zorder=3, label="Pareto front")
    lowest, highest = min(map(_percent, shown)) - 2, max(percents) + 3
    heights = _spread(percents, 0.031 * (highest - lowest))
    for point, height in zip(front, heights, strict=True):  # nothing lies left of a front
        axes.annotate(
            f"{point.network} on {point.device}",
            (getattr(point, attribute), _percent(point)),
            xytext=(getattr(point, attribute) / 2.2, height),
            ha="right",
            va="center",
            fontsize=8.5,
            arrowprops={"arrowstyle": "-", "color": _BLUE, "linewidth": 0.5, "shrinkB": 3},
        )
    right = 1.5 * most
    axes.set_xlim(left=costs[0] * (costs[0] / right) ** 0.65, right=right)  # the left for the names
    axes.set_ylim(lowest, highest)
    axes.legend(loc="upper left", frameon=False, fontsize="small")


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending heights moved as little as it takes to be ``gap`` apart."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _ends(groups[-2], gap)[1] + gap > _ends(groups[-1], gap)[0]:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_ends(group, gap)[0] + gap * index for group in groups for index in range(len(group))]


def _ends(group: Sequence[float], gap: float) -> tuple[float, float]:
    """The lowest and the highest place of labels that stand close together round their mean."""
    centre, reach = sum(group) / len(group), gap * (len(group) - 1) / 2
    return centre - reach, centre + reach


def _percent(point: TradeoffPoint) -> float:
    return 100 * (point.top1_fraction or 0.0)


def _draw_devices(axes: Axes, devices: Sequence[DeviceSummary]) -> None:
    axes.set_xlabel("latency (s), geometric mean over networks")
    axes.set_ylabel("energy (J), geometric mean over networks")
    axes.set_title("accelerators; circles as large as their area, red: Pareto front of all three")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(visible=True, which="both", alpha=0.2)
    ranked = sorted(devices, key=lambda item: item.latency_s)
    shown = [item for item in ranked if item.latency_s <= _REACH * ranked[0].latency_s]
    for number, item in sorted(enumerate(shown, start=1), key=lambda pair: -(pair[1].area_mm2 or 0.0)):
        size = 60.0 if item.area_mm2 is None else max(60.0, 14.0 * item.area_mm2)
        colour = _RED if item.is_on_front else _GREY
        area = "" if item.area_mm2 is None else f"  {item.area_mm2:.3g} mm2"
        axes.scatter(
            item.latency_s, item.energy_j, s=size, color=colour, alpha=0.4, linewidths=0.6,
            edgecolors="black", label=f"{number:2d}  {item.device}{area}",
        )  # fmt: skip
        axes.annotate(
            str(number), (item.latency_s, item.energy_j), ha="center", va="center", fontsize=8, zorder=4
        )
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda index: labels[index])
    left_out = [item.device for item in ranked[len(shown) :]]
    legend = axes.legend(
        [handles[index] for index in order], [labels[index] for index in order],
        title=f"slower than all of these: {', '.join(left_out)}" if left_out else None,
        loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize="small",
        title_fontsize="small", labelspacing=0.7,
    )  # fmt: skip
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_sizes([50.0])  # type: ignore[attr-defined]
    axes.margins(0.2)
