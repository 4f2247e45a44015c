"""What layer models may know of a processor from its data sheet: caches and vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.measurement import DeviceInfo
from annette.models.kernel_table import KernelTable
from annette.models.unroll import padded_fraction

__all__ = ["FILLS", "DataSheet", "inside_fraction", "lane_padding"]

FILLS: tuple[tuple[str, ...], ...] = (
    (),
    ("out_channels",),
    ("in_channels",),
    ("in_channels", "out_channels"),
    ("out_w",),
)
"""Dimensions whose last, partly filled vector may be paid in full, as fits try them."""

_MOST_TAPS = 64


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

    @property
    def _levels(self) -> tuple[float, ...]:
        """What is left of data between two uses, by size: the caches, and one between the last two.

        The last cache is shared and is many times the one before: data are pushed out of it little by little.
        """
        sizes = tuple(map(float, self.cache_bytes))
        return sizes if len(sizes) < 2 else (*sizes[:-1], math.sqrt(sizes[-2] * sizes[-1]), sizes[-1])

    @property
    def n_cache_terms(self) -> int:
        """Columns of `cache_terms`."""
        return len(self.cache_bytes) + len(self._levels)

    @property
    def n_overhead_terms(self) -> int:
        """Columns of `overhead_terms`."""
        return 2 * len(self._levels)

    def cache_terms(self, table: KernelTable) -> NDArray[np.float64]:
        """Bytes that come from beyond each cache, shape (n_kernels, n_cache_terms).

        First, by cache, the bytes of the kernel that do not fit into it; then, by level, its weights that the
        rest of the network has pushed out since they were last used: ``weights * (1 - level / network)``.
        """
        sizes = np.array(self.cache_bytes, dtype=np.float64)[None, :]
        beyond = np.maximum(table.moved_bytes[:, None] - sizes, 0.0)
        cold = table.column("weight_bytes")[:, None] * self._pushed_out(table, "network_bytes")
        return np.concatenate([beyond, cold], axis=1)

    def overhead_terms(self, table: KernelTable) -> NDArray[np.float64]:
        """How cold code and the runtime's own data are, in [0, 1), shape (n_kernels, n_overhead_terms).

        First, by level, the share that the whole network pushes out between two runs of the kernel; then what
        the kernels just before it push out, which may run the same code. A kernel that does next to nothing
        takes 0.3 us in a network that stays in the second cache, and ten times that in a large one.
        """
        found = [self._pushed_out(table, column) for column in ("network_bytes", "recent_bytes")]
        return np.concatenate(found, axis=1)

    def _pushed_out(self, table: KernelTable, column: str) -> NDArray[np.float64]:
        """Share that so many bytes push out of each level, shape (n_kernels, n_levels)."""
        moved = np.maximum(table.column(column), 1.0)[:, None]
        share: NDArray[np.float64] = np.maximum(1.0 - np.array(self._levels)[None, :] / moved, 0.0)
        return share


def lane_padding(sizes: NDArray[np.float64], lanes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lanes that are paid over lanes that do work, >= 1, shaped like ``sizes``."""
    return padded_fraction(np.maximum(sizes, 1.0), lanes)


def inside_fraction(table: KernelTable) -> NDArray[np.float64]:
    """Share of the taps of a window that meet the image and not its padding, shape (n_kernels,); in (0, 1].

    The padding is what the sizes ask for, spread evenly, as ONNX's SAME does it. Windows of more than 64 taps
    along an axis are those of global pools: they have none.
    """
    fraction = np.ones(len(table))
    for axis in "hw":
        size, out, taps, stride, dilation = (
            table.column(f"{name}_{axis}") for name in ("in", "out", "kernel", "stride", "dilation")
        )
        padding = (out - 1) * stride + dilation * (taps - 1) + 1 - size
        rows = np.flatnonzero((padding > 0) & (taps > 1) & (taps <= _MOST_TAPS))
        if not len(rows):
            continue
        before = np.floor(padding[rows] / 2)
        met = np.zeros(len(rows))
        for tap in range(int(taps[rows].max())):
            offset = tap * dilation[rows] - before
            first = np.maximum(np.ceil(-offset / stride[rows]), 0.0)
            last = np.minimum(np.floor((size[rows] - 1 - offset) / stride[rows]), out[rows] - 1)
            met += np.where(tap < taps[rows], np.maximum(last - first + 1, 0.0), 0.0)
        fraction[rows] *= np.clip(met / (taps[rows] * out[rows]), 0.01, 1.0)
    return fraction
