"""Calibrates the intervals of networks whose time is more, or less, than the sum of their kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from annette.models.interval_fit import interval_ends
from annette.models.intervals import ErrorSpread, Intervals
from annette.models.kernel_table import KernelTable
from annette.models.layer_models import LayerModels
from annette.models.network_overhead import MIN_NETWORKS, OverheadTerms, fit_overhead

__all__ = ["WholeNetworks", "fit_whole_networks"]

_MOST_FOLDS = 20
"""So many fits of the overhead at most, each without some of the networks."""
_FEW = 20
"""Of fewer networks intervals are never narrower than kernels alone say."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WholeNetworks:
    """Networks that were timed from end to end, with their predicted kernels."""

    table: KernelTable
    """The kernels, network by network."""
    kernels_s: Mapping[str, NDArray[np.float64]]
    """By layer model the seconds of each kernel."""
    terms: Mapping[str, OverheadTerms]
    """By layer model what the coefficients of the overhead multiply."""
    measured_s: NDArray[np.float64]
    """Shape (n_networks,): seconds from end to end, > 0."""


def fit_whole_networks(intervals: Intervals, models: LayerModels, whole: WholeNetworks) -> Intervals:
    """The intervals with the reach of networks found on whole ones, each under an overhead fitted without it.

    Only the overhead was left out: the layer models may have seen kernels of the same networks, as those of a
    kernel table did, so that other networks can lie outside more often than one in ten. Of few networks the
    greatest error stands in for the quantiles, and the kernels' reach is the least.

    Parameters
    ----------
    intervals : Intervals
        Calibrated on kernels.
    models : LayerModels
        What prices the kernels.
    whole : WholeNetworks
        At least `MIN_NETWORKS` of them.
    """
    table, n_networks = whole.table, len(whole.measured_s)
    if n_networks <= MIN_NETWORKS:  # none can be left out
        return intervals
    found, notes = dict(intervals.models), dict(intervals.calibration)
    for model, spread in intervals.models.items():
        if model not in whole.terms:
            continue
        predicted_s = _left_out(whole.terms[model], whole.measured_s, model)
        doubt_s = whole.kernels_s[model] * spread.kernel_spread(table, whole.kernels_s[model], models)
        squares = np.bincount(table.network_index, doubt_s**2, n_networks).astype(np.float64)
        width = spread.network_spread(predicted_s, table.sums_by_family(doubt_s), squares)
        ratio = np.log(whole.measured_s / predicted_s)
        found[model] = _reaching(spread, ratio / width)
        notes[model] = {
            **notes.get(model, {}),
            "whole_networks": float(n_networks),
            "whole_mape": float(np.mean(np.abs(np.expm1(-ratio)))),
        }
    return Intervals(models=found, calibration=notes)


def _reaching(spread: ErrorSpread, standardised: NDArray[np.float64]) -> ErrorSpread:
    if len(standardised) >= _FEW:
        down, up = interval_ends(standardised)
    else:
        most = float(np.abs(standardised).max())
        down, up = max(most, spread.network_down), max(most, spread.network_up)
    return replace(spread, network_down=min(down, 1e3), network_up=min(up, 1e3))


def _left_out(terms: OverheadTerms, measured_s: NDArray[np.float64], model: str) -> NDArray[np.float64]:
    """Seconds of each network by an overhead that was fitted to others, shape (n_networks,)."""
    folds = np.arange(len(measured_s)) % min(len(measured_s), _MOST_FOLDS)
    predicted_s = np.empty(len(measured_s))
    for fold in np.unique(folds):
        own, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        overhead = fit_overhead({model: _part(terms, others)}, measured_s[others])
        if overhead is not None:
            predicted_s[own] = overhead.network_s(_part(terms, own), model)
    return np.maximum(predicted_s, 1e-12)


def _part(terms: OverheadTerms, networks: NDArray[np.int64]) -> OverheadTerms:
    return replace(terms, fixed=terms.fixed[networks], family_s=terms.family_s[networks])
