"""Figures of merit: errors of predicted latencies, and ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.errors import ModelError

__all__ = [
    "Accuracy",
    "accuracy",
    "average_ranks",
    "bias",
    "kendall_tau",
    "mape",
    "relative_errors",
    "spearman",
    "within_fraction",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How one layer model does on a set of networks."""

    mape: float
    """Mean absolute relative error, as a fraction."""
    bias: float
    """Mean signed relative error, as a fraction; > 0 where predictions are too long."""
    spearman: float | None
    """Rank correlation in [-1, 1]; ``None`` where there is nothing to rank."""
    kendall_tau: float | None
    """Kendall's tau-b in [-1, 1]; ``None`` where there is nothing to rank."""
    within_10_percent: float
    """Share of the networks with an error of at most 10 %, in [0, 1]."""

    def to_dict(self) -> dict[str, object]:
        """The figures as JSON types."""
        return {
            "mape": self.mape,
            "bias": self.bias,
            "spearman": self.spearman,
            "kendall_tau": self.kendall_tau,
            "within_10_percent": self.within_10_percent,
        }


def accuracy(measured_s: ArrayLike, predicted_s: ArrayLike) -> Accuracy:
    """All figures of merit of these predictions.

    Raises
    ------
    ModelError
        Without values, for values that are not finite, or measured ones that are not > 0.
    """
    return Accuracy(
        mape=mape(measured_s, predicted_s),
        bias=bias(measured_s, predicted_s),
        spearman=spearman(measured_s, predicted_s),
        kendall_tau=kendall_tau(measured_s, predicted_s),
        within_10_percent=within_fraction(measured_s, predicted_s, 0.1),
    )


def relative_errors(measured_s: ArrayLike, predicted_s: ArrayLike) -> NDArray[np.float64]:
    """``predicted / measured - 1``, shape (n,)."""
    measured, predicted = _pair(measured_s, predicted_s)
    if (measured <= 0).any():
        raise ModelError("relative error: a measured latency is 0 or less, expected seconds > 0")
    return predicted / measured - 1.0


def mape(measured_s: ArrayLike, predicted_s: ArrayLike) -> float:
    """Mean absolute relative error, as a fraction.

    Examples
    --------
    >>> round(mape([1.0, 2.0], [1.1, 1.8]), 6)
    0.1
    """
    return float(np.abs(relative_errors(measured_s, predicted_s)).mean())


def bias(measured_s: ArrayLike, predicted_s: ArrayLike) -> float:
    """Mean signed relative error, as a fraction.

    Examples
    --------
    >>> round(bias([1.0, 2.0], [1.2, 2.0]), 6)
    0.1
    """
    return float(relative_errors(measured_s, predicted_s).mean())


def within_fraction(measured_s: ArrayLike, predicted_s: ArrayLike, tolerance: float) -> float:
    """Share of predictions with a relative error of at most ``tolerance``, in [0, 1].

    Examples
    --------
    >>> within_fraction([1.0, 2.0], [1.05, 2.5], 0.1)
    0.5
    """
    errors = np.abs(relative_errors(measured_s, predicted_s))
    return float((errors <= tolerance * (1 + 1e-12)).mean())


def average_ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks from 1, equal values sharing the mean of their ranks, shape (n,).

    Examples
    --------
    >>> average_ranks([10.0, 30.0, 10.0]).tolist()
    [1.5, 3.0, 1.5]
    """
    array = np.asarray(values, dtype=np.float64)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank = last - (counts - 1) / 2
    ranks: NDArray[np.float64] = mean_rank[inverse]
    return ranks


def spearman(measured: ArrayLike, predicted: ArrayLike) -> float | None:
    """Spearman's rank correlation: Pearson's of the average ranks; ``None`` if one side is constant.

    Examples
    --------
    >>> spearman([1.0, 2.0, 3.0], [10.0, 20.0, 15.0])
    0.5
    """
    first, second = (average_ranks(values) for values in _pair(measured, predicted))
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return None if scale == 0 else float(np.clip((first * second).sum() / scale, -1.0, 1.0))


def kendall_tau(measured: ArrayLike, predicted: ArrayLike) -> float | None:
    """Kendall's tau-b, corrected for ties; ``None`` if one side is constant.

    References
    ----------
    Knight, A computer method for calculating Kendall's tau with ungrouped data, JASA 61 (1966):
    O(n log n); here as scipy implements it.

    Examples
    --------
    >>> round(kendall_tau([1.0, 2.0, 3.0], [10.0, 20.0, 15.0]), 6)
    0.333333
    """
    first, second = _pair(measured, predicted)
    if len(np.unique(first)) < 2 or len(np.unique(second)) < 2:
        return None
    from scipy.stats import kendalltau

    return float(kendalltau(first, second).statistic)


def _pair(measured: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(measured, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise ModelError(
            f"metrics: shapes {first.shape} and {second.shape}, expected two equal rows of values"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ModelError("metrics: a value is not finite, expected measured and predicted numbers")
    return first, second
