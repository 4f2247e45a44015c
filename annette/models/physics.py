"""The smooth physical model under the mixed one: compute, aligned traffic and fixed costs, by family."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.models.kernel_layout import OPERATORS, operator_code
from annette.models.kernel_table import KernelTable
from annette.models.parameters import GENERIC_FAMILY, MIN_FAMILY_ROWS, DeviceParameters, dimension_sizes
from annette.models.roofline import MIN_LATENCY_S, RefinedTerms, refined_terms
from annette.models.training import TrainingData
from annette.models.unroll import padded_fraction

__all__ = ["PhysicalFit", "PhysicalTerms", "Physics", "fit_physics", "physical_terms"]

COEFFICIENTS = (
    "overhead_s", "s_per_group", "s_per_extra_input", "s_per_extra_image",
    "s_per_op", "s_per_input_byte", "s_per_weight_byte", "s_per_output_byte", "s_per_skipped_byte",
)  # fmt: skip
"""What a family's fit finds, each >= 0."""
_N_FIXED, _COMPUTE, _MEMORY = 4, 4, slice(5, 9)

_GRANULES = (
    (1, 1),
    *((size, 1) for size in (4, 8, 16, 32, 64)),
    *((1, size) for size in (8, 16, 32, 64, 128)),
)
"""Alignments that are tried: (channels, columns) to whose multiples tensors are rounded up in memory."""
MIN_OPERATOR_ROWS = 24
"""Operators of a family with this many measured kernels get physics of their own."""
_N_CANDIDATES = 2
"""Alignments that are looked at closely, besides the plain one."""
_MAX_FIT_ROWS = 1200
"""Rows that a fit looks at: more say the same about ten numbers."""
_SHARPNESS_STARTS = (0.3, 6.0)
"""Further starts of the sharpness above 1: the fit has local minima."""
_MAX_SHARPNESS = 16.0
_GRANULE_GAIN = 0.9
"""An alignment must lower the cost to this share of the plain one's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalFit:
    """One family's physics: ``t = fixed + (compute**p + memory**p)**(1/p)``.

    ``p`` says how well computing hides transfers: 1 not at all, many: the slower of the two counts.
    """

    family: str
    """Family key."""
    operator: str
    """Operator type, or the empty string for all of the family."""
    channel_granule: int
    """Channels are moved in multiples of this many elements; 1 where no such rounding shows."""
    column_granule: int
    """Columns likewise."""
    sharpness: float
    """The exponent p, in [1, 16]."""
    coefficients: tuple[float, ...]
    """Per name of `COEFFICIENTS`."""

    def __post_init__(self) -> None:
        numbers = (*self.coefficients, self.sharpness)
        if len(self.coefficients) != len(COEFFICIENTS) or not all(
            math.isfinite(value) and value >= 0 for value in numbers
        ):
            raise ModelError(f"physics of {self.family!r}: coefficients {numbers}, expected finite ones >= 0")
        if self.sharpness < 1 or min(self.channel_granule, self.column_granule) < 1:
            raise ModelError(f"physics of {self.family!r}: sharpness or granule below 1")

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        fields = ("family", "operator", "channel_granule", "column_granule", "sharpness")
        return {
            **{name: getattr(self, name) for name in fields},
            "coefficients": dict(zip(COEFFICIENTS, self.coefficients, strict=True)),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PhysicalFit:
        """The fit that `to_json` wrote; KeyError, TypeError or ValueError for anything else."""
        return cls(
            family=str(document["family"]),
            operator=str(document["operator"]),
            channel_granule=int(document["channel_granule"]),
            column_granule=int(document["column_granule"]),
            sharpness=float(document["sharpness"]),
            coefficients=tuple(float(document["coefficients"][name]) for name in COEFFICIENTS),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhysicalTerms:
    """The parts of the physical model per kernel; arrays of shape (n_kernels,) unless said otherwise."""

    fixed_s: NDArray[np.float64]
    """Overhead, and what each further group, input or image costs."""
    compute_s: NDArray[np.float64]
    """Seconds of computing, ragged tiles paid in full."""
    transfers_s: NDArray[np.float64]
    """Shape (n_kernels, 4): seconds of moving input, weights, output, and what is skipped of the input."""
    padding: NDArray[np.float64]
    """Shape (n_kernels, 2): aligned over plain bytes of input and output; >= 1."""
    sharpness: NDArray[np.float64]
    """The family's exponent."""
    refined: RefinedTerms
    """The refined roofline of the same kernels."""

    @property
    def memory_s(self) -> NDArray[np.float64]:
        """Seconds of moving everything."""
        parts = self.transfers_s
        return parts[:, 0] + parts[:, 1] + parts[:, 2] + parts[:, 3]

    @property
    def total_s(self) -> NDArray[np.float64]:
        """Seconds of the kernel; > 0."""
        total = self.fixed_s + _blend(self.compute_s, self.memory_s, self.sharpness)
        return np.maximum(total, MIN_LATENCY_S)


