"""Noise like a real profiler's: jitter of runs and kernels, outliers, and the step of the timer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from annette.hardware.accelerator import Noise

__all__ = ["noisy_values"]


def noisy_values(
    latency_s: npt.NDArray[np.float64], noise: Noise, rng: np.random.Generator, *, runs: int
) -> npt.NDArray[np.float64]:
    """What a profiler would read in ``runs`` runs.

    Parameters
    ----------
    latency_s : ndarray of shape (n_kernels,)
        True seconds.

    Returns
    -------
    ndarray of shape (runs, n_kernels)
        Seconds, each a whole multiple of the timer's step and at least one step. The jitter is log-normal
        with median 1, so that the median over many runs is the true value.
    """
    shape = (runs, latency_s.size)
    jitter = np.exp(rng.normal(0.0, noise.sigma, shape) + rng.normal(0.0, noise.run_sigma, (runs, 1)))
    disturbed = rng.random(shape) < noise.outlier_probability
    values = latency_s * jitter * np.where(disturbed, noise.outlier_factor, 1.0)
    if noise.resolution_s <= 0:
        return np.asarray(values)
    # A free-running timer: the phase of the start within a step is random, so the mean stays true.
    ticks = np.floor(values / noise.resolution_s + rng.random(shape))
    return np.asarray(np.maximum(ticks, 1) * noise.resolution_s)
