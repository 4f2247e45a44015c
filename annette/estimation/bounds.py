"""Where latencies are expected to lie: the ends of 90 % intervals, of kernels and of networks as sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from annette.errors import UsageError
from annette.estimation.exact_sum import sum_by_network
from annette.models.intervals import ErrorSpread

if TYPE_CHECKING:
    from annette.estimation.platform import Platform

__all__ = [
    "Bounds",
    "LatencyIntervals",
    "bounds_of_sums",
    "kernel_bounds",
    "network_bounds",
    "require_spread",
]

Bounds = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Lower and upper ends, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatencyIntervals:
    """Latencies of many networks with their 90 % intervals, shape (n_networks,) each."""

    latency_s: NDArray[np.float64]
    """Seconds."""
    low_s: NDArray[np.float64]
    """Seconds; at most the latency."""
    high_s: NDArray[np.float64]
    """Seconds; at least the latency."""

    def __post_init__(self) -> None:
        for array in (self.latency_s, self.low_s, self.high_s):
            array.setflags(write=False)


def require_spread(platform: Platform, model: str) -> ErrorSpread:
    """What the platform knows of one layer model's errors.

    Raises
    ------
    UsageError
        If it knows nothing of them.
    """
    spread = None if platform.intervals is None else platform.intervals.models.get(model)
    if spread is None:
        raise UsageError(
            f"platform {platform.name!r}: has no intervals of the {model} model; train it again with this "
            "version of annette"
        )
    return spread


def kernel_bounds(
    spread: ErrorSpread, latency_s: NDArray[np.float64], spreads: NDArray[np.float64]
) -> Bounds:
    """The bounds of kernels, shape (n_kernels,) each.

    Parameters
    ----------
    spread : ErrorSpread
        Of the layer model.
    latency_s, spreads : ndarray of shape (n_kernels,)
        Seconds and spread of each kernel.
    """
    return _times(latency_s, spread.kernel_factors(spreads))


def network_bounds(
    spread: ErrorSpread,
    network_s: NDArray[np.float64],
    latency_s: NDArray[np.float64],
    spreads: NDArray[np.float64],
    families: Sequence[str],
    network_index: NDArray[np.int64],
) -> Bounds:
    """The bounds of networks, shape (n_networks,) each; the same bits for one network as for many.

    Parameters
    ----------
    spread : ErrorSpread
        Of the layer model.
    network_s : ndarray of shape (n_networks,)
        Seconds of each network.
    latency_s, spreads : ndarray of shape (n_kernels,)
        Seconds and spread of each kernel.
    families : sequence of n_kernels str
        Their family keys.
    network_index : ndarray of shape (n_kernels,)
        Which network a kernel belongs to.
    """
    n_networks, names = len(network_s), sorted(set(families))
    codes = {name: code for code, name in enumerate(names)}
    with np.errstate(over="ignore"):
        doubt_s = latency_s * spreads
    place = network_index * len(names) + np.array([codes[name] for name in families], dtype=np.int64)
    sums = sum_by_network(place, doubt_s, n_networks * len(names)).reshape(n_networks, len(names))
    squares = sum_by_network(network_index, doubt_s**2, n_networks)
    return bounds_of_sums(spread, network_s, sums, squares)


def bounds_of_sums(
    spread: ErrorSpread,
    network_s: NDArray[np.float64],
    family_sums_s: NDArray[np.float64],
    squares_s2: NDArray[np.float64],
) -> Bounds:
    """The bounds of networks from sums over their kernels, as `ErrorSpread.network_spread` takes them.

    The columns of ``family_sums_s`` are in the order of the families' names: so the bits are the same for
    one network as among others.
    """
    with np.errstate(all="ignore"):  # a damaged platform may say any number of seconds
        widths = spread.network_spread(network_s, family_sums_s, squares_s2)
    return _times(network_s, spread.network_factors(widths))


def _times(latency_s: NDArray[np.float64], factors: Bounds) -> Bounds:
    low, high = factors
    with np.errstate(over="ignore"):
        return latency_s * low, np.minimum(latency_s * high, np.finfo(np.float64).max)
