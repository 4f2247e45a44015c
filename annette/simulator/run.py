"""Runs a network on an accelerator: compiles it and times every kernel, without noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, pairwise

from annette.errors import HardwareError
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator
from annette.simulator.accesses import Accesses
from annette.simulator.compiled import CompiledNetwork, PreparedNetwork
from annette.simulator.energy import KernelEnergy, kernel_energy
from annette.simulator.kept_tensors import KernelView, kernel_views
from annette.simulator.lowering import is_free_after_array
from annette.simulator.nests import KernelTime
from annette.simulator.units import Step, Units, units_of, view_units

__all__ = ["SimulatedKernel", "SimulatedRun", "simulate", "time_on_unit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedKernel:
    """One kernel as the simulator ran it."""

    kernel: Kernel
    """Its layers and its unit."""
    latency_s: float
    """Seconds from launch to the last byte stored; > 0."""
    cycles: float
    """The same in cycles of the array's clock."""
    bound: str
    """What takes the most: ``compute``, ``memory``, ``overhead`` or ``host``."""
    compute_s: float
    """Seconds of useful work, were there nothing else."""
    memory_s: float
    """Seconds on the bus, were there nothing else."""
    overhead_s: float
    """Seconds of launches, pipeline fills and synchronisation."""
    moved_bytes: float
    """Bytes loaded and stored, repeated loads included."""
    utilisation_fraction: float
    """MACs done over the MACs the array could have done meanwhile; in [0, 1]."""
    accesses: Accesses
    """What it did, counted."""
    energy: KernelEnergy | None
    """What that costs; ``None`` where the accelerator has no table of energies."""

    @property
    def energy_j(self) -> float | None:
        """Joules, all parts; ``None`` where not known."""
        return None if self.energy is None else self.energy.total_j


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRun:
    """A network as the simulator ran it."""

    kernels: tuple[SimulatedKernel, ...]
    """In order of execution."""
    eliminated_layers: tuple[str, ...]
    """Names of the layers that vanished."""

    @property
    def latency_s(self) -> float:
        """Sum over the kernels: the device runs one after the other."""
        return sum(item.latency_s for item in self.kernels)

    @property
    def energy_j(self) -> float | None:
        """Joules of all kernels; ``None`` where the accelerator has no table of energies."""
        found = [item.energy_j for item in self.kernels if item.energy_j is not None]
        return math.fsum(found) if len(found) == len(self.kernels) else None

    @property
    def mapping(self) -> Mapping:
        """What the compiler made of the network."""
        kernels = tuple(item.kernel for item in self.kernels)
        return Mapping(kernels=kernels, eliminated_layers=self.eliminated_layers)


def simulate(network: Network | PreparedNetwork, accelerator: Accelerator) -> SimulatedRun:
    """Run ``network`` on ``accelerator`` without noise; the same answer every time.

    A `PreparedNetwork` spares what does not change from one accelerator to the next.

    Raises
    ------
    HardwareError
        If no unit can run a layer, or a kernel does not fit the on-chip memories.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> from annette.hardware.codec import load_accelerator
    >>> build = NetworkBuilder("one")
    >>> x = build.relu(build.conv(build.input("x", (1, 64, 32, 32)), 64, kernel=3, padding=1))
    >>> run = simulate(build.finish(x), load_accelerator("zcu102-dpu"))
    >>> [(item.kernel.name, item.bound) for item in run.kernels]
    [('conv_1+relu_1', 'compute')]
    """
    prepared = network if isinstance(network, PreparedNetwork) else PreparedNetwork(network)
    compiled = prepared.compiled(accelerator)
    views = kernel_views(compiled.mapping.kernels, accelerator, lambda kernel: compiled.moved(kernel.layers))
    peak_macs_per_s = accelerator.peak_ops_per_s / 2
    kernels, units = compiled.mapping.kernels, units_of(views)
    merging = [_merged_steps(compiled, kernel) for kernel in kernels]
    _time_ahead(compiled, units, merging)
    done = []
    for kernel, view, seen, steps in zip(kernels, views, units, merging, strict=True):
        try:
            time = _fused_time(compiled, seen, steps)
        except HardwareError as err:
            raise HardwareError(f"accelerator {accelerator.name!r}: kernel {kernel.name!r}: {err}") from err
        done.append(
            SimulatedKernel(
                kernel=kernel,
                latency_s=time.latency_s,
                cycles=time.latency_s * accelerator.clock_hz,
                bound=time.bound,
                compute_s=time.compute_s,
                memory_s=time.memory_s,
                overhead_s=time.overhead_s,
                moved_bytes=time.moved_bytes,
                utilisation_fraction=min(time.macs / (time.latency_s * peak_macs_per_s), 1.0),
                accesses=time.accesses,
                energy=kernel_energy(
                    time.accesses,
                    time.latency_s,
                    accelerator,
                    keeps_activations=view.keeps_activations,
                    keeps_weights=view.keeps_weights,
                ),
            )
        )
    return SimulatedRun(kernels=tuple(done), eliminated_layers=compiled.mapping.eliminated_layers)


