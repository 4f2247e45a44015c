"""Compares the NVDLA presets' tile pipeline with NVDLA's published figures: frames per second, and cycles.

    python benchmarks/studies/nvdla_published.py

The primer gives frames per second of ResNet-50 for seven configurations, each with its MACs, its convolution
buffer and the bandwidth of its DRAM. The presets are run with that buffer and that bandwidth, image by image.
The published figures are those of the performance sheet: bounds without overheads, with Winograd's form of
3x3 convolutions, which the tile pipeline does not know; its own figure without it stands beside them. Nothing
is fitted.

AlexNet is run on nvdla-full under four conditions (the whole bus or the sheet's DRAM; one image, or 16 that
share the weights of fully connected layers) and compared with the sheet's total and a run of the RTL (issue
202 of nvdla/hw), of which neither DRAM nor batch are known. Two of the four lie between them.

Prints the figures and writes benchmarks/results/nvdla_published.json.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from provenance import record

from annette.hardware.accelerator import Accelerator
from annette.hardware.codec import load_accelerator
from annette.simulator.nvdla_description import Nvdla
from annette.simulator.nvdla_layers import sheet_network
from annette.simulator.nvdla_sheet import evaluate_sheet
from annette.simulator.run import simulate
from annette.zoo.registry import zoo_network

PRIMER = {
    "nvdla-full": (512, 20e9, 269.0),
    "nvdla-medium": (256, 10e9, 93.0),
    "nvdla-small-256": (256, 5e9, 46.0),
    "nvdla-small": (128, 1e9, 7.3),
}
"""KB of the convolution buffer, bytes a second of DRAM, frames a second of ResNet-50 in INT8."""
SHEET_CYCLES, RTL_CYCLES = 895_443.56, 2_093_882
"""AlexNet on nvdla-full: the performance sheet (10 GB/s, FC batch 16), and the RTL."""
CONDITIONS = ((64e9, 1), (64e9, 16), (10e9, 16), (10e9, 1))
"""Bytes a second of DRAM, and images that share the weights of fully connected layers."""


def as_in_primer(accelerator: Accelerator, buffer_kb: int, bandwidth_bytes_per_s: float) -> Accelerator:
    """The preset with the buffer and the DRAM that the primer states."""
    buffer = replace(accelerator.memories[0], size_bytes=buffer_kb * 1024)
    external = replace(accelerator.external_memory, bandwidth_bytes_per_s=bandwidth_bytes_per_s)
    return replace(accelerator, memories=(buffer, *accelerator.memories[1:]), external_memory=external)


def without_winograd(accelerator: Accelerator) -> float:
    """Frames per second of ResNet-50 by the sheet's rules, its weights as the 3x3 convolutions have them."""
    npu = Nvdla(
        macs_per_cycle=accelerator.array.macs_per_cycle,
        buffer_bytes=accelerator.memories[0].size_bytes,
        clock_hz=accelerator.clock_hz,
        dram_bytes_per_s=accelerator.external_memory.bandwidth_bytes_per_s,
        kernel_granule=128,
        uses_winograd=False,
        traffic="refetch",
    )
    rows = sheet_network(zoo_network("resnet50", v1=True)).layers
    return float(accelerator.clock_hz / evaluate_sheet(rows, npu).total_cycles)


def alexnet_cycles(accelerator: Accelerator, fully_connected_batch: int) -> float:
    """Cycles of an image of AlexNet where so many share the weights of fully connected layers alone."""
    found = {}
    for batch in {1, fully_connected_batch}:
        network = zoo_network("alexnet", two_towers=True, resolution=227, batch=batch)
        kernels = simulate(network, accelerator).kernels
        found[batch] = {item.kernel.primary: item.cycles / batch for item in kernels}
    return sum(found[fully_connected_batch if name.startswith("gemm") else 1][name] for name in found[1])


def alexnet_conditions() -> list[dict[str, Any]]:
    """AlexNet under each of the `CONDITIONS`."""
    full, rows = load_accelerator("nvdla-full"), []
    for bandwidth, batch in CONDITIONS:
        external = replace(full.external_memory, bandwidth_bytes_per_s=bandwidth)
        cycles = alexnet_cycles(replace(full, external_memory=external), batch)
        rows.append(
            {
                "dram_gb_per_s": bandwidth / 1e9,
                "fully_connected_batch": batch,
                "is_preset": bandwidth == full.external_memory.bandwidth_bytes_per_s and batch == 1,
                "tile_pipeline_cycles": round(cycles),
                "over_sheet": round(cycles / SHEET_CYCLES, 4),
                "over_rtl": round(cycles / RTL_CYCLES, 4),
                "is_between": SHEET_CYCLES < cycles < RTL_CYCLES,
            }
        )
    return rows


def run_study() -> dict[str, Any]:
    """Frames per second of the configurations, and cycles of AlexNet."""
    rows = []
    resnet = zoo_network("resnet50", v1=True)
    for name, (buffer_kb, bandwidth, published) in PRIMER.items():
        accelerator = as_in_primer(load_accelerator(name), buffer_kb, bandwidth)
        found = 1.0 / simulate(resnet, accelerator).latency_s
        rows.append(
            {
                "device": name,
                "buffer_kb": buffer_kb,
                "dram_gb_per_s": bandwidth / 1e9,
                "published_fps": published,
                "sheet_without_winograd_fps": round(without_winograd(accelerator), 2),
                "tile_pipeline_fps": round(found, 2),
                "over_published": round(found / published, 4),
            }
        )
    return {
        "resnet50": rows,
        "alexnet": {
            "sheet_cycles": SHEET_CYCLES,
            "rtl_cycles": RTL_CYCLES,
            "conditions": alexnet_conditions(),
        },
    }


def main() -> None:
    """Run the study."""
    study = run_study()
    for row in study["resnet50"]:
        print(
            f"{row['device']:16s} ResNet-50: published {row['published_fps']:6.1f} fps, without Winograd "
            f"{row['sheet_without_winograd_fps']:6.1f}, tile pipeline {row['tile_pipeline_fps']:6.1f}"
        )
    alexnet = study["alexnet"]
    print(f"AlexNet: sheet {alexnet['sheet_cycles']:,.0f}, RTL {alexnet['rtl_cycles']:,} cycles")
    for row in alexnet["conditions"]:
        print(
            f"  {row['dram_gb_per_s']:g} GB/s, fully connected layers in batches of "
            f"{row['fully_connected_batch']}: {row['tile_pipeline_cycles']:,}, "
            f"{'between them' if row['is_between'] else 'not between them'}"
        )
    print(record("nvdla_published", study, seed=None))


if __name__ == "__main__":
    main()
