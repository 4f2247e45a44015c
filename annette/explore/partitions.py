"""Partitions of a budget of multiply-accumulates: systolic arrays of one size, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from annette.errors import UsageError

__all__ = ["SIDES", "Partition", "Partitions", "list_partitions"]

SIDES = ("powers", "all")
"""Sizes that are tried: powers of two, or every whole number."""
_MOST_MACS = 1 << 24
_MOST_SIDE = 1 << 16
_MOST_PARTITIONS = 1 << 20
_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Partition:
    """So many arrays of one size, side by side."""

    rows: int
    columns: int
    """Of each array."""
    partition_rows: int
    partition_columns: int
    """How the arrays share the work: the dimension along rows, and that along columns, are cut in so many."""

    @property
    def arrays(self) -> int:
        """How many arrays there are."""
        return self.partition_rows * self.partition_columns

    @property
    def macs_per_cycle(self) -> int:
        """Of all arrays."""
        return self.rows * self.columns * self.arrays

    @property
    def name(self) -> str:
        """For tables: ``2x4 of 32x16``, or ``128x128`` for a single array."""
        single = f"{self.rows}x{self.columns}"
        return single if self.arrays == 1 else f"{self.partition_rows}x{self.partition_columns} of {single}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partitions(Sequence[Partition]):
    """Many of them as columns; arrays of shape (n_partitions,)."""

    rows: _Ints
    columns: _Ints
    partition_rows: _Ints
    partition_columns: _Ints

    @property
    def arrays(self) -> _Ints:
        """How many arrays each has."""
        return self.partition_rows * self.partition_columns

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, position: int) -> Partition: ...
    @overload
    def __getitem__(self, position: slice) -> Partitions: ...
    def __getitem__(self, position: Any) -> Any:
        found = (self.rows, self.columns, self.partition_rows, self.partition_columns)
        rows, columns, down, across = (column[position] for column in found)
        if isinstance(position, slice):
            return Partitions(rows=rows, columns=columns, partition_rows=down, partition_columns=across)
        return Partition(
            rows=int(rows), columns=int(columns), partition_rows=int(down), partition_columns=int(across)
        )


def list_partitions(macs: int, *, least_side: int = 8, sides: str = "powers") -> Partitions:
    """Every partition of at most ``macs`` multiply-accumulates a cycle, those of few arrays first.

    Parameters
    ----------
    macs : int
        The budget; at most 2**24.
    least_side : int
        The smallest number of rows or columns of an array.
    sides : {"powers", "all"}
        Whether rows, columns, and arrays along both are powers of two, or any whole number.

    Raises
    ------
    UsageError
        For a budget that is too small for one array of ``least_side`` on each side, or beyond 2**24; or
        where there are more than 2**20 partitions.

    Examples
    --------
    >>> [item.name for item in list_partitions(128)]
    ['8x8', '8x16', '16x8', '1x2 of 8x8', '2x1 of 8x8']
    >>> len(list_partitions(128)), len(list_partitions(128, sides="all"))
    (5, 36)
    """
    if sides not in SIDES:
        raise UsageError(f"sides {sides!r}, expected one of {', '.join(SIDES)}")
    powers = np.array([1 << power for power in range(_MOST_MACS.bit_length())], dtype=np.int64)
    possible = powers[(powers >= least_side) & (powers <= _MOST_SIDE)]
    least = int(possible[0]) if sides == "powers" and possible.size else least_side
    if not 1 <= least <= _MOST_SIDE or least_side < 1 or not least**2 <= macs <= _MOST_MACS:
        raise UsageError(
            f"budget of {macs} MACs with arrays of at least {least_side} x {least_side}, sides {sides}: "
            f"expected sides from 1 to {_MOST_SIDE} and {min(least, _MOST_SIDE) ** 2} to {_MOST_MACS} MACs"
        )
    if sides == "all":
        possible = np.arange(least, min(macs // least, _MOST_SIDE) + 1)
        powers = np.arange(1, macs // least**2 + 1)
    return _expand(possible, powers, macs)


def _expand(sides: _Ints, parts: _Ints, macs: int) -> Partitions:
    """All of them: each row with its columns, each of these with its parts along rows, then along columns."""
    found = [sides]
    used = sides
    for values in (sides, parts, parts):
        counts = np.searchsorted(values, macs // used, side="right")
        if int(counts.sum()) > _MOST_PARTITIONS:
            raise UsageError(
                f"budget of {macs} MACs: more than {_MOST_PARTITIONS} partitions, expected a smaller budget, "
                "a larger least side, or powers of two as sides"
            )
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        chosen = values[np.arange(len(starts)) - starts]
        found = [*(np.repeat(column, counts) for column in found), chosen]
        used = np.repeat(used, counts) * chosen
    rows, columns, down, across = found
    order = np.lexsort((across, down, columns, rows, down * across))
    rows, columns, down, across = (column[order] for column in found)
    return Partitions(rows=rows, columns=columns, partition_rows=down, partition_columns=across)
