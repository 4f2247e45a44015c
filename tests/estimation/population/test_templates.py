"""Templates of pieces, and the slots that pieces of different structures share."""

from __future__ import annotations

import random

import numpy as np
import pytest

from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.layers import assemble
from annette.estimation.population.templates import Templates
from annette.graph.builder import NetworkBuilder
from annette.zoo.spaces.built_pieces import distinct_places
from annette.zoo.spaces.registry import open_space
from annette.zoo.spaces.space import UNUSED, Encodings, Pieces, SearchSpace


class _Chain(SearchSpace):
    """Pieces of random chains of operators, by a number each."""

    name = "chain"
    choices = (40, 40)

    def pieces(self, encodings: Encodings) -> Pieces:
        codes = np.concatenate([np.zeros((len(encodings), 1), dtype=np.int64), encodings], axis=1)
        sources = np.broadcast_to(np.array([UNUSED, 0, 1])[None, :, None], (len(codes), 3, 1)).copy()
        return Pieces(kinds=("input", "chain", "chain"), codes=codes, sources=sources)

    def build_piece(self, build: NetworkBuilder, kind: str, code: int, inputs: tuple[str, ...]) -> str:
        if kind == "input":
            return build.input("image", (1, 8, 16, 16))
        rng, x = random.Random(code), inputs[0]
        for _ in range(rng.randint(0, 6)):
            x = rng.choice((build.relu, build.batch_norm, lambda y: build.add("Add", y, y)))(x)
        return x


class _TwoInputs(_Chain):
    def build_piece(self, build: NetworkBuilder, kind: str, code: int, inputs: tuple[str, ...]) -> str:
        if kind == "input":
            return build.input("image", (1, 8, 16, 16))
        return build.add("Add", build.input("other", (1, 8, 16, 16)), *inputs)


def test_slots_hold_the_layers_of_each_network_in_their_order() -> None:
    space = _Chain()
    rows = space.sample(200, seed=1)
    layers = assemble(space.pieces(rows), Templates(space))
    for place, row in enumerate(rows.tolist()):
        held = [slot.operator for slot in layers.slots if place in slot.rows]
        assert held == [layer.op_type for layer in space.network(row).layers]


def test_structures_share_slots() -> None:
    space = _Chain()
    layers = assemble(space.pieces(space.sample(500, seed=2)), Templates(space))
    longest = max(len(space.network(row).layers) for row in space.sample(500, seed=2).tolist())
    assert longest <= len(layers.slots) < 4 * longest


def test_a_second_input_is_left_to_networks() -> None:
    space = _TwoInputs()
    with pytest.raises(NotVectorisedError, match="input"):
        assemble(space.pieces(space.sample(3, seed=0)), Templates(space))


def test_equal_pieces_are_built_once() -> None:
    space = open_space("nasbench201")
    templates = Templates(space)
    assemble(space.pieces(space.sample(50, seed=1)), templates)
    known = len(templates.items)
    assemble(space.pieces(space.sample(50, seed=1)), templates)
    assert len(templates.items) == known < 40


@pytest.mark.parametrize("size", [1, 7, 3000])
def test_distinct_rows_are_found_whatever_their_numbers(size: int) -> None:
    rng = np.random.default_rng(size)
    for high in (1, 3, 10**6, 2**40):
        keys = [rng.integers(-1, high, size=size) for _ in range(4)]
        first, places = distinct_places(keys)
        table = np.stack(keys, axis=1)
        assert (table[first][places] == table).all()
        assert len(first) == len(np.unique(table, axis=0))
