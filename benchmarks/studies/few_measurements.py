"""How well a device is known from ten or twenty latencies of whole networks, on real devices.

    python benchmarks/studies/few_measurements.py [--seeds 50] [--space fbnet ...]

Protocols: of NASFLAT (samples out of all architectures, judged on others), of HELP (samples out of 900
architectures, judged on 1,000 others, slowest and fastest tenth left out of both), and the tasks that both
published, with their source and test devices as far as the data has them. Every table column is one
device; other chips of the same table are its sources in the rows that say so, each learned from 300 of
its rows. Rows beside: multiply-accumulates alone, an oracle that is fitted to 600 architectures, and for
NAS-Bench-201 a ceiling: cells with the same operations run the same kernels, so that what differs between
them is noise. Columns that are sums of block times are marked and left out of means. Needs the shared
data; writes benchmarks/results/few_measurements.json and .png.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from provenance import COMMIT, RESULTS, record

from annette.calibration.calibrate import REFERENCE, REFERENCE_SEED, calibrate_contents
from annette.calibration.calibrated import CalibratedModel, Source
from annette.calibration.design import CANDIDATES, candidate_rows, choose_rows, design_of
from annette.calibration.features import COUNTS, Contents
from annette.calibration.graphs import graph_views
from annette.calibration.sources import SOURCE_SAMPLES
from annette.evaluation.metrics import spearman
from annette.zoo.spaces.registry import open_space
from annette.zoo.spaces.space import Encodings

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "real"
SPACES = ("nasbench201", "fbnet", "ofa", "mnasnet")
FORMULAS = {("fbnet", "pixel3")}
"""Columns that are sums of block times: a sum of terms fits them by construction."""
_HELP_SOURCES = (
    "1080ti_1", "1080ti_32", "1080ti_256", "1080ti_64", "silver_4114", "silver_4210r", "samsung_a50",
    "pixel3", "essential_ph_1", "samsung_s7",
)  # fmt: skip
TASKS: dict[str, dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "nasbench201": {
        "HELP, validation": (_HELP_SOURCES, ("titanx_1", "titanx_32", "titanx_256", "gold_6240")),
        "N1": (("pixel3",), ("1080ti_1",)),
    },
    "fbnet": {
        "FD, HELP": (_HELP_SOURCES, ("titanx_1", "titanx_32", "titanx_64", "gold_6240")),
        "F1": (("essential_ph_1", "silver_4114"), ("samsung_a50", "samsung_s7")),
        "F2": (("essential_ph_1", "gold_6240", "pixel3"), ("1080ti_1", "1080ti_32")),
        "F3": (("essential_ph_1", "pixel3", "samsung_s7"), ("1080ti_1", "1080ti_32")),
        "F4": (("1080ti_64", "silver_4210r", "gold_6240", "samsung_s7"), ("1080ti_1", "essential_ph_1")),
    },
    "ofa": {
        "HELP": (("2080ti_1", "2080ti_32", "2080ti_64"), ("titan_rtx_1", "titan_rtx_32", "titan_rtx_64")),
    },
}
"""Source and test devices of the tasks that HELP and NASFLAT published, as far as the data has both. The test
devices of NASFLAT's task ND are not in it, nor are sources of N3 and N4."""
WHOLE_MILLISECONDS = {"samsung_a50", "essential_ph_1", "samsung_s7"}
ORACLE_SAMPLES = 600
JUDGED = 1500
"""Networks that each seed is judged on, of those that were not sampled."""
MANY, FEW_SEEDS = 30, 5
"""Of more samples than that only random ones are looked at, and few seeds: they differ little."""
LEAST_SHARE = 0.1
"""Networks below this share of the median latency were folded away by the compiler: not counted in errors."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(slots=True)
class Table:
    """One space with its devices, and all that is worked out once."""

    space: str
    encodings: Encodings
    devices: dict[str, Floats]
    references: dict[str, Contents] = field(default_factory=dict)
    contents: dict[str, Contents] = field(default_factory=dict)
    designs: list[Floats] = field(default_factory=list)
    extras: dict[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        space = open_space(self.space)
        reference = candidate_rows(space, seed=REFERENCE_SEED, count=REFERENCE)
        for view in graph_views(space):
            both = view.contents(np.concatenate([reference, self.encodings]))
            self.references[view.name] = both.rows(np.arange(len(reference)))
            self.contents[view.name] = both.rows(np.arange(len(reference), len(both)))
        self.designs = design_of(list(self.contents.values()))

    def empty(self) -> NDArray[np.bool_]:
        """Architectures that a compiler may fold to nothing."""
        kernels = np.array([contents.times.sum(axis=1) for contents in self.contents.values()])
        found: NDArray[np.bool_] = (kernels < 0.1 * kernels.mean(axis=1, keepdims=True)).any(axis=0)
        return found

    def calibrate(
        self, rows: Ints, latency_s: Floats, sources: dict[str, Floats] | None = None
    ) -> CalibratedModel:
        """A model from these rows; sources are predictions of all rows over their mean."""
        graphs = {name: (self.references[name], self.contents[name].rows(rows)) for name in self.contents}
        helpers = [Source(model=_named(name), mean_s=1.0) for name in sources or {}]
        known = np.array([values[rows] for values in (sources or {}).values()]).T
        return calibrate_contents(
            graphs, latency_s, device="device", space=self.space, sources=helpers,
            source_columns=lambda _: known,
        )  # fmt: skip

    def predict(
        self, model: CalibratedModel, rows: Ints, sources: dict[str, Floats] | None = None
    ) -> tuple[Floats, Floats, Floats]:
        """Latency and its interval."""
        known = [values[rows] for values in sources.values()] if sources and model.sources else []
        columns = np.array(known).reshape(-1, len(rows)).T
        found = model.predict_contents(self.contents[model.graph].rows(rows), columns)
        return found.latency_s, found.low_s, found.high_s


@cache
def _named(name: str) -> CalibratedModel:
    """A stand-in: here sources are columns of numbers, only their names are asked for."""
    space = open_space("nasbench201")
    rows = space.sample(4, seed=0)
    contents = graph_views(space)[0].contents(rows)
    return calibrate_contents({"all": (contents, contents)}, np.ones(4), device=name, space=None)


def chip(device: str) -> str:
    """The chip that a column is of: its name without the batch size."""
    name, _, batch = device.rpartition("_")
    return name if batch.isdigit() and int(batch) <= 256 else device


def read(space: str) -> Table:
    """The table of a space, repeated rows left out."""
    import pandas as pd

    frame = pd.read_parquet(
        DATA / (f"{space}_latency_s.parquet" if space != "mnasnet" else "mnasnet_space_zcu102.parquet")
    )
    name = "ofa,width=1.2" if space == "ofa" else space
    texts: list[str]
    if space == "nasbench201":
        texts = frame["arch"].tolist()
    elif space == "fbnet":
        texts = [str(item) for item in frame["op_idx_list"]]
    elif space == "ofa":
        texts = [f"ks={row.ks};e={row.e};d={row.d};r={row.r}" for row in frame.itertuples()]
        texts = [text.replace("[", "").replace("]", "").replace(" ", "") for text in texts]
    else:
        parts = [
            [frame[f"block{block}_{part}"].tolist() for part in ("e", "k", "l", "se")] for block in range(7)
        ]
        texts = [
            " ".join(f"e{e[row]}k{k[row]}l{layers[row]}s{s[row]}" for e, k, layers, s in parts)
            for row in range(len(frame))
        ]
    encodings = open_space(name).parse_many(texts)
    _, first = np.unique(encodings, axis=0, return_index=True)
    first = np.sort(first)
    frame, encodings = frame.iloc[first], encodings[first]
    if space == "mnasnet":
        devices = {
            "zcu102": frame["zcu102_latency_s"].to_numpy(float),
            "a100": 1 / frame["a100_images_per_s"].to_numpy(float),
            "tpuv2": 1 / frame["tpuv2_images_per_s"].to_numpy(float),
        }
    else:
        skipped = {"index", "arch", "op_idx_list", "ks", "e", "d", "r"}
        devices = {key: frame[key].to_numpy(float) for key in frame.columns if key not in skipped}
    return Table(space=name, encodings=encodings, devices=devices)


def sample(table: Table, pool: Ints, count: int, seed: int, *, designed: bool) -> Ints:
    """Rows of the pool to time."""
    rng = np.random.default_rng(seed)
    if not designed:
        return rng.choice(pool, count, replace=False)
    usable = pool[~table.empty()[pool]]
    candidates = np.sort(rng.permutation(usable)[:CANDIDATES])
    return candidates[choose_rows([design[candidates] for design in table.designs], count)]


def figures(truth: Floats, predicted: tuple[Floats, Floats, Floats]) -> dict[str, float]:
    """Rank, error and coverage."""
    latency_s, low_s, high_s = predicted
    live = truth > LEAST_SHARE * np.median(truth)
    error = np.abs(latency_s[live] / truth[live] - 1)
    return {
        "spearman": spearman(truth, latency_s) or 0.0,
        "mape": float(error.mean()),
        "median_ape": float(np.median(error)),
        "coverage": float(((low_s <= truth) & (truth <= high_s)).mean()),
        "interval": float(np.median(high_s / low_s)),
    }


def spread(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation over seeds."""
    return {
        key: {
            "mean": round(float(np.mean([row[key] for row in rows])), 5),
            "sd": round(float(np.std([row[key] for row in rows])), 5),
        }
        for key in rows[0]
    }


