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

from annette.models.boosting import BoostedFit, BoostingGrid, fit_boosted, group_folds, predict_left_out
from annette.models.features import feature_matrix, feature_names
from annette.models.layer_models import LayerModels
from annette.models.layer_scores import score_families
from annette.models.operator_forests import OPERATOR_KIND, held_out_by_family, operator_jobs
from annette.models.parameters import GENERIC_FAMILY, fit_parameters
from annette.models.physics import physical_terms
from annette.models.physics_fit import fit_physics
from annette.models.ranges import measure_ranges, octaves_outside
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


_KIND_FOLDS = 3
_LEAST_EXTRAPOLATED, _LEFT_OUT = 100, 0.15
"""Families of so many rows are extrapolated, to this share of their longest kernels."""
_USUAL_PER_OCTAVE = 0.1
"""Where no family is large enough to tell."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """What layer models said of kernels whose group they had not seen.

    The forests were held out; the parameters and physics under them saw all rows, as in `LayerModels.scores`.
    """

    predicted: Mapping[str, NDArray[np.float64]]
    """By layer model, shape (n_kernels,): > 0, or nan where nothing could be held out."""
    unseen: float
    """Mean absolute log-error of the generic model on kinds of kernels that it was not fitted to."""
    per_octave: float
    """How much the error of the mixed model grows with each factor of two beyond the sizes that it knows."""


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
        extrapolated = pool.submit(
            _per_octave, data, bases["mixed"], matrices["mixed"], names["mixed"], fits, seed, weights["mixed"]
        )
        unseen = _unseen_error(
            data,
            bases["generic"],
            matrices["generic"],
            names["generic"],
            fits["generic", GENERIC_FAMILY],
            seed,
        )
    models = LayerModels(
        parameters=parameters,
        physics=physics,
        contents={key: found.content for key, found in fits.items()},
        ranges=measure_ranges(table),
        scores=score_families(data, parameters, bases, fits),
    )
    if not data.sheet.is_empty:  # units of an accelerator differ too much to stand in for each other
        predict = models.predict_s if data.target is LATENCY else models.predict_j
        generic = bases["generic"] * np.exp(fits["generic", GENERIC_FAMILY].held_out)
        models = replace(models, stand_ins=find_stand_ins(data, predict, parameters, generic))
    predicted = _held_out(data, models, bases, fits)
    return models, HeldOut(predicted=predicted, unseen=unseen, per_octave=extrapolated.result())


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
) -> dict[str, NDArray[np.float64]]:
    """What the models said of rows that they had not seen, by layer model."""
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
    return predicted


def _unseen_error(
    data: TrainingData,
    base: NDArray[np.float64],
    matrix: NDArray[np.float32],
    names: tuple[str, ...],
    fit: BoostedFit,
    seed: int,
) -> float:
    """`HeldOut.unseen`: each kind of kernel counts once, on whichever unit; 1 where there is one kind only.

    The physics under the forest was fitted to all kinds.
    """
    kinds: dict[str, int] = {}
    codes = [kinds.setdefault(key.partition("@")[0], len(kinds)) for key in data.table.family_names]
    kind = np.array(codes, dtype=np.int64)[data.table.family_index]
    if len(kinds) < 2:
        return 1.0
    folds = group_folds(kind, min(_KIND_FOLDS, len(kinds)), seed)
    target = np.log(data.cost / base)
    said = predict_left_out(matrix, target, folds, names, fit, seed=seed, weights=data.weights)
    errors = np.abs(target - said)
    counts = np.bincount(kind, minlength=len(kinds))
    means = np.bincount(kind, errors, len(kinds))[counts > 0] / counts[counts > 0]
    return float(means.mean())


def _per_octave(
    data: TrainingData,
    base: NDArray[np.float64],
    matrix: NDArray[np.float32],
    names: tuple[str, ...],
    fits: Mapping[tuple[str, str], BoostedFit],
    seed: int,
    weights: NDArray[np.float64] | None,
) -> float:
    """`HeldOut.per_octave`: from the longest kernels of each family, predicted from the shorter ones.

    The least squares slope of the error, less what it is within the range, over the octaves beyond it.
    """
    excess, octaves = [], []
    for (kind, family), fit in sorted(fits.items()):
        rows = data.table.rows_of(family)
        if kind != "mixed" or len(rows) < _LEAST_EXTRAPOLATED:
            continue
        longest = base[rows] > np.quantile(base[rows], 1.0 - _LEFT_OUT)
        target = np.log(data.cost[rows] / base[rows])
        said = predict_left_out(
            matrix[rows], target, np.where(longest, 0, -1), names, fit, seed=seed,
            weights=None if weights is None else weights[rows],
        )  # fmt: skip
        known = data.table.take(rows[~longest])
        beyond = octaves_outside(data.table.take(rows[longest]), measure_ranges(known))
        excess.append(np.abs(target - said)[longest] - np.mean(np.abs(target - fit.held_out)[longest]))
        octaves.append(beyond)
    if not octaves:
        return _USUAL_PER_OCTAVE
    out, more = np.concatenate(octaves), np.concatenate(excess)
    weight = float((out**2).sum())
    return min(max(float((out * more).sum()) / weight, 0.0), 1.0) if weight > 0 else _USUAL_PER_OCTAVE
