"""The units of an accelerator as kernels see them, with what has been found out about nests and streams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from annette.errors import HardwareError
from annette.hardware.accelerator import Accelerator
from annette.simulator.array_engine import (
    ArrayMachine,
    array_machine,
    known_times,
    time_ahead,
    time_array,
)
from annette.simulator.compiled import CompiledNetwork
from annette.simulator.kept_tensors import KernelView
from annette.simulator.nests import ArrayNest, KernelTime, Stream
from annette.simulator.stream_engine import (
    VectorMachine,
    known_vector_times,
    time_host,
    time_streams_ahead,
    time_vector,
)
from annette.simulator.systolic_engine import time_systolic

__all__ = ["Step", "Units", "units_of", "view_units"]

Step = tuple[str, tuple[str, ...]]
"""A unit, and the layers that it runs as one kernel."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Units:
    """The units of an accelerator as the kernels of one view see them."""

    accelerator: Accelerator
    machine: ArrayMachine
    vector: VectorMachine | None
    array_times: dict[ArrayNest, KernelTime | None]
    """As `known_times` says: looked up here, since a machine takes as long to hash as a nest to lower."""
    vector_times: dict[Stream, KernelTime | None]

    def time(self, compiled: CompiledNetwork, step: Step) -> KernelTime:
        """The time of these layers as one nest or stream on the unit, as its engine says it.

        Raises
        ------
        HardwareError
            If the unit cannot run them, or the accelerator has no such unit.
        """
        unit, layers = step
        if unit == "array":
            nest, machine = compiled.nest(layers), self.machine
            if machine.systolic is not None:
                return time_systolic(nest, machine.systolic, machine)
            return self.array_times.get(nest) or time_array(nest, machine)
        stream = compiled.stream(layers, self.accelerator.external_memory)
        if unit == "vector" and self.vector is not None:
            return self.vector_times.get(stream) or time_vector(stream, self.vector)
        host, external = self.accelerator.host, self.accelerator.external_memory
        if host is None:
            raise HardwareError(f"placed on {unit!r}, a unit that the accelerator does not have")
        return time_host(stream, host, external, self.accelerator.precision.weight_bytes)

    def time_ahead(self, compiled: CompiledNetwork, steps: Iterable[Step]) -> None:
        """Find out together what `time` will be asked for one by one."""
        nests, streams = [], []
        for unit, layers in steps:
            if unit == "array" and self.machine.systolic is None:
                with suppress(HardwareError):  # it is raised when the step's turn comes
                    nests.append(compiled.nest(layers))
            elif unit == "vector" and self.vector is not None:
                streams.append(compiled.stream(layers, self.accelerator.external_memory))
        time_ahead(nests, self.machine)
        if self.vector is not None:
            time_streams_ahead(streams, self.vector)


def units_of(views: Sequence[KernelView]) -> list[Units]:
    """`view_units` of each; the same object for the same view."""
    distinct: list[tuple[KernelView, Units]] = []
    found = []
    for view in views:
        units = next((units for known, units in distinct if known is view), None)
        if units is None:
            units = view_units(view)
            distinct.append((view, units))
        found.append(units)
    return found


@lru_cache(maxsize=256)
def view_units(view: KernelView) -> Units:
    """The units as the kernels of ``view`` see them."""
    accelerator, vector = view.accelerator, None
    machine = array_machine(accelerator, view.weight_bus_factor, has_weight_port=view.has_weight_port)
    if accelerator.vector is not None:
        vector = VectorMachine(
            unit=accelerator.vector,
            external=accelerator.external_memory,
            activation_bytes=accelerator.precision.activation_bytes,
            weight_bytes=accelerator.precision.weight_bytes,
        )
    return Units(
        accelerator=accelerator,
        machine=machine,
        vector=vector,
        array_times=known_times(machine),
        vector_times={} if vector is None else known_vector_times(vector),
    )
