"""Times a loop nest on the MAC array: chooses the tiling and runs its load / compute / store pipeline."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from annette.errors import HardwareError
from annette.hardware.accelerator import Accelerator, ExternalMemory, Unroll
from annette.hardware.systolic_array import SystolicArray
from annette.simulator.array_accesses import (
    Bytes,
    buffer_bytes,
    loads,
    memory_bytes,
    port_cycles,
    tile_accesses,
)
from annette.simulator.array_traffic import (
    TileTraffic,
    input_extent,
    tile_traffic,
    weight_bus_bytes,
    weight_bytes,
)
from annette.simulator.nests import ArrayNest, KernelTime
from annette.simulator.tiling import Tile, Tiles, tile_grid, unrolled_steps

__all__ = ["ArrayMachine", "ArrayTiling", "array_machine", "choose_tiling", "time_array"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_WEIGHTS_OUTSIDE = np.array([True, False]).reshape(2, 1, 1, 1)
"""The two orders of the loops over tiles, as the first axis of all that depends on the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayMachine:
    """What the array engine needs of an accelerator."""

    clock_hz: float
    unrolls: tuple[Unroll, ...]
    """Ways to spread the loops; the fastest is taken."""
    depthwise_unrolls: tuple[Unroll, ...]
    """The same where a group has one input channel."""
    keeps_kernel_rows: bool
    """Whether unrolls that hold all rows of a kernel come first."""
    folds_strides: bool
    """Whether positions within a stride may count as input channels."""
    pass_cycles: float
    weight_switch_cycles: float
    weight_load_cycles: float
    """What a block of weights takes at least; 0: no such bound."""
    stalls_per_cycle: float
    """Cycles lost inside the array for each one it multiplies in."""
    tile_cycles: float
    post_elements_per_cycle: float
    launch_s: float
    activation_bytes: float
    weight_bytes: float
    accumulator_bytes: float
    sizes_bytes: tuple[int, ...]
    """Of the on-chip memories."""
    read_bytes_per_cycle: tuple[float, ...]
    """That the ports of each memory give; inf: never in the way."""
    write_bytes_per_cycle: tuple[float, ...]
    """That they take."""
    reuses_windows: bool
    """Whether the cells keep the window they work on."""
    holders: tuple[int, int, int]
    """Which memory holds input, weight and output."""
    keeps_partial_sums: bool
    """Whether results lie on the chip at the accumulators' precision until they are stored."""
    external: ExternalMemory
    weight_bus_factor: float
    """How much longer a byte of weights takes than a byte of activations, which `external` holds."""
    has_weight_port: bool
    """Whether weights come over a port of their own, beside the activations."""
    systolic: SystolicArray | None
    """In place of unrolls; see `annette.simulator.systolic_engine`."""

    @property
    def has_ports(self) -> bool:
        """Whether the ports of any memory have a bound."""
        return any(rate < math.inf for rate in (*self.read_bytes_per_cycle, *self.write_bytes_per_cycle))

    def port_cycles(self, memories: Iterable[tuple[Bytes, Bytes, Bytes, Bytes]]) -> Floats:
        """The most cycles that the ports of a memory ask for; see `annette.simulator.array_accesses`."""
        return port_cycles(memories, self.read_bytes_per_cycle, self.write_bytes_per_cycle)


