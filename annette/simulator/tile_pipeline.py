"""The load / compute / store pipeline of the MAC array: the fastest tiling of each way to spread loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from annette.hardware.accelerator import Unroll
from annette.simulator.array_accesses import (
    buffer_bytes,
    loads,
    memory_bytes,
    tile_accesses,
)
from annette.simulator.array_traffic import (
    TileTraffic,
    input_extent,
    tile_traffic,
    weight_bus_bytes,
    weight_bytes,
)
from annette.simulator.nests import ArrayNest, KernelTime
from annette.simulator.tiling import Tile, Tiles, tile_grid, unrolled_steps

if TYPE_CHECKING:
    from annette.simulator.array_engine import ArrayMachine

__all__ = ["TilingChoice", "fastest_tiling"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_WEIGHTS_OUTSIDE = np.array([True, False]).reshape(2, 1, 1, 1)
"""The two orders of the loops over tiles, as the first axis of all that depends on the order."""


@dataclass(slots=True, kw_only=True)
class _Cycles:
    useful: float
    """Cycles of the array if it never waits; partial blocks count as full ones."""
    overhead: Floats
    """Fills, exchanges of weights and synchronisation of all tiles, by tiling."""
    total: Floats
    """Both, or the cycles of the post-processor or of the memories' ports where these are more."""


def _cycles(nest: ArrayNest, machine: ArrayMachine, unroll: Unroll, traffic: TileTraffic) -> _Cycles:
    positions, out_blocks, reductions = unrolled_steps(nest, unroll)
    weight_blocks = out_blocks * reductions
    useful = float(positions * weight_blocks)
    n_tiles = traffic.n_positions * traffic.n_groups * traffic.n_out * traffic.n_in
    waits = np.maximum(machine.weight_load_cycles * traffic.n_positions - positions, 0.0)
    overhead = (
        machine.pass_cycles * out_blocks * traffic.n_positions * traffic.n_in
        + machine.weight_switch_cycles * weight_blocks * traffic.n_positions
        + waits * weight_blocks
        + machine.stalls_per_cycle * useful
        + machine.tile_cycles * n_tiles
    )
    post = nest.post_elements / machine.post_elements_per_cycle
    total = np.maximum(useful + overhead, post)
    if machine.has_ports:
        input_loads, weight_loads = _loads(traffic)
        found = buffer_bytes(
            nest, machine, unroll,
            n_positions=traffic.n_positions,
            input_bytes=traffic.input_bytes,
            input_loads=input_loads,
            weight_loads=weight_loads,
        )  # fmt: skip
        total = np.maximum(total, machine.port_cycles(memory_bytes(machine, found)))
    return _Cycles(useful=useful, overhead=overhead, total=total)


def _loads(traffic: TileTraffic) -> tuple[Floats, Floats]:
    """How often the input and the weights are loaded, for both orders of the loops over tiles."""
    return loads(_WEIGHTS_OUTSIDE, traffic.n_positions, traffic.n_groups, traffic.n_out, traffic.n_in)


