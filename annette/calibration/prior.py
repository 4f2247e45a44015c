"""A platform as a prior: what each kind of kernel takes on it, to be rescaled to another device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from annette.calibration.features import COUNTS, GROUPS, Contents, KernelKinds, number_kernels
from annette.graph.network import Network

if TYPE_CHECKING:
    from annette.estimation.platform import Platform

__all__ = ["PRIOR_COLUMNS", "Prior", "prior_from_networks"]

PRIOR_COLUMNS = 1 + len(GROUPS)
"""The whole network, then the kernels of each group."""
_GROUP_SIZE = 2.0
"""Columns of single groups count so much more than that of the whole: groups are rescaled rather than other
terms added. Chosen on simulated devices whose groups are some times as slow as those of a shipped platform;
0.1 to 1 leave twice the error there."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prior:
    """Seconds of each kind of kernel on a platform.

    It stands by itself: the platform need not be there when it is used.
    """

    device: str
    """The platform's name."""
    fixed_s: float
    """What every network takes beyond its kernels, >= 0."""
    mean_s: float
    """What the networks that it was learned from take on average."""
    kinds: KernelKinds
    seconds: Floats
    """Shape (n_kinds,), >= 0; 0 for kinds that are always merged with another kernel."""
    costs: Floats
    """Shape (len(COUNTS),): seconds an amount, >= 0, by which kinds that were not seen are compared with the
    nearest one that was."""

    def __post_init__(self) -> None:
        for array in (self.seconds, self.costs):
            array.setflags(write=False)

    def price_s(self, kinds: KernelKinds) -> Floats:
        """Seconds of kinds of kernels, shape (len(kinds),)."""
        known = {_key(self.kinds, place): place for place in range(len(self.kinds))}
        places = np.array([known.get(_key(kinds, place), -1) for place in range(len(kinds))], dtype=np.int64)
        found = (
            np.where(places >= 0, self.seconds[places], 0.0) if len(self.seconds) else np.zeros(len(kinds))
        )
        rough, own = kinds.counts @ self.costs, self.kinds.counts @ self.costs
        for place in np.flatnonzero(places < 0):
            alike = np.flatnonzero((self.kinds.groups == kinds.groups[place]) & (own > 0))
            if len(alike):
                distance = ((self.kinds.traits[alike] - kinds.traits[place]) ** 2).sum(axis=1)
                nearest = alike[int(distance.argmin())]
                found[place] = self.seconds[nearest] * rough[place] / own[nearest]
        prices: Floats = found
        return prices

    def columns(self, contents: Contents) -> Floats:
        """What networks take over the mean, whole and by group, shape (n_networks, `PRIOR_COLUMNS`)."""
        price_s = self.price_s(contents.kinds)
        by_group = np.zeros((len(price_s), len(GROUPS)))
        by_group[np.arange(len(price_s)), contents.kinds.groups] = price_s
        groups = contents.times @ by_group
        whole = groups.sum(axis=1, keepdims=True) + self.fixed_s
        found: Floats = np.hstack([whole, _GROUP_SIZE * groups]) / self.mean_s
        return found


def prior_from_networks(platform: Platform, networks: Sequence[Network]) -> Prior:
    """What each kind of kernel in the networks takes on a platform, on average where it differs.

    A kernel that merges several layers is laid to the first of them that is counted.

    Raises
    ------
    GraphError
        If a network cannot be mapped.

    Examples
    --------
    >>> import annette
    >>> from annette.calibration.features import count_networks
    >>> from annette.zoo.registry import open_network
    >>> platform, network = annette.load("ncs2"), open_network("zoo:mobilenet_v2")
    >>> prior = prior_from_networks(platform, [network])
    >>> whole = prior.columns(count_networks([network]))[0, 0]
    >>> bool(abs(whole - 1) < 1e-9)
    True
    """
    book, rest_s = number_kernels(networks), 0.0
    seconds = np.zeros(len(book.kinds))
    times = np.zeros(len(book.kinds))
    total_s = 0.0
    for network, numbers in zip(networks, book.numbers, strict=True):
        np.add.at(times, list(numbers.values()), 1.0)
        estimate = platform.estimate(network)
        total_s += estimate.latency_s
        rest_s += estimate.latency_s - sum(kernel.latency_s for kernel in estimate.kernels)
        for kernel in estimate.kernels:
            number = next((numbers[name] for name in kernel.layers if name in numbers), None)
            if number is None:
                rest_s += kernel.latency_s
            else:
                seconds[number] += kernel.latency_s
    seconds /= times
    return Prior(
        device=platform.name,
        fixed_s=max(rest_s / len(networks), 0.0),
        mean_s=total_s / len(networks),
        kinds=book.kinds,
        seconds=seconds,
        costs=_rough_costs(book.kinds, seconds),
    )


def _rough_costs(kinds: KernelKinds, seconds: Floats) -> Floats:
    """Seconds an amount by non-negative least squares of the relative error, 0 for groups without a price."""
    from scipy.optimize import nnls

    priced = seconds > 0
    costs = np.zeros(len(COUNTS))
    if priced.any():
        amounts = kinds.counts[priced]
        used = np.flatnonzero(amounts.any(axis=0))
        size = amounts[:, used].mean(axis=0)
        design = amounts[:, used] / size / seconds[priced][:, None]
        costs[used] = nnls(design * seconds[priced].mean(), np.ones(priced.sum()), maxiter=50 * len(used))[0]
        costs[used] *= seconds[priced].mean() / size
    return costs


def _key(kinds: KernelKinds, place: int) -> tuple[float, ...]:
    return (float(kinds.groups[place]), *kinds.amounts[place].tolist(), *kinds.traits[place].tolist())
