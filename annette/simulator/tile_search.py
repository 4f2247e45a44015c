"""Searches the tilings of loop nests: the fastest of each way to spread the loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annette.simulator.array_accesses import tile_accesses
from annette.simulator.array_traffic import weight_bytes
from annette.simulator.nests import KernelTime
from annette.simulator.tile_bounds import least_any_split_s, least_split_s, least_whole_s
from annette.simulator.tile_columns import TileColumns, tile_columns
from annette.simulator.tile_pipeline import Tilings, evaluate, fits
from annette.simulator.tiling import (
    Bools,
    Floats,
    Indices,
    Tile,
    TilingRows,
    Way,
    split_rows,
    way_tiles,
    whole_rows,
)

if TYPE_CHECKING:
    from annette.simulator.array_engine import ArrayMachine

__all__ = ["TilingChoice", "fastest_tilings"]

_PORTION = 4096
"""Pairs of tiles at a time: their columns fit the caches of a processor."""


@dataclass(slots=True, kw_only=True)
class TilingChoice:
    """The fastest tiling of one way to spread the loops, and the columns that it was found in."""

    way: Way
    latency_s: float
    """Launch included."""
    tilings: Tilings
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


def fastest_tilings(
    ways: Sequence[Way], machine: ArrayMachine, limits_s: Sequence[float]
) -> list[TilingChoice | None]:
    """The fastest tiling of each way; ``None`` if not even its smallest tile fits.

    Parameters
    ----------
    limits_s : sequence of float
        A tiling that takes longer than the limit of its way may be left out, and with it the way.
    """
    choices: list[TilingChoice | None] = []
    for part in _portions(ways):
        columns = tile_columns(ways[part], machine)
        choices.extend(_choose(_worthwhile(columns, limits_s[part]), columns))
    return choices


def _portions(ways: Sequence[Way]) -> Iterator[slice]:
    """The ways, as many at a time as fit the caches of the processor with all their columns."""
    start = pairs = 0
    for index, way in enumerate(ways):
        more = way_tiles(way).pairs
        if index > start and pairs + more > _PORTION:
            yield slice(start, index)
            start, pairs = index, 0
        pairs += more
    if start < len(ways):
        yield slice(start, len(ways))


def _worthwhile(columns: TileColumns, limits_s: Sequence[float]) -> Tilings:
    """The tilings that may be the fastest of their way.

    Few are: those whose bound is not above what the most promising ones take. Of the tilings that leave the
    sum over input channels whole there are few, one a pair of tiles. Those that split it are looked at for
    the pairs only where they may be faster.
    """
    # With slack, a way may be chosen for a tiling that is not its fastest: other ways' times are no limits.
    has_slack = columns.machine.tiling_slack > 0
    limit_s = np.full(len(limits_s), np.inf) if has_slack else np.array(limits_s)
    table, bound_s, split_s = columns.table, least_whole_s(columns), least_any_split_s(columns)
    whole = whole_rows(table)
    whole = whole.only(fits(whole, columns))
    limit_s = _lowered(limit_s, whole, bound_s[whole.pair], columns)

    best_pairs = split_s == _least(split_s, table.pair_way, len(limit_s))[table.pair_way]
    split, tiling_s = _bounded(best_pairs & (split_s <= limit_s[table.pair_way]), columns)
    limit_s = _lowered(limit_s, split, tiling_s, columns)
    split, tiling_s = _bounded(split_s <= limit_s[table.pair_way], columns)
    limit_s = _lowered(limit_s, split, tiling_s, columns)

    whole = whole.only(bound_s[whole.pair] <= limit_s[whole.way])
    return evaluate(whole.joined(split.only(tiling_s <= limit_s[split.way])), columns)


def _bounded(pairs: Bools, columns: TileColumns) -> tuple[TilingRows, Floats]:
    """The tilings of these pairs that split the sum and fit, and their bounds."""
    rows = split_rows(columns.table, pairs)
    rows = rows.only(fits(rows, columns))
    return rows, least_split_s(rows, columns)


def _lowered(limit_s: Floats, rows: TilingRows, bound_s: Floats, columns: TileColumns) -> Floats:
    """The limits of the ways once the tilings with the least bounds are worked out."""
    first = rows.only(bound_s == _least(bound_s, rows.way, len(limit_s))[rows.way])
    least = _least(evaluate(first, columns).total_s.min(axis=0), first.way, len(limit_s))
    return np.minimum(limit_s, (1 + columns.machine.tiling_slack) * least)


def _choose(found: Tilings, columns: TileColumns) -> list[TilingChoice | None]:
    """The fastest tiling of each way, or of those that are almost as fast the one that moves fewest bytes."""
    machine, ways = columns.machine, columns.ways
    costs, way = found.total_s, found.rows.way
    if machine.tiling_slack > 0:
        weights = np.array([item.nest.weight_elements * weight_bytes(item.nest, machine) for item in ways])
        moved = found.input_bytes * found.input_loads + found.weight_loads * weights[way]
        limit_s = (1 + machine.tiling_slack) * _least(costs.min(axis=0), way, len(ways))
        costs = np.where(costs <= limit_s[way], moved, np.inf)
    orders, rows = np.nonzero(costs == _least(costs.min(axis=0), way, len(ways))[way])
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
    np.minimum.at(found, way, costs)
    return found
