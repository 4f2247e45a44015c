"""What a simulated board is worth as a prior for the real one: k = 0, 5, 10, 20 measured networks.

    python benchmarks/studies/prior_zcu102.py --networks mnasnet_space_zcu102.parquet [--platform DIR]

The real ZCU102 ran 2,566 networks of the MnasNet space (Accel-NASBench). The platform is learned from the
simulated board alone. Two numbers of the simulator were calibrated on half of the networks, those that
calibrate_zcu102_networks.py drew: here that half is not touched, neither for samples nor to judge.

Each seed draws its samples from the other half, at random and by design (what `annette suggest` would
choose), and is judged on all that were not sampled. Without the prior, k = 0 is a rank by
multiply-accumulates, which has no seconds. "factor and constant" is the platform's estimate times a factor
>= 0 plus a constant >= 0, by least squares of the relative error of the samples; "with prior" is
`calibrate_space` with the platform as its source, as `annette calibrate --source` has it, which leaves the
prior out where it does not help the samples.

Writes benchmarks/results/prior_zcu102.json and .png.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from calibrate_zcu102_networks import read_networks
from numpy.typing import NDArray
from provenance import RESULTS, provenance
from scipy.optimize import nnls

from annette.calibration.calibrate import REFERENCE, REFERENCE_SEED, calibrate_contents
from annette.calibration.calibrated import Source
from annette.calibration.design import candidate_rows, choose_rows, design_of
from annette.calibration.features import COUNTS, Contents
from annette.calibration.graphs import graph_views
from annette.calibration.sources import prior_from_platform
from annette.estimation.catalogue import load_platform
from annette.evaluation.metrics import spearman
from annette.zoo.spaces.registry import open_space

COUNTS_MEASURED = (5, 10, 20)
CANDIDATES = 600
"""Networks that the design of a seed chooses from, drawn anew for each."""
CALIBRATION = RESULTS / "calibrate_zcu102_networks.json"
WAYS = ("without prior", "factor and constant", "with prior")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The networks that the simulator was not calibrated on, and what the platform says of them."""

    measured_s: Floats
    has_gates: NDArray[np.bool_]
    estimated_s: Floats
    reference: Contents
    """Of the architectures that terms are scaled by."""
    contents: Contents
    source: Source
    columns: Floats
    """What the source says of all networks."""
    designs: list[Floats]


