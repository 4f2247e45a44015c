"""What physical terms leave over: a Gaussian process over kinds of kernels, alike kinds being off alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.calibration.features import KernelKinds

__all__ = [
    "USUAL_SPREAD",
    "Process",
    "Residual",
    "correct",
    "correction",
    "fit_process",
    "fit_residual",
    "kernel_factor",
    "kernel_matrix",
]

Floats = NDArray[np.float64]

LENGTHS = np.array([4.0, 4.0, 4.0, 2.0, 2.0])
"""Over how many powers of two kernels remain alike, by trait: a factor of sixteen in channels and positions,
of four in the window and the shrinkage."""
ACROSS_GROUPS = 0.3
"""Correlation of kernels of two groups that are equal in all traits."""
_SPREADS = np.array([0.03, 0.06, 0.12, 0.25, 0.5, 1.0])
_NOISES = np.array([0.003, 0.006, 0.012, 0.025, 0.05, 0.1, 0.2])
USUAL_SPREAD = 0.5
_USUAL_NOISE, _WIDTH = 0.01, 1.0
"""Centre and width (of the natural logarithm) of what is expected of both before anything is measured."""
_NEGLIGIBLE = 1e-6
_MOST_LOG = 1.0
"""A correction is held within a factor of e."""


def kernel_matrix(first: KernelKinds, second: KernelKinds) -> Floats:
    """How alike kinds of kernels are, in [0, 1], shape (len(first), len(second))."""
    a, b = first.traits / LENGTHS, second.traits / LENGTHS
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    same = first.groups[:, None] == second.groups[None]
    alike: Floats = np.exp(-0.5 * np.maximum(squares, 0.0)) * np.where(same, 1.0, ACROSS_GROUPS)
    return alike


def kernel_factor(kinds: KernelKinds, *, rank: int) -> Floats:
    """A matrix F of shape (n_kinds, at most rank) with ``F @ F.T`` close to `kernel_matrix` of the kinds.

    References
    ----------
    Fine and Scheinberg: Efficient SVM Training Using Low-Rank Kernel Representations, JMLR 2 (2001):
    Cholesky's decomposition with the greatest pivot first, stopped early.
    """
    rest = np.ones(len(kinds))
    columns: list[Floats] = []
    while len(columns) < min(rank, len(kinds)) and rest.max() > _NEGLIGIBLE:
        pivot = int(rest.argmax())
        column = kernel_matrix(kinds, kinds.some([pivot]))[:, 0]
        for known in columns:
            column = column - known * known[pivot]
        columns.append(column / np.sqrt(rest[pivot]))
        rest = np.maximum(rest - columns[-1] ** 2, 0.0)
    return np.array(columns).reshape(-1, len(kinds)).T


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residual:
    """How much longer or shorter each kind of kernel takes than its terms say."""

    anchors: KernelKinds
    """The kinds of kernels that measured networks have."""
    weights: Floats
    """Shape (n_anchors,): what each of them says of kinds that are like it."""
    spread: float
    """Standard deviation of a kind's log ratio before anything is measured."""
    noise: float
    """Standard deviation of what no kind of kernel explains, as a logarithm."""

    def log_ratios(self, kinds: KernelKinds) -> Floats:
        """Logarithm of the factor of each kind of kernel, shape (n_kinds,)."""
        ratios: Floats = kernel_matrix(kinds, self.anchors) @ self.weights
        return ratios


def correct(shares: Floats, log_ratios: Floats) -> Floats:
    """Factors of networks whose kinds of kernels have these shares of the time, shape (n_networks,)."""
    return correction(shares @ log_ratios)


def correction(log_ratios: Floats) -> Floats:
    """Factors of networks with these logarithms, held within bounds."""
    factors: Floats = np.exp(np.clip(log_ratios, -_MOST_LOG, _MOST_LOG))
    return factors


def fit_residual(shares: Floats, log_ratio: Floats, kinds: KernelKinds) -> Residual:
    """The process given what networks took over what their terms say.

    Spread and noise have the greatest posterior density on a grid.

    Parameters
    ----------
    shares : ndarray of shape (n_samples, n_kinds)
        Of each kind of kernel in the time of each network, >= 0.
    log_ratio : ndarray of shape (n_samples,)
        ``log(measured / sum of terms)``.
    kinds : KernelKinds
        The kinds, of which those that no sample has are left out.

    References
    ----------
    Rasmussen and Williams: Gaussian Processes for Machine Learning, 2006, equations 2.25 and 2.30.
    """
    present = np.flatnonzero(shares.any(axis=0))
    anchors, shares = kinds.some(present), shares[:, present]
    process = fit_process(shares @ kernel_matrix(anchors, anchors) @ shares.T, log_ratio)
    return Residual(
        anchors=anchors,
        weights=process.spread**2 * (shares.T @ process.weights),
        spread=process.spread,
        noise=process.noise,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Process:
    """The process in the samples that it was fitted to."""

    weights: Floats
    """Shape (n_samples,): of how alike a network is to each sample, times the square of the spread."""
    spread: float
    noise: float


def fit_process(alike: Floats, log_ratio: Floats) -> Process:
    """Spread and noise of the greatest posterior density, given how alike samples are, shape (n, n)."""
    values, vectors = np.linalg.eigh(alike)
    rotated = vectors.T @ log_ratio
    spreads, noises = (grid.ravel() for grid in np.meshgrid(_SPREADS, _NOISES, indexing="ij"))
    variances = spreads[:, None] ** 2 * np.maximum(values, 0.0) + noises[:, None] ** 2
    density = -0.5 * (rotated**2 / variances + np.log(variances)).sum(axis=1)
    density -= 0.5 * (np.log(noises / _USUAL_NOISE) / _WIDTH) ** 2
    density -= 0.5 * (np.log(spreads / USUAL_SPREAD) / _WIDTH) ** 2
    best = int(density.argmax())
    return Process(
        weights=vectors @ (rotated / variances[best]),
        spread=float(spreads[best]),
        noise=float(noises[best]),
    )
