"""Reads and writes calibrated models: a folder with one JSON file, readable in ten years and safe to open."""

from __future__ import annotations

import json
import os
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
from annette.store.calibrated_folder import CALIBRATED_FILE
from annette.store.strict_json import parse_strict_json, shorten

__all__ = [
    "SCHEMA_VERSION",
    "from_document",
    "load_calibrated",
    "save_calibrated",
    "to_document",
]

SCHEMA_VERSION = 1
MAX_FILE_BYTES = 16 << 20
"""A model of hundreds of latencies with three sources has less than a million."""
MAX_SOURCES = 100
_MAX_DEPTH = 8
"""Sources that have sources."""
_MOST = 1e15
"""No number of a model is larger: seconds, mean amounts of terms, weights."""
_MOST_LETTERS, _MOST_NOTE_LETTERS, _MOST_NOTES = 200, 25_000, 100
"""Of names, and of notes, one of which names all sources."""
_MOST_OPERATORS = 1000


def save_calibrated(model: CalibratedModel, folder: str | PathLike[str]) -> None:
    """Write the model into a folder, which is made where it is missing.

    Raises
    ------
    StoreError
        If it cannot be written, or a name in it is none that `load_calibrated` takes.
    """
    path = Path(folder)
    for name in (model.device, *(item.model.device for item in model.sources)):
        _text(name, "device")
    _operators(model.operators)
    document = {"schema_version": SCHEMA_VERSION, **to_document(model)}
    part = path / f".{CALIBRATED_FILE}.{os.getpid()}.part"
    try:
        path.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            os.replace(part, path / CALIBRATED_FILE)
        finally:
            part.unlink(missing_ok=True)
    except OSError as err:
        raise StoreError(f"{path}: cannot be written: {err.strerror or err}") from err


def load_calibrated(folder: str | PathLike[str]) -> CalibratedModel:
    """The model in a folder.

    Raises
    ------
    StoreError
        If there is none, it is damaged, or of another schema version.
    """
    path = Path(folder) / CALIBRATED_FILE
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file, expected a model written by annette calibrate -o") from None
    except OSError as err:
        raise StoreError(f"{path}: cannot be read: {err.strerror or err}") from err
    if len(content) > MAX_FILE_BYTES:
        raise StoreError(f"{path}: larger than {MAX_FILE_BYTES} bytes, expected what annette calibrate wrote")
    try:
        document = parse_strict_json(content)
    except ValueError as err:
        raise StoreError(
            f"{path}: cannot be read as JSON ({err}), expected what annette calibrate wrote"
        ) from err
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        found = document.get("schema_version") if isinstance(document, dict) else type(document).__name__
        raise StoreError(
            f"{path}: schema_version {shorten(repr(found))}, expected {SCHEMA_VERSION}; calibrate again"
        )
    try:
        return from_document(document)
    except StoreError as err:
        raise StoreError(f"{path}: {err}") from err
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as err:
        raise StoreError(f"{path}: damaged ({type(err).__name__}: {shorten(err)}); calibrate again") from err


