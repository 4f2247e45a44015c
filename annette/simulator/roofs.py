"""The extended roofline of any accelerator: nested ceilings of units and memories for each kernel."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from annette.errors import HardwareError
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator
from annette.hardware.rates import Rates
from annette.simulator.array_engine import array_machine, time_array
from annette.simulator.ceilings import Ceilings
from annette.simulator.compiled import CompiledNetwork, PreparedNetwork
from annette.simulator.kept_tensors import KernelView, kernel_views
from annette.simulator.nests import ArrayNest
from annette.simulator.run import SimulatedKernel, SimulatedRun
from annette.simulator.systolic_engine import time_systolic

__all__ = ["kernel_ceilings", "memory_names", "resource_of"]

_KINDS = tuple(item.name for item in fields(Rates))
_MEMORIES = ("external memory", "activation memory", "weight memory")


def kernel_ceilings(
    network: Network | PreparedNetwork, accelerator: Accelerator, run: SimulatedRun
) -> Ceilings:
    """What each kernel of ``run`` would take on each unit and memory alone, in cycles of the array's clock.

    A row is a kernel as the compiler made it: all layers of a fused pipeline. Ceilings are nested: of two
    that belong together the first is the ideal, the second what becomes of it, and where both are equal the
    first is said to bind.

    ========================= ==========================================================================
    array peak                multiply-accumulates at the peak of the array
    MEMORY reads, writes      bytes through the ports of an on-chip memory, where these have a bound
    array                     multiply-accumulates in the blocks or folds they are cut into, partial ones
                              counted as full
    post-processor            merged pools and sums behind the accumulators
    vector KIND, vector       one kind of work at the vector unit's rate, and all kinds one after another
    host KIND, host           the same on the host
    external memory once      every tensor loaded or stored once
    external memory           repeated loads, padded channels and partly used bursts as well
    activation memory, weight memory, each with once: the same where tensors are kept there; where a
                              kernel's lie in two memories, the time of both under the name of the slower
    host link                 what crosses to the host and back
    overhead                  launches, pipeline fills, exchanges of weights, synchronisation of tiles
    host round trip           handing over to the host and back
    ========================= ==========================================================================

    Only ceilings that some kernel has are columns. No kernel is faster than its highest ceiling; what it
    takes longer are latencies, first loads and last stores that nothing overlaps. Where a compiler gains
    nothing by merging a layer and runs it apart, what it would have asked of the array's pipeline is no
    ceiling: none is counted above what the kernel takes.

    Parameters
    ----------
    network, accelerator
        What was run on what.
    run : SimulatedRun
        The answer of `annette.simulator.run.simulate` for them.

    References
    ----------
    Jünger et al., AMAIX: A generic analytical model for deep learning accelerators, SAMOS 2020, for rooflines
    extended to several units and memories of an accelerator.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> from annette.hardware.codec import load_accelerator
    >>> from annette.simulator.run import simulate
    >>> build = NetworkBuilder("one")
    >>> y = build.conv(build.input("x", (1, 64, 32, 32)), 64, kernel=3, padding=1)
    >>> network = build.finish(build.softmax(build.global_avg_pool(y)))
    >>> device = load_accelerator("zcu102-dpu")
    >>> found = kernel_ceilings(network, device, simulate(network, device))
    >>> list(zip(found.layers, found.long_poles))
    [('conv_1', 'array peak'), ('globalaveragepool_1', 'overhead'), ('softmax_1', 'host round trip')]
    """
    prepared = network if isinstance(network, PreparedNetwork) else PreparedNetwork(network)
    compiled = prepared.compiled(accelerator)
    views = kernel_views(
        [item.kernel for item in run.kernels], accelerator, lambda kernel: compiled.moved(kernel.layers)
    )
    rows = [_ceiling_seconds(compiled, view, item) for view, item in zip(views, run.kernels, strict=True)]
    used = {name for row in rows for name, seconds in row.items() if seconds > 0}
    names = [name for name in _names(accelerator) if name in used] or ["overhead"]
    cycles = np.array(
        [
            [min(row.get(name, 0.0), item.latency_s) * accelerator.clock_hz for name in names]
            for row, item in zip(rows, run.kernels, strict=True)
        ],
        dtype=np.float64,
    ).reshape(len(rows), len(names))
    layers = tuple(item.kernel.name for item in run.kernels)
    return Ceilings(layers=layers, names=tuple(names), cycles=cycles)


def resource_of(ceiling: str) -> str:
    """What a ceiling is a ceiling of: the same for those that are nested in one another.

    Examples
    --------
    >>> [resource_of(name) for name in ("array peak", "vector pool", "external memory once", "host link")]
    ['array', 'vector', 'external memory', 'host link']
    """
    for unit in ("vector", "host"):
        if ceiling.removeprefix(f"{unit} ") in _KINDS:
            return unit
    return "array" if ceiling == "array peak" else ceiling.removesuffix(" once")


def memory_names(accelerator: Accelerator) -> tuple[str, ...]:
    """What to call each on-chip memory: its name, or its path where two have the same."""
    names = [item.name for item in accelerator.memories]
    return tuple(name if names.count(name) == 1 else f"memories[{index}]" for index, name in enumerate(names))


def _names(accelerator: Accelerator) -> tuple[str, ...]:
    """All ceilings; what is more special stands before what it is a part of."""
    ports = (f"{name} {way}" for name in memory_names(accelerator) for way in ("reads", "writes"))
    return (
        "array peak", *ports, "array", "post-processor",
        *(f"vector {kind}" for kind in _KINDS), "vector",
        *(f"host {kind}" for kind in _KINDS), "host",
        *(f"{name}{once}" for name in _MEMORIES for once in (" once", "")),
        "host link", "overhead", "host round trip",
    )  # fmt: skip


def _ceiling_seconds(compiled: CompiledNetwork, view: KernelView, item: SimulatedKernel) -> dict[str, float]:
    """Seconds of one kernel by ceiling."""
    accelerator = view.accelerator
    if item.kernel.unit == "array":
        return _array_seconds(compiled.nest(item.kernel.layers), view, item)
    stream = compiled.stream(item.kernel.layers, accelerator.external_memory)
    unit, (rates, clock_hz) = item.kernel.unit, _rates(accelerator, item.kernel.unit)
    found = {
        f"{unit} {kind}": amount / (getattr(rates, kind) * clock_hz) for kind, amount in stream.work if amount
    }
    found[unit] = item.compute_s
    if accelerator.host is not None and unit == "host":
        names = ["host link"]
        if accelerator.external_memory.bandwidth_bytes_per_s < accelerator.host.bandwidth_bytes_per_s:
            names = ["external memory once", "external memory"]  # nothing crosses faster than it leaves there
        return found | dict.fromkeys(names, item.memory_s) | {"host round trip": item.overhead_s}
    once_bytes = (stream.load_elements + stream.store_elements) * accelerator.precision.activation_bytes
    once_bytes += stream.weight_elements * accelerator.precision.weight_bytes  # they come from one memory
    return found | _memory_seconds(view, item, once_bytes, 0.0)


def _array_seconds(nest: ArrayNest, view: KernelView, item: SimulatedKernel) -> dict[str, float]:
    accelerator = view.accelerator
    array, precision, clock_hz = accelerator.array, accelerator.precision, accelerator.clock_hz
    activations, weights = nest.input_elements + nest.extra_elements + nest.store_elements, 0
    if nest.has_computed_weights:
        activations += nest.weight_elements
    else:
        weights = nest.weight_elements
    memory = _memory_seconds(
        view, item, activations * precision.activation_bytes, weights * precision.weight_bytes
    )
    ports = _port_seconds(accelerator, item)
    hidden = item.compute_s <= max(ports.values(), default=0.0)  # then it is the time of the ports
    return {
        "array peak": nest.macs / (array.macs_per_cycle * clock_hz),
        **ports,
        "array": _without_ports(nest, view) if hidden else item.compute_s,
        "post-processor": nest.post_elements / (array.post_elements_per_cycle * clock_hz),
        **memory,
    }


def _without_ports(nest: ArrayNest, view: KernelView) -> float:
    """Seconds of the array were the ports of the memories no bound."""
    accelerator = view.accelerator
    memories = tuple(
        replace(item, read_bytes_per_cycle=None, write_bytes_per_cycle=None) for item in accelerator.memories
    )
    machine = array_machine(
        replace(accelerator, memories=memories),
        view.weight_bus_factor,
        has_weight_port=view.has_weight_port,
    )
    if machine.systolic is not None:
        return time_systolic(nest, machine.systolic, machine).compute_s
    return time_array(nest, machine).compute_s


def _port_seconds(accelerator: Accelerator, item: SimulatedKernel) -> dict[str, float]:
    """Seconds of the ports of the on-chip memories, where these have a bound."""
    found: dict[str, float] = {}
    rows = zip(memory_names(accelerator), accelerator.memories, item.accesses.memories, strict=True)
    for name, memory, passed in rows:
        read, write = passed.read_bytes + passed.drain_bytes, passed.write_bytes + passed.fill_bytes
        if memory.read_bytes_per_cycle is not None:
            found[f"{name} reads"] = read / (memory.read_bytes_per_cycle * accelerator.clock_hz)
        if memory.write_bytes_per_cycle is not None:
            found[f"{name} writes"] = write / (memory.write_bytes_per_cycle * accelerator.clock_hz)
    return found


def _memory_seconds(
    view: KernelView, item: SimulatedKernel, activation_bytes: float, weight_bytes: float
) -> dict[str, float]:
    """Seconds on the bus of a kernel of the device itself, and of what it starts and fills."""
    bandwidth = view.accelerator.external_memory.bandwidth_bytes_per_s
    activations_s = activation_bytes / bandwidth
    weights_s = weight_bytes * view.weight_bus_factor / bandwidth
    external, activation_memory, weight_memory = _MEMORIES
    name = activation_memory if view.keeps_activations else external
    if weights_s > activations_s:
        name = weight_memory if view.keeps_weights else external
    return {
        f"{name} once": max(activations_s, weights_s) if view.has_weight_port else activations_s + weights_s,
        name: item.memory_s,
        "overhead": item.overhead_s,
    }


def _rates(accelerator: Accelerator, unit: str) -> tuple[Rates, float]:
    """Rates and clock of the vector unit or the host."""
    found = accelerator.vector if unit == "vector" else accelerator.host
    if found is None:
        raise HardwareError(f"accelerator {accelerator.name!r}: found a kernel on {unit!r}, which it lacks")
    return found.rates, found.clock_hz
