"""NAS-Bench-101: cells, channels, networks and sampling against the published data set."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from annette.errors import GraphError, UsageError
from annette.graph.work import network_work
from annette.zoo.nasbench101 import (
    CONV1X1,
    CONV3X3,
    INPUT,
    MAXPOOL3X3,
    OPERATIONS,
    OUTPUT,
    Matrix,
    Nasbench101Cell,
    nasbench101_network,
    vertex_channels,
)
from annette.zoo.nasbench101_sampling import (
    UNIQUE_CELLS,
    UNIQUE_CELLS_BY_VERTICES,
    full_matrices,
    iterate_cells,
    sample_cells,
)


def matrix_of(size: int, *edges: tuple[int, int]) -> Matrix:
    return tuple(tuple(int((i, j) in edges) for j in range(size)) for i in range(size))


def cell_of(interior: tuple[str, ...], *edges: tuple[int, int]) -> Nasbench101Cell:
    return Nasbench101Cell(matrix=matrix_of(len(interior) + 2, *edges), ops=(INPUT, *interior, OUTPUT))


CHAIN = ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6))
INCEPTION_LIKE = cell_of(
    (CONV1X1, CONV3X3, CONV3X3, CONV3X3, MAXPOOL3X3),
    (0, 1), (0, 2), (0, 3), (0, 5), (1, 6), (2, 6), (3, 4), (4, 6), (5, 6),
)  # fmt: skip


@st.composite
def cells(draw: st.DrawFn) -> Nasbench101Cell:
    size = draw(st.integers(2, 7))
    pairs = list(itertools.combinations(range(size), 2))
    edges = draw(st.lists(st.sampled_from(pairs), max_size=9, unique=True))
    interior = draw(st.tuples(*[st.sampled_from(OPERATIONS)] * (size - 2)))
    try:
        return cell_of(interior, *edges)
    except GraphError:
        assume(False)
        raise


# Published values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "params"),
    [
        # google-research/nasbench, README: the Inception-like cell; the API reports 2,694,282 for it.
        (INCEPTION_LIKE, 2_694_282),
        # The least and the most trainable parameters of the 423,624 published cells.
        (
            cell_of((MAXPOOL3X3,) * 4, (0, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 5), (3, 5), (4, 5)),
            227_274,
        ),
        (cell_of((CONV3X3,) * 5, *CHAIN, (0, 2), (0, 3), (0, 4)), 49_979_274),
    ],
    ids=["inception-like", "least", "most"],
)
def test_parameters_are_the_published_ones(cell: Nasbench101Cell, params: int) -> None:
    assert network_work(nasbench101_network(cell)).params == params


@pytest.mark.parametrize(
    ("edges", "in_channels", "out_channels", "expected"),
    [
        # google-research/nasbench, tests/model_builder_test.py
        (((0, 1), (1, 2), (2, 3)), 8, 16, (8, 16, 16, 16)),
        (((0, 1),), 5, 1, (5, 1)),
        (((0, 1), (0, 2), (1, 3), (2, 3), (3, 4)), 16, 8, (16, 8, 8, 8, 8)),
        (((0, 1), (0, 2), (1, 3), (2, 3)), 8, 15, (8, 8, 7, 15)),
        (((0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)), 8, 8, (8, 3, 3, 2, 8)),
        (((0, 1), (1, 2), (1, 3), (2, 4), (3, 4)), 8, 9, (8, 5, 5, 4, 9)),
        (((0, 1), (0, 3), (1, 2), (1, 4), (2, 3), (3, 4)), 8, 15, (8, 8, 7, 7, 15)),
    ],
)
def test_channels_are_split_as_in_the_published_examples(
    edges: tuple[tuple[int, int], ...], in_channels: int, out_channels: int, expected: tuple[int, ...]
) -> None:
    matrix = matrix_of(len(expected), *edges)
    assert vertex_channels(matrix, in_channels, out_channels) == expected


def test_there_are_as_many_unique_cells_as_published() -> None:
    assert sum(UNIQUE_CELLS_BY_VERTICES.values()) == UNIQUE_CELLS == 423_624
    for vertices in (2, 3, 4, 5):
        fingerprints = {
            Nasbench101Cell(matrix=matrix, ops=(INPUT, *interior, OUTPUT)).fingerprint
            for matrix in full_matrices(vertices)
            for interior in itertools.product(OPERATIONS, repeat=vertices - 2)
        }
        assert len(fingerprints) == UNIQUE_CELLS_BY_VERTICES[vertices]


# Properties ------------------------------------------------------------------------------------------


@given(cell=cells())
def test_pruning_twice_is_pruning_once_and_keeps_the_fingerprint(cell: Nasbench101Cell) -> None:
    pruned = cell.pruned
    assert pruned.pruned is pruned
    assert pruned.fingerprint == cell.fingerprint
    last = len(pruned.ops) - 1
    assert all(any(row) for row in pruned.matrix[:-1])
    assert all(any(row[column] for row in pruned.matrix) for column in range(1, last + 1))


@given(cell=cells(), seed=st.integers(0, 1000))
def test_the_fingerprint_ignores_the_numbering_of_vertices(cell: Nasbench101Cell, seed: int) -> None:
    order = random_topological_order(cell, random.Random(seed))
    matrix = tuple(tuple(cell.matrix[i][j] for j in order) for i in order)
    other = Nasbench101Cell(matrix=matrix, ops=tuple(cell.ops[i] for i in order))
    assert other.fingerprint == cell.fingerprint


def random_topological_order(cell: Nasbench101Cell, generator: random.Random) -> list[int]:
    last = len(cell.ops) - 1
    order, rest = [0], list(range(1, last))
    while rest:
        ready = [v for v in rest if not any(cell.matrix[w][v] for w in rest)]
        order.append(generator.choice(ready))
        rest.remove(order[-1])
    return [*order, last]


@given(cell=cells(), out_channels=st.integers(6, 600))
def test_channels_that_reach_the_output_add_up_and_never_grow(
    cell: Nasbench101Cell, out_channels: int
) -> None:
    matrix = cell.pruned.matrix
    last = len(matrix) - 1
    channels = vertex_channels(matrix, 7, out_channels)
    direct = [channels[v] for v in range(1, last) if matrix[v][last]]
    assert sum(direct) == out_channels or last == 1
    for v, w in itertools.combinations(range(1, last), 2):
        if matrix[v][w]:
            assert 0 <= channels[v] - channels[w] <= 1


@settings(deadline=None, max_examples=25)
@given(cell=cells(), channels=st.integers(6, 40))
def test_every_cell_makes_a_network_of_ten_classes(cell: Nasbench101Cell, channels: int) -> None:
    network = nasbench101_network(cell, channels=channels)
    assert network.tensors[network.outputs[0]].shape == (1, 10)
    counts = Counter(layer.op_type for layer in network.layers)
    interior = Counter(cell.pruned.ops)
    projections = sum(cell.pruned.matrix[0])
    assert counts["Conv"] == 1 + 9 * (interior[CONV1X1] + interior[CONV3X3] + projections)
    assert counts["MaxPool"] == 2 + 9 * interior[MAXPOOL3X3]
    assert counts["BatchNormalization"] == counts["Relu"] == counts["Conv"]


def test_stacks_halve_the_resolution_and_double_the_channels() -> None:
    network = nasbench101_network(cell_of((CONV3X3,), (0, 1), (1, 2)))
    shapes = [network.output_tensors(layer)[0].shape for layer in network.layers if layer.op_type == "Conv"]
    per_stack = [(1, 128, 32, 32), (1, 256, 16, 16), (1, 512, 8, 8)]
    assert shapes == [per_stack[0], *(shape for shape in per_stack for _ in range(6))]


def test_surplus_channels_are_cut_by_a_slice() -> None:
    cell = cell_of((CONV3X3, CONV1X1, CONV1X1), (0, 1), (1, 2), (1, 3), (2, 4), (3, 4))
    network = nasbench101_network(cell, channels=129)
    cut = [layer for layer in network.layers if layer.op_type == "Slice"]
    assert [network.output_tensors(layer)[0].shape[1] for layer in cut] == [64, 64, 64]


def test_an_edge_from_input_to_output_is_projected_and_added() -> None:
    network = nasbench101_network(cell_of((MAXPOOL3X3,), (0, 1), (1, 2), (0, 2)))
    assert Counter(layer.op_type for layer in network.layers)["Add"] == 9


@pytest.mark.parametrize(
    ("matrix", "ops", "message"),
    [
        (((0, 1), (0, 0), (0, 0)), (INPUT, CONV1X1, OUTPUT), "rows"),
        (((0,),), (INPUT,), "vertices"),
        (((0, 0), (1, 0)), (INPUT, OUTPUT), "upper triangular"),
        (((0, 2), (0, 0)), (INPUT, OUTPUT), "neither 0 nor 1"),
        (((0, 0), (0, 0)), (INPUT, OUTPUT), "no path"),
        (((0, 1), (0, 0)), (INPUT, CONV1X1), "first and last"),
        (((0, 1), (0, 0)), (INPUT, CONV1X1, OUTPUT), "3 operations for 2"),
        (matrix_of(3, (0, 1), (1, 2)), (INPUT, "conv5x5", OUTPUT), "'conv5x5'"),
        (
            matrix_of(7, *CHAIN, (0, 2), (0, 3), (0, 4), (0, 5)),
            (INPUT, *[CONV1X1] * 5, OUTPUT),
            "10 edges",
        ),
        (matrix_of(8, (0, 7)), (INPUT, *[CONV1X1] * 6, OUTPUT), "8 vertices"),
    ],
)
def test_a_wrong_cell_is_refused(matrix: Matrix, ops: tuple[str, ...], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        Nasbench101Cell(matrix=matrix, ops=ops)


def test_edges_of_dead_vertices_do_not_count() -> None:
    edges = [(0, 6), *itertools.combinations(range(1, 6), 2)]
    cell = Nasbench101Cell(matrix=matrix_of(7, *edges), ops=(INPUT, *[CONV1X1] * 5, OUTPUT))
    assert cell.edges == 11
    assert cell.pruned.ops == (INPUT, OUTPUT)


def test_too_few_channels_are_refused() -> None:
    with pytest.raises(GraphError, match="at least 6"):
        nasbench101_network(INCEPTION_LIKE, channels=5)


# Sampling --------------------------------------------------------------------------------------------


def test_samples_are_unique_repeatable_and_nested() -> None:
    sample = sample_cells(200, seed=7)
    assert len({cell.fingerprint for cell in sample}) == 200
    assert sample_cells(50, seed=7) == sample[:50]
    assert sample_cells(50, seed=8) != sample[:50]
    assert all(cell.pruned is cell for cell in sample)


def test_cells_are_drawn_as_often_as_the_data_set_has_them() -> None:
    sizes = Counter(len(cell.ops) for cell in sample_cells(1000, seed=3))
    assert sizes[7] / 1000 == pytest.approx(UNIQUE_CELLS_BY_VERTICES[7] / UNIQUE_CELLS, abs=0.05)


def test_within_a_size_every_unique_cell_is_equally_likely() -> None:
    drawn: Counter[str] = Counter()
    for seed in range(400):
        drawn.update(cell.fingerprint for cell in itertools.islice(iterate_cells(seed=seed), 1))
    assert max(drawn.values()) <= 3


@pytest.mark.parametrize("count", [-1, UNIQUE_CELLS + 1])
def test_an_impossible_sample_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match="cells asked for"):
        sample_cells(count, seed=0)
