"""Runs a network instruction by instruction, beside the tile engines that the simulator uses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from annette.errors import HardwareError
from annette.graph.mapping import Kernel
from annette.graph.network import Layer, Network
from annette.hardware.accelerator import Accelerator
from annette.simulator.array_engine import array_machine
from annette.simulator.compiled import PreparedNetwork
from annette.simulator.facts import NetworkFacts
from annette.simulator.instructions.engine import evaluate_program
from annette.simulator.instructions.evaluation import Evaluation
from annette.simulator.instructions.lowering import lower_program, lower_stream
from annette.simulator.instructions.program import Program
from annette.simulator.kept_tensors import kernel_views
from annette.simulator.lowering import lower_to_array, lower_to_stream
from annette.simulator.run import time_on_unit

__all__ = ["InstructionKernel", "evaluate_network", "kernel_program"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionKernel:
    """One kernel of the array or the vector unit, timed both ways."""

    kernel: Kernel
    clock_hz: float
    """Of its unit; all cycles are of this clock."""
    evaluation: Evaluation
    """What the instruction engine says."""
    tile_cycles: float
    """What the tile engine says of the same nest or stream; > 0."""
    elapsed_s: float
    """Seconds to lower and evaluate the program."""

    @property
    def latency_s(self) -> float:
        """Seconds from launch to the last byte stored, by instructions."""
        return self.evaluation.cycles / self.clock_hz

    @property
    def tile_latency_s(self) -> float:
        """The same by the tile engine."""
        return self.tile_cycles / self.clock_hz

    @property
    def difference(self) -> float:
        """By how much of the tile engine's time the instructions take longer; below 0: shorter."""
        return self.evaluation.cycles / self.tile_cycles - 1.0


def evaluate_network(
    network: Network, accelerator: Accelerator, *, clock: Callable[[], float] = time.perf_counter
) -> tuple[InstructionKernel, ...]:
    """All kernels of ``network`` on the array and the vector unit; those on the host have no instructions.

    Each kernel is the nest or the stream of all its layers. The limits that `annette.simulator.run.simulate`
    sets to what merging may cost are no part of either engine, and are left out on both sides.

    Parameters
    ----------
    clock : callable
        Seconds, for `InstructionKernel.elapsed_s`.

    Raises
    ------
    HardwareError
        If no unit can run a layer, or a kernel does not fit the on-chip memories.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> from annette.hardware.codec import load_accelerator
    >>> build = NetworkBuilder("one")
    >>> network = build.finish(build.conv(build.input("x", (1, 64, 32, 32)), 64, kernel=3, padding=1))
    >>> (kernel,) = evaluate_network(network, load_accelerator("zcu102-dpu"))
    >>> abs(kernel.difference) < 0.05
    True
    """
    compiled = PreparedNetwork(network).compiled(accelerator)
    kernels, found = compiled.mapping.kernels, []
    views = kernel_views(kernels, accelerator, lambda kernel: compiled.moved(kernel.layers))
    for kernel, view in zip(kernels, views, strict=True):
        if kernel.unit == "host":
            continue
        started = clock()
        try:
            program = kernel_program(
                compiled.facts,
                view.accelerator,
                kernel.unit,
                compiled.layers(kernel.layers),
                weight_bus_factor=view.weight_bus_factor,
                has_weight_port=view.has_weight_port,
            )
            evaluation = evaluate_program(program)
            elapsed_s = clock() - started
            tile = time_on_unit(compiled, view, kernel.unit, kernel.layers)
        except HardwareError as err:
            raise HardwareError(f"accelerator {accelerator.name!r}: kernel {kernel.name!r}: {err}") from err
        clock_hz = accelerator.clock_hz
        if kernel.unit == "vector" and accelerator.vector is not None:
            clock_hz = accelerator.vector.clock_hz
        found.append(
            InstructionKernel(
                kernel=kernel,
                clock_hz=clock_hz,
                evaluation=evaluation,
                tile_cycles=tile.latency_s * clock_hz,
                elapsed_s=elapsed_s,
            )
        )
    return tuple(found)


def kernel_program(
    facts: NetworkFacts,
    accelerator: Accelerator,
    unit: str,
    layers: Sequence[Layer],
    *,
    weight_bus_factor: float = 1.0,
    has_weight_port: bool = False,
) -> Program:
    """The program of layers merged into one kernel of the array or the vector unit.

    Raises
    ------
    HardwareError
        If the unit cannot run them.
    """
    if unit == "array":
        machine = array_machine(accelerator, weight_bus_factor, has_weight_port=has_weight_port)
        return lower_program(lower_to_array(facts, layers), machine)
    if unit == "vector" and accelerator.vector is not None:
        stream = lower_to_stream(facts, layers, accelerator.external_memory)
        return lower_stream(stream, accelerator.vector, accelerator)
    raise HardwareError(f"found unit {unit!r}, expected the array or a vector unit that the accelerator has")