def open_board(table: Path, platform_name: str) -> Board:
    """The held-out half."""
    networks = read_networks(table)
    order = np.random.default_rng(json.loads(CALIBRATION.read_text())["settings"]["seed"]).permutation(
        len(networks.measured_s)
    )
    networks = networks[np.sort(order[len(order) // 2 :])]
    space, platform = open_space("mnasnet"), load_platform(platform_name)
    (view,) = graph_views(space)
    both = view.contents(
        np.concatenate([candidate_rows(space, seed=REFERENCE_SEED, count=REFERENCE), networks.encodings])
    )
    contents = both.rows(np.arange(REFERENCE, len(both)))
    prior = prior_from_platform(platform, space)
    source = Source(model=prior, mean_s=prior.mean_s)
    return Board(
        measured_s=networks.measured_s,
        has_gates=networks.has_gates,
        estimated_s=platform.estimate_space(space, networks.encodings),
        reference=both.rows(np.arange(REFERENCE)),
        contents=contents,
        source=source,
        columns=source.columns(space, networks.encodings, contents),
        designs=design_of([contents]),
    )


def figures(truth: Floats, found: Floats) -> dict[str, float]:
    """Rank and error."""
    return {
        "spearman": spearman(truth, found) or 0.0,
        "mape": float(np.abs(found / truth - 1).mean()),
        "bias": float((found / truth - 1).mean()),
    }


def answers(board: Board, rows: Ints, judged: Ints) -> Iterator[tuple[str, Floats, dict[str, float]]]:
    """What each way says of the judged networks, and what else is to be recorded."""
    measured_s = board.measured_s[rows]
    graphs = {"needed": (board.reference, board.contents.rows(rows))}
    for way in WAYS:
        if way == "factor and constant":
            columns = np.column_stack([board.estimated_s, np.full(len(board.estimated_s), measured_s.mean())])
            costs = nnls(columns[rows] / measured_s[:, None], np.ones(len(rows)))[0]
            yield way, columns[judged] @ costs, {}
            continue
        sources = [board.source] if way == "with prior" else []
        model = calibrate_contents(
            graphs, measured_s, device="zcu102", space="mnasnet", sources=sources,
            source_columns=lambda _: board.columns[rows],
        )  # fmt: skip
        known = board.columns[judged] if model.sources else np.empty((len(judged), 0))
        found = model.predict_contents(board.contents.rows(judged), known)
        truth = board.measured_s[judged]
        covered = float(((found.low_s <= truth) & (truth <= found.high_s)).mean())
        weight = model.weights[1] if model.sources else 0.0
        yield way, found.latency_s, {"coverage": covered, "weight_of_prior": float(weight)}


def one_seed(board: Board, count: int, seed: int) -> dict[str, dict[str, float]]:
    """Figures by way of sampling and of predicting."""
    rng = np.random.default_rng(seed)
    every = np.arange(len(board.measured_s))
    candidates = np.sort(rng.permutation(every)[:CANDIDATES])
    designed = candidates[choose_rows([design[candidates] for design in board.designs], count)]
    result = {}
    for sampling, rows in (("designed", designed), ("random", np.sort(rng.choice(every, count, False)))):
        judged = np.setdiff1d(every, rows)
        for way, found_s, beside in answers(board, rows, judged):
            result[f"{sampling}, {way}"] = {**figures(board.measured_s[judged], found_s), **beside}
    return result


def spread(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation and worst over seeds."""
    found = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        worst = values.max() if name == "mape" else values.min()
        found[name] = {"mean": float(values.mean()), "sd": float(values.std()), "worst": float(worst)}
    return {
        name: {key: round(value, 5) for key, value in item.items() if name != "bias" or key != "worst"}
        for name, item in found.items()
    }


def nothing_measured(board: Board) -> dict[str, Any]:
    """k = 0: the platform as it is, of all networks and with and without gates; multiply-accumulates."""
    macs = [place for place, name in enumerate(COUNTS) if name.endswith("_macs")]
    by_macs = spearman(board.measured_s, board.contents.counts[:, macs].sum(axis=1))
    masks = {"all": np.ones(len(board.measured_s), dtype=bool), "with gates": board.has_gates}
    masks["without gates"] = ~board.has_gates
    prior = {}
    for title, mask in masks.items():
        row = figures(board.measured_s[mask], board.estimated_s[mask])
        prior[title] = {"networks": int(mask.sum()), **{key: round(value, 5) for key, value in row.items()}}
    return {"with prior": prior, "macs_spearman": round(by_macs or 0.0, 5)}


def run_study(board: Board, seeds: int) -> dict[str, Any]:
    """All k."""
    result: dict[str, Any] = {"networks": len(board.measured_s), "0": nothing_measured(board)}
    for count in COUNTS_MEASURED:
        found = [one_seed(board, count, seed) for seed in range(seeds)]
        result[str(count)] = {key: spread([row[key] for row in found]) for key in found[0]}
        for key, item in result[str(count)].items():
            rank, error = item["spearman"], item["mape"]
            print(
                f"k = {count:2d} {key:29s} Spearman {rank['mean']:.4f} (sd {rank['sd']:.4f}, worst "
                f"{rank['worst']:.4f})  MAPE {error['mean']:.2%} (sd {error['sd']:.2%}, worst "
                f"{error['worst']:.2%})",
                flush=True,
            )
    return result


def draw(study: dict[str, Any], path: Path) -> None:
    """Rank and error over k, with and without the prior."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.3), layout="constrained")
    start = study["0"]["with prior"]["all"]
    places = np.arange(1 + len(COUNTS_MEASURED))
    colors = {"without prior": "#8a8a8a", "factor and constant": "#5b8db8", "with prior": "#c2452d"}
    for axis, name, scale in ((axes[0], "spearman", 1.0), (axes[1], "mape", 100.0)):
        for way, color in colors.items():
            rows = [study[str(count)][f"designed, {way}"][name] for count in COUNTS_MEASURED]
            means, sds = ([row[key] * scale for row in rows] for key in ("mean", "sd"))
            first = [] if way == "without prior" else [start[name] * scale]
            used = places[1 - len(first) :]
            axis.errorbar(
                used, first + means, yerr=[0.0] * len(first) + sds, color=color, marker="o", markersize=4,
                capsize=3, linewidth=1.4, label=way,
            )  # fmt: skip
        axis.set_xticks(places, [0, *COUNTS_MEASURED])
        axis.set_xlabel("measured networks k (designed)")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", alpha=0.3)
    axes[0].set_ylabel("Spearman")
    axes[1].set_ylabel("MAPE (%)")
    axes[1].set_ylim(bottom=0)
    axes[1].legend(frameon=False)
    figure.suptitle("The simulated ZCU102 as a prior for the real one: MnasNet space", fontsize=11)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--networks", type=Path, required=True, help="Parquet table of the networks")
    parser.add_argument("--platform", default="zcu102-dpu", help="a shipped platform, or a platform's folder")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument(
        "--output", type=Path, default=RESULTS / "prior_zcu102.json", help="beside it the .png"
    )
    options = parser.parse_args()
    board = open_board(options.networks, options.platform)
    start = nothing_measured(board)
    print(f"k =  0 multiply-accumulates Spearman {start['macs_spearman']:.4f}")
    for title, row in start["with prior"].items():
        print(
            f"k =  0 prior, {title:14s} {row['networks']:5d} networks: Spearman {row['spearman']:.4f} MAPE "
            f"{row['mape']:.2%} bias {row['bias']:+.2%}"
        )
    study = {
        "platform": Path(options.platform).name,
        "seeds": options.seeds,
        **run_study(board, options.seeds),
    }
    document = {"study": "prior_zcu102", "provenance": provenance(seed=0), **study}
    options.output.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    draw(study, options.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
