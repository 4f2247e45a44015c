"""Which networks to time: what is suggested, and that it is better than chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.calibration.design import choose_rows, suggest_architectures, suggest_networks
from annette.calibration.features import count_space
from annette.calibration.terms import terms_of
from annette.errors import UsageError
from annette.zoo.registry import open_network
from annette.zoo.spaces.registry import open_space


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_chosen_rows_differ_and_are_not_measured_ones(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    chosen = choose_rows([rng.random((30, 5)), rng.random((30, 4))], count, measured=(0, 1, 2))
    assert len(set(chosen)) == count
    assert not set(chosen) & {0, 1, 2}


def test_a_design_has_more_information_than_random_samples() -> None:
    space = open_space("fbnet")
    designed, drawn = suggest_architectures(space, 20, seed=1), space.sample(20, seed=2)
    terms = terms_of(count_space(space, space.sample(300, seed=0)))

    def information(rows: np.ndarray) -> float:
        columns = terms.columns(count_space(space, rows))
        return float(np.linalg.slogdet(columns.T @ columns + 1e-3 * np.eye(columns.shape[1]))[1])

    assert information(designed) > information(drawn) + 3


def test_suggestions_are_the_same_for_the_same_seed_and_go_on() -> None:
    space = open_space("nasbench201")
    first = suggest_architectures(space, 6, seed=4)
    np.testing.assert_array_equal(first, suggest_architectures(space, 6, seed=4))
    more = suggest_architectures(space, 6, measured=first, seed=4)
    assert not set(map(tuple, first.tolist())) & set(map(tuple, more.tolist()))


def test_architectures_that_fold_to_nothing_are_not_suggested() -> None:
    rows = suggest_architectures(open_space("nasbench201"), 20, seed=0)
    assert not (rows[:, 3:] == 0).all(axis=1).any()


def test_networks_are_chosen_by_position() -> None:
    networks = [open_network(f"zoo:{name}") for name in ("lenet5", "alexnet", "squeezenet1_0")]
    chosen = suggest_networks(networks, 2)
    assert len(set(chosen)) == 2
    with pytest.raises(UsageError, match="4 networks asked for, found 3"):
        suggest_networks(networks, 4)
