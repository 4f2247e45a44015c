"""The cells of NAS-Bench-101 as rows: which are valid, their normal form, and a table of the unique ones.

A row holds the 21 entries above the diagonal of a 7x7 adjacency matrix, row by row, then the operations of
the vertices 1 to 5 as positions in `annette.zoo.nasbench101.OPERATIONS`. Vertex 0 is the input, vertex 6 the
output.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from annette.zoo.nasbench101 import MAX_EDGES, MAX_VERTICES, OPERATIONS
from annette.zoo.nasbench101_sampling import full_matrices
from annette.zoo.spaces.space import Encodings

__all__ = [
    "EDGES",
    "INTERIOR",
    "OUTPUT",
    "Bools",
    "Feeds",
    "edge_columns",
    "is_cell",
    "live_vertices",
    "pack",
    "unique_cells",
]

Bools = NDArray[np.bool_]
Feeds = Mapping[tuple[int, int], Bools]
"""For each edge which cells have it, shape (n,)."""

EDGES = tuple(itertools.combinations(range(MAX_VERTICES), 2))
"""Source and destination of each gene that is an edge."""
OUTPUT = MAX_VERTICES - 1
"""The output vertex."""
INTERIOR = tuple(range(1, OUTPUT))
"""The vertices that have an operation."""

_GENE = {edge: gene for gene, edge in enumerate(EDGES)}


def edge_columns(rows: Encodings) -> Feeds:
    """For each edge which rows have it."""
    columns = np.ascontiguousarray(rows[:, : len(EDGES)].T) != 0
    return dict(zip(EDGES, columns, strict=True))


def live_vertices(feeds: Feeds) -> Bools:
    """Which vertices are on a path from input to output, shape (7, n)."""
    count = len(feeds[0, OUTPUT])
    reached = np.zeros((MAX_VERTICES, count), dtype=bool)
    needed = np.zeros((MAX_VERTICES, count), dtype=bool)
    reached[0] = needed[OUTPUT] = True
    for source, destination in EDGES:  # by source: all that reaches a source is known before it is passed on
        reached[destination] |= reached[source] & feeds[source, destination]
    for source, destination in reversed(EDGES):
        needed[source] |= needed[destination] & feeds[source, destination]
    found: Bools = reached & needed
    return found


def is_cell(rows: Encodings) -> Bools:
    """Which rows have a path and, without dead vertices, at most 9 edges; shape (n,)."""
    feeds = edge_columns(rows)
    live = live_vertices(feeds)
    edges = np.zeros(len(rows), dtype=np.int8)
    for (source, destination), has in feeds.items():
        edges += has & live[source] & live[destination]
    found: Bools = live[0] & (edges <= MAX_EDGES)
    return found


def pack(rows: Encodings) -> Encodings:
    """The normal form: live vertices moved to the front in their order, dead ones without edges behind them.

    The operations of dead vertices are 0.
    """
    live = live_vertices(edge_columns(rows))
    patterns = np.zeros(len(rows), dtype=np.int64)
    for vertex in INTERIOR:
        patterns |= live[vertex].astype(np.int64) << vertex
    packed = np.zeros_like(rows)
    for pattern in np.unique(patterns).tolist():
        at = np.flatnonzero(patterns == pattern)
        kept = [vertex for vertex in INTERIOR if pattern >> vertex & 1]
        sources, destinations = _moves(kept)
        packed[at[:, None], destinations] = rows[at[:, None], sources]
    return packed


def _moves(kept: list[int]) -> tuple[list[int], list[int]]:
    """Genes of a cell of which these interior vertices live, and where packing moves them."""
    old, new = [0, *kept, OUTPUT], [*range(len(kept) + 1), OUTPUT]
    pairs = list(itertools.combinations(range(len(old)), 2))
    operations = len(EDGES) - 1  # vertex 1 has the first gene behind the edges
    return (
        [_GENE[old[i], old[j]] for i, j in pairs] + [operations + vertex for vertex in kept],
        [_GENE[new[i], new[j]] for i, j in pairs] + [operations + i + 1 for i in range(len(kept))],
    )


@cache
def unique_cells() -> NDArray[np.int8]:
    """One packed row for each unique cell of the benchmark, shape (423,624, 26); made once, in a second.

    Ordered by the number of vertices; of all numberings of a cell the first is taken.
    """
    table = np.concatenate([_unique_cells(vertices) for vertices in range(2, MAX_VERTICES + 1)])
    table.setflags(write=False)
    return table


def _unique_cells(vertices: int) -> NDArray[np.int8]:
    """The unique cells in which so many vertices live.

    Labelled cells are numbered by matrix and operations; a cell is kept that no renumbering of its vertices
    turns into one with a smaller number.
    """
    matrices = np.array(full_matrices(vertices), dtype=bool)
    matrices = matrices[np.argsort(_numbers(matrices))]
    known = _numbers(matrices)
    interior = vertices - 2
    operations = np.indices((len(OPERATIONS),) * interior).reshape(interior, len(OPERATIONS) ** interior).T
    weights = len(OPERATIONS) ** np.arange(interior)[::-1]
    own = np.arange(len(known))[:, None] * len(operations) + np.arange(len(operations))
    is_first = np.ones(own.shape, dtype=bool)
    for order in itertools.permutations(range(1, vertices - 1)):
        moved = matrices[:, (0, *order, vertices - 1)][:, :, (0, *order, vertices - 1)]
        at = np.flatnonzero(~np.tril(moved).any(axis=(1, 2)))
        others = np.searchsorted(known, _numbers(moved[at]))[:, None] * len(operations)
        is_first[at] &= own[at] <= others + operations[:, np.array(order, dtype=np.int64) - 1] @ weights
    which, operation = np.nonzero(is_first)
    rows = np.zeros((len(which), len(EDGES) + len(INTERIOR)), dtype=np.int8)
    for i, j in itertools.combinations(range(vertices), 2):
        rows[:, _GENE[i, j if j < vertices - 1 else OUTPUT]] = matrices[which, i, j]
    rows[:, len(EDGES) : len(EDGES) + interior] = operations[operation]
    return rows


def _numbers(matrices: Bools) -> NDArray[np.int64]:
    """The entries of each matrix as the bits of one number."""
    size = matrices.shape[1] ** 2
    found: NDArray[np.int64] = matrices.reshape(-1, size) @ (1 << np.arange(size, dtype=np.int64))
    return found
