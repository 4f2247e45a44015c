"""Training data: the kernels of a campaign's measurements as a table, with what cross-validation needs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network
from annette.measurement import DeviceInfo
from annette.models.data_sheet import DataSheet
from annette.models.kernel_table import KernelTable, build_kernel_table
from annette.models.target import ENERGY, LATENCY, Target
from annette.store.campaign import Record
from annette.store.records import TIMED_IN, WHOLE_NETWORK

__all__ = ["TrainingData", "clock_weights", "energy_data", "kernel_rows", "share_weights", "training_data"]

_HALF_WEIGHT_S = 1.5e-6
"""A kernel this short counts half: profiles resolve whole microseconds, 0.2 us after averaging, and what the
models cannot explain of a kernel is about 15 %. More than this leaves too little of families of short
kernels: with 4 us held-out networks came out worse."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingData:
    """Measured kernels: the table, what each took, and where each comes from.

    What was measured stands beside the table and not in it: tables of networks to be predicted have no such
    columns.

    Raises
    ------
    ModelError
        If the parts differ in length, a latency is not a finite number > 0, an energy is neither that nor
        unknown, or unknown where it is the target.
    """

    table: KernelTable
    latency_s: NDArray[np.float64]
    """Shape (n_kernels,): seconds, the median over the runs; > 0."""
    groups: NDArray[np.int64]
    """Shape (n_kernels,): rows with the same number stay together in cross-validation."""
    sweeps: tuple[str, ...]
    """Per row: the sweep it belongs to, or the empty string."""
    dimensions: tuple[str, ...]
    """Per row: the dimension that its sweep varies, or the empty string."""
    sheet: DataSheet = field(default_factory=DataSheet)
    """The processor's data sheet; empty for devices without caches and vectors."""
    weights: NDArray[np.float64] | None = None
    """Shape (n_kernels,): how much each row counts in fits, in (0, 1]; ``None``: all alike."""
    energy_j: NDArray[np.float64] | None = None
    """Shape (n_kernels,): joules, > 0, or nan where the device did not tell; ``None``: it never tells."""
    target: Target = LATENCY
    """What models are fitted to."""

    def __post_init__(self) -> None:
        n_kernels = len(self.table)
        self._check_energy(n_kernels)
        if not (
            self.latency_s.shape == self.groups.shape == (n_kernels,)
            and len(self.sweeps) == len(self.dimensions) == n_kernels
        ):
            raise ModelError(f"training data: parts differ in length, expected {n_kernels} rows in each")
        if not (np.isfinite(self.latency_s).all() and (self.latency_s > 0).all()):
            raise ModelError("training data: a latency is not a finite number of seconds > 0")
        if self.weights is not None:
            if self.weights.shape != (n_kernels,) or not ((self.weights > 0) & (self.weights <= 1)).all():
                raise ModelError(f"training data: expected {n_kernels} weights in (0, 1]")
            self.weights.setflags(write=False)
        self.latency_s.setflags(write=False)
        self.groups.setflags(write=False)

    def _check_energy(self, n_kernels: int) -> None:
        energy_j = self.energy_j
        if energy_j is not None:
            if energy_j.shape != (n_kernels,) or np.isinf(energy_j).any() or (energy_j <= 0).any():
                raise ModelError(f"training data: expected {n_kernels} energies > 0 J, or nan")
            energy_j.setflags(write=False)
        if self.target is ENERGY and (energy_j is None or np.isnan(energy_j).any()):
            raise ModelError("training data: some kernels lack the target, energy; leave them out")

    def __len__(self) -> int:
        return len(self.table)

    @property
    def cost(self) -> NDArray[np.float64]:
        """The target of each kernel in its unit, shape (n_kernels,); > 0.

        Raises
        ------
        ModelError
            If the target is energy and nothing is known of it: seconds do not stand in for joules.
        """
        if self.target == LATENCY:
            return self.latency_s
        if self.energy_j is None:
            raise ModelError("training data: the target is energy, but no kernel's energy is known")
        return self.energy_j

    def take(self, rows: NDArray[np.int64]) -> TrainingData:
        """The training data of these rows, in this order."""
        return TrainingData(
            table=self.table.take(rows),
            latency_s=self.latency_s[rows],
            groups=self.groups[rows],
            sweeps=tuple(self.sweeps[row] for row in rows),
            dimensions=tuple(self.dimensions[row] for row in rows),
            sheet=self.sheet,
            weights=None if self.weights is None else self.weights[rows],
            energy_j=None if self.energy_j is None else self.energy_j[rows],
            target=self.target,
        )


def energy_data(data: TrainingData) -> TrainingData | None:
    """The kernels whose energy is known, as training data for energy; ``None`` where there are none."""
    if data.energy_j is None:
        return None
    known = data.take(np.flatnonzero(np.isfinite(data.energy_j)))
    return replace(known, target=ENERGY) if len(known) else None


