"""The accelerator as an instruction machine, and the instructions that all kernels share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from annette.hardware.accelerator import ExternalMemory
from annette.simulator.instructions.machine import (
    Block,
    Buffer,
    Dependency,
    FunctionalUnit,
    Instruction,
    InstructionMachine,
    PortUse,
)

__all__ = ["Engine", "whole_cycles"]

_QUEUE = 2
"""Instructions that wait at a unit: enough, since the loads of a tile are named a tile ahead."""
_LOAD_QUEUE = 8
"""Room for all the loads of a tile, so that they do not hold up the front-end."""
_ISSUE_WIDTH = 2
"""The array takes one instruction a cycle at most; the front-end has a second for the other units."""


def whole_cycles(cycles: float) -> int:
    """Cycles rounded up, as a transfer takes them; what is whole but for the rounding of floats stays."""
    return math.ceil(cycles * (1 - 1e-12))


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What turns amounts into instructions: clock and memory of one kernel's unit."""

    clock_hz: float
    external: ExternalMemory
    overlaps: bool
    """Whether buffers have two slots or one."""
    buffers: tuple[str, ...]
    """Names of the buffers of loaded operands."""
    has_weight_port: bool = False
    """Whether weights come over a port of their own."""

    @property
    def machine(self) -> InstructionMachine:
        """DMA engines for loads and stores on one bus, the array (or vector unit), its post-processor."""
        slots = 2 if self.overlaps else 1
        return InstructionMachine(
            units=(
                FunctionalUnit(name="control", queue=_QUEUE),
                FunctionalUnit(name="dma-load", queue=_LOAD_QUEUE),
                *([FunctionalUnit(name="dma-weights", queue=_LOAD_QUEUE)] if self.has_weight_port else []),
                FunctionalUnit(name="array", queue=_QUEUE),
                FunctionalUnit(name="post-processor", queue=_QUEUE),
                FunctionalUnit(name="dma-store", queue=_QUEUE),
            ),
            buffers=tuple(Buffer(name=name, slots=slots) for name in (*self.buffers, "output")),
            ports=("bus", *(["weight-bus"] if self.has_weight_port else []), "weight-registers"),
            issue_width=_ISSUE_WIDTH,
        )

    def cycles(self, seconds: float) -> int:
        """Seconds as whole cycles of the unit's clock."""
        return whole_cycles(seconds * self.clock_hz)

    def launch(self, seconds: float) -> Instruction:
        """Starts the kernel."""
        return Instruction(name="launch", kind="configure", unit="control", cycles=self.cycles(seconds))

    def request(self, *operands: str) -> Instruction:
        """Asks for the operands of a tile as soon as there is room, and waits for the first byte."""
        return Instruction(
            name="request",
            kind="configure",
            unit="dma-load",
            cycles=self.cycles(self.external.latency_s),
            acquires=operands,
            after=(Dependency(on="launch"),),
        )

    def load(self, operand: str, size_bytes: float, *, acquires: tuple[str, ...] = ()) -> Block:
        """Moves so many bytes, bursts and paddings included, over the bus."""
        cycles = self.cycles(size_bytes / self.external.bandwidth_bytes_per_s)
        is_apart = self.has_weight_port and operand == "weight"
        use = PortUse(port="weight-bus" if is_apart else "bus", cycles=cycles)
        return (
            Instruction(
                name=f"load {operand}",
                kind="load",
                unit="dma-weights" if is_apart else "dma-load",
                cycles=cycles,
                ports=(use,),
                acquires=acquires,
                # What a request made room for waits for it on the other unit too.
                after=(Dependency(on="request"),) if is_apart and not acquires else (),
            ),
        )

    def store(self, size_bytes: float, *after: str) -> Block:
        """Moves the results of a tile out, when it is done."""
        cycles = self.cycles(size_bytes / self.external.bandwidth_bytes_per_s)
        return (
            Instruction(
                name="store",
                kind="store",
                unit="dma-store",
                cycles=cycles,
                ports=(PortUse(port="bus", cycles=cycles),),
                releases=("output",),
                after=tuple(Dependency(on=name) for name in after),
            ),
        )

    def settle(self) -> Instruction:
        """Waits until the memory has what was stored last; slots come free when their data has left."""
        cycles = self.cycles(self.external.latency_s)
        return Instruction(name="settle", kind="configure", unit="dma-store", cycles=cycles)

    @staticmethod
    def sync(cycles: float, operands: tuple[str, ...], *, takes_room: bool = True) -> Block:
        """Starts a tile on the array once its operands are there."""
        return (
            Instruction(
                name="sync",
                kind="configure",
                unit="array",
                cycles=round(cycles),
                acquires=("output",) if takes_room else (),
                after=tuple(Dependency(on=f"load {name}") for name in operands),
            ),
        )

    @staticmethod
    def step(name: str) -> Instruction:
        """One cycle of the array (or the vector unit): a block of the unroll, a vector, an issue of lanes."""
        return Instruction(name=name, kind="compute", unit="array", cycles=1)

    @staticmethod
    def configure(name: str, cycles: float, *, weight_load: int = 0) -> Block:
        """Cycles that the array does not work in; and what the next block of weights needs to come in."""
        ports = (PortUse(port="weight-registers", cycles=weight_load),) if weight_load else ()
        item = Instruction(name=name, kind="configure", unit="array", cycles=round(cycles), ports=ports)
        return (item,) if item.cycles or ports else ()

    @staticmethod
    def post(cycles: int, after: str) -> Block:
        """Work of the post-processor on results of the array."""
        item = Instruction(
            name="post",
            kind="compute",
            unit="post-processor",
            cycles=cycles,
            after=(Dependency(on=after),),
        )
        return (item,) if cycles else ()

    @staticmethod
    def finish(*frees: str) -> Instruction:
        """Says that a tile is done, and frees its operands."""
        return Instruction(name="finish", kind="configure", unit="array", cycles=0, releases=frees)
