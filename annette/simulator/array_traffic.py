"""What tiles of loop nests move over the bus: payload bytes, and what bursts and paddings make of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from annette.hardware.accelerator import ExternalMemory
from annette.simulator.nests import ArrayNest
from annette.simulator.tiling import Bools, Floats, Tile

if TYPE_CHECKING:
    from annette.simulator.array_engine import ArrayMachine

__all__ = [
    "bus_factor",
    "channel_padding",
    "run_elements",
    "tile_factors",
    "weight_bus_bytes",
    "weight_bytes",
]


def weight_bytes(nest: ArrayNest, machine: ArrayMachine) -> float:
    """Bytes of one element of what stays in the array."""
    return machine.activation_bytes if nest.has_computed_weights else machine.weight_bytes


def weight_bus_bytes(nest: ArrayNest, machine: ArrayMachine) -> float:
    """The same as the bytes of activations that take as long on the bus."""
    found = weight_bytes(nest, machine)
    return found if nest.has_computed_weights else found * machine.weight_bus_factor


def channel_padding(external: ExternalMemory, all_channels: Floats) -> Floats:
    """Stored elements an element: channels are kept in multiples of the alignment."""
    if external.layout != "channels_last":
        return np.ones_like(all_channels)
    step = external.channel_alignment
    return np.ceil(all_channels / step) * step / all_channels


def run_elements(
    external: ExternalMemory, channels: Floats, all_channels: Floats, area: Floats, is_whole: Bools
) -> Floats:
    """Elements of a tile that lie side by side.

    Parameters
    ----------
    channels, all_channels : ndarray
        Of the tile, and of the tensor.
    area : ndarray
        Positions of a channel of the tile that lie side by side: its columns, in all its rows if these are
        whole.
    is_whole : ndarray of bool
        Whether a tile holds all positions.
    """
    if external.layout == "channels_last":
        return np.where(channels >= all_channels, channels * area, channels)
    return np.where(is_whole, area * channels, area)


def bus_factor(machine: ArrayMachine, run: Floats, padding: Floats) -> Floats:
    """Bytes on the bus per payload byte: contiguous runs fill whole bursts, channels are padded."""
    run_bytes = run * (machine.activation_bytes * padding)
    burst = machine.external.burst_bytes
    return np.asarray(padding * np.ceil(run_bytes / burst) * burst / run_bytes)


def tile_factors(nest: ArrayNest, machine: ArrayMachine, tile: Tile) -> tuple[float, float]:
    """`bus_factor` of the input and of the output of one tiling."""
    n_h, n_w = math.ceil(nest.positions_h / tile.positions_h), math.ceil(nest.positions_w / tile.positions_w)
    in_h = min(nest.in_h, tile.positions_h * nest.step_h + nest.halo_h)
    in_w = min(nest.in_w, tile.positions_w * nest.step_w + nest.halo_w)
    sizes = np.array(  # of the input, of the output
        [
            [nest.groups * nest.in_channels, tile.groups * tile.in_channels, in_h, in_w],
            [
                nest.groups * nest.out_channels,
                tile.groups * tile.out_channels,
                nest.store_h / n_h,
                nest.store_w / n_w,
            ],
        ]
    )
    all_channels, channels, rows, columns = sizes.T
    area = columns * rows if n_w == 1 else columns
    run = run_elements(machine.external, channels, all_channels, area, np.array(n_h == 1 and n_w == 1))
    found = bus_factor(machine, run, channel_padding(machine.external, all_channels))
    return float(found[0]), float(found[1])
