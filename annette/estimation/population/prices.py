"""Prices of kernels that a space's networks are made of: each worked out once for a platform, then kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.estimation.exact_sum import split_exact
from annette.estimation.kernel_bank import KernelBank
from annette.estimation.population.contents import KernelContents
from annette.estimation.population.errors import NotVectorisedError
from annette.measurement import DeviceInfo
from annette.models.intervals import ErrorSpread
from annette.models.kernel_row import KernelReader
from annette.models.layer_models import LayerModels

__all__ = ["KernelDoubts", "KernelPrices", "check_device", "distinct_hashes"]

Floats = NDArray[np.float64]


def check_device(device: DeviceInfo) -> None:
    """Refuse devices on which the price of a kernel depends on more than the kernel.

    Raises
    ------
    NotVectorisedError
        If the device has caches, or its tensors keep the dtypes of the network.
    """
    if device.cache_bytes or device.vector_bytes is not None or device.activation_bytes is None:
        raise NotVectorisedError("what a kernel costs depends on the rest of its network")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KernelDoubts:
    """What the intervals of networks are made of, kernel by kernel."""

    doubt_s: tuple[Floats, Floats]
    """Latency times spread, in two parts as `split_exact` gives them, shape (n_kernels,) each."""
    square_s2: tuple[Floats, Floats]
    """Its square, in two parts."""
    family: NDArray[np.int64]
    """Shape (n_kernels,): the family, in the order of their keys."""
    n_families: int


def distinct_hashes(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of 64-bit hashes: where each distinct one is first, and which of these each is.

    There are many hashes and few distinct ones, so that counting their first 16 bits is faster than sorting.

    Examples
    --------
    >>> first, places = distinct_hashes(np.array([1 << 60, 7, 1 << 60, 8, 7], dtype=np.uint64))
    >>> first.tolist(), places.tolist()
    ([1, 0, 3], [1, 0, 1, 2, 0])
    """
    start = (hashes >> np.uint64(48)).astype(np.int64)
    earliest = np.full(1 << 16, -1)
    earliest[start[::-1]] = np.arange(len(start) - 1, -1, -1)  # the last that is written stays
    used = np.flatnonzero(earliest >= 0)
    first = earliest[used]
    earliest[used] = np.arange(len(used))
    places = earliest[start]
    others = np.flatnonzero(hashes[first][places] != hashes)  # that only begin like another
    if len(others):
        _, more, inverse = np.unique(hashes[others], return_index=True, return_inverse=True)
        places[others] = len(first) + inverse
        first = np.concatenate([first, others[more]])
    return first, places


class KernelPrices:
    """The kernels of a space's networks met so far, and their prices; grows, and never forgets."""

    def __init__(self, device: DeviceInfo) -> None:
        """Nothing is met yet."""
        self.bank = KernelBank(sys.maxsize)
        """The kernels by number, as single networks have them; a kernel's key is its content."""
        self._device = device
        self._parts: dict[tuple[str, str], tuple[Floats, Floats]] = {}
        self._doubts: dict[str, KernelDoubts] = {}

    def __len__(self) -> int:
        return len(self.bank)

    def numbers(self, kernels: KernelContents) -> NDArray[np.int64]:
        """The number of each kernel of a population, shape (n_kernels,); new ones are read."""

        def read(example: int) -> tuple[str, Sequence[float]]:
            network, mapping = kernels.cut_out(example)
            reader = KernelReader(network, mapping, self._device)
            kernel = mapping.kernels[0]
            return reader.family_key(kernel), reader.row(kernel)

        first, inverse = distinct_hashes(kernels.content)
        pairs = zip(kernels.content[first].tolist(), first.tolist(), strict=True)
        found = [self.bank.number(content, read, example) for content, example in pairs]
        return np.array(found, dtype=np.int64)[inverse]

    def parts(self, models: LayerModels, model: str) -> tuple[Floats, Floats]:
        """The price of each kernel met so far in two parts, shape (n_kernels,); see `split_exact`."""
        key = model, models.target.name
        known = self._parts.get(key)
        if known is None or len(known[0]) < len(self.bank):
            prices = self.bank.prices(np.arange(len(self.bank)), models, model)
            known = self._parts[key] = split_exact(prices)
        return known

    def doubts(self, models: LayerModels, model: str, spread: ErrorSpread) -> KernelDoubts:
        """How far off the latency of each kernel met so far may be; see `ErrorSpread.network_spread`."""
        known = self._doubts.get(model)
        if known is None or len(known.family) < len(self.bank):
            numbers = np.arange(len(self.bank))
            prices = self.bank.prices(numbers, models, model)
            doubt_s = prices * self.bank.spreads(numbers, models, model, spread)
            names, family = np.unique(np.array(self.bank.families(numbers)), return_inverse=True)
            known = self._doubts[model] = KernelDoubts(
                doubt_s=split_exact(doubt_s),
                square_s2=split_exact(doubt_s**2),
                family=family.astype(np.int64),
                n_families=len(names),
            )
        return known
