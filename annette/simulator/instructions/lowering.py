"""Lowers kernels of the array and the vector unit to programs, in the tiling that the tile engines chose.

A tile is: a request to the memory, the loads of its operands, a synchronisation, the array's steps, a store.
The steps are the array's own instructions, one a block of the unroll (or a vector through a systolic array,
or a cycle of the vector unit), so that a large layer stands for billions. Edge tiles have their own size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from annette.hardware.accelerator import Accelerator, VectorUnit
from annette.hardware.systolic_array import SystolicArray
from annette.simulator.array_engine import ArrayMachine
from annette.simulator.instructions.array_tiles import lower_nest
from annette.simulator.instructions.parts import Engine, whole_cycles
from annette.simulator.instructions.program import Program
from annette.simulator.instructions.tiles import Repeat, Tile, TileNest, pipelined, repeat, serial
from annette.simulator.nests import ArrayNest, Stream
from annette.simulator.stream_engine import VectorMachine, choose_stream_tiling
from annette.simulator.systolic import AXES
from annette.simulator.systolic_engine import bus_bytes, choose_product, product_traffic

__all__ = ["lower_program", "lower_stream"]


def lower_program(nest: ArrayNest, machine: ArrayMachine) -> Program:
    """The program of a kernel of the array.

    Raises
    ------
    HardwareError
        If not even the smallest tile fits the on-chip memories.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> from annette.hardware.codec import load_accelerator
    >>> from annette.simulator.array_engine import array_machine
    >>> from annette.simulator.facts import NetworkFacts
    >>> from annette.simulator.lowering import lower_to_array
    >>> build = NetworkBuilder("one")
    >>> network = build.finish(build.conv(build.input("x", (1, 64, 32, 32)), 64, kernel=3, padding=1))
    >>> nest = lower_to_array(NetworkFacts(network), network.layers)
    >>> lower_program(nest, array_machine(load_accelerator("zcu102-dpu"))).instructions
    18454
    """
    if machine.systolic is not None:
        return _lower_systolic(nest, machine.systolic, machine)
    return lower_nest(nest, machine)


def lower_stream(stream: Stream, unit: VectorUnit, accelerator: Accelerator) -> Program:
    """The program of a kernel of the vector unit; its cycles are those of the unit's clock.

    Raises
    ------
    HardwareError
        If not even one element fits the buffer.
    """
    external, precision = accelerator.external_memory, accelerator.precision
    machine = VectorMachine(
        unit=unit,
        external=external,
        activation_bytes=precision.activation_bytes,
        weight_bytes=precision.weight_bytes,
    )
    tiling = choose_stream_tiling(stream, machine)
    engine = Engine(clock_hz=unit.clock_hz, external=external, overlaps=tiling.overlaps, buffers=("input",))
    bandwidth = external.bandwidth_bytes_per_s
    totals = (
        engine.cycles(tiling.load_s),
        whole_cycles(tiling.work_cycles + tiling.block_cycles),
        engine.cycles(tiling.store_s),
    )
    tiles: list[Tile | Repeat] = []
    for count, (load, work, store) in _shared_out(totals, tiling.tiles):
        scale = bandwidth / unit.clock_hz
        tile = Tile(
            load=(engine.request("input"), *engine.load("input", load * scale)),
            sync=engine.sync(unit.tile_cycles, ("input",)),
            work=(*(repeat(work, (engine.step("work"),)) if work else ()), engine.finish("input")),
            store=engine.store(store * scale, "finish"),
        )
        tiles.append(Repeat(count=count, body=(tile,)))
    nest: TileNest = tuple(tiles)
    body = pipelined(nest) if engine.overlaps else serial(nest)
    return Program(machine=engine.machine, body=(engine.launch(unit.launch_s), *body, engine.settle()))


def _lower_systolic(nest: ArrayNest, array: SystolicArray, machine: ArrayMachine) -> Program:
    """Folds one after the other: what is stationary goes in, vectors stream through, the array drains.

    The traffic of a product is spread evenly over its folds, as the closed form does. Folds at an edge take
    as long as full ones: idle cells wait with the others.
    """
    product = choose_product(nest, array, machine)
    sizes = {"m": product.m, "k": product.k, "n": product.n}
    down, across, through = (sizes[name] for name in AXES[array.dataflow])
    folds = math.ceil(down / array.rows) * math.ceil(across / array.columns)
    moved = bus_bytes(nest, product, product_traffic(product, array, machine), machine)
    stored = nest.store_elements * machine.activation_bytes
    engine = Engine(clock_hz=machine.clock_hz, external=machine.external, overlaps=True, buffers=("input",))
    scale = machine.external.bandwidth_bytes_per_s / machine.clock_hz
    totals = (
        whole_cycles((moved - stored) / scale),
        whole_cycles(stored / scale),
        round(
            (machine.pass_cycles + machine.weight_switch_cycles) * folds * product.repeats
            + machine.tile_cycles * product.repeats
        ),
    )
    filling = 0 if array.dataflow == "OS" else array.rows
    post = math.ceil(nest.post_elements / machine.post_elements_per_cycle / (folds * product.repeats))
    tiles: list[Tile | Repeat] = []
    for count, (load, store, switch) in _shared_out(totals, folds * product.repeats):
        tile = Tile(
            load=engine.load("input", load * scale, acquires=("input",)),
            sync=engine.sync(filling + switch, ("input",)),
            work=(
                *repeat(through, (engine.step("stream"),)),
                *engine.configure("drain", array.rows + array.columns - 2),
                engine.finish("input"),
                *engine.post(post, "finish"),
            ),
            store=engine.store(store * scale, "finish", *(("post",) if post else ())),
        )
        tiles.append(Repeat(count=count, body=(tile,)))
    body = (engine.launch(machine.launch_s), engine.request(), *pipelined(tuple(tiles)), engine.settle())
    return Program(machine=engine.machine, body=body)


def _shared_out(totals: tuple[int, ...], count: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Whole numbers that add up to the totals over ``count`` tiles, as even as can be: runs of equal ones."""
    cuts = sorted({0, count, *(total % count for total in totals)})
    for first, last in pairwise(cuts):
        yield last - first, tuple(total // count + (first < total % count) for total in totals)
