"""How wrong a way of predicting is on samples that it has not seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from annette.calibration.member import Population, base_s, fit_member_costs, kernel_shares
from annette.calibration.residual import correction, fit_process, kernel_matrix

__all__ = ["held_out_log_errors", "middle_error", "typical_error"]

LEAVE_ONE_OUT = 30
"""Up to so many samples each is left out by itself; of more, a tenth at a time."""
_FOLDS = 10
_MOST_LOG_ERROR = 1.0
"""An error of a factor of e or more counts as this one: networks that a device does not run at all."""
_LEAST_ERROR = 1e-6

Floats = NDArray[np.float64]


def held_out_log_errors(
    samples: Population, latency_s: Floats, used: NDArray[np.bool_] | None = None
) -> Floats:
    """``log(predicted / measured)`` of each sample by a member fitted without it, shape (n_samples,).

    ``used`` is as for `fit_member`.
    """
    count = len(latency_s)
    folds = (
        np.arange(count) if count <= LEAVE_ONE_OUT else np.random.default_rng(0).permutation(count) % _FOLDS
    )
    alike = kernel_matrix(samples.contents.kinds, samples.contents.kinds)
    start = fit_member_costs(samples, latency_s, used)
    errors = np.zeros(count)
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        costs = fit_member_costs(samples.some(~held), latency_s[~held], used, start)
        base = base_s(samples, costs.terms, costs.sources)
        shares = kernel_shares(samples, costs.kinds, base)
        near = shares @ alike @ shares.T  # what `fit_member` would compute of kinds, by networks
        process = fit_process(near[~held][:, ~held], np.log(latency_s[~held] / base[~held]))
        factor = correction(process.spread**2 * (near[held][:, ~held] @ process.weights))
        errors[held] = np.log(base[held] * factor / latency_s[held])
    return errors


def typical_error(log_errors: Floats) -> float:
    """Root of the mean square of the errors, each at most `_MOST_LOG_ERROR`."""
    return float(np.sqrt(np.mean(np.minimum(np.abs(log_errors), _MOST_LOG_ERROR) ** 2)))


def middle_error(log_errors: Floats) -> float:
    """Median of the errors' sizes, > 0."""
    return float(np.median(np.abs(log_errors))) + _LEAST_ERROR
