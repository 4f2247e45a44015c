"""What no tiling of a pair of tiles goes below, so that most tilings need not be worked out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from annette.simulator.tile_columns import PairColumns, TileColumns
from annette.simulator.tile_pipeline import fits, input_factor, splits_overlap
from annette.simulator.tiling import Bools, Floats, TilingRows, finest_rows

if TYPE_CHECKING:
    from annette.simulator.array_engine import ArrayMachine

__all__ = ["ROUNDING", "least_any_split_s", "least_split_s", "least_whole_s"]

ROUNDING = 1 - 1e-9
"""So that a bound is none the last bits of which say otherwise."""


def least_whole_s(columns: TileColumns) -> Floats:
    """Seconds that no tiling goes below which leaves the sum over input channels whole; a row a pair."""
    bounds = _bounds(columns.pairs, columns.machine, is_split=False)
    return _least_s(bounds, columns.machine, fewest=1.0, most=1.0)


def least_any_split_s(columns: TileColumns) -> Floats:
    """Seconds that no tiling goes below which splits the sum; a row a pair, inf where none fits."""
    finest = finest_rows(columns.table)
    n_parts = columns.parts.n_tiles[finest.reduction]
    bounds = _bounds(columns.pairs, columns.machine, is_split=True)
    found = _least_s(
        bounds, columns.machine, fewest=2.0, most=n_parts, overlaps=splits_overlap(finest, columns)
    )
    return np.where((n_parts > 1) & fits(finest, columns), found, np.inf)


def least_split_s(rows: TilingRows, columns: TileColumns) -> Floats:
    """Seconds that none of these tilings goes below, all of which split the sum."""
    bounds = _bounds(columns.pairs, columns.machine, is_split=True)
    n_parts = columns.parts.n_tiles[rows.reduction]
    return _least_s(
        _Bounds(*(column[rows.pair] for column in bounds)),
        columns.machine,
        fewest=n_parts,
        most=n_parts,
        overlaps=splits_overlap(rows, columns),
        input_factor=input_factor(rows, columns),
    )


class _Bounds(NamedTuple):
    """What a pair of tiles takes at least, whatever its tile of input channels; a row a pair."""

    n_stores: Floats
    """Tiles of results."""
    part_cycles: Floats
    """Cycles of the array for each part of the input channels."""
    other_cycles: Floats
    """Cycles for all of them together."""
    post_cycles: Floats
    """Cycles of the post-processor."""
    input_s: Floats
    """Seconds on the bus to load all tiles of the input, were all bursts full."""
    extra_s: Floats
    """Those to load what is read beside it."""
    weights_s: Floats
    """Those to load all tiles of weights."""
    store_s: Floats
    """Those to store all results."""
    last_s: Floats
    """Seconds of the first latency, of the last one, and of the last store."""
    has_weight_port: Floats


def _bounds(pair: PairColumns, machine: ArrayMachine, *, is_split: bool) -> _Bounds:
    """The parts of `_least_s` for tilings that split the sum over input channels, or for those that do not.

    A sum in parts loads both operands for each tile, whatever the order of the loops over tiles. Else each is
    loaded once at least.
    """
    input_s, weights_s = pair.input_bytes / machine.external.bandwidth_bytes_per_s, pair.weights_s
    if is_split:
        input_s, weights_s = input_s * pair.n_out, weights_s * pair.n_positions
    useful_cycles = (1 + machine.stalls_per_cycle) * pair.useful_cycles
    return _Bounds(
        n_stores=pair.n_stores,
        part_cycles=pair.pass_cycles + machine.tile_cycles * pair.n_stores,
        other_cycles=pair.switch_cycles + pair.wait_cycles + useful_cycles,
        post_cycles=pair.post_cycles,
        input_s=input_s,
        extra_s=pair.extra_s,
        weights_s=weights_s,
        store_s=pair.store_s,
        last_s=pair.last_store_s + 2 * machine.external.latency_s,
        has_weight_port=pair.has_weight_port,
    )


def _least_s(
    bounds: _Bounds, machine: ArrayMachine, *, fewest: Floats | float, most: Floats | float,
    overlaps: Bools | bool = True, input_factor: Floats | float = 1.0,
) -> Floats:  # fmt: skip
    """Seconds that no tiling goes below, launch not included.

    The array cannot start before the first tile is there, and then needs all its cycles; the bus moves all
    bytes, waits for the first byte of each tile, and rests while the array works on the last one, or on any
    where tiles do not overlap. What is last stored comes behind. A split of the sum over input channels takes
    just that, but for the ports of memories and a bus for weights.

    Parameters
    ----------
    fewest, most : float or ndarray
        In how many parts the sum over input channels is done.
    overlaps : bool or ndarray of bool
        False where two tiles do not fit the memories.
    input_factor : float or ndarray
        Bytes on the bus per byte of input; >= 1.
    """
    n_fewest, n_most = bounds.n_stores * fewest, bounds.n_stores * most
    others_s, weights_s = bounds.input_s * input_factor + bounds.extra_s, bounds.weights_s
    loads_s, moved_s = others_s + weights_s, others_s + bounds.store_s + weights_s
    if machine.has_weight_port:  # the longer of both, not both
        beside = bounds.has_weight_port > 0
        loads_s = np.where(beside, np.maximum(others_s, weights_s), loads_s)
        moved_s = np.where(beside, np.maximum(others_s + bounds.store_s, weights_s), moved_s)
    cycles = np.maximum(bounds.part_cycles * fewest + bounds.other_cycles, bounds.post_cycles)
    compute_s = cycles / machine.clock_hz
    array_s = loads_s / n_most + compute_s + bounds.last_s
    rests_s = compute_s / np.where(overlaps, n_most, 1.0)
    bus_s = moved_s + rests_s + (n_fewest + 1) * machine.external.latency_s
    return ROUNDING * np.maximum(array_s, bus_s)
