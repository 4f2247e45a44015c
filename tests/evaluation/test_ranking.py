"""Figures of choice: what perfect predictions reach, what order alone decides, ties, small cases by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.evaluation.ranking import (
    BUDGET_QUANTILES,
    choose_under_budget,
    front_excess,
    front_recall,
    latency_quality_front,
    latency_quartiles,
    rank_architectures,
    top_overlap,
)

NETWORKS = st.lists(
    st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(-4, 8)), min_size=1, max_size=40
)
"""Measured, predicted, quality: small numbers, many ties."""


def _columns(rows: list[tuple[int, int, int]]) -> tuple[NDArray[np.float64], ...]:
    return tuple(np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))


@settings(max_examples=25, deadline=None)
@given(rows=NETWORKS)
def test_perfect_predictions_find_everything(rows: list[tuple[int, int, int]]) -> None:
    measured, _, quality = _columns(rows)
    found = rank_architectures(measured, measured, quality)
    assert all(item.overlap == pytest.approx(1.0) for item in found.top)
    assert all(item.regret_fraction == item.excess_fraction == 0 for item in found.budgets)
    assert (found.front_recall, found.front_excess) == (1.0, 0.0)
    assert all(item.mape == 0 and item.spearman in (None, pytest.approx(1.0)) for item in found.quartiles)


@settings(max_examples=25, deadline=None)
@given(rows=NETWORKS)
def test_the_order_of_predictions_alone_decides_what_is_found(rows: list[tuple[int, int, int]]) -> None:
    measured, predicted, quality = _columns(rows)
    found = rank_architectures(measured, predicted, quality)
    other = rank_architectures(measured, np.exp(predicted) / 7, quality * 0.5)
    assert (found.top, found.front_recall, found.front_excess) == (
        other.top, other.front_recall, other.front_excess,
    )  # fmt: skip
    ranks = [(item.spearman, item.kendall_tau) for item in found.quartiles]
    assert ranks == [(item.spearman, item.kendall_tau) for item in other.quartiles]


@settings(max_examples=25, deadline=None)
@given(rows=NETWORKS, seed=st.integers(0, 9))
def test_the_order_of_the_networks_changes_nothing(rows: list[tuple[int, int, int]], seed: int) -> None:
    columns = _columns(rows)
    order = np.random.default_rng(seed).permutation(len(rows))
    found = rank_architectures(*columns)
    other = rank_architectures(*(column[order] for column in columns))
    assert [item.overlap for item in found.top] == pytest.approx([item.overlap for item in other.top])
    assert found.front_recall == pytest.approx(other.front_recall)
    assert found.front_excess == pytest.approx(other.front_excess)
    assert [item.networks for item in found.quartiles] == [item.networks for item in other.quartiles]
    best = [(item.best_quality, item.chosen_quality) for item in found.budgets]
    assert best == [(item.best_quality, item.chosen_quality) for item in other.budgets]


@settings(max_examples=25, deadline=None)
@given(rows=NETWORKS)
def test_figures_stay_in_their_ranges(rows: list[tuple[int, int, int]]) -> None:
    measured, predicted, quality = _columns(rows)
    found = rank_architectures(measured, predicted, quality)
    assert all(0 <= item.overlap <= 1 + 1e-12 for item in found.top)
    assert 0 <= found.front_recall <= 1
    assert found.front_excess >= 0
    assert len(found.budgets) == len(BUDGET_QUANTILES)
    for item in found.budgets:
        assert item.excess_fraction >= 0
        assert item.best_quality <= 0 if item.regret_fraction is None else item.regret_fraction >= 0
    assert sum(item.networks for item in found.quartiles) == len(rows)
    edges = [edge for item in found.quartiles for edge in (item.from_s, item.to_s)]
    assert edges == sorted(edges)


@settings(max_examples=25, deadline=None)
@given(rows=NETWORKS, k=st.integers(1, 40))
def test_overlap_does_not_tell_measured_from_predicted(rows: list[tuple[int, int, int]], k: int) -> None:
    measured, predicted, _ = _columns(rows)
    k = min(k, len(rows))
    assert top_overlap(measured, predicted, k) == pytest.approx(top_overlap(predicted, measured, k))
    assert top_overlap(measured, predicted, len(rows)) == pytest.approx(1.0)


@settings(max_examples=25, deadline=None)
@given(rows=NETWORKS)
def test_the_front_is_what_nothing_dominates(rows: list[tuple[int, int, int]]) -> None:
    latency, _, quality = _columns(rows)
    dominated = np.zeros(len(rows), dtype=bool)
    for i, j in product(range(len(rows)), repeat=2):
        if latency[j] <= latency[i] and quality[j] >= quality[i]:
            dominated[i] |= latency[j] < latency[i] or quality[j] > quality[i]
    assert latency_quality_front(latency, quality).tolist() == (~dominated).tolist()


def test_equal_values_at_the_border_share_what_is_left_of_k() -> None:
    assert top_overlap([1.0, 2.0, 2.0, 3.0], [1.0, 2.0, 2.0, 3.0], 2) == pytest.approx(1.0)
    assert top_overlap([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0], 2) == pytest.approx(0.5)
    assert top_overlap([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0], 2) == 0


def test_a_choice_may_lack_quality_or_exceed_the_budget() -> None:
    measured, quality = [1.0, 2.0, 3.0], [1.0, 4.0, 8.0]
    cautious = choose_under_budget(measured, [1.0, 2.6, 3.5], quality, 2.5)
    assert (cautious.chosen, cautious.regret_fraction, cautious.excess_fraction) == (0, 0.75, 0.0)
    bold = choose_under_budget(measured, [1.0, 2.0, 2.4], quality, 2.5)
    assert (bold.chosen, bold.regret_fraction) == (2, 0.0)
    assert bold.excess_fraction == pytest.approx(0.2)
    hopeless = choose_under_budget(measured, [9.0, 8.0, 7.0], quality, 2.5)
    assert hopeless.chosen == 2
    with pytest.raises(ModelError, match=r"expected at least 1\.0 s, the fastest network"):
        choose_under_budget(measured, measured, quality, 0.5)


@pytest.mark.parametrize(
    ("quality", "regret"),
    [([-1.0, 0.0], None), ([-2.0, -1.0], None), ([-1.0, 2.0], 1.5), ([0.0, 0.0], 0.0), ([-1.0, -1.0], 0.0)],
)
def test_what_is_lacking_is_a_part_only_of_a_quality_above_0(
    quality: list[float], regret: float | None
) -> None:
    choice = choose_under_budget([1.0, 2.0], [1.0, 3.0], quality, 2.0)
    assert choice.chosen == 0
    assert choice.regret_fraction == regret


@pytest.mark.parametrize("wrong", [0.0, -1.0])
def test_latencies_that_are_not_above_0_are_refused(wrong: float) -> None:
    good, bad = [1.0, 2.0], [1.0, wrong]
    with pytest.raises(ModelError, match=f"a measured latency of {wrong} s, expected all above 0"):
        rank_architectures(bad, good, good)
    with pytest.raises(ModelError, match=f"a predicted latency of {wrong} s, expected all above 0"):
        rank_architectures(good, bad, good)


def test_a_front_that_was_predicted_wrongly_is_slower_or_incomplete() -> None:
    measured, quality = [1.0, 2.0, 4.0, 4.1], [1.0, 2.0, 3.0, 3.0]
    swapped = [1.0, 2.0, 4.1, 4.0]
    assert front_recall(measured, swapped, quality) == pytest.approx(2 / 3)
    assert front_excess(measured, swapped, quality) == pytest.approx((4.1 / 4.0 - 1) / 3)


def test_equal_latencies_stand_in_one_quartile() -> None:
    found = latency_quartiles([1.0] * 6 + [2.0, 3.0], [1.0] * 8)
    assert [item.networks for item in found] == [6, 2]
    assert found[0].spearman is None


@pytest.mark.parametrize(
    ("measured", "predicted"), [([], []), ([1.0], [1.0, 2.0]), ([1.0], [float("nan")]), ([[1.0]], [[1.0]])]
)
def test_what_cannot_be_ranked_is_refused(measured: list[float], predicted: list[float]) -> None:
    with pytest.raises(ModelError, match="ranking"):
        top_overlap(measured, predicted, 1)


def test_more_than_there_are_cannot_be_the_fastest() -> None:
    with pytest.raises(ModelError, match="expected 1 to 2"):
        top_overlap([1.0, 2.0], [1.0, 2.0], 3)
