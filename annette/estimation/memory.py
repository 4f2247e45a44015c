"""What a platform remembers of what it was asked: kernels with their prices, and whole estimates."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import ref

from annette.estimation.estimate import Estimate
from annette.estimation.kernel_bank import KernelBank
from annette.graph.network import Network

__all__ = ["MAX_ESTIMATES", "MAX_KERNELS", "CacheInfo", "PlatformMemory"]

MAX_KERNELS = 1 << 15
"""Kernels that a platform remembers: some 40 MB."""
MAX_ESTIMATES = 256
"""Whole estimates that a platform remembers, while their networks live."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheInfo:
    """How often a platform knew an answer already, and how much it remembers."""

    hits: int
    """Kernels whose price was known."""
    misses: int
    """Kernels that a model was asked for."""
    size: int
    """Kernels that are remembered."""
    limit: int
    """About how many are remembered at most; those not asked for in the longest time are forgotten first."""
    estimate_hits: int
    """Estimates of a network that were known."""
    estimate_misses: int
    """Estimates that were put together."""
    estimate_size: int
    """Estimates that are remembered."""
    estimate_limit: int
    """How many are remembered at most."""
    space_kernels: int
    """Kernels of search spaces that are remembered beside, as long as the spaces live."""


class PlatformMemory:
    """The memory of one platform; several threads may use it, one at a time inside `lock`.

    It is no part of what the platform is: copies and pickles begin with an empty one.
    """

    def __init__(self) -> None:
        """An empty memory."""
        self.lock = threading.RLock()
        self.bank = KernelBank(MAX_KERNELS)
        self._estimates: OrderedDict[tuple[int, str], tuple[ref[Network], Estimate]] = OrderedDict()
        self._hits = self._misses = 0

    def estimate(self, network: Network, model: str, work_out: Callable[[], Estimate]) -> Estimate:
        """The estimate of this very network object by a model; ``work_out`` gives it where it is new.

        Objects count, not contents: an estimate names layers, and networks that are equal may name them
        otherwise.
        """
        key = id(network), model
        found = self._estimates.get(key)
        if found is not None and found[0]() is network:
            self._hits += 1
            self._estimates.move_to_end(key)
            return found[1]
        self._misses += 1
        estimate = work_out()
        self._estimates[key] = ref(network), estimate
        self._estimates.move_to_end(key)
        while len(self._estimates) > MAX_ESTIMATES:
            self._estimates.popitem(last=False)
        return estimate

    def info(self, *, space_kernels: int = 0) -> CacheInfo:
        """The counts and sizes as they are now."""
        return CacheInfo(
            hits=self.bank.hits,
            misses=self.bank.misses,
            size=len(self.bank),
            limit=self.bank.limit,
            estimate_hits=self._hits,
            estimate_misses=self._misses,
            estimate_size=len(self._estimates),
            estimate_limit=MAX_ESTIMATES,
            space_kernels=space_kernels,
        )

    def clear(self) -> None:
        """Forget everything, the counts too."""
        with self.lock:
            self.bank.clear()
            self.bank.hits = self.bank.misses = 0
            self._estimates.clear()
            self._hits = self._misses = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> PlatformMemory:
        return PlatformMemory()

    def __reduce__(self) -> tuple[type[PlatformMemory], tuple[()]]:
        return PlatformMemory, ()
