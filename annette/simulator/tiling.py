"""Candidate tile sizes of a loop nest: a fixed grid that depends on the nest and the array alone.

The grid does not look at memory sizes, clocks or bandwidths: these only decide which candidates are possible
and how long each takes. So a better machine, which chooses the best of them, is never slower.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from annette.hardware.accelerator import Unroll
from annette.simulator.nests import ArrayNest

__all__ = ["Tile", "Tiles", "tile_grid", "unrolled_steps"]

_FINE, _COARSE = 4, 1
"""Numbers of tiles tried per doubling; trying all instead gains 0.1 % on average over random convolutions.
Parts of a row are a last resort, where doublings do."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """The candidates, broadcastable to (n_positions, n_channels, n_reductions)."""

    batch: Floats
    positions_h: Floats
    positions_w: Floats
    groups: Floats
    out_channels: Floats
    in_channels: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One tiling: the sizes of its full tiles, and how the loops over tiles run."""

    batch: int
    positions_h: int
    positions_w: int
    groups: int
    out_channels: int
    """Within one group."""
    in_channels: int
    """Within one group."""
    weights_outside: bool
    """Whether a block of weights stays while positions stream by, or the other way round."""
    overlaps: bool
    """Whether two tiles of what changes fit, so that loads, computation and stores overlap."""


def unrolled_steps(nest: ArrayNest, unroll: Unroll) -> tuple[int, int, int]:
    """Steps of the array over positions, over output channels and groups, and over what is summed up.

    Their product is the cycles of the array if it never waits; partial blocks count as full ones.
    """
    positions = (
        math.ceil(nest.batch / unroll.batch)
        * math.ceil(nest.positions_h / unroll.out_h)
        * math.ceil(nest.positions_w / unroll.out_w)
    )
    out_blocks = math.ceil(nest.groups / unroll.groups) * math.ceil(nest.out_channels / unroll.out_channels)
    reductions = (
        math.ceil(nest.in_channels / unroll.in_channels)
        * math.ceil(nest.kernel_h / unroll.kernel_h)
        * math.ceil(nest.kernel_w / unroll.kernel_w)
    )
    return positions, out_blocks, reductions


def tile_grid(nest: ArrayNest, unroll: Unroll) -> Tiles:
    """All combinations of position tiles, output-channel tiles and input-channel tiles of ``nest``.

    Position tiles go from all images over whole images and whole rows down to parts of one row group; channel
    tiles from all groups over whole groups to parts of one; sizes are whole multiples of the unroll.
    """
    positions = _nested_tiles(
        (nest.batch, nest.positions_h, nest.positions_w),
        (unroll.batch, unroll.out_h, unroll.out_w),
        (_FINE, _FINE, _COARSE),
    )
    channels = _nested_tiles(
        (nest.groups, nest.out_channels), (unroll.groups, unroll.out_channels), (_FINE, _FINE)
    )
    reductions = _nested_tiles((nest.in_channels,), (unroll.in_channels,), (_FINE,))
    return Tiles(
        batch=positions[0][:, None, None],
        positions_h=positions[1][:, None, None],
        positions_w=positions[2][:, None, None],
        groups=channels[0][None, :, None],
        out_channels=channels[1][None, :, None],
        in_channels=reductions[0][None, None, :],
    )


@lru_cache(maxsize=4096)
def _nested_tiles(
    sizes: tuple[int, ...], unrolls: tuple[int, ...], steps: tuple[int, ...]
) -> tuple[Floats, ...]:
    """Tiles of nested loops, outermost first: a loop is split only when those outside it are at one block."""
    rows: list[tuple[int, ...]] = []
    for axis, (size, unroll) in enumerate(zip(sizes, unrolls, strict=True)):
        outer = tuple(min(s, u) for s, u in zip(sizes[:axis], unrolls[:axis], strict=True))
        inner = sizes[axis + 1 :]
        rows.extend((*outer, tile, *inner) for tile in _axis_tiles(size, unroll, steps[axis]))
    columns = np.array(list(dict.fromkeys(rows)), dtype=np.float64).T.copy()
    columns.setflags(write=False)
    return tuple(columns)


@lru_cache(maxsize=4096)
def _axis_tiles(size: int, unroll: int, steps_per_octave: int) -> tuple[int, ...]:
    """Balanced tiles of one loop in whole blocks of ``unroll``, largest first, down to one block."""
    blocks = -(-size // unroll)
    counts = {
        (steps_per_octave + part) * 2**octave // steps_per_octave
        for octave in range(blocks.bit_length())
        for part in range(steps_per_octave)
    }
    splits = sorted({count for count in counts if count < blocks} | {blocks})
    return tuple(dict.fromkeys(min(size, -(-blocks // count) * unroll) for count in splits))
