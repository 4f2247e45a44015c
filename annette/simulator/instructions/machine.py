"""Instructions, loops over them, and the pipelined machine that runs them.

The machine issues in program order. An instruction waits in the queue of its unit until it starts; it starts
when the unit is free, what it depends on is complete, its ports are free and its buffers have a slot for it.
All times are whole cycles. Ports and slots are given out in program order: a load that the program names
before a store gets the bus first. That makes every time a maximum of sums of earlier times, never a choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from annette.errors import HardwareError
from annette.hardware.checks import check_fields, quantity

__all__ = [
    "KINDS",
    "Block",
    "Buffer",
    "Dependency",
    "FunctionalUnit",
    "Instruction",
    "InstructionMachine",
    "Loop",
    "PortUse",
]

KINDS = ("load", "compute", "store", "configure")
"""What instructions do; for people, the engines treat all alike."""

_MAX_CYCLES, _MAX_SIZE, _MAX_COUNT = 1 << 62, 1 << 16, 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionalUnit:
    """A unit that starts the instructions of its queue one after the other."""

    name: str
    latency: int = quantity(at_least=0, at_most=_MAX_CYCLES, default=0)
    """Cycles from the last cycle at work on an instruction to its result; does not keep the unit busy."""
    interval: int = quantity(at_least=0, at_most=_MAX_CYCLES, default=0)
    """Cycles from one start to the next at least, however short the instruction."""
    queue: int = quantity(at_least=1, at_most=_MAX_SIZE, default=2)
    """Instructions that may have been issued to the unit without having started."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """An on-chip memory in slots, used as a ring: slots come free in the order of the program."""

    name: str
    slots: int = quantity(at_least=1, at_most=_MAX_SIZE)
    """2 is a double buffer."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionMachine:
    """What runs a program: a front-end, units, buffers and shared ports."""

    units: tuple[FunctionalUnit, ...]
    buffers: tuple[Buffer, ...] = ()
    ports: tuple[str, ...] = ()
    """Names of what one instruction at a time may use, whatever its unit: a bus."""
    issue_width: int = quantity(at_least=1, at_most=_MAX_SIZE, default=1)
    """Instructions that the front-end issues in `issue_cycles`."""
    issue_cycles: int = quantity(at_least=0, at_most=_MAX_CYCLES, default=1)

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.units:
            raise HardwareError("instruction machine: units: found none, expected at least one")
        names = (*(unit.name for unit in self.units), *(item.name for item in self.buffers), *self.ports)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise HardwareError(
                f"instruction machine: found {', '.join(map(repr, twice))} more than once, "
                "expected one name for each unit, buffer and port"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PortUse:
    """A port that an instruction occupies from its start."""

    port: str
    cycles: int = quantity(at_least=0, at_most=_MAX_CYCLES)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A wait for the result of an earlier instruction; none if there was none so far."""

    on: str
    """Name of the instruction."""
    back: int = quantity(at_least=1, at_most=_MAX_SIZE, default=1)
    """Which of its executions, counted back from here: 1 is the latest. Of an instruction further up in the
    same loop body, ``back=1`` is this iteration and ``back=1 + d`` is d iterations ago; of one further down,
    or of itself, ``back=d`` is d iterations ago."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction of a program; several places of a program may use one name."""

    name: str
    kind: str
    """One of `KINDS`."""
    unit: str
    cycles: int = quantity(at_least=0, at_most=_MAX_CYCLES)
    """Cycles that the unit is at work on it."""
    ports: tuple[PortUse, ...] = ()
    acquires: tuple[str, ...] = ()
    """Buffers of which it takes a slot when it starts."""
    releases: tuple[str, ...] = ()
    """Buffers of which it frees the oldest taken slot when it is complete."""
    after: tuple[Dependency, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        if self.kind not in KINDS:
            raise HardwareError(
                f"instruction {self.name!r}: kind: found {self.kind!r}, expected one of {', '.join(KINDS)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A body that runs so many times."""

    count: int = quantity(at_least=0, at_most=_MAX_COUNT)
    body: Block

    def __post_init__(self) -> None:
        check_fields(self)


Block: TypeAlias = tuple[Instruction | Loop, ...]
"""What runs one after the other."""
