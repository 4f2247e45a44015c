"""Forests of single operators: which operators of a processor's families get a mixed model of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from annette.models.boosting import BoostedFit
from annette.models.kernel_layout import OPERATORS, operator_code
from annette.models.kernel_row import ARRAY_FAMILIES
from annette.models.kernel_table import KernelTable
from annette.models.training import TrainingData

__all__ = ["OPERATOR_KIND", "held_out_by_family", "operator_jobs", "operator_key"]

OPERATOR_KIND = "operator"
"""The kind of these forests, beside ``mixed``, ``statistical`` and ``generic``."""
_MIN_OPERATOR_ROWS = 40
"""Operators with fewer measured kernels stay with their family,"""
_MIN_OPERATOR_GROUPS = 10
"""and so do those that fewer benchmark networks hold: folds of cross-validation keep networks whole."""


def operator_jobs(
    data: TrainingData, families: Sequence[str]
) -> Iterator[tuple[str, str, NDArray[np.int64]]]:
    """The frequent operators of the families that have several, each with its rows: (kind, name, rows).

    A tree that prices the largest Relus corrects the largest GELUs with them, since few splits ask for the
    operator. Products of matrices and convolutions are one kernel whatever they are called.
    """
    table = data.table
    for family in families:
        rows = table.rows_of(family)
        operators = table.column("operator")[rows]
        codes, counts = np.unique(operators, return_counts=True)
        if family.partition("@")[0] in ARRAY_FAMILIES or len(codes) < 2:
            continue
        for code in codes[counts >= _MIN_OPERATOR_ROWS]:
            own = rows[operators == code]
            if len(np.unique(data.groups[own])) >= _MIN_OPERATOR_GROUPS:
                yield OPERATOR_KIND, operator_key(family, code), own


def operator_key(family: str, code: float) -> str:
    """The name of the forest of a family's operator, by its code.

    Examples
    --------
    >>> operator_key("activation@plain", operator_code("Relu"))
    'activation@plain/Relu'
    """
    return f"{family}/{OPERATORS[int(code) - 1] if code else 'other'}"


def held_out_by_family(
    table: KernelTable, fits: Mapping[tuple[str, str], BoostedFit]
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """What cross-validation said of each family's rows, by the forests that will price them."""
    found = {key: fit.held_out.copy() for key, fit in fits.items() if key[0] != OPERATOR_KIND}
    for (kind, name), fit in fits.items():
        if kind == OPERATOR_KIND:
            family, _, operator = name.rpartition("/")
            rows = table.rows_of(family)
            found["mixed", family][table.column("operator")[rows] == operator_code(operator)] = fit.held_out
    return found
