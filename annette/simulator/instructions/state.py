"""The state of a machine between two instructions, as the times that later instructions can still feel."""

from __future__ import annotations

from dataclasses import dataclass

from annette.simulator.instructions.machine import Block, Instruction, Loop
from annette.simulator.instructions.program import Program, count_instructions

__all__ = ["Cells", "CompiledBlock", "CompiledLoop", "Operation", "State", "compile_program"]

Cells = tuple[tuple[int, ...], ...]
"""Times by cell, in cycles after some moment; 0 for all that are not later than it."""

_FRONT_END = 0
"""The cell of the front-end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An instruction with positions for names: of the cells of a `State` that it looks at and changes."""

    name: int
    free: int
    """The unit: when it is free."""
    queue: int
    """The unit: when each place of its queue is free, oldest first."""
    waits: tuple[tuple[int, int], ...]
    """Cells of complete instructions, and how far back."""
    history: int | None
    """The cell of its own completions; ``None`` if nothing waits for them."""
    ports: tuple[tuple[int, int], ...]
    """Cells of ports, and cycles."""
    acquires: tuple[int, ...]
    releases: tuple[tuple[int, int], ...]
    """Cells of free slots, and of the last one freed."""
    busy: int
    """Cycles from its start until the unit is free."""
    total: int
    """Cycles from its start until it is complete."""
    touched: frozenset[int]
    """All cells above and the front-end's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledBlock:
    """Operations and loops; equal blocks of a program are one object."""

    items: tuple[Operation | CompiledLoop, ...]
    touched: tuple[int, ...]
    """Cells that any of it looks at or changes, in order."""
    names: tuple[int, ...]
    """Instructions that run in it, in order."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledLoop:
    """A block that runs so many times; equal loops of a program are one object."""

    count: int
    body: CompiledBlock


class State:
    """Times in cycles since the program began, as cells of one or more.

    A cell holds times before which something cannot happen: the unit cannot start, the queue takes no more,
    the slot is not free, the result is not there. The floor is the issue of the latest instruction. No later
    one is issued, or starts, before it; so a time not later than the floor is never felt, whatever it is.
    """

    def __init__(self, cells: list[list[int]], issue_cycles: int, names: int) -> None:
        self.cells = cells
        self.issue_cycles = issue_cycles
        self.floor = 0
        """Issue of the latest instruction."""
        self.end = 0
        """The latest completion since somebody set it to 0."""
        self.last: list[int | None] = [None] * names
        """Of each instruction the completion of its last execution."""
        self.operations = 0
        """Operations run."""

    def run(self, item: Operation) -> None:
        """Run one operation: the equations of `unroll_program`."""
        cells = self.cells
        front, queue, free = cells[_FRONT_END], cells[item.queue], cells[item.free]
        issue = max(self.floor, front[0], queue[0])
        start = max(issue, free[0])
        for cell, back in item.waits:
            start = max(start, cells[cell][-back])
        for cell, _ in item.ports:
            start = max(start, cells[cell][0])
        for cell in item.acquires:
            start = max(start, cells[cell].pop(0))
        complete = start + item.total
        self.floor = issue
        _push(front, issue + self.issue_cycles)
        _push(queue, start)
        free[0] = start + item.busy
        for cell, cycles in item.ports:
            cells[cell][0] = max(cells[cell][0], start + cycles)
        for cell, latest in item.releases:
            cells[latest][0] = max(cells[latest][0], complete)
            cells[cell].append(cells[latest][0])
        if item.history is not None:
            _push(cells[item.history], complete)
        self.last[item.name] = complete
        self.end = max(self.end, complete)
        self.operations += 1

    def relative(self, touched: tuple[int, ...]) -> Cells:
        """The times of these cells after the floor: where these are equal, so is what follows."""
        floor, cells = self.floor, self.cells
        return tuple([tuple([t - floor if t > floor else 0 for t in cells[cell]]) for cell in touched])

    def restore(self, touched: tuple[int, ...], times: Cells) -> None:
        """Put back what `relative` gave, after the floor of now."""
        floor = self.floor
        for cell, values in zip(touched, times, strict=True):
            self.cells[cell] = [floor + value for value in values]

    def shift(self, block: CompiledBlock, cycles: int) -> None:
        """Let all that ``block`` changes, and the floor, be so much later."""
        self.floor += cycles
        for cell in block.touched:
            self.cells[cell] = [value + cycles for value in self.cells[cell]]
        for name in block.names:
            before = self.last[name]
            self.last[name] = None if before is None else before + cycles


