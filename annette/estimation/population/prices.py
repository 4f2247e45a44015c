"""Prices of kernels that a space's networks are made of: each worked out once for a platform, then kept."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from annette.estimation.exact_sum import split_exact
from annette.estimation.population.contents import KernelContents
from annette.estimation.population.errors import NotVectorisedError
from annette.measurement import DeviceInfo
from annette.models.kernel_row import COLUMNS, KernelReader
from annette.models.kernel_table import KernelTable
from annette.models.layer_models import LayerModels

__all__ = ["KernelPrices", "check_device"]


def check_device(device: DeviceInfo) -> None:
    """Refuse devices on which the price of a kernel depends on more than the kernel.

    Raises
    ------
    NotVectorisedError
        If the device has caches, or its tensors keep the dtypes of the network.
    """
    if device.cache_bytes or device.vector_bytes is not None or device.activation_bytes is None:
        raise NotVectorisedError("what a kernel costs depends on the rest of its network")


@dataclass(slots=True)
class KernelPrices:
    """The kernels met so far, as rows of a kernel table, with their prices; grows, and never forgets."""

    device: DeviceInfo
    rows: list[tuple[float, ...]] = field(default_factory=list)
    """In the order in which they were met."""
    families: list[int] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)
    """Family keys by number."""
    _numbers: dict[int, int] = field(default_factory=dict)
    _parts: dict[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.float64]]] = field(
        default_factory=dict
    )

    def numbers(self, kernels: KernelContents) -> NDArray[np.int64]:
        """The number of each kernel of a population, shape (n_kernels,); new ones are read."""
        distinct, first, inverse = np.unique(kernels.content, return_index=True, return_inverse=True)
        found = []
        for content, example in zip(distinct.tolist(), first.tolist(), strict=True):
            number = self._numbers.get(content)
            if number is None:
                number = self._numbers[content] = len(self.rows)
                network, mapping = kernels.cut_out(example)
                reader = KernelReader(network, mapping, self.device)
                kernel = mapping.kernels[0]
                self.rows.append(reader.row(kernel))
                self.families.append(self.keys.setdefault(reader.family_key(kernel), len(self.keys)))
            found.append(number)
        return np.array(found, dtype=np.int64)[inverse]

    def parts(
        self, models: LayerModels, model: str, target: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The price of each kernel met so far in two parts, shape (n_kernels,); see `split_exact`."""
        known = self._parts.get((model, target), (np.empty(0), np.empty(0)))
        start = len(known[0])
        if start < len(self.rows):
            values = np.array(self.rows[start:], dtype=np.float64).reshape(-1, len(COLUMNS))
            table = KernelTable(
                values=values,
                family_names=tuple(self.keys),
                family_index=np.array(self.families[start:], dtype=np.int64),
                network_index=np.zeros(len(values), dtype=np.int64),
                n_networks=1,
            )
            predict = models.predict_s if target == "latency" else models.predict_j
            new = split_exact(predict(table, model))
            known = np.concatenate([known[0], new[0]]), np.concatenate([known[1], new[1]])
            self._parts[model, target] = known
        return known
