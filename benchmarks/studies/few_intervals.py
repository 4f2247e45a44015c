"""How wide intervals of few latencies must be: fitted on HELP's source devices, judged on chips not seen.

    python benchmarks/studies/few_intervals.py [--seeds 8]

The half width of a calibrated model of few samples is level * held_out ** a * fitted ** b * count ** c (times
how far out a network lies): held_out is the median error of samples left out, fitted the error of the samples
themselves. Level and powers are fitted here, by ridge regression of the logarithm of the 90 % quantile of the
true errors, one row a device and sort of sample, every space with the same weight; the level is then raised
by a margin, since the two sizes differ from sample to sample. The package has these numbers as they are
written down here (tests/calibration/test_intervals.py).

Rows and margin are those of the source devices of HELP's tasks alone: its test devices, and all of the
MnasNet space, are in no fit. Source devices are judged with their chip left out of the fit in turn, with all
its columns in all spaces. Needs the shared data; writes benchmarks/results/few_intervals.json.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from few_measurements import SPACES, TASKS, Floats, Ints, Table, chip, read, sample
from provenance import record

from annette.calibration.intervals import fit_interval, fitted_size, held_out_size
from annette.calibration.member import fit_member, population_of
from annette.calibration.terms import terms_of
from annette.calibration.validation import held_out_log_errors, typical_error

SAMPLES = (5, 7, 10, 14)
JUDGED = 500
RIDGE = 0.05
MARGINS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
"""Of the logarithm of the level: the least with which nine in ten source columns, left out with their chip,
have `ENOUGH` covered at ten samples, designed and random ones."""
ENOUGH = 0.85
SOURCES = {
    space: TASKS[space][task][0]
    for space, task in (("nasbench201", "HELP, validation"), ("fbnet", "FD, HELP"), ("ofa", "HELP"))
}


@dataclass(frozen=True, slots=True)
class Run:
    """One calibration."""

    space: str
    device: str
    designed: bool
    count: int
    sizes: tuple[float, float, float]
    """Logarithms of `held_out_size`, of `fitted_size` and of the number of samples."""
    errors: Floats
    """Absolute log errors of other networks over how far out each lies, shape (n,)."""

    @property
    def is_source(self) -> bool:
        """Whether numbers may be fitted to it."""
        return self.device in SOURCES.get(self.space.partition(",")[0], ())


def one_run(table: Table, device: str, sampled: Ints, seed: int, designed: bool) -> Run:
    """Calibrate by one sample and judge the model by other networks."""
    every = np.arange(len(table.encodings))
    latency_s, known = table.devices[device], np.isfinite(table.devices[device])
    rows = sampled[known[sampled]]
    test = np.random.default_rng(1000 + seed).permutation(every)[:JUDGED]
    test = test[known[test] & ~np.isin(test, rows)]
    found = {}
    for name, contents in table.contents.items():
        terms = terms_of(table.references[name])
        samples = population_of(contents.rows(rows).used(), terms)
        found[name] = terms, samples, held_out_log_errors(samples, latency_s[rows])
    graph = min(found, key=lambda name: typical_error(found[name][2]))
    terms, samples, held_out = found[graph]
    member = fit_member(samples, latency_s[rows])
    fitted = np.log(member.predict_s(samples) / latency_s[rows])
    others = population_of(table.contents[graph].rows(test), terms)
    predicted_s = member.predict_s(others)
    interval = fit_interval(samples.columns, latency_s[rows], held_out, fitted)
    outness = interval.log_half_width(others.columns, predicted_s) / interval.quantile
    sizes = [float(np.log(size)) for size in (held_out_size(held_out), fitted_size(fitted), len(rows))]
    return Run(
        table.space,
        device,
        designed,
        len(rows),
        (sizes[0], sizes[1], sizes[2]),
        np.abs(np.log(predicted_s / latency_s[test])) / outness,
    )


def fit(runs: list[Run]) -> Floats:
    """Logarithm of the level, without a margin, and the three powers."""
    keys = sorted({_key(run) for run in runs})
    groups = [[run for run in runs if _key(run) == key] for key in keys]
    sizes = np.array([np.mean([run.sizes for run in group], axis=0) for group in groups])
    wanted = np.array([np.mean([np.log(np.quantile(run.errors, 0.9)) for run in group]) for group in groups])
    spaces = [key[0] for key in keys]
    weight = np.array([2 / np.sqrt(spaces.count(space)) for space in spaces])
    centre = sizes.mean(axis=0)
    design = np.column_stack([np.ones(len(sizes)), sizes - centre]) * weight[:, None]
    penalty = RIDGE * np.diag([0.0, 1.0, 1.0, 1.0])
    found = np.linalg.solve(design.T @ design + penalty, design.T @ (wanted * weight))
    return np.array([found[0] - centre @ found[1:], *found[1:]])


def _key(run: Run) -> tuple[str, str, bool, int]:
    return run.space, run.device, run.designed, run.count


def coverage(runs: list[Run], numbers: Floats) -> float:
    """Mean share of networks within the interval."""
    widths = [np.exp(numbers[0] + np.dot(run.sizes, numbers[1:])) for run in runs]
    return float(np.mean([(run.errors <= width).mean() for run, width in zip(runs, widths, strict=True)]))


def judge(runs: list[Run], margin: float) -> dict[str, dict[str, Any]]:
    """Coverage by column and sort of sample, of numbers that did not see the column's chip."""
    devices: dict[str, dict[str, Any]] = {}
    for left_out in sorted({chip(run.device) for run in runs}):
        numbers = fit([run for run in runs if run.is_source and chip(run.device) != left_out])
        numbers[0] += margin
        for key in sorted({(run.space, run.device) for run in runs if chip(run.device) == left_out}):
            entry: dict[str, Any] = {}
            for count, designed in itertools.product(SAMPLES, (True, False)):
                own = [run for run in runs if _key(run) == (*key, designed, count)]
                entry[f"{count} {'designed' if designed else 'random'}"] = round(coverage(own, numbers), 4)
            devices["/".join(key)] = {"is_source": own[0].is_source, **entry}
    return devices


