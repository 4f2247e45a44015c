"""Is the energy sane? Eyeriss's measured AlexNet and NVDLA's published power against the simulator's.

    python benchmarks/studies/energy_sanity.py [--measured ../shared/data/eyeriss/alexnet_n4.csv]

Eyeriss: what an access costs at each level of the hierarchy by its description, where the simulated energy of
AlexNet goes (levels ordered by it, convolutions and fully connected layers apart), and bytes through global
buffer and DRAM and the chip's power beside what its authors measured for the convolutions (batch 4, 65 nm;
their DRAM traffic is compressed, the simulator's is not). The compiler takes the tiling that moves the fewest
bytes among those that are at most half a percent slower than the fastest (`compiler.tiling_slack_fraction`,
set with this DRAM traffic in sight): its traffic is that of one good mapping, no bound of any kind.

NVDLA: mean power over ResNet-50 and the highest of its kernels, without DRAM and host, and the area, beside
what the five configurations are published with: 28 nm for area, 16 nm and 1 GHz for power. The presets'
tables are for 45 nm, so that a common factor stands between; how far single ones are from that factor is
what the model can be blamed for. Writes benchmarks/results/energy_sanity.json.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from provenance import record

from annette.hardware.accelerator import Accelerator
from annette.hardware.codec import load_accelerator
from annette.simulator.run import SimulatedKernel, simulate
from annette.zoo.registry import open_network

MEASURED = Path(__file__).resolve().parents[3] / "shared" / "data" / "eyeriss" / "alexnet_n4.csv"
PUBLISHED = {
    "nvdla-full": {"area_mm2": 5.5, "peak_mw": 766.0, "mean_mw": 291.0},
    "nvdla-large": {"area_mm2": 5.5},
    "nvdla-medium": {"area_mm2": 2.3, "peak_mw": 210.0, "mean_mw": 80.0},
    "nvdla-small-256": {"area_mm2": 1.7, "peak_mw": 135.0, "mean_mw": 48.0},
    "nvdla-small": {"area_mm2": 0.91, "peak_mw": 55.0, "mean_mw": 21.0},
}
"""Area in 28 nm; power in 16 nm at 1 GHz."""
OFF_CHIP = ("external_j", "host_j")


def parts_j(kernels: Iterable[SimulatedKernel]) -> dict[str, float]:
    """Joules by part over all kernels."""
    total: dict[str, float] = {}
    for item in kernels:
        assert item.energy is not None
        for name, joules in asdict(item.energy).items():
            total[name] = total.get(name, 0.0) + joules
    return total


def chip_w(kernels: Iterable[SimulatedKernel]) -> float:
    """Mean power without DRAM and host."""
    found = list(kernels)
    joules = sum(value for name, value in parts_j(found).items() if name not in OFF_CHIP)
    return joules / sum(item.latency_s for item in found)


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


def level_costs(accelerator: Accelerator) -> dict[str, float]:
    """Joules of a multiply-accumulate, and of 16 bits at each level."""
    table, buffer = accelerator.energy, accelerator.memories[accelerator.memory_index("input")]
    assert table is not None
    assert buffer.read_j_per_byte is not None
    element = accelerator.precision.activation_bytes
    return {
        "mac": table.mac_j,
        "scratchpads": table.register_j_per_byte * element,
        "buffer": buffer.read_j_per_byte * element,
        "dram": table.external_j_per_byte * element,
    }


def levels_j(item: SimulatedKernel, accelerator: Accelerator) -> dict[str, float]:
    """Joules of one kernel by level; partial sums and weights stay in the scratchpads."""
    costs, found, energy = level_costs(accelerator), item.accesses, item.energy
    assert energy is not None
    held = found.memories[accelerator.memory_index("input")]
    buffer_j = costs["buffer"] * sum(held.parts) / accelerator.precision.activation_bytes
    return {
        "mac": energy.mac_j,
        "scratchpads": energy.register_j + energy.buffer_j - buffer_j,
        "buffer": buffer_j,
        "dram": energy.external_j,
    }


def order_of_levels(layers: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Shares of the simulated energy of all layers of a kind, the largest first."""
    own = [row for row in layers if row["layer"].startswith(kind)]
    total = sum(row["energy_mj"] for row in own)
    shares = {
        level: sum(row["energy_mj"] * row["fractions"][level] for row in own) / total
        for level in own[0]["fractions"]
    }
    order = sorted(shares, key=lambda level: -shares[level])
    return {"order": order, "fractions": {level: rounded(shares[level]) for level in order}}