def to_document(model: CalibratedModel) -> dict[str, Any]:
    """The model as JSON types; seconds everywhere."""
    return {
        "device": model.device,
        "space": model.space,
        "graph": model.graph,
        "samples": model.samples,
        "held_out_error": model.held_out_error,
        "notes": list(model.notes),
        **({} if model.operators is None else {"operators": list(model.operators)}),
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
    return _from_document(document, 0)


def _from_document(document: Mapping[str, Any], depth: int) -> CalibratedModel:
    _require(depth < _MAX_DEPTH, "sources", f"sources {depth} deep", "fewer")
    names = tuple(document["terms"]["names"])
    _require(names[:1] == (FIXED,) and set(names[1:]) <= set(COUNTS), "terms.names", names, "known terms")
    _require(document["graph"] in GRAPHS, "graph", document["graph"], f"one of {', '.join(GRAPHS)}")
    _require(len(set(names)) == len(names), "terms.names", names, "each once")
    means = _amounts(document["terms"]["means"], (len(names),), "terms.means")
    _require(bool((means > 0).all()), "terms.means", means.min(), "numbers > 0")
    terms = Terms(names=names, means=means)
    _require(len(document["sources"]) <= MAX_SOURCES, "sources", len(document["sources"]), "fewer")
    sources = tuple(_source(item, depth) for item in document["sources"])
    n_columns = sum(item.width for item in sources)
    members = []
    for place, item in enumerate(document["members"]):
        shape = (n_columns if len(item["source_costs_s"]) else 0,)
        members.append(
            Member(
                costs=_amounts(item["costs_s"], (len(names),), f"members[{place}].costs_s"),
                source_costs=_amounts(item["source_costs_s"], shape, f"members[{place}].source_costs_s"),
                kind_costs=_amounts(item["kind_costs_s"], (len(names),), f"members[{place}].kind_costs_s"),
                residual=_residual(item["residual"]),
            )
        )
    _require(bool(members), "members", 0, "one or more")
    for place, member in enumerate(members):
        priced = member.costs if place == 0 else np.append(member.costs, member.source_costs)
        _require(bool((priced > 0).any()), f"members[{place}].costs_s", 0, "one cost > 0 or more")
    weights = tuple(_amount(item["weight"], "members.weight") for item in document["members"])
    _require(abs(sum(weights) - 1) < 1e-6, "members.weight", weights, "shares of the whole")
    notes = document["notes"]
    _require(isinstance(notes, list) and len(notes) <= _MOST_NOTES, "notes", len(notes), "fewer")
    return CalibratedModel(
        device=_text(document["device"], "device"),
        space=None if document["space"] is None else _text(document["space"], "space"),
        graph=document["graph"],
        terms=terms,
        members=tuple(members),
        weights=weights,
        sources=sources,
        interval=_interval(document["interval"], len(names)),
        samples=int(_amount(document["samples"], "samples")),
        held_out_error=_amount(document["held_out_error"], "held_out_error"),
        notes=tuple(_text(note, "notes", _MOST_NOTE_LETTERS) for note in notes),
        operators=_operators(document.get("operators")),
    )


def _operators(items: object) -> tuple[str, ...] | None:
    """The samples' operators; files older than this field, and those of search spaces, have none."""
    if items is None:
        return None
    _require(isinstance(items, list | tuple), "operators", items, "a list of names")
    names: Sequence[object] = items if isinstance(items, list | tuple) else ()
    _require(len(names) <= _MOST_OPERATORS, "operators", len(names), f"{_MOST_OPERATORS} at most")
    return tuple(_text(name, "operators") for name in names)


def _interval(document: Mapping[str, Any], n_terms: int) -> Interval:
    spread = _array(document["spread"], (n_terms, n_terms), "interval.spread")
    least = float(np.linalg.eigvalsh((spread + spread.T) / 2).min())
    is_sound = least >= -1e-6 * float(np.abs(spread).max())
    _require(is_sound, "interval.spread", f"an eigenvalue of {least:.3g}", "none below 0")
    _require(document["unit_s"] > 0, "interval.unit_s", document["unit_s"], "a number > 0")
    return Interval(
        quantile=_amount(document["quantile"], "interval.quantile"),
        spread=spread,
        unit_s=_amount(document["unit_s"], "interval.unit_s"),
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


def _source(document: Mapping[str, Any], depth: int) -> Source:
    mean_s = _amount(document["mean_s"], "sources.mean_s")
    _require(mean_s > 0, "sources.mean_s", mean_s, "a number > 0")
    if "platform" not in document:
        return Source(model=_from_document(document["model"], depth + 1), mean_s=mean_s)
    item = document["platform"]
    kinds, seconds = _kinds(item["kinds"], "latency_s")
    costs = [item["costs_s"][name] for name in COUNTS]
    return Source(
        model=Prior(
            device=_text(item["name"], "sources.name"),
            fixed_s=_amount(item["fixed_s"], "sources.fixed_s"),
            mean_s=mean_s,
            kinds=kinds,
            seconds=seconds,
            costs=_amounts(costs, (len(COUNTS),), "sources.costs_s"),
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
        spread=_amount(document["spread"], "residual.spread"),
        noise=_amount(document["noise"], "residual.noise"),
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
        amounts=_amounts(amounts, (count, len(AMOUNTS)), "kinds"),
        traits=_array(traits, (count, len(TRAITS)), "kinds"),
    )
    return kinds, _array([item[label] for item in items], (count,), "kinds")


def _array(values: Any, shape: tuple[int, ...], where: str) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    if not array.size and 0 in shape:
        array = array.reshape(shape)
    _require(array.shape == shape, where, array.shape, f"numbers, {shape}")
    is_sane = bool((np.abs(array) <= _MOST).all())  # not a number is not sane either
    _require(is_sane, where, f"numbers to {np.abs(array).max(initial=0.0)}", f"numbers up to {_MOST:g}")
    return array


def _amounts(values: Any, shape: tuple[int, ...], where: str) -> NDArray[np.float64]:
    array = _array(values, shape, where)
    _require(bool((array >= 0).all()), where, array.min(initial=0.0), "numbers >= 0")
    return array


def _amount(value: Any, where: str) -> float:
    is_sane = not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value <= _MOST
    _require(is_sane, where, value, f"a number from 0 to {_MOST:g}")
    return float(value)


def _text(value: object, where: str, most: int = _MOST_LETTERS) -> str:
    """A text that can be printed: it forges no line of what a command says."""
    _require(
        isinstance(value, str) and 0 < len(value) <= most and value.isprintable(),
        where,
        value,
        f"1 to {most:,} letters that can be printed",
    )
    return str(value)


def _require(holds: bool, where: str, found: object, expected: str) -> None:
    if not holds:
        raise StoreError(f"{where}: found {shorten(repr(found))}, expected {expected}; calibrate again")
