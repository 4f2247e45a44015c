"""Pareto fronts: what nothing else is better than in every respect."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.errors import UsageError

__all__ = ["dominated_counts", "pareto_front"]


def pareto_front(costs: ArrayLike) -> NDArray[np.bool_]:
    """Which rows no other row dominates; of equal rows all are on the front.

    A row dominates another that costs at least as much in every column and more in one.

    Parameters
    ----------
    costs : array_like of shape (n_points, n_costs)
        Less is better; turn what should be large round first. A row with a value that is no number is not on
        the front.

    Returns
    -------
    ndarray of shape (n_points,)

    Raises
    ------
    UsageError
        If ``costs`` has another number of dimensions.

    Examples
    --------
    >>> pareto_front([[1.0, 5.0], [2.0, 2.0], [3.0, 4.0], [5.0, 1.0]]).tolist()
    [True, True, False, True]
    """
    table = _table(costs)
    order = np.lexsort(table.T[::-1])  # a row is dominated only by rows before it in this order
    is_front = np.zeros(len(table), dtype=bool)
    front = np.empty((0, table.shape[1]))
    for index in order:
        row = table[index]
        if np.isnan(row).any() or _dominates(front, row).any():
            continue
        is_front[index] = True
        front = np.vstack([front, row])
    return is_front


def dominated_counts(costs: ArrayLike) -> NDArray[np.int64]:
    """How many rows each row dominates; see `pareto_front`.

    Examples
    --------
    >>> dominated_counts([[1.0, 1.0], [2.0, 1.0], [2.0, 2.0]]).tolist()
    [2, 1, 0]
    """
    table = _table(costs)
    return np.array([int(_dominates(row[None, :], table).sum()) for row in table], dtype=np.int64)


def _dominates(better: NDArray[np.float64], worse: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Row by row; comparisons with what is no number are false."""
    return np.asarray((better <= worse).all(axis=1) & (better < worse).any(axis=1), dtype=np.bool_)


def _table(costs: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(costs, dtype=np.float64)
    if table.ndim != 2:
        raise UsageError(f"Pareto front: costs of {table.ndim} dimensions, expected rows and columns")
    return table