@dataclass(slots=True, kw_only=True)
class TilingChoice:
    """The fastest tiling of one way to spread the loops, and the arrays that it was found in."""

    nest: ArrayNest
    unroll: Unroll
    latency_s: float
    """Launch included."""
    best: tuple[np.intp, ...]
    """Its place in the arrays."""
    tiles: Tiles
    traffic: TileTraffic
    cycles: _Cycles
    loads: tuple[Floats, Floats]
    """Of input and weights."""
    loads_s: Floats
    store_s: Floats
    overlapped: Bools

    def picked(self, values: Floats | Bools) -> float:
        """What an array that broadcasts to all tilings says of this one."""
        axes = zip(self.best[-values.ndim :], values.shape, strict=True)
        return float(values[tuple(index if size > 1 else 0 for index, size in axes)])

    def finish(self, machine: ArrayMachine) -> tuple[KernelTime, Tile]:
        """Its time and its tiling."""
        nest, tile = self.nest, self._tile()
        input_loads, weight_loads = self.loads
        moved = (
            self.picked(self.traffic.input_bytes * input_loads)
            + self.picked(weight_loads) * nest.weight_elements * weight_bytes(nest, machine)
            + (nest.extra_elements + nest.store_elements) * machine.activation_bytes
        )
        accesses = tile_accesses(nest, machine, self.unroll, tile)
        ports = machine.port_cycles(item.parts for item in accesses.memories) if machine.has_ports else 0.0
        parts = {
            "compute": max(self.cycles.useful, float(ports)) / machine.clock_hz,
            "memory": self.picked(self.loads_s) + self.picked(self.store_s),
            "overhead": machine.launch_s + self.picked(self.cycles.overhead) / machine.clock_hz,
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

    def _tile(self) -> Tile:
        tiles = self.tiles
        return Tile(
            batch=int(self.picked(tiles.batch)),
            positions_h=int(self.picked(tiles.positions_h)),
            positions_w=int(self.picked(tiles.positions_w)),
            groups=int(self.picked(tiles.groups)),
            out_channels=int(self.picked(tiles.out_channels)),
            in_channels=int(self.picked(tiles.in_channels)),
            weights_outside=bool(self.picked(_WEIGHTS_OUTSIDE)),
            overlaps=bool(self.picked(self.overlapped)),
        )


def fastest_tiling(nest: ArrayNest, machine: ArrayMachine, unroll: Unroll) -> TilingChoice | None:
    """The fastest tiling with one way to spread the loops; ``None`` if not even the smallest tile fits."""
    tiles = tile_grid(nest, unroll)
    traffic = tile_traffic(nest, machine, tiles)
    cycles = _cycles(nest, machine, unroll, traffic)
    n_positions, n_channels = traffic.n_positions, traffic.n_groups * traffic.n_out
    n_tiles = n_positions * n_channels * traffic.n_in
    input_loads, weight_loads = _loads(traffic)
    outer = np.where(_WEIGHTS_OUTSIDE, n_channels, n_positions * traffic.n_groups)
    n_fresh = np.where(traffic.n_in > 1, n_tiles, outer)
    overlapped, possible = _fit(nest, machine, tiles, n_tiles, n_fresh, n_positions * n_channels)
    if not possible.any():
        return None
    bandwidth, latency_s = machine.external.bandwidth_bytes_per_s, machine.external.latency_s
    input_s = traffic.input_bytes * traffic.input_factor / bandwidth * input_loads
    weight_s = nest.weight_elements * weight_bus_bytes(nest, machine) / bandwidth * weight_loads
    scale = traffic.store_factor * (machine.activation_bytes / bandwidth)
    extra_s, store_s = nest.extra_elements * scale, nest.store_elements * scale
    kept_s = np.where(_WEIGHTS_OUTSIDE, weight_s, input_s)
    loads_s = input_s + weight_s + extra_s
    steady_s = (loads_s - kept_s) / n_tiles + latency_s
    fresh_s = kept_s / n_fresh + steady_s
    last_store_s = store_s * traffic.last_fraction
    step_store_s = (store_s - last_store_s) / np.maximum(n_tiles - 1, 1)
    compute_s = cycles.total / (machine.clock_hz * n_tiles)
    fresh_bus_s, steady_bus_s = fresh_s + step_store_s, steady_s + step_store_s
    if machine.has_weight_port and not nest.has_computed_weights:  # the longer of both, not both
        weight_kept_s = np.where(_WEIGHTS_OUTSIDE, weight_s, 0.0)
        each_s = (weight_s - weight_kept_s) / n_tiles
        first_s = each_s + weight_kept_s / n_fresh
        fresh_s = np.maximum(fresh_s - first_s, first_s + latency_s)
        fresh_bus_s = np.maximum(fresh_bus_s - first_s, first_s + latency_s)
        steady_bus_s = np.maximum(steady_bus_s - each_s, each_s + latency_s)
        loads_s = np.maximum(loads_s - weight_s, weight_s)
    overlap_s = (
        fresh_s
        + (n_fresh - 1) * np.maximum(compute_s, fresh_bus_s)
        + (n_tiles - n_fresh) * np.maximum(compute_s, steady_bus_s)
        + compute_s
    )
    serial_s = loads_s + n_tiles * (latency_s + compute_s) + store_s - last_store_s
    total_s = np.where(overlapped, overlap_s, serial_s) + last_store_s + latency_s
    costs = np.where(possible, total_s, np.inf)
    if machine.tiling_slack > 0:
        moved = traffic.input_bytes * input_loads
        moved = moved + weight_loads * (nest.weight_elements * weight_bytes(nest, machine))
        costs = np.where(costs <= (1 + machine.tiling_slack) * costs.min(), moved, np.inf)
    best = np.unravel_index(int(np.argmin(costs)), total_s.shape)
    return TilingChoice(
        nest=nest,
        unroll=unroll,
        latency_s=machine.launch_s + float(total_s[best]),
        best=best,
        tiles=tiles,
        traffic=traffic,
        cycles=cycles,
        loads=(input_loads, weight_loads),
        loads_s=loads_s,
        store_s=store_s,
        overlapped=overlapped,
    )


def _fit(
    nest: ArrayNest,
    machine: ArrayMachine,
    tiles: Tiles,
    n_tiles: Floats,
    n_fresh: Floats,
    n_stores: Floats,
) -> tuple[Bools, Bools]:
    """Where two tiles of what changes fit the memories, and where at least one does."""
    tile_h, tile_w = input_extent(nest, tiles)
    channels = tiles.groups * tiles.out_channels
    input_tile = tiles.batch * tile_h * tile_w * (tiles.groups * tiles.in_channels * machine.activation_bytes)
    window_bytes = nest.kernel_h * nest.kernel_w * weight_bytes(nest, machine)
    weight_tile = channels * tiles.in_channels * window_bytes
    is_partial = (tiles.in_channels < nest.in_channels) | machine.keeps_partial_sums
    element = np.where(is_partial, machine.accumulator_bytes, machine.activation_bytes)
    output_tile = tiles.batch * tiles.positions_h * tiles.positions_w * (channels * element)
    kept, streamed = 1.0 + (n_fresh > 1), 1.0 + (n_tiles > 1)
    needs = (
        (input_tile, np.where(_WEIGHTS_OUTSIDE, streamed, kept)),
        (weight_tile, np.where(_WEIGHTS_OUTSIDE, kept, streamed)),
        (output_tile, 1.0 + (n_stores > 1)),
    )
    double: list[Floats | float] = [0.0 for _ in machine.sizes_bytes]
    single: list[Floats | float] = [0.0 for _ in machine.sizes_bytes]
    for holder, (tile, count) in zip(machine.holders, needs, strict=True):
        double[holder] = double[holder] + tile * count
        single[holder] = single[holder] + tile
    overlapped = possible = np.ones((1, 1, 1, 1), dtype=bool)
    for size, two, one in zip(machine.sizes_bytes, double, single, strict=True):
        overlapped = overlapped & (two <= size)
        possible = possible & (one <= size)
    return overlapped, possible