def learned_sources(table: Table) -> dict[str, Floats]:
    """Each device as a source: predictions of all rows by a model of 300 of its rows, over their mean."""
    found = {}
    everything = np.arange(len(table.encodings))
    for name, latency_s in table.devices.items():
        known = np.flatnonzero(np.isfinite(latency_s))
        rows = np.random.default_rng(0).permutation(known)[:SOURCE_SAMPLES]
        predicted = table.predict(table.calibrate(rows, latency_s[rows]), everything)[0]
        found[name] = predicted / predicted.mean()
    return found


def beside(table: Table, latency_s: Floats) -> dict[str, float]:
    """What multiply-accumulates alone, an oracle, and copies of the same kernels reach."""
    known = np.flatnonzero(np.isfinite(latency_s))
    rng = np.random.default_rng(1)
    rows = rng.permutation(known)
    first, others = rows[:ORACLE_SAMPLES], rows[ORACLE_SAMPLES:][:JUDGED]
    if len(others) < 300:
        first, others = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    contents = next(iter(table.contents.values()))
    macs = contents.counts[:, [place for place, name in enumerate(COUNTS) if name.endswith("_macs")]].sum(
        axis=1
    )
    oracle = figures(latency_s[others], table.predict(table.calibrate(first, latency_s[first]), others))
    found = {
        "macs_spearman": spearman(latency_s[known], macs[known]) or 0.0,
        "oracle_spearman": oracle["spearman"],
        "oracle_mape": oracle["mape"],
    }
    if table.space == "nasbench201":
        _, group = np.unique(np.sort(table.encodings, axis=1), axis=0, return_inverse=True)
        means = np.exp(np.bincount(group.ravel(), np.log(latency_s)) / np.bincount(group.ravel()))
        found["same_operations_spearman"] = spearman(latency_s, means[group.ravel()]) or 0.0
    return {key: round(value, 5) for key, value in found.items()}


