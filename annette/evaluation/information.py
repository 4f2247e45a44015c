"""What measuring a kernel would tell of networks: errors as a Gaussian process, kernels chosen one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.models.intervals import ErrorSpread
from annette.models.kernel_table import KernelTable

__all__ = ["KernelErrors", "TargetErrors", "choose_measurements", "novelty"]

Floats = NDArray[np.float64]

_PLACE = (
    "batch", "groups", "in_channels", "out_channels", "out_h", "out_w", "kernel_h", "kernel_w",
    "stride_h", "stride_w", "dilation_h", "n_inputs", "reduction_size", "last_axis",
)  # fmt: skip
"""Sizes by which kernels of one family are near or far, in octaves."""
_FUSED = ("fused_relu", "fused_smooth", "fused_add", "fused_mul", "fused_norm", "fused_other")
_LENGTH = 1.0
"""Octaves over which errors of one family resemble each other: a model that is 10 % off at 64 channels is
about as far off at 96, and need not be at 256."""
_NOISE = 0.5
"""Variance of what a measurement tells of its own kernel's error, over that error's: models smooth, so that
one further kernel among hundreds is followed by two thirds, and its neighbours are worth measuring too."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KernelErrors:
    """Kernels with how uncertain each is, and where it lies among its like."""

    spread: Floats
    """Shape (n,): scale of log(measured / predicted), > 0."""
    family: NDArray[np.int64]
    """Shape (n,): a number for each family key, the same in all objects that are compared."""
    operator: Floats
    """Shape (n,): of the primary layer; errors of two operators share the family's part alone."""
    place: Floats
    """Shape (n, d): sizes, in octaves."""

    @classmethod
    def of(cls, table: KernelTable, spread: Floats, code: Callable[[str], int]) -> KernelErrors:
        """The kernels of a table; ``code`` numbers family keys."""
        codes = np.array([code(name) for name in table.family_names], dtype=np.int64)
        sizes = [np.log2(table.column(name) + 1.0) for name in _PLACE]
        fused = [table.column(name) for name in _FUSED]
        return cls(
            spread=spread,
            family=codes[table.family_index] if len(codes) else table.family_index,
            operator=table.column("operator"),
            place=np.stack([*sizes, *fused], axis=1),
        )

    def take(self, rows: NDArray[np.int64]) -> KernelErrors:
        """Those of these rows, in this order."""
        return KernelErrors(
            spread=self.spread[rows],
            family=self.family[rows],
            operator=self.operator[rows],
            place=self.place[rows],
        )

    def covariance(self, other: KernelErrors, spread: ErrorSpread) -> Floats:
        """Covariances of the errors of these kernels and others, shape (n, n_others).

        Two kernels of one family have the correlation that intervals have for it, more where they are near:
        equal kernels err alike.
        """
        same = self.family[:, None] == other.family[None, :]
        alike = same & (self.operator[:, None] == other.operator[None, :])
        near = np.exp(-0.5 * _squares(self.place, other.place) / _LENGTH**2) * alike
        correlation = (
            spread.other_family
            + (spread.same_family - spread.other_family) * same
            + (1.0 - spread.same_family) * near
        )
        return np.asarray(self.spread[:, None] * other.spread[None, :] * correlation)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TargetErrors:
    """Errors of networks, and what they have in common with those of candidates."""

    variance: Floats
    """Shape (n_networks,): of the logarithm of each network's latency, what is left of whole networks
    included; > 0."""
    shared: Floats
    """Shape (n_networks, n_candidates): covariances with the candidates' errors."""

    @classmethod
    def of(
        cls, parts: Sequence[tuple[KernelErrors, Floats]], candidates: KernelErrors, spread: ErrorSpread
    ) -> TargetErrors:
        """From each network's kernels with their shares of its latency."""
        variance = [share @ kernels.covariance(kernels, spread) @ share for kernels, share in parts]
        shared = [share @ kernels.covariance(candidates, spread) for kernels, share in parts]
        return cls(
            variance=np.maximum(np.array(variance) + spread.whole**2, 1e-12),
            shared=np.array(shared).reshape(len(parts), len(candidates.spread)),
        )


def choose_measurements(targets: TargetErrors, covariance: Floats, count: int) -> tuple[list[int], Floats]:
    """Candidates that together narrow the networks' intervals most, chosen greedily.

    Each is the one that, beside those chosen before, lessens the mean logarithm of the networks' spreads
    most. A candidate that resembles a chosen one tells little more, and is passed over.

    Parameters
    ----------
    targets : TargetErrors
        Of the networks.
    covariance : ndarray of shape (n_candidates, n_candidates)
        Of the candidates' errors.
    count : int
        How many, at most as many as there are candidates.

    Returns
    -------
    chosen : list of int
        Candidates, the most telling first.
    left : ndarray of shape (count, n_networks)
        After each, the networks' spreads over what they are without any; falling, in (0, 1].

    References
    ----------
    S. Seo et al., "Gaussian process regression: active data selection and test point rejection", IJCNN 2000:
    choosing what lessens the variance at given points most (after D. Cohn, 1996); here of sums of points, by
    its logarithm.

    Examples
    --------
    >>> targets = TargetErrors(variance=np.array([1.0]), shared=np.array([[0.1, 0.9, 0.9]]))
    >>> covariance = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    >>> choose_measurements(targets, covariance, 2)[0]
    [1, 2]
    """
    variance, shared, between = targets.variance.copy(), targets.shared.copy(), covariance.copy()
    noise = _NOISE * np.diag(covariance).copy()
    free = np.ones(len(between), dtype=bool)
    chosen: list[int] = []
    left: list[Floats] = []
    for _ in range(min(count, len(between))):
        known = np.maximum(np.diag(between), 0.0) + noise
        told = shared**2 / np.maximum(known, 1e-30)[None, :] / variance[:, None]
        gains = -0.5 * np.log1p(-np.minimum(told, 1.0 - 1e-9)).mean(axis=0)
        best = int(np.where(free, gains, -np.inf).argmax())
        free[best] = False
        chosen.append(best)
        step = between[best].copy()
        variance = np.maximum(variance - shared[:, best] ** 2 / known[best], 1e-12)
        shared = shared - np.outer(shared[:, best], step) / known[best]
        between = between - np.outer(step, step) / known[best]
        left.append(np.sqrt(variance / targets.variance))
    return chosen, np.array(left).reshape(len(chosen), len(variance))


def novelty(kernels: KernelErrors, measured: KernelErrors) -> Floats:
    """How much more uncertain kernels are for being far from measured ones than measured ones are from each
    other, as a factor on their spread; 1 where nothing of their family was measured. Shape (n,), > 0.
    """
    factors = np.ones(len(kernels.spread))
    for family in np.unique(kernels.family):
        own, known = np.flatnonzero(kernels.family == family), np.flatnonzero(measured.family == family)
        if len(known) < 2:
            continue
        from scipy.spatial import KDTree

        tree = KDTree(measured.place[known])
        usual = _unknown(tree.query(measured.place[known], k=2)[0][:, 1]).mean()
        factors[own] = np.sqrt(_unknown(tree.query(kernels.place[own])[0]) / usual)
    return factors


def _unknown(octaves: Floats) -> Floats:
    """The share of a kernel's variance that is left after one at this distance was measured."""
    return np.asarray(1.0 - np.exp(-((octaves / _LENGTH) ** 2)) / (1.0 + _NOISE))


def _squares(first: Floats, second: Floats) -> Floats:
    """Squared distances, shape (n_first, n_second)."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None, :] - 2.0 * first @ second.T
    return np.asarray(np.maximum(squares, 0.0))
