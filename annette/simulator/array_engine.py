"""Times a loop nest on the MAC array: the fastest way to spread its loops and to cut it into tiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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
from annette.simulator.tile_bounds import ROUNDING
from annette.simulator.tile_search import TilingChoice, fastest_tilings
from annette.simulator.tiling import Tile, Way, unrolled_steps

__all__ = [
    "ArrayMachine",
    "ArrayTiling",
    "array_machine",
    "choose_tiling",
    "known_times",
    "time_ahead",
    "time_array",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_MOST_KNOWN = 16384
"""Nests of one machine whose times are kept."""


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
    known = known_times(machine)
    if nest not in known:
        time_ahead([nest], machine)
    time = known[nest]
    if time is None:
        raise _too_small(nest, machine)
    return time


def time_ahead(nests: Iterable[ArrayNest], machine: ArrayMachine) -> None:
    """Time these nests together, so that `time_array` knows them: it takes a fifth of one by one."""
    known = known_times(machine)
    new = [nest for nest in dict.fromkeys(nests) if nest not in known]
    if len(known) + len(new) > _MOST_KNOWN:
        known.clear()
    for nest, choice in zip(new, _best(new, machine), strict=True):
        known[nest] = None if choice is None else _of_nest(choice.finish(machine)[0], nest)


@lru_cache(maxsize=256)
def known_times(machine: ArrayMachine) -> dict[ArrayNest, KernelTime | None]:
    """What `time_array` has found out for ``machine``; ``None`` where no tile fits."""
    return {}


def _of_nest(time: KernelTime, nest: ArrayNest) -> KernelTime:
    """The time with the work of the nest itself: one with folded strides has zeros among its taps."""
    return replace(time, macs=nest.macs, accesses=replace(time.accesses, macs=float(nest.macs)))


@lru_cache(maxsize=4096)
def choose_tiling(nest: ArrayNest, machine: ArrayMachine) -> ArrayTiling:
    """The unroll and the tiling that `time_array` takes for ``nest``.

    Raises
    ------
    HardwareError
        If not even the smallest tile fits the on-chip memories.
    """
    (best,) = _best([nest], machine)
    if best is None:
        raise _too_small(nest, machine)
    return ArrayTiling(nest=best.way.nest, unroll=best.way.unroll, tile=best.finish(machine)[1])


def _too_small(nest: ArrayNest, machine: ArrayMachine) -> HardwareError:
    return HardwareError(
        f"a window of {nest.kernel_h}x{nest.kernel_w} over {nest.in_channels} channels: its smallest "
        f"tile exceeds the on-chip memories, found {' and '.join(map(str, machine.sizes_bytes))} bytes, "
        "expected room for one block of the array; enlarge memories[].size_bytes or place it on another "
        "unit"
    )


def _best(nests: Sequence[ArrayNest], machine: ArrayMachine) -> list[TilingChoice | None]:
    """The fastest unroll and tiling of each nest; ``None`` if not even the smallest tile fits.

    All nests at once, since most of the time for one goes into the calls of numpy: first the way of each with
    the fewest steps, then all that could still be faster.
    """
    ways = [_ways(nest, machine) for nest in nests]
    best = fastest_tilings([some[0] for some in ways], machine, [math.inf for _ in ways])
    others = [
        (index, way)
        for index, some in enumerate(ways)
        for way in some[1:]
        if _least_s(way, machine) < _latency_s(best[index])
    ]
    limits_s = [_latency_s(best[index]) - machine.launch_s for index, _ in others]
    found = fastest_tilings([way for _, way in others], machine, limits_s)
    for (index, _), choice in zip(others, found, strict=True):
        if _latency_s(choice) < _latency_s(best[index]):
            best[index] = choice
    return best


def _ways(nest: ArrayNest, machine: ArrayMachine) -> list[Way]:
    """How ``nest`` may run, those with the fewest steps first."""
    unrolls = machine.depthwise_unrolls if nest.is_depthwise else machine.unrolls
    if machine.keeps_kernel_rows:
        unrolls = tuple(item for item in unrolls if item.kernel_h >= nest.kernel_h) or unrolls
    nests = (nest, *_folded(nest)) if machine.folds_strides else (nest,)
    ways = [Way(item, unroll, unrolled_steps(item, unroll)) for item in nests for unroll in unrolls]
    return sorted(ways, key=lambda way: math.prod(way.steps))


def _latency_s(choice: TilingChoice | None) -> float:
    return math.inf if choice is None else choice.latency_s


def _least_s(way: Way, machine: ArrayMachine) -> float:
    """Seconds that no tiling of this way goes below: all cycles of one tile, first load and last store."""
    positions, out_blocks, reductions = way.steps
    blocks = out_blocks * reductions
    cycles = (
        (1 + machine.stalls_per_cycle) * positions * blocks
        + machine.pass_cycles * out_blocks
        + machine.weight_switch_cycles * blocks
        + max(machine.weight_load_cycles - positions, 0.0) * blocks
        + machine.tile_cycles
    )
    least_s = machine.launch_s + cycles / machine.clock_hz + 2 * machine.external.latency_s
    return least_s * ROUNDING


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
