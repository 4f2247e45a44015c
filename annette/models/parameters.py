"""A device's parameters from measurements alone: peak, bandwidth, overhead and unroll factors by family."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.models.kernel_table import KernelTable
from annette.models.training import TrainingData
from annette.models.unroll import DIMENSIONS, Sweep, UnrollFit, fit_unroll, softened_efficiency

__all__ = [
    "GENERIC_FAMILY",
    "MIN_FAMILY_ROWS",
    "DeviceParameters",
    "FamilyParameters",
    "dimension_sizes",
    "fit_parameters",
    "unroll_efficiency",
]

GENERIC_FAMILY = "*"
"""The family of all kernels together; its parameters price what has no family of its own."""

MIN_FAMILY_ROWS = 30
"""Families with fewer measured kernels than this are priced by the generic model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyParameters:
    """What the measurements say about one kernel family."""

    family: str
    """Family key, or `GENERIC_FAMILY`."""
    peak_ops_per_s: float | None
    """Highest rate of computing; ``None`` for a family that only moves data."""
    bandwidth_bytes_per_s: float
    """Rate of moving what enters and leaves a kernel."""
    overhead_s: float
    """Seconds that every kernel costs, however small."""
    unrolls: tuple[UnrollFit, ...]
    """Per swept dimension."""
    error: float
    """Median relative error of the refined roofline with these parameters on the rows they are fitted to."""
    n_rows: int
    """Number of those rows."""

    def __post_init__(self) -> None:
        positive = (
            self.bandwidth_bytes_per_s,
            self.peak_ops_per_s if self.peak_ops_per_s is not None else 1.0,
        )
        if not all(math.isfinite(value) and value > 0 for value in positive):
            raise ModelError(f"parameters of {self.family!r}: peak and bandwidth {positive}, expected > 0")
        if not (math.isfinite(self.overhead_s) and self.overhead_s >= 0):
            raise ModelError(f"parameters of {self.family!r}: overhead {self.overhead_s} s, expected >= 0")

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        names = ("family", "peak_ops_per_s", "bandwidth_bytes_per_s", "overhead_s", "error", "n_rows")
        unroll = ("dimension", "factor", "softness", "error", "n_sweeps")
        unrolls = [{name: getattr(fit, name) for name in unroll} for fit in self.unrolls]
        return {**{name: getattr(self, name) for name in names}, "unrolls": unrolls}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceParameters:
    """The device's textbook roofline and the parameters of each family."""

    peak_ops_per_s: float
    """The highest rate of computing that any kernel reached."""
    bandwidth_bytes_per_s: float
    """The highest rate of moving bytes that any kernel reached."""
    families: tuple[FamilyParameters, ...]
    """Sorted by family; the first is `GENERIC_FAMILY`."""

    def __post_init__(self) -> None:
        if not self.families or self.families[0].family != GENERIC_FAMILY:
            raise ModelError(f"device parameters: the first family is not {GENERIC_FAMILY!r}")
        values = (self.peak_ops_per_s, self.bandwidth_bytes_per_s)
        if not all(math.isfinite(value) and value > 0 for value in values):
            raise ModelError(f"device parameters: peak and bandwidth {values}, expected > 0")

    def family(self, key: str) -> FamilyParameters:
        """The parameters of that family, or the generic ones where it has none."""
        return next((item for item in self.families if item.family == key), self.families[0])

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "peak_ops_per_s": self.peak_ops_per_s,
            "bandwidth_bytes_per_s": self.bandwidth_bytes_per_s,
            "families": [family.to_json() for family in self.families],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DeviceParameters:
        """The parameters that `to_json` wrote.

        Raises
        ------
        ModelError
            If a field is missing, unknown or out of range.
        """
        try:
            families = tuple(
                FamilyParameters(**{**item, "unrolls": tuple(UnrollFit(**fit) for fit in item["unrolls"])})
                for item in document["families"]
            )
            return cls(
                peak_ops_per_s=float(document["peak_ops_per_s"]),
                bandwidth_bytes_per_s=float(document["bandwidth_bytes_per_s"]),
                families=families,
            )
        except (KeyError, TypeError, ValueError) as err:
            if isinstance(err, ModelError):
                raise
            raise ModelError(f"device parameters: {err!r}; train the platform again") from err


def dimension_sizes(table: KernelTable, dimension: str) -> NDArray[np.float64]:
    """Sizes of a dimension as the hardware sees them, shape (n_kernels,).

    Channels of a grouped convolution are those of one group; of a depthwise one (a single channel a group)
    they are the total, since there the groups run in parallel.
    """
    sizes = table.column(dimension)
    if not dimension.endswith("channels"):
        return sizes
    groups = table.column("groups")
    per_group = sizes / groups
    return np.where((groups > 1) & (table.column("in_channels") > groups), per_group, sizes)


