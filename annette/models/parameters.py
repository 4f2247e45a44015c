"""A device's parameters from measurements alone: peak, bandwidth, overhead and unroll factors by family."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.models.kernel_table import KernelTable
from annette.models.target import LATENCY, Target, target_of
from annette.models.training import TrainingData
from annette.models.unroll import DIMENSIONS, Sweep, UnrollFit, fit_unroll, softened_efficiency
from annette.store.strict_json import shorten

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


_UNROLL_DONORS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"grouped_conv": ("conv", "gemm"), "conv_transpose": ("conv", "gemm"), "matmul": ("gemm", "conv")}
)
"""Families on the same array: one without sweeps takes their unroll factors if that lowers its error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyParameters:
    """What the measurements say about one kernel family."""

    family: str
    """Family key, or `GENERIC_FAMILY`."""
    peak_ops_per_s: float | None
    """Rate of computing, or a lower limit of it where no kernel was bound by computing; ``None`` for a family
    that only moves data."""
    bandwidth_bytes_per_s: float
    """Rate of moving what enters and leaves; likewise a lower limit where no kernel was bound by it."""
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
        unrolls = [fit.to_json() for fit in self.unrolls]
        return {**{name: getattr(self, name) for name in names}, "unrolls": unrolls}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> FamilyParameters:
        """The parameters that `to_json` wrote; KeyError, TypeError or ValueError for anything else."""
        peak = document["peak_ops_per_s"]
        return cls(
            family=str(document["family"]),
            peak_ops_per_s=None if peak is None else float(peak),
            bandwidth_bytes_per_s=float(document["bandwidth_bytes_per_s"]),
            overhead_s=float(document["overhead_s"]),
            unrolls=tuple(UnrollFit.from_json(fit) for fit in document["unrolls"]),
            error=float(document["error"]),
            n_rows=int(document["n_rows"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceParameters:
    """The device's textbook roofline and the parameters of each family."""

    peak_ops_per_s: float
    """The highest rate of computing that any kernel reached."""
    bandwidth_bytes_per_s: float
    """The highest rate of moving bytes that any kernel reached."""
    families: tuple[FamilyParameters, ...]
    """Sorted by family; the first is `GENERIC_FAMILY`."""
    target: Target = LATENCY
    """What they price. Of energy rates are per joule, and the device's own are those of all its kernels."""

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
        """Plain values for a JSON file, the target's unit in their names."""
        document = {
            "peak_ops_per_s": self.peak_ops_per_s,
            "bandwidth_bytes_per_s": self.bandwidth_bytes_per_s,
            "families": [family.to_json() for family in self.families],
        }
        if self.target is LATENCY:
            return document
        return {"target": self.target.name, **self.target.to_own_names(document)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DeviceParameters:
        """The parameters that `to_json` wrote.

        Raises
        ------
        ModelError
            If a field is missing, unknown or out of range.
        """
        try:
            target = target_of(document.get("target", LATENCY.name))
            document = target.from_own_names(document)
            return cls(
                peak_ops_per_s=float(document["peak_ops_per_s"]),
                bandwidth_bytes_per_s=float(document["bandwidth_bytes_per_s"]),
                families=tuple(FamilyParameters.from_json(item) for item in document["families"]),
                target=target,
            )
        except (KeyError, TypeError, ValueError) as err:
            if isinstance(err, ModelError):
                raise
            raise ModelError(f"device parameters: {shorten(repr(err))}; train the platform again") from err


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
    unroll factors come from the sweeps. Of energy the two are added in place of the maximum, and the device's
    rates are those of all its kernels together: energy has no roof that the best reach.

    Raises
    ------
    ModelError
        Without rows.
    """
    if not len(data):
        raise ModelError("parameters: no measured kernels")
    table, cost = data.table, data.cost
    ops, size_bytes = table.column("ops"), table.moved_bytes
    keys = [key for key in sorted(table.family_names) if len(table.rows_of(key)) >= MIN_FAMILY_ROWS]
    unrolls = {key: _fit_unrolls(data.take(table.rows_of(key))) for key in keys}
    families = [_fit_family(GENERIC_FAMILY, data, [()])]
    for key in keys:
        donors = [unrolls[donor] for donor in _UNROLL_DONORS.get(key, ()) if unrolls.get(donor)]
        candidates = [unrolls[key]] if unrolls[key] else [(), *map(_inherited, donors)]
        families.append(_fit_family(key, data.take(table.rows_of(key)), candidates))
    peak = max(float(np.quantile(ops / cost, 0.995)), 1.0)
    bandwidth = max(float(np.quantile(size_bytes / cost, 0.995)), 1.0)
    if data.target.is_sum:
        peak, bandwidth = families[0].peak_ops_per_s or peak, families[0].bandwidth_bytes_per_s
    return DeviceParameters(
        peak_ops_per_s=peak,
        bandwidth_bytes_per_s=bandwidth,
        families=tuple(families),
        target=data.target,
    )


def _inherited(unrolls: tuple[UnrollFit, ...]) -> tuple[UnrollFit, ...]:
    """The unroll factors of a related family: no sweep of one's own speaks for them."""
    return tuple(dataclasses.replace(fit, n_sweeps=0) for fit in unrolls)


def _fit_family(
    family: str, data: TrainingData, candidates: Sequence[tuple[UnrollFit, ...]]
) -> FamilyParameters:
    """The family's parameters with those unroll factors under which the error is least."""
    table = data.table
    fits = [
        (
            unrolls,
            _fit_rates(
                table.column("ops") / unroll_efficiency(table, unrolls),
                table.moved_bytes,
                data.cost,
                data.target,
                data.weights,
            ),
        )
        for unrolls in candidates
    ]
    unrolls, rates = min(fits, key=lambda item: item[1].error)
    return FamilyParameters(
        family=family,
        peak_ops_per_s=rates.peak_ops_per_s,
        bandwidth_bytes_per_s=rates.bandwidth_bytes_per_s,
        overhead_s=rates.overhead_s,
        unrolls=unrolls,
        error=rates.error,
        n_rows=len(data),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rates:
    peak_ops_per_s: float | None
    bandwidth_bytes_per_s: float
    overhead_s: float
    error: float


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
            Sweep(sizes=sizes[rows], latency_s=data.cost[rows])
            for rows in members.values()
            if len(np.unique(sizes[rows])) >= 6
        ]
        if sweeps:
            fits.append(fit_unroll(dimension, sweeps))
    return tuple(fits)


def _fit_rates(
    ops: NDArray[np.float64],
    size_bytes: NDArray[np.float64],
    cost: NDArray[np.float64],
    target: Target,
    weights: NDArray[np.float64] | None = None,
) -> _Rates:
    """Peak (``None`` without ops), bandwidth, overhead and median relative error."""
    from scipy.optimize import least_squares

    has_ops = bool((ops > 0).any())
    n_unknowns = 3 if has_ops else 2
    overhead = max(float(np.quantile(cost, 0.02)), target.least)
    scale = None if weights is None else np.sqrt(weights)

    def residuals(logs: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
        memory = size_bytes / np.exp(logs[0])
        compute = ops / np.exp(logs[2]) if has_ops else np.zeros_like(memory)
        larger = np.maximum(np.maximum(compute, memory), 1e-30)
        if math.isfinite(exponent):
            larger = larger * (1.0 + (np.minimum(compute, memory) / larger) ** exponent) ** (1.0 / exponent)
        difference: NDArray[np.float64] = np.log((np.exp(logs[1]) + larger) / cost)
        return difference

    def weighted(logs: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
        return residuals(logs, exponent) if scale is None else residuals(logs, exponent) * scale

    # From the sum, which has one minimum, to the maximum.
    exponents = (1.0,) if target.is_sum else (1.0, 4.0, math.inf)
    tried = []
    for quantile in (0.5, 0.8, 0.95, 0.99):  # several starts: the maximum of two rates has local minima
        rates = [max(float(np.quantile(amount / cost, quantile)), 1.0) for amount in (size_bytes, ops)]
        point = np.log([rates[0], overhead, rates[1]])[:n_unknowns]
        for exponent in exponents:
            found = least_squares(weighted, point, args=(exponent,), loss="soft_l1", f_scale=0.1, max_nfev=60)
            point = found.x
        tried.append(found)
    best = min(tried, key=lambda item: float(item.cost))
    error = float(np.median(np.abs(np.expm1(residuals(best.x, exponents[-1])))))
    bandwidth, overhead = float(np.exp(best.x[0])), float(np.exp(best.x[1]))
    peak = float(np.exp(best.x[2])) if has_ops else None
    if target.is_sum:  # what costs next to nothing: the rates stay finite, the prediction is the same
        bandwidth = min(bandwidth, max(float(size_bytes.max()), 1.0) / target.least)
        peak = None if peak is None else min(peak, float(ops.max()) / target.least)
    elif (
        peak is not None
    ):  # a roof that no kernel touches is as low as the data allow: the prediction is the same
        peak = min(peak, float(np.max(ops / np.maximum(size_bytes / bandwidth, 1e-15))))
        bandwidth = min(bandwidth, float(np.max(size_bytes / np.maximum(ops / peak, 1e-15))))
    return _Rates(peak_ops_per_s=peak, bandwidth_bytes_per_s=bandwidth, overhead_s=overhead, error=error)
