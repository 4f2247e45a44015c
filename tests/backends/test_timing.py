"""The timing protocol on fake clocks: what it promises of blocks, warm-up, coarse clocks and disturbances."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.backends.timing import (
    FLOOR_S,
    Reference,
    TimingPlan,
    clock_for,
    clock_step_s,
    least_mean,
    lower_half_mean,
    plan_visit,
    profile_runs,
    run_undisturbed,
    subtract_cost,
    time_blocks,
)
from annette.errors import MeasurementError


class Machine:
    """Runs that take what they are told to, on a clock that only they move; may tick coarsely."""

    def __init__(self, durations_ns: Iterator[int], *, step_ns: int = 1) -> None:
        self.durations_ns = durations_ns
        self.step_ns = step_ns
        self.now_ns = 0
        self.runs = 0

    def run(self) -> None:
        self.runs += 1
        self.now_ns += next(self.durations_ns)

    def clock(self) -> int:
        return self.now_ns // self.step_ns * self.step_ns


@settings(deadline=None)
@given(run_ns=st.integers(1_000, 10**10), blocks=st.integers(1, 9), warmup=st.integers(0, 5))
def test_a_steady_machine_gives_its_time_in_every_block(run_ns: int, blocks: int, warmup: int) -> None:
    machine = Machine(repeat(run_ns))
    values = time_blocks(machine.run, machine.clock, TimingPlan(blocks=blocks, warmup_runs=warmup))
    assert values == pytest.approx([run_ns / 1e9] * blocks)


@settings(deadline=None)
@given(run_ns=st.integers(2_000, 10**9), block_s=st.floats(1e-3, 0.5))
def test_a_block_lasts_about_as_long_as_planned(run_ns: int, block_s: float) -> None:
    machine = Machine(repeat(run_ns))
    plan = TimingPlan(blocks=1, warmup_runs=0, block_s=block_s, max_runs=10**6)
    before_last = []

    def clock() -> int:
        before_last.append(machine.now_ns)
        return machine.now_ns

    time_blocks(machine.run, clock, plan)
    lasted_s = (before_last[-1] - before_last[-2]) / 1e9
    assert block_s * (1 - 1e-6) <= lasted_s <= block_s + run_ns / 1e9 * 1.001


@settings(deadline=None)
@given(run_ns=st.integers(1_000, 10**8), factor=st.integers(2, 20))
def test_a_machine_that_is_slower_by_a_factor_gives_values_greater_by_it(run_ns: int, factor: int) -> None:
    plan = TimingPlan(blocks=3)
    once, more = (Machine(repeat(run_ns * times)) for times in (1, factor))
    least, greater = (min(time_blocks(item.run, item.clock, plan)) for item in (once, more))
    assert greater == pytest.approx(factor * least)


@settings(deadline=None)
@given(run_ns=st.integers(10_000, 10**8), slow=st.integers(0, 4), factor=st.floats(1.0, 50.0))
def test_one_slow_block_does_not_move_the_least(run_ns: int, slow: int, factor: float) -> None:
    plan = TimingPlan(blocks=5, warmup_runs=0, min_runs=4, max_runs=4, block_s=1e-3)

    def durations() -> Iterator[int]:
        yield from repeat(run_ns, 4 * slow)
        yield from repeat(int(run_ns * factor), 4)
        yield from repeat(run_ns)

    machine = Machine(durations())
    values = time_blocks(machine.run, machine.clock, plan)
    assert min(values) == pytest.approx(run_ns / 1e9)
    assert max(values) == pytest.approx(int(run_ns * factor) / 1e9)


@settings(deadline=None)
@given(run_ns=st.integers(10_000, 10**8), drift=st.floats(0.0, 0.2))
def test_a_machine_that_slows_down_gives_growing_blocks_within_its_drift(run_ns: int, drift: float) -> None:
    plan = TimingPlan(blocks=6, warmup_runs=0, min_runs=5, max_runs=5)

    def durations() -> Iterator[int]:
        yield from (int(run_ns * (1 + drift * index / 29)) for index in range(30))

    machine = Machine(durations())
    values = time_blocks(machine.run, machine.clock, plan)
    assert list(values) == sorted(values)
    assert run_ns / 1e9 <= min(values) * (1 + 1e-6)
    assert max(values) <= run_ns / 1e9 * (1 + drift) * (1 + 1e-6)


@settings(deadline=None)
@given(
    run_ns=st.integers(100_000, 3 * 10**7),
    step_ns=st.sampled_from((1_000, 1_000_000, 10_000_000, 15_625_000)),
)
def test_a_coarse_clock_makes_blocks_so_long_that_it_errs_little(run_ns: int, step_ns: int) -> None:
    machine = Machine(repeat(run_ns), step_ns=step_ns)
    plan = TimingPlan(blocks=3, block_s=0.002, clock_step_s=step_ns / 1e9, max_runs=10**6)
    values = time_blocks(machine.run, machine.clock, plan)
    assert values == pytest.approx([run_ns / 1e9] * 3, rel=0.03)


def test_warm_up_runs_are_not_timed() -> None:
    def durations() -> Iterator[int]:
        yield from repeat(10**9, 3)
        yield from repeat(10**6)

    machine = Machine(durations())
    values = time_blocks(machine.run, machine.clock, TimingPlan(warmup_runs=3, blocks=2))
    assert values == pytest.approx((1e-3, 1e-3))


def test_a_run_longer_than_a_block_is_run_once_a_block() -> None:
    machine = Machine(repeat(10**9))
    assert time_blocks(machine.run, machine.clock, TimingPlan(warmup_runs=0, blocks=3)) == (1.0, 1.0, 1.0)
    assert machine.runs == 3


def test_a_clock_that_stands_still_is_refused() -> None:
    machine = Machine(repeat(0))
    with pytest.raises(MeasurementError, match="stood still over 50 runs"):
        time_blocks(machine.run, machine.clock, TimingPlan(max_runs=50))


def test_a_clock_that_runs_back_is_refused() -> None:
    ticks = iter(range(10**9, 0, -(10**6)))
    with pytest.raises(MeasurementError, match="ran back by 1000000 ns"):
        time_blocks(lambda: None, lambda: next(ticks), TimingPlan())


@pytest.mark.parametrize(
    "wrong",
    [
        {"blocks": 0},
        {"block_s": 0.0},
        {"block_s": float("nan")},
        {"warmup_runs": -1},
        {"min_runs": 0},
        {"min_runs": 5, "max_runs": 4},
        {"clock_step_s": -1.0},
    ],
)
def test_a_plan_that_cannot_be_followed_cannot_exist(wrong: dict[str, float]) -> None:
    with pytest.raises(MeasurementError, match="expected block_s > 0"):
        TimingPlan(**wrong)  # type: ignore[arg-type]


@settings(deadline=None)
@given(run_s=st.floats(1e-7, 100.0))
def test_a_visit_takes_well_under_a_second_or_a_few_runs(run_s: float) -> None:
    plan = plan_visit(run_s)
    runs = max(1, -(-plan.target_s // run_s))
    assert plan.blocks * runs * run_s <= max(0.7, 3.5 * run_s)
    assert plan.blocks >= 3


@settings(deadline=None)
@given(run_s=st.floats(1e-7, 100.0), nodes=st.integers(0, 5000))
def test_a_profile_holds_enough_runs_for_a_lower_half_but_does_not_last(run_s: float, nodes: int) -> None:
    runs = profile_runs(run_s, nodes)
    assert 3 <= runs <= 200
    assert runs * run_s <= max(1.2, 3 * run_s)
    assert runs == 3 or runs * run_s <= 1.2
    assert runs >= 12 or run_s > 0.09


@settings(deadline=None)
@given(values=st.lists(st.floats(0, 10), min_size=1, max_size=30), outlier=st.floats(10, 1e6))
def test_an_outlier_does_not_move_the_mean_of_the_lower_half_above_the_median(
    values: list[float], outlier: float
) -> None:
    found = lower_half_mean((*values, outlier))
    assert min(values) - 1e-9 <= found <= sorted((*values, outlier))[len(values) // 2] + 1e-9


@settings(deadline=None)
@given(values=st.lists(st.floats(0, 10), min_size=1, max_size=40), own=st.floats(0.01, 1.0))
def test_the_more_a_machine_is_disturbed_the_fewer_of_the_least_values_count(
    values: list[float], own: float
) -> None:
    found = least_mean(tuple(values), own)
    assert min(values) - 1e-9 <= found <= lower_half_mean(tuple(values)) + 1e-9
    assert least_mean(tuple(values), 1.0) == lower_half_mean(tuple(values))
    assert found <= least_mean(tuple(values), min(1.0, 1.5 * own)) + 1e-9


@settings(deadline=None)
@given(runs=st.integers(1, 50), own=st.floats(0.05, 1.0), run_ns=st.integers(1000, 10**9))
def test_a_disturbed_profile_is_run_longer_but_not_for_ever(runs: int, own: float, run_ns: int) -> None:
    machine = Machine(repeat(run_ns))
    found = run_undisturbed(
        machine.run,
        runs,
        wall_clock=lambda: int(machine.now_ns / own),
        own_clock=machine.clock,
        longest_s=2.5,
    )
    assert found == pytest.approx(own, rel=1e-3)
    assert runs <= machine.runs <= 3 * runs
    enough = machine.runs * own >= 0.9 * runs * 0.999
    assert enough or machine.runs == 3 * runs or machine.now_ns / own / 1e9 >= 2.499
    if own > 0.9:
        assert machine.runs <= runs + 1


@settings(deadline=None)
@given(values=st.lists(st.floats(0, 10), min_size=1), cost=st.floats(0, 10))
def test_subtracting_a_cost_leaves_at_least_the_floor(values: list[float], cost: float) -> None:
    for before, after in zip(values, subtract_cost(tuple(values), cost), strict=True):
        assert after == max(before - cost, FLOOR_S) > 0


@settings(deadline=None)
@given(ages=st.lists(st.floats(0.01, 5.0), max_size=20))
def test_the_reference_is_never_older_than_allowed(ages: list[float]) -> None:
    now = [0.0]
    timed: list[float] = []

    def measure() -> float:
        timed.append(now[0])
        return float(len(timed))

    reference = Reference(measure, max_age_s=2.0, clock=lambda: now[0])
    for age in (0.0, *ages):
        now[0] += age
        assert reference.latest_s() == len(timed)
        assert now[0] - timed[-1] <= 2.0
    assert len(timed) <= 1 + sum(ages) / 2.0 + 1e-9


def test_a_clock_s_step_is_found_even_if_reading_starts_between_two_ticks() -> None:
    machine = Machine(repeat(700), step_ns=10_000)
    machine.now_ns = 5_500

    def clock() -> int:
        machine.run()
        return machine.clock()

    assert clock_step_s(clock) == pytest.approx(1e-5)
    assert clock_step_s(lambda: 0) == 0.0


def test_one_thread_is_timed_by_its_own_processor_time_and_several_by_the_wall() -> None:
    assert clock_for(1).__name__ == "thread_time_ns"
    assert clock_for(4).__name__ == "perf_counter_ns"
