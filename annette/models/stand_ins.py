"""Stand-ins: what prices families that were measured too seldom for a model of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.models.kernel_table import KernelTable
from annette.models.parameters import GENERIC_FAMILY, MIN_FAMILY_ROWS, DeviceParameters
from annette.models.training import TrainingData

__all__ = ["StandIn", "borrow_models", "find_stand_ins"]

MIN_ROWS = 3
"""Fewer measured kernels than this cannot tell which relative they resemble."""
_PRIOR_ROWS = 3.0
"""So many rows more, on which the stand-in is right, hold its factor back."""
_MAX_LOG_FACTOR = math.log(30.0)

Predict = Callable[[KernelTable, str], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """Another family whose models, times a factor, price a rare one."""

    donor: str
    """The same layer family on another unit, or `GENERIC_FAMILY`."""
    log_factor: float
    """Logarithm of how much slower the rare family is."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.log_factor) or abs(self.log_factor) > _MAX_LOG_FACTOR + 1e-9:
            raise ModelError(
                f"stand-in {self.donor!r}: log factor {self.log_factor}, expected a small number"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {"donor": self.donor, "log_factor": self.log_factor}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> StandIn:
        """The stand-in that `to_json` wrote; KeyError, TypeError or ValueError for anything else."""
        return cls(donor=str(document["donor"]), log_factor=float(document["log_factor"]))


def borrow_models(
    table: KernelTable, stand_ins: Mapping[str, StandIn]
) -> tuple[KernelTable, NDArray[np.float64]]:
    """The table with rare families named as their donors, and the factor of each row, shape (n_kernels,)."""
    logs = [stand_ins[name].log_factor if name in stand_ins else 0.0 for name in table.family_names]
    factor = np.exp(np.array(logs))[table.family_index] if logs else np.ones(len(table))
    names = {key: item.donor for key, item in stand_ins.items() if item.donor != GENERIC_FAMILY}
    return table.renamed(names), factor


def find_stand_ins(
    data: TrainingData, predict_s: Predict, parameters: DeviceParameters, generic_s: NDArray[np.float64]
) -> dict[str, StandIn]:
    """For each rare family the model that prices it best, by the error on rows left out of the factor's fit.

    Candidates are the same layer family on other units and the generic model: which is nearer depends on the
    device and on the family, so the few measured rows decide.

    Parameters
    ----------
    data : TrainingData
        All rows.
    predict_s : callable
        The device's models: seconds by table and model name.
    parameters : DeviceParameters
        Tell which families have models of their own.
    generic_s : ndarray of shape (n_kernels,)
        What the generic model says of each row, held out.
    """
    table = data.table
    known = {item.family for item in parameters.families[1:]}
    found: dict[str, StandIn] = {}
    for family in sorted(set(table.family_names) - known):
        rows = table.rows_of(family)
        if not MIN_ROWS <= len(rows) < MIN_FAMILY_ROWS:
            continue
        logs = {GENERIC_FAMILY: np.log(data.cost[rows] / generic_s[rows])}
        kind = family.partition("@")[0]
        for donor in sorted(name for name in known if name.partition("@")[0] == kind):
            said = predict_s(table.take(rows).renamed({family: donor}), "mixed")
            logs[donor] = np.log(data.cost[rows] / said)
        errors = {donor: _left_out_error(ratios) for donor, ratios in logs.items()}
        best = min(errors, key=lambda donor: (errors[donor], donor))
        if math.isfinite(errors[best]):
            factor = float(np.clip(_factor(logs[best]), -_MAX_LOG_FACTOR, _MAX_LOG_FACTOR))
            found[family] = StandIn(donor=best, log_factor=factor)
    return found


def _factor(ratios: NDArray[np.float64]) -> float:
    """The median of log-ratios, held back where they are few."""
    return float(np.median(ratios)) * len(ratios) / (len(ratios) + _PRIOR_ROWS)


def _left_out_error(ratios: NDArray[np.float64]) -> float:
    """Mean absolute log-error when the factor comes from the other rows."""
    errors = [abs(ratios[row] - _factor(np.delete(ratios, row))) for row in range(len(ratios))]
    return float(np.mean(errors))
