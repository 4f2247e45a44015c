"""What a kernel family was measured with, and which kernels lie outside of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.models.kernel_table import KernelTable

__all__ = ["RANGE_COLUMNS", "FamilyRange", "measure_ranges", "octaves_outside", "outside_mask", "unseen_mask"]

RANGE_COLUMNS = (
    "batch", "groups", "in_channels", "out_channels", "out_h", "out_w", "kernel_h", "kernel_w",
    "ops", "input_bytes", "weight_bytes", "output_bytes",
)  # fmt: skip
"""A kernel is out of range if one of these lies outside what its family was measured with."""

_MARGIN = 1.1
"""Sizes up to this factor beyond the measured ones still count as measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyRange:
    """The least and greatest sizes of a family's measured kernels, and their operators."""

    lowest: tuple[float, ...]
    """Per column of `RANGE_COLUMNS`."""
    highest: tuple[float, ...]
    """Per column of `RANGE_COLUMNS`."""
    operators: tuple[float, ...]
    """Codes of the operator types, ascending."""

    def __post_init__(self) -> None:
        if not len(self.lowest) == len(self.highest) == len(RANGE_COLUMNS):
            raise ModelError(f"range: {len(self.lowest)} sizes, expected {len(RANGE_COLUMNS)}")
        if not all(map(math.isfinite, (*self.lowest, *self.highest, *self.operators))):
            raise ModelError(
                "range: a size that is not finite, expected finite ones; train the platform again"
            )
        if min(*self.lowest, *self.highest) < 0:
            raise ModelError("range: a size below 0, expected none; train the platform again")

    def to_json(self) -> dict[str, list[float]]:
        """Plain values for a JSON file."""
        return {
            "lowest": list(self.lowest),
            "highest": list(self.highest),
            "operators": list(self.operators),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> FamilyRange:
        """The range that `to_json` wrote."""
        fields = ("lowest", "highest", "operators")
        return cls(**{name: tuple(float(value) for value in document[name]) for name in fields})


def measure_ranges(table: KernelTable) -> dict[str, FamilyRange]:
    """The range of every family in the table."""
    ranges = {}
    for key in table.family_names:
        rows = table.rows_of(key)
        if not len(rows):
            continue
        sizes = _sizes(table, rows)
        ranges[key] = FamilyRange(
            lowest=tuple(sizes.min(axis=0).tolist()),
            highest=tuple(sizes.max(axis=0).tolist()),
            operators=tuple(np.unique(table.column("operator")[rows]).tolist()),
        )
    return ranges


def outside_mask(table: KernelTable, ranges: Mapping[str, FamilyRange]) -> NDArray[np.bool_]:
    """True where a size or the operator lies outside its family's range, shape (n_kernels,)."""
    mask = np.zeros(len(table), dtype=bool)
    for key in table.family_names:
        rows = table.rows_of(key)
        limits = ranges.get(key)
        if limits is None:
            mask[rows] = True
            continue
        sizes = _sizes(table, rows)
        low, high = np.array(limits.lowest) / _MARGIN, np.array(limits.highest) * _MARGIN
        outside = ((sizes < low) | (sizes > high)).any(axis=1)
        mask[rows] = outside | ~np.isin(table.column("operator")[rows], limits.operators)
    return mask


def octaves_outside(table: KernelTable, ranges: Mapping[str, FamilyRange]) -> NDArray[np.float64]:
    """How far each kernel lies outside its family's range, shape (n_kernels,), >= 0.

    In factors of two, of the size that is farthest out; 0 inside, and for families that have no range.
    """
    octaves = np.zeros(len(table))
    for key in table.family_names:
        limits = ranges.get(key)
        if limits is None:
            continue
        rows = table.rows_of(key)
        sizes = np.log2(_sizes(table, rows) + 1.0)
        low, high = np.log2(np.array(limits.lowest) + 1.0), np.log2(np.array(limits.highest) + 1.0)
        octaves[rows] = np.maximum(np.maximum(sizes - high, low - sizes), 0.0).max(axis=1, initial=0.0)
    return octaves


def unseen_mask(table: KernelTable, ranges: Mapping[str, FamilyRange]) -> NDArray[np.bool_]:
    """True where no kernel of that family with that operator was measured, shape (n_kernels,).

    An operator that has no code of its own counts as never measured: whether it was cannot be told. Moves of
    tensors have no operator.
    """
    mask = np.zeros(len(table), dtype=bool)
    operators = table.column("operator")
    for key in table.family_names:
        rows = table.rows_of(key)
        limits = ranges.get(key)
        if limits is None:
            mask[rows] = True
        elif key.partition("@")[0] != "move":
            mask[rows] = ~np.isin(operators[rows], [code for code in limits.operators if code])
    return mask


def _sizes(table: KernelTable, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.stack([table.column(name)[rows] for name in RANGE_COLUMNS], axis=1)
