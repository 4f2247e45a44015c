"""Boosted trees on log-ratios: hyperparameters by grouped cross-validation, then one fit on all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xgboost

__all__ = ["BoostedFit", "BoostingGrid", "Configuration", "fit_boosted", "group_folds", "predict_left_out"]


_ROUNDS_TOLERANCE = 1.01
"""The fewest trees are taken whose held-out squared error is within this factor of the least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Hyperparameters of one boosted model."""

    max_depth: int
    """Levels of a tree."""
    learning_rate: float
    """Share of each tree that is added."""
    min_child_weight: float
    """Rows that a leaf holds at least."""
    colsample: float = 0.5
    """Share of the features that a tree may look at."""
    colsample_node: float = 1.0
    """Share of those that each of its splits may look at."""
    subsample: float = 0.8
    """Share of the rows that a tree is fitted to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostingGrid:
    """What cross-validation chooses from."""

    configurations: tuple[Configuration, ...] = (
        Configuration(max_depth=3, learning_rate=0.1, min_child_weight=2.0),
        Configuration(max_depth=5, learning_rate=0.1, min_child_weight=3.0),
    )
    """Tried one after another."""
    max_rounds: int = 220
    """Trees at most; how many is chosen with the configuration."""
    n_folds: int = 4
    """Folds of the grouped cross-validation."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoostedFit:
    """A fitted model and what cross-validation said."""

    content: bytes
    """XGBoost's model file (UBJSON)."""
    configuration: Configuration
    """The chosen hyperparameters."""
    n_rounds: int
    """The chosen number of trees."""
    held_out: NDArray[np.float64]
    """Shape (n_rows,): the prediction for each row by the model that did not see its group."""


