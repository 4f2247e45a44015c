"""Equal items of two sequences: as difflib finds them where that is quick, in order where it is not."""

from __future__ import annotations

import random
import time
from difflib import SequenceMatcher
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annette.evaluation.alignment import align
from annette.evaluation.difference import compare
from annette.evaluation.matching import Matcher
from annette.evaluation.sides import Side, SideKernel, Word

SEQUENCES = st.lists(st.sampled_from("abcd"), max_size=40)


@given(one=SEQUENCES, other=SEQUENCES)
def test_with_work_left_the_pairs_are_those_of_difflib(one: list[str], other: list[str]) -> None:
    blocks = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    assert Matcher().match(one, other) == [
        (block.a + at, block.b + at) for block in blocks for at in range(block.size)
    ]


@given(one=SEQUENCES, other=SEQUENCES, work=st.integers(0, 300))
def test_whatever_work_is_left_pairs_are_equal_and_ascend_on_both_sides(
    one: list[str], other: list[str], work: int
) -> None:
    matcher = Matcher(work_left=work)
    pairs = matcher.match(one, other)
    assert all(one[i] == other[j] for i, j in pairs)
    assert all(i < next_i and j < next_j for (i, j), (next_i, next_j) in pairwise(pairs))
    assert matcher.work_left >= 0
    assert bool(pairs) == bool(set(one) & set(other))


def test_work_is_shared_by_all_calls() -> None:
    matcher, items = Matcher(work_left=1000), ["a"] * 20
    for _ in range(5):
        assert matcher.match(items, items) == [(place, place) for place in range(20)]
    assert matcher.work_left == 1000 - 2 * 20 * 21


def side(seed: int, count: int, families: int, layers: int = 1) -> Side:
    rng = random.Random(seed)
    kernels = tuple(
        SideKernel(
            name=f"{seed}_{place}", family=f"f{rng.randrange(families)}", unit="u", latency_s=1e-6,
            bound=None, layers=tuple(f"{seed}_{place}_{at}" for at in range(layers)), words=(Word("f"),),
        )
        for place in range(count)
    )  # fmt: skip
    return Side(kind="measurement", network="n", place="d", latency_s=1.0, kernels=kernels)


@pytest.mark.parametrize(("count", "families"), [(2000, 2), (20_000, 101), (20_000, 20_000)])
def test_documents_of_many_kernels_are_compared_in_seconds(count: int, families: int) -> None:
    start = time.process_time()
    found = compare(side(0, count, families), side(1, count, families))
    assert sum(item.a_kernels for item in found.families) == count
    assert time.process_time() - start < 8  # a second on an idle machine; it was four, minutes, and ten


def test_kernels_of_very_many_layers_are_compared_in_seconds() -> None:
    one, other = side(0, 1, 1, layers=20_000), side(0, 2, 1, layers=20_000)
    start = time.process_time()
    assert align(one, other).way == "names"
    assert time.process_time() - start < 4