def array_machine(
    accelerator: Accelerator, weight_bus_factor: float = 1.0, *, has_weight_port: bool = False
) -> ArrayMachine:
    """The part of ``accelerator`` that the array engine looks at; see `annette.simulator.kept_tensors`."""
    array, precision = accelerator.array, accelerator.precision
    return ArrayMachine(
        clock_hz=accelerator.clock_hz,
        unrolls=array.unrolls,
        depthwise_unrolls=array.unrolls if array.depthwise_unroll is None else (array.depthwise_unroll,),
        keeps_kernel_rows=array.kernel_rows is not None,
        folds_strides=array.stride_folding is not None,
        pass_cycles=array.pass_cycles,
        weight_switch_cycles=array.weight_switch_cycles,
        weight_load_cycles=array.weight_load_cycles or 0.0,
        stalls_per_cycle=1.0 / (array.cycle_efficiency or 1.0) - 1.0,
        tile_cycles=array.tile_cycles,
        post_elements_per_cycle=array.post_elements_per_cycle,
        launch_s=array.launch_s,
        activation_bytes=precision.activation_bytes,
        weight_bytes=precision.weight_bytes,
        accumulator_bytes=precision.accumulator_bytes,
        sizes_bytes=tuple(memory.size_bytes for memory in accelerator.memories),
        read_bytes_per_cycle=tuple(item.read_bytes_per_cycle or math.inf for item in accelerator.memories),
        write_bytes_per_cycle=tuple(item.write_bytes_per_cycle or math.inf for item in accelerator.memories),
        reuses_windows=array.window_reuse is not None,
        holders=(
            accelerator.memory_index("input"),
            accelerator.memory_index("weight"),
            accelerator.memory_index("output"),
        ),
        keeps_partial_sums=bool(accelerator.memories[accelerator.memory_index("output")].keeps_partial_sums),
        external=accelerator.external_memory,
        weight_bus_factor=weight_bus_factor,
        has_weight_port=has_weight_port,
        systolic=array.systolic,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayTiling:
    """How a loop nest runs on the array."""

    nest: ArrayNest
    """The nest, with strides folded into channels where that is faster."""
    unroll: Unroll
    tile: Tile


@lru_cache(maxsize=65536)
def time_array(nest: ArrayNest, machine: ArrayMachine) -> KernelTime:
    """The time of ``nest`` with the fastest unroll and tiling of the grid, launch included.

    The loops over tiles run either with the weights outside (a block of weights stays while the positions
    stream by) or with the positions outside (a block of input stays while the weights stream by); the
    reduction over input channels is innermost. Each tile is loaded, computed and stored. Where two tiles of
    each operand fit, these overlap; where only one fits, they follow each other.

    Raises
    ------
    HardwareError
        If not even the smallest tile fits the on-chip memories.
    """
    time = _best(nest, machine)[0]  # of a nest with zeros among its taps, where strides are folded
    return replace(time, macs=nest.macs, accesses=replace(time.accesses, macs=float(nest.macs)))


@lru_cache(maxsize=4096)
def choose_tiling(nest: ArrayNest, machine: ArrayMachine) -> ArrayTiling:
    """The unroll and the tiling that `time_array` takes for ``nest``.

    Raises
    ------
    HardwareError
        If not even the smallest tile fits the on-chip memories.
    """
    return _best(nest, machine)[1]


def _best(nest: ArrayNest, machine: ArrayMachine) -> tuple[KernelTime, ArrayTiling]:
    unrolls = machine.depthwise_unrolls if nest.is_depthwise else machine.unrolls
    if machine.keeps_kernel_rows:
        unrolls = tuple(item for item in unrolls if item.kernel_h >= nest.kernel_h) or unrolls
    nests = (nest, *_folded(nest)) if machine.folds_strides else (nest,)
    ways = [(math.prod(unrolled_steps(item, unroll)), item, unroll) for item in nests for unroll in unrolls]
    best: tuple[KernelTime, ArrayTiling] | None = None
    for cycles, item, unroll in sorted(ways, key=lambda way: way[0]):
        if best is not None and machine.launch_s + cycles / machine.clock_hz >= best[0].latency_s:
            break  # neither this nor any that follows can be faster
        found = _unrolled(item, machine, unroll)
        if found is not None and (best is None or found[0].latency_s < best[0].latency_s):
            best = found
    if best is None:
        raise HardwareError(
            f"a window of {nest.kernel_h}x{nest.kernel_w} over {nest.in_channels} channels: its smallest "
            f"tile exceeds the on-chip memories, found {' and '.join(map(str, machine.sizes_bytes))} bytes, "
            "expected room for one block of the array; enlarge memories[].size_bytes or place it on another "
            "unit"
        )
    return best


def _folded(nest: ArrayNest) -> tuple[ArrayNest, ...]:
    """The same convolution with the positions within a stride as input channels, if it has a stride.

    The input is stored with them side by side, and the kernel is padded with zeros to whole strides. Kernels
    with gaps (dilated, or smaller than the stride) gain nothing and are left as they are.
    """
    step_h, step_w = nest.step_h, nest.step_w
    is_dense = nest.kernel_h - step_h == nest.halo_h and nest.kernel_w - step_w == nest.halo_w
    if step_h * step_w == 1 or not is_dense or nest.is_transposed or nest.is_depthwise:
        return ()
    kernel_h, kernel_w = -(-nest.kernel_h // step_h), -(-nest.kernel_w // step_w)
    taps = kernel_h * step_h * kernel_w * step_w
    return (
        replace(
            nest,
            in_channels=nest.in_channels * step_h * step_w,
            kernel_h=kernel_h,
            kernel_w=kernel_w,
            in_h=-(-nest.in_h // step_h),
            in_w=-(-nest.in_w // step_w),
            halo_h=kernel_h - 1,
            halo_w=kernel_w - 1,
            step_h=1,
            step_w=1,
            weight_elements=-(-nest.weight_elements * taps // (nest.kernel_h * nest.kernel_w)),
        ),
    )


def _unrolled(
    nest: ArrayNest, machine: ArrayMachine, unroll: Unroll
) -> tuple[KernelTime, ArrayTiling] | None:
    """Time and tiling of one way to spread the loops; ``None`` if not even the smallest tile fits."""
    tiles = tile_grid(nest, unroll)
    traffic = tile_traffic(nest, machine, tiles)
    cycles = _cycles(nest, machine, unroll, traffic)
    best = _fastest(nest, machine, tiles, traffic, cycles)
    if best is None:
        return None
    pipeline_s, bus_s, overhead_cycles, moved, tile = best
    accesses = tile_accesses(nest, machine, unroll, tile)
    ports = machine.port_cycles(item.parts for item in accesses.memories) if machine.has_ports else 0.0
    parts = {
        "compute": max(cycles.useful, float(ports)) / machine.clock_hz,
        "memory": bus_s,
        "overhead": machine.launch_s + overhead_cycles / machine.clock_hz,
    }
    time = KernelTime(
        latency_s=machine.launch_s + pipeline_s,
        bound=max(parts, key=lambda name: parts[name]),
        compute_s=parts["compute"],
        memory_s=parts["memory"],
        overhead_s=parts["overhead"],
        moved_bytes=moved,
        macs=nest.macs,
        accesses=accesses,
    )
    return time, ArrayTiling(nest=nest, unroll=unroll, tile=tile)


@dataclass(slots=True, kw_only=True)
class _Cycles:
    useful: float
    """Cycles of the array if it never waits; partial blocks count as full ones."""
    overhead: Floats
    """Fills, exchanges of weights and synchronisation of all tiles, by tiling."""
    total: Floats
    """Both, or the cycles of the post-processor or of the memories' ports where these are more."""


def _cycles(nest: ArrayNest, machine: ArrayMachine, unroll: Unroll, traffic: TileTraffic) -> _Cycles:
    positions, out_blocks, reductions = unrolled_steps(nest, unroll)
    weight_blocks = out_blocks * reductions
    useful = float(positions * weight_blocks)
    n_tiles = traffic.n_positions * traffic.n_groups * traffic.n_out * traffic.n_in
    waits = np.maximum(machine.weight_load_cycles * traffic.n_positions - positions, 0.0)
    overhead = (
        machine.pass_cycles * out_blocks * traffic.n_positions * traffic.n_in
        + machine.weight_switch_cycles * weight_blocks * traffic.n_positions
        + waits * weight_blocks
        + machine.stalls_per_cycle * useful
        + machine.tile_cycles * n_tiles
    )
    post = nest.post_elements / machine.post_elements_per_cycle
    total = np.maximum(useful + overhead, post)
    if machine.has_ports:
        input_loads, weight_loads = _loads(traffic)
        found = buffer_bytes(
            nest, machine, unroll,
            n_positions=traffic.n_positions,
            input_bytes=traffic.input_bytes,
            input_loads=input_loads,
            weight_loads=weight_loads,
        )  # fmt: skip
        total = np.maximum(total, machine.port_cycles(memory_bytes(machine, found)))
    return _Cycles(useful=useful, overhead=overhead, total=total)


def _loads(traffic: TileTraffic) -> tuple[Floats, Floats]:
    """How often the input and the weights are loaded, for both orders of the loops over tiles."""
    return loads(_WEIGHTS_OUTSIDE, traffic.n_positions, traffic.n_groups, traffic.n_out, traffic.n_in)


def _fastest(
    nest: ArrayNest, machine: ArrayMachine, tiles: Tiles, traffic: TileTraffic, cycles: _Cycles
) -> tuple[float, float, float, float, Tile] | None:
    """Pipeline seconds, bus seconds, overhead cycles and moved bytes of the best tiling, and the tiling."""
    n_positions, n_channels = traffic.n_positions, traffic.n_groups * traffic.n_out
    n_tiles = n_positions * n_channels * traffic.n_in
    input_loads, weight_loads = _loads(traffic)
    outer = np.where(_WEIGHTS_OUTSIDE, n_channels, n_positions * traffic.n_groups)
    n_fresh = np.where(traffic.n_in > 1, n_tiles, outer)
    overlapped, possible = _fit(nest, machine, tiles, n_tiles, n_fresh, n_positions * n_channels)
    if not possible.any():
        return None
    bandwidth, latency_s = machine.external.bandwidth_bytes_per_s, machine.external.latency_s
    input_s = traffic.input_bytes * traffic.input_factor / bandwidth * input_loads
    weight_s = nest.weight_elements * weight_bus_bytes(nest, machine) / bandwidth * weight_loads
    scale = traffic.store_factor * (machine.activation_bytes / bandwidth)
    extra_s, store_s = nest.extra_elements * scale, nest.store_elements * scale
    kept_s = np.where(_WEIGHTS_OUTSIDE, weight_s, input_s)
    loads_s = input_s + weight_s + extra_s
    steady_s = (loads_s - kept_s) / n_tiles + latency_s
    fresh_s = kept_s / n_fresh + steady_s
    last_store_s = store_s * traffic.last_fraction
    step_store_s = (store_s - last_store_s) / np.maximum(n_tiles - 1, 1)
    compute_s = cycles.total / (machine.clock_hz * n_tiles)
    fresh_bus_s, steady_bus_s = fresh_s + step_store_s, steady_s + step_store_s
    if machine.has_weight_port and not nest.has_computed_weights:  # the longer of both, not both
        weight_kept_s = np.where(_WEIGHTS_OUTSIDE, weight_s, 0.0)
        each_s = (weight_s - weight_kept_s) / n_tiles
        first_s = each_s + weight_kept_s / n_fresh
        fresh_s = np.maximum(fresh_s - first_s, first_s + latency_s)
        fresh_bus_s = np.maximum(fresh_bus_s - first_s, first_s + latency_s)
        steady_bus_s = np.maximum(steady_bus_s - each_s, each_s + latency_s)
        loads_s = np.maximum(loads_s - weight_s, weight_s)
    overlap_s = (
        fresh_s
        + (n_fresh - 1) * np.maximum(compute_s, fresh_bus_s)
        + (n_tiles - n_fresh) * np.maximum(compute_s, steady_bus_s)
        + compute_s
    )
    serial_s = loads_s + n_tiles * (latency_s + compute_s) + store_s - last_store_s
    total_s = np.where(overlapped, overlap_s, serial_s) + last_store_s + latency_s
    best = np.unravel_index(int(np.argmin(np.where(possible, total_s, np.inf))), total_s.shape)

    def picked(values: Floats | Bools) -> float:
        axes = zip(best[-values.ndim :], values.shape, strict=True)
        return float(values[tuple(index if size > 1 else 0 for index, size in axes)])

    moved = (
        picked(traffic.input_bytes * input_loads)
        + picked(weight_loads) * nest.weight_elements * weight_bytes(nest, machine)
        + (nest.extra_elements + nest.store_elements) * machine.activation_bytes
    )
    tile = Tile(
        batch=int(picked(tiles.batch)),
        positions_h=int(picked(tiles.positions_h)),
        positions_w=int(picked(tiles.positions_w)),
        groups=int(picked(tiles.groups)),
        out_channels=int(picked(tiles.out_channels)),
        in_channels=int(picked(tiles.in_channels)),
        weights_outside=bool(picked(_WEIGHTS_OUTSIDE)),
        overlaps=bool(picked(overlapped)),
    )
    return picked(total_s), picked(loads_s) + picked(store_s), picked(cycles.overhead), moved, tile


def _fit(
    nest: ArrayNest,
    machine: ArrayMachine,
    tiles: Tiles,
    n_tiles: Floats,
    n_fresh: Floats,
    n_stores: Floats,
) -> tuple[Bools, Bools]:
    """Where two tiles of what changes fit the memories, and where at least one does."""
    tile_h, tile_w = input_extent(nest, tiles)
    channels = tiles.groups * tiles.out_channels
    input_tile = tiles.batch * tile_h * tile_w * (tiles.groups * tiles.in_channels * machine.activation_bytes)
    window_bytes = nest.kernel_h * nest.kernel_w * weight_bytes(nest, machine)
    weight_tile = channels * tiles.in_channels * window_bytes
    is_partial = (tiles.in_channels < nest.in_channels) | machine.keeps_partial_sums
    element = np.where(is_partial, machine.accumulator_bytes, machine.activation_bytes)
    output_tile = tiles.batch * tiles.positions_h * tiles.positions_w * (channels * element)
    kept, streamed = 1.0 + (n_fresh > 1), 1.0 + (n_tiles > 1)
    needs = (
        (input_tile, np.where(_WEIGHTS_OUTSIDE, streamed, kept)),
        (weight_tile, np.where(_WEIGHTS_OUTSIDE, kept, streamed)),
        (output_tile, 1.0 + (n_stores > 1)),
    )
    double: list[Floats | float] = [0.0 for _ in machine.sizes_bytes]
    single: list[Floats | float] = [0.0 for _ in machine.sizes_bytes]
    for holder, (tile, count) in zip(machine.holders, needs, strict=True):
        double[holder] = double[holder] + tile * count
        single[holder] = single[holder] + tile
    overlapped = possible = np.ones((1, 1, 1, 1), dtype=bool)
    for size, two, one in zip(machine.sizes_bytes, double, single, strict=True):
        overlapped = overlapped & (two <= size)
        possible = possible & (one <= size)
    return overlapped, possible
