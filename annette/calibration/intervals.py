"""Intervals that hold for a handful of samples: errors of samples left out, over how far out they lie."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CONFORMAL",
    "COVERAGE",
    "FEW_COUNT",
    "FEW_FITTED",
    "FEW_HELD_OUT",
    "FEW_LEVEL",
    "Interval",
    "fit_interval",
    "fitted_size",
    "held_out_size",
]

COVERAGE = 0.9
"""Share of networks whose latency is to lie within the interval."""
_PRIOR = 1.0
"""Variance of the noise over that of costs before anything is measured. Much smaller, and samples at the
corners of a space count as so far out that what lies between them gets too narrow an interval; much larger,
and all networks get the same, too wide for designed samples. Chosen on development devices out of 0.003
to 1."""

CONFORMAL = 19
"""Samples from which on a rank below the greatest error stands for nine in ten."""
FEW_LEVEL, FEW_HELD_OUT, FEW_FITTED, FEW_COUNT = 5.78, 0.49, 0.4, -0.43
"""Half width of fewer samples: level * held_out ** a * fitted ** b * count ** c. Fitted to 5 to 14
designed and random samples of 21 columns of real devices, the source devices of HELP's tasks, and judged on
others and with each chip left out, by benchmarks/studies/few_intervals.py."""
_LEAST_HELD_OUT, _LEAST_FITTED = 1e-4, 1e-3
"""Added to both: no latency is measured better than that."""

Floats = NDArray[np.float64]


_MOST_LOG = 20.0
"""No interval is wider than a factor of exp(20) either way, which says that nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Interval:
    """Half widths of intervals as logarithms."""

    quantile: float
    """Half width for a network that the samples tell all about."""
    spread: Floats
    """Shape (n_terms, n_terms): how uncertain costs are together."""
    unit_s: float
    """Geometric mean of the samples' latencies."""

    def log_half_width(self, columns: Floats, predicted_s: Floats) -> Floats:
        """Of networks with these amounts and predictions, shape (n,); its exp is a factor."""
        leverage = np.maximum(self._leverage(columns, predicted_s), 0.0)  # below 0 by rounding only
        # What cannot be reckoned is as wide as can be: fmin takes the number of a number and a NaN.
        half_width: Floats = np.fmin(self.quantile * np.sqrt(1.0 + leverage), _MOST_LOG)
        return half_width

    def _leverage(self, columns: Floats, predicted_s: Floats) -> Floats:
        rows = columns * (self.unit_s / predicted_s)[:, None]
        found: Floats = ((rows @ self.spread) * rows).sum(axis=1)
        return found


def fit_interval(columns: Floats, latency_s: Floats, held_out: Floats, fitted: Floats) -> Interval:
    """The interval after the errors of samples by models that were fitted without them.

    Of `CONFORMAL` samples or more the half width is the ceil(0.9 (k + 1))-th smallest of the k errors, each
    over how far out its sample lies among the others. The rank is that of conformal prediction, its guarantee
    is not: the errors are of samples left out one by one or by tenths, of a model that is then fitted to all
    of them (the jackknife, which guarantees nothing for a finite number), and the same errors chose graphs,
    sources and weights. How much is covered is what studies measured.

    Of fewer that would be the greatest error, and designed samples lie at the corners, where errors are too
    large (a model that extrapolates) or too small (a coarse clock counts less for large networks). The half
    width is then a product of powers of the median error of samples left out and of what the fit leaves over
    in the samples themselves. It is rather too wide than too narrow for devices whose noise is the same
    everywhere, and too narrow for some others.

    Parameters
    ----------
    columns : ndarray of shape (k, n_terms)
        The samples' amounts.
    latency_s : ndarray of shape (k,)
        Measured.
    held_out : ndarray of shape (k,)
        ``log(predicted / measured)`` of each by a model without it.
    fitted : ndarray of shape (k,)
        The same by the model of all samples.

    References
    ----------
    Barber, Candes, Ramdas, Tibshirani: Predictive inference with the jackknife+, Annals of Statistics 49
    (2021), also on what the jackknife itself does not guarantee; Lei et al.: Distribution-Free Predictive
    Inference for Regression, JASA 113 (2018), section 5.2, for scores over a local spread.
    """
    unit = float(np.exp(np.log(latency_s).mean()))
    rows = columns * (unit / latency_s)[:, None]
    spread: Floats = np.linalg.inv(rows.T @ rows + _PRIOR * np.eye(columns.shape[1])).astype(np.float64)
    quantile = _conformal(rows, spread, held_out) if len(rows) >= CONFORMAL else _of_few(held_out, fitted)
    return Interval(quantile=quantile, spread=spread, unit_s=unit)


def _conformal(rows: Floats, spread: Floats, held_out: Floats) -> float:
    own = ((rows @ spread) * rows).sum(axis=1)
    # Leverage among the others follows from that among all: Sherman and Morrison.
    scores = np.sort(np.abs(held_out) / np.sqrt(1.0 + own / (1.0 - own)))
    return float(scores[min(len(scores), math.ceil(COVERAGE * (len(scores) + 1))) - 1])


def _of_few(held_out: Floats, fitted: Floats) -> float:
    left_out, left_over = held_out_size(held_out), fitted_size(fitted)
    return float(FEW_LEVEL * left_out**FEW_HELD_OUT * left_over**FEW_FITTED * len(held_out) ** FEW_COUNT)


def held_out_size(held_out: Floats) -> float:
    """How large errors of samples left out are: their median, since single ones are corners of a design."""
    return float(np.median(np.abs(held_out))) + _LEAST_HELD_OUT


def fitted_size(fitted: Floats) -> float:
    """How large errors of the samples themselves are: the root of their mean square."""
    return float(np.sqrt(np.mean(np.minimum(np.abs(fitted), 1.0) ** 2))) + _LEAST_FITTED
