"""Where the errors of a platform come from on real networks: mapping, families, beyond kernels, drift.

    python benchmarks/studies/error_sources.py

Diagnoses every network that data/real-cpu recorded for evaluation, with the campaign beside it for the drift,
as `annette diagnose --device replay:...` does. Nothing is chosen by the result: it says where to look. Writes
benchmarks/results/error_sources.json.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from provenance import record

import annette
from annette.errors import AnnetteError
from annette.evaluation.diagnosis import Diagnosis, diagnose
from annette.evaluation.drift import reference_drift
from annette.store.campaign import CampaignStore

FOLDER = Path(__file__).resolve().parents[2] / "data" / "real-cpu"
PLATFORM = "onnxruntime-epyc"


def row_of(found: Diagnosis, group: str) -> dict[str, Any]:
    """One network: its error and its parts, as fractions of the measured latency."""
    return {
        "name": found.estimate.network,
        "group": group,
        "error_fraction": found.error_fraction,
        "parts": {part.name: part.fraction for part in found.parts},
        "exact_kernels": found.exact_kernels,
        "kernels": len(found.measurement.kernels or ()),
    }


def summary_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over networks: of the error, of each part with and without its sign, and how often it leads."""
    signed: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, fraction in row["parts"].items():
            signed[name].append(fraction)
    leads = [max(row["parts"], key=lambda name: abs(row["parts"][name])) for row in rows]
    parts = {
        name: {
            "mean_absolute": sum(map(abs, values)) / len(rows),
            "mean": sum(values) / len(rows),
            "networks": len(values),
            "leads": leads.count(name),
        }
        for name, values in signed.items()
    }
    return {
        "networks": len(rows),
        "mape": statistics.fmean(abs(row["error_fraction"]) for row in rows),
        "absolute_parts": statistics.fmean(sum(map(abs, row["parts"].values())) for row in rows),
        "parts": dict(sorted(parts.items(), key=lambda item: -item[1]["mean_absolute"])),
    }


def main() -> None:
    """Diagnose, print the means, and keep them."""
    platform = annette.load(PLATFORM)
    with CampaignStore.open(FOLDER / "campaign.parquet") as store:
        then_s = store.reference_s
    rows, failed = [], []
    with CampaignStore.open(FOLDER / "evaluation.parquet") as store:
        for item in store.records():
            network, measurement = item.task.network, item.measurement
            now_s = measurement.conditions.get("reference_s")
            drift = reference_drift(then_s, now_s) if then_s and now_s else None
            try:
                found = diagnose(network, platform, measurement, drift=drift)
            except AnnetteError as err:
                failed.append({"name": network.name, "error": measurement.error or str(err)})
            else:
                rows.append(row_of(found, item.task.group))
    groups = {group: summary_of([row for row in rows if row["group"] == group]) for group in _groups(rows)}
    for name, group in groups.items():
        print(f"{name}: {group['networks']} networks, MAPE {group['mape']:.2%}")
        for part, values in list(group["parts"].items())[:8]:
            sizes = f"{values['mean_absolute']:6.2%}  mean {values['mean']:+6.2%}"
            print(f"  {part:20} {sizes}  leads {values['leads']}")
    result = {"platform": PLATFORM, "groups": groups, "networks": rows, "failed": failed}
    print(f"written to {record('error_sources', result, seed=0)}")


def _groups(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["group"] for row in rows))


if __name__ == "__main__":
    main()
