"""Programs: nests of loops over instructions on a machine, checked before they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from annette.errors import HardwareError
from annette.simulator.instructions.machine import Block, Instruction, InstructionMachine, Loop

__all__ = ["Program", "count_instructions", "count_iterations"]

_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A block on its machine, checked: all names known, and never more slots taken than there are."""

    machine: InstructionMachine
    body: Block

    def __post_init__(self) -> None:
        known = {
            "unit": {unit.name for unit in self.machine.units},
            "ports": set(self.machine.ports),
            "buffers": {item.name for item in self.machine.buffers},
        }
        found = tuple(_instructions(self.body, 0))
        known["after"] = {item.name for item in found}
        for item in found:
            _check_names(item, known)
        _check_slots(self.body, {item.name: item.slots for item in self.machine.buffers})

    @property
    def instructions(self) -> int:
        """Instructions that the program stands for."""
        return count_instructions(self.body)

    @property
    def iterations(self) -> int:
        """Iterations of all its loops that the program stands for."""
        return count_iterations(self.body)


def count_instructions(block: Block) -> int:
    """Instructions of ``block``, each counted as often as it runs."""
    return sum(item.count * count_instructions(item.body) if isinstance(item, Loop) else 1 for item in block)


def count_iterations(block: Block) -> int:
    """Iterations of the loops of ``block``, at all levels."""
    loops = (item for item in block if isinstance(item, Loop))
    return sum(item.count * (1 + count_iterations(item.body)) for item in loops)


def _instructions(block: Block, depth: int) -> Iterator[Instruction]:
    """The instructions as the program names them, each place once."""
    if depth > _MAX_DEPTH:
        raise HardwareError(f"program: found loops more than {_MAX_DEPTH} deep, expected fewer levels")
    for item in block:
        if isinstance(item, Loop):
            yield from _instructions(item.body, depth + 1)
        else:
            yield item


def _check_names(item: Instruction, known: dict[str, set[str]]) -> None:
    asked = (
        ("unit", (item.unit,)),
        ("ports", tuple(use.port for use in item.ports)),
        ("buffers", (*item.acquires, *item.releases)),
        ("after", tuple(dependency.on for dependency in item.after)),
    )
    for field, names in asked:
        for name in names:
            if name not in known[field]:
                raise HardwareError(
                    f"instruction {item.name!r}: {field}: found {name!r}, "
                    f"expected one of {', '.join(sorted(known[field])) or 'none'}"
                )


@dataclass(slots=True)
class _Level:
    """Slots taken since the start of a block: now, at least and at most meanwhile."""

    now: int = 0
    least: int = 0
    most: int = 0

    def add(self, other: _Level) -> None:
        self.least = min(self.least, self.now + other.least)
        self.most = max(self.most, self.now + other.most)
        self.now += other.now


def _check_slots(block: Block, slots: Mapping[str, int]) -> None:
    """Pass if every slot is free when the program takes it, taken when it is freed, and free in the end.

    Raises
    ------
    HardwareError
        Naming the buffer: such a program would wait for ever.
    """
    for name, level in _levels(block).items():
        if level.now or level.least < 0 or level.most > slots[name]:
            raise HardwareError(
                f"buffer {name!r}: found a program that takes up to {level.most} slots, frees "
                f"{-level.least} not taken and leaves {level.now} taken, expected at most {slots[name]}, "
                "0 and 0"
            )


def _levels(block: Block) -> dict[str, _Level]:
    levels: dict[str, _Level] = {}
    for item in block:
        own = _loop_levels(item) if isinstance(item, Loop) else _instruction_levels(item)
        for name, level in own.items():
            levels.setdefault(name, _Level()).add(level)
    return levels


def _loop_levels(loop: Loop) -> dict[str, _Level]:
    if not loop.count:
        return {}
    levels = _levels(loop.body)
    for name, level in levels.items():
        if level.now:
            raise HardwareError(
                f"buffer {name!r}: found a loop body that takes {level.now} slots more than it frees, "
                "expected as many of each"
            )
    return levels


def _instruction_levels(item: Instruction) -> dict[str, _Level]:
    levels: dict[str, _Level] = {}
    for name in item.acquires:
        levels.setdefault(name, _Level()).add(_Level(1, 0, 1))
    for name in item.releases:
        levels.setdefault(name, _Level()).add(_Level(-1, -1, 0))
    return levels
