"""Energies that publications rank: Eyeriss's hierarchy, and the power of NVDLA's configurations."""

from __future__ import annotations

import math

import pytest

from annette.hardware.codec import load_accelerator
from annette.simulator.run import simulate
from annette.zoo.registry import open_network

PUBLISHED_MEAN_MW = {"nvdla-full": 291.0, "nvdla-medium": 80.0, "nvdla-small-256": 48.0, "nvdla-small": 21.0}
"""16 nm, 1 GHz."""


def test_on_eyeriss_an_access_costs_more_the_farther_it_goes() -> None:
    """Chen et al., ISCA 2016: a multiply-accumulate and a scratchpad 1, the buffer 6, DRAM 200."""
    device = load_accelerator("eyeriss-v1")
    assert device.energy is not None
    buffer_j = device.memories[device.memory_index("input")].read_j_per_byte
    assert buffer_j is not None
    element = device.precision.activation_bytes
    costs = [device.energy.register_j_per_byte, buffer_j, device.energy.external_j_per_byte]
    assert [element * cost / device.energy.mac_j for cost in costs] == pytest.approx([1, 6, 200], rel=0.01)


def test_on_eyeriss_fully_connected_layers_are_dram_and_convolutions_are_not() -> None:
    device = load_accelerator("eyeriss-v1")
    network = open_network("zoo:alexnet,two_towers=true,resolution=227", batch=4)
    shares: dict[str, list[float]] = {"Conv": [], "Gemm": []}
    for item in simulate(network, device).kernels:
        if item.kernel.unit == "array":
            assert item.energy is not None
            op_type = network.layer(item.kernel.primary).op_type
            shares[op_type].append(item.energy.external_j / item.energy.total_j)
            if op_type == "Conv":  # on the chip, scratchpads come first and the multipliers do not
                assert item.energy.register_j > item.energy.mac_j
    assert len(shares["Conv"]) == 5
    assert max(shares["Conv"]) < 0.3
    assert min(shares["Gemm"]) > 0.8


def test_nvdlas_configurations_rank_as_their_published_power() -> None:
    """One factor, that of the process, stands between 45 nm here and 16 nm there."""
    network = open_network("zoo:resnet50")
    ratios = {}
    for name, published in PUBLISHED_MEAN_MW.items():
        kernels = [item for item in simulate(network, load_accelerator(name)).kernels if item.energy]
        chip_j = sum(k.energy.total_j - k.energy.external_j - k.energy.host_j for k in kernels if k.energy)
        ratios[name] = 1e3 * chip_j / sum(item.latency_s for item in kernels) / published
    factor = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
    assert 3 < factor < 8
    assert all(abs(math.log(ratio / factor)) < math.log(1.4) for ratio in ratios.values()), ratios
