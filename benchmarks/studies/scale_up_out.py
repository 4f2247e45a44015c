"""Scale-up against scale-out on real networks: what a bandwidth-free model costs where the DRAM is real.

    python benchmarks/studies/scale_up_out.py

Every network of the zoo, each dataflow and the best of them, budgets of 2**10 to 2**16 MACs, bandwidths of 4
to 16384 bytes a cycle. The paper's model takes the partition of the fewest cycles by its formula, DRAM left
out; the bandwidth-aware one takes that of the fewest cycles with the DRAM. The loss is what the first costs
over the second, both with the DRAM. Arrays share the buffers and the bandwidth, and each fetches what it
needs for itself: no operand is sent to several at once. Elements have a byte, partial sums
four. Writes benchmarks/results/scale_up_out.json and .png.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from provenance import RESULTS, record

from annette.explore.partitions import list_partitions
from annette.explore.scale_out import ScaleStudy, study_scale
from annette.hardware.systolic_array import DATAFLOWS
from annette.simulator.products import MatrixProducts, network_products
from annette.zoo.registry import list_networks, zoo_network

BUDGETS = tuple(1 << power for power in range(10, 17))
BANDWIDTHS = tuple(float(1 << power) for power in range(2, 15))
BUFFER_BYTES = 1536 * 1024
ELEMENT_BYTES = 1.0
SUM_BYTES = 4.0
DETAILED = 1 << 14
TOLERATED = 1.05
BEST_OF_ALL = "best"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What both models take for one network, dataflow and budget."""

    network: str
    dataflow: str
    macs: int
    by_paper: str
    paper_arrays: int
    best: tuple[str, ...]
    """For each of `BANDWIDTHS`."""
    best_arrays: tuple[int, ...]
    loss: tuple[float, ...]
    """Cycles of the paper's choice over those of the best, for each bandwidth; >= 1."""


def choices(name: str, products: MatrixProducts, macs: int) -> list[Choice]:
    """One for each dataflow, and one for the best of all."""
    partitions = list_partitions(macs)
    paper, real = (
        study_scale(
            products, partitions, dataflows=DATAFLOWS, buffer_bytes=BUFFER_BYTES,
            bandwidths_bytes_per_cycle=BANDWIDTHS, element_bytes=ELEMENT_BYTES, sum_bytes=SUM_BYTES,
            like_paper=like_paper,
        )
        for like_paper in (True, False)
    )  # fmt: skip
    size = len(partitions)
    parts = {dataflow: slice(size * index, size * (index + 1)) for index, dataflow in enumerate(DATAFLOWS)}
    parts[BEST_OF_ALL] = slice(0, size * len(DATAFLOWS))
    return [_choice(name, dataflow, macs, part, paper, real) for dataflow, part in parts.items()]


def _choice(name: str, dataflow: str, macs: int, part: slice, paper: ScaleStudy, real: ScaleStudy) -> Choice:
    moved = np.bincount(real.kind_of_layer) @ real.dram_bytes
    by_paper = _first(paper.total_cycles(math.inf), moved, part)
    found, loss = [], []
    for bandwidth in BANDWIDTHS:
        cycles = real.total_cycles(bandwidth)
        found.append(_first(cycles, moved, part))
        loss.append(float(cycles[by_paper] / cycles[found[-1]]))
    named = [real.candidate(position) for position in (by_paper, *found)]
    names = [f"{item.name} {flow}" if dataflow == BEST_OF_ALL else item.name for item, flow in named]
    return Choice(
        network=name, dataflow=dataflow, macs=macs, by_paper=names[0], paper_arrays=named[0][0].arrays,
        best=tuple(names[1:]), best_arrays=tuple(item.arrays for item, _ in named[1:]), loss=tuple(loss),
    )  # fmt: skip


def _first(cycles: NDArray[np.float64], moved: NDArray[np.float64], part: slice) -> int:
    """The position of the fewest cycles within ``part``; of the fewest bytes among equals."""
    least = cycles[part] <= cycles[part].min()
    return part.start + int(np.where(least, moved[part], np.inf).argmin())


def summary(found: list[Choice]) -> list[dict[str, Any]]:
    """Losses over the networks, and arrays at the sweet spot, by dataflow, budget and bandwidth."""
    rows = []
    for dataflow in (*DATAFLOWS, BEST_OF_ALL):
        for macs in BUDGETS:
            cases = [item for item in found if (item.dataflow, item.macs) == (dataflow, macs)]
            for index, bandwidth in enumerate(BANDWIDTHS):
                loss = np.array([item.loss[index] for item in cases])
                worst = cases[int(loss.argmax())]
                rows.append(
                    {
                        "dataflow": dataflow,
                        "macs": macs,
                        "bandwidth_bytes_per_cycle": bandwidth,
                        "median_loss": float(np.median(loss)),
                        "worst_loss": float(loss.max()),
                        "worst_network": worst.network,
                        "disagree_fraction": float((loss > TOLERATED).mean()),
                        "median_arrays_of_the_best": float(
                            np.median([item.best_arrays[index] for item in cases])
                        ),
                        "median_arrays_of_the_papers": float(
                            np.median([item.paper_arrays for item in cases])
                        ),
                    }
                )
    return rows


