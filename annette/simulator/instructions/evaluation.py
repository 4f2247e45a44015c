"""What evaluating a program gives, and the full unrolling: slow, plain, and the meaning of the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from annette.errors import HardwareError
from annette.simulator.instructions.machine import Block, Instruction, Loop
from annette.simulator.instructions.program import Program

__all__ = ["Evaluation", "unroll_program"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """When a program ends, and what it took to find out."""

    cycles: int
    """From the first issue to the last result; 0 for a program without instructions."""
    completions: tuple[tuple[str, int], ...]
    """By name of instruction, the cycle at which its last execution is complete; in order of names."""
    instructions: int
    """Instructions that the program stands for."""
    iterations: int
    """Iterations of loops that the program stands for, at all levels."""
    evaluated_instructions: int
    """Instructions really evaluated."""
    evaluated_iterations: int
    """Iterations of loops really evaluated, at all levels."""
    elapsed_s: float = field(compare=False)
    """Seconds that the evaluation took."""


def unroll_program(
    program: Program, *, limit: int = 1_000_000, clock: Callable[[], float] = time.perf_counter
) -> Evaluation:
    """Evaluate every instruction of ``program`` in its order.

    The n-th instruction, on a unit u with queue q, issue width w in c cycles, has the times

        issue(n)    = max(issue(n - 1), issue(n - w) + c, start(q-th instruction before it on u))
        start(n)    = max(issue(n), free(u), free(its ports), its slots freed, complete(what it comes after))
        complete(n) = start(n) + cycles(n) + latency(u)

    and leaves u free at start(n) + max(cycles(n), interval(u)), a port at start(n) + the port's cycles, and
    its slots at complete(n), or, if that is later, when those freed before in the order of the program are.

    Parameters
    ----------
    limit : int
        Instructions to evaluate at most.
    clock : callable
        Seconds, for `Evaluation.elapsed_s`.

    Raises
    ------
    HardwareError
        If the program stands for more instructions.

    Examples
    --------
    >>> from annette.simulator.instructions.machine import FunctionalUnit, Instruction
    >>> from annette.simulator.instructions.machine import InstructionMachine, Loop
    >>> machine = InstructionMachine(units=(FunctionalUnit(name="array", latency=3),))
    >>> step = Instruction(name="multiply", kind="compute", unit="array", cycles=2)
    >>> unroll_program(Program(machine=machine, body=(Loop(count=10, body=(step,)),))).cycles
    23
    """
    if program.instructions > limit:
        raise HardwareError(
            f"program: found {program.instructions} instructions, expected at most {limit} to unroll; "
            "use evaluate_program"
        )
    started = clock()
    times = _Times(program)
    for item in _unrolled(program.body):
        times.run(item)
    return Evaluation(
        cycles=times.end,
        completions=tuple(sorted(times.last.items())),
        instructions=program.instructions,
        iterations=program.iterations,
        evaluated_instructions=program.instructions,
        evaluated_iterations=program.iterations,
        elapsed_s=clock() - started,
    )


def _unrolled(block: Block) -> Iterator[Instruction]:
    for item in block:
        if isinstance(item, Loop):
            for _ in range(item.count):
                yield from _unrolled(item.body)
        else:
            yield item


class _Times:
    """All times of all instructions so far, in cycles."""

    def __init__(self, program: Program) -> None:
        machine = program.machine
        self.machine = machine
        self.units = {unit.name: unit for unit in machine.units}
        self.slots = {item.name: item.slots for item in machine.buffers}
        self.issues: list[int] = []
        self.starts: dict[str, list[int]] = {name: [] for name in self.units}
        self.unit_free = dict.fromkeys(self.units, 0)
        self.port_free = dict.fromkeys(machine.ports, 0)
        self.taken = dict.fromkeys(self.slots, 0)
        self.freed: dict[str, list[int]] = {name: [] for name in self.slots}
        self.complete: dict[str, list[int]] = {}
        self.last: dict[str, int] = {}
        self.end = 0

    def run(self, item: Instruction) -> None:
        unit, starts = self.units[item.unit], self.starts[item.unit]
        issue = max(
            self.issues[-1] if self.issues else 0,
            _back(self.issues, self.machine.issue_width, self.machine.issue_cycles),
            _back(starts, unit.queue),
        )
        slots = []
        for name in item.acquires:
            before = self.taken[name] - self.slots[name]
            slots.append(self.freed[name][before] if before >= 0 else 0)
            self.taken[name] += 1
        start = max(
            issue,
            self.unit_free[item.unit],
            *(self.port_free[use.port] for use in item.ports),
            *slots,
            *(_back(self.complete.get(wait.on, []), wait.back) for wait in item.after),
        )
        complete = start + item.cycles + unit.latency
        self.issues.append(issue)
        starts.append(start)
        self.unit_free[item.unit] = start + max(item.cycles, unit.interval)
        for use in item.ports:
            self.port_free[use.port] = max(self.port_free[use.port], start + use.cycles)
        for name in item.releases:
            self.freed[name].append(max([complete, *self.freed[name][-1:]]))
        self.complete.setdefault(item.name, []).append(complete)
        self.last[item.name] = complete
        self.end = max(self.end, complete)


def _back(times: list[int], count: int, plus: int = 0) -> int:
    """The ``count``-th last of the times, and so much; 0 if there are fewer."""
    return times[-count] + plus if len(times) >= count else 0
