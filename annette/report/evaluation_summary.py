"""The summary of an evaluation: the document that ``annette evaluate --format json`` prints, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from annette.errors import UsageError
from annette.models.layer_models import MODEL_NAMES

__all__ = ["is_evaluation", "summarise_evaluation"]

_FIGURES = ("mape", "bias", "within_10_percent", "spearman", "kendall_tau", "scaled_mape")


def is_evaluation(document: object) -> bool:
    """Whether a JSON document is an evaluation of a suite or of a recorded table.

    Examples
    --------
    >>> is_evaluation({"suite": "classic12", "models": {}, "networks": []}), is_evaluation([])
    (True, False)
    """
    return (
        isinstance(document, Mapping)
        and {"models", "networks"} <= document.keys()
        and ("suite" in document or "table" in document)
    )


def summarise_evaluation(document: Mapping[str, Any], where: str = "evaluation") -> dict[str, Any]:
    """The document behind the report of an evaluation.

    Parameters
    ----------
    document : mapping
        Of `annette.evaluation.suite.evaluate_suite`, or of a recorded table; maybe out of a file.
    where : str
        Where errors say that it comes from.

    Raises
    ------
    UsageError
        If it is something else, or a number in it is none.
    """
    if not is_evaluation(document):
        raise UsageError(f"{where}: found no evaluation, expected what annette evaluate --format json prints")
    models = [name for name in MODEL_NAMES if name in _mapping(document["models"], f"{where}: models")]
    if not models or not _list(document["networks"], f"{where}: networks"):
        raise UsageError(f"{where}: found no networks or no layer models, expected at least one of each")
    figures = {name: _figures(document["models"][name], f"{where}: models: {name}") for name in models}
    factors = {name: figures[name].get("scale_factor") or 1.0 for name in models}
    networks = [
        _network(item, models, factors, f"{where}: networks[{place}]")
        for place, item in enumerate(document["networks"])
    ]
    groups = _mapping(document.get("groups") or {}, f"{where}: groups")
    return {
        "schema_version": 1,
        "kind": "evaluation",
        "platform": str(document.get("platform", "")),
        "device": str(document.get("device", "")),
        "suite": str(document.get("suite") or document.get("table") or ""),
        "is_scaled": any(factor != 1.0 for factor in factors.values()),
        "models": figures,
        "groups": {
            str(name): _figures(
                _mapping(_mapping(group, f"{where}: groups").get("models"), f"{where}: groups").get("mixed"),
                f"{where}: groups: {name}",
            )
            for name, group in groups.items()
        },
        "networks": networks,
        "failed": [
            {"name": str(item.get("name", "")), "error": str(item.get("error", ""))}
            for item in _list(document.get("failed"), f"{where}: failed")
            if isinstance(item, Mapping)
        ],
        "mapping_accuracy": _number(document.get("mapping_accuracy"), f"{where}: mapping_accuracy"),
        "spread_fraction": _number(document.get("spread_fraction"), f"{where}: spread_fraction"),
        "seed": _number(document.get("seed"), f"{where}: seed"),
    }


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{where}: found {type(value).__name__}, expected an object by name")
    return value


def _list(value: object, where: str) -> list[Any]:
    """The list; an empty one where there is nothing."""
    if value is not None and not isinstance(value, list):
        raise UsageError(f"{where}: found {type(value).__name__}, expected a list")
    return value or []


def _number(value: object, where: str) -> float | None:
    """The number, or ``None`` where there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{where}: found {str(value)[:40]!r}, expected a finite number")
    return float(value)


def _seconds(value: object, where: str) -> float:
    found = _number(value, where)
    if found is None or found <= 0:
        raise UsageError(f"{where}: found {str(value)[:40]!r}, expected seconds > 0")
    return found


def _figures(value: object, where: str) -> dict[str, float | None]:
    figures = _mapping(value, where)
    names = (*_FIGURES, "scale_factor") if "scale_factor" in figures else _FIGURES
    found = {name: _number(figures.get(name), f"{where}: {name}") for name in names if name in figures}
    if figures.get("interval") is None:
        return found
    score = _mapping(figures["interval"], f"{where}: interval")
    for name in ("coverage", "median_half_width"):
        found[f"interval_{name}"] = _number(score.get(name), f"{where}: interval: {name}")
    return found


def _network(value: object, models: list[str], factors: Mapping[str, float], where: str) -> dict[str, Any]:
    item = _mapping(value, where)
    return {
        "name": str(item.get("name") or item.get("architecture") or ""),
        "group": str(item.get("group") or ""),
        "measured_s": _seconds(item.get("measured_s"), f"{where}: measured_s"),
        "spread_fraction": _number(item.get("spread_fraction"), f"{where}: spread_fraction"),
        "predicted_s": {
            name: factors[name] * _seconds(item.get(f"{name}_s"), f"{where}: {name}_s") for name in models
        },
        "interval_s": {
            name: _interval(item.get(f"{name}_interval_s"), factors[name], f"{where}: {name}_interval_s")
            for name in models
        },
        "macs": _number(item.get("macs"), f"{where}: macs"),
    }


def _interval(value: object, factor: float, where: str) -> list[float] | None:
    """Its ends; ``None`` where it is not known."""
    ends = _list(value, where)
    if not ends:
        return None
    if len(ends) != 2:
        raise UsageError(f"{where}: found {len(ends)} numbers, expected two")
    low, high = (factor * _seconds(end, where) for end in ends)
    return [low, high]
