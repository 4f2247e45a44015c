"""The extrapolating engine of instructions against full unrolling, over random machines and programs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import HardwareError
from annette.simulator.instructions.engine import evaluate_program
from annette.simulator.instructions.evaluation import unroll_program
from annette.simulator.instructions.machine import (
    KINDS,
    Block,
    Buffer,
    Dependency,
    FunctionalUnit,
    Instruction,
    InstructionMachine,
    Loop,
    PortUse,
)
from annette.simulator.instructions.program import Program

NAMES = ("a", "b", "c", "d", "e")
MOST = 5000


@st.composite
def machines(draw: st.DrawFn) -> InstructionMachine:
    """One to four units, some buffers, some ports."""
    small = st.integers(0, 6)
    units = tuple(
        FunctionalUnit(
            name=f"unit {index}", latency=draw(small), interval=draw(small), queue=draw(st.integers(1, 4))
        )
        for index in range(draw(st.integers(1, 4)))
    )
    return InstructionMachine(
        units=units,
        buffers=tuple(
            Buffer(name=f"buffer {index}", slots=draw(st.integers(1, 3)))
            for index in range(draw(st.integers(0, 2)))
        ),
        ports=tuple(f"port {index}" for index in range(draw(st.integers(0, 2)))),
        issue_width=draw(st.integers(1, 3)),
        issue_cycles=draw(st.integers(0, 2)),
    )


def instructions(draw: st.DrawFn, machine: InstructionMachine, **slots: tuple[str, ...]) -> Instruction:
    """An instruction that may wait for any other, itself included."""
    ports = draw(st.lists(st.sampled_from(machine.ports), max_size=2)) if machine.ports else []
    waits = draw(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 3)), max_size=2))
    return Instruction(
        name=draw(st.sampled_from(NAMES)),
        kind=draw(st.sampled_from(KINDS)),
        unit=draw(st.sampled_from(machine.units)).name,
        cycles=draw(st.integers(0, 7)),
        ports=tuple(PortUse(port=port, cycles=draw(st.integers(0, 5))) for port in ports),
        after=tuple(Dependency(on=name, back=back) for name, back in waits),
        **slots,
    )


def blocks(draw: st.DrawFn, machine: InstructionMachine, free: dict[str, int], depth: int) -> Block:
    """A block that never takes more slots than are free, and frees them all."""
    items: list[Instruction | Loop] = []
    taken: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        if depth < 3 and draw(st.booleans()):
            body = blocks(draw, machine, dict(free), depth + 1)
            items.append(Loop(count=draw(st.sampled_from((0, 1, 2, 3, 7, 20))), body=body))
            continue
        acquires = tuple(name for name in free if free[name] and draw(st.booleans()))
        for name in acquires:
            free[name] -= 1
        taken.extend(acquires)
        releases = (taken.pop(draw(st.integers(0, len(taken) - 1))),) if taken and draw(st.booleans()) else ()
        for name in releases:
            free[name] += 1
        items.append(instructions(draw, machine, acquires=acquires, releases=releases))
    if taken:
        for name in taken:
            free[name] += 1
        items.append(instructions(draw, machine, releases=tuple(taken)))
    return tuple(items)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A nest on a random machine; every name is in it at least once."""
    machine = draw(machines())
    body = blocks(draw, machine, {item.name: item.slots for item in machine.buffers}, 0)
    unit = machine.units[0].name
    end = tuple(Instruction(name=name, kind="store", unit=unit, cycles=1) for name in NAMES)
    program = Program(machine=machine, body=(*body, *end))
    while program.instructions > MOST:
        program = replace(program, body=tuple(map(_halved, program.body)))
    return program


