"""Random inputs: of the right shape and type, inside what they index, never denormal, the same for a seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.backends.feeds import index_limit, random_feeds
from annette.errors import MeasurementError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network


def token_network(vocabulary: int = 50, segments: int = 2) -> Network:
    """Token ids behind a cast and a view, segment ids, and a mask of whole numbers."""
    build = NetworkBuilder("tokens")
    ids = build.input("ids", (1, 7), dtype="int64")
    kinds = build.input("kinds", (1, 7), dtype="int64")
    mask = build.input("mask", (1, 7), dtype="int64")
    ids = build.add("Reshape", build.add("Cast", ids, to=6), build.int_constant((7,)))
    words = build.add("Gather", build.constant((vocabulary, 8)), ids, axis=0)
    parts = build.add("Gather", build.constant((8, segments)), kinds, axis=1)
    floats = build.add("Cast", mask, to=1)
    return build.finish(words, parts, floats)


@settings(deadline=None)
@given(vocabulary=st.integers(1, 3000), segments=st.integers(1, 5), seed=st.integers(0, 2**40))
def test_token_ids_lie_inside_the_table_that_they_index(vocabulary: int, segments: int, seed: int) -> None:
    network = token_network(vocabulary, segments)
    feeds = random_feeds(network, seed)
    assert index_limit(network, "ids") == vocabulary
    assert index_limit(network, "kinds") == segments
    assert index_limit(network, "mask") is None
    assert 0 <= feeds["ids"].min() <= feeds["ids"].max() < vocabulary
    assert 0 <= feeds["kinds"].min() <= feeds["kinds"].max() < segments
    assert set(np.unique(feeds["mask"])) <= {0, 1}
    assert feeds["mask"][..., 0].all()


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("float16", "float16"),
        ("bfloat16", "uint16"),
        ("float8", "uint8"),
        ("int64", "int64"),
        ("int32", "int32"),
        ("uint8", "uint8"),
        ("int8", "int8"),
        ("bool", "bool"),
    ],
)
def test_each_dtype_has_its_contents(dtype: str, kind: str) -> None:
    build = NetworkBuilder("one")
    network = build.finish(build.add("Identity", build.input("x", (3, 400), dtype=dtype)))
    first, again, other = (random_feeds(network, seed)["x"] for seed in (0, 0, 1))
    assert first.shape == (3, 400)
    assert first.dtype == np.dtype(kind)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    if kind.startswith("float"):
        assert np.isfinite(first).all()
        assert np.abs(first).min() >= 2.0**-10
    if dtype in ("uint8", "int8"):
        assert len(np.unique(first)) > 200


def test_roots_and_logarithms_are_fed_with_positive_numbers() -> None:
    build = NetworkBuilder("roots")
    x, y = build.input("x", (1, 1000)), build.input("y", (1, 1000))
    network = build.finish(build.add("Sqrt", x), build.add("Acos", y))
    feeds = random_feeds(network)
    assert feeds["x"].min() >= 0.5
    assert 0 < feeds["y"].min() <= feeds["y"].max() < 1


def test_indices_of_several_axes_lie_inside_the_smallest() -> None:
    build = NetworkBuilder("many")
    indices = build.input("indices", (5, 2), dtype="int64")
    network = build.finish(build.add("GatherND", build.constant((9, 4, 3)), indices))
    assert index_limit(network, "indices") == 4
    assert random_feeds(network)["indices"].max() < 4


def test_an_input_that_cannot_be_made_up_is_named() -> None:
    build = NetworkBuilder("words")
    network = build.finish(build.add("Identity", build.input("text", (1,), dtype="string")))
    with pytest.raises(MeasurementError, match="input 'text' is of dtype string, expected floats"):
        random_feeds(network)