def _push(times: list[int], time: int) -> None:
    """Append a time and forget the oldest."""
    del times[0]
    times.append(time)


def compile_program(program: Program) -> tuple[CompiledBlock, State, tuple[str, ...]]:
    """The program with positions for names, the state before it, and the names of its instructions."""
    compiler = _Compiler(program)
    block = compiler.block(program.body)
    machine = program.machine
    return block, State(compiler.cells, machine.issue_cycles, len(compiler.names)), tuple(compiler.names)


class _Compiler:
    """Lays out the cells and gives equal parts of a program one object."""

    def __init__(self, program: Program) -> None:
        machine = program.machine
        self.units = {unit.name: unit for unit in machine.units}
        self.cells = [[0] * machine.issue_width]
        self.free = {unit.name: self._cell(1) for unit in machine.units}
        self.queues = {unit.name: self._cell(unit.queue) for unit in machine.units}
        self.ports = {name: self._cell(1) for name in machine.ports}
        self.slots = {item.name: self._cell(item.slots) for item in machine.buffers}
        self.freed = {item.name: self._cell(1) for item in machine.buffers}
        self.histories = {name: self._cell(back) for name, back in _reaches(program.body).items()}
        self.names: dict[str, int] = {}
        self._operations: dict[Instruction, Operation] = {}
        self._loops: dict[tuple[int, int], CompiledLoop] = {}
        self._blocks: dict[tuple[int, ...], CompiledBlock] = {}

    def _cell(self, size: int) -> int:
        self.cells.append([0] * size)
        return len(self.cells) - 1

    def block(self, block: Block) -> CompiledBlock:
        items = tuple(
            self._loop(item) if isinstance(item, Loop) else self._operation(item)
            for item in block
            if not isinstance(item, Loop) or count_instructions((item,))
        )
        key = tuple(map(id, items))
        if key not in self._blocks:
            touched: set[int] = set()
            names: set[int] = set()
            for item in items:
                touched.update(item.body.touched if isinstance(item, CompiledLoop) else item.touched)
                names.update(item.body.names if isinstance(item, CompiledLoop) else (item.name,))
            self._blocks[key] = CompiledBlock(
                items=items, touched=tuple(sorted(touched)), names=tuple(sorted(names))
            )
        return self._blocks[key]

    def _loop(self, loop: Loop) -> CompiledLoop:
        body = self.block(loop.body)
        return self._loops.setdefault((loop.count, id(body)), CompiledLoop(count=loop.count, body=body))

    def _operation(self, item: Instruction) -> Operation:
        if item not in self._operations:
            self._operations[item] = self._compiled(item)
        return self._operations[item]

    def _compiled(self, item: Instruction) -> Operation:
        unit = self.units[item.unit]
        free, queue = self.free[item.unit], self.queues[item.unit]
        waits = tuple((self.histories[wait.on], wait.back) for wait in item.after)
        history = self.histories.get(item.name)
        ports = tuple((self.ports[use.port], use.cycles) for use in item.ports)
        acquires = tuple(self.slots[name] for name in item.acquires)
        releases = tuple((self.slots[name], self.freed[name]) for name in item.releases)
        touched = {_FRONT_END, free, queue, *(cell for cell, _ in (*waits, *ports)), *acquires}
        touched.update(cell for pair in releases for cell in pair)
        if history is not None:
            touched.add(history)
        return Operation(
            name=self.names.setdefault(item.name, len(self.names)),
            free=free,
            queue=queue,
            waits=waits,
            history=history,
            ports=ports,
            acquires=acquires,
            releases=releases,
            busy=max(item.cycles, unit.interval),
            total=item.cycles + unit.latency,
            touched=frozenset(touched),
        )


def _reaches(block: Block) -> dict[str, int]:
    """By name of the instructions that others wait for, how far back they do at most."""
    reaches: dict[str, int] = {}
    for item in block:
        if isinstance(item, Loop):
            found = _reaches(item.body)
        else:
            found = {}
            for wait in item.after:
                found[wait.on] = max(wait.back, found.get(wait.on, 0))
        for name, back in found.items():
            reaches[name] = max(back, reaches.get(name, 0))
    return reaches
