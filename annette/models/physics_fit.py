"""Fits the physical model to measured kernels: alignment, vectors, coefficients and sharpness by family."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.models.data_sheet import FILLS, DataSheet, inside_fraction
from annette.models.kernel_layout import OPERATORS
from annette.models.kernel_table import KernelTable
from annette.models.parameters import GENERIC_FAMILY, MIN_FAMILY_ROWS, DeviceParameters
from annette.models.physics import (
    COEFFICIENTS,
    COMPUTE,
    N_FIXED,
    PhysicalFit,
    Physics,
    blend,
    fill_padding,
    memory_columns,
    physical_quantities,
    physical_terms,
)
from annette.models.roofline import refined_terms
from annette.models.target import Target
from annette.models.training import TrainingData

__all__ = ["fit_physics"]

_GRANULES = (
    (1, 1),
    *((size, 1) for size in (4, 8, 16, 32, 64)),
    *((1, size) for size in (8, 16, 32, 64, 128)),
)
"""Alignments that are tried: (channels, columns) to whose multiples tensors are rounded up in memory."""
MIN_OPERATOR_ROWS = 24
"""Operators of a family with this many measured kernels get physics of their own."""
_PRIOR_ROWS = 1.0
"""So many rows more, which are priced right, hold the factor of a rare operator back."""
_N_CANDIDATES = 2
"""Alignments that are looked at closely, besides the plain one."""
_MAX_FIT_ROWS = 1200
"""Rows that a fit looks at: more say the same about ten numbers."""
_SHARPNESS_STARTS = (0.3, 6.0)
"""Further starts of the sharpness above 1: the fit has local minima."""
_MAX_SHARPNESS = 16.0
_MIN_SUPPORT = 10
"""Rows of a processor in which a cost must occur to be learned: fewer tell nothing of it."""
_MAX_S_PER_CACHE_BYTE = 1e-9
"""No memory behind a cache is slower than 1 GB/s: beyond that a fit explains something else."""
_PULL = 0.3
"""What a factor of e away from the best sum counts, as a residual: what data say nothing of stays there."""
_FILL_GAIN = 0.9
"""Vectors paid in full must lower the error of a sum to this share: blocked layouts do so to 0.2 to 0.8. What
gains a few per cent by chance makes a kernel of one column 16 times as dear."""
_GRANULE_GAIN = 0.9
"""An alignment must lower the cost to this share of the plain one's."""


def fit_physics(data: TrainingData, parameters: DeviceParameters) -> Physics:
    """The physics of each unit, of every family with parameters of its own, and of frequent operators."""
    table = data.table
    fits = [_fit(GENERIC_FAMILY, "", data, parameters)]
    rare: list[tuple[str, str, TrainingData]] = []
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
            operator = OPERATORS[int(code) - 1]
            if len(rows) >= MIN_OPERATOR_ROWS:
                fits.append(_fit(family.family, operator, part.take(rows), parameters))
            elif not data.sheet.is_empty:
                rare.append((family.family, operator, part.take(rows)))
    physics = Physics(fits=tuple(fits), sheet=data.sheet)
    scaled = [_scale(physics, *item, parameters) for item in rare]
    return Physics(fits=(*fits, *scaled), sheet=data.sheet)


def _scale(
    physics: Physics, family: str, operator: str, data: TrainingData, parameters: DeviceParameters
) -> PhysicalFit:
    """The family's physics with all its times multiplied by what the few rows of this operator ask for.

    An element of a Mish takes twenty times that of a Relu, and the trees see too few of either to tell.
    """
    said = physical_terms(data.table, parameters, physics).total_s
    ratios = np.log(data.cost / said)
    factor = math.exp(float(np.median(ratios)) * len(ratios) / (len(ratios) + _PRIOR_ROWS))
    fit = physics.fit_of(family, 0.0)
    return dataclasses.replace(
        fit,
        family=family,
        operator=operator,
        coefficients=_bounded(np.array(fit.coefficients) * factor),
        cold_overhead_s=tuple(factor * value for value in fit.cold_overhead_s),
    )


