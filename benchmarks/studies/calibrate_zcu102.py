"""Calibrates what no document says about zcu102-dpu on measured convolutions of a real board.

    python benchmarks/studies/calibrate_zcu102.py --points ../shared/data/zcu102/conv3x3_sweep.csv

The points are seconds of single convolutions (columns height, width, in_channels, out_channels, kernel,
stride, latency_s). Six parameters are searched, by several seeded Nelder-Mead runs on the simulator itself.
The loss is the mean absolute log-ratio of simulated to measured seconds, plus a weak pull towards what was
published or is typical: the points are of one feature-map size, so that some combinations of parameters fit
them alike, and the pull (a tenth of the timer's step in the loss) picks the one that a data sheet would call
plausible.

Beside the fit on all points, two fits show what the result is worth on points that it has not seen: one on
the smaller numbers of input channels, one on the smaller numbers of output channels; each is judged on the
rest.

Prints the errors and writes benchmarks/results/calibrate_zcu102.json; the values go into the preset
(annette/hardware/presets/zcu102-dpu.yaml), which a test compares with the recorded ones.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from provenance import provenance
from scipy.optimize import minimize

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator
from annette.hardware.codec import load_accelerator
from annette.simulator.run import simulate

Floats = npt.NDArray[np.float64]

RESULT = Path(__file__).resolve().parents[1] / "results" / "calibrate_zcu102.json"
PULL = 0.002
"""Weight of the pull: mean squared distance from the prior, in units of the prior's spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One number that is searched."""

    name: str
    start: float
    """What one would write without a measurement: data sheet or habit."""
    prior: float
    """What the pull goes towards."""
    spread: float
    """How far from the prior is still plausible."""
    low: float
    high: float
    source: str
    """Where start, prior and limits come from."""