def study_eyeriss(path: Path) -> dict[str, Any]:
    accelerator = load_accelerator("eyeriss-v1")
    costs = level_costs(accelerator)
    network = open_network("zoo:alexnet,two_towers=true,resolution=227", batch=4)
    measured: dict[str, dict[str, str]] = {}
    if path.is_file():
        with path.open(encoding="utf-8") as file:
            measured = {row["layer"]: row for row in csv.DictReader(file)}
    kernels = [item for item in simulate(network, accelerator).kernels if item.kernel.unit == "array"]
    layers = []
    for index, item in enumerate(kernels, start=1):
        is_convolution = network.layer(item.kernel.primary).op_type == "Conv"
        name = f"{'CONV' if is_convolution else 'FC'}{index}"
        levels = levels_j(item, accelerator)
        row: dict[str, Any] = {
            "layer": name,
            "energy_mj": rounded(1e3 * (item.energy_j or 0.0)),
            "fractions": {key: rounded(value / sum(levels.values())) for key, value in levels.items()},
            "dominant": max(levels, key=lambda key: levels[key]),
            "dominant_on_chip": max(("mac", "scratchpads", "buffer"), key=lambda key: levels[key]),
            "buffer_mb": rounded(sum(item.accesses.memories[accelerator.memory_index("input")].parts) / 1e6),
            "dram_mb": rounded(item.accesses.external_bytes / 1e6),
            "chip_mw": rounded(1e3 * chip_w([item])),
        }
        if name in measured:
            row["measured"] = {
                "buffer_mb": float(measured[name]["glb_accesses_mb"]),
                "dram_mb": float(measured[name]["dram_accesses_mb"]),
                "chip_mw": float(measured[name]["power_mw"]),
            }
        layers.append(row)
    compared = [row for row in layers if "measured" in row]
    ratios = {
        key: [rounded(row[key] / row["measured"][key]) for row in compared]
        for key in ("buffer_mb", "dram_mb", "chip_mw")
    }
    return {
        "relative_cost_of_16_bits": {name: rounded(value / costs["mac"]) for name, value in costs.items()},
        "input_costs_rise_with_distance": costs["dram"] > 10 * costs["buffer"] > 20 * costs["mac"],
        "simulated_energy": {
            "convolutions": order_of_levels(layers, "CONV"),
            "fully connected": order_of_levels(layers, "FC"),
        },
        "over_measured": ratios,
        "layers": layers,
    }


def study_nvdla() -> dict[str, Any]:
    network = open_network("zoo:resnet50")
    rows: list[dict[str, Any]] = []
    for name, published in PUBLISHED.items():
        accelerator = load_accelerator(name)
        kernels = [item for item in simulate(network, accelerator).kernels if item.kernel.unit != "host"]
        assert accelerator.area_mm2 is not None
        row: dict[str, Any] = {
            "device": name,
            "mean_mw": rounded(1e3 * chip_w(kernels)),
            "peak_mw": rounded(1e3 * max(chip_w([item]) for item in kernels)),
            "area_mm2": rounded(accelerator.area_mm2),
            "published": published,
        }
        row["over_published"] = {key: rounded(row[key] / value) for key, value in published.items()}
        rows.append(row)
    factors = {}
    for key in ("mean_mw", "peak_mw", "area_mm2"):
        ratios = [row["over_published"][key] for row in rows if key in row["over_published"]]
        factor = math.exp(sum(map(math.log, ratios)) / len(ratios))
        worst = max(max(ratio / factor, factor / ratio) for ratio in ratios)
        factors[key] = {"common_factor": rounded(factor), "worst_ratio_to_it": rounded(worst)}
    return {"configurations": rows, "factors": factors}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--measured", type=Path, default=MEASURED, help="the authors' table, as CSV")
    arguments = parser.parse_args()
    result = {"eyeriss": study_eyeriss(arguments.measured), "nvdla": study_nvdla()}
    for name, found in result["eyeriss"]["simulated_energy"].items():
        shares = ", ".join(f"{level} {found['fractions'][level]:.1%}" for level in found["order"])
        print(f"Eyeriss, {name}: {shares}")
    print(record("energy_sanity", result, seed=None))


if __name__ == "__main__":
    main()
