"""What tilings of many loop nests move, hold and take, in columns: worked out once where it does not change.

The tables are those of `annette.simulator.tiling.TileTable`: a row a way, a tile of one kind, or a pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from annette.simulator.array_traffic import (
    bus_factor,
    channel_padding,
    run_elements,
    weight_bus_bytes,
    weight_bytes,
)
from annette.simulator.tiling import Floats, TileTable, Way, tile_table, way_tiles

if TYPE_CHECKING:
    from annette.simulator.array_engine import ArrayMachine

__all__ = ["PairColumns", "ReductionColumns", "TileColumns", "tile_columns"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileColumns:
    """All that is known of the tiles of some ways on a machine before they are combined to tilings."""

    machine: ArrayMachine
    ways: Sequence[Way]
    table: TileTable
    pairs: PairColumns
    parts: ReductionColumns


def tile_columns(ways: Sequence[Way], machine: ArrayMachine) -> TileColumns:
    """The columns of these ways, at least one."""
    table, shared = tile_table([way_tiles(way) for way in ways]), _way_columns(ways, machine)
    return TileColumns(
        machine=machine,
        ways=ways,
        table=table,
        pairs=_pair_columns(table, shared, machine),
        parts=_reduction_columns(table, shared, machine),
    )


class _Ways(NamedTuple):
    """A row for each way; shape (n_ways,)."""

    batch: Floats
    groups: Floats
    out_channels: Floats
    in_channels: Floats
    positions_h: Floats
    positions_w: Floats
    in_h: Floats
    in_w: Floats
    halo_h: Floats
    halo_w: Floats
    step_h: Floats
    step_w: Floats
    store_h: Floats
    store_w: Floats
    extra_elements: Floats
    store_elements: Floats
    weight_elements: Floats
    position_steps: Floats
    """Steps over positions; see `annette.simulator.tiling.unrolled_steps`."""
    out_blocks: Floats
    weight_blocks: Floats
    """Blocks of weights that the array takes one after the other."""
    useful_cycles: Floats
    """Cycles of the array if it never waits; partial blocks count as full ones."""
    post_cycles: Floats
    """Cycles of the post-processor."""
    weight_bytes: Floats
    """Of an element."""
    window_bytes: Floats
    """Of the weights between one input channel and one output channel."""
    weights_s: Floats
    """Seconds on the bus to load all weights once."""
    has_weight_port: Floats
    """1 where the weights come over a port of their own, else 0."""


def _way_columns(ways: Sequence[Way], machine: ArrayMachine) -> _Ways:
    """What all tilings of each way have in common."""
    return _Ways(*np.array([_way_row(way, machine) for way in ways], dtype=np.float64).T)


def _way_row(way: Way, machine: ArrayMachine) -> tuple[float, ...]:
    nest, _, (position_steps, out_blocks, reductions) = way
    element = weight_bytes(nest, machine)
    return (
        nest.batch, nest.groups, nest.out_channels, nest.in_channels, nest.positions_h, nest.positions_w,
        nest.in_h, nest.in_w, nest.halo_h, nest.halo_w, nest.step_h, nest.step_w, nest.store_h, nest.store_w,
        nest.extra_elements, nest.store_elements, nest.weight_elements,
        position_steps,
        out_blocks,
        out_blocks * reductions,
        position_steps * out_blocks * reductions,
        nest.post_elements / machine.post_elements_per_cycle,
        element,
        nest.kernel_h * nest.kernel_w * element,
        nest.weight_elements * weight_bus_bytes(nest, machine) / machine.external.bandwidth_bytes_per_s,
        machine.has_weight_port and not nest.has_computed_weights,
    )  # fmt: skip


class ReductionColumns(NamedTuple):
    """A row for each tile of input channels."""

    in_channels: Floats
    n_tiles: Floats
    """So many tiles add up to a result."""
    result_bytes: Floats
    """Of an element of the output while it is on the chip."""


def _reduction_columns(table: TileTable, ways: _Ways, machine: ArrayMachine) -> ReductionColumns:
    """What depends on the tile of input channels alone."""
    all_channels = ways.in_channels[table.reduction_way]
    is_partial = (table.reductions < all_channels) | machine.keeps_partial_sums
    return ReductionColumns(
        in_channels=table.reductions,
        n_tiles=np.ceil(all_channels / table.reductions),
        result_bytes=np.where(is_partial, machine.accumulator_bytes, machine.activation_bytes),
    )


class _Positions(NamedTuple):
    """A row for each tile of positions."""

    n_tiles: Floats
    input_bytes: Floats
    input_tile: Floats
    input_area: Floats
    output_tile: Floats
    output_area: Floats
    is_whole: Floats
    last_fraction: Floats
    pass_cycles: Floats
    switch_cycles: Floats
    wait_cycles: Floats


def _positions(table: TileTable, all_ways: _Ways, machine: ArrayMachine) -> _Positions:
    ways = _Ways(*(column[table.position_way] for column in all_ways))
    batch, high, wide = table.positions
    n_batch, n_h, n_w = (
        np.ceil(ways.batch / batch),
        np.ceil(ways.positions_h / high),
        np.ceil(ways.positions_w / wide),
    )
    n_tiles = n_batch * n_h * n_w
    rows, columns = ways.in_h + (n_h - 1) * ways.halo_h, ways.in_w + (n_w - 1) * ways.halo_w
    tile_h = np.minimum(ways.in_h, high * ways.step_h + ways.halo_h)
    tile_w = np.minimum(ways.in_w, wide * ways.step_w + ways.halo_w)
    waits = np.maximum(machine.weight_load_cycles * n_tiles - ways.position_steps, 0.0)
    return _Positions(
        n_tiles=n_tiles,
        input_bytes=ways.batch * rows * columns * (ways.groups * ways.in_channels * machine.activation_bytes),
        input_tile=batch * tile_h * tile_w,
        input_area=tile_w * np.where(n_w == 1, tile_h, 1.0),
        output_tile=batch * high * wide,
        output_area=ways.store_w / n_w * np.where(n_w == 1, ways.store_h / n_h, 1.0),
        is_whole=np.where((n_h == 1) & (n_w == 1), 1.0, 0.0),
        last_fraction=_last(ways.batch, batch, n_batch)
        * _last(ways.positions_h, high, n_h)
        * _last(ways.positions_w, wide, n_w),
        pass_cycles=machine.pass_cycles * ways.out_blocks * n_tiles,
        switch_cycles=machine.weight_switch_cycles * ways.weight_blocks * n_tiles,
        wait_cycles=waits * ways.weight_blocks,
    )


def _last(size: Floats, tile: Floats, count: Floats) -> Floats:
    """Share of a loop that its last tile does."""
    return (size - (count - 1) * tile) / size


class PairColumns(NamedTuple):
    """A row for each tile of positions with each tile of output channels."""

    n_positions: Floats
    """Tiles of positions."""
    n_out: Floats
    """Tiles of output channels within a group."""
    n_channels: Floats
    """Tiles of output channels and groups."""
    n_outer: Floats
    """Tiles of positions and groups."""
    n_stores: Floats
    """Tiles of results."""
    groups: Floats
    """In a tile."""
    channels: Floats
    """Output channels of all groups in a tile."""
    input_tile: Floats
    """Elements of a tile of one input channel."""
    output_tile: Floats
    """Elements of a tile of one output channel."""
    input_area: Floats
    """Elements of a tile of one input channel that lie side by side."""
    is_whole: Floats
    """1 where a tile holds all positions, else 0."""
    input_bytes: Floats
    """All of the input once, rows shared by neighbouring tiles counted for each."""
    all_inputs: Floats
    """Input channels of the tensor."""
    input_padding: Floats
    """Stored elements of the input an element."""
    window_bytes: Floats
    weights_s: Floats
    extra_s: Floats
    """Seconds on the bus to load what is read beside the first input."""
    store_s: Floats
    """Seconds to store all results."""
    last_store_s: Floats
    """Those of the last tile."""
    pass_cycles: Floats
    """Cycles to fill and drain the array, for one tile of input channels."""
    switch_cycles: Floats
    """Cycles to exchange its weights."""
    wait_cycles: Floats
    """Cycles in which it waits for them."""
    useful_cycles: Floats
    post_cycles: Floats
    has_weight_port: Floats


def _pair_columns(table: TileTable, ways: _Ways, machine: ArrayMachine) -> PairColumns:
    """What depends on the tiles of positions and of output channels."""
    at = _Positions(*(column[table.pair_position] for column in _positions(table, ways, machine)))
    way = _Ways(*(column[table.pair_way] for column in ways))
    groups, out_channels = table.channels[:, table.pair_channel]
    n_groups, n_out = np.ceil(way.groups / groups), np.ceil(way.out_channels / out_channels)
    store_scale = _store_scale(at, way, groups * out_channels, machine)
    store_s, all_inputs = way.store_elements * store_scale, way.groups * way.in_channels
    last = (
        at.last_fraction * _last(way.groups, groups, n_groups) * _last(way.out_channels, out_channels, n_out)
    )
    return PairColumns(
        n_positions=at.n_tiles,
        n_out=n_out,
        n_channels=n_groups * n_out,
        n_outer=at.n_tiles * n_groups,
        n_stores=at.n_tiles * (n_groups * n_out),
        groups=groups,
        channels=groups * out_channels,
        input_tile=at.input_tile,
        output_tile=at.output_tile,
        input_area=at.input_area,
        is_whole=at.is_whole,
        input_bytes=at.input_bytes,
        all_inputs=all_inputs,
        input_padding=channel_padding(machine.external, all_inputs),
        window_bytes=way.window_bytes,
        weights_s=way.weights_s,
        extra_s=way.extra_elements * store_scale,
        store_s=store_s,
        last_store_s=store_s * last,
        pass_cycles=at.pass_cycles,
        switch_cycles=at.switch_cycles,
        wait_cycles=at.wait_cycles,
        useful_cycles=way.useful_cycles,
        post_cycles=way.post_cycles,
        has_weight_port=way.has_weight_port,
    )


def _store_scale(at: _Positions, way: _Ways, channels: Floats, machine: ArrayMachine) -> Floats:
    """Seconds on the bus an element of the output."""
    all_channels = way.groups * way.out_channels
    run = run_elements(machine.external, channels, all_channels, at.output_area, at.is_whole > 0)
    factor = bus_factor(machine, run, channel_padding(machine.external, all_channels))
    return factor * (machine.activation_bytes / machine.external.bandwidth_bytes_per_s)
