"""Networks on accelerators in latency, energy, area and accuracy: the study of `annette explore tradeoff`.

    python benchmarks/studies/tradeoff.py [--jobs 2]

Both suites on every preset with a table of energies, and on all shapes, dataflows and splits of the buffers
of systolic arrays of 1024 cells. Writes benchmarks/results/tradeoff.json (fronts, accelerators, preferences)
and a picture of the fronts beside it. Where the energy of a preset goes is given as shares over all networks.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

from provenance import RESULTS, record

from annette.explore.array_choice import list_arrays
from annette.explore.imagenet import published_accuracies
from annette.explore.tradeoff import Subject, TradeoffStudy, study_tradeoff
from annette.explore.tradeoff_plot import draw_tradeoff
from annette.explore.tradeoff_report import ArrayStudy, tradeoff_document
from annette.hardware.codec import list_accelerators, load_accelerator
from annette.zoo.suites import suite_networks

SUITES = ("classic12", "modern12")
MACS, BUFFER_BYTES = 1024, 1536 * 1024
DIGITS = 5


def subjects() -> list[Subject]:
    accuracies = {name: item.top1_fraction for name, item in published_accuracies().items()}
    return [
        Subject(name=network.name, network=network, top1_fraction=accuracies.get(network.name))
        for suite in SUITES
        for network in suite_networks(suite)
    ]


def energy_shares(study: TradeoffStudy) -> dict[str, dict[str, float]]:
    """Mean share of each part over the networks, by accelerator."""
    shares: dict[str, dict[str, float]] = {}
    for device in study.devices:
        own = [point for point in study.points if point.device == device]
        names = [name for name, _ in own[0].energy_parts_j]
        shares[device] = {
            name.removesuffix("_j"): sum(dict(item.energy_parts_j)[name] / item.energy_j for item in own)
            / len(own)
            for name in names
        }
    return shares


def rounded(value: Any) -> Any:
    """Numbers to `DIGITS` significant digits, wherever they stand."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.{DIGITS}g}")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    jobs = parser.parse_args().jobs
    presets = [load_accelerator(name) for name, _ in list_accelerators()]
    known = [preset for preset in presets if preset.energy is not None]
    started_s = time.perf_counter()
    study = study_tradeoff(subjects(), known, jobs=jobs)
    study_s = time.perf_counter() - started_s
    choices = list_arrays(MACS, BUFFER_BYTES)
    found = study_tradeoff(subjects(), [choice.accelerator for choice in choices], jobs=jobs)
    arrays_s = time.perf_counter() - started_s - study_s
    arrays = ArrayStudy(macs=MACS, buffer_bytes=BUFFER_BYTES, choices=choices, study=found)
    document = {
        "suites": list(SUITES),
        "jobs": jobs,
        "seconds": {"pairs": study_s, "arrays": arrays_s},
        "pairs": {"run": len(study.points), "failed": len(study.failures)},
        **tradeoff_document(study, arrays),
        "energy_shares": energy_shares(study),
    }
    draw_tradeoff(study.points, RESULTS / "tradeoff.png")
    print(record("tradeoff", rounded(document), seed=None))


if __name__ == "__main__":
    main()
