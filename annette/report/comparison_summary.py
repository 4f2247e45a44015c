"""The summary of a comparison: the document that ``annette compare --format json`` prints, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annette.errors import UsageError
from annette.report.checked import read_list, read_mapping, read_number, read_seconds, read_text

__all__ = ["is_comparison", "summarise_comparison"]


def is_comparison(document: object) -> bool:
    """Whether a JSON document compares two estimates or measurements.

    Examples
    --------
    >>> is_comparison({"a": {}, "b": {}, "difference_s": 0.0}), is_comparison({"a": 1})
    (True, False)
    """
    return isinstance(document, Mapping) and {"a", "b", "difference_s"} <= document.keys()


def summarise_comparison(document: Mapping[str, Any], where: str = "comparison") -> dict[str, Any]:
    """The document behind the report of a comparison.

    Parameters
    ----------
    document : mapping
        Of `annette.evaluation.difference.Comparison.to_dict`; maybe out of a file.
    where : str
        Where errors say that it comes from.

    Raises
    ------
    UsageError
        If it is something else, or a number in it is none.
    """
    if not is_comparison(document):
        raise UsageError(f"{where}: found no comparison, expected what annette compare --format json prints")
    apart = document.get("ranges_apart")
    return {
        "schema_version": 1,
        "kind": "comparison",
        **{name: _side(document[name], f"{where}: {name}") for name in ("a", "b")},
        "ranges_apart": apart if isinstance(apart, bool) else None,
        "aligned_by": read_text(document.get("aligned_by")),
        "beyond_kernels_s": read_number(document.get("beyond_kernels_s"), f"{where}: beyond_kernels_s"),
        "families": [
            _family(item, f"{where}: families[{place}]")
            for place, item in enumerate(read_list(document.get("families"), f"{where}: families"))
        ],
        "changes": [
            _change(item, f"{where}: changes[{place}]")
            for place, item in enumerate(read_list(document.get("changes"), f"{where}: changes"))
        ],
    }


def _side(value: object, where: str) -> dict[str, Any]:
    side = read_mapping(value, where)
    return {
        "kind": read_text(side.get("kind")),
        "network": read_text(side.get("network")),
        "on": read_text(side.get("on")),
        "latency_s": read_seconds(side.get("latency_s"), f"{where}: latency_s", may_be_zero=True),
        **{key: _range(side.get(key), f"{where}: {key}") for key in ("interval_s", "repeats_s")},
        "spread_fraction": read_number(side.get("spread_fraction"), f"{where}: spread_fraction"),
        "verdict": read_text(side.get("verdict")),
        "kernels": read_number(side.get("kernels"), f"{where}: kernels"),
    }


def _range(value: object, where: str) -> list[float] | None:
    ends = read_list(value, where)
    if len(ends) not in (0, 2):
        raise UsageError(f"{where}: found {len(ends)} numbers, expected two")
    return [read_seconds(end, where, may_be_zero=True) for end in ends] or None


def _family(value: object, where: str) -> dict[str, Any]:
    item = read_mapping(value, where)
    return {
        "family": read_text(item.get("family")),
        **{
            key: read_seconds(item.get(key), f"{where}: {key}", may_be_zero=True)
            for key in ("a_kernels", "b_kernels", "a_s", "b_s")
        },
    }


def _change(value: object, where: str) -> dict[str, Any]:
    item = read_mapping(value, where)
    sides = {
        name: [
            _kernel(kernel, f"{where}: {name}") for kernel in read_list(item.get(name), f"{where}: {name}")
        ]
        for name in ("a", "b")
    }
    if not any(sides.values()):
        raise UsageError(f"{where}: found no kernel on either side, expected at least one")
    return {
        "kind": read_text(item.get("kind")),
        "family": read_text(item.get("family")),
        **sides,
        "remark": read_text(item.get("remark")),
    }


def _kernel(value: object, where: str) -> dict[str, Any]:
    item = read_mapping(value, where)
    return {
        "name": read_text(item.get("name")),
        "unit": read_text(item.get("unit")),
        "bound": read_text(item.get("bound")),
        "layers": [read_text(name) for name in read_list(item.get("layers"), f"{where}: layers")],
        "latency_s": read_seconds(item.get("latency_s"), f"{where}: latency_s", may_be_zero=True),
    }
