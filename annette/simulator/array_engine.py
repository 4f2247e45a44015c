"""Times a loop nest on the MAC array: the fastest way to spread its loops and to cut it into tiles."""

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
    port_cycles,
)
from annette.simulator.nests import ArrayNest, KernelTime
from annette.simulator.tile_pipeline import TilingChoice, fastest_tiling
from annette.simulator.tiling import Tile, unrolled_steps

__all__ = ["ArrayMachine", "ArrayTiling", "array_machine", "choose_tiling", "time_array"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_ROUNDING = 1 - 1e-9
"""So that a bound is none the last bits of which say otherwise."""


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
    tiling_slack: float
    """How much longer, in proportion, a tiling may take that moves fewer bytes; 0: none may."""
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
        tiling_slack=accelerator.compiler.tiling_slack_fraction or 0.0,
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
    best: TilingChoice | None = None
    for _, item, unroll in sorted(ways, key=lambda way: way[0]):
        if best is not None and _least_s(item, machine, unroll) >= best.latency_s:
            continue  # it cannot be faster
        found = fastest_tiling(item, machine, unroll)
        if found is not None and (best is None or found.latency_s < best.latency_s):
            best = found
    if best is None:
        raise HardwareError(
            f"a window of {nest.kernel_h}x{nest.kernel_w} over {nest.in_channels} channels: its smallest "
            f"tile exceeds the on-chip memories, found {' and '.join(map(str, machine.sizes_bytes))} bytes, "
            "expected room for one block of the array; enlarge memories[].size_bytes or place it on another "
            "unit"
        )
    time, tile = best.finish(machine)
    return time, ArrayTiling(nest=best.nest, unroll=best.unroll, tile=tile)


def _least_s(nest: ArrayNest, machine: ArrayMachine, unroll: Unroll) -> float:
    """Seconds that no tiling of this unroll goes below: all cycles of one tile, first load and last store."""
    positions, out_blocks, reductions = unrolled_steps(nest, unroll)
    blocks = out_blocks * reductions
    cycles = (
        (1 + machine.stalls_per_cycle) * positions * blocks
        + machine.pass_cycles * out_blocks
        + machine.weight_switch_cycles * blocks
        + max(machine.weight_load_cycles - positions, 0.0) * blocks
        + machine.tile_cycles
    )
    least_s = machine.launch_s + cycles / machine.clock_hz + 2 * machine.external.latency_s
    return least_s * _ROUNDING


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
