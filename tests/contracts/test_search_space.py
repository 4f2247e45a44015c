"""What every search space promises, held against each of the registry and against one of a user's own."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Layer, Network
from annette.zoo.spaces.registry import list_spaces, open_space
from annette.zoo.spaces.space import ABSENT, UNUSED, Encodings, SearchSpace

OWN = "staged"
EXAMPLE = Path(__file__).resolve().parents[1] / "zoo" / "spaces" / "example_space.py"
WITH_PARAMETERS = ("nasbench201,dead_code=true", "nasbench201,dataset=imagenet16-120,batch=2")
SPECS = (*(entry.name for entry in list_spaces()), *WITH_PARAMETERS, OWN)
N_SAMPLES = 6


@cache
def opened(spec: str) -> SearchSpace:
    if spec != OWN:
        return open_space(spec)
    specification = importlib.util.spec_from_file_location("example_space", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    space: SearchSpace = module.StagedNetworks()
    return space


@cache
def sampled(spec: str) -> Encodings:
    return opened(spec).sample(N_SAMPLES, seed=5)


@pytest.fixture(params=SPECS)
def spec(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def space(spec: str) -> SearchSpace:
    return opened(spec)


@pytest.fixture
def rows(spec: str) -> Encodings:
    return sampled(spec)


# Encodings -------------------------------------------------------------------------------------------


def test_a_sample_is_valid_and_depends_on_its_seed_alone(space: SearchSpace, rows: Encodings) -> None:
    assert rows.shape == (N_SAMPLES, len(space.choices))
    assert rows.dtype == np.int64
    np.testing.assert_array_equal(space.check(rows), rows)
    np.testing.assert_array_equal(space.sample(N_SAMPLES, seed=5), rows)
    assert (space.sample(N_SAMPLES, seed=6) != rows).any()
    assert space.sample(0, seed=5).shape == (0, len(space.choices))
    with pytest.raises(UsageError, match="count -1, expected a whole number, 0 or more"):
        space.sample(-1, seed=5)


def test_what_is_printed_is_read_again(space: SearchSpace, rows: Encodings) -> None:
    texts = [space.format(row) for row in rows.tolist()]
    found = space.parse_many(texts)
    assert found.shape == rows.shape
    assert found.dtype == np.int64
    np.testing.assert_array_equal(space.canonical(found), space.canonical(rows))
    assert [space.parse(text) for text in texts] == [tuple(row) for row in found.tolist()]
    assert [space.format(row) for row in found.tolist()] == texts
    assert all("\n" not in text for text in texts)


def test_no_texts_are_no_rows(space: SearchSpace) -> None:
    assert space.parse_many([]).shape == (0, len(space.choices))
    assert space.check(space.parse_many([])).shape == (0, len(space.choices))


def test_neighbours_differ_in_one_gene_and_are_valid(space: SearchSpace, rows: Encodings) -> None:
    row = tuple(rows[0].tolist())
    neighbours = np.array(space.neighbours(row))
    assert len(neighbours)
    np.testing.assert_array_equal(space.check(neighbours), neighbours)
    assert ((neighbours != rows[0]).sum(axis=1) == 1).all()
    assert len(np.unique(neighbours, axis=0)) == len(neighbours)


def test_mutation_changes_as_many_genes_as_asked_and_repeats_with_its_seed(
    space: SearchSpace, rows: Encodings
) -> None:
    for genes in (1, 2):
        child = space.mutate(rows[0].tolist(), rng=np.random.default_rng(1), genes=genes)
        assert (space.check([child])[0] != rows[0]).sum() == genes
        assert space.mutate(rows[0].tolist(), rng=np.random.default_rng(1), genes=genes) == child
    for genes in (0, len(space.choices) + 1):
        with pytest.raises(UsageError, match="genes to change"):
            space.mutate(rows[0].tolist(), rng=np.random.default_rng(1), genes=genes)


def test_crossover_takes_each_gene_from_a_parent(space: SearchSpace, rows: Encodings) -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        child = space.check([space.crossover(rows[0].tolist(), rows[1].tolist(), rng=rng)])[0]
        assert ((child == rows[0]) | (child == rows[1])).all()


def test_wrong_encodings_are_refused_in_one_line(space: SearchSpace, rows: Encodings) -> None:
    too_large, negative = rows.copy(), rows.copy()
    too_large[2, -1] = space.choices[-1]
    negative[1, 0] = -1
    for wrong in (too_large, negative, rows[:, 1:], rows[0], rows.astype(float), rows[None]):
        with pytest.raises(UsageError, match=space.name.split(",")[0]) as caught:
            space.check(wrong)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="encoding 2 "):
        space.check(too_large)


@settings(max_examples=60, deadline=None)
@given(spec=st.sampled_from(SPECS), text=st.text(max_size=40), cut=st.integers(0, 200))
def test_any_text_is_an_architecture_or_refused_in_one_line(spec: str, text: str, cut: int) -> None:
    space = opened(spec)
    known = space.format(sampled(spec)[0].tolist())
    for wrong in (text, known[:cut], known[:cut] + text + known[cut:], known + ",1", ""):
        try:
            row = space.parse(wrong)
        except UsageError as error:
            message = str(error)
            assert message.startswith(space.name.split(",")[0]), message
            assert len(message.splitlines()) == 1, message
        else:
            assert space.check([row]).tolist() == [list(row)]


# Networks --------------------------------------------------------------------------------------------


def test_pieces_fit_each_other(space: SearchSpace, rows: Encodings) -> None:
    pieces = space.pieces(rows)
    positions = np.arange(len(pieces.kinds))
    used = pieces.sources != UNUSED
    present = pieces.codes != ABSENT
    assert (pieces.codes >= ABSENT).all()
    assert (pieces.sources >= UNUSED).all()
    assert (pieces.sources < positions[:, None]).all()
    assert (used[:, :, :-1] >= used[:, :, 1:]).all()  # the ports in use come first
    for row in range(len(rows)):
        read = pieces.sources[row][present[row]]
        assert present[row][read[read != UNUSED]].all()
        assert (used[row].any(axis=1) | ~present[row])[1:].all()  # only the first piece declares an input


def test_a_population_is_its_rows_one_by_one(space: SearchSpace, rows: Encodings) -> None:
    together = space.pieces(rows)
    for index in range(len(rows)):
        alone = space.pieces(rows[index : index + 1])
        assert alone.kinds == together.kinds
        np.testing.assert_array_equal(alone.codes[0], together.codes[index])
        np.testing.assert_array_equal(alone.sources[0], together.sources[index])
    empty = space.pieces(rows[:0])
    assert empty.codes.shape == (0, len(together.kinds))


def test_genes_without_effect_change_no_piece(space: SearchSpace, rows: Encodings) -> None:
    canonical = space.canonical(rows)
    np.testing.assert_array_equal(space.check(canonical), canonical)
    np.testing.assert_array_equal(space.canonical(canonical), canonical)
    made, again = space.pieces(rows), space.pieces(canonical)
    np.testing.assert_array_equal(made.codes, again.codes)
    np.testing.assert_array_equal(made.sources, again.sources)


def test_a_network_is_its_pieces_each_built_on_its_own(space: SearchSpace, rows: Encodings) -> None:
    for row in rows[:2]:
        network = space.network(row.tolist())
        assert network.layers
        assert len(network.inputs) == len(network.outputs) == 1
        assert [described(network, layer) for layer in network.layers] == separate_layers(space, row)
        assert space.network(row.tolist()) == network
        assert space.network(row.tolist(), name="other").id == network.id


def test_networks_are_named_after_the_space_unless_a_name_is_given(
    space: SearchSpace, rows: Encodings
) -> None:
    row = rows[0].tolist()
    assert space.network(row).name.startswith(space.name.split(",")[0])
    assert space.network(row, name="mine").name == "mine"


def test_a_fingerprint_is_a_line_that_the_row_alone_decides(space: SearchSpace, rows: Encodings) -> None:
    prints = [space.fingerprint(row) for row in rows.tolist()]
    assert prints == [space.fingerprint(row) for row in rows.copy()]
    assert all(len(text.splitlines()) == 1 for text in prints)
    assert len(set(prints)) > 1


def separate_layers(space: SearchSpace, row: Encodings) -> list[object]:
    """The layers of an architecture's pieces, each built from the shapes that it reads and nothing else."""
    pieces = space.pieces(row[None])
    shapes: dict[int, tuple[int, ...]] = {}
    found: list[object] = []
    for position, kind in enumerate(pieces.kinds):
        code = int(pieces.codes[0, position])
        if code == ABSENT:
            continue
        build = NetworkBuilder(kind)
        read = [source for source in pieces.sources[0, position].tolist() if source != UNUSED]
        inputs = tuple(build.input(f"port {port}", shapes[source]) for port, source in enumerate(read))
        output = space.build_piece(build, kind, code, inputs)
        shapes[position] = build.shape(output)
        network = build.finish(output)
        found += [described(network, layer) for layer in network.layers]
    return found


def described(network: Network, layer: Layer) -> object:
    """A layer without names."""
    tensors = [network.tensors[name] if name else None for name in (*layer.inputs, *layer.outputs)]
    shapes = [tensor and (tensor.shape, tensor.dtype, tensor.is_constant, tensor.value) for tensor in tensors]
    return layer.op_type, layer.domain, layer.attributes, shapes
