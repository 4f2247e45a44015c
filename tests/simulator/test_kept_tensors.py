"""Memories that keep tensors: who finds what where, what it is worth, and what else presets may say."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import HardwareError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator
from annette.hardware.codec import (
    accelerator_from_yaml,
    accelerator_id,
    accelerator_to_yaml,
    load_accelerator,
)
from annette.hardware.kept_memory import KeptMemory
from annette.simulator.array_engine import array_machine, choose_tiling, time_array
from annette.simulator.facts import NetworkFacts
from annette.simulator.instructions.run import evaluate_network
from annette.simulator.lowering import lower_to_array
from annette.simulator.run import simulate
from annette.zoo.registry import zoo_network

BASES = ("zcu102-dpu", "systolic-32x32-ws", "ncs2")


def chain(channels: int = 64, *, size: int = 28, layers: int = 3) -> Network:
    build = NetworkBuilder("chain")
    x = build.input("x", (1, channels, size, size))
    for _ in range(layers):
        x = build.relu(build.conv(x, channels, kernel=3, padding=1))
    return build.finish(x)


def like_external(
    accelerator: Accelerator, *, bandwidth_bytes_per_s: float | None = None, size_bytes: int = 1 << 40
) -> KeptMemory:
    """A memory as fast as the external one, or of another bandwidth."""
    external = accelerator.external_memory
    memory = KeptMemory(
        size_bytes=1 << 40,
        bandwidth_bytes_per_s=external.bandwidth_bytes_per_s,
        latency_s=external.latency_s,
        burst_bytes=external.burst_bytes,
        read_j_per_byte=None if accelerator.energy is None else 0.0,
        write_j_per_byte=None if accelerator.energy is None else 0.0,
        area_mm2=None if accelerator.area is None else 0.0,
    )
    return replace(
        memory,
        size_bytes=size_bytes,
        bandwidth_bytes_per_s=bandwidth_bytes_per_s or memory.bandwidth_bytes_per_s,
    )


def with_memory(accelerator: Accelerator, which: str, memory: KeptMemory | None) -> Accelerator:
    if which == "weights":
        return replace(accelerator, weight_memory=memory)
    return replace(accelerator, activation_memory=memory)


@pytest.mark.parametrize("name", BASES)
def test_a_memory_like_the_external_one_only_gives_weights_a_port_of_their_own(name: str) -> None:
    base = load_accelerator(name)
    memory = like_external(base)
    expected = simulate(chain(), base)
    for kept in (
        with_memory(base, "activations", memory),
        with_memory(base, "weights", memory),
        replace(base, activation_memory=memory, weight_memory=memory),
    ):
        run = simulate(chain(), kept)
        for one, other in zip(run.kernels, expected.kernels, strict=True):
            assert one.latency_s <= other.latency_s * (1 + 1e-12)
            assert one.latency_s >= other.latency_s - other.memory_s / 2
    build = NetworkBuilder("pool")
    pool = build.finish(build.global_avg_pool(build.input("x", (1, 64, 28, 28))))
    kept = replace(base, activation_memory=memory, weight_memory=memory)
    assert simulate(pool, kept).latency_s == simulate(pool, base).latency_s


@given(
    name=st.sampled_from(BASES),
    which=st.sampled_from(["activations", "weights"]),
    times=st.floats(1, 100),
    size_bytes=st.integers(1, 1 << 18),
)
@settings(max_examples=20, deadline=None)
def test_a_faster_memory_is_never_slower_and_a_larger_one_neither(
    name: str, which: str, times: float, size_bytes: int
) -> None:
    base = load_accelerator(name)
    bandwidth = base.external_memory.bandwidth_bytes_per_s
    fast = like_external(base, bandwidth_bytes_per_s=bandwidth * times)
    latencies = [
        simulate(chain(), with_memory(base, which, memory)).latency_s
        for memory in (
            None,
            replace(fast, size_bytes=size_bytes),
            replace(fast, size_bytes=2 * size_bytes),
            fast,
        )
    ]
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in pairwise(latencies))


def test_activations_stay_where_all_of_a_kernel_fits() -> None:
    base = load_accelerator("zcu102-dpu")
    network = chain(size=28, layers=1)
    needed = 2 * 64 * 28 * 28
    fast = like_external(base, bandwidth_bytes_per_s=1e12, size_bytes=needed)
    bare = simulate(network, base)
    fits = simulate(network, replace(base, activation_memory=fast))
    tight = simulate(network, replace(base, activation_memory=replace(fast, size_bytes=needed - 1)))
    assert fits.kernels[0].memory_s < bare.kernels[0].memory_s / 2
    assert tight.kernels[0].memory_s == bare.kernels[0].memory_s


def test_weights_stay_from_the_front_as_long_as_there_is_room() -> None:
    base = load_accelerator("zcu102-dpu")
    network = chain(layers=4)
    weights = 64 * 64 * 9 + 64
    memory = like_external(base, bandwidth_bytes_per_s=1e15, size_bytes=2 * weights)
    bare, kept = simulate(network, base), simulate(network, replace(base, weight_memory=memory))
    is_less = [one.memory_s < other.memory_s for one, other in zip(kept.kernels, bare.kernels, strict=True)]
    assert is_less == [True, True, False, False]


def test_products_of_activations_have_no_weights_to_keep() -> None:
    build = NetworkBuilder("product")
    left, right = build.input("a", (1, 4, 64, 64)), build.input("b", (1, 4, 64, 64))
    network = build.finish(build.add("MatMul", left, right))
    base = load_accelerator("systolic-32x32-ws")
    memory = like_external(base, bandwidth_bytes_per_s=1e15)
    assert (
        simulate(network, replace(base, weight_memory=memory)).latency_s == simulate(network, base).latency_s
    )
    assert (
        simulate(network, replace(base, activation_memory=memory)).latency_s
        < simulate(network, base).latency_s
    )


@pytest.mark.parametrize("name", ["ethos-u55-256", "tpu-v1", "edge-tpu"])
def test_the_instruction_engine_sees_the_same_memories(name: str) -> None:
    kernels = evaluate_network(zoo_network("mobilenet_v1"), load_accelerator(name))
    total, tiles = (
        sum(values) for values in zip(*((k.latency_s, k.tile_latency_s) for k in kernels), strict=True)
    )
    assert total == pytest.approx(tiles, rel=0.1)
    run = simulate(zoo_network("mobilenet_v1"), load_accelerator(name))
    assert tiles == pytest.approx(run.latency_s, rel=0.05)


def test_an_array_that_loses_cycles_takes_as_much_longer() -> None:
    base = load_accelerator("zcu102-dpu")
    fast = replace(base.external_memory, bandwidth_bytes_per_s=1e15, latency_s=0.0)
    array = replace(base.array, launch_s=0.0, tile_cycles=0.0, pass_cycles=0.0)
    base = replace(base, external_memory=fast, array=array)
    half = replace(base, array=replace(array, cycle_efficiency=0.5))
    network = chain(layers=1)
    found = {item: simulate(network, item).latency_s for item in (base, half)}
    assert found[half] == pytest.approx(2 * found[base], rel=1e-2)
    found = {item: evaluate_network(network, item)[0].latency_s for item in (base, half)}
    assert found[half] == pytest.approx(2 * found[base], rel=1e-2)


def test_partial_sums_in_the_memory_of_results_make_smaller_tiles() -> None:
    base = load_accelerator("gemmini-16x16")
    index = base.memory_index("output")
    loose = replace(
        base,
        memories=tuple(
            replace(item, keeps_partial_sums=None) if position == index else item
            for position, item in enumerate(base.memories)
        ),
    )
    network = chain(channels=128, size=56, layers=1)
    nest = lower_to_array(NetworkFacts(network), network.layers[:1])
    tiles = [choose_tiling(nest, array_machine(item)).tile for item in (base, loose)]
    sizes = [item.positions_h * item.positions_w * item.out_channels for item in tiles]
    assert sizes[0] * 4 <= base.memories[index].size_bytes
    assert sizes[0] < sizes[1]
    assert time_array(nest, array_machine(base)).latency_s >= time_array(nest, array_machine(loose)).latency_s


def test_descriptions_with_kept_memories_are_read_as_they_are_written() -> None:
    for name in ("tpu-v1", "edge-tpu", "ultratrail", "eyeriss-v1"):
        accelerator = load_accelerator(name)
        again = accelerator_from_yaml(accelerator_to_yaml(accelerator), "again")
        assert again == accelerator
        assert accelerator_id(again) == accelerator_id(accelerator)
    base = load_accelerator("zcu102-dpu")
    assert accelerator_id(replace(base, weight_memory=like_external(base))) != accelerator_id(base)


def test_what_is_out_of_range_is_named() -> None:
    with pytest.raises(HardwareError, match=r"size_bytes: found 0, expected an integer > 0"):
        KeptMemory(size_bytes=0, bandwidth_bytes_per_s=1e9, latency_s=0.0)
    with pytest.raises(HardwareError, match=r"cycle_efficiency: found 1.5, expected a number > 0 and <= 1"):
        replace(load_accelerator("zcu102-dpu").array, cycle_efficiency=1.5)
    with pytest.raises(HardwareError, match=r"cycle_efficiency: found beside systolic"):
        replace(load_accelerator("systolic-32x32-ws").array, cycle_efficiency=0.5)


def test_the_data_sheet_names_the_fastest_memory_that_tensors_lie_in() -> None:
    accelerator = load_accelerator("tpu-v1")
    assert accelerator.peak_bandwidth_bytes_per_s == pytest.approx(256 * 700e6)
    base = load_accelerator("zcu102-dpu")
    assert base.peak_bandwidth_bytes_per_s == base.external_memory.bandwidth_bytes_per_s


def test_rows_of_a_kernel_lie_side_by_side_where_an_unroll_holds_them() -> None:
    eyeriss = load_accelerator("eyeriss-v1")
    free = replace(eyeriss, array=replace(eyeriss.array, kernel_rows=None))
    taken = {}
    for kernel in (1, 3, 5, 7, 11, 13):
        build = NetworkBuilder("one")
        x = build.conv(build.input("x", (1, 8, 27, 27)), 8, kernel=kernel, padding=kernel // 2)
        network = build.finish(x)
        nest = lower_to_array(NetworkFacts(network), network.layers)
        taken[kernel] = choose_tiling(nest, array_machine(eyeriss)).unroll.kernel_h
        assert (
            time_array(nest, array_machine(eyeriss)).latency_s
            >= time_array(nest, array_machine(free)).latency_s
        )
    assert all(taken[kernel] >= kernel for kernel in (1, 3, 5, 7, 11))
    assert taken[13] < 13  # no unroll holds it, so that any may take it
    with pytest.raises(HardwareError, match=r"kernel_rows: found 'whole', expected 'side by side'"):
        replace(eyeriss.array, kernel_rows="whole")
