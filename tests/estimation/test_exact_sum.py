"""Sums over kernels are the same bits on any path, and right."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from annette.estimation.exact_sum import (
    COARSE_STEP,
    FINE_STEP,
    MAX_KERNELS,
    MAX_TOTAL,
    split_exact,
    sum_by_network,
)

COSTS = st.lists(
    st.one_of(st.floats(0.0, 1e-3), st.floats(0.0, 1e3), st.floats(0.0, 2.0**24)), min_size=1, max_size=60
).map(np.array)


def total_of(values: NDArray[np.float64]) -> float:
    return float(sum_by_network(np.zeros(len(values), dtype=np.int64), values, 1)[0])


@given(COSTS, st.randoms(use_true_random=False))
def test_any_order_gives_the_same_bits(values: NDArray[np.float64], random) -> None:
    order = list(range(len(values)))
    random.shuffle(order)
    assert total_of(values[order]) == total_of(values)


@given(COSTS, st.data())
def test_any_grouping_gives_the_same_bits(values: NDArray[np.float64], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(values)), max_size=8)))
    hi, lo = (np.split(part, cuts) for part in split_exact(values))
    coarse, fine = (sum(float(piece.sum()) for piece in reversed(pieces)) for pieces in (hi, lo))
    assert coarse + fine == total_of(values)


@given(st.floats(0.0, 1e3), st.integers(1, MAX_KERNELS))
def test_a_repeated_cost_is_its_count_times_its_parts(value: float, count: int) -> None:
    hi, lo = split_exact(np.array([value]))
    assert total_of(np.full(count, value)) == float(hi[0] * count + lo[0] * count)


@given(COSTS)
def test_the_sum_is_right_to_the_fine_step_and_one_rounding(values: NDArray[np.float64]) -> None:
    true = math.fsum(values.tolist())
    assert abs(total_of(values) - true) <= len(values) * FINE_STEP / 2 + true * 2.0**-52


@given(COSTS)
def test_the_parts_are_multiples_of_their_steps_and_add_up(values: NDArray[np.float64]) -> None:
    hi, lo = split_exact(values)
    for part, step in ((hi, COARSE_STEP), (lo, FINE_STEP)):
        assert (part / step == np.rint(part / step)).all()
    assert (np.abs(lo) <= COARSE_STEP / 2).all()
    assert (np.abs((values - hi) - lo) <= FINE_STEP / 2).all()


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0.0, 1e3)), max_size=60))
def test_networks_do_not_mix(items: list[tuple[int, float]]) -> None:
    index = np.array([number for number, _ in items], dtype=np.int64)
    values = np.array([value for _, value in items], dtype=np.float64)
    sums = sum_by_network(index, values, 6)
    assert sums.shape == (6,)
    assert sums.tolist() == [total_of(values[index == number]) for number in range(6)]


def test_the_bounds_hold_at_their_edge() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0.0, MAX_TOTAL / MAX_KERNELS, MAX_KERNELS)
    assert total_of(values) == total_of(values[::-1].copy()) == total_of(rng.permutation(values))


def test_beyond_the_bounds_sums_are_right_to_rounding() -> None:
    values = np.random.default_rng(0).uniform(0.0, 2.0**40, 50)
    assert math.isclose(total_of(values), math.fsum(values.tolist()), rel_tol=1e-14)


def test_a_network_without_kernels_takes_no_time() -> None:
    empty = np.empty(0, dtype=np.int64)
    assert sum_by_network(empty, np.empty(0), 2).tolist() == [0.0, 0.0]