def _blend(
    compute: NDArray[np.float64], memory: NDArray[np.float64], sharpness: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """``(compute**p + memory**p)**(1/p)`` without overflow."""
    larger = np.maximum(np.maximum(compute, memory), 1e-30)
    ratio = np.minimum(compute, memory) / larger
    blended: NDArray[np.float64] = larger * np.power(1.0 + np.power(ratio, sharpness), 1.0 / sharpness)
    return blended


def _quantities(
    table: KernelTable,
    efficiency: NDArray[np.float64],
    channel_granule: NDArray[np.float64] | float,
    column_granule: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    """What the coefficients multiply, shape (n_kernels, len(COEFFICIENTS))."""
    run = table.column("run_elements")
    in_channels = np.where(run > 0, run, dimension_sizes(table, "in_channels"))
    out_channels = np.where(run > 0, run, dimension_sizes(table, "out_channels"))
    in_padding = padded_fraction(in_channels, channel_granule) * padded_fraction(
        table.column("in_w"), column_granule
    )
    out_padding = padded_fraction(out_channels, channel_granule) * padded_fraction(
        table.column("out_w"), column_granule
    )
    groups, channels = table.column("groups"), table.column("in_channels")
    return np.stack(
        [
            np.ones(len(table)),
            np.where(channels > groups, groups - 1.0, 0.0),
            np.maximum(table.column("n_inputs") - 1.0, 0.0),
            table.column("batch") - 1.0,
            table.column("ops") / efficiency,
            table.column("input_bytes") * in_padding,
            table.column("weight_bytes"),
            table.column("output_bytes") * out_padding,
            table.column("skipped_bytes"),
        ],
        axis=1,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Physics:
    """The physical fits of a device, by family and, within a family, by operator."""

    fits: tuple[PhysicalFit, ...]
    """Sorted by family and operator; the one of `GENERIC_FAMILY` prices what has none."""
    _by_key: dict[tuple[str, float], PhysicalFit] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found = {(fit.family, operator_code(fit.operator)): fit for fit in self.fits}
        if (GENERIC_FAMILY, 0.0) not in found:
            raise ModelError(f"physics: no fit for {GENERIC_FAMILY!r}; train the platform again")
        object.__setattr__(self, "_by_key", found)

    def fit_of(self, family: str, operator: float) -> PhysicalFit:
        """The fit for that operator of the family, else the family's, else the generic one."""
        found = self._by_key.get((family, operator)) or self._by_key.get((family, 0.0))
        return found or self._by_key[GENERIC_FAMILY, 0.0]


def physical_terms(table: KernelTable, parameters: DeviceParameters, physics: Physics) -> PhysicalTerms:
    """The physical model of every kernel."""
    refined = refined_terms(table, parameters)
    codes = table.family_index * (len(OPERATORS) + 1) + table.column("operator").astype(np.int64)
    kinds, index = np.unique(codes, return_inverse=True)
    pairs = [divmod(int(kind), len(OPERATORS) + 1) for kind in kinds]
    chosen = [physics.fit_of(table.family_names[family], float(operator)) for family, operator in pairs]
    n_terms = len(COEFFICIENTS)
    numbers = np.array(
        [(*fit.coefficients, fit.sharpness, fit.channel_granule, fit.column_granule) for fit in chosen]
    ).reshape(len(chosen), n_terms + 3)[index]
    quantities = _quantities(table, refined.efficiency, numbers[:, n_terms + 1], numbers[:, n_terms + 2])
    parts = quantities * numbers[:, :n_terms]
    plain = np.maximum(np.stack([table.column("input_bytes"), table.column("output_bytes")], axis=1), 1.0)
    return PhysicalTerms(
        fixed_s=parts[:, 0] + parts[:, 1] + parts[:, 2] + parts[:, 3],
        compute_s=parts[:, _COMPUTE],
        transfers_s=parts[:, _MEMORY],
        padding=quantities[:, [5, 7]] / plain,
        sharpness=numbers[:, n_terms],
        refined=refined,
    )


def fit_physics(data: TrainingData, parameters: DeviceParameters) -> Physics:
    """The physics of each unit, of every family with parameters of its own, and of frequent operators."""
    table = data.table
    fits = [_fit(GENERIC_FAMILY, "", data, parameters)]
    nameless = dataclasses.replace(data, table=table.without_families())
    for unit in nameless.table.family_names:
        rows = nameless.table.rows_of(unit)
        if len(rows) >= MIN_FAMILY_ROWS:
            fits.append(_fit(unit, "", nameless.take(rows), parameters))
    for family in parameters.families[1:]:
        part = data.take(table.rows_of(family.family))
        fits.append(_fit(family.family, "", part, parameters))
        operators = part.table.column("operator")
        codes = [code for code in np.unique(operators) if code > 0]
        for code in codes if len(codes) > 1 else ():
            rows = np.flatnonzero(operators == code)
            if len(rows) >= MIN_OPERATOR_ROWS:
                fits.append(_fit(family.family, OPERATORS[int(code) - 1], part.take(rows), parameters))
    return Physics(fits=tuple(fits))


def _fit(family: str, operator: str, data: TrainingData, parameters: DeviceParameters) -> PhysicalFit:
    """The physics of the kernels in ``data``, all of one family (or of all, for a fallback).

    The alignment is the one under which a sum of non-negative terms explains the latencies best; then all
    coefficients and the sharpness minimise the relative error, robustly.
    """
    step = -(-len(data) // _MAX_FIT_ROWS)
    table, latency_s = data.table.take(np.arange(0, len(data), step)), data.latency_s[::step]
    efficiency = refined_terms(table, parameters).efficiency
    sums = [_fit_sum(_quantities(table, efficiency, *granules), latency_s) for granules in _GRANULES]
    order = sorted(range(len(sums)), key=lambda index: sums[index][0])[:_N_CANDIDATES]
    candidates = sorted({0, *order})
    blends = [
        _fit_blend(_quantities(table, efficiency, *_GRANULES[index]), latency_s, sums[index][1], (2.0,))
        for index in candidates
    ]
    best = min(
        range(len(candidates)),
        key=lambda place: blends[place].cost * (_GRANULE_GAIN if candidates[place] == 0 else 1.0),
    )
    channels, columns = _GRANULES[candidates[best]]
    quantities = _quantities(table, efficiency, channels, columns)
    other = _fit_blend(quantities, latency_s, sums[candidates[best]][1], _SHARPNESS_STARTS)
    blend = min(blends[best], other, key=lambda item: item.cost)
    return PhysicalFit(
        family=family,
        operator=operator,
        channel_granule=channels,
        column_granule=columns,
        sharpness=blend.sharpness,
        coefficients=tuple(blend.coefficients.tolist()),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Blend:
    cost: float
    coefficients: NDArray[np.float64]
    sharpness: float


def _fit_sum(
    quantities: NDArray[np.float64], latency_s: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Mean absolute relative error and coefficients of the best non-negative sum."""
    from scipy.optimize import nnls

    scale = np.maximum(quantities.max(axis=0), 1.0)
    design = quantities / scale / latency_s[:, None]
    weights = np.ones(len(latency_s))
    solution = np.zeros(design.shape[1])
    for _ in range(4):  # re-weighted towards the absolute error
        solution = nnls(design * weights[:, None], weights)[0]
        weights = 1.0 / np.sqrt(np.maximum(np.abs(design @ solution - 1.0), 0.02))
    return float(np.mean(np.abs(design @ solution - 1.0))), solution / scale


def _fit_blend(
    quantities: NDArray[np.float64],
    latency_s: NDArray[np.float64],
    start: NDArray[np.float64],
    exponents: tuple[float, ...],
) -> _Blend:
    """Coefficients and sharpness of the least robust relative error, from several sharpnesses above 1."""
    from scipy.optimize import least_squares

    mean = np.maximum(quantities.mean(axis=0), 1e-30)
    present = np.flatnonzero(quantities.max(axis=0) > 0)
    smallest = 1e-4 * float(np.median(latency_s)) / mean
    logs = np.log(np.maximum(start, smallest))[present]

    def residuals(point: NDArray[np.float64]) -> NDArray[np.float64]:
        coefficients = np.zeros(quantities.shape[1])
        coefficients[present] = np.exp(point[:-1])
        parts = quantities * coefficients
        memory, sharpness = parts[:, _MEMORY].sum(axis=1), 1.0 + float(np.exp(point[-1]))
        total = parts[:, :_N_FIXED].sum(axis=1) + _blend(parts[:, _COMPUTE], memory, sharpness)
        difference: NDArray[np.float64] = np.log(np.maximum(total, MIN_LATENCY_S) / latency_s)
        return difference

    lower = np.append(logs - 20.0, math.log(0.02))
    upper = np.append(logs + 20.0, math.log(_MAX_SHARPNESS - 1.0))
    tried = [
        least_squares(
            residuals,
            np.append(logs, math.log(exponent)),
            bounds=(lower, upper),
            loss="soft_l1",
            f_scale=0.05,
            max_nfev=60,
        )
        for exponent in exponents
    ]
    found = min(tried, key=lambda item: float(item.cost))
    coefficients = np.zeros(quantities.shape[1])
    coefficients[present] = np.exp(found.x[:-1])
    sharpness = 1.0 + float(np.exp(found.x[-1]))
    return _Blend(cost=float(found.cost), coefficients=coefficients, sharpness=sharpness)
