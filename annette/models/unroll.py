"""Unroll factors from sweeps of one dimension: how a device's parallel hardware quantises a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError

__all__ = ["DIMENSIONS", "Sweep", "UnrollFit", "fit_unroll", "padded_fraction", "softened_efficiency"]

DIMENSIONS = ("out_h", "out_w", "in_channels", "out_channels")
"""The dimensions that may be unrolled."""

MAX_FACTOR = 128
"""Factors above this are not searched: no array in the literature is wider in one dimension but the TPU's."""

_NOISE_FLOOR = 2e-3
"""Relative error below which two fits count as equally good: cycles are whole, timers have a resolution."""

_WINDOW_POINTS = 20
"""Points that a part of a sweep holds at least."""

_EVIDENCE_PER_WINDOW = 6.0
"""Twice the log-likelihood that a staircase must gain per part of a sweep: the best of 127 false ones gains
up to 5 on noise of one per cent, a true one 8 (a layer mostly bound by memory) to 200."""

_MIN_SOFTNESS = 0.1
"""A staircase that shows less than this is the shadow of something else, such as tiles of a memory."""

_SUBSETS = ((0, 1, 2), (0, 2), (1, 2), (2,))
"""Unknowns that are not zero: slope, stairs and offset. The offset is free: a part of a sweep that is bound
by computing starts where the memory's part ends."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sweep:
    """Latencies of layers that differ in one dimension only."""

    sizes: NDArray[np.float64]
    """Shape (n,): sizes of the swept dimension, >= 1."""
    latency_s: NDArray[np.float64]
    """Shape (n,): seconds, > 0."""

    def __post_init__(self) -> None:
        if self.sizes.shape != self.latency_s.shape or self.sizes.ndim != 1:
            raise ModelError(f"sweep: {self.sizes.shape} sizes for {self.latency_s.shape} latencies")
        self.sizes.setflags(write=False)
        self.latency_s.setflags(write=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrollFit:
    """What the sweeps of one dimension say."""

    dimension: str
    """One of `DIMENSIONS`."""
    factor: int
    """How many positions the hardware takes at once; 1 where no staircase shows."""
    softness: float
    """How much of the staircase shows, in [0, 1]; 0 where `factor` is 1."""
    error: float
    """Relative root-mean-square error of the fit over the sweeps that show the staircase (all, if none)."""
    n_sweeps: int
    """Number of sweeps that were used."""

    def __post_init__(self) -> None:
        if self.dimension not in DIMENSIONS or self.factor < 1 or not 0 <= self.softness <= 1:
            raise ModelError(
                f"unroll of {self.dimension!r}: factor {self.factor}, softness {self.softness}; expected a "
                f"dimension of {', '.join(DIMENSIONS)}, a factor >= 1 and a softness in [0, 1]"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> UnrollFit:
        """The fit that `to_json` wrote; KeyError, TypeError or ValueError for anything else."""
        return cls(
            dimension=str(document["dimension"]),
            factor=int(document["factor"]),
            softness=float(document["softness"]),
            error=float(document["error"]),
            n_sweeps=int(document["n_sweeps"]),
        )


def padded_fraction(sizes: NDArray[np.float64], factor: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """``ceil(x / s) * s / x``, the reciprocal of the efficiency u(x, s); >= 1, shaped like ``sizes``.

    References
    ----------
    M. Wess et al., "ANNETTE: Accurate Neural Network Execution Time Estimation With Stacked Models",
    IEEE Access 9, 2021: the refined roofline's efficiency.
    """
    padded: NDArray[np.float64] = np.ceil(sizes / factor) * factor / np.maximum(sizes, 1.0)
    return padded


def softened_efficiency(
    sizes: NDArray[np.float64], factor: float | NDArray[np.float64], softness: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """The softened efficiency ``u_a = 1 / ((1 - a) + a / u)`` in (0, 1], shaped like ``sizes``.

    References
    ----------
    As `padded_fraction`.
    """
    return 1.0 / ((1.0 - softness) + softness * padded_fraction(sizes, factor))


def fit_unroll(dimension: str, sweeps: Sequence[Sweep]) -> UnrollFit:
    """The unroll factor and softness that explain all sweeps of one dimension.

    For each factor s every sweep is fitted by ``t = b1 * x + b2 * ceil(x / s) * s + c`` with coefficients
    >= 0: that is ``slope * x / u_a(x, s) + offset`` with ``a = b2 / (b1 + b2)``. The factor with the greatest
    likelihood over all sweeps wins; a sweep bound by memory says the same for every s and does not vote.
    Factor 1 stays unless a staircase is better by more than its cost in parameters, and of factors
    equally good the smallest is taken.

    Raises
    ------
    ModelError
        Without sweeps.

    References
    ----------
    As `padded_fraction`; there the factor with the least squared error of one sweep is taken.
    """
    usable = [sweep for sweep in sweeps if len(np.unique(sweep.sizes)) >= 6]
    if not usable:
        raise ModelError(f"unroll of {dimension}: no sweep has 6 different sizes; add sweeps to the plan")
    factors = np.arange(1, MAX_FACTOR + 1)
    windows = [window for sweep in usable for window in _windows(sweep)]
    fits = [_fit_all_factors(window, factors) for window in windows]
    counts = np.array([len(window.sizes) for window in windows], dtype=np.float64)
    log_errors = np.log(np.array([errors for errors, _ in fits]) ** 2 + _NOISE_FLOOR**2)
    # Two whole periods at least: one kink alone may be where loading ends and computing starts.
    seen = np.array([2 * factors <= window.sizes.max() for window in windows])
    votes = np.where(seen, np.minimum(log_errors - log_errors[:, :1], 0.0) * counts[:, None], 0.0)
    scores = votes.sum(axis=0)
    cost = _EVIDENCE_PER_WINDOW * len(windows)
    best = float(scores[1:].min()) if len(scores) > 1 else 0.0
    flat_error = float(np.sqrt(np.mean(np.exp(log_errors[:, 0]))))
    flat = UnrollFit(dimension=dimension, factor=1, softness=0.0, error=flat_error, n_sweeps=len(usable))
    if best > -cost:
        return flat
    position = int(np.flatnonzero(scores <= 0.98 * best)[0])
    gains = -votes[:, position]
    showing = gains > 0.1 * gains.max()
    softness = np.array([coefficients[position] for _, coefficients in fits])
    shown = float(np.clip(np.average(softness[showing], weights=gains[showing]), 0.0, 1.0))
    if shown < _MIN_SOFTNESS:
        return flat
    return UnrollFit(
        dimension=dimension,
        factor=int(factors[position]),
        softness=shown,
        error=float(np.sqrt(np.mean(np.exp(log_errors[showing, position])))),
        n_sweeps=len(usable),
    )


def _windows(sweep: Sweep) -> list[Sweep]:
    """The sweep in up to three parts by size: one part may be bound by memory and the next by computing."""
    order = np.argsort(sweep.sizes, kind="stable")
    n_parts = min(len(order) // _WINDOW_POINTS, 3)
    if n_parts < 2:
        return [sweep]
    return [
        Sweep(sizes=sweep.sizes[part], latency_s=sweep.latency_s[part])
        for part in np.array_split(order, n_parts)
    ]


def _fit_all_factors(
    sweep: Sweep, factors: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Relative error and softness of the best non-negative fit, for each factor; shapes (n_factors,)."""
    sizes, latency = sweep.sizes, sweep.latency_s
    scale = float(sizes.max())
    stairs = np.ceil(sizes[None, :] / factors[:, None]) * factors[:, None]
    design = np.stack(
        [np.broadcast_to(sizes / scale, stairs.shape), stairs / scale, np.ones_like(stairs)], axis=2
    )
    design = design / latency[None, :, None]
    weights = np.ones(stairs.shape)
    for _ in range(8):  # re-weighting: outliers and points bound by something else count less
        coefficients = _solve_non_negative(design, weights)
        residuals = np.abs(np.einsum("snk,sk->sn", design, coefficients) - 1.0)
        spread = np.maximum(1.5 * np.median(residuals, axis=1, keepdims=True), _NOISE_FLOOR)
        weights = np.minimum(1.0, spread / np.maximum(residuals, 1e-12))
    errors = np.sqrt(np.average(residuals**2, axis=1, weights=weights))
    total = coefficients[:, 0] + coefficients[:, 1]
    softness = np.divide(coefficients[:, 1], total, out=np.zeros_like(total), where=total > 0)
    return errors, softness


def _solve_non_negative(design: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted non-negative least squares towards one, batched over the first axis, by active sets."""
    weighted = design * weights[:, :, None]
    gram = np.einsum("snk,snl->skl", weighted, design)
    right = weighted.sum(axis=1)
    n_problems, n_unknowns = right.shape
    best = np.zeros((n_problems, n_unknowns))
    best_loss = np.zeros(n_problems)
    for subset in _SUBSETS:
        chosen = list(subset)
        part = gram[:, chosen][:, :, chosen] + 1e-10 * np.eye(len(chosen)) * gram[:, chosen, chosen].max()
        solution = np.linalg.solve(part, right[:, chosen, None])[:, :, 0]
        full = np.zeros((n_problems, n_unknowns))
        full[:, chosen] = solution
        loss = np.einsum("sk,skl,sl->s", full, gram, full) - 2.0 * np.einsum("sk,sk->s", full, right)
        better = (full[:, :2] >= 0).all(axis=1) & (loss < best_loss - 1e-12 * np.abs(best_loss))
        best[better], best_loss[better] = full[better], loss[better]
    return best
