"""The summary of a campaign: what was planned and measured, how steady it was, and what failed."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from annette.measurement import Measurement
    from annette.store.reader import CampaignReader
    from annette.store.records import Task

__all__ = ["summarise_campaign"]

_RUNS_FOR_SPREAD = 2


def summarise_campaign(store: CampaignReader) -> dict[str, Any]:
    """The document behind the report of a campaign; visits of a network are combined by their least time.

    Parameters
    ----------
    store : CampaignReader
        An open store, finished or not.

    Raises
    ------
    StoreError
        If a row is damaged.
    """
    device = store.device
    networks, drift, kernels = [], [], Counter[tuple[str, str]]()
    seconds: dict[tuple[str, str], list[float]] = {}
    counts = store.visit_counts()
    for task, visits in store.visits():
        good = [visit for visit in visits if visit.error is None]
        for visit in good:
            drift += _circumstances(visit)
        if not good:
            continue
        networks.append(_network(task, good, counts[task.id]))
        for item in good[0].kernels or ():
            key = _family(task, item.kernel.primary), item.kernel.unit
            kernels[key] += 1
            seconds.setdefault(key, []).append(item.latency_s)
    return {
        "schema_version": 1,
        "kind": "campaign",
        "plan": {"name": store.plan.name, "seed": store.plan.seed, "hash": store.plan.hash},
        "device": {
            "name": device.name,
            "backend": device.backend,
            "description": device.description,
            "environment": dict(device.environment),
        },
        "provenance": dict(store.provenance),
        **_progress(store),
        "networks": networks,
        "drift": sorted(drift),
        "kernels": [
            {
                "family": family,
                "unit": unit,
                "kernels": count,
                "median_s": statistics.median(seconds[family, unit]),
                "least_s": min(seconds[family, unit]),
                "most_s": max(seconds[family, unit]),
            }
            for (family, unit), count in sorted(kernels.items(), key=lambda entry: (-entry[1], entry[0]))
        ],
    }


def _progress(store: CampaignReader) -> dict[str, Any]:
    """How far it is, what failed, and how steady the machine was."""
    summary, noise = store.summary(), store.noise()
    return {
        "counts": {
            "planned": summary.planned,
            "measured": summary.measured,
            "started": summary.started,
            "failed": summary.failed,
            "pending": summary.pending,
            "visits": summary.visits,
            "visits_per_task": summary.visits_per_task,
        },
        "categories": dict(summary.categories),
        "failures": [{"error": reason, "networks": count} for reason, count in summary.failures],
        "noise": {
            "reference_s": noise.reference_s,
            "drift_fraction": noise.drift_fraction,
            "load_fraction": noise.load_fraction,
            "peak_load_fraction": noise.peak_load_fraction,
        },
    }


def _network(task: Task, visits: Sequence[Measurement], count: int) -> dict[str, Any]:
    latencies = [visit.latency_s for visit in visits]
    runs = visits[0].values_s or ()
    spread = next((visit.spread_fraction for visit in visits if visit.spread_fraction is not None), None)
    if len(latencies) > 1 and min(latencies) > 0:
        spread = (statistics.median(latencies) - min(latencies)) / min(latencies)
    middle = statistics.median(runs)
    return {
        "name": task.network.name,
        "category": task.category,
        "kind": _kind(task),
        "latency_s": min(latencies),
        "visits": count,
        "spread_fraction": spread,
        "runs": len(runs),
        "run_spread_fraction": (max(runs) - min(runs)) / middle
        if len(runs) >= _RUNS_FOR_SPREAD and middle > 0
        else None,
        "kernels": None if visits[0].kernels is None else len(visits[0].kernels),
    }


def _kind(task: Task) -> str:
    """What the plan calls networks of this sort: the group without its category and number."""
    parts = [part for part in task.group.removeprefix(f"{task.category}/").split("/") if not part.isdigit()]
    return "/".join(parts) or task.category


def _family(task: Task, primary: str) -> str:
    if not primary:
        return "move"
    layer = task.network.layer(primary)
    return task.network.kinds.of(layer).family(task.network, layer)


def _circumstances(visit: Measurement) -> list[tuple[float, float]]:
    """When the visit was, and how long the reference network took then; nothing where not known."""
    started_s, reference_s = visit.conditions.get("started_s"), visit.conditions.get("reference_s")
    return [] if started_s is None or reference_s is None else [(started_s, reference_s)]
