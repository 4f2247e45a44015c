"""Pareto fronts against the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annette.errors import UsageError
from annette.explore.pareto import dominated_counts, pareto_front

TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 5), min_size=width, max_size=width), min_size=1, max_size=30
    )
)


def dominates(one: list[int], other: list[int]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


@given(rows=TABLES)
def test_the_front_is_what_nothing_dominates(rows: list[list[int]]) -> None:
    expected = [not any(dominates(other, row) for other in rows) for row in rows]
    assert pareto_front(rows).tolist() == expected
    assert any(expected)
    assert dominated_counts(rows).tolist() == [sum(dominates(row, other) for other in rows) for row in rows]


@given(rows=TABLES, seed=st.integers(0, 100))
def test_the_order_of_the_points_does_not_matter(rows: list[list[int]], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(rows))
    assert pareto_front(np.array(rows)[order]).tolist() == pareto_front(rows)[order].tolist()


def test_what_is_no_number_is_on_no_front_and_keeps_nothing_off_it() -> None:
    rows = [[math.nan, 0.0], [1.0, 1.0], [0.0, math.nan]]
    assert pareto_front(rows).tolist() == [False, True, False]
    assert dominated_counts(rows).tolist() == [0, 0, 0]


def test_no_points_have_no_front() -> None:
    assert pareto_front(np.empty((0, 2))).tolist() == []
    with pytest.raises(UsageError, match="costs of 1 dimensions"):
        pareto_front([1.0, 2.0])
