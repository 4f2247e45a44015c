"""Times programs without running them through: iterations until they repeat, and the rest by the period.

The times of a program are sums and maxima of earlier times, a linear system in the algebra of max and plus:
where all times of a state are later by d, all that follows is later by d. The state of a loop is the times
of units, queues, ports, slots and results that its body touches, counted from the latest issue, with all
that cannot be felt any more set to 0 (`State.relative`). If it is the same after iterations k and k + p,
d cycles later, then by induction iteration n + p is iteration n, d cycles later, for all n > k: the end is
exact for any trip count. Nothing is guessed, and no tolerance is involved.

It comes to that for certain. Queues are finite and in order, so only so many instructions are issued and not
complete, and every time of a state lies within a bound after the latest issue: whole numbers within a bound
have finitely many states, and the next state is a function of the last. That the increments become periodic
is the cyclicity theorem of max-plus algebra. How soon, it does not say: two units of nearly the same pace may
drift apart for as many iterations as queues and slots allow, and a limit on the iterations turns what takes
too long into an error.

Bodies hold loops, so this is done at every level; and a body that starts in a relative state in which it
started before, in whatever loop, is looked up and not evaluated.

References
----------
Baccelli, Cohen, Olsder, Quadrat: Synchronization and Linearity, Wiley 1992, section 3.7 (cyclicity).
Lübeck et al., Automatic generation of fast and accurate performance models for deep neural network
accelerators, arXiv 2409.08595, 2024, and arXiv 2402.00069 (fixed point of loop kernels). We differ in proving
the period on the whole state, where they take it from the times of successive iterations.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from annette.errors import HardwareError
from annette.simulator.instructions.evaluation import Evaluation
from annette.simulator.instructions.program import Program
from annette.simulator.instructions.state import Cells, CompiledBlock, CompiledLoop, State, compile_program

__all__ = ["evaluate_program"]


def evaluate_program(
    program: Program, *, limit: int = 100_000, clock: Callable[[], float] = time.perf_counter
) -> Evaluation:
    """When ``program`` ends: cycle for cycle what `unroll_program` says, whatever the trip counts.

    Parameters
    ----------
    limit : int
        Iterations to evaluate at most, over all loops.
    clock : callable
        Seconds, for `Evaluation.elapsed_s`.

    Raises
    ------
    HardwareError
        If no period is found within ``limit`` iterations.

    Examples
    --------
    >>> from annette.simulator.instructions.machine import FunctionalUnit, Instruction
    >>> from annette.simulator.instructions.machine import InstructionMachine, Loop
    >>> machine = InstructionMachine(units=(FunctionalUnit(name="array", latency=3),))
    >>> step = Instruction(name="multiply", kind="compute", unit="array", cycles=2)
    >>> done = evaluate_program(Program(machine=machine, body=(Loop(count=10**12, body=(step,)),)))
    >>> done.cycles, done.evaluated_iterations
    (2000000000003, 6)
    """
    started = clock()
    block, state, names = compile_program(program)
    engine = _Engine(state, limit)
    engine.run(block)
    last = zip(names, state.last, strict=True)
    return Evaluation(
        cycles=state.end,
        completions=tuple(sorted((name, cycle) for name, cycle in last if cycle is not None)),
        instructions=program.instructions,
        iterations=program.iterations,
        evaluated_instructions=state.operations,
        evaluated_iterations=engine.iterations,
        elapsed_s=clock() - started,
    )


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a block or a loop does to a state, in cycles after the floor at its begin."""

    floor: int
    end: int
    """The latest completion."""
    last: tuple[int, ...]
    """Last completions of the block's names."""
    after: Cells
    """The cells in the end, after the floor of then."""


class _Engine:
    """Runs compiled blocks on one state and remembers what they did."""

    def __init__(self, state: State, limit: int) -> None:
        self.state = state
        self.limit = limit
        self.iterations = 0
        self._known: dict[tuple[int, Cells], _Effect] = {}

    def run(self, block: CompiledBlock) -> None:
        for item in block.items:
            if isinstance(item, CompiledLoop):
                before = self.state.relative(item.body.touched)
                self._remembered(item, item.body, before, self._loop)
            else:
                self.state.run(item)

    def _remembered(
        self,
        item: CompiledLoop | CompiledBlock,
        block: CompiledBlock,
        before: Cells,
        run: Callable[..., object],
    ) -> Cells:
        """Do what ``item`` does to the state, by running it only the first time; the state after it."""
        key, state = (id(item), before), self.state
        known = self._known.get(key)
        floor = state.floor
        if known is None:
            outside, state.end = state.end, 0
            run(item)
            known = _Effect(
                floor=state.floor - floor,
                end=state.end - floor,
                last=tuple([(state.last[name] or 0) - floor for name in block.names]),
                after=state.relative(block.touched),
            )
            self._known[key] = known
            state.end = max(outside, state.end)
            return known.after
        state.floor = floor + known.floor
        state.end = max(state.end, floor + known.end)
        for name, cycle in zip(block.names, known.last, strict=True):
            state.last[name] = floor + cycle
        state.restore(block.touched, known.after)
        return known.after

    def _iteration(self, block: CompiledBlock) -> None:
        self.iterations += 1
        if self.iterations > self.limit:
            raise HardwareError(
                f"program: found no period within {self.limit} evaluated iterations, expected its loops to "
                "repeat; raise the limit, or even out units that differ little in pace"
            )
        self.run(block)

    def _loop(self, loop: CompiledLoop) -> None:
        """Iterate until the relative state repeats, skip whole periods, and finish."""
        state, body = self.state, loop.body
        before = state.relative(body.touched)
        seen, floors, ends = {before: 0}, [state.floor], [0]
        for count in range(1, loop.count + 1):
            state.end = 0
            before = self._remembered(body, body, before, self._iteration)
            ends.append(state.end)
            first = seen.get(before)
            if first is not None:
                periods, rest = divmod(loop.count - count, count - first)
                skipped = periods * (state.floor - floors[first])
                state.shift(body, skipped)
                ends.append(max(ends[first + 1 :]) + skipped)
                for _ in range(rest):  # all known, nothing is evaluated
                    before = self._remembered(body, body, before, self._iteration)
                break
            seen[before] = count
            floors.append(state.floor)
        state.end = max(state.end, *ends)