def training_data(records: Iterable[Record], device: DeviceInfo) -> TrainingData:
    """The kernels of all records that have per-kernel values.

    Left out are failed measurements, kernels that took no measurable time, and records of devices that
    report no kernels, unless the network is a single layer: then the whole is the kernel.

    A kernel's latency is its expected value, since a network's is a sum: the median over the runs, which a
    few outliers do not move, times the device's mean ratio of mean to median, pooled over all kernels.

    Energy is known of kernels that carry the counter ``energy_j``. A network's total says nothing of its
    kernels and is not used.

    Raises
    ------
    ModelError
        If nothing is left.
    """
    items: list[tuple[Network, Mapping]] = []
    latencies: list[float] = []
    energies: list[float] = []
    skews: list[float] = []
    counts: list[int] = []
    groups: list[int] = []
    group_numbers: dict[str, int] = {}
    tags: list[tuple[str, str]] = []
    timed_in: list[str] = []
    for record in records:
        measured = _measured_kernels(record)
        if measured is None:
            continue
        mapping, values, joules = measured
        energies.extend(joules)
        items.append((record.task.network, mapping))
        latencies.extend(statistics.median(runs) for runs in values)
        skews.extend(_skew(runs) for runs in values)
        counts.append(len(values))
        groups.append(group_numbers.setdefault(record.task.group, len(group_numbers)))
        timed_in.extend([record.task.tag(TIMED_IN) or ""] * len(values))
        tags.append((record.task.tag("sweep") or "", record.task.tag("dimension") or ""))
    table = build_kernel_table(items, device)
    latency_s = np.array(latencies, dtype=np.float64) * (statistics.fmean(skews) if skews else 1.0)
    rows = np.flatnonzero(latency_s > 0)
    if not len(rows):
        raise ModelError(
            "training data: no record holds per-kernel values > 0 s; run `annette benchmark` first"
        )
    energy_j = np.array(energies, dtype=np.float64)[rows]
    weights = clock_weights(latency_s[rows]) if device.is_exclusive else None
    if all(timed_in):
        weights = share_weights(latency_s[rows], [timed_in[row] for row in rows])
    per_row = np.repeat(np.arange(len(items)), counts)
    data = TrainingData(
        table=table.take(rows),
        latency_s=latency_s[rows],
        groups=np.array(groups, dtype=np.int64)[per_row][rows],
        sweeps=tuple(tags[index][0] for index in per_row[rows]),
        dimensions=tuple(tags[index][1] for index in per_row[rows]),
        sheet=DataSheet.of(device),
        weights=weights,
        energy_j=energy_j if np.isfinite(energy_j).any() else None,
    )
    return data


def kernel_rows(records: Iterable[Record]) -> list[NDArray[np.int64] | None]:
    """Of each record the row that each of its kernels is in `training_data` of the same records.

    -1 for a kernel that took no measurable time; ``None`` for a record that is left out.
    """
    found: list[NDArray[np.int64] | None] = []
    next_row = 0
    for record in records:
        measured = _measured_kernels(record)
        if measured is None:
            found.append(None)
            continue
        took = np.array([statistics.median(runs) > 0 for runs in measured[1]], dtype=bool)
        found.append(np.where(took, next_row + np.cumsum(took) - 1, -1))
        next_row += int(took.sum())
    return found


def share_weights(latency_s: NDArray[np.float64], networks: Sequence[str]) -> NDArray[np.float64]:
    """How much kernels count that were timed inside networks, shape (n_kernels,): the root of their share.

    A network's time is a sum, so that an error matters by the kernel's share of what was measured of it. With
    the root of it, long kernels count more and short ones are still learned from.

    Examples
    --------
    >>> share_weights(np.array([9e-3, 1e-3, 5e-6]), ["a", "a", "b"]).round(2).tolist()
    [0.95, 0.32, 1.0]
    """
    numbers: dict[str, int] = {}
    index = np.array([numbers.setdefault(name, len(numbers)) for name in networks], dtype=np.int64)
    weights: NDArray[np.float64] = np.sqrt(latency_s / np.bincount(index, latency_s)[index])
    return np.minimum(weights, 1.0)


def clock_weights(latency_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much kernels timed by a real clock count: those near its resolution little, shape (n_kernels,).

    The relative variance of a time is about ``s**2 + (r / t)**2`` for an error s that stays and a resolution
    r of the clock; the weight is its reciprocal, 1 for long kernels.

    Examples
    --------
    >>> clock_weights(np.array([1.5e-6, 1e-3])).round(2).tolist()
    [0.5, 1.0]
    """
    weights: NDArray[np.float64] = 1.0 / (1.0 + (_HALF_WEIGHT_S / latency_s) ** 2)
    return weights


def _skew(runs: tuple[float, ...]) -> float:
    """Mean over median of one kernel's runs; 1 where the median is 0."""
    median = statistics.median(runs)
    return statistics.fmean(runs) / median if median > 0 else 1.0


def _measured_kernels(record: Record) -> tuple[Mapping, list[tuple[float, ...]], list[float]] | None:
    """The record's mapping, the seconds of each kernel's runs and its joules (nan where they are not known).

    ``None`` where its kernels are not known.
    """
    measurement = record.measurement
    if measurement.error is not None or record.task.tag(WHOLE_NETWORK) is not None:
        return None
    if measurement.mapping is not None and measurement.kernels is not None:
        energies = [kernel.energy_j or math.nan for kernel in measurement.kernels]  # none that took nothing
        return measurement.mapping, [kernel.values_s for kernel in measurement.kernels], energies
    if len(record.task.network.layers) != 1 or measurement.values_s is None:
        return None
    return _single_layer_mapping(record.task.network), [measurement.values_s], [math.nan]


def _single_layer_mapping(network: Network) -> Mapping:
    name = network.layers[0].name
    return Mapping(kernels=(Kernel(layers=(name,), primary=name, unit="device"),))
