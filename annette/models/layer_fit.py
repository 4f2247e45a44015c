"""Fits the layer models of a device to its measured kernels, and keeps what cross-validation said of them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from annette.models.boosting import BoostedFit, BoostingGrid, fit_boosted
from annette.models.features import feature_matrix, feature_names
from annette.models.layer_models import LayerModels
from annette.models.layer_scores import score_families
from annette.models.operator_forests import OPERATOR_KIND, held_out_by_family, operator_jobs
from annette.models.parameters import GENERIC_FAMILY, fit_parameters
from annette.models.physics import physical_terms
from annette.models.physics_fit import fit_physics
from annette.models.ranges import measure_ranges
from annette.models.roofline import refined_terms, roofline_s
from annette.models.stand_ins import find_stand_ins
from annette.models.target import LATENCY
from annette.models.training import TrainingData

__all__ = ["HeldOut", "fit_layer_models", "fit_with_held_out"]

_GRIDS = MappingProxyType(
    {
        "mixed": BoostingGrid(),
        "statistical": BoostingGrid(n_folds=3),
        "generic": BoostingGrid(configurations=BoostingGrid().configurations[1:], max_rounds=120, n_folds=3),
    }
)
"""What cross-validation chooses from; the generic model sees every row, so it tries less."""
_PROCESSOR_GRID = BoostingGrid(
    configurations=tuple(
        replace(item, colsample=1.0, colsample_node=0.25) for item in BoostingGrid().configurations
    )
)
"""The same for the mixed model of a processor. Its data sheet adds many features that say nearly the same:
with a quarter of them at each split the trees lean on none of them alone."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """What layer models said of kernels whose group they had not seen.

    The forests were held out; the parameters and physics under them saw all rows, as `LayerModels.scores`.
    """

    predicted: Mapping[str, NDArray[np.float64]]
    """By layer model, shape (n_kernels,): > 0, or nan where nothing could be held out."""


def fit_layer_models(data: TrainingData, *, seed: int) -> LayerModels:
    """The layer models of a device from its measured kernels; the same data and seed give the same files.

    They predict the data's target, latency or energy.

    Raises
    ------
    ModelError
        Without rows.
    """
    return fit_with_held_out(data, seed=seed)[0]


def fit_with_held_out(data: TrainingData, *, seed: int) -> tuple[LayerModels, HeldOut]:
    """The same models, and what each said of the rows that it had not seen in cross-validation."""
    parameters = fit_parameters(data)
    table = data.table
    physics = fit_physics(data, parameters)
    terms = physical_terms(table, parameters, physics)
    nameless_terms = physical_terms(table.without_families(), parameters, physics)
    jobs = [("generic", GENERIC_FAMILY, np.arange(len(data)))]
    for family in parameters.families[1:]:
        rows = table.rows_of(family.family)
        jobs.extend((kind, family.family, rows) for kind in ("mixed", "statistical"))
    bases = {
        "statistical": roofline_s(table, parameters),
        "mixed": terms.total_s,
        "generic": nameless_terms.total_s,
    }
    bases[OPERATOR_KIND] = bases["mixed"]
    matrices: dict[str, NDArray[np.float32]] = {
        kind: feature_matrix(kind, table, nameless_terms if kind == "generic" else terms, data.sheet)
        for kind in _GRIDS
    }
    names: dict[str, tuple[str, ...]] = dict(feature_names(data.sheet))
    matrices[OPERATOR_KIND], names[OPERATOR_KIND] = matrices["mixed"], names["mixed"]
    weights = dict.fromkeys(_GRIDS, data.weights)
    grids = dict(_GRIDS)
    if not data.sheet.is_empty:
        weights["mixed"] = weights[OPERATOR_KIND] = _share_weights(data)
        grids["mixed"] = grids[OPERATOR_KIND] = _PROCESSOR_GRID
        jobs.extend(operator_jobs(data, [item.family for item in parameters.families[1:]]))

    def fit(job: tuple[str, str, NDArray[np.int64]]) -> BoostedFit:
        kind, _, rows = job
        counts = weights[kind]
        target = np.log(data.cost[rows] / bases[kind][rows])
        return fit_boosted(
            matrices[kind][rows], target, data.groups[rows], names[kind], seed=seed, grid=grids[kind],
            weights=None if counts is None else counts[rows] / counts[rows].mean(),
        )  # fmt: skip

    jobs.sort(key=lambda job: -len(job[2]))  # the longest first, so that the last worker ends early
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool:  # XGBoost lets go of the GIL
        fits = dict(zip([job[:2] for job in jobs], pool.map(fit, jobs), strict=True))
    models = LayerModels(
        parameters=parameters,
        physics=physics,
        contents={key: found.content for key, found in fits.items()},
        ranges=measure_ranges(table),
        scores=score_families(data, parameters, bases, fits),
    )
    generic = bases["generic"] * np.exp(fits["generic", GENERIC_FAMILY].held_out)
    if not data.sheet.is_empty:  # units of an accelerator differ too much to stand in for each other
        predict = models.predict_s if data.target is LATENCY else models.predict_j
        models = replace(models, stand_ins=find_stand_ins(data, predict, parameters, generic))
    return models, _held_out(data, models, bases, fits)


def _share_weights(data: TrainingData) -> NDArray[np.float64]:
    """How much each kernel counts in the fit of a processor's mixed models, shape (n_kernels,).

    A network's time is a sum, so that an error matters by the kernel's share of its network. With the root of
    the share, long kernels count more and short ones are still learned from. So it is with energy.
    """
    network = data.table.network_index
    total = np.bincount(network, data.cost, data.table.n_networks)
    counts = np.ones(len(data)) if data.weights is None else data.weights
    return np.asarray(counts * np.sqrt(data.cost / total[network]))


def _held_out(
    data: TrainingData,
    models: LayerModels,
    bases: Mapping[str, NDArray[np.float64]],
    fits: Mapping[tuple[str, str], BoostedFit],
) -> HeldOut:
    """What the models said of rows that they had not seen."""
    table = data.table
    by_family = held_out_by_family(table, fits)
    generic = bases["generic"] * np.exp(fits["generic", GENERIC_FAMILY].held_out)
    predicted = {
        "roofline": bases["statistical"],
        "refined_roofline": refined_terms(table, models.parameters).total_s,
    }
    for kind in ("statistical", "mixed"):
        costs = generic.copy()
        for family in table.family_names:
            rows = table.rows_of(family)
            if (kind, family) in by_family:
                costs[rows] = bases[kind][rows] * np.exp(by_family[kind, family])
            elif family in models.stand_ins:
                costs[rows] *= math.exp(models.stand_ins[family].log_factor)
        predicted[kind] = costs
    return HeldOut(predicted=predicted)
