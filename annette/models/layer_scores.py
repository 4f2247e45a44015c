"""Errors of a device's layer models on its own campaign, family by family."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from annette.models.boosting import BoostedFit
from annette.models.operator_forests import held_out_by_family
from annette.models.parameters import GENERIC_FAMILY, DeviceParameters
from annette.models.roofline import refined_terms
from annette.models.training import TrainingData

__all__ = ["score_families"]


def score_families(
    data: TrainingData,
    parameters: DeviceParameters,
    bases: Mapping[str, NDArray[np.float64]],
    fits: Mapping[tuple[str, str], BoostedFit],
) -> dict[str, dict[str, dict[str, float]]]:
    """Errors by family and model; the forests are held out, the parameters and physics below them are not."""
    table = data.table
    generic = bases["generic"] * np.exp(fits["generic", GENERIC_FAMILY].held_out)
    refined = refined_terms(table, parameters).total_s
    scores: dict[str, dict[str, dict[str, float]]] = {}
    held_out = held_out_by_family(table, fits)
    for key in sorted(table.family_names):
        rows = table.rows_of(key)
        if not len(rows):
            continue
        predicted = {
            "roofline": bases["statistical"][rows],
            "refined_roofline": refined[rows],
            "generic": generic[rows],
        }
        for kind in ("statistical", "mixed"):
            if (kind, key) in fits:
                predicted[kind] = bases[kind][rows] * np.exp(held_out[kind, key])
        measured = data.cost[rows]
        scores[key] = {
            kind: _score(values, measured) for kind, values in predicted.items() if np.isfinite(values).all()
        }
    return scores


def _score(predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> dict[str, float]:
    error = predicted / measured - 1.0
    return {
        "n_rows": float(len(measured)),
        "mape": float(np.mean(np.abs(error))),
        "bias": float(np.mean(error)),
        "time_weighted_error": float(np.sum(np.abs(predicted - measured)) / np.sum(measured)),
        "time_weighted_bias": float(np.sum(predicted - measured) / np.sum(measured)),
    }
