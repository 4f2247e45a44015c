"""What layer models may know of a processor from its data sheet: caches and vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.measurement import DeviceInfo
from annette.models.kernel_table import KernelTable
from annette.models.unroll import padded_fraction

__all__ = ["FILLS", "DataSheet", "lane_padding"]

FILLS: tuple[tuple[str, ...], ...] = (
    (),
    ("out_channels",),
    ("in_channels",),
    ("in_channels", "out_channels"),
    ("out_w",),
)
"""Dimensions whose last, partly filled vector may be paid in full, as fits try them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSheet:
    """Caches and vectors of a processor; empty for devices that have none or do not tell.

    Raises
    ------
    ModelError
        If a size is not positive or the caches do not grow.
    """

    cache_bytes: tuple[int, ...] = ()
    """Sizes of the data caches that one thread sees, the smallest first."""
    vector_bytes: int | None = None
    """Width of the vector registers."""

    def __post_init__(self) -> None:
        sizes = (*self.cache_bytes, *(() if self.vector_bytes is None else (self.vector_bytes,)))
        if any(not isinstance(size, int) or size < 1 for size in sizes) or list(self.cache_bytes) != sorted(
            self.cache_bytes
        ):
            raise ModelError(
                f"data sheet: caches {self.cache_bytes}, vectors {self.vector_bytes}; expected sizes >= 1, "
                "the smallest cache first"
            )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known."""
        return not self.cache_bytes and self.vector_bytes is None

    @classmethod
    def of(cls, device: DeviceInfo) -> DataSheet:
        """What a device tells of itself."""
        return cls(cache_bytes=device.cache_bytes, vector_bytes=device.vector_bytes)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {"cache_bytes": list(self.cache_bytes), "vector_bytes": self.vector_bytes}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DataSheet:
        """The data sheet that `to_json` wrote; KeyError or TypeError for anything else."""
        vector = document["vector_bytes"]
        return cls(
            cache_bytes=tuple(int(size) for size in document["cache_bytes"]),
            vector_bytes=None if vector is None else int(vector),
        )

    def lanes(self, table: KernelTable) -> NDArray[np.float64]:
        """Elements in one vector register, shape (n_kernels,); 1 where vectors are not known."""
        if self.vector_bytes is None:
            return np.ones(len(table))
        elements = table.column("input_elements")
        size = np.where(elements > 0, table.column("input_bytes") / np.maximum(elements, 1.0), 4.0)
        lanes: NDArray[np.float64] = np.maximum(np.floor(self.vector_bytes / np.maximum(size, 0.125)), 1.0)
        return lanes

    def beyond_caches(self, table: KernelTable) -> NDArray[np.float64]:
        """Bytes of each kernel that do not fit into each cache, shape (n_kernels, n_caches)."""
        sizes = np.array(self.cache_bytes, dtype=np.float64)
        beyond: NDArray[np.float64] = np.maximum(table.moved_bytes[:, None] - sizes[None, :], 0.0)
        return beyond


def lane_padding(sizes: NDArray[np.float64], lanes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lanes that are paid over lanes that do work, >= 1, shaped like ``sizes``."""
    return padded_fraction(np.maximum(sizes, 1.0), lanes)