def trimmed(latency_s: Floats, rows: Ints) -> Ints:
    """Rows without the slowest and the fastest tenth."""
    low, high = np.quantile(latency_s[rows], [0.1, 0.9])
    kept: Ints = rows[(latency_s[rows] >= low) & (latency_s[rows] <= high)]
    return kept


def all_architectures(
    table: Table, counts: tuple[int, ...], seeds: int, sources: dict[str, Floats]
) -> dict[str, Any]:
    """The protocol of NASFLAT for every device."""
    every = np.arange(len(table.encodings))
    rows_of = {
        (count, seed, designed): sample(table, every, count, seed, designed=designed)
        for count in counts
        for seed in range(seeds if count <= MANY else FEW_SEEDS)
        for designed in ((True, False) if count <= MANY else (False,))
    }
    judged = {
        seed: np.random.default_rng(1000 + seed).permutation(every)[:JUDGED]
        for seed in range(max(seeds, FEW_SEEDS))
    }
    result: dict[str, Any] = {}
    for name, latency_s in table.devices.items():
        known = np.isfinite(latency_s)
        others = {key: values for key, values in sources.items() if chip(key) != chip(name)}
        entry: dict[str, Any] = {}
        for count in counts:
            for key in ("designed", "random", "designed with sources"):
                helpers = others if "sources" in key else None
                if ("sources" in key and not others) or (count > MANY and key != "random"):
                    continue
                found = []
                for seed in range(seeds if count <= MANY else FEW_SEEDS):
                    rows = rows_of[count, seed, key != "random"]
                    rows = rows[known[rows]]
                    test = judged[seed][known[judged[seed]]]
                    test = test[~np.isin(test, rows)]
                    model = table.calibrate(rows, latency_s[rows], helpers)
                    found.append(figures(latency_s[test], table.predict(model, test, helpers)))
                entry[f"{count} {key}"] = spread(found)
        result[name] = {**beside(table, latency_s), **entry}
        show(table.space, name, result[name])
    return result


