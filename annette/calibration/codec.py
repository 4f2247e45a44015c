"""Reads and writes calibrated models: a folder with one JSON file, readable in ten years and safe to open."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.calibration.calibrated import CalibratedModel, Source
from annette.calibration.features import AMOUNTS, COUNTS, GROUPS, TRAITS, KernelKinds
from annette.calibration.graphs import GRAPHS
from annette.calibration.intervals import Interval
from annette.calibration.member import Member
from annette.calibration.prior import Prior
from annette.calibration.residual import Residual
from annette.calibration.terms import FIXED, Terms
from annette.errors import StoreError

__all__ = [
    "SCHEMA_VERSION",
    "from_document",
    "is_calibrated",
    "load_calibrated",
    "save_calibrated",
    "to_document",
]

SCHEMA_VERSION = 1
_FILE = "calibrated.json"


def is_calibrated(folder: str | PathLike[str]) -> bool:
    """Whether the folder holds a calibrated model."""
    return (Path(folder) / _FILE).is_file()


def save_calibrated(model: CalibratedModel, folder: str | PathLike[str]) -> None:
    """Write the model into a folder, which is made where it is missing.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    path = Path(folder)
    document = {"schema_version": SCHEMA_VERSION, **to_document(model)}
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / _FILE).write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as err:
        raise StoreError(f"{path}: cannot be written: {err.strerror or err}") from err


def load_calibrated(folder: str | PathLike[str]) -> CalibratedModel:
    """The model in a folder.

    Raises
    ------
    StoreError
        If there is none, it is damaged, or of another schema version.
    """
    path = Path(folder) / _FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file, expected a model written by annette calibrate -o") from None
    except (OSError, ValueError, RecursionError) as err:
        raise StoreError(f"{path}: cannot be read as JSON, expected what annette calibrate wrote") from err
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        found = document.get("schema_version") if isinstance(document, dict) else type(document).__name__
        raise StoreError(f"{path}: schema_version {found!r}, expected {SCHEMA_VERSION}; calibrate again")
    try:
        return from_document(document)
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as err:
        if isinstance(err, StoreError):
            raise StoreError(f"{path}: {err}") from err
        raise StoreError(f"{path}: damaged ({type(err).__name__}: {err}); calibrate again") from err


def to_document(model: CalibratedModel) -> dict[str, Any]:
    """The model as JSON types; seconds everywhere."""
    return {
        "device": model.device,
        "space": model.space,
        "graph": model.graph,
        "samples": model.samples,
        "held_out_error": model.held_out_error,
        "notes": list(model.notes),
        "terms": {"names": list(model.terms.names), "means": model.terms.means.tolist()},
        "members": [
            {
                "weight": weight,
                "costs_s": member.costs.tolist(),
                "source_costs_s": member.source_costs.tolist(),
                "kind_costs_s": member.kind_costs.tolist(),
                "residual": _residual_document(member.residual),
            }
            for member, weight in zip(model.members, model.weights, strict=True)
        ],
        "interval": {
            "quantile": model.interval.quantile,
            "unit_s": model.interval.unit_s,
            "spread": model.interval.spread.tolist(),
        },
        "sources": [_source_document(item) for item in model.sources],
    }


def from_document(document: Mapping[str, Any]) -> CalibratedModel:
    """The model that `to_document` made this of.

    Raises
    ------
    StoreError
        If the parts do not fit each other.
    KeyError, TypeError, ValueError
        If a part is missing or of another kind.
    """
    names = tuple(document["terms"]["names"])
    _require(names[:1] == (FIXED,) and set(names[1:]) <= set(COUNTS), "terms.names", names, "known terms")
    _require(document["graph"] in GRAPHS, "graph", document["graph"], f"one of {', '.join(GRAPHS)}")
    terms = Terms(names=names, means=_array(document["terms"]["means"], (len(names),), "terms.means"))
    sources = tuple(map(_source, document["sources"]))
    n_columns = sum(item.width for item in sources)
    members = []
    for place, item in enumerate(document["members"]):
        shape = (n_columns if len(item["source_costs_s"]) else 0,)
        members.append(
            Member(
                costs=_array(item["costs_s"], (len(names),), f"members[{place}].costs_s"),
                source_costs=_array(item["source_costs_s"], shape, f"members[{place}].source_costs_s"),
                kind_costs=_array(item["kind_costs_s"], (len(names),), f"members[{place}].kind_costs_s"),
                residual=_residual(item["residual"]),
            )
        )
    _require(bool(members), "members", 0, "one or more")
    interval = document["interval"]
    return CalibratedModel(
        device=str(document["device"]),
        space=None if document["space"] is None else str(document["space"]),
        graph=document["graph"],
        terms=terms,
        members=tuple(members),
        weights=tuple(float(item["weight"]) for item in document["members"]),
        sources=sources,
        interval=Interval(
            quantile=float(interval["quantile"]),
            spread=_array(interval["spread"], (len(names), len(names)), "interval.spread"),
            unit_s=float(interval["unit_s"]),
        ),
        samples=int(document["samples"]),
        held_out_error=float(document["held_out_error"]),
        notes=tuple(map(str, document["notes"])),
    )


