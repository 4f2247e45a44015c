"""What the base of all search spaces does by itself, on small spaces made for it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.zoo.spaces.space import ABSENT, UNUSED, Encodings, Pieces, SearchSpace, chain_sources


class Ladders(SearchSpace):
    """Up to three convolutions in a row; valid where widths do not fall."""

    name = "ladders"
    choices = (3, 3, 1, 3)

    def valid_mask(self, encodings: Encodings) -> np.ndarray:
        """Widths that do not fall."""
        widths = encodings[:, [0, 1, 3]]
        return (np.diff(widths, axis=1) >= 0).all(axis=1)

    def pieces(self, encodings: Encodings) -> Pieces:
        """An input and three convolutions, of which those of width 0 are left out."""
        widths = encodings[:, [0, 1, 3]] - 1
        codes = np.hstack([np.zeros((len(encodings), 1), dtype=np.int64), widths])
        return Pieces(kinds=("input", *("conv",) * 3), codes=codes, sources=chain_sources(codes))

    def build_piece(self, build: NetworkBuilder, kind: str, code: int, inputs: tuple[str, ...]) -> str:
        """The layers of one piece."""
        if kind == "input":
            return build.relu(build.input("image", (1, 3, 4, 4)))
        return build.conv(inputs[0], code + 1)


class Nothing(Ladders):
    """A space without architectures."""

    name = "nothing"

    def valid_mask(self, encodings: Encodings) -> np.ndarray:
        """None."""
        return np.zeros(len(encodings), dtype=bool)


class Fixed(Ladders):
    """A space of one row."""

    name = "fixed"
    choices = (1, 1, 1, 1)


SPACE = Ladders()
VALID = [
    row for row in itertools.product(range(3), range(3), range(1), range(3)) if row[0] <= row[1] <= row[3]
]


@given(codes=st.lists(st.lists(st.integers(-1, 3), min_size=4, max_size=4), min_size=1, max_size=6))
def test_a_chain_reads_what_stands_before_it(codes: list[list[int]]) -> None:
    sources = chain_sources(np.array(codes))
    for row, found in zip(codes, sources[:, :, 0].tolist(), strict=True):
        before = UNUSED
        for position, code in enumerate(row):
            assert found[position] == before
            before = position if code != ABSENT else before


def test_enumeration_gives_every_valid_row_once_in_order() -> None:
    assert list(SPACE.enumerate()) == VALID
    assert SPACE.size == 27


def test_a_sample_is_drawn_from_valid_rows_alone_and_reaches_all_of_them() -> None:
    found = {tuple(row) for row in SPACE.sample(500, seed=1).tolist()}
    assert found == set(VALID)
    assert len(SPACE.sample(10_000, seed=1)) == 10_000


def test_a_space_without_architectures_says_so() -> None:
    with pytest.raises(UsageError, match="nothing: no architecture among"):
        Nothing().sample(1, seed=0)
    with pytest.raises(UsageError, match=r"encoding 0, .* is no architecture"):
        Nothing().check([[0, 0, 0, 0]])


@given(row=st.sampled_from(VALID), seed=st.integers(0, 99))
def test_mutants_are_neighbours(row: tuple[int, ...], seed: int) -> None:
    neighbours = SPACE.neighbours(row)
    expected = [other for other in VALID if sum(a != b for a, b in zip(row, other, strict=True)) == 1]
    assert sorted(neighbours) == sorted(expected)
    assert SPACE.mutate(row, rng=np.random.default_rng(seed)) in neighbours


@given(first=st.sampled_from(VALID), second=st.sampled_from(VALID), seed=st.integers(0, 99))
def test_children_are_valid_and_mixed_from_both(
    first: tuple[int, ...], second: tuple[int, ...], seed: int
) -> None:
    child = SPACE.crossover(first, second, rng=np.random.default_rng(seed))
    assert child in VALID
    assert all(gene in pair for gene, pair in zip(child, zip(first, second, strict=True), strict=True))
    assert SPACE.crossover(first, first, rng=np.random.default_rng(seed)) == first


def test_a_space_of_one_row_has_no_neighbours() -> None:
    space = Fixed()
    assert space.neighbours((0, 0, 0, 0)) == ()
    with pytest.raises(UsageError, match="expected 1 to 0"):
        space.mutate((0, 0, 0, 0), rng=np.random.default_rng(0))


def test_a_network_without_a_piece_in_the_middle_is_wired_past_it() -> None:
    network = SPACE.network((0, 1, 0, 2))
    assert [layer.op_type for layer in network.layers] == ["Relu", "Conv", "Conv"]
    assert network.name == "ladders:0,1,0,2"
    assert network.tensors[network.outputs[0]].shape == (1, 2, 4, 4)
    assert [layer.op_type for layer in SPACE.network((0, 0, 0, 0)).layers] == ["Relu"]


def test_texts_are_numbers_with_commas_unless_a_space_says_otherwise() -> None:
    assert SPACE.parse_many(["0,1,0,2", " 0, 0, 0, 0"]).tolist() == [[0, 1, 0, 2], [0, 0, 0, 0]]
    assert SPACE.parse_many(text for text in ("0,1,0,2",)).tolist() == [[0, 1, 0, 2]]
    assert SPACE.fingerprint((0, 1, 0, 2)) == SPACE.format((0, 1, 0, 2)) == "0,1,0,2"


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("0,1,0", "expected (n, 4)"),
        ("0,1,0,x", "4 numbers with commas"),
        ("0,1,0,3", "3 for gene 3, expected 0 to 2"),
        ("2,1,0,0", "[2, 1, 0, 0], is no architecture"),
    ],
)
def test_wrong_texts_say_what_is_wrong(text: str, fragment: str) -> None:
    with pytest.raises(UsageError) as caught:
        SPACE.parse(text)
    assert fragment in str(caught.value)


def test_parts_of_pieces_that_do_not_fit_are_refused() -> None:
    codes = np.zeros((2, 3), dtype=np.int64)
    for kinds, sources in ((("a", "b"), codes[:, :, None]), (("a", "b", "c"), codes)):
        with pytest.raises(UsageError, match="pieces: codes of shape"):
            Pieces(kinds=kinds, codes=codes, sources=sources)


def test_pieces_cannot_be_changed_afterwards() -> None:
    pieces = SPACE.pieces(np.array(VALID))
    with pytest.raises(ValueError, match="read-only"):
        pieces.codes[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        pieces.sources[0, 0, 0] = 1


class Careless(Ladders):
    """Pieces as a first try may give them."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def pieces(self, encodings: Encodings) -> Pieces:
        """The pieces of ladders with one mistake."""
        if self.fault == "type":
            return None  # type: ignore[return-value]
        right = super().pieces(encodings)
        codes, sources = right.codes.copy(), right.sources.copy()
        if self.fault == "rows":
            codes, sources = codes[:1], sources[:1]
        elif self.fault == "forward":
            sources[:, 1, 0] = 2
        elif self.fault == "floats":
            codes = codes.astype(float)  # type: ignore[assignment]
        elif self.fault == "negative":
            codes[:, 1] = -7
        return Pieces(kinds=right.kinds, codes=codes, sources=sources)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("type", r"pieces\(\) gave NoneType, expected Pieces of 1 networks"),
        ("forward", "position 1 reads position 2, expected earlier positions"),
        ("floats", "codes of float64, expected whole numbers"),
        ("negative", "a number below -1"),
    ],
)
def test_mistakes_of_ones_own_space_are_told(fault: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Careless(fault).network((1, 1, 0, 1))


def test_pieces_of_too_few_networks_are_told() -> None:
    with pytest.raises(UsageError, match="gave 1 networks, expected Pieces of 3"):
        Careless("rows").checked_pieces(np.array([[1, 1, 0, 1]] * 3))
