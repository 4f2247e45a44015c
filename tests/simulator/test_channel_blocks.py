"""Whole maps in blocks of channels: what a start and a strided run cost, and where."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator
from annette.hardware.channel_blocks import ChannelBlocks
from annette.hardware.checks import FieldFault
from annette.hardware.codec import accelerator_id, accelerator_to_dict, load_accelerator
from annette.simulator.instructions.run import evaluate_network
from annette.simulator.run import SimulatedKernel, simulate

CLOCK_HZ = 284.8e6


def device(
    blocks: ChannelBlocks | None, *, buffer_bytes: int = 262144, layout: str = "channels_last"
) -> Accelerator:
    base = load_accelerator("zcu102-dpu")
    assert base.vector is not None
    vector = replace(base.vector, channel_blocks=blocks, buffer_bytes=buffer_bytes)
    return replace(base, vector=vector, external_memory=replace(base.external_memory, layout=layout))


def per_block(start_cycles: float = 0.0, run_cycles: float = 0.0, channels: int = 16) -> ChannelBlocks:
    return ChannelBlocks(channels=channels, start_cycles=start_cycles, run_cycles=run_cycles)


def pool(channels: int, size: int, images: int = 1) -> Network:
    build = NetworkBuilder("pool")
    return build.finish(build.global_avg_pool(build.input("x", (images, channels, size, size))))


def gate(channels: int, size: int, factors: tuple[int, ...]) -> Network:
    build = NetworkBuilder("gate")
    x, y = build.input("x", (1, channels, size, size)), build.input("y", factors)
    return build.finish(build.add("Mul", x, y))


def only_kernel(network: Network, accelerator: Accelerator) -> SimulatedKernel:
    (kernel,) = simulate(network, accelerator).kernels
    assert kernel.kernel.unit == "vector"
    return kernel


def run_cycles(network: Network, accelerator: Accelerator) -> float:
    """Cycles on the bus more than on a device that pays for no runs."""
    assert accelerator.vector is not None
    kernels = [only_kernel(network, item) for item in (accelerator, device(None))]
    return (kernels[0].memory_s - kernels[1].memory_s) * accelerator.vector.clock_hz


@pytest.mark.parametrize(("channels", "blocks"), [(1, 1), (16, 1), (17, 2), (320, 20)])
def test_each_block_of_channels_is_started_once(channels: int, blocks: int) -> None:
    for network in (pool(channels, 7), gate(channels, 7, (1, channels, 1, 1))):
        kernel, free = (only_kernel(network, device(per_block(cycles))) for cycles in (100, 0))
        assert (kernel.latency_s - free.latency_s) * CLOCK_HZ == pytest.approx(100 * blocks)
        assert (kernel.overhead_s - free.overhead_s) * CLOCK_HZ == pytest.approx(100 * blocks)


@pytest.mark.parametrize(
    ("channels", "size", "runs"),
    [
        (64, 56, 0),  # 200,704 bytes: one contiguous load
        (96, 56, 2 * 56 * 56),  # 301,056 bytes: two loads of three blocks each
        (16, 112, 0),
        (32, 112, 2 * 112 * 112),
        (192, 112, 12 * 112 * 112),
        (16, 160, 160 * 160),  # one block alone is too large: rows of it, every pixel once
    ],
)
def test_each_pixel_is_a_run_in_every_tile_that_holds_some_of_its_channels(
    channels: int, size: int, runs: int
) -> None:
    assert run_cycles(pool(channels, size), device(per_block(0, 10))) == pytest.approx(10 * runs)


def test_images_that_fit_one_by_one_are_contiguous() -> None:
    assert run_cycles(pool(64, 56, images=4), device(per_block(0, 10))) == pytest.approx(0, abs=1e-6)


def test_with_channels_first_whole_maps_are_contiguous() -> None:
    first = device(per_block(0, 10), layout="channels_first")
    assert run_cycles(pool(96, 56), first) == pytest.approx(0, abs=1e-6)


def test_a_product_is_cut_anywhere_and_blocks_are_only_of_factors_of_a_channel() -> None:
    blocks = device(per_block(1000, 10))
    factors, alike = gate(96, 112, (1, 96, 1, 1)), gate(96, 112, (1, 96, 112, 112))
    assert run_cycles(factors, blocks) == 0
    assert only_kernel(factors, blocks).latency_s > only_kernel(factors, device(None)).latency_s
    assert only_kernel(alike, blocks) == only_kernel(alike, device(None))


@settings(deadline=None, max_examples=40)
@given(
    channels=st.integers(1, 300), size=st.integers(1, 130), images=st.integers(1, 3),
    buffer_bytes=st.sampled_from((4096, 65536, 1 << 20)), start=st.sampled_from((0.0, 300.0)),
)  # fmt: skip
def test_dearer_starts_runs_and_smaller_buffers_are_never_faster_and_move_the_same(
    channels: int, size: int, images: int, buffer_bytes: int, start: float
) -> None:
    network = pool(channels, size, images)
    cheap = only_kernel(network, device(per_block(start, 5.0), buffer_bytes=buffer_bytes))
    for blocks, buffer in (
        (per_block(start, 9.0), buffer_bytes),
        (per_block(start + 50, 5.0), buffer_bytes),
        (per_block(start, 5.0), buffer_bytes // 2),
    ):
        dear = only_kernel(network, device(blocks, buffer_bytes=buffer))
        assert cheap.latency_s <= dear.latency_s * (1 + 1e-9)
        assert cheap.moved_bytes == dear.moved_bytes
    plain = only_kernel(network, device(None, buffer_bytes=buffer_bytes))
    assert plain.latency_s <= cheap.latency_s * (1 + 1e-9)


@pytest.mark.parametrize(("channels", "size"), [(96, 7), (96, 56), (192, 112)])
def test_the_instruction_engine_pays_for_them_too(channels: int, size: int) -> None:
    (kernel,) = evaluate_network(pool(channels, size), load_accelerator("zcu102-dpu"))
    assert abs(kernel.difference) < 0.02


def test_a_description_without_them_keeps_its_identity() -> None:
    assert "channel_blocks" not in accelerator_to_dict(device(None))["vector"]
    assert accelerator_id(device(None)) != accelerator_id(device(per_block()))


@pytest.mark.parametrize(("name", "value"), [("channels", 0), ("start_cycles", -1.0), ("run_cycles", "ten")])
def test_numbers_that_cannot_be_are_refused(name: str, value: object) -> None:
    with pytest.raises(FieldFault, match=rf"{name}: found .*, expected a"):
        replace(per_block(), **{name: value})  # type: ignore[arg-type]
