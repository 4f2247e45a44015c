"""The summary of an evaluation: the document that ``annette evaluate --format json`` prints, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annette.errors import UsageError
from annette.models.layer_models import MODEL_NAMES
from annette.report.checked import read_list, read_mapping, read_number, read_seconds

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
    models = [name for name in MODEL_NAMES if name in read_mapping(document["models"], f"{where}: models")]
    if not models or not read_list(document["networks"], f"{where}: networks"):
        raise UsageError(f"{where}: found no networks or no layer models, expected at least one of each")
    figures = {name: _figures(document["models"][name], f"{where}: models: {name}") for name in models}
    factors = {name: figures[name].get("scale_factor") or 1.0 for name in models}
    networks = [
        _network(item, models, factors, f"{where}: networks[{place}]")
        for place, item in enumerate(document["networks"])
    ]
    groups = read_mapping(document.get("groups") or {}, f"{where}: groups")
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
                read_mapping(read_mapping(group, f"{where}: groups").get("models"), f"{where}: groups").get(
                    "mixed"
                ),
                f"{where}: groups: {name}",
            )
            for name, group in groups.items()
        },
        "networks": networks,
        "failed": [
            {"name": str(item.get("name", "")), "error": str(item.get("error", ""))}
            for item in read_list(document.get("failed"), f"{where}: failed")
            if isinstance(item, Mapping)
        ],
        "mapping_accuracy": read_number(document.get("mapping_accuracy"), f"{where}: mapping_accuracy"),
        "spread_fraction": read_number(document.get("spread_fraction"), f"{where}: spread_fraction"),
        "seed": read_number(document.get("seed"), f"{where}: seed"),
    }


def _figures(value: object, where: str) -> dict[str, float | None]:
    figures = read_mapping(value, where)
    names = (*_FIGURES, "scale_factor") if "scale_factor" in figures else _FIGURES
    found = {name: read_number(figures.get(name), f"{where}: {name}") for name in names if name in figures}
    if figures.get("interval") is None:
        return found
    score = read_mapping(figures["interval"], f"{where}: interval")
    for name in ("coverage", "median_half_width"):
        found[f"interval_{name}"] = read_number(score.get(name), f"{where}: interval: {name}")
    return found


def _network(value: object, models: list[str], factors: Mapping[str, float], where: str) -> dict[str, Any]:
    item = read_mapping(value, where)
    return {
        "name": str(item.get("name") or item.get("architecture") or ""),
        "group": str(item.get("group") or ""),
        "measured_s": read_seconds(item.get("measured_s"), f"{where}: measured_s"),
        "spread_fraction": read_number(item.get("spread_fraction"), f"{where}: spread_fraction"),
        "predicted_s": {
            name: factors[name] * read_seconds(item.get(f"{name}_s"), f"{where}: {name}_s") for name in models
        },
        "interval_s": {
            name: _interval(item.get(f"{name}_interval_s"), factors[name], f"{where}: {name}_interval_s")
            for name in models
        },
        "macs": read_number(item.get("macs"), f"{where}: macs"),
    }


def _interval(value: object, factor: float, where: str) -> list[float] | None:
    """Its ends; ``None`` where it is not known."""
    ends = read_list(value, where)
    if not ends:
        return None
    if len(ends) != 2:
        raise UsageError(f"{where}: found {len(ends)} numbers, expected two")
    low, high = (factor * read_seconds(end, where) for end in ends)
    return [low, high]
