"""What a sweep found: the points of a grid, their costs, and the front that nothing else beats."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.explore.pareto import dominated_counts, pareto_front
from annette.explore.sweep_axes import Axis
from annette.hardware.settings import Setting

__all__ = ["FailedPoint", "SweepPoint", "SweepStudy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """One accelerator of the grid, and what the networks take on it."""

    settings: tuple[Setting, ...]
    """One value an axis."""
    latencies_s: tuple[float, ...]
    """One a network."""
    costs: tuple[float, ...]
    """One an objective; less is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedPoint:
    """One accelerator of the grid that cannot be, or cannot run the networks."""

    settings: tuple[Setting, ...]
    """One value an axis."""
    error: str
    """Why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepStudy:
    """A grid of accelerators, as far as it was done."""

    device: str
    networks: tuple[str, ...]
    axes: tuple[Axis, ...]
    objectives: tuple[str, ...]
    """Names of the costs: some of `annette.explore.sweep.OBJECTIVES`, or paths."""
    planned: int
    """Points of the whole grid."""
    points: tuple[SweepPoint, ...]
    failures: tuple[FailedPoint, ...]

    @property
    def is_complete(self) -> bool:
        """Whether no point of the grid is left."""
        return len(self.points) + len(self.failures) == self.planned

    @property
    def costs(self) -> NDArray[np.float64]:
        """Shape (n_points, n_objectives); less is better."""
        rows = [point.costs for point in self.points]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.objectives))

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Shape (n_points,): whether a point has a value of every objective; if not, it is not compared."""
        return np.asarray(np.isfinite(self.costs).all(axis=1), dtype=np.bool_)

    @property
    def gaps(self) -> tuple[str, ...]:
        """The objectives of which some point has no value."""
        has_gaps = np.any(~np.isfinite(self.costs), axis=0)
        return tuple(name for name, has_gap in zip(self.objectives, has_gaps, strict=True) if has_gap)

    @property
    def is_on_front(self) -> NDArray[np.bool_]:
        """Shape (n_points,): whether no other point is at least as good in all and better in one."""
        return pareto_front(self.costs)

    @property
    def front(self) -> tuple[int, ...]:
        """Positions of the points that no other beats, the best by the first objective first."""
        costs, front = self.costs, np.flatnonzero(self.is_on_front)
        order = np.lexsort(costs[front].T[::-1])
        return tuple(int(position) for position in front[order])

    def to_dict(self) -> dict[str, Any]:
        """The study as JSON types."""
        is_on_front, dominated = self.is_on_front, dominated_counts(self.costs)
        return {
            "device": self.device,
            "networks": list(self.networks),
            "axes": [{"paths": list(axis.paths), "values": list(axis.values)} for axis in self.axes],
            "objectives": list(self.objectives),
            "planned": self.planned,
            "points": [
                {
                    **self._document(point),
                    "latencies_s": list(point.latencies_s),
                    "costs": dict(zip(self.objectives, map(_finite, point.costs), strict=True)),
                    "is_on_front": bool(is_on_front[row]),
                    "dominates": int(dominated[row]),
                }
                for row, point in enumerate(self.points)
            ],
            "front": list(self.front),
            "failures": [{**self._document(item), "error": item.error} for item in self.failures],
        }

    def to_csv(self) -> str:
        """A line a point: settings, latencies, costs, whether it is on the front; why if it failed."""
        names = [axis.name for axis in self.axes]
        latencies = [f"latency_s {name}" for name in self.networks]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*names, *latencies, *self.objectives, "is_on_front", "error"])
        for point, is_on_front in zip(self.points, self.is_on_front.tolist(), strict=True):
            writer.writerow([*point.settings, *point.latencies_s, *point.costs, is_on_front, ""])
        empty = [""] * (len(latencies) + len(self.objectives))
        for item in self.failures:
            writer.writerow([*item.settings, *empty, False, item.error])
        return text.getvalue()

    def _document(self, point: SweepPoint | FailedPoint) -> dict[str, Any]:
        names = (axis.name for axis in self.axes)
        return {"settings": dict(zip(names, point.settings, strict=True))}


def _finite(cost: float) -> float | None:
    """``None`` for what is no number, which JSON does not know."""
    return cost if math.isfinite(cost) else None
