"""The load / compute / store pipeline of the MAC array: how long tilings of loop nests take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annette.simulator.array_accesses import OperandBytes, buffer_bytes, loads, memory_bytes, operand_bytes
from annette.simulator.array_traffic import bus_factor, run_elements
from annette.simulator.tile_columns import PairColumns, ReductionColumns, TileColumns
from annette.simulator.tiling import Bools, Floats, TilingRows

if TYPE_CHECKING:
    from annette.simulator.array_engine import ArrayMachine

__all__ = ["Tilings", "evaluate", "fits", "input_factor", "splits_overlap"]

_WEIGHTS_OUTSIDE = np.array([[True], [False]])
"""The two orders of the loops over tiles, as the first axis of all that depends on the order."""


@dataclass(slots=True, kw_only=True)
class Tilings:
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


def evaluate(rows: TilingRows, columns: TileColumns) -> Tilings:
    """These tilings in both orders of the loops over tiles."""
    machine = columns.machine
    pair = PairColumns(*(column[rows.pair] for column in columns.pairs))
    part = ReductionColumns(*(column[rows.reduction] for column in columns.parts))
    n_tiles = pair.n_stores * part.n_tiles
    n_fresh = np.where(part.n_tiles > 1, n_tiles, np.where(_WEIGHTS_OUTSIDE, pair.n_channels, pair.n_outer))
    input_loads, weight_loads = loads(
        _WEIGHTS_OUTSIDE, pair.n_positions, pair.n_channels, pair.n_out, part.n_tiles
    )
    overhead, cycles = _cycles(pair, part, n_tiles, machine)
    if machine.has_ports:
        each = [operand_bytes(way.nest, machine, way.unroll) for way in columns.ways]
        passed = buffer_bytes(
            OperandBytes(*np.array(each, dtype=np.float64).T[:, rows.way]),
            n_positions=pair.n_positions,
            input_bytes=pair.input_bytes,
            input_loads=input_loads,
            weight_loads=weight_loads,
        )
        cycles = np.maximum(cycles, machine.port_cycles(memory_bytes(machine, passed)))
    bus = _bus(pair, input_factor(rows, columns), n_tiles, n_fresh, input_loads, weight_loads, machine)
    overlapped = _overlap(rows, columns, n_tiles, n_fresh)
    total_s = _total_s(
        pair, bus, n_tiles, n_fresh, cycles / (machine.clock_hz * n_tiles), overlapped, machine
    )
    return Tilings(
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
    pair: PairColumns, input_factor: Floats, n_tiles: Floats, n_fresh: Floats,
    input_loads: Floats, weight_loads: Floats, machine: ArrayMachine,
) -> _Bus:  # fmt: skip
    latency_s, bandwidth = machine.external.latency_s, machine.external.bandwidth_bytes_per_s
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


def input_factor(rows: TilingRows, columns: TileColumns) -> Floats:
    """Bytes on the bus per byte of input."""
    machine, pairs, at = columns.machine, columns.pairs, rows.pair
    channels = pairs.groups[at] * columns.parts.in_channels[rows.reduction]
    run = run_elements(
        machine.external, channels, pairs.all_inputs[at], pairs.input_area[at], pairs.is_whole[at] > 0
    )
    return bus_factor(machine, run, pairs.input_padding[at])


def fits(rows: TilingRows, columns: TileColumns) -> Bools:
    """Where one tile of each operand fits the memories."""
    return _fit_memories(columns.machine, _tile_bytes(rows, columns))


def splits_overlap(rows: TilingRows, columns: TileColumns) -> Bools:
    """Where two tiles of each operand fit, as needs what splits the sum; results of all may stay as one."""
    inputs, weights, outputs = _tile_bytes(rows, columns)
    stored = 1.0 + (columns.pairs.n_stores[rows.pair] > 1)
    return _fit_memories(columns.machine, (2.0 * inputs, 2.0 * weights, outputs * stored))


def _overlap(rows: TilingRows, columns: TileColumns, n_tiles: Floats, n_fresh: Floats) -> Bools:
    """Where two tiles of what changes fit the memories."""
    kept, streamed = 1.0 + (n_fresh > 1), 1.0 + (n_tiles > 1)
    inputs, weights, outputs = _tile_bytes(rows, columns)
    needs = (
        inputs * np.where(_WEIGHTS_OUTSIDE, streamed, kept),
        weights * np.where(_WEIGHTS_OUTSIDE, kept, streamed),
        outputs * (1.0 + (columns.pairs.n_stores[rows.pair] > 1)),
    )
    return _fit_memories(columns.machine, needs)


def _tile_bytes(rows: TilingRows, columns: TileColumns) -> tuple[Floats, Floats, Floats]:
    """Bytes on the chip of one tile of the input, of the weights and of the output."""
    machine, pairs, parts, at = columns.machine, columns.pairs, columns.parts, rows.pair
    channels, in_channels = pairs.channels[at], parts.in_channels[rows.reduction]
    return (
        pairs.input_tile[at] * (pairs.groups[at] * in_channels * machine.activation_bytes),
        channels * in_channels * pairs.window_bytes[at],
        pairs.output_tile[at] * (channels * parts.result_bytes[rows.reduction]),
    )


def _fit_memories(machine: ArrayMachine, operand_bytes: tuple[Floats, Floats, Floats]) -> Bools:
    """Where so many bytes of input, weights and output fit the memories that hold them."""
    needs: list[Floats | float] = [0.0 for _ in machine.sizes_bytes]
    for holder, size_bytes in zip(machine.holders, operand_bytes, strict=True):
        needs[holder] = needs[holder] + size_bytes
    fits = np.ones(1, dtype=bool)
    for need, size in zip(needs, machine.sizes_bytes, strict=True):
        fits = fits & (need <= size)
    return fits