def _source_document(source: Source) -> dict[str, Any]:
    if not isinstance(source.model, Prior):
        return {"mean_s": source.mean_s, "model": to_document(source.model)}
    prior = source.model
    return {
        "mean_s": source.mean_s,
        "platform": {
            "name": prior.device,
            "fixed_s": prior.fixed_s,
            "costs_s": dict(zip(COUNTS, prior.costs.tolist(), strict=True)),
            "kinds": _kinds_document(prior.kinds, "latency_s", prior.seconds),
        },
    }


def _source(document: Mapping[str, Any]) -> Source:
    mean_s = float(document["mean_s"])
    if "platform" not in document:
        return Source(model=from_document(document["model"]), mean_s=mean_s)
    item = document["platform"]
    kinds, seconds = _kinds(item["kinds"], "latency_s")
    costs = [item["costs_s"][name] for name in COUNTS]
    _require(mean_s > 0, "sources.mean_s", mean_s, "a number > 0")
    return Source(
        model=Prior(
            device=str(item["name"]),
            fixed_s=float(item["fixed_s"]),
            mean_s=mean_s,
            kinds=kinds,
            seconds=seconds,
            costs=_array(costs, (len(COUNTS),), "sources.costs_s"),
        ),
        mean_s=mean_s,
    )


def _residual_document(residual: Residual) -> dict[str, Any]:
    return {
        "spread": residual.spread,
        "noise": residual.noise,
        "anchors": _kinds_document(residual.anchors, "weight", residual.weights),
    }


def _residual(document: Mapping[str, Any]) -> Residual:
    anchors, weights = _kinds(document["anchors"], "weight")
    return Residual(
        anchors=anchors,
        weights=weights,
        spread=float(document["spread"]),
        noise=float(document["noise"]),
    )


def _kinds_document(kinds: KernelKinds, label: str, values: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Kinds of kernels with a number of each."""
    rows = zip(
        kinds.groups.tolist(), kinds.amounts.tolist(), kinds.traits.tolist(), values.tolist(), strict=True
    )
    return [
        {
            "group": GROUPS[group],
            **dict(zip(AMOUNTS, amounts, strict=True)),
            **dict(zip(TRAITS, traits, strict=True)),
            label: value,
        }
        for group, amounts, traits, value in rows
    ]


def _kinds(items: Sequence[Mapping[str, Any]], label: str) -> tuple[KernelKinds, NDArray[np.float64]]:
    count = len(items)
    amounts, traits = ([[item[name] for name in names] for item in items] for names in (AMOUNTS, TRAITS))
    kinds = KernelKinds(
        groups=np.array([GROUPS.index(item["group"]) for item in items], dtype=np.int64),
        amounts=_array(amounts, (count, len(AMOUNTS)), "kinds"),
        traits=_array(traits, (count, len(TRAITS)), "kinds"),
    )
    return kinds, _array([item[label] for item in items], (count,), "kinds")


def _array(values: Any, shape: tuple[int, ...], where: str) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    if not array.size and 0 in shape:
        array = array.reshape(shape)
    _require(array.shape == shape and bool(np.isfinite(array).all()), where, array.shape, f"numbers, {shape}")
    return array


def _require(holds: bool, where: str, found: object, expected: str) -> None:
    if not holds:
        raise StoreError(f"{where}: found {found!r}, expected {expected}; calibrate again")
