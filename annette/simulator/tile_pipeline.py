"""The load / compute / store pipeline of the MAC array: the fastest tiling of each way to spread loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annette.simulator.array_accesses import (
    OperandBytes,
    buffer_bytes,
    loads,
    memory_bytes,
    operand_bytes,
    tile_accesses,
)
from annette.simulator.array_traffic import bus_factor, run_elements, weight_bytes
from annette.simulator.nests import KernelTime
from annette.simulator.tile_bounds import SplitBounds, least_split_s, split_bounds
from annette.simulator.tile_columns import (
    PairColumns,
    ReductionColumns,
    pair_columns,
    reduction_columns,
    way_columns,
)
from annette.simulator.tiling import (
    Bools,
    Floats,
    Indices,
    Tile,
    TilingRows,
    Way,
    WayTiles,
    tile_table,
    tiling_rows,
    way_tiles,
)

if TYPE_CHECKING:
    from annette.simulator.array_engine import ArrayMachine

__all__ = ["TilingChoice", "fastest_tilings"]

_WEIGHTS_OUTSIDE = np.array([[True], [False]])
"""The two orders of the loops over tiles, as the first axis of all that depends on the order."""

_PORTION = 4096
"""Pairs of tiles at a time: their columns fit the caches of a processor."""


@dataclass(slots=True, kw_only=True)
class _Tilings:
    """Columns of all tilings of some ways; of shape (n_tilings,), or (2, n_tilings) by order of the loops."""

    rows: TilingRows
    input_bytes: Floats
    input_loads: Floats
    weight_loads: Floats
    loads_s: Floats
    """Seconds on the bus to load all tiles."""
    store_s: Floats
    useful_cycles: Floats
    overhead_cycles: Floats
    overlapped: Bools
    """Where loads, computation and stores overlap."""
    total_s: Floats
    """Launch not included."""


@dataclass(slots=True, kw_only=True)
class TilingChoice:
    """The fastest tiling of one way to spread the loops, and the columns that it was found in."""

    way: Way
    latency_s: float
    """Launch included."""
    tilings: _Tilings
    order: int
    """Its place in them: 0 where weights are outside, 1 where positions are."""
    row: int

    def finish(self, machine: ArrayMachine) -> tuple[KernelTime, Tile]:
        """Its time and its tiling."""
        nest, found, place = self.way.nest, self.tilings, (self.order, self.row)
        tile = found.rows.tile(
            self.row, weights_outside=self.order == 0, overlaps=bool(found.overlapped[place])
        )
        moved = (
            float(found.input_bytes[self.row]) * float(found.input_loads[place])
            + float(found.weight_loads[place]) * nest.weight_elements * weight_bytes(nest, machine)
            + (nest.extra_elements + nest.store_elements) * machine.activation_bytes
        )
        accesses = tile_accesses(nest, machine, self.way.unroll, tile)
        ports = machine.port_cycles(item.parts for item in accesses.memories) if machine.has_ports else 0.0
        overhead = float(found.overhead_cycles[self.row])
        parts = {
            "compute": max(float(found.useful_cycles[self.row]), float(ports)) / machine.clock_hz,
            "memory": float(found.loads_s[place]) + float(found.store_s[self.row]),
            "overhead": machine.launch_s + overhead / machine.clock_hz,
        }
        time = KernelTime(
            latency_s=self.latency_s,
            bound=max(parts, key=lambda name: parts[name]),
            compute_s=parts["compute"],
            memory_s=parts["memory"],
            overhead_s=parts["overhead"],
            moved_bytes=moved,
            macs=nest.macs,
            accesses=accesses,
        )
        return time, tile


def fastest_tilings(ways: Sequence[Way], machine: ArrayMachine) -> list[TilingChoice | None]:
    """The fastest tiling of each way; ``None`` if not even its smallest tile fits."""
    choices: list[TilingChoice | None] = []
    for some, tiles in _portions(ways):
        choices.extend(_choose(_worthwhile(some, tiles, machine), some, machine))
    return choices


def _portions(ways: Sequence[Way]) -> Iterator[tuple[list[Way], list[WayTiles]]]:
    """The ways with their candidates, as many at a time as fit the caches of the processor."""
    some: list[Way] = []
    tiles: list[WayTiles] = []
    pairs = 0
    for way in ways:
        candidates = way_tiles(way)
        if some and pairs + candidates.pairs > _PORTION:
            yield some, tiles
            some, tiles, pairs = [], [], 0
        some.append(way)
        tiles.append(candidates)
        pairs += candidates.pairs
    if some:
        yield some, tiles


def _worthwhile(ways: Sequence[Way], tiles: Sequence[WayTiles], machine: ArrayMachine) -> _Tilings:
    """All tilings of some ways that may be the fastest.

    Most tilings split the sum over input channels, and few of these are worth it: those that could beat all
    tilings that leave it whole.
    """
    table, columns = tile_table(tiles), way_columns(ways, machine)
    pairs, parts = pair_columns(table, columns, machine), reduction_columns(table, columns, machine)
    whole = tiling_rows(table, np.zeros(len(table.pair_way), dtype=bool))
    whole = whole.only(_fits(whole, pairs, parts, machine))
    found = _evaluate(whole, ways, pairs, parts, machine)
    limit_s = (1 + machine.tiling_slack) * _least(found.total_s, whole.way, len(ways))
    bounds = split_bounds(pairs, machine)
    most = np.maximum.reduceat(parts.n_tiles, table.first_reduction)[table.pair_way]
    splits = (most > 1) & (least_split_s(bounds, 2.0, most, machine) <= limit_s[table.pair_way])
    if not splits.any():
        return found
    rows = tiling_rows(table, splits)
    n_parts = parts.n_tiles[rows.reduction]
    least_s = least_split_s(SplitBounds(*(column[rows.pair] for column in bounds)), n_parts, n_parts, machine)
    rows = rows.only((n_parts == 1) | (least_s <= limit_s[rows.way]))
    rows = rows.only(_fits(rows, pairs, parts, machine))
    return _evaluate(rows, ways, pairs, parts, machine)


def _choose(found: _Tilings, ways: Sequence[Way], machine: ArrayMachine) -> list[TilingChoice | None]:
    """The fastest tiling of each way, or of those that are almost as fast the one that moves fewest bytes."""
    costs, way = found.total_s, found.rows.way
    if machine.tiling_slack > 0:
        weights = np.array([item.nest.weight_elements * weight_bytes(item.nest, machine) for item in ways])
        moved = found.input_bytes * found.input_loads + found.weight_loads * weights[way]
        limit_s = (1 + machine.tiling_slack) * _least(costs, way, len(ways))
        costs = np.where(costs <= limit_s[way], moved, np.inf)
    orders, rows = np.nonzero(costs == _least(costs, way, len(ways))[way])
    chosen, firsts = np.unique(way[rows], return_index=True)  # the first of several that are as good
    choices: list[TilingChoice | None] = [None for _ in ways]
    for index, first in zip(chosen.tolist(), firsts.tolist(), strict=True):
        order, row = int(orders[first]), int(rows[first])
        choices[index] = TilingChoice(
            way=ways[index],
            latency_s=machine.launch_s + float(found.total_s[order, row]),
            tilings=found,
            order=order,
            row=row,
        )
    return choices


def _least(costs: Floats, way: Indices, n_ways: int) -> Floats:
    """The least of each way; inf where it has no tiling."""
    found = np.full(n_ways, np.inf)
    np.minimum.at(found, way, costs.min(axis=0))
    return found


def _evaluate(
    rows: TilingRows, ways: Sequence[Way], pairs: PairColumns, parts: ReductionColumns, machine: ArrayMachine
) -> _Tilings:
    """These tilings in both orders of the loops over tiles."""
    pair = PairColumns(*(column[rows.pair] for column in pairs))
    part = ReductionColumns(*(column[rows.reduction] for column in parts))
    n_tiles = pair.n_stores * part.n_tiles
    n_fresh = np.where(part.n_tiles > 1, n_tiles, np.where(_WEIGHTS_OUTSIDE, pair.n_channels, pair.n_outer))
    input_loads, weight_loads = loads(
        _WEIGHTS_OUTSIDE, pair.n_positions, pair.n_channels, pair.n_out, part.n_tiles
    )
    overhead, cycles = _cycles(pair, part, n_tiles, machine)
    if machine.has_ports:
        operands = np.array([operand_bytes(way.nest, machine, way.unroll) for way in ways], dtype=np.float64)
        passed = buffer_bytes(
            OperandBytes(*operands.T[:, rows.way]),
            n_positions=pair.n_positions,
            input_bytes=pair.input_bytes,
            input_loads=input_loads,
            weight_loads=weight_loads,
        )
        cycles = np.maximum(cycles, machine.port_cycles(memory_bytes(machine, passed)))
    bus = _bus(pair, part, n_tiles, n_fresh, input_loads, weight_loads, machine)
    overlapped = _overlaps(rows, pairs, parts, n_tiles, n_fresh, machine)
    total_s = _total_s(
        pair, bus, n_tiles, n_fresh, cycles / (machine.clock_hz * n_tiles), overlapped, machine
    )
    return _Tilings(
        rows=rows,
        input_bytes=pair.input_bytes,
        input_loads=input_loads,
        weight_loads=weight_loads,
        loads_s=bus.loads_s,
        store_s=pair.store_s,
        useful_cycles=pair.useful_cycles,
        overhead_cycles=overhead,
        overlapped=overlapped,
        total_s=total_s,
    )


def _cycles(
    pair: PairColumns, part: ReductionColumns, n_tiles: Floats, machine: ArrayMachine
) -> tuple[Floats, Floats]:
    """Cycles of the array that are overhead, and all of them, or those of the post-processor if more."""
    overhead = (
        pair.pass_cycles * part.n_tiles
        + pair.switch_cycles
        + pair.wait_cycles
        + machine.stalls_per_cycle * pair.useful_cycles
        + machine.tile_cycles * n_tiles
    )
    return overhead, np.maximum(pair.useful_cycles + overhead, pair.post_cycles)


@dataclass(slots=True, kw_only=True)
class _Bus:
    """Seconds on the bus by order and tiling."""

    loads_s: Floats
    """All loads."""
    fresh_s: Floats
    """Loads of a tile that brings what stays, its latency included."""
    fresh_bus_s: Floats
    """The same with the store of a tile before it."""
    steady_bus_s: Floats
    """Those of a tile that finds it there."""


def _bus(
    pair: PairColumns, part: ReductionColumns, n_tiles: Floats, n_fresh: Floats,
    input_loads: Floats, weight_loads: Floats, machine: ArrayMachine,
) -> _Bus:  # fmt: skip
    latency_s, bandwidth = machine.external.latency_s, machine.external.bandwidth_bytes_per_s
    run = run_elements(
        machine.external, pair.groups * part.in_channels, pair.all_inputs, pair.input_area, pair.is_whole > 0
    )
    input_factor = bus_factor(machine, run, pair.input_padding)
    input_s = pair.input_bytes * input_factor / bandwidth * input_loads
    weight_s = pair.weights_s * weight_loads
    kept_s = np.where(_WEIGHTS_OUTSIDE, weight_s, input_s)
    loads_s = input_s + weight_s + pair.extra_s
    steady_s = (loads_s - kept_s) / n_tiles + latency_s
    fresh_s = kept_s / n_fresh + steady_s
    step_store_s = (pair.store_s - pair.last_store_s) / np.maximum(n_tiles - 1, 1)
    bus = _Bus(
        loads_s=loads_s,
        fresh_s=fresh_s,
        fresh_bus_s=fresh_s + step_store_s,
        steady_bus_s=steady_s + step_store_s,
    )
    if machine.has_weight_port:  # the longer of both, not both
        kept_s = np.where(_WEIGHTS_OUTSIDE, weight_s, 0.0)
        each_s = (weight_s - kept_s) / n_tiles
        first_s = each_s + kept_s / n_fresh
        beside = pair.has_weight_port > 0
        for name, weights_s, least_s in (
            ("loads_s", weight_s, weight_s),
            ("fresh_s", first_s, first_s + latency_s),
            ("fresh_bus_s", first_s, first_s + latency_s),
            ("steady_bus_s", each_s, each_s + latency_s),
        ):
            together = getattr(bus, name)
            setattr(bus, name, np.where(beside, np.maximum(together - weights_s, least_s), together))
    return bus


def _total_s(
    pair: PairColumns, bus: _Bus, n_tiles: Floats, n_fresh: Floats, compute_s: Floats,
    overlapped: Bools, machine: ArrayMachine,
) -> Floats:  # fmt: skip
    """Seconds of all tiles, where these overlap and where they follow each other."""
    latency_s = machine.external.latency_s
    overlap_s = (
        bus.fresh_s
        + (n_fresh - 1) * np.maximum(compute_s, bus.fresh_bus_s)
        + (n_tiles - n_fresh) * np.maximum(compute_s, bus.steady_bus_s)
        + compute_s
    )
    serial_s = bus.loads_s + n_tiles * (latency_s + compute_s) + pair.store_s - pair.last_store_s
    return np.where(overlapped, overlap_s, serial_s) + pair.last_store_s + latency_s


def _tile_bytes(
    rows: TilingRows, pairs: PairColumns, parts: ReductionColumns, machine: ArrayMachine
) -> tuple[Floats, Floats, Floats]:
    """Bytes on the chip of one tile of the input, of the weights and of the output."""
    channels, in_channels = pairs.channels[rows.pair], parts.in_channels[rows.reduction]
    return (
        pairs.input_tile[rows.pair] * (pairs.groups[rows.pair] * in_channels * machine.activation_bytes),
        channels * in_channels * pairs.window_bytes[rows.pair],
        pairs.output_tile[rows.pair] * (channels * parts.result_bytes[rows.reduction]),
    )


def _fits(rows: TilingRows, pairs: PairColumns, parts: ReductionColumns, machine: ArrayMachine) -> Bools:
    """Where at least one tile of each operand fits the memories."""
    return _fit_memories(machine, _tile_bytes(rows, pairs, parts, machine))


def _overlaps(
    rows: TilingRows, pairs: PairColumns, parts: ReductionColumns, n_tiles: Floats, n_fresh: Floats,
    machine: ArrayMachine,
) -> Bools:  # fmt: skip
    """Where two tiles of what changes fit the memories."""
    kept, streamed = 1.0 + (n_fresh > 1), 1.0 + (n_tiles > 1)
    inputs, weights, outputs = _tile_bytes(rows, pairs, parts, machine)
    needs = (
        inputs * np.where(_WEIGHTS_OUTSIDE, streamed, kept),
        weights * np.where(_WEIGHTS_OUTSIDE, kept, streamed),
        outputs * (1.0 + (pairs.n_stores[rows.pair] > 1)),
    )
    return _fit_memories(machine, needs)


def _fit_memories(machine: ArrayMachine, operand_bytes: tuple[Floats, Floats, Floats]) -> Bools:
    """Where so many bytes of input, weights and output fit the memories that hold them."""
    needs: list[Floats | float] = [0.0 for _ in machine.sizes_bytes]
    for holder, size_bytes in zip(machine.holders, operand_bytes, strict=True):
        needs[holder] = needs[holder] + size_bytes
    fits = np.ones(1, dtype=bool)
    for need, size in zip(needs, machine.sizes_bytes, strict=True):
        fits = fits & (need <= size)
    return fits
