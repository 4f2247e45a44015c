"""Rows of a table that are the same architecture: repeated measurements become one row with their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.evaluation.table_file import Cell, is_missing, number_in
from annette.zoo.spaces.space import Encodings

__all__ = ["MOST_RATIO", "DistinctRows", "distinct_rows"]

MOST_RATIO = 1.5
"""Latencies of one network that differ by more are not repetitions: another setting, or another unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistinctRows:
    """A table with each architecture once."""

    kept: NDArray[np.int64]
    """Shape (n_architectures,): the first row of each, ascending."""
    cells: Mapping[str, Sequence[Cell]]
    """The columns with these rows; numbers of repeated ones are the mean."""
    merged: int
    """Rows that were merged into an earlier one."""
    disagreements: Mapping[str, str]
    """Columns with numbers of one architecture that differ by more than `MOST_RATIO`, and in which rows."""


def distinct_rows(
    encodings: Encodings, cells: Mapping[str, Sequence[Cell]], places: Sequence[int]
) -> DistinctRows:
    """Each architecture once, with the mean of its numbers column by column.

    Parameters
    ----------
    encodings : ndarray of shape (n_rows, n_genes)
        What each row is.
    cells : mapping of sequences
        The other columns. What is no number is taken from the first row of an architecture.
    places : sequence of int
        The rows' numbers in the file, for messages.

    Examples
    --------
    >>> import numpy as np
    >>> found = distinct_rows(np.array([[1], [2], [1]]), {"gpu": ["1.0", "3", "1.5"]}, (1, 2, 3))
    >>> found.kept.tolist(), found.cells["gpu"], found.merged
    ([0, 1], [1.25, '3'], 1)
    """
    _, first, inverse = np.unique(encodings, axis=0, return_index=True, return_inverse=True)
    earlier = first[inverse.reshape(-1)]
    again = np.flatnonzero(earlier != np.arange(len(encodings)))
    kept = np.sort(first)
    rows_of: dict[int, list[int]] = {}
    for row in again.tolist():
        rows_of.setdefault(int(earlier[row]), [int(earlier[row])]).append(row)
    merged: dict[str, Sequence[Cell]] = {}
    disagreements: dict[str, str] = {}
    for name, column in cells.items():
        whole = list(column)
        for rows in rows_of.values():
            filled = [row for row in rows if not is_missing(column[row])]
            known = {row: number for row in filled if (number := number_in(column[row])) is not None}
            if len(known) < len(filled) or not known:
                continue  # what is no number is as it is in the first row
            low, high = (pick(known, key=known.__getitem__) for pick in (min, max))
            if known[low] != known[high] and not 0 < known[high] <= MOST_RATIO * known[low]:
                one, other = sorted((low, high))
                named = f"rows {places[one]} and {places[other]} are the same architecture"
                found = f"{named}, with {known[one]:g} and {known[other]:g} in column {name!r}"
                disagreements.setdefault(name, found)
            whole[rows[0]] = float(np.mean(list(known.values())))
        merged[name] = [whole[row] for row in kept.tolist()] if rows_of else column
    return DistinctRows(kept=kept, cells=merged, merged=len(again), disagreements=disagreements)
