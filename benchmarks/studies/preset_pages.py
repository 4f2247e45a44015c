"""Writes docs/presets: a page for each preset from its YAML and from the recorded studies.

python benchmarks/studies/preset_pages.py [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from annette.hardware.codec import list_accelerators, load_accelerator
from annette.hardware.preset_page import preset_page

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "presets"
RESULTS = ROOT / "benchmarks" / "results"

Comparison = Callable[[str, dict[str, Any]], Iterator[str]]


def _calibrated_dpu(name: str, study: dict[str, Any]) -> Iterator[str]:
    if name != "zcu102-dpu":
        return
    after, before = study["after"], study["before"]
    held_out = [item["held_out"]["median"] for item in study["held_out"].values()]
    yield (
        f"{after['points']} measured 3x3 convolutions of a real board: six numbers were fitted to them, and "
        f"the median error is {after['median']:.1%} (mean {after['mean']:.1%}, largest {after['max']:.1%}) "
        f"after {before['median']:.1%} with what one would have written without. Fitted on the smaller sizes "
        f"alone, the larger ones are {' and '.join(f'{value:.1%}' for value in held_out)} off in the median."
    )


def _calibrated_gates(name: str, study: dict[str, Any]) -> Iterator[str]:
    if name != "zcu102-dpu":
        return
    found, held_out = study["parameters"], study["held_out"]
    rows = [
        "| simulator | networks | number | Spearman | MAPE | MAPE, call added |",
        "|---|---|---|---|---|---|",
    ]
    for title, part in held_out.items():
        for networks, row in part.items():
            rows.append(
                f"| {title} | {networks} | {row['networks']:,} | {row['spearman']:.4f} | {row['mape']:.1%} | "
                f"{row['mape_with_call']:.1%} |"
            )
    yield (
        f"{study['networks_fitted'] + study['networks_held_out']:,} networks of the MnasNet space, timed end "
        "to end on a real board under Vitis AI 2.5 (Accel-NASBench). What the board does with a "
        "squeeze-and-excitation was read in documents: Vitis AI's user guide UG1414 has the DPU run pools up "
        "to 256 x 256 and hard sigmoids, and the data set's authors ran each network as one DPU program with "
        "hard sigmoids as gates; until then the preset had the host do them. Two numbers were fitted to a "
        f"random half of the networks: {found['start_cycles']:g} cycles to start a block of 16 channels, and "
        f"{found['run_cycles']:g} cycles for each pixel where a global pool loads its map in several parts. "
        f"Searched along, and not in the preset: {found['call_s'] * 1e3:.2f} ms that a call of the runtime "
        "from Python takes beside all layers. Of the "
        f"{study['networks_held_out']:,} networks of the other half:"
    )
    yield "\n".join(rows)


def _eyeriss(name: str, study: dict[str, Any]) -> Iterator[str]:
    if name != study["device"]:
        return
    rows = [
        "| layer | measured (ms) | simulated (ms) | error | error if left out of the fit |",
        "|---|---|---|---|---|",
    ]
    for layer, row in study["layers"].items():
        rows.append(
            f"| {layer} | {row['measured_total_ms']:.1f} | {row['simulated_ms']:.1f} | "
            f"{study['after']['error'][layer]:+.1%} | {study['left_out']['error'][layer]:+.1%}"
            f"{' (not left out of the bandwidth)' if layer == 'CONV1' else ''} |"
        )
    processing = study["fitted_on_processing_latency"]
    total = study["sum_of_layers"]
    yield (
        "The convolutions of AlexNet on the chip, four images at 200 MHz, with one number fitted to these "
        f"latencies (`array.cycle_efficiency`, {study['cycle_efficiency']}) and two set with the same table "
        "in sight: the bandwidth of the DRAM was read off CONV1, so that its error where it is left out of "
        "the fit is not that of an unseen layer, and `compiler.tiling_slack_fraction` with the measured DRAM "
        "traffic. Mean error "
        f"{study['after']['mean_absolute_error']:.1%}, {study['before']['mean_absolute_error']:.1%} without "
        f"it, {study['left_out']['mean_absolute_error']:.1%} where each layer is left out in turn; all five "
        f"take {total['simulated_ms']:.1f} ms of {total['measured_ms']:.1f} ms. Against the latencies "
        "without DRAM, with a number fitted on those, the mean error is "
        f"{processing['mean_absolute_error']:.1%}."
    )
    yield "\n".join(rows)


def _ethos(name: str, study: dict[str, Any]) -> Iterator[str]:
    device = study["devices"].get(name)
    if device is None:
        return
    rows = [
        "| network | vela (cycles) | here (cycles) | error | median error of kernels |",
        "|---|---|---|---|---|",
    ]
    for network, row in device["networks"].items():
        rows.append(
            f"| {network} | {row['vela_cycles']:,} | {row['cycles']:,} | {row['error_of_sum']:+.1%} | "
            f"{row['median_absolute_error']:.1%} |"
        )
    yield (
        f"The cycles that Arm's compiler, vela {study['vela']}, estimates for each operator (system "
        f"configuration {device['system_configuration']}, random int8 weights in the second memory); "
        "nothing was fitted. Differences come from weights, which vela compresses and fetches ahead into the "
        "SRAM over the bounds of an operator, from pools, which are faster here, and from sums with a ReLU, "
        "which are slower."
    )
    yield "\n".join(rows)


def _nvdla(name: str, study: dict[str, Any]) -> Iterator[str]:
    for row in study["resnet50"]:
        if row["device"] == name:
            yield (
                f"ResNet-50 in NVDLA's primer, {row['published_fps']:g} frames per second with a buffer of "
                f"{row['buffer_kb']} KB and a DRAM of {row['dram_gb_per_s']:g} GB/s: "
                f"{row['tile_pipeline_fps']:.1f} here ({row['over_published'] - 1:+.1%}). The published "
                "figure is a bound of the performance sheet, with Winograd's form of 3x3 convolutions; the "
                f"sheet without it gives {row['sheet_without_winograd_fps']:.1f}."
            )
    if name == "nvdla-full":
        alexnet = study["alexnet"]
        rows = [
            "| DRAM (GB/s) | images that share weights of fully connected layers | cycles an image | of the "
            "sheet's | of the RTL's | between them |",
            "|---|---|---|---|---|---|",
        ]
        for row in alexnet["conditions"]:
            rows.append(
                f"| {row['dram_gb_per_s']:g} | {row['fully_connected_batch']} | "
                f"{row['tile_pipeline_cycles']:,} | {row['over_sheet']:.2f} | {row['over_rtl']:.2f} | "
                f"{'yes' if row['is_between'] else 'no'} |"
            )
        yield (
            f"AlexNet: the performance sheet has {alexnet['sheet_cycles']:,.0f} cycles an image (10 GB/s, "
            f"fully connected layers in batches of 16), a run of the RTL {alexnet['rtl_cycles']:,}; which "
            "DRAM and which batch that run had is not known. The simulator lies between the two for one "
            "image on the whole bus (the preset) and for the sheet's own conditions. It does not for the "
            "other two combinations, so that lying between them is no proof."
        )
        yield "\n".join(rows)


def _power(name: str, study: dict[str, Any]) -> Iterator[str]:
    for row in study["nvdla"]["configurations"]:
        if row["device"] == name:
            found = ", ".join(
                f"{label} {row[key]:.4g} {unit}, {row['over_published'][key]:.2g} times the published one"
                for key, label, unit in (
                    ("mean_mw", "mean power", "mW"),
                    ("peak_mw", "peak power", "mW"),
                    ("area_mm2", "area", "mm2"),
                )
                if key in row["over_published"]
            )
            yield (
                "Power and area by the tables (45 nm) beside NVDLA's own (power in 16 nm, area in 28 nm): "
                f"{found}."
            )


def _eyeriss_energy(name: str, study: dict[str, Any]) -> Iterator[str]:
    if name != "eyeriss-v1":
        return
    found = study["eyeriss"]
    rows = [
        "| layer | global buffer (MB), measured | here | DRAM (MB), measured | here | chip (mW), measured | "
        "here |",
        "|---|---|---|---|---|---|---|",
    ]
    keys = ("buffer_mb", "dram_mb", "chip_mw")
    for row in found["layers"]:
        if "measured" in row:
            cells = " | ".join(f"{row['measured'][key]:g} | {row[key]:.4g}" for key in keys)
            rows.append(f"| {row['layer']} | {cells} |")
    ratios = found["over_measured"]
    spans = {key: f"{min(ratios[key]):.2g} to {max(ratios[key]):.2g}" for key in keys}
    shares = "; ".join(
        f"{kind}: " + ", ".join(f"{level} {value['fractions'][level]:.0%}" for level in value["order"])
        for kind, value in found["simulated_energy"].items()
    )
    yield (
        "Bytes and power of the same convolutions: bytes through the global buffer are "
        f"{', '.join(f'{value:.3g}' for value in ratios['buffer_mb'])} times the measured ones, of the DRAM "
        f"{spans['dram_mb']} times (the chip compresses them), and the chip's power {spans['chip_mw']} times "
        "(tables for 45 nm; the chip is 65 nm, and clock network and control are not modelled). Bytes of "
        "the buffer and watts are therefore not to be trusted, for CONV1 least of all. "
        f"Where the simulated energy goes, {shares}."
    )
    yield "\n".join(rows)


def _scalesim(name: str, study: dict[str, Any]) -> Iterator[str]:
    if name.startswith("systolic-"):
        yield (
            f"SCALE-Sim 3.0.0: {study['layers']:,} random layers on random arrays of all three dataflows, "
            f"{study['cells_compared']:,} figures, {study['cells_that_differ']} of them different. The "
            "memory behind the buffers and the vector unit are not SCALE-Sim's."
        )


def _peak(name: str, _: dict[str, Any]) -> Iterator[str]:
    figures = {
        "tpu-v1": (92e12, "92 TOPS are published (Jouppi et al., ISCA 2017)"),
        "edge-tpu": (4e12, "4 TOPS are published (Coral data sheet)"),
    }
    if name in figures:
        published, text = figures[name]
        error = load_accelerator(name).peak_ops_per_s / published - 1
        yield f"The peak alone: {text}, {error:+.1%} here. No times of networks were at hand."


STUDIES: tuple[tuple[str, Comparison], ...] = (
    ("calibrate_zcu102", _calibrated_dpu),
    ("calibrate_zcu102_networks", _calibrated_gates),
    ("eyeriss_alexnet", _eyeriss),
    ("ethos_vela", _ethos),
    ("nvdla_published", _nvdla),
    ("energy_sanity", _power),
    ("energy_sanity", _eyeriss_energy),
    ("scalesim_equality", _scalesim),
    ("eyeriss_alexnet", _peak),
)
"""Recorded study, and what it says of a preset."""


def comparisons(name: str) -> list[str]:
    """What the recorded studies say of a preset, each with the name of its result."""
    found = []
    for study, compare in STUDIES:
        path = RESULTS / f"{study}.json"
        texts = list(compare(name, json.loads(path.read_text(encoding="utf-8")))) if path.exists() else []
        if texts and compare is not _peak:
            texts.append(f"Recorded in `benchmarks/results/{study}.json`.")
        found += texts
    return found


def pages() -> dict[str, str]:
    """File name and text of every page."""
    made = {
        f"{name}.md": preset_page(load_accelerator(name), comparisons(name))
        for name, _ in list_accelerators()
    }
    rows = [f"| [{name}]({name}.md) | {description} |" for name, description in list_accelerators()]
    index = [
        "# Presets",
        "Simulated accelerators that come with annette; each page is made from the preset's YAML and from "
        "recorded studies. `systolic-RxC-DATAFLOW` is a preset for any size (`systolic-128x64-os`).",
        "\n".join(["| preset | what it is |", "|---|---|", *rows]),
    ]
    made["README.md"] = "\n\n".join(index) + "\n"
    return made


def main() -> None:
    """Write the pages, or say whether they are up to date."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether the pages are up to date")
    arguments = parser.parse_args()
    made = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}
    if arguments.check:
        old = sorted(name for name in {*made, *there} if made.get(name) != there.get(name))
        if old:
            sys.exit(f"docs/presets: {', '.join(old)} not up to date; run benchmarks/studies/preset_pages.py")
        return
    PAGES.mkdir(parents=True, exist_ok=True)
    for name in there.keys() - made.keys():
        (PAGES / name).unlink()
    for name, text in made.items():
        (PAGES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
