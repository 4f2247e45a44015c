"""Candidate tile sizes of loop nests: a fixed grid that depends on the nest and the array alone.

The grid does not look at memory sizes, clocks or bandwidths: these only decide which candidates are possible
and how long each takes. So a better machine, which chooses the best of them, is never slower.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from annette.hardware.accelerator import Unroll
from annette.simulator.nests import ArrayNest

__all__ = [
    "Bools",
    "Floats",
    "Indices",
    "Tile",
    "TileTable",
    "TilingRows",
    "Way",
    "WayTiles",
    "finest_rows",
    "split_rows",
    "tile_table",
    "unrolled_steps",
    "way_tiles",
    "whole_rows",
]

_FINE, _COARSE = 4, 1
"""Numbers of tiles tried per doubling; trying all instead gains 0.1 % on average over random convolutions.
Parts of a row are a last resort, where doublings do."""

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


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


class Way(NamedTuple):
    """One way to run a loop nest: the nest, strides folded or not, and how its loops are spread."""

    nest: ArrayNest
    unroll: Unroll
    steps: tuple[int, int, int]
    """As `unrolled_steps` says."""


def unrolled_steps(nest: ArrayNest, unroll: Unroll) -> tuple[int, int, int]:
    """Steps of the array over positions, over output channels and groups, and over what is summed up.

    Their product is the cycles of the array if it never waits; partial blocks count as full ones.
    """
    positions = (
        -(-nest.batch // unroll.batch)
        * -(-nest.positions_h // unroll.out_h)
        * -(-nest.positions_w // unroll.out_w)
    )
    out_blocks = -(-nest.groups // unroll.groups) * -(-nest.out_channels // unroll.out_channels)
    reductions = (
        -(-nest.in_channels // unroll.in_channels)
        * -(-nest.kernel_h // unroll.kernel_h)
        * -(-nest.kernel_w // unroll.kernel_w)
    )
    return positions, out_blocks, reductions


class WayTiles(NamedTuple):
    """The candidates of one way; each of shape (n_loops, n_tiles)."""

    positions: Floats
    """Images, rows and columns of positions."""
    channels: Floats
    """Groups, and output channels of each."""
    reductions: Floats
    """Input channels."""

    @property
    def pairs(self) -> int:
        """Of positions and channels."""
        return len(self.positions[0]) * len(self.channels[0])


def way_tiles(way: Way) -> WayTiles:
    """Position tiles, output-channel tiles and input-channel tiles to be tried with one another.

    Position tiles go from all images over whole images and whole rows down to parts of one row group; channel
    tiles from all groups over whole groups to parts of one; sizes are whole multiples of the unroll.
    """
    nest, unroll, _ = way
    return WayTiles(
        positions=_nested_tiles(
            (nest.batch, nest.positions_h, nest.positions_w),
            (unroll.batch, unroll.out_h, unroll.out_w),
            (_FINE, _FINE, _COARSE),
        ),
        channels=_nested_tiles(
            (nest.groups, nest.out_channels), (unroll.groups, unroll.out_channels), (_FINE, _FINE)
        ),
        reductions=_nested_tiles((nest.in_channels,), (unroll.in_channels,), (_FINE,)),
    )


@dataclass(slots=True, kw_only=True)
class TileTable:
    """The tiles of several ways, way by way, as nested tables: tiles of one kind, and pairs of tiles.

    A pair is a tile of positions with a tile of output channels; the latter changes fastest. Each row says
    which rows of the outer tables it belongs to.
    """

    positions: Floats
    """Of shape (3, n_position_tiles): images, rows and columns of positions."""
    position_way: Indices
    channels: Floats
    """Of shape (2, n_channel_tiles): groups, and output channels of each."""
    reductions: Floats
    """Of shape (n_reduction_tiles,): input channels; the first of each way are all of them."""
    reduction_way: Indices
    pair_position: Indices
    pair_channel: Indices
    pair_way: Indices
    n_reductions: Indices
    """Of shape (n_ways,): reduction tiles."""
    first_reduction: Indices
    """Of shape (n_ways,): where those of a way start."""


def tile_table(tiles: Sequence[WayTiles]) -> TileTable:
    """The tiles of several ways, and all pairs of their position tiles and output-channel tiles."""
    positions, channels, reductions = zip(*tiles, strict=True)
    n_positions, n_channels, n_reductions = (
        np.array([item.shape[1] for item in column]) for column in (positions, channels, reductions)
    )
    ways = np.arange(len(tiles))
    position_way = np.repeat(ways, n_positions)
    pair_position, pair_channel = _combine(n_channels[position_way], _starts(n_channels)[position_way])
    return TileTable(
        positions=np.concatenate(positions, axis=1),
        position_way=position_way,
        channels=np.concatenate(channels, axis=1),
        reductions=np.concatenate(reductions, axis=1)[0],
        reduction_way=np.repeat(ways, n_reductions),
        pair_position=pair_position,
        pair_channel=pair_channel,
        pair_way=position_way[pair_position],
        n_reductions=n_reductions,
        first_reduction=_starts(n_reductions),
    )


@dataclass(slots=True, kw_only=True)
class TilingRows:
    """Tilings of several ways: pairs with reduction tiles, which change fastest."""

    table: TileTable
    pair: Indices
    reduction: Indices

    @property
    def way(self) -> Indices:
        """Whose tiling each is."""
        return self.table.pair_way[self.pair]

    def joined(self, other: TilingRows) -> TilingRows:
        """These and others of the same table, pair by pair, largest tiles first."""
        pair = np.concatenate((self.pair, other.pair))
        reduction = np.concatenate((self.reduction, other.reduction))
        order = np.lexsort((reduction, pair))
        return TilingRows(table=self.table, pair=pair[order], reduction=reduction[order])

    def only(self, kept: Bools) -> TilingRows:
        """Some of them."""
        return TilingRows(table=self.table, pair=self.pair[kept], reduction=self.reduction[kept])

    def tile(self, row: int, *, weights_outside: bool, overlaps: bool) -> Tile:
        """The sizes of one tiling."""
        table, pair = self.table, self.pair[row]
        batch, positions_h, positions_w = table.positions[:, table.pair_position[pair]].tolist()
        groups, out_channels = table.channels[:, table.pair_channel[pair]].tolist()
        return Tile(
            batch=int(batch),
            positions_h=int(positions_h),
            positions_w=int(positions_w),
            groups=int(groups),
            out_channels=int(out_channels),
            in_channels=int(table.reductions[self.reduction[row]]),
            weights_outside=weights_outside,
            overlaps=overlaps,
        )


def whole_rows(table: TileTable) -> TilingRows:
    """Each pair with all input channels at once."""
    first = table.first_reduction[table.pair_way]
    return TilingRows(table=table, pair=np.arange(len(first)), reduction=first)


def finest_rows(table: TileTable) -> TilingRows:
    """Each pair with the smallest tile of input channels."""
    last = (table.first_reduction + table.n_reductions - 1)[table.pair_way]
    return TilingRows(table=table, pair=np.arange(len(last)), reduction=last)


def split_rows(table: TileTable, tried: Bools) -> TilingRows:
    """Some pairs with each tile of input channels but all at once."""
    counts = np.where(tried, (table.n_reductions - 1)[table.pair_way], 0)
    pair, reduction = _combine(counts, table.first_reduction[table.pair_way] + 1)
    return TilingRows(table=table, pair=pair, reduction=reduction)


def _combine(counts: Indices, firsts: Indices) -> tuple[Indices, Indices]:
    """Each outer row, in order, with as many inner rows as ``counts`` says, from its first one on."""
    outer = np.repeat(np.arange(len(counts)), counts)
    return outer, np.arange(len(outer)) + (firsts - _starts(counts))[outer]


def _starts(counts: Indices) -> Indices:
    found: Indices = np.cumsum(counts) - counts
    return found


@lru_cache(maxsize=4096)
def _nested_tiles(sizes: tuple[int, ...], unrolls: tuple[int, ...], steps: tuple[int, ...]) -> Floats:
    """Tiles of nested loops, outermost first: a loop is split only when those outside it are at one block.

    One row a loop, one column a tile.
    """
    found: list[tuple[int, ...]] = [sizes]
    outer: tuple[int, ...] = ()
    for axis, (size, unroll) in enumerate(zip(sizes, unrolls, strict=True)):
        _, *parts = _axis_tiles(size, unroll, steps[axis])  # the whole loop is there already
        inner = sizes[axis + 1 :]
        found.extend([(*outer, tile, *inner) for tile in parts])
        outer = (*outer, min(size, unroll))
    columns = np.array(found, dtype=np.float64).T
    columns.setflags(write=False)
    return columns


@lru_cache(maxsize=4096)
def _axis_tiles(size: int, unroll: int, steps_per_octave: int) -> tuple[int, ...]:
    """Balanced tiles of one loop in whole blocks of ``unroll``, largest first, down to one block."""
    blocks = -(-size // unroll)
    counts = _tile_counts(steps_per_octave)
    parts = counts[1 : bisect_left(counts, blocks)]
    tiles = (size, *[-(-blocks // count) * unroll for count in parts], min(size, unroll))
    return tuple(dict.fromkeys(tiles))


@lru_cache(maxsize=4)
def _tile_counts(steps_per_octave: int) -> tuple[int, ...]:
    """Numbers of tiles that are tried, ascending: so many for each doubling, up to 2**63."""
    counts = {
        (steps_per_octave + part) * 2**octave // steps_per_octave
        for octave in range(63)
        for part in range(steps_per_octave)
    }
    return tuple(sorted(counts))
