"""The NumPy forest answers like XGBoost to the last bit, and refuses damaged files."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import ModelError
from annette.models.boosting import BoostingGrid, Configuration, fit_boosted, group_folds
from annette.models.forest import read_forest
from annette.models.ubjson import read_ubjson

NAMES = tuple(f"feature_{index}" for index in range(5))


def booster(depth: int, rounds: int) -> xgboost.Booster:
    rng = np.random.default_rng(depth)
    matrix = rng.normal(size=(200, len(NAMES))).astype(np.float32)
    target = matrix[:, 0] * matrix[:, 1] + np.sin(3 * matrix[:, 2]) - 2.0
    data = xgboost.DMatrix(matrix, label=target, feature_names=list(NAMES), nthread=1)
    return xgboost.train({"max_depth": depth, "eta": 0.2, "nthread": 1}, data, rounds)


SMALL = bytes(booster(3, 4).save_raw("ubj"))


@pytest.mark.parametrize(("depth", "rounds"), [(1, 5), (3, 40), (6, 60), (4, 1), (3, 0)])
def test_predictions_equal_those_of_xgboost_to_the_last_bit(depth: int, rounds: int) -> None:
    model = booster(depth, rounds)
    forest = read_forest(bytes(model.save_raw("ubj")), NAMES)
    matrix = np.random.default_rng(99).normal(size=(500, len(NAMES))).astype(np.float32)
    matrix[:100] = np.round(matrix[:100], 1)
    expected = model.predict(xgboost.DMatrix(matrix, feature_names=list(NAMES), nthread=1))
    np.testing.assert_array_equal(forest.predict(matrix), expected)
    np.testing.assert_array_equal(forest.predict(matrix[7:8]), expected[7:8])


def test_other_features_are_refused() -> None:
    with pytest.raises(ModelError, match="trained on 5 features"):
        read_forest(SMALL, NAMES[:4])
    with pytest.raises(ModelError, match="columns"):
        read_forest(SMALL, NAMES).predict(np.zeros((2, 3), dtype=np.float32))


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, len(SMALL) - 1), value=st.integers(0, 255), cut=st.booleans())
def test_damaged_files_give_numbers_or_a_model_error(position: int, value: int, cut: bool) -> None:
    damaged = bytearray(SMALL)
    damaged[position] = value
    content = bytes(damaged[:position]) if cut else bytes(damaged)
    try:
        forest = read_forest(content, NAMES)
    except ModelError:
        return
    assert forest.predict(np.zeros((3, len(NAMES)), dtype=np.float32)).shape == (3,)


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(ModelError):  # nothing else may be raised
        read_ubjson(content)


def test_deep_nesting_is_refused_before_the_stack_ends() -> None:
    with pytest.raises(ModelError, match="nested"):
        read_ubjson(b"[" * 10_000)


@given(groups=st.lists(st.integers(0, 12), min_size=4, max_size=80), seed=st.integers(0, 5))
def test_a_group_is_never_split_over_folds(groups: list[int], seed: int) -> None:
    numbers = np.array(groups)
    folds = group_folds(numbers, 4, seed)
    for group in np.unique(numbers):
        assert len(np.unique(folds[numbers == group])) == 1
    assert folds.min() >= 0
    assert folds.max() < 4


def test_the_same_rows_and_seed_give_the_same_bytes() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(120, len(NAMES))).astype(np.float32)
    target, groups = matrix[:, 0].astype(np.float64), np.arange(120) // 4
    grid = BoostingGrid(
        configurations=(Configuration(max_depth=2, learning_rate=0.3, min_child_weight=1.0),), max_rounds=20
    )
    fits = [fit_boosted(matrix, target, groups, NAMES, seed=seed, grid=grid) for seed in (1, 1, 2)]
    assert fits[0].content == fits[1].content
    assert fits[0].content != fits[2].content
    assert np.mean((fits[0].held_out - target) ** 2) < 0.3 * np.var(target)


def test_a_single_group_still_gives_a_model() -> None:
    matrix = np.zeros((30, len(NAMES)), dtype=np.float32)
    fit = fit_boosted(matrix, np.full(30, 0.5), np.zeros(30, dtype=np.int64), NAMES, seed=0)
    assert read_forest(fit.content, NAMES).predict(matrix[:1])[0] == pytest.approx(0.5, abs=1e-3)