def insights(rows: list[dict[str, Any]], found: list[Choice]) -> list[str]:
    """Sentences out of the data."""
    at = {(row["dataflow"], row["macs"], row["bandwidth_bytes_per_cycle"]): row for row in rows}
    sentences = []
    for dataflow in DATAFLOWS:
        slow, fast = (at[dataflow, DETAILED, bandwidth] for bandwidth in (16.0, 1024.0))
        networks = len(found) // len(BUDGETS) // (len(DATAFLOWS) + 1)
        sentences.append(
            f"{dataflow}, {DETAILED} MACs: at 16 bytes a cycle the paper's choice takes "
            f"{slow['median_loss']:.2f} times as long as the best in the median of {networks} networks "
            f"({slow['worst_loss']:.1f} times on {slow['worst_network']}), at 1024 bytes a cycle "
            f"{fast['median_loss']:.2f} times; it has {slow['median_arrays_of_the_papers']:.0f} arrays in "
            f"the median, the best has {slow['median_arrays_of_the_best']:.0f} and "
            f"{fast['median_arrays_of_the_best']:.0f}."
        )
    for macs in (BUDGETS[0], DETAILED, BUDGETS[-1]):
        enough = next(
            (
                bandwidth
                for bandwidth in BANDWIDTHS
                if at[BEST_OF_ALL, macs, bandwidth]["disagree_fraction"] <= 0.5
            ),
            None,
        )
        where = "at no bandwidth tried" if enough is None else f"from {enough:g} bytes a cycle on"
        sentences.append(
            f"{macs} MACs, best of all dataflows: the two agree within 5 % on half of the networks {where}."
        )
    worst = max(found, key=lambda item: max(item.loss))
    index = int(np.argmax(worst.loss))
    sentences.append(
        f"The widest gap: {worst.network}, {worst.dataflow}, {worst.macs} MACs, {BANDWIDTHS[index]:g} bytes "
        f"a cycle: {worst.by_paper} takes {worst.loss[index]:.1f} times as long as {worst.best[index]}."
    )
    return sentences


def draw(rows: list[dict[str, Any]], found: list[Choice]) -> None:
    """Loss of the paper's choice, and the number of arrays at the sweet spot, over the bandwidth."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for dataflow in DATAFLOWS:
        losses = np.array([item.loss for item in found if (item.dataflow, item.macs) == (dataflow, DETAILED)])
        low, middle, high = np.quantile(losses, (0.1, 0.5, 0.9), axis=0)
        left.plot(BANDWIDTHS, middle, marker="o", markersize=3, label=dataflow)
        left.fill_between(BANDWIDTHS, low, high, alpha=0.15)
    left.set_title(f"loss of the bandwidth-free choice, {DETAILED} MACs\n(median and 80 % of the networks)")
    left.set_ylabel("cycles over those of the best partition")
    left.set_yscale("log")
    left.legend(frameon=False)
    for macs in BUDGETS[::2]:
        cases = [row for row in rows if (row["dataflow"], row["macs"]) == (BEST_OF_ALL, macs)]
        right.plot(
            BANDWIDTHS, [row["median_arrays_of_the_best"] for row in cases], marker="o", markersize=3,
            label=f"{macs} MACs",
        )  # fmt: skip
    right.set_title("arrays at the sweet spot, best of all dataflows\n(median of the networks)")
    right.set_ylabel("arrays")
    right.set_yscale("log", base=2)
    right.legend(frameon=False)
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("DRAM, bytes a cycle")
        axes.grid(visible=True, alpha=0.25)
    figure.savefig(RESULTS / "scale_up_out.png", dpi=110)


def main() -> None:
    found: list[Choice] = []
    for entry in list_networks():
        products = network_products(zoo_network(entry.name))
        for macs in BUDGETS:
            found.extend(choices(entry.name, products, macs))
    rows = summary(found)
    sentences = insights(rows, found)
    result = {
        "what": "loss of the paper's bandwidth-free choice of partition against the bandwidth-aware one",
        "buffer_bytes": BUFFER_BYTES,
        "element_bytes": ELEMENT_BYTES,
        "sum_bytes": SUM_BYTES,
        "insights": sentences,
        "summary": rows,
        "choices": {
            "macs": DETAILED,
            "bandwidths_bytes_per_cycle": BANDWIDTHS,
            "networks": [
                {
                    "network": item.network,
                    "dataflow": item.dataflow,
                    "by_paper": item.by_paper,
                    "best": ", ".join(item.best),
                    "loss": ", ".join(f"{loss:.3f}" for loss in item.loss),
                }
                for item in found
                if item.macs == DETAILED
            ],
        },
    }
    draw(rows, found)
    print("\n".join(sentences))
    print(f"written to {record('scale_up_out', result, seed=None).name}")


if __name__ == "__main__":
    main()