PARAMETERS = (
    Parameter(
        name="clock_hz", start=281e6, prior=286.5e6, spread=10e6, low=281e6, high=333e6,
        source="281 to 333 MHz in reference designs; prior: 1173.5 Gop/s published as measured peak",
    ),
    Parameter(
        name="bandwidth_bytes_per_s", start=9.0e9, prior=15.11e9, spread=3e9, low=6e9, high=19.2e9,
        source="two 128-bit ports, 64-bit DDR4-2400 at most; prior: 15.11 GB/s published as fitted bandwidth",
    ),
    Parameter(
        name="latency_s", start=3e-7, prior=3e-7, spread=2e-7, low=1e-7, high=1e-6,
        source="typical of DDR4 behind an interconnect",
    ),
    Parameter(
        name="pass_cycles", start=64, prior=64, spread=64, low=0, high=500,
        source="typical pipeline depth",
    ),
    Parameter(
        name="tile_cycles", start=100, prior=250, spread=250, low=0, high=1500,
        source="instruction fetch and dependency check, typical",
    ),
    Parameter(
        name="launch_s", start=5e-6, prior=3e-6, spread=2e-6, low=5e-7, high=1e-5,
        source="typical",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Measured convolutions."""

    networks: tuple[Network, ...]
    in_channels: Floats
    out_channels: Floats
    measured_s: Floats

    def __getitem__(self, mask: npt.NDArray[np.bool_]) -> Points:
        kept = np.flatnonzero(mask)
        return Points(
            networks=tuple(self.networks[index] for index in kept),
            in_channels=self.in_channels[kept],
            out_channels=self.out_channels[kept],
            measured_s=self.measured_s[kept],
        )


def read_points(path: Path) -> Points:
    """The points of a CSV file, each as a network of one convolution."""
    networks, rows = [], []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            size = {key: int(row[key]) for key in row if key != "latency_s"}
            build = NetworkBuilder("point")
            x = build.input("x", (1, size["in_channels"], size["height"], size["width"]))
            y = build.conv(
                x,
                size["out_channels"],
                kernel=size["kernel"],
                stride=size["stride"],
                padding=size["kernel"] // 2,
            )
            networks.append(build.finish(y))
            rows.append((size["in_channels"], size["out_channels"], float(row["latency_s"])))
    table = np.array(rows)
    return Points(
        networks=tuple(networks), in_channels=table[:, 0], out_channels=table[:, 1], measured_s=table[:, 2]
    )


def with_values(base: Accelerator, values: Floats) -> Accelerator:
    """``base`` with the searched parameters set; the vector unit shares clock, launch and tile cycles."""
    found = dict(zip((item.name for item in PARAMETERS), map(float, values), strict=True))
    vector = base.vector and replace(
        base.vector,
        clock_hz=found["clock_hz"],
        tile_cycles=found["tile_cycles"],
        launch_s=found["launch_s"],
    )
    return replace(
        base,
        clock_hz=found["clock_hz"],
        vector=vector,
        array=replace(
            base.array,
            pass_cycles=found["pass_cycles"],
            tile_cycles=found["tile_cycles"],
            launch_s=found["launch_s"],
        ),
        external_memory=replace(
            base.external_memory,
            bandwidth_bytes_per_s=found["bandwidth_bytes_per_s"],
            latency_s=found["latency_s"],
        ),
    )


def log_ratios(accelerator: Accelerator, points: Points) -> Floats:
    """Logarithms of simulated over measured seconds."""
    simulated = np.array([simulate(network, accelerator).latency_s for network in points.networks])
    return np.asarray(np.log(simulated / points.measured_s))


def errors(accelerator: Accelerator, points: Points) -> dict[str, float]:
    """Relative errors on ``points``."""
    relative = np.abs(np.expm1(log_ratios(accelerator, points)))
    return {
        "points": len(points.networks),
        "median": round(float(np.median(relative)), 5),
        "mean": round(float(relative.mean()), 5),
        "p90": round(float(np.quantile(relative, 0.9)), 5),
        "max": round(float(relative.max()), 5),
    }


def calibrate(base: Accelerator, points: Points, *, seed: int, starts: int, evaluations: int) -> Floats:
    """The best values of `PARAMETERS` on ``points`` over several runs of Nelder-Mead."""
    rng = np.random.default_rng(seed)
    low, high, prior, spread, first = (
        np.array([getattr(item, key) for item in PARAMETERS])
        for key in ("low", "high", "prior", "spread", "start")
    )

    def loss(scaled: Floats) -> float:
        values = prior + scaled * spread
        inside = np.clip(values, low, high)
        outside = float((np.abs(values - inside) / spread).sum())
        pull = float((((inside - prior) / spread) ** 2).mean())
        return float(np.abs(log_ratios(with_values(base, inside), points)).mean()) + PULL * pull + outside

    best: tuple[float, Floats] | None = None
    for start in range(starts):
        origin = (first - prior) / spread if start == 0 else rng.normal(0.0, 0.7, len(PARAMETERS))
        simplex = np.vstack([origin, origin + 0.7 * np.eye(len(PARAMETERS))])
        options = {"maxfev": evaluations, "initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-6}
        result = minimize(loss, origin, method="Nelder-Mead", options=options)
        if best is None or result.fun < best[0]:
            best = float(result.fun), np.clip(prior + result.x * spread, low, high)
    assert best is not None
    return best[1]


def rounded(values: Floats) -> Floats:
    """Three significant digits (four of the clock): more would pretend to know."""
    digits = [4 if item.name == "clock_hz" else 3 for item in PARAMETERS]
    return np.array([float(f"{value:.{count}g}") for value, count in zip(values, digits, strict=True)])


def run_study(points: Points, *, seed: int, starts: int, evaluations: int, stride: int) -> dict[str, Any]:
    """Errors before and after, on held-out points, and the found values."""
    base = load_accelerator("zcu102-dpu")
    before = with_values(base, np.array([item.start for item in PARAMETERS]))
    thinned = np.arange(len(points.networks)) % stride == 0
    settings = {"seed": seed, "starts": starts, "evaluations": evaluations}
    values = rounded(calibrate(base, points[thinned], **settings))
    after = with_values(base, values)
    held_out = {}
    for axis in ("in_channels", "out_channels"):
        sizes = getattr(points, axis)
        is_seen = sizes <= np.median(sizes)
        fitted = with_values(base, rounded(calibrate(base, points[is_seen & thinned], **settings)))
        held_out[axis] = {
            "fitted_up_to": float(np.median(sizes)),
            "fitted": errors(fitted, points[is_seen]),
            "held_out": errors(fitted, points[~is_seen]),
        }
    return {
        "settings": {**settings, "stride": stride, "pull": PULL},
        "before": errors(before, points),
        "after": errors(after, points),
        "after_by_in_channels": {
            str(int(channels)): errors(after, points[points.in_channels == channels])
            for channels in np.unique(points.in_channels)
        },
        "held_out": held_out,
        "parameters": [
            {
                "name": item.name, "start": item.start, "found": float(value),
                "low": item.low, "high": item.high, "prior": item.prior, "source": item.source,
            }
            for item, value in zip(PARAMETERS, values, strict=True)
        ],
    }  # fmt: skip


def print_study(study: dict[str, Any]) -> None:
    """The study as a few lines."""
    rows = [("before", study["before"]), ("after", study["after"])]
    rows += [(f"held out by {axis}", item["held_out"]) for axis, item in study["held_out"].items()]
    for label, row in rows:
        print(
            f"{label:28s} {row['points']:4d} points: median {row['median']:.2%}, mean {row['mean']:.2%}, "
            f"p90 {row['p90']:.2%}, max {row['max']:.2%}"
        )
    for item in study["parameters"]:
        print(f"  {item['name']:24s} {item['start']:.4g} -> {item['found']:.4g}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--points", type=Path, required=True, help="CSV file with the measured points")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the result is recorded")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--starts", type=int, default=2, help="runs of the search")
    parser.add_argument("--evaluations", type=int, default=300, help="evaluations a run")
    parser.add_argument("--stride", type=int, default=3, help="fit on every n-th point")
    options = parser.parse_args(arguments)
    study = run_study(
        read_points(options.points),
        seed=options.seed,
        starts=options.starts,
        evaluations=options.evaluations,
        stride=options.stride,
    )
    print_study(study)
    document = {"study": "calibrate_zcu102", "provenance": provenance(seed=options.seed), **study}
    options.output.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
