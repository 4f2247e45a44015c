"""A compiler that may take a little longer to move fewer bytes: how long, how many fewer, where not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.graph.builder import NetworkBuilder
from annette.hardware.accelerator import Accelerator
from annette.hardware.checks import FieldFault
from annette.hardware.codec import accelerator_id, load_accelerator
from annette.simulator.run import simulate
from annette.zoo.registry import zoo_network


def patient(accelerator: Accelerator, slack: float | None) -> Accelerator:
    return replace(accelerator, compiler=replace(accelerator.compiler, tiling_slack_fraction=slack))


@settings(deadline=None, max_examples=30)
@given(
    channels=st.integers(1, 400), kernels=st.integers(1, 400), size=st.integers(1, 60),
    kernel=st.sampled_from((1, 3, 5)), slack=st.sampled_from((0.0, 0.001, 0.02, 0.3)),
)  # fmt: skip
def test_it_takes_no_longer_than_it_may_and_never_moves_more(
    channels: int, kernels: int, size: int, kernel: int, slack: float
) -> None:
    build = NetworkBuilder("one")
    x = build.input("x", (1, channels, size, size))
    network = build.finish(build.conv(x, kernels, kernel=kernel, padding=kernel // 2))
    device = load_accelerator("zcu102-dpu")
    fast = simulate(network, device).kernels[0]
    found = simulate(network, patient(device, slack)).kernels[0]
    launch_s = device.array.launch_s
    assert fast.latency_s <= found.latency_s
    assert found.latency_s - launch_s <= (1 + slack) * (fast.latency_s - launch_s) * (1 + 1e-12)
    assert found.moved_bytes <= fast.moved_bytes * (1 + 1e-12)
    assert found.accesses.external_bytes == pytest.approx(found.moved_bytes)
    if slack == 0:
        assert found == fast


@pytest.mark.parametrize("name", ["nvdla-small", "gemmini-16x16"])
def test_a_hundredth_of_the_time_is_worth_a_fifth_of_the_traffic(name: str) -> None:
    network, device = zoo_network("resnet50"), load_accelerator(name)
    fast, found = simulate(network, device), simulate(network, patient(device, 0.01))
    assert found.latency_s <= 1.01 * fast.latency_s
    moved = [sum(item.moved_bytes for item in run.kernels) for run in (fast, found)]
    assert moved[1] < 0.8 * moved[0]
    assert fast.energy_j is not None
    assert found.energy_j is not None
    assert found.energy_j < fast.energy_j


def test_a_description_that_says_nothing_of_it_stays_the_same() -> None:
    device = load_accelerator("zcu102-dpu")
    assert accelerator_id(patient(device, None)) == accelerator_id(device)
    assert accelerator_id(patient(device, 0.01)) != accelerator_id(device)


def test_systolic_arrays_have_no_tiles_to_choose() -> None:
    with pytest.raises(FieldFault, match=r"compiler.tiling_slack_fraction: found beside array.systolic"):
        patient(load_accelerator("systolic-16x16-os"), 0.01)
    with pytest.raises(FieldFault, match="tiling_slack_fraction: found 2"):
        patient(load_accelerator("zcu102-dpu"), 2)
