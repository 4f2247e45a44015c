"""Physical terms: what a latency is the sum of, each term an amount times a cost that is never below zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.calibration.features import COUNTS, Contents, KernelKinds

__all__ = ["FIXED", "Terms", "fit_costs", "least_above_zero", "terms_of"]

FIXED = "fixed"
"""The term that every network pays alike."""

RIDGE = 1e-2
"""Weight of small costs against small errors: with it ten samples share a cost among terms that they cannot
tell apart. Between 1e-4 and 1e-1 the development devices do not tell a difference above 0.002 of Spearman."""
FLOOR = 0.3
"""Networks below this share of the median latency count by their absolute error: a network that a compiler
folded to nothing takes microseconds, and would drown all others in its relative error."""
_ROUNDING, _MOST_ROUNDS = 1e-12, 30

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms:
    """The terms in which the networks of a population differ."""

    names: tuple[str, ...]
    """`FIXED`, then some of `COUNTS`."""
    means: Floats
    """Shape (n_terms,): mean amount of each term over the population, > 0; 1 for `FIXED`."""

    def __post_init__(self) -> None:
        self.means.setflags(write=False)

    def columns(self, contents: Contents) -> Floats:
        """The amounts of each network over their means, shape (n_networks, n_terms)."""
        return self._select(contents.counts, fixed=1.0)

    def per_kind(self, kinds: KernelKinds) -> Floats:
        """The same of each kind of kernel; 0 for `FIXED`; shape (n_kinds, n_terms)."""
        return self._select(kinds.counts, fixed=0.0)

    def _select(self, counts: Floats, fixed: float) -> Floats:
        chosen = [COUNTS.index(name) for name in self.names[1:]]
        return np.column_stack([np.full(len(counts), fixed), counts[:, chosen] / self.means[1:]])


def terms_of(population: Contents) -> Terms:
    """The terms that differ between networks of a population; what is the same in all is part of `FIXED`."""
    counts = population.counts
    varying = np.flatnonzero(np.ptp(counts, axis=0) > 0).tolist() if len(counts) else []
    return Terms(
        names=(FIXED, *(COUNTS[place] for place in varying)),
        means=np.array([1.0, *counts[:, varying].mean(axis=0)]),
    )


def fit_costs(
    columns: Floats, latency_s: Floats, *, ridge: float = RIDGE, start: Floats | None = None
) -> Floats:
    """Costs >= 0 of the terms, in seconds for the mean amount, by least squares of the relative error.

    Parameters
    ----------
    columns : ndarray of shape (n_samples, n_terms)
        As `Terms.columns` gives them, or with further columns of about the same size.
    latency_s : ndarray of shape (n_samples,)
        Measured, > 0.
    ridge : float
        Added to the square of each cost, in units of the geometric mean latency.
    start : ndarray of shape (n_terms,), optional
        Costs near which these are: those of about the same samples. They are found sooner.

    References
    ----------
    Lawson and Hanson: Solving Least Squares Problems, 1974, chapter 23 (non-negative least squares).

    Examples
    --------
    >>> columns = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
    >>> fit_costs(columns, columns @ [2.0, 0.5], ridge=1e-9).round(3)
    array([2. , 0.5])
    """
    unit = float(np.exp(np.log(latency_s).mean()))
    weight = unit / np.maximum(latency_s, FLOOR * np.median(latency_s))
    design = columns * weight[:, None]
    gram = design.T @ design + ridge * np.eye(columns.shape[1])
    nearby = None if start is None else start / unit
    return least_above_zero(gram, design.T @ (latency_s / unit * weight), nearby) * unit


def least_above_zero(gram: Floats, moments: Floats, start: Floats | None = None) -> Floats:
    """The x >= 0 that makes ``x @ gram @ x / 2 - moments @ x`` least, for a positive definite matrix.

    It is the same one from wherever it is looked for; ``start`` >= 0 is where.

    scipy.optimize.nnls gives the same, but importing it takes longer than a whole calibration.

    References
    ----------
    Lawson and Hanson: Solving Least Squares Problems, 1974, chapter 23; on the matrix of products as in Bro
    and De Jong: A fast non-negativity-constrained least squares algorithm, Journal of Chemometrics 11 (1997).

    Examples
    --------
    >>> least_above_zero(np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([1.0, -1.0]))
    array([1., 0.])
    """
    found = np.zeros(len(moments)) if start is None else start
    is_free = found > 0
    found = _descend(gram, moments, found, is_free)
    is_stuck = np.zeros(len(moments), dtype=bool)
    least = _ROUNDING * float(np.abs(moments).max(initial=0.0))
    for _ in range(_MOST_ROUNDS * len(moments)):
        slope = np.where(is_free | is_stuck, -np.inf, moments - gram @ found)
        entering = int(slope.argmax())
        if slope[entering] <= least:
            break
        is_free[entering] = True
        found = _descend(gram, moments, found, is_free)
        is_stuck[:] = False
        is_stuck[entering] = not is_free[entering]  # by rounding: it is not tried again at once
    return found


def _descend(gram: Floats, moments: Floats, found: Floats, is_free: NDArray[np.bool_]) -> Floats:
    """The least over what is free, from where all is above zero; what reaches zero is free no more."""
    while is_free.any():
        free = np.flatnonzero(is_free)
        wanted = np.zeros(len(found))
        wanted[free] = np.linalg.solve(gram[np.ix_(free, free)], moments[free])
        below = free[wanted[free] <= 0]
        if not len(below):
            return wanted
        steps = found[below] / (found[below] - wanted[below])
        found = np.maximum(found + float(steps.min()) * (wanted - found), 0.0)
        found[below[int(steps.argmin())]] = 0.0
        is_free &= found > 0
    return np.zeros(len(found))
