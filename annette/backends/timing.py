"""Timing protocol: warm-up, blocks of runs on an injected clock, and a reference timed now and then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from annette.errors import MeasurementError

__all__ = [
    "FLOOR_S",
    "Reference",
    "TimingPlan",
    "clock_for",
    "clock_step_s",
    "least_mean",
    "lower_half_mean",
    "plan_visit",
    "profile_runs",
    "run_undisturbed",
    "subtract_cost",
    "time_blocks",
]

NanosecondClock = Callable[[], int]

FLOOR_S = 1e-8
"""Seconds; what remains at least when the cost of an empty session is subtracted. No kernel is quicker."""
_STEPS_PER_BLOCK = 50  # a block lasts that many steps of the clock: reading it is then wrong by 2 % at most
_MAX_POLLS = 50_000  # of a clock that seems to stand still: some 30 ms, twice the coarsest step in use
_PROFILE_S = 0.15
_PROFILE_RUNS = (12, 200)
_LONGEST_PROFILE_S = 1.2
_LEAST_PROFILE_RUNS = 3
_PROFILE_EVENTS = 6000  # reading them takes some 50 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingPlan:
    """How often to run what is timed.

    Raises
    ------
    MeasurementError
        If a number is out of its range.
    """

    warmup_runs: int = 2
    """Runs before anything is timed; >= 0."""
    blocks: int = 5
    """Blocks, each of which gives one value; >= 1."""
    block_s: float = 0.02
    """Seconds that a block should last; > 0."""
    min_runs: int = 1
    """Runs of a block at least, however long one takes; >= 1."""
    max_runs: int = 10_000
    """Runs of a block at most, however short one is; >= ``min_runs``."""
    clock_step_s: float = 0.0
    """Least step of the clock in seconds; blocks are made long against it. 0: fine enough."""

    def __post_init__(self) -> None:
        fine = math.isfinite(self.block_s) and self.block_s > 0 and 0 <= self.clock_step_s < math.inf
        if not fine or self.warmup_runs < 0 or self.blocks < 1 or not 1 <= self.min_runs <= self.max_runs:
            raise MeasurementError(
                f"timing plan: {self}, expected block_s > 0, clock_step_s >= 0, warmup_runs >= 0, "
                "blocks >= 1 and 1 <= min_runs <= max_runs"
            )

    @property
    def target_s(self) -> float:
        """Seconds of a block: `block_s`, or longer where the clock is too coarse for it."""
        return max(self.block_s, _STEPS_PER_BLOCK * self.clock_step_s)


def plan_visit(run_s: float, *, clock_step_s: float = 0.0) -> TimingPlan:
    """The plan for something that takes ``run_s`` seconds and has just been warmed up.

    A tiny kernel gets five blocks of 8 ms, a network of 20 ms five of 60 ms, one of a second three of a run.

    Examples
    --------
    >>> plan_visit(2e-5).block_s, plan_visit(0.02).block_s, plan_visit(1.0).blocks
    (0.008, 0.06, 3)
    """
    return TimingPlan(
        warmup_runs=1 if run_s < 0.05 else 0,
        blocks=5 if run_s < 0.1 else 3,
        block_s=min(max(3 * run_s, 0.008), max(run_s, 0.06)),
        clock_step_s=clock_step_s,
    )


def profile_runs(run_s: float, nodes: int) -> int:
    """Runs to profile of a network that takes ``run_s`` seconds and executes so many nodes.

    Examples
    --------
    >>> profile_runs(0.02, 60), profile_runs(1.0, 20), profile_runs(5e-5, 8)
    (12, 3, 200)
    """
    least, most = _PROFILE_RUNS
    runs = min(max(least, round(_PROFILE_S / run_s)), most, max(least, _PROFILE_EVENTS // max(nodes, 1)))
    return max(min(runs, int(_LONGEST_PROFILE_S / run_s)), _LEAST_PROFILE_RUNS)


def time_blocks(run: Callable[[], object], clock: NanosecondClock, plan: TimingPlan) -> tuple[float, ...]:
    """Seconds per run of each block; the least of them is the time that the machine disturbed least.

    The number of runs is the same in each block. It comes from a first timing, so that a block lasts about
    as long as the plan says; where that was as long already, it is the first block.

    Parameters
    ----------
    run
        What is timed.
    clock
        Nanoseconds since any moment; never runs backwards.

    Raises
    ------
    MeasurementError
        If the clock stands still over ``plan.max_runs`` runs, or runs backwards.

    Examples
    --------
    >>> now = [0]
    >>> def run() -> None:
    ...     now[0] += 4_000_000
    >>> time_blocks(run, lambda: now[0], TimingPlan(blocks=3))
    (0.004, 0.004, 0.004)
    """
    for _ in range(plan.warmup_runs):
        run()
    runs, first = _runs_per_block(run, clock, plan)
    values = [] if first is None else [first / runs]
    values.extend(_elapsed_s(run, clock, runs) / runs for _ in range(plan.blocks - len(values)))
    return tuple(values)


def _runs_per_block(
    run: Callable[[], object], clock: NanosecondClock, plan: TimingPlan
) -> tuple[int, float | None]:
    """Runs of a block; and the seconds that so many took, where the first timing was a block already."""
    runs = plan.min_runs
    elapsed_s = _elapsed_s(run, clock, runs)
    while elapsed_s < plan.target_s / 10 and runs < plan.max_runs:
        runs = min(2 * runs, plan.max_runs)
        elapsed_s = _elapsed_s(run, clock, runs)
    if elapsed_s <= 0:
        raise MeasurementError(
            f"timing: the clock stood still over {runs} runs, expected a finer clock or something that takes "
            "longer; use wall time, or a larger network"
        )
    wanted = math.ceil(plan.target_s * runs / elapsed_s - 1e-9)
    wanted = min(max(wanted, plan.min_runs), plan.max_runs)
    return wanted, elapsed_s if wanted == runs else None


def _elapsed_s(run: Callable[[], object], clock: NanosecondClock, runs: int) -> float:
    start = clock()
    for _ in range(runs):
        run()
    elapsed = clock() - start
    if elapsed < 0:
        raise MeasurementError(f"timing: the clock ran back by {-elapsed} ns, expected one that never does")
    return elapsed / 1e9


def clock_for(threads: int) -> NanosecondClock:
    """The clock that fits so many threads: processor time of this thread if it works alone, else wall time.

    Thread time leaves out what other programs took of the processor, but sees one thread only.

    Examples
    --------
    >>> clock_for(1).__name__, clock_for(2).__name__
    ('thread_time_ns', 'perf_counter_ns')
    """
    return time.thread_time_ns if threads == 1 else time.perf_counter_ns


def clock_step_s(clock: NanosecondClock) -> float:
    """Least step of ``clock`` in seconds, as far as reading it shows one; 0 if it stands still.

    Examples
    --------
    >>> ticks = iter(range(0, 100_000_000, 500_000))
    >>> clock_step_s(lambda: next(ticks) // 1_000_000 * 1_000_000)
    0.001
    """
    steps = []
    last = clock()
    for _ in range(_MAX_POLLS):
        now = clock()
        if now != last:
            steps.append(now - last)
            last = now
            if len(steps) == 4:  # the first step may be cut short by where the reading began
                break
    return min(steps) / 1e9 if steps else 0.0


def subtract_cost(values_s: tuple[float, ...], cost_s: float) -> tuple[float, ...]:
    """Each value less a constant cost, but never below `FLOOR_S`.

    Examples
    --------
    >>> subtract_cost((3.0, 2.0), 0.5)
    (2.5, 1.5)
    """
    return tuple(max(value - cost_s, FLOOR_S) for value in values_s)


def lower_half_mean(values: tuple[float, ...]) -> float:
    """Mean of the lower half of the values, the middle one included.

    Examples
    --------
    >>> lower_half_mean((9.0, 1.0, 2.0))
    1.5
    """
    return fmean(sorted(values)[: (len(values) + 1) // 2])


def least_mean(values: tuple[float, ...], own_fraction: float) -> float:
    """Mean of those of the least values that were likely not disturbed: the lower half on a quiet machine.

    Parameters
    ----------
    values
        At least one.
    own_fraction
        Share of the time in which the values were taken that the machine worked for them; in (0, 1].

    Examples
    --------
    >>> least_mean((9.0, 1.0, 2.0), 1.0), least_mean((9.0, 1.0, 2.0), 0.5)
    (1.5, 1.0)
    """
    count = math.ceil(len(values) * own_fraction**2 / 2)  # squared: long stretches are disturbed more often
    return fmean(sorted(values)[: max(count, 1)])


def run_undisturbed(
    run: Callable[[], object],
    runs: int,
    *,
    wall_clock: NanosecondClock,
    own_clock: NanosecondClock,
    longest_s: float = 2.5,
) -> float:
    """Run so often that ``runs`` of them may be undisturbed; the share of the wall time that was our own.

    Where other programs take half of the processor, that is twice as often; three times at most, and then
    no longer than ``longest_s`` seconds in all.

    Examples
    --------
    >>> now = [0]
    >>> def run() -> None:
    ...     now[0] += 1000
    >>> run_undisturbed(run, 12, wall_clock=lambda: 2 * now[0], own_clock=lambda: now[0]), now[0]
    (0.5, 22000)
    """
    wall_start, own_start = wall_clock(), own_clock()
    own_fraction = 1.0
    for done in range(1, 3 * runs + 1):
        run()
        wall, own = wall_clock() - wall_start, own_clock() - own_start
        own_fraction = min(1.0, own / wall) if wall > 0 and own > 0 else 1.0
        if done >= runs and (done * own_fraction >= 0.9 * runs or wall / 1e9 > longest_s):
            break
    return own_fraction


class Reference:
    """The time of something fixed, timed again when its last timing is too old: tells the machine's drift.

    Examples
    --------
    >>> now, times = [0.0], iter((1.0, 1.5))
    >>> reference = Reference(lambda: next(times), max_age_s=2.0, clock=lambda: now[0])
    >>> reference.latest_s()
    1.0
    >>> now[0] = 1.9
    >>> reference.latest_s()
    1.0
    >>> now[0] = 2.1
    >>> reference.latest_s()
    1.5
    """

    def __init__(
        self,
        measure: Callable[[], float],
        *,
        max_age_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Parameters
        ----------
        measure
            Times the fixed thing once; returns seconds.
        max_age_s
            Seconds for which a timing holds.
        clock
            Seconds since any moment; never runs backwards.
        """
        self._measure = measure
        self._max_age_s = max_age_s
        self._clock = clock
        self._value_s: float | None = None
        self._taken_s = 0.0

    def latest_s(self) -> float:
        """Seconds of the fixed thing, timed no longer ago than ``max_age_s``."""
        if self._value_s is None or self._clock() - self._taken_s > self._max_age_s:
            self._value_s = self._measure()
            self._taken_s = self._clock()
        return self._value_s
