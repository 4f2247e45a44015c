"""NAS-Bench-101 as a space: rows against cells, and networks from pieces against `nasbench101_network`."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import GraphError, UsageError
from annette.zoo.nasbench101 import (
    CONV1X1,
    CONV3X3,
    INPUT,
    MAXPOOL3X3,
    OPERATIONS,
    OUTPUT,
    Nasbench101Cell,
    nasbench101_network,
    vertex_channels,
)
from annette.zoo.nasbench101_sampling import UNIQUE_CELLS, UNIQUE_CELLS_BY_VERTICES, sample_cells
from annette.zoo.spaces.nasbench101 import Nasbench101
from annette.zoo.spaces.nasbench101_cells import EDGES, INTERIOR, edge_columns, pack, unique_cells
from annette.zoo.spaces.nasbench101_modules import MODULE_KINDS, channel_arrays
from annette.zoo.spaces.space import ABSENT, Encodings

SPACE = Nasbench101()
N_EDGES = len(EDGES)


@st.composite
def any_rows(draw: st.DrawFn) -> Encodings:
    """Rows of choices, most of them sparse enough to be cells."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    edges = rng.random((40, N_EDGES)) < draw(st.floats(0.1, 0.7))
    return np.hstack([edges, rng.integers(0, 3, (40, 5))]).astype(np.int64)


def as_cell(row: list[int]) -> Nasbench101Cell:
    edges = dict(zip(EDGES, row, strict=False))
    matrix = tuple(tuple(edges.get((i, j), 0) for j in range(7)) for i in range(7))
    return Nasbench101Cell(matrix=matrix, ops=(INPUT, *(OPERATIONS[gene] for gene in row[N_EDGES:]), OUTPUT))


# Rows and cells --------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(rows=any_rows())
def test_a_row_is_valid_where_it_makes_a_cell(rows: Encodings) -> None:
    for row, is_valid in zip(rows.tolist(), SPACE.valid_mask(rows).tolist(), strict=True):
        try:
            cell = as_cell(row)
        except GraphError:
            assert not is_valid
        else:
            assert is_valid
            assert SPACE.cell(row) == cell
            assert SPACE.from_cell(cell) == tuple(row)


@settings(deadline=None, max_examples=30)
@given(rows=any_rows())
def test_the_canonical_row_is_the_pruned_cell(rows: Encodings) -> None:
    rows = rows[SPACE.valid_mask(rows)]
    for row, packed in zip(rows.tolist(), SPACE.canonical(rows).tolist(), strict=True):
        assert SPACE.from_cell(as_cell(row).pruned) == tuple(packed)
        assert SPACE.fingerprint(row) == SPACE.fingerprint(packed) == as_cell(row).fingerprint


def test_cells_of_fewer_vertices_keep_their_meaning() -> None:
    for cell in sample_cells(60, seed=11):
        row = SPACE.from_cell(cell)
        assert SPACE.cell(row).pruned == cell
        np.testing.assert_array_equal(SPACE.canonical(np.array([row])), [row])


def test_matrix_and_operations_are_read_as_the_benchmark_prints_them() -> None:
    """The matrix and operations of the README of google-research/nasbench (the Inception-like cell)."""
    matrix = (
        "[[0, 1, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0, 0], "
        "[0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0]]"
    )
    operations = [INPUT, CONV1X1, CONV3X3, CONV3X3, CONV3X3, MAXPOOL3X3, OUTPUT]
    row = SPACE.parse(f"{matrix}; {operations}")
    assert SPACE.format(row) == matrix.replace(" ", "") + ";" + ",".join(operations)
    assert SPACE.parse(SPACE.format(row)) == row


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "expected matrix and operations"),
        ("[[0,1],[0,0]]", "expected matrix and operations"),
        ("[[0,1],[0,0];input,output", "expected matrix and operations"),
        ("[[0,true],[0,0]];input,output", "expected matrix and operations"),
        ("[0,1];input,output", "expected matrix and operations"),
        ("[" * 100_000 + ";input,output", "expected matrix and operations"),
        ("[[0,0],[0,0]];input,output", "no path"),
        ("[[0,1],[0,0]];input,conv3x3-bn-relu,output", "3 operations for 2"),
        ("[[0,1,0],[0,0,1],[0,0,0]];input,conv7x7,output", "'conv7x7'"),
    ],
)
def test_a_wrong_cell_says_what_is_wrong(text: str, fragment: str) -> None:
    with pytest.raises(UsageError) as caught:
        SPACE.parse(text)
    message = str(caught.value)
    assert message.startswith("nasbench101: ")
    assert fragment in message
    assert len(message) < 300


# Unique cells ----------------------------------------------------------------------------------------


