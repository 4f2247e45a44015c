"""Seeded uniform sampling of the unique cells of NAS-Bench-101."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import MappingProxyType

from annette.errors import UsageError
from annette.zoo.nasbench101 import (
    INPUT,
    MAX_EDGES,
    OPERATION_CODES,
    OPERATIONS,
    OUTPUT,
    Matrix,
    Nasbench101Cell,
)

__all__ = ["UNIQUE_CELLS", "UNIQUE_CELLS_BY_VERTICES", "full_matrices", "iterate_cells", "sample_cells"]

UNIQUE_CELLS_BY_VERTICES: Mapping[int, int] = MappingProxyType(
    {2: 1, 3: 6, 4: 84, 5: 2_441, 6: 62_010, 7: 359_082}
)
"""Cells that differ after pruning and renumbering, by the number of their live vertices."""

UNIQUE_CELLS = 423_624
"""Their sum (section 3.1 of the paper)."""


def iterate_cells(*, seed: int) -> Iterator[Nasbench101Cell]:
    """Random cells, each pruned and different from all before, every cell of the data set being as likely.

    The number of vertices is drawn by how many unique cells have it, then a matrix without dead vertices,
    then operations; of the numberings of one cell only the smallest is accepted, so that cells with many
    numberings are not drawn more often. The generator ends with the search space.

    Examples
    --------
    >>> next(iterate_cells(seed=1)) == next(iterate_cells(seed=1))
    True
    """
    draw = random.Random(seed).random  # the one method whose sequence Python promises to keep
    seen: set[str] = set()
    while len(seen) < UNIQUE_CELLS:
        cell = _draw_cell(draw)
        if cell.fingerprint not in seen:
            seen.add(cell.fingerprint)
            yield cell


def _draw_cell(draw: Callable[[], float]) -> Nasbench101Cell:
    """A cell of the data set, each as likely; ``draw`` gives uniform numbers in [0, 1)."""
    rank, vertices = int(draw() * UNIQUE_CELLS), 2
    while rank >= UNIQUE_CELLS_BY_VERTICES[vertices]:
        rank -= UNIQUE_CELLS_BY_VERTICES[vertices]
        vertices += 1
    matrices = full_matrices(vertices)
    while True:
        matrix = matrices[int(draw() * len(matrices))]
        interior = tuple(OPERATIONS[int(draw() * len(OPERATIONS))] for _ in range(vertices - 2))
        ops = (INPUT, *interior, OUTPUT)
        if _is_smallest_numbering(matrix, ops):
            return Nasbench101Cell(matrix=matrix, ops=ops)


@cache
def full_matrices(vertices: int) -> tuple[Matrix, ...]:
    """All matrices of at most 9 edges in which every vertex is on a path from the input to the output."""
    found: list[Matrix] = []

    def extend(sources: list[int], edges: int) -> None:
        """``sources[j]`` has bit i set where vertex i feeds vertex j; every vertex has a source."""
        missing = vertices - len(sources)
        if edges + missing > MAX_EDGES:
            return
        if not missing:
            feeding = 0
            for bits in sources:
                feeding |= bits
            if feeding == (1 << (vertices - 1)) - 1:
                size = range(vertices)
                found.append(tuple(tuple(sources[j] >> i & 1 for j in size) for i in size))
            return
        for bits in range(1, 1 << len(sources)):
            extend([*sources, bits], edges + bits.bit_count())

    extend([0], 0)
    return tuple(found)


def _is_smallest_numbering(matrix: Matrix, ops: tuple[str, ...]) -> bool:
    """Whether no other topological numbering of this full cell comes before it in lexicographic order.

    A vertex is compared by its operation, then by the set of vertices that feed it.
    """
    last = len(ops) - 1
    sources = [sum(1 << i for i in range(j) if matrix[i][j]) for j in range(last + 1)]
    labels = [OPERATION_CODES[operation] for operation in ops]

    def renumbered(bits: int, order: list[int]) -> int:
        return sum(1 << position for position, vertex in enumerate(order) if bits >> vertex & 1)

    def none_smaller(order: list[int], placed: int) -> bool:
        position = len(order)
        if position == last:
            return renumbered(sources[last], order) >= sources[last]
        key = (labels[position], sources[position])
        for vertex in range(1, last):
            if placed >> vertex & 1 or sources[vertex] & ~placed:
                continue
            other = (labels[vertex], renumbered(sources[vertex], order))
            if other < key:
                return False
            if other == key and not none_smaller([*order, vertex], placed | 1 << vertex):
                return False
        return True

    return none_smaller([0], 1)


def sample_cells(count: int, *, seed: int) -> tuple[Nasbench101Cell, ...]:
    """The first ``count`` cells of `iterate_cells`: a longer sample begins with every shorter one.

    Raises
    ------
    UsageError
        If ``count`` is negative or beyond the 423,624 cells of the search space.

    Examples
    --------
    >>> len(sample_cells(3, seed=0))
    3
    """
    if not 0 <= count <= UNIQUE_CELLS:
        raise UsageError(f"nasbench101: {count} cells asked for, expected 0 to {UNIQUE_CELLS}")
    return tuple(itertools.islice(iterate_cells(seed=seed), count))