def group_folds(groups: NDArray[np.int64], n_folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each row, shape (n_rows,): rows of one group share a fold, folds are about equally full."""
    names, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    filled = np.zeros(n_folds)
    fold_of = np.empty(len(names), dtype=np.int64)
    for name in order:
        fold = int(np.argmin(filled))
        fold_of[name] = fold
        filled[fold] += counts[name]
    folds: NDArray[np.int64] = fold_of[inverse]
    return folds


def fit_boosted(
    matrix: NDArray[np.float32],
    target: NDArray[np.float64],
    groups: NDArray[np.int64],
    feature_names: tuple[str, ...],
    *,
    seed: int,
    grid: BoostingGrid | None = None,
    weights: NDArray[np.float64] | None = None,
) -> BoostedFit:
    """The configuration with the least held-out squared error of ``target``, fitted on all rows.

    One thread and the histogram method: the same rows and seed give the same bytes.

    Parameters
    ----------
    matrix : ndarray of shape (n_rows, n_features)
        Features.
    target : ndarray of shape (n_rows,)
        Log-ratios: their squared error is a relative error of the time.
    groups : ndarray of shape (n_rows,)
        Rows with one number stay in one fold.
    weights : ndarray of shape (n_rows,), optional
        How much each row's error counts; all alike by default.
    """
    grid = grid or BoostingGrid()
    folds = group_folds(groups, grid.n_folds, seed)
    tried = [
        _cross_validate(matrix, target, folds, feature_names, configuration, grid.max_rounds, seed, weights)
        for configuration in grid.configurations
    ]
    chosen = min(range(len(tried)), key=lambda index: (tried[index].error, index))
    configuration, n_rounds = grid.configurations[chosen], tried[chosen].n_rounds
    booster = _train(matrix, target, feature_names, configuration, n_rounds, seed, weights=weights)
    return BoostedFit(
        content=bytes(booster.save_raw("ubj")),
        configuration=configuration,
        n_rounds=n_rounds,
        held_out=tried[chosen].held_out,
    )


def predict_left_out(
    matrix: NDArray[np.float32],
    target: NDArray[np.float64],
    folds: NDArray[np.int64],
    feature_names: tuple[str, ...],
    fit: BoostedFit,
    *,
    seed: int,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """What models like ``fit`` say of rows that they were not fitted to, shape (n_rows,).

    Parameters
    ----------
    matrix, target, feature_names, weights
        As `fit_boosted`.
    folds : ndarray of shape (n_rows,)
        Each fold but -1 is predicted from all other rows; rows of fold -1 are never left out and get nan.
    fit : BoostedFit
        Its hyperparameters are taken, and nothing is looked for.
    """
    import xgboost

    said = np.full(len(target), np.nan)
    for fold in np.unique(folds[folds >= 0]):
        rows, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        booster = _train(
            matrix[others], target[others], feature_names, fit.configuration, fit.n_rounds, seed,
            weights=_part(weights, others),
        )  # fmt: skip
        said[rows] = booster.predict(
            xgboost.DMatrix(matrix[rows], feature_names=list(feature_names), nthread=1)
        )
    return said


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _CrossValidation:
    error: float
    """Held-out mean squared error with `n_rounds` trees."""
    n_rounds: int
    held_out: NDArray[np.float64]


def _cross_validate(
    matrix: NDArray[np.float32],
    target: NDArray[np.float64],
    folds: NDArray[np.int64],
    feature_names: tuple[str, ...],
    configuration: Configuration,
    max_rounds: int,
    seed: int,
    weights: NDArray[np.float64] | None,
) -> _CrossValidation:
    """The best number of trees, its held-out error and predictions."""
    import xgboost

    squared = np.zeros(max_rounds)
    boosters: list[tuple[NDArray[np.int64], Any, Any]] = []
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        others = np.flatnonzero(folds != fold)
        if not len(others):
            continue
        test = xgboost.DMatrix(
            matrix[rows], label=target[rows], weight=_part(weights, rows), feature_names=list(feature_names),
            nthread=1,
        )  # fmt: skip
        history: dict[str, Any] = {}
        booster = _train(
            matrix[others], target[others], feature_names, configuration, max_rounds, seed,
            test=test, history=history, weights=_part(weights, others),
        )  # fmt: skip
        total = len(rows) if weights is None else float(weights[rows].sum())
        squared += np.array(history["held_out"]["rmse"]) ** 2 * total
        boosters.append((rows, booster, test))
    if not boosters:  # a single group: nothing can be held out, so stay simple
        return _CrossValidation(error=float("inf"), n_rounds=50, held_out=np.full(len(target), np.nan))
    n_rounds = int(np.flatnonzero(squared <= _ROUNDS_TOLERANCE * squared.min())[0]) + 1
    held_out = np.empty(len(target))
    for rows, booster, test in boosters:
        held_out[rows] = booster.predict(test, iteration_range=(0, n_rounds))
    total = len(target) if weights is None else float(weights.sum())
    return _CrossValidation(error=float(squared[n_rounds - 1] / total), n_rounds=n_rounds, held_out=held_out)


def _part(weights: NDArray[np.float64] | None, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
    return None if weights is None else weights[rows]


def _train(
    matrix: NDArray[np.float32],
    target: NDArray[np.float64],
    feature_names: tuple[str, ...],
    configuration: Configuration,
    n_rounds: int,
    seed: int,
    *,
    test: Any = None,
    history: dict[str, Any] | None = None,
    weights: NDArray[np.float64] | None = None,
) -> xgboost.Booster:
    import xgboost

    train = xgboost.QuantileDMatrix(
        matrix, label=target, weight=weights, feature_names=list(feature_names), nthread=1
    )
    options = {
        "objective": "reg:squarederror",
        "tree_method": "hist",
        "max_depth": configuration.max_depth,
        "eta": configuration.learning_rate,
        "min_child_weight": configuration.min_child_weight,
        "colsample_bytree": configuration.colsample,
        "colsample_bynode": configuration.colsample_node,
        "subsample": configuration.subsample,
        "nthread": 1,
        "seed": seed,
        "verbosity": 0,
    }
    evals = [] if test is None else [(test, "held_out")]
    return xgboost.train(options, train, n_rounds, evals=evals, evals_result=history, verbose_eval=False)
