"""Networks on accelerators: latency, energy, area and accuracy of every pair, and which of them are best."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType

import numpy as np

from annette.errors import AnnetteError, UsageError
from annette.explore.pareto import dominated_counts, pareto_front
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator
from annette.parallel import run_in_order
from annette.simulator.compiled import PreparedNetwork
from annette.simulator.energy import KernelEnergy
from annette.simulator.run import simulate

__all__ = [
    "COSTS",
    "DeviceSummary",
    "FailedPoint",
    "Subject",
    "TradeoffPoint",
    "TradeoffStudy",
    "accuracy_front",
    "best_networks",
    "study_tradeoff",
    "summarise_devices",
]

COSTS: Mapping[str, str] = MappingProxyType({"latency": "latency_s", "energy": "energy_j", "EDP": "edp_js"})
"""What accuracy is weighed against, and the attribute of a point that holds it."""

_CHUNK = 8
"""Accelerators a task: enough that a network is compiled seldom, few enough to show progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A network of the study."""

    name: str
    """Unique in the study."""
    network: Network
    top1_fraction: float | None
    """Published ImageNet accuracy; ``None`` where the network does not classify ImageNet or nobody says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeoffPoint:
    """One network on one accelerator."""

    network: str
    device: str
    latency_s: float
    """Seconds; > 0."""
    energy_j: float
    """Joules; > 0."""
    area_mm2: float | None
    """Of the accelerator; ``None`` where not known."""
    top1_fraction: float | None
    """Published accuracy of the network; ``None`` where it has none."""
    energy_parts_j: tuple[tuple[str, float], ...]
    """Joules by part, in the order of `annette.simulator.energy.KernelEnergy`."""

    @property
    def edp_js(self) -> float:
        """Energy times delay, in joule seconds."""
        return self.energy_j * self.latency_s


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedPoint:
    """A network that an accelerator cannot run."""

    network: str
    device: str
    error: str
    """Why, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeoffStudy:
    """All pairs of networks and accelerators."""

    points: tuple[TradeoffPoint, ...]
    """By network, then by accelerator, in the order that was asked for."""
    failures: tuple[FailedPoint, ...]

    @property
    def networks(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(dict.fromkeys(point.network for point in self.points))

    @property
    def devices(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(dict.fromkeys(point.device for point in self.points))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSummary:
    """An accelerator over all networks that every accelerator of the study runs."""

    device: str
    latency_s: float
    """Geometric mean."""
    energy_j: float
    """Geometric mean."""
    edp_js: float
    """Geometric mean."""
    area_mm2: float | None
    """``None`` where not known."""
    is_on_front: bool
    """Whether no other accelerator is at least as good in latency, energy and area; areas must be known."""


def study_tradeoff(
    subjects: Sequence[Subject],
    accelerators: Sequence[Accelerator],
    *,
    jobs: int = 1,
    on_progress: Callable[[int, int, int], None] | None = None,
) -> TradeoffStudy:
    """Every subject on every accelerator, in ``jobs`` processes.

    Parameters
    ----------
    on_progress : callable or None
        Called with what is done, what there is to do, and how many pairs failed.

    Raises
    ------
    UsageError
        If an accelerator has no table of energies, or two subjects or two accelerators one name.
    """
    _require_names("networks", [subject.name for subject in subjects])
    _require_names("accelerators", [accelerator.name for accelerator in accelerators])
    for accelerator in accelerators:
        if accelerator.energy is None:
            raise UsageError(
                f"accelerator {accelerator.name!r}: no table of energies, expected energy in its description"
            )
    chunks = [accelerators[start : start + _CHUNK] for start in range(0, len(accelerators), _CHUNK)]
    tasks = [(subject, chunk) for subject in subjects for chunk in chunks]
    points: list[TradeoffPoint] = []
    failures: list[FailedPoint] = []
    for answers in run_in_order(_run_subject, tasks, jobs):
        points.extend(item for item in answers if isinstance(item, TradeoffPoint))
        failures.extend(item for item in answers if isinstance(item, FailedPoint))
        if on_progress is not None:
            done = len(points) + len(failures)
            on_progress(done, len(subjects) * len(accelerators), len(failures))
    return TradeoffStudy(points=tuple(points), failures=tuple(failures))


def _require_names(kind: str, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(f"two {kind} named {twice[0]!r}, expected each once")


def _run_subject(subject: Subject, accelerators: Sequence[Accelerator]) -> list[TradeoffPoint | FailedPoint]:
    prepared = PreparedNetwork(subject.network)
    return [_run_pair(subject, prepared, accelerator) for accelerator in accelerators]


def _run_pair(
    subject: Subject, prepared: PreparedNetwork, accelerator: Accelerator
) -> TradeoffPoint | FailedPoint:
    try:
        run = simulate(prepared, accelerator)
    except AnnetteError as err:
        return FailedPoint(network=subject.name, device=accelerator.name, error=str(err))
    energies = [item.energy for item in run.kernels if item.energy is not None]
    names = [item.name for item in fields(KernelEnergy)]
    if not energies or run.energy_j is None:
        return FailedPoint(
            network=subject.name, device=accelerator.name, error="no kernels, expected something to run"
        )
    return TradeoffPoint(
        network=subject.name,
        device=accelerator.name,
        latency_s=run.latency_s,
        energy_j=run.energy_j,
        area_mm2=accelerator.area_mm2,
        top1_fraction=subject.top1_fraction,
        energy_parts_j=tuple((name, math.fsum(getattr(item, name) for item in energies)) for name in names),
    )


def accuracy_front(points: Iterable[TradeoffPoint], cost: str) -> tuple[TradeoffPoint, ...]:
    """Points that no other is as accurate as at no more ``cost``, cheapest first.

    Parameters
    ----------
    cost : str
        One of `COSTS`.
    """
    known = [point for point in points if point.top1_fraction is not None]
    if not known:
        return ()
    is_front = pareto_front(_errors_and_costs(known, cost))
    front = [point for point, keeps in zip(known, is_front, strict=True) if keeps]
    return tuple(sorted(front, key=lambda point: float(getattr(point, COSTS[cost]))))


def best_networks(points: Sequence[TradeoffPoint], cost: str) -> dict[str, tuple[str, int, int]]:
    """By accelerator: the network that dominates most others in accuracy and ``cost``, how many, of how many.

    Of several that dominate as many the cheaper one is taken.
    """
    found = {}
    for device in dict.fromkeys(point.device for point in points):
        own = [item for item in points if item.device == device and item.top1_fraction is not None]
        if not own:
            continue
        counts = dominated_counts(_errors_and_costs(own, cost))
        index = min(range(len(own)), key=lambda row: (-counts[row], getattr(own[row], COSTS[cost])))
        found[device] = (own[index].network, int(counts[index]), len(own) - 1)
    return found


def _errors_and_costs(points: Sequence[TradeoffPoint], cost: str) -> list[tuple[float, float]]:
    return [(-(point.top1_fraction or 0.0), float(getattr(point, COSTS[cost]))) for point in points]


def summarise_devices(points: Sequence[TradeoffPoint]) -> tuple[DeviceSummary, ...]:
    """Each accelerator over the networks that all of them run, and which are on the front.

    Geometric means, so that no network counts for more because it is large.
    """
    devices = dict.fromkeys(point.device for point in points)
    runs = Counter(point.network for point in points)
    common = {name for name, count in runs.items() if count == len(devices)}
    rows = []
    for device in devices:
        own = [point for point in points if point.device == device and point.network in common]
        if not own:
            continue
        latency_s, energy_j, edp_js = (
            _geometric_mean(getattr(point, name) for point in own) for name in COSTS.values()
        )
        rows.append(
            DeviceSummary(
                device=device, latency_s=latency_s, energy_j=energy_j, edp_js=edp_js,
                area_mm2=own[0].area_mm2, is_on_front=False,
            )
        )  # fmt: skip
    areas = [math.nan if row.area_mm2 is None else row.area_mm2 for row in rows]
    costs = [[row.latency_s, row.energy_j, area] for row, area in zip(rows, areas, strict=True)]
    is_front = pareto_front(np.array(costs, dtype=np.float64).reshape(len(rows), 3))
    return tuple(replace(row, is_on_front=bool(keeps)) for row, keeps in zip(rows, is_front, strict=True))


def _geometric_mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.exp(math.fsum(map(math.log, found)) / len(found))