def test_there_are_as_many_unique_cells_as_published() -> None:
    cells = unique_cells()
    assert len(cells) == UNIQUE_CELLS
    rows = cells.astype(np.int64)
    numbers = rows[:, :N_EDGES] @ (1 << np.arange(N_EDGES)) * 3**5 + rows[:, N_EDGES:] @ 3 ** np.arange(5)
    assert len(np.unique(numbers)) == UNIQUE_CELLS
    assert SPACE.valid_mask(rows).all()
    np.testing.assert_array_equal(pack(rows), rows)
    columns = edge_columns(rows)
    live = sum(np.any([columns[v, w] for w in range(v + 1, 7)], axis=0) for v in INTERIOR)
    assert Counter((live + 2).tolist()) == UNIQUE_CELLS_BY_VERTICES


def test_unique_cells_have_fingerprints_of_their_own() -> None:
    rows = unique_cells()
    few = [*rows[:92].tolist(), *rows[::499].tolist()]
    prints = {SPACE.fingerprint(row) for row in few}
    assert len(prints) == len({tuple(row) for row in few})


def test_samples_begin_with_shorter_ones_and_follow_the_sizes_of_cells() -> None:
    rows = SPACE.sample(20_000, seed=2)
    np.testing.assert_array_equal(SPACE.sample(7, seed=2), rows[:7])
    columns = edge_columns(rows)
    live = sum(np.any([columns[v, w] for w in range(v + 1, 7)], axis=0) for v in INTERIOR) + 2
    assert np.mean(live == 7) == pytest.approx(UNIQUE_CELLS_BY_VERTICES[7] / UNIQUE_CELLS, abs=0.01)
    assert np.mean(live == 6) == pytest.approx(UNIQUE_CELLS_BY_VERTICES[6] / UNIQUE_CELLS, abs=0.01)


def test_enumeration_gives_each_unique_cell_small_ones_first() -> None:
    first = [row for row, _ in zip(SPACE.enumerate(), range(8), strict=False)]
    assert [len(SPACE.cell(row).pruned.ops) for row in first] == [2, 3, 3, 3, 3, 3, 3, 4]
    assert all(isinstance(gene, int) for gene in first[0])


# Networks --------------------------------------------------------------------------------------------


def test_networks_from_pieces_are_those_of_the_plain_program() -> None:
    """Layer for layer, names and all."""
    few_vertices = unique_cells()[:2500:125].astype(np.int64)
    for row in (*SPACE.sample(60, seed=1).tolist(), *few_vertices.tolist()):
        cell = SPACE.cell(row)
        assert SPACE.network(SPACE.from_cell(cell)) == nasbench101_network(cell)


def test_dead_vertices_and_the_numbering_of_rows_change_no_layer() -> None:
    for row in SPACE.sample(10, seed=3).tolist():
        row[N_EDGES - 1] = 0  # without 5->6 vertex 5, and maybe others, are dead
        if SPACE.valid_mask(np.array([row]))[0]:
            assert SPACE.network(row) == nasbench101_network(SPACE.cell(row))


@settings(deadline=None, max_examples=30)
@given(rows=any_rows(), channels=st.integers(6, 600))
def test_channels_are_those_of_the_plain_program(rows: Encodings, channels: int) -> None:
    rows = SPACE.canonical(rows[SPACE.valid_mask(rows)])
    widths = channel_arrays(edge_columns(rows), channels)
    for index, row in enumerate(rows.tolist()):
        expected = vertex_channels(as_cell(row).pruned.matrix, 1, channels)[1:-1]
        found = [int(widths[vertex][index]) for vertex in INTERIOR]
        assert found == [*expected, *[0] * (5 - len(expected))]


def test_as_many_steps_are_there_as_the_cells_ask_for() -> None:
    rows = SPACE.sample(600, seed=8)
    pieces = SPACE.pieces(rows)
    present = pieces.codes != ABSENT
    cells = [SPACE.cell(row).pruned for row in rows.tolist()]
    for kind, expected in (
        ("project", [sum(cell.matrix[0]) for cell in cells]),
        ("vertex", [len(cell.ops) - 2 for cell in cells]),
        ("concat", [int(sum(row[-1] for row in cell.matrix[1:]) > 1) for cell in cells]),
    ):
        at = [other == kind for other in pieces.kinds]
        np.testing.assert_array_equal(present[:, at].sum(axis=1), 9 * np.array(expected))
    assert pieces.kinds.count("pool") == 2
    assert len(pieces.kinds) == 9 * len(MODULE_KINDS) + 4


def test_a_network_is_named_after_its_cell_and_takes_a_batch() -> None:
    cell = Nasbench101Cell(matrix=((0, 1, 0), (0, 0, 1), (0, 0, 0)), ops=(INPUT, CONV3X3, OUTPUT))
    space = Nasbench101(batch=4)
    assert space.network(space.from_cell(cell)) == nasbench101_network(cell, batch=4)
    assert space.network(space.from_cell(cell), name="mine") == nasbench101_network(
        cell, batch=4, name="mine"
    )