def help_protocol(table: Table, seeds: int, sources: dict[str, Floats]) -> dict[str, Any]:
    """The protocol of HELP for every device: ten random samples of a trimmed pool."""
    result = {}
    for name, latency_s in table.devices.items():
        pool, test = trimmed(latency_s, np.arange(900)), trimmed(latency_s, np.arange(900, 1900))
        others = {key: values for key, values in sources.items() if chip(key) != chip(name)}
        entry = {}
        for key, helpers in (("10 random", None), ("10 random with sources", others)):
            found = []
            for seed in range(seeds):
                rows = sample(table, pool, 10, seed, designed=False)
                model = table.calibrate(rows, latency_s[rows], helpers)
                found.append(figures(latency_s[test], table.predict(model, test, helpers)))
            entry[key] = spread(found)
        result[name] = entry
    return result


def published_tasks(
    table: Table, seeds: int, sources: dict[str, Floats], known_rows: dict[str, Any]
) -> dict[str, Any]:
    """The published tasks: ten and twenty random samples, by themselves and with the task's sources."""
    every = np.arange(len(table.encodings))
    result: dict[str, Any] = {}
    for task, (given, tested) in TASKS.get(table.space.partition(",")[0], {}).items():
        helpers = {key: values for key, values in sources.items() if key in given}
        entry: dict[str, Any] = {"sources": sorted(helpers), "devices": {}}
        for name in tested:
            latency_s, known = table.devices[name], np.isfinite(table.devices[name])
            rows_of: dict[str, Any] = {}
            for count in (10, 20):
                rows_of[f"{count} random"] = known_rows[name][f"{count} random"]
                found = []
                for seed in range(seeds):
                    rows = sample(table, every, count, seed, designed=False)
                    rows = rows[known[rows]]
                    test = np.random.default_rng(1000 + seed).permutation(every)[:JUDGED]
                    test = test[known[test] & ~np.isin(test, rows)]
                    model = table.calibrate(rows, latency_s[rows], helpers)
                    found.append(figures(latency_s[test], table.predict(model, test, helpers)))
                rows_of[f"{count} random with sources"] = spread(found)
            entry["devices"][name] = rows_of
        keys = list(next(iter(entry["devices"].values())))
        entry["mean"] = {
            key: {
                figure: mean_of(entry["devices"], key, figure, list(tested))
                for figure in ("spearman", "mape")
            }
            for key in keys
        }
        result[task] = entry
        print(table.space, task, entry["mean"], flush=True)
    return result


def show(space: str, name: str, entry: dict[str, Any]) -> None:
    """One line a device."""
    parts = []
    for key, value in entry.items():
        if isinstance(value, dict):
            rank, error, coverage = (value[figure]["mean"] for figure in ("spearman", "mape", "coverage"))
            parts.append(f"{key} {rank:.3f} {error:.1%} cover {coverage:.0%}")
    print(f"{space:12} {name:15} oracle {entry['oracle_spearman']:.3f} | " + " | ".join(parts), flush=True)


def mean_of(devices: dict[str, Any], key: str, figure: str, names: list[str]) -> float:
    """Mean over devices of the mean over seeds."""
    return round(float(np.mean([devices[name][key][figure]["mean"] for name in names])), 5)