def _fit(family: str, operator: str, data: TrainingData, parameters: DeviceParameters) -> PhysicalFit:
    """The physics of the kernels in ``data``, all of one family (or of all, for a fallback).

    The alignment is the one under which a sum of non-negative terms explains the latencies best; then all
    coefficients and the sharpness minimise the relative error, robustly.
    """
    step = -(-len(data) // _MAX_FIT_ROWS)
    table, latency_s = data.table.take(np.arange(0, len(data), step)), data.cost[::step]
    weights = None if data.weights is None else data.weights[::step]
    efficiency = refined_terms(table, parameters).efficiency
    fill, skips = _best_fill(table, efficiency, latency_s, data.sheet, weights)
    if fill or skips:
        efficiency = efficiency / fill_padding(table, data.sheet, fill, skips_padding=skips)
    sums = [
        _fit_sum(_supported(table, efficiency, granules, data.sheet), latency_s, weights)
        for granules in _GRANULES
    ]
    memory = memory_columns(data.sheet)
    order = sorted(range(len(sums)), key=lambda index: sums[index][0])[:_N_CANDIDATES]
    candidates = sorted({0, *order})
    blends = [
        _fit_blend(
            _supported(table, efficiency, _GRANULES[index], data.sheet),
            latency_s,
            sums[index][1],
            (2.0,),
            data.target,
            memory,
            weights,
        )
        for index in candidates
    ]
    best = min(
        range(len(candidates)),
        key=lambda place: blends[place].cost * (_GRANULE_GAIN if candidates[place] == 0 else 1.0),
    )
    channels, columns = _GRANULES[candidates[best]]
    quantities = _supported(table, efficiency, (channels, columns), data.sheet)
    found = blends[best]
    if not data.target.is_sum:
        start = sums[candidates[best]][1]
        other = _fit_blend(quantities, latency_s, start, _SHARPNESS_STARTS, data.target, memory, weights)
        found = min(found, other, key=lambda item: item.cost)
    return PhysicalFit(
        family=family,
        operator=operator,
        channel_granule=channels,
        column_granule=columns,
        sharpness=found.sharpness,
        coefficients=_bounded(found.coefficients[: memory.stop]),
        cold_overhead_s=tuple(map(float, found.coefficients[memory.stop :])),
        fill=fill,
        skips_padding=skips,
    )


def _supported(
    table: KernelTable, efficiency: NDArray[np.float64], granules: tuple[int, int], sheet: DataSheet
) -> NDArray[np.float64]:
    """`physical_quantities`, those of processors that occur in too few rows left out (as zero)."""
    quantities = physical_quantities(table, efficiency, *granules, sheet)
    if not sheet.is_empty:
        quantities[:, (quantities > 0).sum(axis=0) < min(_MIN_SUPPORT, len(table))] = 0.0
    return quantities


def _bounded(coefficients: NDArray[np.float64]) -> tuple[float, ...]:
    """The coefficients, with those of bytes from beyond caches within what a memory can do."""
    n_terms = len(COEFFICIENTS)
    cached = np.minimum(coefficients[n_terms:], _MAX_S_PER_CACHE_BYTE)
    return (*map(float, coefficients[:n_terms]), *map(float, cached))


def _best_fill(
    table: KernelTable,
    efficiency: NDArray[np.float64],
    latency_s: NDArray[np.float64],
    sheet: DataSheet,
    weights: NDArray[np.float64] | None,
) -> tuple[tuple[str, ...], bool]:
    """Along which dimensions partly filled vectors are paid in full, and whether padding costs nothing.

    Neither unless that explains more.
    """
    if sheet.vector_bytes is None or not (table.column("ops") > 0).any():
        return (), False
    has_padding = bool((inside_fraction(table) < 1).any())
    tried = [(fill, skips) for skips in (False, True)[: 1 + has_padding] for fill in FILLS]
    costs = []
    for fill, skips in tried:
        filled = efficiency / fill_padding(table, sheet, fill, skips_padding=skips)
        costs.append(_fit_sum(_supported(table, filled, (1, 1), sheet), latency_s, weights)[0])
    best = int(np.argmin(costs))
    return tried[best] if costs[best] < _FILL_GAIN * costs[0] else ((), False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Blend:
    cost: float
    coefficients: NDArray[np.float64]
    sharpness: float


def _fit_sum(
    quantities: NDArray[np.float64],
    latency_s: NDArray[np.float64],
    rows: NDArray[np.float64] | None = None,
) -> tuple[float, NDArray[np.float64]]:
    """Mean absolute relative error and coefficients of the best non-negative sum."""
    from scipy.optimize import nnls

    scale = np.maximum(quantities.max(axis=0), 1.0)
    design = quantities / scale / latency_s[:, None]
    start = np.ones(len(latency_s)) if rows is None else np.sqrt(rows)
    weights = start
    solution = np.zeros(design.shape[1])
    for _ in range(4):  # re-weighted towards the absolute error
        solution = nnls(design * weights[:, None], weights)[0]
        weights = start / np.sqrt(np.maximum(np.abs(design @ solution - 1.0), 0.02))
    return float(np.average(np.abs(design @ solution - 1.0), weights=rows)), solution / scale


def _fit_blend(
    quantities: NDArray[np.float64],
    latency_s: NDArray[np.float64],
    start: NDArray[np.float64],
    exponents: tuple[float, ...],
    target: Target,
    memory: slice,
    rows: NDArray[np.float64] | None = None,
) -> _Blend:
    """Coefficients and sharpness of the least robust relative error, from several sharpnesses above 1.

    The sharpness of a sum is 1, and nothing is looked for.
    """
    from scipy.optimize import least_squares

    mean = np.maximum(quantities.mean(axis=0), 1e-30)
    present = np.flatnonzero(quantities.max(axis=0) > 0)
    smallest = 1e-4 * float(np.median(latency_s)) / mean
    logs = np.log(np.maximum(start, smallest))[present]

    def sharpness_at(point: NDArray[np.float64]) -> float:
        return 1.0 if target.is_sum else 1.0 + float(np.exp(point[-1]))

    def residuals(point: NDArray[np.float64]) -> NDArray[np.float64]:
        coefficients = np.zeros(quantities.shape[1])
        coefficients[present] = np.exp(point[:-1])
        parts = quantities * coefficients
        fixed = parts[:, :N_FIXED].sum(axis=1) + parts[:, memory.stop :].sum(axis=1)
        total = fixed + blend(parts[:, COMPUTE], parts[:, memory].sum(axis=1), sharpness_at(point))
        difference: NDArray[np.float64] = np.log(np.maximum(total, target.least) / latency_s)
        if rows is None:
            return difference
        return np.append(difference * np.sqrt(rows), _PULL * (point[:-1] - logs))

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
    return _Blend(cost=float(found.cost), coefficients=coefficients, sharpness=sharpness_at(found.x))