def unroll_efficiency(table: KernelTable, unrolls: Sequence[UnrollFit]) -> NDArray[np.float64]:
    """The product of the softened efficiencies over the dimensions, shape (n_kernels,), in (0, 1]."""
    efficiency = np.ones(len(table))
    for fit in unrolls:
        efficiency *= softened_efficiency(dimension_sizes(table, fit.dimension), fit.factor, fit.softness)
    return efficiency


def fit_parameters(data: TrainingData) -> DeviceParameters:
    """The parameters of a device, from its measured kernels alone.

    The device's roofline is what its best kernels reach (the 99.5th percentile of ops per second and of
    bytes per second). A family's parameters minimise the relative error of
    ``t = overhead + max(ops / (peak * prod u_a), bytes / bandwidth)`` over all its rows, robustly; its
    unroll factors come from the sweeps.

    Raises
    ------
    ModelError
        Without rows.
    """
    if not len(data):
        raise ModelError("parameters: no measured kernels")
    table, latency = data.table, data.latency_s
    ops, size_bytes = table.column("ops"), table.moved_bytes
    keys = [key for key in sorted(table.family_names) if len(table.rows_of(key)) >= MIN_FAMILY_ROWS]
    families = [_fit_family(GENERIC_FAMILY, data, np.arange(len(data)))]
    families.extend(_fit_family(key, data, table.rows_of(key)) for key in keys)
    return DeviceParameters(
        peak_ops_per_s=max(float(np.quantile(ops / latency, 0.995)), 1.0),
        bandwidth_bytes_per_s=max(float(np.quantile(size_bytes / latency, 0.995)), 1.0),
        families=tuple(families),
    )


def _fit_family(family: str, data: TrainingData, rows: NDArray[np.int64]) -> FamilyParameters:
    part = data.take(rows)
    unrolls = () if family == GENERIC_FAMILY else _fit_unrolls(part)
    padded_ops = part.table.column("ops") / unroll_efficiency(part.table, unrolls)
    peak, bandwidth, overhead, error = _fit_rates(padded_ops, part.table.moved_bytes, part.latency_s)
    return FamilyParameters(
        family=family,
        peak_ops_per_s=peak,
        bandwidth_bytes_per_s=bandwidth,
        overhead_s=overhead,
        unrolls=unrolls,
        error=error,
        n_rows=len(rows),
    )


def _fit_unrolls(data: TrainingData) -> tuple[UnrollFit, ...]:
    """The unroll factors of the dimensions that the family's sweeps vary."""
    fits = []
    for dimension in DIMENSIONS:
        members: dict[str, list[int]] = {}
        for row, (sweep, swept) in enumerate(zip(data.sweeps, data.dimensions, strict=True)):
            if sweep and swept == dimension:
                members.setdefault(sweep, []).append(row)
        sizes = dimension_sizes(data.table, dimension)
        sweeps = [
            Sweep(sizes=sizes[rows], latency_s=data.latency_s[rows])
            for rows in members.values()
            if len(np.unique(sizes[rows])) >= 6
        ]
        if sweeps:
            fits.append(fit_unroll(dimension, sweeps))
    return tuple(fits)


def _fit_rates(
    ops: NDArray[np.float64], size_bytes: NDArray[np.float64], latency_s: NDArray[np.float64]
) -> tuple[float | None, float, float, float]:
    """Peak (``None`` without ops), bandwidth, overhead and median relative error."""
    from scipy.optimize import least_squares

    has_ops = bool((ops > 0).any())
    start = np.log(
        [
            max(float(np.quantile(size_bytes / latency_s, 0.95)), 1.0),
            max(float(np.quantile(latency_s, 0.02)), 1e-9),
            max(float(np.quantile(ops / latency_s, 0.95)), 1.0),
        ]
    )[: 3 if has_ops else 2]

    def predict(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        bandwidth, overhead = np.exp(logs[:2])
        compute = ops / np.exp(logs[2]) if has_ops else 0.0
        result: NDArray[np.float64] = overhead + np.maximum(compute, size_bytes / bandwidth)
        return result

    def residuals(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        difference: NDArray[np.float64] = np.log(predict(logs) / latency_s)
        return difference

    lower, upper = start - 12.0, start + 12.0
    best = None
    for shift in (0.0, -1.0):  # two starts: the maximum of two rates has local minima
        found = least_squares(
            residuals,
            np.clip(start + shift, lower, upper),
            bounds=(lower, upper),
            loss="soft_l1",
            f_scale=0.1,
        )
        if best is None or found.cost < best.cost:
            best = found
    if best is None:
        raise ModelError("parameters: the fit found nothing")
    error = float(np.median(np.abs(np.expm1(residuals(best.x)))))
    rates = np.exp(best.x)
    return (float(rates[2]) if has_ops else None), float(rates[0]), float(rates[1]), error
