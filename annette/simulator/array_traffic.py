"""What tiles of a loop nest move over the bus: payload bytes, and what bursts and paddings make of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from annette.simulator.nests import ArrayNest
from annette.simulator.tiling import Tiles

if TYPE_CHECKING:
    from annette.simulator.array_engine import ArrayMachine

__all__ = ["TileTraffic", "input_extent", "tile_traffic", "weight_bus_bytes", "weight_bytes"]

Floats = npt.NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class TileTraffic:
    """Tile counts, payload bytes of one pass, and what bursts make of them."""

    n_positions: Floats
    n_groups: Floats
    n_out: Floats
    """Tiles of output channels within a group."""
    n_in: Floats
    input_bytes: Floats
    """All of the input once, rows shared by neighbouring tiles counted for each."""
    input_factor: Floats
    """Bytes on the bus per byte of input."""
    store_factor: Floats
    """Bytes on the bus per byte of output."""
    last_fraction: Floats
    """Share of the output in the last tile."""


def tile_traffic(nest: ArrayNest, machine: ArrayMachine, tiles: Tiles) -> TileTraffic:
    """The traffic of all tilings at once, shaped as the tiles are."""
    n_batch, n_h, n_w = (
        np.ceil(size / tile)
        for size, tile in (
            (nest.batch, tiles.batch),
            (nest.positions_h, tiles.positions_h),
            (nest.positions_w, tiles.positions_w),
        )
    )
    n_groups = np.ceil(nest.groups / tiles.groups)
    n_out = np.ceil(nest.out_channels / tiles.out_channels)
    rows = nest.in_h + (n_h - 1) * nest.halo_h
    columns = nest.in_w + (n_w - 1) * nest.halo_w
    tile_h, tile_w = input_extent(nest, tiles)
    ab = machine.activation_bytes
    out_h = nest.store_h / n_h
    out_w = nest.store_w / n_w
    last = np.ones_like(n_batch)
    for size, tile, count in (
        (nest.batch, tiles.batch, n_batch),
        (nest.positions_h, tiles.positions_h, n_h),
        (nest.positions_w, tiles.positions_w, n_w),
        (nest.groups, tiles.groups, n_groups),
        (nest.out_channels, tiles.out_channels, n_out),
    ):
        last = last * ((size - (count - 1) * tile) / size)
    return TileTraffic(
        n_positions=n_batch * n_h * n_w,
        n_groups=n_groups,
        n_out=n_out,
        n_in=np.ceil(nest.in_channels / tiles.in_channels),
        input_bytes=nest.batch * rows * columns * (nest.groups * nest.in_channels * ab),
        input_factor=_burst_factor(
            machine,
            nest.groups * nest.in_channels,
            tiles.groups * tiles.in_channels,
            tile_h,
            tile_w,
            n_h,
            n_w,
        ),
        store_factor=_burst_factor(
            machine,
            nest.groups * nest.out_channels,
            tiles.groups * tiles.out_channels,
            out_h,
            out_w,
            n_h,
            n_w,
        ),
        last_fraction=last,
    )


def input_extent(nest: ArrayNest, tiles: Tiles) -> tuple[Floats, Floats]:
    """Rows and columns of input that one tile of positions reads."""
    return (
        np.minimum(nest.in_h, tiles.positions_h * nest.step_h + nest.halo_h),
        np.minimum(nest.in_w, tiles.positions_w * nest.step_w + nest.halo_w),
    )


def weight_bytes(nest: ArrayNest, machine: ArrayMachine) -> float:
    """Bytes of one element of what stays in the array."""
    return machine.activation_bytes if nest.has_computed_weights else machine.weight_bytes


def weight_bus_bytes(nest: ArrayNest, machine: ArrayMachine) -> float:
    """The same as the bytes of activations that take as long on the bus."""
    found = weight_bytes(nest, machine)
    return found if nest.has_computed_weights else found * machine.weight_bus_factor


def _burst_factor(
    machine: ArrayMachine,
    all_channels: int,
    channels: Floats,
    tile_h: Floats,
    tile_w: Floats,
    n_h: Floats,
    n_w: Floats,
) -> Floats:
    """Bytes on the bus per payload byte: contiguous runs fill whole bursts, channels are padded."""
    external = machine.external
    is_wide, is_high = n_w == 1, n_h == 1
    if external.layout == "channels_last":
        padded = math.ceil(all_channels / external.channel_alignment) * external.channel_alignment
        padding = padded / all_channels
        is_deep = channels >= all_channels
        run = channels * np.where(is_deep, tile_w * np.where(is_wide, tile_h, 1.0), 1.0)
    else:
        padding = 1.0
        run = tile_w * np.where(is_wide, tile_h * np.where(is_high, channels, 1.0), 1.0)
    run_bytes = run * (machine.activation_bytes * padding)
    burst = external.burst_bytes
    return np.asarray(padding * np.ceil(run_bytes / burst) * burst / run_bytes)