def summary(space: str, devices: dict[str, Any]) -> dict[str, Any]:
    """Means over devices, of all and of those whose clock is finer than a millisecond; formulas left out."""
    honest = [name for name in devices if (space, name) not in FORMULAS]
    fine = [name for name in honest if name not in WHOLE_MILLISECONDS]
    keys = [key for key, value in next(iter(devices.values())).items() if isinstance(value, dict)]
    result: dict[str, Any] = {}
    for title, names in (("all", honest), ("clock finer than 1 ms", fine)):
        entry: dict[str, Any] = {"devices": names}
        for figure in ("oracle_spearman", "macs_spearman"):
            entry[figure] = round(float(np.mean([devices[name][figure] for name in names])), 5)
        for key in keys:
            entry[key] = {
                figure: mean_of(devices, key, figure, names) for figure in ("spearman", "mape", "coverage")
            }
        result[title] = entry
    return result


def draw(result: dict[str, Any], path: Path) -> None:
    """Rank and error of every device at ten and twenty designed samples, beside the oracle."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    spaces = list(result)
    figure, axes = plt.subplots(2, len(spaces), figsize=(4.2 * len(spaces), 8), squeeze=False)
    for column, space in enumerate(spaces):
        devices = result[space]["devices"]
        names = sorted(devices, key=lambda name: -devices[name]["oracle_spearman"])
        place = np.arange(len(names))
        for row, (key, title) in enumerate((("spearman", "Spearman"), ("mape", "MAPE, %"))):
            axis, factor = axes[row][column], 100.0 if key == "mape" else 1.0
            for shift, samples, colour in ((-0.2, "10 designed", "#d08a3c"), (0.0, "20 designed", "#2f6f9f")):
                values = [devices[name][samples][key] for name in names]
                axis.errorbar([item["mean"] * factor for item in values], place + shift,
                              xerr=[item["sd"] * factor for item in values], fmt="o", ms=4,
                              color=colour, label=samples)  # fmt: skip
            axis.plot([devices[name][f"oracle_{key}"] * factor for name in names], place + 0.2, "|", ms=9,
                      color="black", label="600 samples")  # fmt: skip
            if key == "spearman":
                axis.plot([devices[name]["macs_spearman"] for name in names], place + 0.2, "x", ms=4,
                          color="#999999", label="MACs alone")  # fmt: skip
            marks = [f"{name} *" if (space, name) in FORMULAS else name for name in names]
            axis.set_yticks(place, marks, fontsize=8)
            axis.invert_yaxis()
            axis.set_xlabel(title)
            axis.grid(axis="x", alpha=0.3)
            if row == 0:
                axis.set_title(space)
    axes[0][0].legend(fontsize=8, loc="lower left")
    figure.suptitle(
        "Real devices from ten and twenty latencies: mean and deviation over seeds; * a sum of block times"
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def kept() -> dict[str, Any]:
    """What is recorded of all spaces."""
    recorded = json.loads((RESULTS / "few_measurements.json").read_text(encoding="utf-8"))
    own = {"seeds": recorded["seeds"], "commit": recorded["provenance"]["commit"]}
    return {space: {**own, **entry} for space, entry in recorded["spaces"].items()}


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--space", action="append", choices=SPACES)
    parser.add_argument("--no-sources", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep other spaces of the recorded result")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"{DATA}: no such folder, expected the tables of recorded latencies")
    start = time.perf_counter()
    result: dict[str, Any] = kept() if arguments.keep else {}
    for space in arguments.space or SPACES:
        table = read(space)
        sources = {} if arguments.no_sources else learned_sources(table)
        counts = (10, 20, 300) if space == "mnasnet" else (10, 20)
        devices = all_architectures(table, counts, arguments.seeds, sources)
        result[space] = {"seeds": arguments.seeds, "commit": COMMIT, "devices": devices}
        result[space]["summary"] = summary(space, devices)
        if space in ("nasbench201", "fbnet"):
            result[space]["help_protocol"] = help_protocol(table, arguments.seeds, sources)
        if space in TASKS:
            result[space]["tasks"] = published_tasks(table, arguments.seeds, sources, devices)
        print(space, result[space]["summary"], round(time.perf_counter() - start), "s", flush=True)
        document = {
            "seeds": arguments.seeds,
            "formulas": ["/".join(item) for item in sorted(FORMULAS)],
            "seconds": round(time.perf_counter() - start, 1),
            "spaces": result,
        }
        print(record("few_measurements", document, seed=0), flush=True)
    draw(result, RESULTS / "few_measurements.png")


if __name__ == "__main__":
    main()
