"""Blocks of weights that take a number of cycles at least: NVDLA's published cycles, monotony, faults."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator, Memory, Unroll
from annette.hardware.checks import FieldFault
from annette.hardware.codec import accelerator_id, load_accelerator
from annette.hardware.systolic_array import SystolicArray
from annette.simulator.run import simulate


def machine(weight_load_cycles: float | None, *, endless_memory: bool = True) -> Accelerator:
    """64 channels x 32 kernels a cycle and nothing beside the array that takes time."""
    base = load_accelerator("zcu102-dpu")
    array = replace(
        base.array,
        unroll=Unroll(in_channels=64, out_channels=32),
        weight_load_cycles=weight_load_cycles,
        pass_cycles=0.0,
        tile_cycles=0.0,
        launch_s=0.0,
        post_elements_per_cycle=1e12,
    )
    if not endless_memory:
        return replace(base, array=array)
    return replace(
        base,
        array=array,
        external_memory=replace(base.external_memory, bandwidth_bytes_per_s=1e18, latency_s=0.0),
        memories=(Memory(name="all", holds=("input", "weight", "output"), size_bytes=1 << 40),),
    )


def convolution(channels: int, kernels: int, size: int, kernel: int, batch: int = 1) -> Network:
    build = NetworkBuilder("one")
    x = build.input("x", (batch, channels, size, size))
    return build.finish(build.conv(x, kernels, kernel=kernel, padding=kernel // 2))


@settings(deadline=None)
@given(
    channels=st.integers(1, 300),
    kernels=st.integers(1, 300),
    size=st.integers(1, 20),
    kernel=st.sampled_from((1, 3, 5)),
    batch=st.integers(1, 3),
)
def test_a_convolution_takes_the_cycles_that_nvdlas_manual_says(
    channels: int, kernels: int, size: int, kernel: int, batch: int
) -> None:
    """ceil(K / 32) ceil(C / 64) R S max(16, positions): 16 cycles to load the weights of the next block."""
    run = simulate(convolution(channels, kernels, size, kernel, batch), machine(16.0))
    blocks = math.ceil(kernels / 32) * math.ceil(channels / 64) * kernel**2
    assert run.kernels[0].cycles == pytest.approx(blocks * max(16, batch * size**2), rel=1e-6)


@pytest.mark.parametrize(("batch", "positions"), [(1, 16), (15, 16), (16, 16), (32, 32)])
def test_a_single_image_fills_a_sixteenth_of_a_fully_connected_layer(batch: int, positions: int) -> None:
    build = NetworkBuilder("fc")
    network = build.finish(build.linear(build.input("x", (batch, 9216)), 4096))
    assert simulate(network, machine(16.0)).kernels[0].cycles == pytest.approx(144 * 128 * positions)


@settings(deadline=None, max_examples=50)
@given(
    channels=st.integers(1, 300),
    size=st.integers(1, 20),
    fewer=st.floats(0, 100),
    more=st.floats(0, 100),
)
def test_slower_loads_are_never_faster(channels: int, size: int, fewer: float, more: float) -> None:
    network = convolution(channels, 96, size, 3)
    fast, slow = (
        simulate(network, machine(cycles, endless_memory=False)).latency_s for cycles in sorted((fewer, more))
    )
    assert fast <= slow * (1 + 1e-9)
    assert simulate(network, machine(None)) == simulate(network, machine(0.0))


def test_waiting_for_weights_is_overhead() -> None:
    (kernel,) = simulate(convolution(64, 32, 2, 1), machine(16.0)).kernels
    assert kernel.bound == "overhead"
    assert kernel.overhead_s == pytest.approx(12 / machine(16.0).clock_hz)
    assert kernel.compute_s == pytest.approx(4 / machine(16.0).clock_hz)


def test_descriptions_without_it_keep_their_identity() -> None:
    """Platforms that were trained on the presets name these."""
    ids = {name: accelerator_id(load_accelerator(name)) for name in ("zcu102-dpu", "ncs2")}
    assert ids == {"zcu102-dpu": "16adb926bf86a428", "ncs2": "d8849a2f42c1c9ea"}
    assert accelerator_id(machine(16.0)) != accelerator_id(machine(None))


@pytest.mark.parametrize("cycles", [-1.0, math.nan, math.inf, "16", True])
def test_cycles_that_cannot_be_are_refused(cycles: object) -> None:
    array = load_accelerator("zcu102-dpu").array
    with pytest.raises(FieldFault, match=r"weight_load_cycles: found .*, expected a number >= 0"):
        replace(array, weight_load_cycles=cycles)  # type: ignore[arg-type]


def test_systolic_arrays_have_their_own_loads() -> None:
    array = load_accelerator("systolic-32x32-ws").array
    with pytest.raises(FieldFault, match="weight_load_cycles: found beside systolic"):
        replace(array, weight_load_cycles=16.0)
    assert array.systolic == SystolicArray(rows=32, columns=32, dataflow="WS")
