"""Counts what the MAC array reads and writes, from the tiling and the unroll that it is timed with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from annette.hardware.accelerator import Unroll
from annette.simulator.accesses import Accesses, MemoryAccesses
from annette.simulator.array_traffic import weight_bytes
from annette.simulator.nests import ArrayNest
from annette.simulator.tiling import Tile

if TYPE_CHECKING:
    from annette.simulator.array_engine import ArrayMachine

__all__ = [
    "BufferBytes",
    "Bytes",
    "OperandBytes",
    "buffer_bytes",
    "loads",
    "memory_accesses",
    "memory_bytes",
    "operand_bytes",
    "port_cycles",
    "tile_accesses",
]

Floats = npt.NDArray[np.float64]
Bytes = Floats | float


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferBytes:
    """Bytes through the ports of the on-chip memories by operand, for one tiling or for many at once."""

    input_reads: Bytes
    """Inputs read by the array."""
    weight_reads: Bytes
    """Weights read by the array."""
    extra_reads: Bytes
    """Residuals read by the post-processor, out of the memory of the outputs."""
    result_writes: Bytes
    """Results written, after what is merged."""
    input_fills: Bytes
    """Inputs that come from the external memory."""
    weight_fills: Bytes
    """Weights likewise."""
    stores: Bytes
    """Results that go to the external memory."""
    spills: Bytes = 0.0
    """Partial sums that go there, and as many that come back."""

    @property
    def external_reads(self) -> Bytes:
        """All that comes from the external memory."""
        return self.input_fills + self.weight_fills + self.extra_reads + self.spills


def loads(
    weights_outside: npt.ArrayLike, n_positions: npt.ArrayLike, n_channels: npt.ArrayLike,
    n_out: npt.ArrayLike, n_in: npt.ArrayLike,
) -> tuple[Floats, Floats]:  # fmt: skip
    """How often the input and the weights are loaded, by the order and the counts of the loops over tiles."""
    splits = np.greater(n_in, 1)  # partial sums stay on chip; nothing else can stay with them
    inside = np.logical_not(weights_outside) & np.greater(n_channels, 1)
    return (
        np.where(np.logical_or(weights_outside, splits), n_out, 1.0),
        np.where(splits | inside, n_positions, 1.0),
    )


class OperandBytes(NamedTuple):
    """What passes the ports of the on-chip memories whatever the tiling; for one nest, or columns of many."""

    out_blocks: Bytes
    """Blocks of output channels."""
    tap_blocks: Bytes
    """Blocks of taps for which an input is read again."""
    window_bytes: Bytes
    """Inputs that one block of each reads, were none of them shared."""
    weight_bytes: Bytes
    """All weights once."""
    extra_bytes: Bytes
    """Residuals."""
    store_bytes: Bytes
    """Results."""


def operand_bytes(nest: ArrayNest, machine: ArrayMachine, unroll: Unroll) -> OperandBytes:
    """What does not depend on the tiling of what `buffer_bytes` counts.

    Weights stay in the array while positions stream by, block by block: of output channels, of input channels
    and of taps. An input is read once for each block of output channels and of taps that it meets.
    """
    tap_blocks = math.ceil(nest.kernel_h / unroll.kernel_h) * math.ceil(nest.kernel_w / unroll.kernel_w)
    taps = nest.kernel_h * nest.kernel_w
    met = _positions(nest) * nest.groups * nest.in_channels * machine.activation_bytes
    if nest.is_transposed:  # one element meets all taps
        taps = tap_blocks
    if machine.reuses_windows:
        tap_blocks = 1
    return OperandBytes(
        out_blocks=math.ceil(nest.out_channels / unroll.out_channels),
        tap_blocks=tap_blocks,
        window_bytes=met * (taps / tap_blocks),
        weight_bytes=nest.weight_elements * weight_bytes(nest, machine),
        extra_bytes=nest.extra_elements * machine.activation_bytes,
        store_bytes=nest.store_elements * machine.activation_bytes,
    )


def buffer_bytes(
    each: OperandBytes, *, n_positions: Bytes, input_bytes: Bytes, input_loads: Bytes, weight_loads: Bytes
) -> BufferBytes:
    """Bytes through the ports of the on-chip memories.

    An input is read once for each block of output channels and of taps that it meets, a weight once for each
    tile of positions.

    Parameters
    ----------
    each : OperandBytes
        Of the nest on its array.
    n_positions : float or ndarray
        Tiles of positions.
    input_bytes : float or ndarray
        Bytes of all inputs once, those that tiles share counted for each.
    input_loads, weight_loads : float or ndarray
        How often each is loaded; as `loads` says.
    """
    reads = each.tap_blocks * np.minimum(each.window_bytes, input_bytes)
    return BufferBytes(
        input_reads=each.out_blocks * reads,
        weight_reads=each.weight_bytes * n_positions,
        extra_reads=each.extra_bytes,
        result_writes=each.store_bytes,
        input_fills=input_bytes * input_loads,
        weight_fills=each.weight_bytes * weight_loads,
        stores=each.store_bytes,
    )


def port_cycles(
    memories: Iterable[tuple[Bytes, Bytes, Bytes, Bytes]],
    read_bytes_per_cycle: Sequence[float],
    write_bytes_per_cycle: Sequence[float],
) -> Floats:
    """The most cycles that the ports of a memory ask for, reads and writes side by side.

    Parameters
    ----------
    memories
        What passes each memory; as `memory_bytes` says.
    read_bytes_per_cycle, write_bytes_per_cycle
        What its ports give and take; inf: never in the way.
    """
    most: Floats = np.zeros(())
    rates = zip(read_bytes_per_cycle, write_bytes_per_cycle, strict=True)
    for (read, write, fill, drain), (read_rate, write_rate) in zip(memories, rates, strict=True):
        most = np.asarray(
            np.maximum(most, np.maximum((read + drain) / read_rate, (write + fill) / write_rate))
        )
    return most


def memory_bytes(machine: ArrayMachine, found: BufferBytes) -> list[tuple[Bytes, Bytes, Bytes, Bytes]]:
    """By memory: bytes read and written by the array, filled from the external memory and drained to it."""
    inputs, weights, outputs = machine.holders
    memories: list[tuple[Bytes, Bytes, Bytes, Bytes]] = []
    for index in range(len(machine.sizes_bytes)):
        read: Bytes = 0.0
        fill: Bytes = 0.0
        write: Bytes = 0.0
        drain: Bytes = 0.0
        if index == inputs:
            read, fill = read + found.input_reads, fill + found.input_fills
        if index == weights:
            read, fill = read + found.weight_reads, fill + found.weight_fills
        if index == outputs:
            read, fill = read + found.extra_reads, fill + found.extra_reads + found.spills
            write, drain = found.result_writes, found.stores + found.spills
        memories.append((read, write, fill, drain))
    return memories


def memory_accesses(machine: ArrayMachine, found: BufferBytes) -> tuple[MemoryAccesses, ...]:
    """The same for one tiling, as plain numbers."""
    return tuple(
        MemoryAccesses(
            read_bytes=float(read), write_bytes=float(write), fill_bytes=float(fill), drain_bytes=float(drain)
        )
        for read, write, fill, drain in memory_bytes(machine, found)
    )


def tile_accesses(nest: ArrayNest, machine: ArrayMachine, unroll: Unroll, tile: Tile) -> Accesses:
    """What one tiling of ``nest`` does.

    Each cell reads an input and a weight out of its registers. The array adds up what it unrolls of input
    channels and taps; the sum of each such block is written once and read back for the next. The last of them
    is the result.
    """
    n_batch, n_h, n_w = (
        math.ceil(nest.batch / tile.batch),
        math.ceil(nest.positions_h / tile.positions_h),
        math.ceil(nest.positions_w / tile.positions_w),
    )
    n_positions = n_batch * n_h * n_w
    n_out = math.ceil(nest.out_channels / tile.out_channels)
    rows, columns = nest.in_h + (n_h - 1) * nest.halo_h, nest.in_w + (n_w - 1) * nest.halo_w
    input_loads, weight_loads = loads(
        tile.weights_outside,
        n_positions,
        math.ceil(nest.groups / tile.groups) * n_out,
        n_out,
        math.ceil(nest.in_channels / tile.in_channels),
    )
    found = buffer_bytes(
        operand_bytes(nest, machine, unroll),
        n_positions=n_positions,
        input_bytes=nest.batch * rows * columns * (nest.groups * nest.in_channels * machine.activation_bytes),
        input_loads=float(input_loads),
        weight_loads=float(weight_loads),
    )
    partial_bytes = _partial_sums(nest, unroll) * machine.accumulator_bytes
    cell_bytes = machine.activation_bytes + weight_bytes(nest, machine)
    return Accesses(
        macs=float(nest.macs),
        register_bytes=nest.macs * cell_bytes,
        memories=memory_accesses(machine, found),
        partial_sum_read_bytes=partial_bytes,
        partial_sum_write_bytes=partial_bytes,
        external_read_bytes=float(found.external_reads),
        external_weight_bytes=float(found.weight_fills),
        external_write_bytes=float(found.stores),
        vector_ops=float(nest.post_elements),
    )


def _positions(nest: ArrayNest) -> int:
    return nest.batch * nest.positions_h * nest.positions_w


def _partial_sums(nest: ArrayNest, unroll: Unroll) -> int:
    """Sums written that are not yet results."""
    taps = nest.kernel_h * nest.kernel_w
    tap_blocks = math.ceil(nest.kernel_h / unroll.kernel_h) * math.ceil(nest.kernel_w / unroll.kernel_w)
    in_blocks = math.ceil(nest.in_channels / unroll.in_channels)
    sums = _positions(nest) * nest.groups * nest.out_channels
    if nest.is_transposed:  # each tap adds to another output
        return max(sums * taps * in_blocks - nest.store_elements, 0)
    return sums * (tap_blocks * in_blocks - 1)
