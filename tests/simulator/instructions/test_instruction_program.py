"""What a program may not be: names that lead nowhere, slots that never come free."""

from __future__ import annotations

import pytest

from annette.errors import HardwareError
from annette.simulator.instructions.machine import (
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

MACHINE = InstructionMachine(
    units=(FunctionalUnit(name="load"), FunctionalUnit(name="array")),
    buffers=(Buffer(name="tile", slots=2),),
    ports=("bus",),
)
TAKE = Instruction(name="take", kind="load", unit="load", cycles=1, acquires=("tile",))
FREE = Instruction(name="free", kind="compute", unit="array", cycles=1, releases=("tile",))


def program(*body: Instruction | Loop) -> Program:
    return Program(machine=MACHINE, body=body)


def test_a_program_counts_what_it_stands_for() -> None:
    inner = Loop(count=10, body=(TAKE, FREE))
    found = program(Loop(count=5, body=(inner, TAKE, FREE)), TAKE, FREE)
    assert (found.instructions, found.iterations) == (5 * 22 + 2, 5 * 11)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"unit": "arry"}, "unit: found 'arry', expected one of array, load"),
        ({"ports": (PortUse(port="buss", cycles=1),)}, "ports: found 'buss', expected one of bus"),
        ({"releases": ("tiles",)}, "buffers: found 'tiles', expected one of tile"),
        ({"after": (Dependency(on="y"),)}, "after: found 'y', expected one of x"),
    ],
)
def test_unknown_names_are_refused(item: dict[str, object], message: str) -> None:
    words = {"name": "x", "kind": "load", "unit": "load", "cycles": 1, **item}
    with pytest.raises(HardwareError, match=f"instruction 'x': {message}"):
        program(Instruction(**words))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body",
    [
        (TAKE, TAKE, TAKE, FREE, FREE, FREE),
        (FREE, TAKE),
        (TAKE,),
        (Loop(count=2, body=(TAKE,)), FREE, FREE),
    ],
)
def test_slots_that_never_come_free_are_refused(body: Block) -> None:
    with pytest.raises(HardwareError, match="buffer 'tile': found a"):
        program(*body)


def test_as_many_slots_as_there_are_may_be_taken() -> None:
    assert program(TAKE, TAKE, FREE, FREE).instructions == 4
    assert program(TAKE, Loop(count=9, body=(TAKE, FREE)), FREE).instructions == 20


def test_machines_and_instructions_are_checked() -> None:
    with pytest.raises(HardwareError, match="'bus' more than once"):
        InstructionMachine(units=(FunctionalUnit(name="bus"),), ports=("bus",))
    with pytest.raises(HardwareError, match="units: found none"):
        InstructionMachine(units=())
    with pytest.raises(HardwareError, match="queue: found 0"):
        FunctionalUnit(name="array", queue=0)
    with pytest.raises(HardwareError, match="kind: found 'jump'"):
        Instruction(name="x", kind="jump", unit="array", cycles=1)
    with pytest.raises(HardwareError, match=r"cycles: found 1\.5, expected an integer"):
        Instruction(name="x", kind="load", unit="array", cycles=1.5)  # type: ignore[arg-type]


def test_loops_too_deep_are_refused() -> None:
    body: Block = (TAKE, FREE)
    for _ in range(70):
        body = (Loop(count=2, body=body),)
    with pytest.raises(HardwareError, match="more than 64 deep"):
        program(*body)
