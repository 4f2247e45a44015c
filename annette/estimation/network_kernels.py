"""From a network to the numbers of its kernels in a platform's bank: the way that every estimate goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from annette.estimation.kernel_bank import KernelBank
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network
from annette.measurement import DeviceInfo
from annette.models.kernel_distance import walk_distances
from annette.models.kernel_keys import KernelKeys
from annette.models.kernel_row import KernelReader
from annette.models.kernel_table import build_kernel_table, fill_network_columns, moved_bytes

if TYPE_CHECKING:
    from annette.models.mapping_model import MappingModel
    from annette.models.mapping_walk import Walk

__all__ = ["KernelFinder", "MappedNetwork"]

Numbers = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class MappedNetwork:
    """A network with the kernels that are expected of it."""

    walk: Walk
    """The walk through it after its last layer."""
    execution: list[int | Kernel]
    """The walk's kernels by number, and moves, in order of execution."""


class KernelFinder:
    """Finds the kernels of networks on one device, and their numbers in a bank."""

    def __init__(self, mapping_model: MappingModel, device: DeviceInfo, bank: KernelBank) -> None:
        """``bank`` holds kernels of this device only."""
        self._model = mapping_model
        self._device = device
        self._bank = bank

    def map(self, network: Network) -> MappedNetwork:
        """The network with its expected kernels."""
        walk = self._model.walk(network)
        return MappedNetwork(walk, list(self._model.execution(walk)))

    def numbers(self, mapped: MappedNetwork) -> Numbers:
        """The number of each kernel in order of execution, shape (n_kernels,)."""
        walk, execution = mapped.walk, mapped.execution
        keys = KernelKeys(walk, self._device)
        if keys.is_odd:
            return self.numbers_under(walk.view.network, self._model.mapping_of(walk, execution))
        read = _Reading(self._model, self._device, mapped)
        primary, number_of, unit_of = self._model.primary, self._bank.number, walk.unit
        found = []
        for item in execution:
            if isinstance(item, int):
                key = keys.key(item, primary(walk, item), unit_of(item))
            else:
                key = keys.move_key(item)
            found.append(number_of(key, read, item))
        numbers = np.array(found, dtype=np.int64)
        return self._in_network(mapped, keys, numbers) if self._device.cache_bytes else numbers

    def numbers_under(self, network: Network, mapping: Mapping) -> Numbers:
        """The same of a network under a given mapping."""
        return self._bank.add_table(build_kernel_table([(network, mapping)], self._device))

    def _in_network(self, mapped: MappedNetwork, keys: KernelKeys, numbers: Numbers) -> Numbers:
        """The numbers of the kernels at their place in the network: caches hold what others moved."""
        values = self._bank.rows(numbers)
        distances = walk_distances(mapped.walk, mapped.execution, moved_bytes(values), keys.source)
        fill_network_columns(values, np.zeros(len(values), dtype=np.int64), 1, distances)
        pairs = zip(self._bank.families(numbers), values, strict=True)
        return np.array([self._bank.add(family, row) for family, row in pairs], dtype=np.int64)


class _Reading:
    """Reads the rows of kernels that are new; what it needs for that is made when the first one is."""

    def __init__(self, model: MappingModel, device: DeviceInfo, mapped: MappedNetwork) -> None:
        self._model, self._device, self._mapped = model, device, mapped

    @cached_property
    def _reader(self) -> KernelReader:
        return KernelReader.of_walk(self._mapped.walk, self._device)

    def __call__(self, item: int | Kernel) -> tuple[str, Sequence[float]]:
        """The family key and the row of a kernel."""
        if isinstance(item, Kernel):
            return self._reader.family_key(item), self._reader.row(item)
        walk = self._mapped.walk
        return self._reader.read(walk.kernels[item].layers, self._model.primary(walk, item), walk.unit(item))
