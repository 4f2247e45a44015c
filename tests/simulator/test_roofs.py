"""The extended roofline of any accelerator: nested, never above the run, by hand, and as NVDLA's sheet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator, Memory, Unroll
from annette.hardware.codec import list_accelerators, load_accelerator
from annette.simulator.ceilings import Ceilings
from annette.simulator.nvdla_description import Nvdla
from annette.simulator.nvdla_layers import sheet_network
from annette.simulator.nvdla_sheet import evaluate_sheet
from annette.simulator.roofs import kernel_ceilings
from annette.simulator.run import simulate

TOLERANCE = 1 + 1e-9
PRESETS = [name for name, _ in list_accelerators()]
NESTED = (
    ("array peak", "array"),
    *((f"{name} once", name) for name in ("external memory", "activation memory", "weight memory")),
)


def _network(channels: int, size: int, kernel: int, stride: int, groups: int) -> Network:
    """A convolution with a residual, a pool, an activation of its own, and what often falls to the host."""
    build = NetworkBuilder("some")
    x = build.input("x", (1, channels, size, size))
    y = build.conv(x, channels, kernel=kernel, stride=stride, padding=kernel // 2, groups=groups)
    y = build.relu(build.add("Add", y, build.conv(y, channels)))
    y = build.add("Sigmoid", build.max_pool(y, kernel=2, stride=2))
    return build.finish(build.softmax(build.linear(build.flatten(y), 10)))


def _column(ceilings: Ceilings, name: str) -> np.ndarray:
    if name not in ceilings.names:
        return np.zeros(len(ceilings.layers))
    return ceilings.cycles[:, ceilings.names.index(name)]


@settings(max_examples=60, deadline=None)
@given(
    preset=st.sampled_from((*PRESETS, "systolic-12x40-os", "systolic-64x8-is")),
    groups=st.sampled_from((1, 1, 4, 32)),
    size=st.integers(4, 40),
    kernel=st.sampled_from((1, 3, 5)),
    stride=st.sampled_from((1, 2)),
    ports=st.sampled_from((None, 0.5, 16.0, 1e6)),
)
def test_ceilings_are_nested_and_none_lies_above_the_run(
    preset: str, groups: int, size: int, kernel: int, stride: int, ports: float | None
) -> None:
    device = load_accelerator(preset)
    memories = tuple(
        replace(item, read_bytes_per_cycle=ports, write_bytes_per_cycle=ports) for item in device.memories
    )
    device = replace(device, memories=memories)
    network = _network(32, size, kernel, stride, groups)
    run = simulate(network, device)
    found = kernel_ceilings(network, device, run)
    assert found.layers == tuple(item.kernel.name for item in run.kernels)
    latency = np.array([item.cycles for item in run.kernels])
    assert (found.cycles <= latency[:, None] * TOLERANCE).all()
    assert (found.layer_cycles > 0).all()
    for ideal, real in NESTED:
        assert (_column(found, ideal) <= _column(found, real) * TOLERANCE).all()
    for unit in ("vector", "host"):
        kinds = [name for name in found.names if name.startswith(f"{unit} ")]
        parts = sum(_column(found, name) for name in kinds if name not in ("host link", "host round trip"))
        assert parts == pytest.approx(_column(found, unit))


def _plain_device(**changes: object) -> Accelerator:
    """The DPU without anything but an array and a bus."""
    base = load_accelerator("zcu102-dpu")
    array = replace(
        base.array, unroll=Unroll(in_channels=16, out_channels=16), depthwise_unroll=None,
        pass_cycles=0.0, weight_switch_cycles=0.0, tile_cycles=0.0, launch_s=0.0,
    )  # fmt: skip
    external = replace(base.external_memory, latency_s=0.0, burst_bytes=1, bandwidth_bytes_per_s=8e9)
    memories = (Memory(name="all", holds=("input", "weight", "output"), size_bytes=1 << 30),)
    device = replace(base, clock_hz=1e9, array=array, external_memory=external, memories=memories)
    return replace(device, **changes)  # type: ignore[arg-type]


def _one_conv(in_channels: int, out_channels: int, size: int) -> Network:
    build = NetworkBuilder("one")
    x = build.input("x", (1, in_channels, size, size))
    return build.finish(build.conv(x, out_channels, bias=False))


def test_ceilings_of_one_convolution_by_hand() -> None:
    device, network = _plain_device(), _one_conv(24, 40, 8)
    found = kernel_ceilings(network, device, simulate(network, device))
    bytes_once = 24 * 64 + 24 * 40 + 40 * 64
    assert _column(found, "array peak")[0] == pytest.approx(24 * 40 * 64 / 256)
    assert _column(found, "array")[0] == pytest.approx(64 * 2 * 3)
    assert _column(found, "external memory once")[0] == pytest.approx(bytes_once / 8)
    assert found.long_poles == ("external memory once",)


def test_what_is_lost_between_the_ideal_and_the_real_ceiling_has_a_name() -> None:
    network = _one_conv(17, 17, 64)
    fast = _plain_device()
    fast = replace(fast, external_memory=replace(fast.external_memory, bandwidth_bytes_per_s=1e12))
    assert kernel_ceilings(network, fast, simulate(network, fast)).long_poles == ("array",)
    full = _one_conv(16, 16, 64)
    assert kernel_ceilings(full, fast, simulate(full, fast)).long_poles == ("array peak",)
    wide = _plain_device()
    wide = replace(wide, external_memory=replace(wide.external_memory, channel_alignment=16))
    assert kernel_ceilings(network, wide, simulate(network, wide)).long_poles == ("external memory",)


@pytest.mark.parametrize("preset", ["zcu102-dpu", "systolic-32x32-ws"])
def test_ports_of_a_memory_are_a_ceiling_and_the_array_keeps_its_own(preset: str) -> None:
    base, network = load_accelerator(preset), _one_conv(64, 64, 32)
    narrow = replace(base.memories[0], read_bytes_per_cycle=0.25)
    device = replace(base, memories=(narrow, *base.memories[1:]))
    open_ports = kernel_ceilings(network, base, simulate(network, base))
    run = simulate(network, device)
    found = kernel_ceilings(network, device, run)
    assert found.long_poles == (f"{narrow.name} reads",)
    passed = run.kernels[0].accesses.memories[0]
    assert found.layer_cycles[0] == pytest.approx((passed.read_bytes + passed.drain_bytes) / 0.25)
    assert _column(found, "array")[0] == pytest.approx(_column(open_ports, "array")[0])


def test_memories_of_one_name_are_told_apart_by_their_place() -> None:
    base, network = load_accelerator("zcu102-dpu"), _one_conv(64, 64, 32)
    memories = tuple(replace(item, name="bank", read_bytes_per_cycle=0.25) for item in base.memories)
    device = replace(base, memories=memories)
    found = kernel_ceilings(network, device, simulate(network, device))
    assert {"memories[0] reads", "memories[1] reads"} <= set(found.names)


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "size", "kernel", "stride", "pool"),
    [
        (64, 64, 56, 1, 1, False),
        (128, 256, 28, 1, 1, True),
        (64, 128, 28, 5, 1, False),
        (64, 96, 28, 2, 2, False),
    ],
)
def test_an_nvdla_has_the_ceilings_of_its_sheet(
    in_channels: int, out_channels: int, size: int, kernel: int, stride: int, pool: bool
) -> None:
    """Where no channel is padded. The sheet divides by bandwidths in kilobytes of 1000 bytes."""
    build = NetworkBuilder("one")
    x = build.input("x", (1, in_channels, size, size))
    padding = kernel // 2 if stride == 1 else 0
    y = build.conv(x, out_channels, kernel=kernel, stride=stride, padding=padding, bias=False)
    network = build.finish(build.max_pool(y, kernel=2, stride=2) if pool else y)
    npu = Nvdla(macs_per_cycle=2048, buffer_bytes=2**19, clock_hz=1e9, dram_bytes_per_s=10e9)
    sheet = evaluate_sheet(sheet_network(network).layers, npu)
    base = load_accelerator("nvdla-full")
    external = replace(base.external_memory, bandwidth_bytes_per_s=10.24e9)
    device = replace(base, external_memory=external)
    found = kernel_ceilings(network, device, simulate(network, device))
    assert len(found.layers) == len(sheet.ceilings.layers) == 1
    assert _column(sheet.ceilings, "DRAM")[0] == np.ceil(_column(found, "external memory once")[0] - 1e-6)
    assert _column(found, "array")[0] == pytest.approx(_column(sheet.ceilings, "MAC")[0])
