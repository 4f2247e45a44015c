"""Reports of one systolic array: sums of layers, bandwidths, widths of a device, SCALE-Sim's columns."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from annette.errors import HardwareError, UsageError
from annette.hardware.codec import load_accelerator
from annette.hardware.scalesim_files import ScaleSimConfiguration
from annette.hardware.systolic_array import DATAFLOWS, SystolicArray
from annette.simulator.products import network_products
from annette.simulator.systolic_report import (
    SystolicReport,
    accelerator_system,
    configuration_system,
    report_systolic,
)
from annette.zoo.registry import zoo_network

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "data" / "scalesim"


def _report(network: str, dataflow: str = "WS", convention: str = "onnx", **options: float) -> SystolicReport:
    configuration = ScaleSimConfiguration(
        name="", array=SystolicArray(rows=32, columns=32, dataflow=dataflow), input_buffer_bytes=2**16,
        weight_buffer_bytes=2**16, output_buffer_bytes=2**16, bandwidth_elements_per_cycle=None,
    )  # fmt: skip
    system = configuration_system(configuration, **options)
    return report_systolic(network_products(zoo_network(network), convention), system)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_resnet18_of_the_zoo_has_the_cycles_of_scale_sims_own(dataflow: str) -> None:
    path = GOLDEN / f"Resnet18_32x32_{dataflow.lower()}.csv"
    if not path.is_file():
        pytest.skip("the golden cases of SCALE-Sim 3.0.0 are not at hand")
    with path.open(encoding="utf-8") as file:
        expected = sorted(int(row["total_cycles"]) for row in csv.DictReader(file))
    assert sorted(_report("resnet18", dataflow, "scalesim").total_cycles.tolist()) == expected


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("network", ["mobilenet_v2", "bert_mini", "alexnet"])
def test_no_layer_asks_for_more_on_average_than_without_stalls(network: str, dataflow: str) -> None:
    report = _report(network, dataflow)
    average = sum(report.average_bytes_per_cycle.values())
    assert (average <= report.stall_free_bytes_per_cycle * (1 + 1e-12)).all()
    moved = np.sum(list(report.dram_bytes.values()), axis=0)
    products = report.products
    least = products.repeats * (products.input_elements + products.k * products.n + products.m * products.n)
    assert (moved >= least * (1 - 1e-12)).all()


def test_totals_are_the_sums_of_the_layers() -> None:
    document = _report("mobilenet_v2", clock_hz=2e9).to_dict()
    total, layers = document["total"], document["layers"]
    assert total["macs"] == sum(item["macs"] for item in layers)
    assert total["total_cycles"] == sum(item["total_cycles"] for item in layers)
    for operand in ("input", "weight", "output"):
        assert total["sram_accesses"][operand] == sum(item["sram_accesses"][operand] for item in layers)
        assert total["dram_bytes"][operand] == pytest.approx(
            sum(item["dram_bytes"][operand] for item in layers)
        )
        assert total["average_bytes_per_s"][operand] == 2e9 * total["average_bytes_per_cycle"][operand]
    assert total["stall_free_bytes_per_s"] == 2e9 * max(item["stall_free_bytes_per_cycle"] for item in layers)


def test_groups_are_done_one_after_another() -> None:
    report = _report("mobilenet_v1", "OS")
    groups = report.products.repeats
    assert groups.max() > 100
    assert report.total_cycles.tolist() == (report.counts.cycles * groups - 1).tolist()
    assert (report.overall_efficiency <= 1).all()


def test_a_device_brings_its_buffers_widths_and_clock() -> None:
    accelerator = load_accelerator("systolic-16x64-is")
    system = accelerator_system(accelerator)
    assert system.array == SystolicArray(rows=16, columns=64, dataflow="IS")
    assert (system.element_bytes, system.sum_bytes) == (
        accelerator.precision.activation_bytes,
        accelerator.precision.accumulator_bytes,
    )
    assert system.clock_hz == accelerator.clock_hz
    sizes = {operand: memory.size_bytes for memory in accelerator.memories for operand in memory.holds}
    assert system.buffers.input_bytes == sizes["input"]
    with pytest.raises(HardwareError, match=r"'zcu102-dpu': no array\.systolic"):
        accelerator_system(load_accelerator("zcu102-dpu"))


def test_wider_elements_move_more_bytes_in_the_same_cycles() -> None:
    narrow, wide = (_report("resnet18", element_bytes=size, sum_bytes=4 * size) for size in (1.0, 2.0))
    assert narrow.total_cycles.tolist() == wide.total_cycles.tolist()
    moved = [np.sum(list(report.dram_bytes.values())) for report in (narrow, wide)]
    assert moved[1] > 1.9 * moved[0]


def test_the_table_has_the_columns_of_scale_sim() -> None:
    report = _report("lenet5", "OS")
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["Layer"] for row in rows] == list(report.products.names)
    assert [int(row["Total Cycles"]) for row in rows] == report.total_cycles.tolist()
    assert [int(row["SRAM OFMAP Writes"]) for row in rows] == report.sram_accesses["output"].tolist()
    assert [float(row["Mapping Efficiency %"]) for row in rows] == pytest.approx(
        (100 * report.counts.mapping_efficiency).tolist()
    )


def test_a_network_without_products_is_refused() -> None:
    products = network_products(zoo_network("lenet5"))
    empty = type(products)(
        names=(), m=products.m[:0], k=products.k[:0], n=products.n[:0], repeats=products.repeats[:0],
        input_elements=products.m[:0],
    )  # fmt: skip
    with pytest.raises(UsageError, match="nothing to report"):
        report_systolic(empty, accelerator_system(load_accelerator("systolic-8x8-os")))
