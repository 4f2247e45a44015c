"""Figures of merit against closed forms and scipy, ties included."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import ModelError
from annette.evaluation.metrics import (
    accuracy,
    average_ranks,
    bias,
    kendall_tau,
    mape,
    spearman,
    within_fraction,
)
from annette.graph.mapping import Kernel, Mapping
from annette.models.mapping_model import exact_kernels

VALUES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=3, max_size=30)
"""Small integers: many ties."""


def _split(pairs: list[tuple[int, int]]) -> tuple[list[float], list[float]]:
    return [float(first) for first, _ in pairs], [float(second) for _, second in pairs]


@settings(max_examples=60, deadline=None)
@given(pairs=VALUES)
def test_rank_correlations_agree_with_scipy(pairs: list[tuple[int, int]]) -> None:
    first, second = _split(pairs)
    if len(set(first)) < 2 or len(set(second)) < 2:
        assert spearman(first, second) is None
        assert kendall_tau(first, second) is None
        return
    assert spearman(first, second) == pytest.approx(scipy.stats.spearmanr(first, second).statistic, abs=1e-12)
    assert kendall_tau(first, second) == pytest.approx(
        scipy.stats.kendalltau(first, second).statistic, abs=1e-12
    )


@given(values=st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_ranks_agree_with_scipy(values: list[int]) -> None:
    assert average_ranks(values).tolist() == scipy.stats.rankdata(values).tolist()


@given(pairs=VALUES, factor=st.floats(0.1, 10))
def test_a_common_factor_is_bias_and_leaves_ranks(pairs: list[tuple[int, int]], factor: float) -> None:
    measured, _ = _split(pairs)
    predicted = [factor * value for value in measured]
    assert bias(measured, predicted) == pytest.approx(factor - 1, abs=1e-9)
    assert mape(measured, predicted) == pytest.approx(abs(factor - 1), abs=1e-9)
    if len(set(measured)) > 1:
        assert spearman(measured, predicted) == pytest.approx(1.0)


@given(pairs=VALUES)
def test_bias_never_exceeds_mape(pairs: list[tuple[int, int]]) -> None:
    measured, predicted = _split(pairs)
    assert abs(bias(measured, predicted)) <= mape(measured, predicted) + 1e-12
    assert 0 <= within_fraction(measured, predicted, 0.1) <= 1


def test_ten_percent_exactly_counts_as_within() -> None:
    assert within_fraction([1.0, 1.0, 1.0, 1.0], [1.1, 0.9, 1.1001, 1.0], 0.1) == 0.75


def test_reversed_order_is_minus_one() -> None:
    figures = accuracy([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    assert (figures.spearman, figures.kendall_tau) == (-1.0, -1.0)
    assert set(figures.to_dict()) == {"mape", "bias", "spearman", "kendall_tau", "within_10_percent"}


@pytest.mark.parametrize(
    ("measured", "predicted"),
    [([], []), ([1.0], [1.0, 2.0]), ([1.0], [float("nan")]), ([0.0], [1.0]), ([[1.0]], [[1.0]])],
)
def test_what_has_no_error_is_refused(measured: list[float], predicted: list[float]) -> None:
    with pytest.raises(ModelError):
        mape(np.array(measured), np.array(predicted))


def test_a_kernel_counts_only_with_the_same_layers_on_the_same_unit() -> None:
    def kernel(*layers: str, unit: str = "array") -> Kernel:
        return Kernel(layers=layers, primary=layers[0], unit=unit)

    measured = Mapping(kernels=(kernel("a", "b"), kernel("c"), kernel("d"), kernel("e", "f")))
    predicted = Mapping(kernels=(kernel("b", "a"), kernel("c", unit="host"), kernel("d", "e"), kernel("f")))
    assert exact_kernels(measured, predicted) == (True, False, False, False)
    assert exact_kernels(measured, measured) == (True,) * 4
    assert exact_kernels(Mapping(kernels=()), measured) == ()
