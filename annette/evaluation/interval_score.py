"""How good prediction intervals are: the share of measurements that they hold, and how wide they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from annette.errors import ModelError

__all__ = ["IntervalScore", "score_intervals"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalScore:
    """Intervals against measurements."""

    networks: int
    coverage: float
    """Share of the measurements inside their interval, in [0, 1]; 0.9 is what they are made for."""
    median_half_width: float
    """Median over the networks of (high - low) / 2 relative to the prediction, as a fraction."""

    def to_dict(self) -> dict[str, object]:
        """The score as JSON types."""
        return {name: getattr(self, name) for name in self.__slots__}


def score_intervals(
    measured_s: ArrayLike, predicted_s: ArrayLike, low_s: ArrayLike, high_s: ArrayLike
) -> IntervalScore:
    """The score of these intervals, all of shape (n_networks,).

    Raises
    ------
    ModelError
        Without networks, or for columns of different lengths.

    Examples
    --------
    >>> score_intervals([1.0, 2.0], [1.0, 1.5], [0.9, 1.2], [1.1, 1.8])
    IntervalScore(networks=2, coverage=0.5, median_half_width=0.15)
    """
    columns = [np.asarray(item, dtype=np.float64) for item in (measured_s, predicted_s, low_s, high_s)]
    measured, predicted, low, high = columns
    if not len(measured) or any(item.shape != (len(measured),) for item in columns):
        raise ModelError(
            f"intervals: shapes {[item.shape for item in columns]}, expected equal rows of values"
        )
    half = (high - low) / 2.0 / predicted
    return IntervalScore(
        networks=len(measured),
        coverage=float(np.mean((low <= measured) & (measured <= high))),
        median_half_width=round(float(np.median(half)), 12),
    )
