"""The tile pipeline on nvdla-full: between NVDLA's sheet and its RTL, and never below the bound."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

import pytest

from annette.hardware.accelerator import Accelerator
from annette.hardware.codec import load_accelerator
from annette.simulator.nvdla_description import Nvdla
from annette.simulator.nvdla_layers import sheet_network
from annette.simulator.nvdla_sheet import evaluate_sheet
from annette.simulator.run import simulate
from annette.zoo.registry import open_network

ALEXNET = "zoo:alexnet,two_towers=true,resolution=227"
SHEET, RTL = 895_443.5625, 2_093_882
"""Cycles of AlexNet: NVDLA's published performance sheet, and issue 202 of nvdla/hw."""
DRAM_OF_THE_SHEET = 10e9
CONFIGURATIONS = ("nvdla-full", "nvdla-large", "nvdla-medium", "nvdla-small-256", "nvdla-small")


def with_dram(accelerator: Accelerator, bandwidth_bytes_per_s: float) -> Accelerator:
    memory = dataclasses.replace(accelerator.external_memory, bandwidth_bytes_per_s=bandwidth_bytes_per_s)
    return dataclasses.replace(accelerator, external_memory=memory)


def cycles(spec: str, accelerator: Accelerator, batch: int = 1) -> Mapping[str, float]:
    """Cycles of each kernel an image, by its primary layer."""
    run = simulate(open_network(f"{spec},batch={batch}"), accelerator)
    return {item.kernel.primary: item.cycles / batch for item in run.kernels}


def shared_cycles(spec: str, accelerator: Accelerator, batch: int) -> float:
    """Cycles of an image if ``batch`` of them share the weights of fully connected layers alone."""
    one, many = cycles(spec, accelerator), cycles(spec, accelerator, batch)
    return sum((many if name.startswith("gemm") else one)[name] for name in one)


@pytest.mark.parametrize("spec", [ALEXNET, "zoo:alexnet"])
def test_an_image_at_a_time_on_the_whole_bus_lies_between_sheet_and_rtl(spec: str) -> None:
    """The preset as it is: 512 bits a cycle, one image, no fully connected layer shares its weights."""
    assert SHEET < sum(cycles(spec, load_accelerator("nvdla-full")).values()) < RTL


def test_under_the_conditions_of_the_sheet_it_lies_there_too() -> None:
    """10 GB/s, and 16 images share the weights of fully connected layers, or all layers run on them."""
    slow = with_dram(load_accelerator("nvdla-full"), DRAM_OF_THE_SHEET)
    assert SHEET < shared_cycles(ALEXNET, slow, 16) < RTL
    assert SHEET < sum(cycles(ALEXNET, slow, 16).values()) < RTL


def test_the_rtl_had_a_faster_memory_than_the_sheet_or_several_images() -> None:
    """An image alone needs 58.6 MB of weights in fully connected layers: 5.9 M cycles at 10 GB/s."""
    full = load_accelerator("nvdla-full")
    slow = with_dram(full, DRAM_OF_THE_SHEET)
    assert sum(cycles(ALEXNET, slow).values()) > RTL
    assert shared_cycles(ALEXNET, full, 16) < SHEET, "the sheet's DRAM is 6.4 times slower"


@pytest.mark.parametrize("spec", [ALEXNET, "zoo:lenet5", "zoo:resnet50,v1=true"])
@pytest.mark.parametrize("bandwidth", [2e9, DRAM_OF_THE_SHEET, 64e9])
def test_no_pipeline_is_faster_than_the_bound(spec: str, bandwidth: float) -> None:
    """The sheet's rules for single images, without Winograd's form, which the tile pipeline does not know.

    Left out: kernels smaller than their stride, whose weights the sheet counts as if padded to whole strides.
    """
    full = with_dram(load_accelerator("nvdla-full"), bandwidth)
    npu = Nvdla(
        macs_per_cycle=full.array.macs_per_cycle,
        buffer_bytes=512 * 1024,
        clock_hz=full.clock_hz,
        dram_bytes_per_s=bandwidth,
        fully_connected_batch=1,
        uses_winograd=False,
    )
    network = open_network(spec)
    rows, kernels = sheet_network(network), simulate(network, full).kernels
    floor: Counter[tuple[str, ...]] = Counter()
    for row, members in zip(rows.layers, rows.members, strict=True):
        if row.kernel_h >= row.stride_h:
            floor[members] += evaluate_sheet([row], npu).total_cycles
    for members, least in floor.items():
        assert (
            sum(item.cycles for item in kernels if not set(members).isdisjoint(item.kernel.layers)) >= least
        )


@pytest.mark.parametrize("spec", [ALEXNET, "zoo:resnet18", "zoo:mobilenet_v2"])
def test_a_smaller_configuration_is_slower(spec: str) -> None:
    """Of networks with some work; LeNet-5 waits for the memory alone, which answers the larger ones later."""
    network = open_network(spec)
    times = [simulate(network, load_accelerator(name)).latency_s for name in CONFIGURATIONS]
    assert times == sorted(set(times))
