"""Calibrates squeeze-and-excitations of zcu102-dpu on measured networks of a real board.

    python benchmarks/studies/calibrate_zcu102_networks.py --networks mnasnet_space_zcu102.parquet

The networks are of the MnasNet space, timed end to end under Vitis AI 2.5 on a DPUCZDX8G of ISA 1 (data set
Accel-NASBench). Where its layers run is public: the DPU has hard sigmoids and pools up to 256 x 256, and its
compiler made each network one DPU program. What no document says is searched on a random half of the
networks by seeded Nelder-Mead runs: what a block of channels and what a strided run take. The other half
only judges.

A call of the board's runtime from Python takes a while that no layer has. It is searched along, recorded,
and left out of the preset, which describes the device: errors are given without it and with it.

Prints ranks and errors, before and after, and writes benchmarks/results/calibrate_zcu102_networks.json; the
values go into the preset (annette/hardware/presets/zcu102-dpu.yaml), which a test compares with them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from provenance import provenance
from scipy.optimize import minimize

from annette.evaluation.metrics import spearman
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator
from annette.hardware.channel_blocks import ChannelBlocks
from annette.hardware.codec import load_accelerator
from annette.hardware.rules import CompilerRules, PlacementRule
from annette.simulator.compiled import PreparedNetwork
from annette.simulator.run import simulate
from annette.zoo.spaces.registry import open_space
from annette.zoo.spaces.space import ABSENT, Encodings, SearchSpace

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RESULT = Path(__file__).resolve().parents[1] / "results" / "calibrate_zcu102_networks.json"
BLOCKS, GATE = 7, 3
"""Blocks of a network, and the gene of a block that says whether it has gates."""
NAMES = ("start_cycles", "run_cycles", "call_s")
START = (60.0, 10.0, 5e-4)
"""The array's pipeline depth, a few clocks for an address, half a millisecond for a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """Measured networks as counts of pieces that run one after the other."""

    encodings: Encodings
    measured_s: Floats
    pieces: tuple[PreparedNetwork, ...]
    """The distinct ones, each as a network of its own."""
    counts: Floats
    """Of shape (n_networks, n_pieces)."""

    def __getitem__(self, rows: Ints) -> Networks:
        return replace(
            self,
            encodings=self.encodings[rows],
            measured_s=self.measured_s[rows],
            counts=self.counts[rows],
        )

    @property
    def has_gates(self) -> npt.NDArray[np.bool_]:
        """Networks with a squeeze-and-excitation somewhere."""
        return np.asarray(self.encodings[:, GATE :: len(self.encodings[0]) // BLOCKS].any(axis=1))


def read_networks(path: Path) -> Networks:
    """The networks of the table that have a latency, repeated ones once."""
    import pandas as pd

    frame = pd.read_parquet(path).dropna(subset=["zcu102_latency_s"])
    space = open_space("mnasnet")
    columns = [
        [frame[f"block{block}_{part}"].tolist() for part in ("e", "k", "l", "se")] for block in range(BLOCKS)
    ]
    encodings = space.parse_many(
        " ".join(f"e{e[row]}k{k[row]}l{layers[row]}s{gate[row]}" for e, k, layers, gate in columns)
        for row in range(len(frame))
    )
    encodings, first = np.unique(encodings, axis=0, return_index=True)
    pieces, counts = split(space, encodings)
    measured_s = frame["zcu102_latency_s"].to_numpy(float)[first]
    return Networks(encodings=encodings, measured_s=measured_s, pieces=pieces, counts=counts)


def split(space: SearchSpace, encodings: Encodings) -> tuple[tuple[PreparedNetwork, ...], Floats]:
    """The distinct pieces of these networks, and how often each network has each."""
    pieces = space.pieces(encodings)
    known: dict[tuple[str, int, tuple[int, ...]], tuple[int | None, tuple[int, ...]]] = {}
    made: list[PreparedNetwork] = []
    rows: list[list[int]] = []
    for codes in pieces.codes:
        row: list[int] = []
        shape: tuple[int, ...] = ()
        for kind, code in zip(pieces.kinds, codes.tolist(), strict=True):
            if code == ABSENT:
                continue
            if (kind, code, shape) not in known:
                network, after = one_piece(space, kind, code, shape)
                known[kind, code, shape] = (None if network is None else len(made)), after
                made += [] if network is None else [PreparedNetwork(network)]
            place, shape = known[kind, code, shape]
            row += [] if place is None else [place]
        rows.append(row)
    counts = np.array([np.bincount(row, minlength=len(made)) for row in rows], dtype=np.float64)
    return tuple(made), counts


def one_piece(
    space: SearchSpace, kind: str, code: int, shape: tuple[int, ...]
) -> tuple[Network | None, tuple[int, ...]]:
    """A piece that reads a tensor of this shape, and what it writes; ``None`` where it has no layers."""
    build = NetworkBuilder(f"{kind} {code}")
    inputs = (build.input("x", shape),) if shape else ()
    output = space.build_piece(build, kind, code, inputs)
    return (build.finish(output) if shape else None), build.shape(output)


def simulated_s(accelerator: Accelerator, networks: Networks) -> Floats:
    """Seconds of each network: the device runs its pieces one after the other."""
    pieces = [simulate(item, accelerator).latency_s for item in networks.pieces]
    return np.asarray(networks.counts @ np.array(pieces))


def with_values(base: Accelerator, values: Floats) -> Accelerator:
    """``base`` with a vector unit of these values."""
    found = dict(zip(NAMES, map(float, values), strict=True))
    assert base.vector is not None
    assert base.vector.channel_blocks is not None
    blocks = replace(
        base.vector.channel_blocks, start_cycles=found["start_cycles"], run_cycles=found["run_cycles"]
    )
    return replace(base, vector=replace(base.vector, channel_blocks=blocks))


def before(base: Accelerator, *, on_host: bool) -> Accelerator:
    """``base`` as the preset was: no blocks of channels; gates on the host or not."""
    assert base.vector is not None
    vector = replace(base.vector, channel_blocks=None)
    return replace(base, vector=vector, compiler=_old_rules(base.compiler) if on_host else base.compiler)


def _old_rules(rules: CompilerRules) -> CompilerRules:
    """Pools up to 32 x 32, no gates and no sigmoids on the device."""
    placement: list[PlacementRule] = []
    for rule in rules.placement:
        if any(item.feature == "channel_factors" for item in rule.when):
            continue
        if "GlobalAveragePool" in rule.layers:
            rule = replace(rule, when=tuple(replace(item, maximum=32) for item in rule.when))
        placement.append(rule)
    gates = {"Sigmoid", "HardSigmoid", "HardSwish"}
    fuse = [
        replace(rule, layers=tuple(layer for layer in rule.layers if layer not in gates))
        for rule in rules.fuse
        if set(rule.layers) - gates
    ]
    return replace(rules, placement=tuple(placement), fuse=tuple(fuse))


def figures(accelerator: Accelerator, networks: Networks, call_s: float) -> dict[str, dict[str, float]]:
    """Rank and error of all networks, of those without and of those with gates."""
    found_s, has_gates = simulated_s(accelerator, networks), networks.has_gates
    masks = {
        "all": np.ones(len(found_s), dtype=bool),
        "without gates": ~has_gates,
        "with gates": has_gates,
    }
    result = {}
    for title, mask in masks.items():
        truth, found = networks.measured_s[mask], found_s[mask]
        result[title] = {
            "networks": int(mask.sum()),
            "spearman": round(spearman(truth, found) or 0.0, 5),
            "mape": round(float(np.abs(found / truth - 1).mean()), 5),
            "mape_with_call": round(float(np.abs((found + call_s) / truth - 1).mean()), 5),
        }
    return result


def calibrate(base: Accelerator, networks: Networks, *, seed: int, starts: int, evaluations: int) -> Floats:
    """The values of `NAMES` with the smallest mean absolute log-ratio."""
    rng = np.random.default_rng(seed)
    start = np.array(START)

    def loss(scaled: Floats) -> float:
        values = start * np.exp(scaled)
        found_s = simulated_s(with_values(base, values), networks) + values[-1]
        return float(np.abs(np.log(found_s / networks.measured_s)).mean())

    best: tuple[float, Floats] | None = None
    for run in range(starts):
        origin = np.zeros(len(start)) if run == 0 else rng.normal(0.0, 0.5, len(start))
        simplex = np.vstack([origin, origin + 0.5 * np.eye(len(start))])
        options = {"maxfev": evaluations, "initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-6}
        result = minimize(loss, origin, method="Nelder-Mead", options=options)
        print(f"run {run}: {result.fun:.5f}", flush=True)
        if best is None or result.fun < best[0]:
            best = float(result.fun), start * np.exp(result.x)
    assert best is not None
    return best[1]


def run_study(networks: Networks, *, seed: int, starts: int, evaluations: int) -> dict[str, Any]:
    """The found values, and figures of the half that they have not seen."""
    base = load_accelerator("zcu102-dpu")
    assert base.vector is not None
    if base.vector.channel_blocks is None:
        blocks = ChannelBlocks(channels=16, start_cycles=0.0, run_cycles=0.0)
        base = replace(base, vector=replace(base.vector, channel_blocks=blocks))
    order = np.random.default_rng(seed).permutation(len(networks.measured_s))
    seen, held_out = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    found = calibrate(base, networks[seen], seed=seed, starts=starts, evaluations=evaluations)
    values = np.array([float(f"{value:.3g}") for value in found])
    after, call_s = with_values(base, values), float(values[-1])
    whole = simulate(open_space("mnasnet").network(networks.encodings[0].tolist()), after).latency_s
    pieces = float(simulated_s(after, networks[np.array([0])])[0])
    assert abs(whole / pieces - 1) < 1e-9, "the sum of the pieces is not the network"
    judged = networks[held_out]
    return {
        "settings": {"seed": seed, "starts": starts, "evaluations": evaluations},
        "networks_fitted": len(seen),
        "networks_held_out": len(held_out),
        "parameters": dict(zip(NAMES, map(float, values), strict=True)),
        "fitted": figures(after, networks[seen], call_s),
        "held_out": {
            "before": figures(before(base, on_host=True), judged, call_s),
            "placed on the device, cut anywhere": figures(before(base, on_host=False), judged, call_s),
            "after": figures(after, judged, call_s),
        },
    }


def print_study(study: dict[str, Any]) -> None:
    """The study as a few lines."""
    for title, part in (("fitted half", study["fitted"]), *study["held_out"].items()):
        for networks, row in part.items():
            print(
                f"{title:36s} {networks:14s} {row['networks']:5d}: Spearman {row['spearman']:.4f}, MAPE "
                f"{row['mape']:.1%}, with the call {row['mape_with_call']:.1%}"
            )
    for name, value in study["parameters"].items():
        print(f"  {name:16s} {value:.4g}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--networks", type=Path, required=True, help="Parquet table of the networks")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the result is recorded")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--starts", type=int, default=3, help="runs of the search")
    parser.add_argument("--evaluations", type=int, default=120, help="evaluations a run")
    options = parser.parse_args(arguments)
    study = run_study(
        read_networks(options.networks),
        seed=options.seed,
        starts=options.starts,
        evaluations=options.evaluations,
    )
    print_study(study)
    document = {"study": "calibrate_zcu102_networks", "provenance": provenance(seed=options.seed), **study}
    options.output.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