def time_on_unit(
    compiled: CompiledNetwork, view: KernelView, unit: str, layers: tuple[str, ...]
) -> KernelTime:
    """The time of these layers as one nest or stream on the unit, as its tile engine says it.

    Raises
    ------
    HardwareError
        If the unit cannot run them, or the accelerator has no such unit.
    """
    return view_units(view).time(compiled, (unit, layers))


def _merged_steps(compiled: CompiledNetwork, kernel: Kernel) -> list[Step]:
    """The kernel as it grows, layer by layer; without those that leave it as it is."""
    find = compiled.facts.network.layer
    return [
        (kernel.unit, kernel.layers[:count])
        for count, name in enumerate(kernel.layers, start=1)
        if count == 1 or kernel.unit != "array" or not is_free_after_array(find(name))
    ]


def _time_ahead(compiled: CompiledNetwork, units: Sequence[Units], merging: Sequence[Sequence[Step]]) -> None:
    """Time what `_fused_time` will ask for, together for all kernels that see the same accelerator."""
    kernels: dict[Units, list[Sequence[Step]]] = {}
    for seen, steps in zip(units, merging, strict=True):
        kernels.setdefault(seen, []).append(steps)
    for seen, some in kernels.items():
        seen.time_ahead(compiled, chain.from_iterable(some))
        lone: list[Step] = []
        for before, step in chain.from_iterable(map(pairwise, some)):
            with suppress(HardwareError):  # it is raised when the kernel's turn comes
                grown_s = seen.time(compiled, step).latency_s - seen.time(compiled, before).latency_s
                lone.extend(_alone(compiled, seen, step, grown_s))
        seen.time_ahead(compiled, lone)


def _fused_time(compiled: CompiledNetwork, units: Units, steps: Sequence[Step]) -> KernelTime:
    """The time of layers merged into one kernel.

    Layers are merged one by one, and each may only add time, at most as much as it takes as a kernel of its
    own. Both limits are what a compiler does and not what the pipeline formula says by itself: a merged pool,
    which shrinks the output, does not give the array back the time its accumulators need to drain, and a
    compiler that sees no gain in merging runs the layer separately under the same launch.
    """
    first, *others = steps
    time = units.time(compiled, first)
    for step in others:
        merged = units.time(compiled, step)
        if merged.latency_s <= time.latency_s:
            time = _with_latency(merged, time.latency_s)
            continue
        latency_s = merged.latency_s
        for alone in _alone(compiled, units, step, latency_s - time.latency_s):
            latency_s = min(latency_s, time.latency_s + units.time(compiled, alone).latency_s)
        time = _with_latency(merged, latency_s)
    return time


def _alone(compiled: CompiledNetwork, units: Units, step: Step, grown_s: float) -> list[Step]:
    """The last layer of ``step`` as a kernel of its own, where that may take less than merging adds."""
    _, (*_, name) = step
    unit = compiled.unit_of(name)
    return [] if unit is None or grown_s <= _launch_s(units.accelerator, unit) else [(unit, (name,))]


def _launch_s(accelerator: Accelerator, unit: str) -> float:
    """Seconds that any kernel of the unit takes at least."""
    if unit == "array":
        return accelerator.array.launch_s
    if unit == "vector" and accelerator.vector is not None:
        return accelerator.vector.launch_s
    return 0.0


def _with_latency(time: KernelTime, latency_s: float) -> KernelTime:
    if latency_s == time.latency_s:
        return time
    return replace(time, latency_s=latency_s)