def summarize(devices: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How many columns have about what they should have, by sort of sample."""
    summary = {}
    for title in [title for title in devices[0] if title != "is_source"]:
        values = np.array([entry[title] for entry in devices])
        summary[title] = {
            "devices": len(values),
            "at least 85 %": int((values >= ENOUGH).sum()),
            "85 to 97 %": int(((values >= ENOUGH) & (values <= 0.97)).sum()),
            "least": float(values.min()),
            "mean": round(float(values.mean()), 4),
        }
    return summary


def choose_margin(runs: list[Run]) -> tuple[float, dict[str, dict[str, Any]]]:
    """The margin, and what each one gives on source devices."""
    found = {}
    for margin in MARGINS:
        summary = summarize(list(judge(runs, margin).values()))
        found[margin] = {title: summary[title] for title in ("10 designed", "10 random")}
    enough = [
        margin
        for margin, titles in found.items()
        if all(figures["at least 85 %"] >= 0.9 * figures["devices"] for figures in titles.values())
    ]
    return min(enough, default=MARGINS[-1]), {str(margin): titles for margin, titles in found.items()}


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    arguments = parser.parse_args()
    runs = []
    for space in SPACES:
        table = read(space)
        every = np.arange(len(table.encodings))
        for count, designed in itertools.product(SAMPLES, (True, False)):
            for seed in range(arguments.seeds):
                rows = sample(table, every, count, seed, designed=designed)
                runs += [one_run(table, device, rows, seed, designed) for device in table.devices]
    margin, margins = choose_margin([run for run in runs if run.is_source])
    fitted = fit([run for run in runs if run.is_source])
    fitted[0] += margin
    devices = judge(runs, margin)
    for name, entry in devices.items():
        print(name, entry)
    entries = list(devices.values())
    summary = {
        "all": summarize(entries),
        "source devices, each chip left out": summarize([item for item in entries if item["is_source"]]),
        "test devices": summarize([item for item in entries if not item["is_source"]]),
    }
    for group, titles in summary.items():
        for title, figures in titles.items():
            print(group, title, figures)
    print(margin, np.exp(fitted[0]), fitted[1:])
    document = {
        "seeds": arguments.seeds,
        "samples": list(SAMPLES),
        "fitted": {"level": round(float(np.exp(fitted[0])), 2), "powers": fitted[1:].round(2).tolist()},
        "margin": margin,
        "margins": margins,
        "summary": summary,
        "coverage": devices,
    }
    print(record("few_intervals", document, seed=0))


if __name__ == "__main__":
    main()
