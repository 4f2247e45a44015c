"""Kernels as programs of instructions: they do the same work as the tile engines, in about the same time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from annette.errors import HardwareError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.accelerator import Unroll
from annette.hardware.codec import load_accelerator
from annette.hardware.systolic_array import DATAFLOWS, SystolicArray
from annette.simulator.array_engine import ArrayMachine, array_machine, choose_tiling, time_array
from annette.simulator.facts import NetworkFacts
from annette.simulator.instructions.engine import evaluate_program
from annette.simulator.instructions.evaluation import unroll_program
from annette.simulator.instructions.lowering import lower_program, lower_stream
from annette.simulator.instructions.machine import Block, Instruction, Loop
from annette.simulator.instructions.run import evaluate_network, kernel_program
from annette.simulator.instructions.tiles import Group, Repeat, Tile, TileNest, pipelined, serial
from annette.simulator.lowering import lower_to_array, lower_to_stream
from annette.simulator.nests import ArrayNest
from annette.simulator.systolic import count_systolic
from annette.simulator.systolic_engine import nest_product
from annette.zoo.suites import suite_networks

PRESETS = ("zcu102-dpu", "ncs2", "systolic-32x32-ws", "systolic-16x8-os", "systolic-8x8-is")


def executed(block: Block) -> Counter[str]:
    """How often each name runs."""
    found: Counter[str] = Counter()
    for item in block:
        if isinstance(item, Loop):
            found.update({name: count * item.count for name, count in executed(item.body).items()})
        else:
            found[item.name] += 1
    return found


def cycles_of(block: Block, name: str) -> int:
    """Cycles of all executions of that name."""
    return sum(
        item.count * cycles_of(item.body, name)
        if isinstance(item, Loop)
        else item.cycles * (item.name == name)
        for item in block
    )


@st.composite
def nests(draw: st.DrawFn) -> ArrayNest:
    """Convolutions, grouped and depthwise ones too, with a residual or a pool behind them or not."""
    groups = draw(st.sampled_from((1, 1, 1, 2, 6)))
    channels, filters = draw(st.integers(1, 40)) * groups, draw(st.integers(1, 40)) * groups
    if draw(st.booleans()) and groups > 1:
        channels = filters = groups
    size, kernel = draw(st.integers(4, 30)), draw(st.sampled_from((1, 2, 3)))
    build = NetworkBuilder("one")
    x = build.input("x", (draw(st.sampled_from((1, 1, 3))), channels, size, size + draw(st.integers(0, 5))))
    build.finish(
        build.conv(
            x,
            filters,
            kernel=kernel,
            stride=draw(st.sampled_from((1, 2))),
            padding=kernel // 2,
            groups=groups,
        )
    )
    network = build.finish(build.conv(x, filters, kernel=kernel, groups=groups))
    nest = lower_to_array(NetworkFacts(network), network.layers[-1:])
    return replace(nest, extra_elements=draw(st.sampled_from((0, nest.store_elements))),
                   post_elements=draw(st.sampled_from((0, 3 * nest.store_elements))))  # fmt: skip


@st.composite
def array_machines(draw: st.DrawFn) -> ArrayMachine:
    """Arrays of other shapes with small memories, so that nests are cut into many tiles."""
    base = array_machine(load_accelerator(draw(st.sampled_from(("zcu102-dpu", "ncs2")))))
    few = st.sampled_from((1, 2, 4))
    unroll = Unroll(out_h=draw(few), out_w=draw(few), in_channels=draw(few), out_channels=draw(few))
    size = st.integers(1_500, 40_000)
    return replace(
        base,
        unrolls=(unroll,),
        depthwise_unrolls=(draw(st.sampled_from((unroll, Unroll(groups=4)))),),
        pass_cycles=draw(st.sampled_from((0.0, 7.0))),
        weight_switch_cycles=draw(st.sampled_from((0.0, 3.0))),
        weight_load_cycles=draw(st.sampled_from((0.0, 16.0))),
        tile_cycles=draw(st.sampled_from((0.0, 50.0))),
        sizes_bytes=tuple(draw(size) for _ in base.sizes_bytes),
    )


def steps(nest: ArrayNest, unroll: Unroll) -> int:
    """Blocks of the unroll in the whole nest, partial ones counted as full."""
    blocks = 1
    for size, width in (
        (nest.batch, unroll.batch), (nest.groups, unroll.groups), (nest.out_channels, unroll.out_channels),
        (nest.in_channels, unroll.in_channels), (nest.positions_h, unroll.out_h),
        (nest.positions_w, unroll.out_w), (nest.kernel_h, unroll.kernel_h), (nest.kernel_w, unroll.kernel_w),
    ):  # fmt: skip
        blocks *= -(-size // width)
    return blocks


@settings(max_examples=60, deadline=None)
@given(nests(), array_machines())
def test_a_program_does_the_work_of_its_nest_and_is_bounded_by_it(
    nest: ArrayNest, machine: ArrayMachine
) -> None:
    try:
        tiling = choose_tiling(nest, machine)
    except HardwareError:
        assume(False)
    program = lower_program(nest, machine)
    work = steps(nest, tiling.unroll)
    assert executed(program.body)["multiply"] == work
    found = evaluate_program(program)
    assert found.cycles >= work
    bus = sum(cycles_of(program.body, name) for name in ("load input", "load weight", "load extra", "store"))
    assert found.cycles >= bus
    stored = nest.store_elements * machine.activation_bytes / machine.external.bandwidth_bytes_per_s
    assert cycles_of(program.body, "store") >= stored * machine.clock_hz * (1 - 1e-9)
    if program.instructions <= 60_000:
        assert found.cycles == unroll_program(program).cycles


@settings(max_examples=60, deadline=None)
@given(nests(), array_machines())
def test_tiles_of_one_kernel_take_about_as_long_as_the_tile_engine_says(
    nest: ArrayNest, machine: ArrayMachine
) -> None:
    try:
        seconds = time_array(nest, machine).latency_s
    except HardwareError:
        assume(False)
    cycles = evaluate_program(lower_program(nest, machine)).cycles
    # One kernel of a few uneven tiles may differ much; a wrong loop or a lost overlap would differ by more.
    assert 0.6 < cycles / (seconds * machine.clock_hz) < 1.9


@settings(max_examples=60, deadline=None)
@given(
    nests(),
    st.sampled_from(DATAFLOWS),
    st.integers(1, 12),
    st.integers(1, 12),
)
def test_without_a_memory_in_the_way_systolic_folds_take_the_cycles_of_the_closed_form(
    nest: ArrayNest, dataflow: str, rows: int, columns: int
) -> None:
    array = SystolicArray(rows=rows, columns=columns, dataflow=dataflow)
    base = array_machine(load_accelerator("systolic-32x32-ws"))
    machine = replace(
        base,
        systolic=array,
        launch_s=0.0,
        post_elements_per_cycle=1e12,
        external=replace(base.external, bandwidth_bytes_per_s=1e18, latency_s=0.0),
    )
    nest = replace(nest, post_elements=0)
    product = nest_product(nest)
    counts = count_systolic([product.m], [product.k], [product.n], array)
    program = lower_program(nest, machine)
    # A front-end that never holds up folds of a cycle or two.
    found = evaluate_program(replace(program, machine=replace(program.machine, issue_cycles=0)))
    # Transfers are whole cycles: the first load and the last store each take one.
    assert 0 <= found.cycles - int(counts.cycles[0]) * product.repeats <= 2


def small_network() -> Network:
    build = NetworkBuilder("small")
    x = build.relu(build.conv(build.input("x", (1, 16, 20, 20)), 32, kernel=3, padding=1))
    return build.finish(
        build.softmax(build.flatten(build.global_avg_pool(build.max_pool(x, kernel=2, stride=2))))
    )


@pytest.mark.parametrize("name", PRESETS)
def test_kernels_of_the_array_and_the_vector_unit_are_evaluated_and_those_of_the_host_are_not(
    name: str,
) -> None:
    accelerator = load_accelerator(name)
    kernels = evaluate_network(small_network(), accelerator)
    assert {kernel.kernel.unit for kernel in kernels} <= {"array", "vector"}
    assert kernels
    for kernel in kernels:
        assert kernel.latency_s > 0
        assert kernel.evaluation.cycles == pytest.approx(kernel.tile_cycles, rel=0.3)
    with pytest.raises(HardwareError, match="found unit 'host'"):
        kernel_program(NetworkFacts(small_network()), accelerator, "host", small_network().layers[:1])


def test_a_stream_moves_and_does_all_of_its_work() -> None:
    accelerator = load_accelerator("zcu102-dpu")
    unit = accelerator.vector
    assert unit is not None
    network = small_network()
    pool = next(layer for layer in network.layers if layer.op_type == "MaxPool")
    stream = lower_to_stream(NetworkFacts(network), [pool], accelerator.external_memory)
    program = lower_stream(stream, unit, accelerator)
    amount = sum(value / getattr(unit.rates, kind) for kind, value in stream.work)
    assert amount <= executed(program.body)["work"] <= amount + 1
    assert evaluate_program(program).cycles == unroll_program(program).cycles


@pytest.mark.parametrize("name", PRESETS)
def test_the_engines_agree_within_a_few_percent_on_a_network(name: str) -> None:
    network = next(item for item in suite_networks("classic12") if item.name == "resnet18")
    kernels = evaluate_network(network, load_accelerator(name))
    by_instructions = sum(kernel.latency_s for kernel in kernels)
    by_tiles = sum(kernel.tile_latency_s for kernel in kernels)
    assert by_instructions == pytest.approx(by_tiles, rel=0.03)
    assert max(kernel.evaluation.evaluated_iterations for kernel in kernels) < 154


def test_the_clock_of_a_run_is_the_callers() -> None:
    ticks = iter(float(tick) for tick in range(10**6))
    kernels = evaluate_network(small_network(), load_accelerator("ncs2"), clock=lambda: next(ticks))
    assert all(kernel.elapsed_s == 1.0 for kernel in kernels)


def tile(name: str, load: int) -> Tile:
    """A tile that shares its synchronisation and work with all others."""

    def item(what: str, cycles: int = 1) -> Instruction:
        return Instruction(name=what, kind="configure", unit="array", cycles=cycles)

    return Tile(
        load=(item(f"load {name}", load),),
        sync=(item("sync"),),
        work=(item("work"),),
        store=(item(f"store {name}"),),
    )


def flat(block: Block) -> list[str]:
    names: list[str] = []
    for item in block:
        names.extend(flat(item.body) * item.count if isinstance(item, Loop) else [item.name])
    return names


NESTS: tuple[TileNest, ...] = (
    (tile("a", 1),),
    (Repeat(count=5, body=(tile("a", 1),)),),
    (Repeat(count=3, body=(Repeat(count=2, body=(tile("a", 1),)), tile("b", 2))),),
    (Repeat(count=2, body=(Group(load=tile("w", 3).load, body=(tile("a", 1), tile("b", 1)), free=()),)),
     tile("c", 4)),
)  # fmt: skip


@pytest.mark.parametrize("nest", NESTS)
def test_prefetching_reorders_a_program_and_changes_nothing_else(nest: TileNest) -> None:
    in_turn, ahead = flat(serial(nest)), flat(pipelined(nest))
    assert Counter(in_turn) == Counter(ahead)
    for words in (("load a", "load b", "load c"), ("sync", "work"), ("store a", "store b", "store c")):
        assert [n for n in in_turn if n in words] == [n for n in ahead if n in words]
    loads = syncs = works = stores = 0
    for name in ahead:
        loads += name.startswith("load") and name != "load w"
        syncs, works, stores = syncs + (name == "sync"), works + (name == "work"), stores + ("store" in name)
        if name == "work":  # the next tile's load and the last tile's store are under way
            assert (loads, syncs, stores) == (min(works + 1, ahead.count("work")), works, works - 1)
    assert stores == works == syncs
