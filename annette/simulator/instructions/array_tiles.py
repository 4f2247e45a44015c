"""Lowers a loop nest on an unrolled array: its loops over tiles, and the steps of the array within a tile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from annette.simulator.array_engine import ArrayMachine, ArrayTiling, choose_tiling
from annette.simulator.array_traffic import tile_factors, weight_bus_bytes
from annette.simulator.instructions.machine import Block, Instruction
from annette.simulator.instructions.parts import Engine
from annette.simulator.instructions.program import Program
from annette.simulator.instructions.tiles import Group, Repeat, Tile, TileNest, pipelined, repeat, serial
from annette.simulator.nests import ArrayNest

__all__ = ["lower_nest"]

_POSITIONS, _CHANNELS = ("batch", "positions_h", "positions_w"), ("groups", "out_channels")

Sizes = dict[str, int]
"""Iterations of each loop that one tile does."""


def lower_nest(nest: ArrayNest, machine: ArrayMachine) -> Program:
    """The program of ``nest`` in the tiling that the array engine takes.

    Raises
    ------
    HardwareError
        If not even the smallest tile fits the on-chip memories.
    """
    tiling = choose_tiling(nest, machine)
    lowering = _Lowering(tiling, machine)
    engine = lowering.engine
    tiles = lowering.tiles()
    body = pipelined(tiles) if engine.overlaps else serial(tiles)
    return Program(machine=engine.machine, body=(engine.launch(machine.launch_s), *body, engine.settle()))


class _Lowering:
    """One kernel in one tiling."""

    def __init__(self, tiling: ArrayTiling, machine: ArrayMachine) -> None:
        self.nest, self.unroll, self.tile, self.machine = tiling.nest, tiling.unroll, tiling.tile, machine
        self.input_factor, self.store_factor = tile_factors(self.nest, machine, self.tile)
        self.splits = self.tile.in_channels < self.nest.in_channels
        self.streams_weights = self.splits or (
            not self.tile.weights_outside
            and (self.tile.groups < self.nest.groups or self.tile.out_channels < self.nest.out_channels)
        )
        self.engine = Engine(
            clock_hz=machine.clock_hz,
            external=machine.external,
            overlaps=self.tile.overlaps,
            buffers=("input", "weight"),
            has_weight_port=machine.has_weight_port and not tiling.nest.has_computed_weights,
        )

    def tiles(self) -> TileNest:
        """The loops over tiles, outermost first, as the array engine orders them."""
        if self.splits:
            order = (*_CHANNELS, *_POSITIONS) if self.tile.weights_outside else (*_POSITIONS, *_CHANNELS)
            return self._loops(order, {}, self._reduction)
        whole = {"in_channels": self.nest.in_channels}
        if self.tile.weights_outside:
            return self._loops(_CHANNELS, whole, self._weights_kept)
        if self.streams_weights:
            return self._loops((*_POSITIONS, "groups"), whole, self._input_kept)
        return self._weights_kept(
            {**whole, "groups": self.nest.groups, "out_channels": self.nest.out_channels}
        )

    def _loops(self, loops: tuple[str, ...], sizes: Sizes, body: Callable[[Sizes], TileNest]) -> TileNest:
        """Loops over the tiles of these axes around ``body``; the last tile of an axis may be smaller."""
        if not loops:
            return body(sizes)
        items: list[Tile | Group | Repeat] = []
        for count, size in _parts(getattr(self.nest, loops[0]), getattr(self.tile, loops[0])):
            inner = self._loops(loops[1:], {**sizes, loops[0]: size}, body)
            items.extend(inner if count == 1 else (Repeat(count=count, body=inner),))
        return tuple(items)

    def _weights_kept(self, sizes: Sizes) -> TileNest:
        body = self._loops(_POSITIONS, sizes, lambda inner: (self._step(inner, ("input",)),))
        return (self._group("weight", self._weight_bytes(sizes), body),)

    def _input_kept(self, sizes: Sizes) -> TileNest:
        body = self._loops(("out_channels",), sizes, lambda inner: (self._step(inner, ("weight",)),))
        return (self._group("input", self._input_bytes(sizes), body),)

    def _group(self, operand: str, size_bytes: float, body: TileNest) -> Group:
        free = Instruction(name="free", kind="configure", unit="array", cycles=0, releases=(operand,))
        return Group(load=self.engine.load(operand, size_bytes, acquires=(operand,)), body=body, free=(free,))

    def _reduction(self, sizes: Sizes) -> TileNest:
        """Tiles of input channels that add to one tile of results."""
        runs = [[count, size] for count, size in _parts(self.nest.in_channels, self.tile.in_channels)]
        runs[0][0] -= 1
        runs[-1][0] -= 1
        places = [(1, runs[0][1], "first"), *((count, size, "middle") for count, size in runs)]
        tiles: list[Tile | Group | Repeat] = []
        for count, size, place in (*places, (1, runs[-1][1], "last")):
            if count:
                step = self._step({**sizes, "in_channels": size}, ("input", "weight"), place)
                tiles.append(step if count == 1 else Repeat(count=count, body=(step,)))
        return tuple(tiles)

    def _step(self, sizes: Sizes, operands: tuple[str, ...], place: str = "only") -> Tile:
        """One tile; ``place``: whether it is the first, the last, or the only one of its results."""
        engine, nest = self.engine, self.nest
        is_last = place in ("last", "only")
        has_extra = is_last and nest.extra_elements > 0
        amounts = {"input": self._input_bytes, "weight": self._weight_bytes}
        loads: list[Block] = [(engine.request(*operands),)]
        loads.extend(engine.load(name, amounts[name](sizes)) for name in operands)
        result = self._share(sizes) * self.machine.activation_bytes * self.store_factor
        if has_extra:
            loads.append(engine.load("extra", result * nest.extra_elements))
        waits = ("input", "weight", *(("extra",) if has_extra else ()))
        post = (
            self._share(sizes) * nest.post_elements / self.machine.post_elements_per_cycle if is_last else 0
        )
        results = ("finish", "post") if post else ("finish",)
        return Tile(
            load=tuple(item for block in loads for item in block),
            sync=engine.sync(self.machine.tile_cycles, waits, takes_room=place in ("first", "only")),
            work=(*self._work(sizes, post), engine.finish(*operands)),
            store=engine.store(result * nest.store_elements, *results) if is_last else (),
        )

    def _work(self, sizes: Sizes, post: float) -> Block:
        """The array's steps: passes of output channels, in them blocks of weights, in these positions."""
        machine, unroll, nest, engine = self.machine, self.unroll, self.nest, self.engine
        positions = (
            math.ceil(sizes["batch"] / unroll.batch)
            * math.ceil(sizes["positions_h"] / unroll.out_h)
            * math.ceil(sizes["positions_w"] / unroll.out_w)
        )
        weight_blocks = (
            math.ceil(sizes["in_channels"] / unroll.in_channels)
            * math.ceil(nest.kernel_h / unroll.kernel_h)
            * math.ceil(nest.kernel_w / unroll.kernel_w)
        )
        passes = math.ceil(sizes["groups"] / unroll.groups) * math.ceil(
            sizes["out_channels"] / unroll.out_channels
        )
        switch = engine.configure(
            "switch", machine.weight_switch_cycles, weight_load=math.ceil(machine.weight_load_cycles)
        )
        stalls = engine.configure("hand over", positions * machine.stalls_per_cycle)
        block = (*switch, *repeat(positions, (engine.step("multiply"),)), *stalls)
        start = engine.configure("pass", machine.pass_cycles)
        return repeat(
            passes,
            (*start, *repeat(weight_blocks, block), *engine.post(math.ceil(post / passes), "multiply")),
        )

    def _share(self, sizes: Sizes) -> float:
        """Share of the results in a tile of these sizes."""
        return self._fraction(sizes, (*_POSITIONS, *_CHANNELS))

    def _fraction(self, sizes: Sizes, loops: tuple[str, ...]) -> float:
        fractions: list[float] = [sizes[name] / getattr(self.nest, name) for name in loops]
        return math.prod(fractions)

    def _weight_bytes(self, sizes: Sizes) -> float:
        share = self._fraction(sizes, (*_CHANNELS, "in_channels"))
        return share * self.nest.weight_elements * weight_bus_bytes(self.nest, self.machine)

    def _input_bytes(self, sizes: Sizes) -> float:
        """Of a tile's positions and channels; rows shared with its neighbours are loaded for each."""
        nest = self.nest
        rows = nest.halo_h + (nest.in_h - nest.halo_h) * sizes["positions_h"] / nest.positions_h
        columns = nest.halo_w + (nest.in_w - nest.halo_w) * sizes["positions_w"] / nest.positions_w
        channels = sizes["groups"] * sizes["in_channels"]
        moved = sizes["batch"] * rows * columns * channels * self.machine.activation_bytes
        return moved * self.input_factor


def _parts(size: int, tile: int) -> Iterator[tuple[int, int]]:
    """Runs of equal tiles of a loop: how many, and how large."""
    whole, rest = divmod(size, tile)
    if whole:
        yield whole, tile
    if rest:
        yield 1, rest