def _halved(item: Instruction | Loop) -> Instruction | Loop:
    if isinstance(item, Instruction):
        return item
    return Loop(count=item.count // 2, body=tuple(map(_halved, item.body)))


def _with_counts(block: Block, count: int) -> Block:
    return tuple(
        Loop(count=count, body=_with_counts(item.body, count)) if isinstance(item, Loop) else item
        for item in block
    )


@settings(max_examples=120, deadline=None)
@given(programs())
def test_extrapolation_is_full_unrolling(program: Program) -> None:
    unrolled, extrapolated = unroll_program(program), evaluate_program(program)
    assert extrapolated.cycles == unrolled.cycles
    assert extrapolated.completions == unrolled.completions
    assert extrapolated.instructions == unrolled.instructions == unrolled.evaluated_instructions
    assert extrapolated.iterations == unrolled.iterations == unrolled.evaluated_iterations
    assert extrapolated.evaluated_iterations <= unrolled.iterations
    assert extrapolated.evaluated_instructions <= unrolled.instructions


@settings(max_examples=80, deadline=None)
@given(programs(), st.data())
def test_a_longer_latency_never_ends_earlier(program: Program, data: st.DataObject) -> None:
    machine = program.machine
    index = data.draw(st.integers(0, len(machine.units) - 1))
    field = data.draw(st.sampled_from(("latency", "interval")))
    slow = replace(machine.units[index], **{field: getattr(machine.units[index], field) + 3})
    units = (*machine.units[:index], slow, *machine.units[index + 1 :])
    slower = replace(program, machine=replace(machine, units=units))
    before, after = evaluate_program(program), evaluate_program(slower)
    assert after.cycles >= before.cycles
    assert all(
        late >= early for (_, early), (_, late) in zip(before.completions, after.completions, strict=True)
    )


@settings(max_examples=80, deadline=None)
@given(programs(), st.data())
def test_more_room_is_never_later(program: Program, data: st.DataObject) -> None:
    machine = program.machine
    index = data.draw(st.integers(0, len(machine.units) - 1))
    longer = replace(machine.units[index], queue=machine.units[index].queue + 1)
    units = (*machine.units[:index], longer, *machine.units[index + 1 :])
    roomier = [replace(machine, units=units), replace(machine, issue_width=machine.issue_width + 1)]
    for number, item in enumerate(machine.buffers):
        more = replace(item, slots=item.slots + 1)
        roomier.append(
            replace(machine, buffers=(*machine.buffers[:number], more, *machine.buffers[number + 1 :]))
        )
    cycles = evaluate_program(program).cycles
    for other in roomier:
        assert evaluate_program(replace(program, machine=other)).cycles <= cycles


@settings(max_examples=60, deadline=None)
@given(programs())
def test_a_billion_iterations_evaluate_as_many_as_a_thousand(program: Program) -> None:
    more = 1000 + 4 * math.lcm(*range(1, 21))  # the same remainder of any period up to 20
    thousand = evaluate_program(replace(program, body=_with_counts(program.body, 1000)))
    billion = evaluate_program(replace(program, body=_with_counts(program.body, more)))
    assert billion.evaluated_iterations == thousand.evaluated_iterations
    assert billion.cycles >= thousand.cycles


@pytest.mark.parametrize("count", [10**3, 10**9, 10**18])
def test_one_loop_evaluates_the_same_iterations_whatever_its_count(count: int) -> None:
    done = evaluate_program(pipeline(count))
    assert done.evaluated_iterations == evaluate_program(pipeline(1000)).evaluated_iterations < 20
    assert done.cycles == 5 + 10 * count + 3


def pipeline(count: int) -> Program:
    """Load, compute, store through double buffers; the computation takes longest, 10 cycles."""
    machine = InstructionMachine(
        units=(
            FunctionalUnit(name="load", latency=1),
            FunctionalUnit(name="array"),
            FunctionalUnit(name="store"),
        ),
        buffers=(Buffer(name="tile", slots=2), Buffer(name="result", slots=2)),
        ports=("bus",),
    )
    load, compute, store = (
        Instruction(
            name="load", kind="load", unit="load", cycles=4, ports=(PortUse(port="bus", cycles=4),),
            acquires=("tile",),
        ),
        Instruction(
            name="compute", kind="compute", unit="array", cycles=10, acquires=("result",),
            releases=("tile",), after=(Dependency(on="load", back=2),),
        ),
        Instruction(
            name="store", kind="store", unit="store", cycles=3, ports=(PortUse(port="bus", cycles=3),),
            releases=("result",), after=(Dependency(on="compute"),),
        ),
    )  # fmt: skip
    last = replace(compute, after=(Dependency(on="load"),))
    body = (load, Loop(count=count - 1, body=(load, compute, store)), last, store)
    return Program(machine=machine, body=body)


def test_a_pipeline_takes_its_slowest_stage_per_tile() -> None:
    assert unroll_program(pipeline(7)).cycles == evaluate_program(pipeline(7)).cycles == 5 + 70 + 3


def test_units_of_nearly_one_pace_drift_until_the_queue_is_full_and_still_agree() -> None:
    machine = InstructionMachine(
        units=(FunctionalUnit(name="fast", queue=40), FunctionalUnit(name="slow", queue=40)), issue_cycles=0
    )
    body = (
        Instruction(name="a", kind="compute", unit="fast", cycles=20),
        Instruction(name="b", kind="compute", unit="slow", cycles=21, after=(Dependency(on="a"),)),
    )
    program = Program(machine=machine, body=(Loop(count=2000, body=body),))
    done = evaluate_program(program)
    assert done.cycles == unroll_program(program).cycles
    assert 500 < done.evaluated_iterations < 1500  # 40 places of 21 cycles, a cycle an iteration


def test_slots_come_free_in_the_order_of_the_program_though_the_second_unit_is_done_first() -> None:
    machine = InstructionMachine(
        units=tuple(FunctionalUnit(name=name, queue=4) for name in ("left", "right", "slow", "fast")),
        buffers=(Buffer(name="tile", slots=2),),
        issue_cycles=0,
    )

    def step(name: str, unit: str, cycles: int, **slots: tuple[str, ...]) -> Instruction:
        return Instruction(name=name, kind="compute", unit=unit, cycles=cycles, **slots)

    takes = [step(f"take {unit}", unit, 1, acquires=("tile",)) for unit in ("left", "right")]
    frees = [
        step("free slow", "slow", 20, releases=("tile",)),
        step("free fast", "fast", 1, releases=("tile",)),
    ]
    program = Program(machine=machine, body=(*takes, *frees, *takes, *frees))
    for found in (unroll_program(program), evaluate_program(program)):
        # The second slot is freed at 1, behind the first, which is freed at 20.
        assert dict(found.completions)["take left"] == dict(found.completions)["take right"] == 21


def test_without_a_period_within_the_limit_the_error_says_what_to_do() -> None:
    with pytest.raises(HardwareError, match=r"no period within 3 evaluated iterations.*raise the limit"):
        evaluate_program(pipeline(1000), limit=3)


def test_unrolling_refuses_what_takes_for_ever() -> None:
    with pytest.raises(HardwareError, match="expected at most 1000000 to unroll; use evaluate_program"):
        unroll_program(pipeline(10**9))


def test_the_clock_is_the_callers() -> None:
    ticks = iter((5.0, 7.5))
    assert evaluate_program(pipeline(3), clock=lambda: next(ticks)).elapsed_s == 2.5
