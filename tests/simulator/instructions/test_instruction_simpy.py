"""The engine of instructions against a discrete-event model of the same machine in SimPy.

The model knows processes, resources and containers, and nothing of maxima and sums: a front-end that issues,
and a process a unit that waits for what an instruction needs. Buffers are filled by one unit and freed by one
unit each, as in an accelerator; then slots come free in the order of the program by themselves.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.simulator.instructions.engine import evaluate_program
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

Process = Generator[simpy.Event, Any, None]


class EventModel:
    """The machine as SimPy processes."""

    def __init__(self, program: Program) -> None:
        self.env = env = simpy.Environment()
        self.program = program
        machine = program.machine
        self.units = {unit.name: unit for unit in machine.units}
        self.places = {
            unit.name: simpy.Container(env, capacity=unit.queue, init=unit.queue) for unit in machine.units
        }
        self.queues = {unit.name: simpy.Store(env) for unit in machine.units}
        self.ports = {name: simpy.Resource(env) for name in machine.ports}
        self.slots = {
            item.name: simpy.Container(env, capacity=item.slots, init=item.slots) for item in machine.buffers
        }
        self.results: dict[str, list[simpy.Event]] = {}
        self.completions: dict[str, int] = {}
        self.end = 0

    def run(self) -> None:
        self.env.process(self.front_end())
        for name in self.units:
            self.env.process(self.unit(name))
        self.env.run()

    def front_end(self) -> Process:
        machine, issues = self.program.machine, []
        for item in unrolled(self.program.body):
            if len(issues) >= machine.issue_width:
                wait = issues[-machine.issue_width] + machine.issue_cycles - self.env.now
                if wait > 0:
                    yield self.env.timeout(wait)
            yield self.places[item.unit].get(1)
            issues.append(self.env.now)
            history = (self.results.get(wait.on, [])[-wait.back :] for wait in item.after)
            waits = [
                found[0] for wait, found in zip(item.after, history, strict=True) if len(found) >= wait.back
            ]
            grants = [(self.ports[use.port].request(), use) for use in item.ports]
            slots = [self.slots[name].get(1) for name in item.acquires]
            done = self.env.event()
            self.results.setdefault(item.name, []).append(done)
            yield self.queues[item.unit].put((item, waits, grants, slots, done))

    def unit(self, name: str) -> Process:
        while True:
            item, waits, grants, slots, done = yield self.queues[name].get()
            yield self.env.all_of([*waits, *slots, *(grant for grant, _ in grants)])
            yield self.places[name].put(1)
            for grant, use in grants:
                self.env.process(self.leave(grant, use))
            self.env.process(self.complete(item, done))
            yield self.env.timeout(max(item.cycles, self.units[name].interval))

    def leave(self, grant: Any, use: PortUse) -> Process:
        yield self.env.timeout(use.cycles)
        self.ports[use.port].release(grant)

    def complete(self, item: Instruction, done: simpy.Event) -> Process:
        yield self.env.timeout(item.cycles + self.units[item.unit].latency)
        done.succeed()
        for name in item.releases:
            self.slots[name].put(1)
        self.completions[item.name] = self.env.now
        self.end = self.env.now


def unrolled(block: Block) -> list[Instruction]:
    items: list[Instruction] = []
    for item in block:
        items.extend(unrolled(item.body) * item.count if isinstance(item, Loop) else [item])
    return items


STAGES = ("load", "array", "store")


@st.composite
def tile_programs(draw: st.DrawFn) -> Program:
    """Loads, computations and stores over tiles, prefetched or not, with loops of array instructions."""
    cycles = st.integers(0, 9)
    slots = draw(st.integers(1, 3))
    machine = InstructionMachine(
        units=tuple(
            FunctionalUnit(
                name=name,
                latency=draw(cycles),
                interval=draw(st.integers(0, 3)),
                queue=draw(st.integers(1, 3)),
            )
            for name in STAGES
        ),
        buffers=(Buffer(name="input", slots=slots), Buffer(name="output", slots=draw(st.integers(1, 2)))),
        ports=("bus", "memory"),
        issue_width=draw(st.integers(1, 3)),
        issue_cycles=draw(st.integers(0, 2)),
    )
    bus = PortUse(port="bus", cycles=draw(cycles))
    load = Instruction(
        name="load", kind="load", unit="load", cycles=draw(cycles), acquires=("input",),
        ports=(bus, PortUse(port="memory", cycles=draw(cycles))),
    )  # fmt: skip
    ahead = draw(st.integers(0, slots - 1))
    start = Instruction(
        name="start", kind="configure", unit="array", cycles=draw(cycles), acquires=("output",),
        after=(Dependency(on="load", back=1 + ahead),),
    )  # fmt: skip
    multiply = Instruction(
        name="multiply", kind="compute", unit="array", cycles=draw(cycles),
        after=draw(st.sampled_from(((), (Dependency(on="multiply", back=2),)))),
    )  # fmt: skip
    finish = Instruction(
        name="finish", kind="compute", unit="array", cycles=draw(cycles), releases=("input",)
    )
    store = Instruction(
        name="store", kind="store", unit="store", cycles=draw(cycles), releases=("output",),
        ports=(bus,), after=(Dependency(on="finish"),),
    )  # fmt: skip
    body = (load, start, Loop(count=draw(st.integers(0, 6)), body=(multiply,)), finish, store)
    return Program(
        machine=machine,
        body=(
            *[load] * ahead,
            Loop(count=draw(st.integers(1, 12)), body=body),
            *body[1:] * ahead,
            multiply,
        ),
    )


@settings(max_examples=80, deadline=None)
@given(tile_programs())
def test_events_give_the_same_cycles(program: Program) -> None:
    model = EventModel(program)
    model.run()
    found = evaluate_program(program)
    assert found.cycles == model.end
    assert dict(found.completions) == model.completions


@st.composite
def loose_programs(draw: st.DrawFn) -> Program:
    """Any instructions on any units with ports and dependencies, no buffers."""
    cycles = st.integers(0, 7)
    machine = InstructionMachine(
        units=tuple(
            FunctionalUnit(name=name, latency=draw(cycles), queue=draw(st.integers(1, 3))) for name in STAGES
        ),
        ports=("bus", "memory"),
        issue_width=draw(st.integers(1, 2)),
        issue_cycles=draw(st.integers(0, 2)),
    )
    names = ("a", "b", "c", "d")
    waits = st.lists(st.tuples(st.sampled_from(names), st.integers(1, 3)), max_size=2)
    items = [
        Instruction(
            name=name,
            kind="compute",
            unit=draw(st.sampled_from(STAGES)),
            cycles=draw(cycles),
            ports=tuple(
                PortUse(port=port, cycles=draw(cycles))
                for port in draw(st.lists(st.sampled_from(machine.ports), unique=True, max_size=2))
            ),
            after=tuple(Dependency(on=on, back=back) for on, back in draw(waits)),
        )
        for name in names
    ]
    inner = Loop(count=draw(st.integers(1, 5)), body=tuple(items[:2]))
    return Program(machine=machine, body=(Loop(count=draw(st.integers(1, 8)), body=(inner, *items[2:])),))


@settings(max_examples=80, deadline=None)
@given(loose_programs())
def test_events_give_the_same_cycles_for_any_units(program: Program) -> None:
    model = EventModel(program)
    model.run()
    found = evaluate_program(program)
    assert found.cycles == model.end
    assert dict(found.completions) == model.completions
