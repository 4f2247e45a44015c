"""What kernels read and write: nothing is lost, tiles agree with loops, systolic arrays with SCALE-Sim."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from annette.errors import HardwareError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator, Memory, Unroll
from annette.hardware.codec import load_accelerator
from annette.hardware.systolic_array import DATAFLOWS
from annette.simulator.array_accesses import tile_accesses
from annette.simulator.array_engine import array_machine, choose_tiling, time_array
from annette.simulator.nests import ArrayNest
from annette.simulator.products import network_products
from annette.simulator.run import simulate
from annette.simulator.systolic import count_systolic
from annette.zoo.registry import zoo_network

NETWORKS = ("mobilenet_v2", "unet", "shufflenet_v2")
DEVICES = ("zcu102-dpu", "ncs2", "systolic-24x40-os", "systolic-32x32-ws", "systolic-16x64-is", "nvdla-small")


def fast_memory(accelerator: Accelerator) -> Accelerator:
    """The same with a memory that no kernel waits for."""
    external = replace(accelerator.external_memory, bandwidth_bytes_per_s=1e15)
    return replace(accelerator, external_memory=external)


def convolution(channels: int, kernels: int, size: int, kernel: int, stride: int = 1) -> Network:
    build = NetworkBuilder("one")
    x = build.input("x", (1, channels, size, size))
    return build.finish(build.conv(x, kernels, kernel=kernel, stride=stride, padding=kernel // 2))


@st.composite
def nests(draw: st.DrawFn) -> ArrayNest:
    """Convolutions that meet every element of their input, with all merged in that a nest can have."""
    kernel, step = draw(st.sampled_from((1, 2, 3, 5))), draw(st.sampled_from((1, 2)))
    assume(kernel >= step)
    positions_h, positions_w = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    groups, out_channels = draw(st.sampled_from((1, 1, 3, 8))), draw(st.integers(1, 40))
    in_channels, batch = draw(st.integers(1, 40)), draw(st.integers(1, 3))
    results = batch * groups * out_channels * positions_h * positions_w
    return ArrayNest(
        batch=batch, groups=groups, out_channels=out_channels, in_channels=in_channels,
        positions_h=positions_h, positions_w=positions_w, kernel_h=kernel, kernel_w=kernel,
        in_h=(positions_h - 1) * step + kernel, in_w=(positions_w - 1) * step + kernel,
        halo_h=kernel - step, halo_w=kernel - step, step_h=step, step_w=step,
        store_h=positions_h, store_w=positions_w,
        weight_elements=groups * out_channels * in_channels * kernel**2,
        has_computed_weights=draw(st.booleans()),
        extra_elements=draw(st.sampled_from((0, results))), store_elements=results, is_transposed=False,
        post_elements=draw(st.sampled_from((0, results))),
    )  # fmt: skip


@st.composite
def unrolled_accelerators(draw: st.DrawFn) -> Accelerator:
    """Arrays of any spread with memories that hold one operand, or all."""
    base = load_accelerator("zcu102-dpu")
    sizes = st.sampled_from((1, 2, 3, 8, 16))
    unroll = Unroll(
        out_w=draw(sizes), in_channels=draw(sizes), out_channels=draw(sizes),
        kernel_h=draw(st.sampled_from((1, 1, 3))), groups=draw(st.sampled_from((1, 1, 4))),
    )  # fmt: skip
    size = draw(st.sampled_from((1 << 12, 1 << 14, 1 << 20)))
    one = (Memory(name="all", holds=("output", "input", "weight"), size_bytes=size),)
    three = tuple(Memory(name=name, holds=(name,), size_bytes=size) for name in ("weight", "output", "input"))
    return replace(
        base,
        array=replace(base.array, unroll=unroll, depthwise_unroll=None),
        memories=draw(st.sampled_from((one, three))),
    )


@settings(deadline=None, max_examples=60)
@given(nest=nests(), accelerator=unrolled_accelerators())
def test_tiles_keep_all_work_and_all_bytes(nest: ArrayNest, accelerator: Accelerator) -> None:
    machine = array_machine(accelerator)
    try:
        time = time_array(nest, machine)
    except HardwareError:
        assume(False)
    found, element = time.accesses, machine.activation_bytes
    assert found.macs == nest.macs
    assert found.external_bytes == pytest.approx(time.moved_bytes, rel=1e-12)
    assert sum(item.fill_bytes for item in found.memories) == pytest.approx(found.external_read_bytes)
    assert sum(item.drain_bytes for item in found.memories) == pytest.approx(found.external_write_bytes)
    assert sum(item.write_bytes for item in found.memories) == nest.store_elements * element
    reads = sum(item.read_bytes for item in found.memories)
    assert reads >= (nest.input_elements + nest.weight_elements + nest.extra_elements) * element * (1 - 1e-12)
    assert found.partial_sum_read_bytes == found.partial_sum_write_bytes
    assert found.vector_ops == nest.post_elements


@settings(deadline=None, max_examples=40)
@given(nest=nests(), accelerator=unrolled_accelerators())
def test_tiles_read_what_their_loops_do(nest: ArrayNest, accelerator: Accelerator) -> None:
    """Against the loops written out: over tiles, blocks of channels and taps."""
    array = replace(accelerator.array, unroll=replace(accelerator.array.unroll, kernel_h=1))
    machine = array_machine(replace(accelerator, array=array))
    try:
        tiling = choose_tiling(nest, machine)
    except HardwareError:
        assume(False)
    tile, unroll = tiling.tile, tiling.unroll
    inputs = weights = writes = 0
    for batch, rows, columns in itertools.product(
        spans(nest.batch, tile.batch),
        spans(nest.positions_h, tile.positions_h),
        spans(nest.positions_w, tile.positions_w),
    ):
        positions = batch * rows * columns
        for out_block in spans(nest.out_channels, unroll.out_channels):
            for in_block in spans(nest.in_channels, unroll.in_channels):
                for _ in range(nest.kernel_h * nest.kernel_w):
                    inputs += positions * nest.groups * in_block
                    weights += nest.groups * out_block * in_block
                    writes += positions * nest.groups * out_block
    found = tile_accesses(nest, machine, unroll, tile)
    element = machine.activation_bytes
    holders = {name: accelerator.memory_index(name) for name in ("input", "weight", "output")}
    expected = [0.0 for _ in accelerator.memories]
    expected[holders["input"]] += inputs * element
    expected[holders["weight"]] += weights * element
    expected[holders["output"]] += nest.extra_elements * element
    assert [item.read_bytes for item in found.memories] == pytest.approx(expected)
    results = nest.store_elements
    assert found.partial_sum_write_bytes == (writes - results) * machine.accumulator_bytes


def spans(size: int, step: int) -> list[int]:
    return [min(step, size - start) for start in range(0, size, step)]


@settings(deadline=None, max_examples=40)
@given(nest=nests(), accelerator=unrolled_accelerators())
def test_windows_that_stay_in_registers_are_never_read_more_often(
    nest: ArrayNest, accelerator: Accelerator
) -> None:
    keeping = replace(accelerator, array=replace(accelerator.array, window_reuse="registers"))
    try:
        often = time_array(nest, array_machine(accelerator)).accesses
        once = time_array(nest, array_machine(keeping)).accesses
    except HardwareError:
        assume(False)
    reads = [sum(item.read_bytes for item in found.memories) for found in (often, once)]
    assert reads[1] <= reads[0] * (1 + 1e-12)
    out_blocks = math.ceil(nest.out_channels / accelerator.array.unroll.out_channels)
    assert reads[1] >= nest.input_elements * out_blocks
    if nest.kernel_h == 1:
        assert reads[1] == pytest.approx(reads[0])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_kernel_moves_what_it_is_timed_with(name: str, device: str) -> None:
    accelerator = load_accelerator(device)
    run = simulate(zoo_network(name), accelerator)
    for item in run.kernels:
        found = item.accesses
        assert found.external_bytes == pytest.approx(item.moved_bytes, rel=1e-9), item.kernel.name
        assert (len(found.memories) > 0) == (item.kernel.unit == "array")
        assert (found.host_s > 0) == (item.kernel.unit == "host")
        if item.kernel.unit == "array":
            fills = sum(memory.fill_bytes for memory in found.memories)
            assert fills == pytest.approx(found.external_read_bytes, rel=1e-9)
            drains = sum(memory.drain_bytes for memory in found.memories)
            assert drains == pytest.approx(found.external_write_bytes, rel=1e-9)
        if item.kernel.unit == "vector":
            assert found.vector_buffer_bytes == 2 * found.external_bytes
    array_macs = sum(item.accesses.macs for item in run.kernels)
    assert 0 < array_macs <= sum(network_products(zoo_network(name)).macs)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v1"])
def test_systolic_arrays_access_their_buffers_as_scale_sim_counts(name: str, dataflow: str) -> None:
    network, base = zoo_network(name), load_accelerator(f"systolic-24x16-{dataflow.lower()}")
    accelerator = fast_memory(base)  # else products are cut where that saves traffic
    products = network_products(network)
    assert accelerator.array.systolic is not None
    counts = count_systolic(products.m, products.k, products.n, accelerator.array.systolic)
    rows = {layer: index for index, layer in enumerate(products.names)}
    kernels = [item for item in simulate(network, accelerator).kernels if item.kernel.unit == "array"]
    assert len(kernels) == len(products.names)
    for item in kernels:
        row, found = rows[item.kernel.primary], item.accesses
        repeats = int(products.repeats[row])
        inputs, weights, outputs = found.memories  # of one byte an element
        assert inputs.read_bytes == counts.input_reads[row] * repeats
        assert weights.read_bytes == counts.weight_reads[row] * repeats
        results = products.m[row] * products.n[row] * repeats
        assert outputs.write_bytes == results
        partial = found.partial_sum_write_bytes / accelerator.precision.accumulator_bytes
        more = counts.output_writes[row] * repeats - results
        assert partial == (0 if dataflow == "OS" else more)  # OS: rows + columns a fold that are no writes
        assert (more > 0) or dataflow != "OS"
        assert found.macs == counts.macs[row] * repeats
        assert found.partial_sum_read_bytes == found.partial_sum_write_bytes


def test_partial_sums_that_leave_the_array_are_drained_and_filled() -> None:
    base = load_accelerator("systolic-32x32-ws")
    small = (*base.memories[:2], replace(base.memories[2], size_bytes=1024))
    tight = fast_memory(replace(base, memories=small))
    item = simulate(convolution(512, 64, 56, 3), tight).kernels[0]
    outputs = item.accesses.memories[2]
    assert outputs.drain_bytes > 64 * 56 * 56
    assert outputs.drain_bytes - 64 * 56 * 56 == pytest.approx(outputs.fill_bytes)
    assert item.accesses.external_bytes == pytest.approx(item.moved_bytes)


@pytest.mark.parametrize("device", ["zcu102-dpu", "systolic-32x32-ws"])
@settings(deadline=None, max_examples=12)
@given(
    channels=st.integers(1, 200), kernels=st.integers(1, 200), size=st.integers(1, 20),
    kernel=st.sampled_from((1, 3)), rate=st.sampled_from((0.5, 4.0, 32.0, 256.0)), reads=st.booleans(),
)  # fmt: skip
def test_narrower_ports_are_never_faster_and_endless_ones_change_nothing(
    device: str, channels: int, kernels: int, size: int, kernel: int, rate: float, reads: bool
) -> None:
    base, network = load_accelerator(device), convolution(channels, kernels, size, kernel)
    free = simulate(network, base).kernels[0]
    assert simulate(network, ported(base, 1e12, reads=reads)).kernels[0] == free
    times = [simulate(network, ported(base, rate * f, reads=reads)).latency_s for f in (1, 2, 1000)]
    assert times[0] >= times[1] >= times[2] >= free.latency_s


@pytest.mark.parametrize("device", ["zcu102-dpu", "systolic-32x32-ws"])
def test_narrow_ports_are_what_a_kernel_takes(device: str) -> None:
    base = load_accelerator(device)
    narrow = simulate(convolution(64, 64, 56, 3), ported(base, 1.0, reads=True)).kernels[0]
    reads = max(item.read_bytes + item.drain_bytes for item in narrow.accesses.memories)
    assert narrow.bound == "compute"
    assert narrow.cycles == pytest.approx(reads, rel=0.02)


def ported(accelerator: Accelerator, rate: float, *, reads: bool) -> Accelerator:
    """The accelerator with ports of so many bytes a cycle on all its memories."""
    key = "read_bytes_per_cycle" if reads else "write_bytes_per_cycle"
    return replace(accelerator, memories=tuple(replace(item, **{key: rate}) for item in accelerator.memories))
