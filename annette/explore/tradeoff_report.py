"""What a trade-off study says: one document for tables, pages and machines, and its points as CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from annette.explore.array_choice import ArrayChoice, ArrayPreferences, array_preferences
from annette.explore.tradeoff import (
    COSTS,
    TradeoffPoint,
    TradeoffStudy,
    accuracy_front,
    best_networks,
    summarise_devices,
)
from annette.units import format_joules, format_seconds

__all__ = ["FRONT_COLUMNS", "ArrayStudy", "front_rows", "points_csv", "tradeoff_document"]

FRONT_COLUMNS = ("network", "accelerator", "top-1", "latency", "energy", "EDP")
"""Titles of the columns of `front_rows`."""

_FIELDS = ("shape", "dataflow", "split")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayStudy:
    """All networks on all arrays of one budget."""

    macs: int
    """Cells of each array."""
    buffer_bytes: int
    """Of its three buffers together."""
    choices: tuple[ArrayChoice, ...]
    study: TradeoffStudy

    def preferences(self) -> tuple[ArrayPreferences, ...]:
        """By every cost.

        Raises
        ------
        UsageError
            If no network runs on every array.
        """
        return tuple(array_preferences(self.study.points, self.choices, cost) for cost in COSTS)


def front_rows(front: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A front of the document for people, a row a point."""
    return [
        (
            item["network"],
            item["device"],
            f"{100 * item['top1_fraction']:.1f} %",
            format_seconds(item["latency_s"]),
            format_joules(item["energy_j"]),
            f"{item['edp_js']:.2e} Js",
        )
        for item in front
    ]


def tradeoff_document(study: TradeoffStudy, arrays: ArrayStudy | None = None) -> dict[str, Any]:
    """Fronts, accelerators, the best network of each, and what arrays the networks prefer; in SI units.

    Plain values, ready for JSON.
    """
    best = {cost: best_networks(study.points, cost) for cost in COSTS}
    fronts = {cost: accuracy_front(study.points, cost) for cost in COSTS}
    own_fronts = {
        device: accuracy_front((item for item in study.points if item.device == device), "EDP")
        for device in study.devices
    }
    on_fronts = Counter(point.network for front in own_fronts.values() for point in front)
    document: dict[str, Any] = {
        "networks": len(study.networks),
        "networks_with_accuracy": len({item.network for item in study.points if item.top1_fraction}),
        "accelerators": [
            {
                **asdict(row),
                "best_network": {
                    cost: None if row.device not in found else _best(found[row.device])
                    for cost, found in best.items()
                },
            }
            for row in summarise_devices(study.points)
        ],
        "fronts": {cost: [_place(point) for point in front] for cost, front in fronts.items()},
        "on_fronts_of_accelerators": [
            {"network": network, "accelerators": count, "of": len(study.devices)}
            for network, count in on_fronts.most_common()
        ],
        "failures": [asdict(failure) for failure in study.failures],
    }
    if arrays is not None:
        document["arrays"] = _arrays(arrays)
    return document


def _best(found: tuple[str, int, int]) -> dict[str, Any]:
    network, dominates, others = found
    return {"network": network, "dominates": dominates, "of": others}


def _place(point: TradeoffPoint) -> dict[str, Any]:
    return {
        "network": point.network,
        "device": point.device,
        "top1_fraction": point.top1_fraction,
        "latency_s": point.latency_s,
        "energy_j": point.energy_j,
        "edp_js": point.edp_js,
    }


def _arrays(arrays: ArrayStudy) -> dict[str, Any]:
    found = {}
    for item in arrays.preferences():
        found[item.cost] = {
            "common": _choice(item.common),
            "common_loss": item.common_loss,
            "preferred": {field: item.counts(field) for field in _FIELDS},
            "networks": [
                {"network": name, **_choice(choice), "loss_of_common": loss}
                for name, choice, loss in item.best
            ],
        }
    return {
        "macs": arrays.macs,
        "buffer_bytes": arrays.buffer_bytes,
        "choices": len(arrays.choices),
        "by_cost": found,
    }


def _choice(choice: ArrayChoice) -> dict[str, str]:
    return {field: getattr(choice, field) for field in _FIELDS}


def points_csv(points: Sequence[TradeoffPoint]) -> str:
    """A line a pair, with units in the names of the columns; unknown values are empty.

    ``front_...`` is 1 where no other pair is as accurate at no more of that cost.
    """
    fronts: Mapping[str, set[tuple[str, str]]] = {
        cost: {(item.network, item.device) for item in accuracy_front(points, cost)} for cost in COSTS
    }
    parts = [name for name, _ in points[0].energy_parts_j] if points else []
    columns = ("network", "device", "top1_fraction", "latency_s", "energy_j", "edp_js", "area_mm2")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*columns, *parts, *(f"front_{cost.lower()}" for cost in COSTS)))
    for point in points:
        values = [getattr(point, name) for name in columns]
        own = (point.network, point.device)
        writer.writerow(
            (
                *("" if value is None else value for value in values),
                *(joules for _, joules in point.energy_parts_j),
                *(int(own in front) for front in fronts.values()),
            )
        )
    return file.getvalue()
