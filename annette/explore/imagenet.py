"""Published ImageNet accuracy of the zoo's networks, with sources, from a table that travels with annette."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from annette.errors import UsageError
from annette.resources import resource_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PublishedAccuracy", "published_accuracies"]

_FILE = "imagenet_top1.csv"
_COLUMNS = ("network", "top1_percent", "weights", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedAccuracy:
    """What somebody published of one network, in floating point and for one crop of each image."""

    top1_fraction: float
    """Share of the 50,000 validation images whose first answer is right; in (0, 1)."""
    weights: str
    """Name of the weights; empty where a paper gives the number and no weights."""
    source: str
    """Where it is published."""


@cache
def published_accuracies() -> Mapping[str, PublishedAccuracy]:
    """By name of a zoo network with its default parameters; what does not classify ImageNet has none.

    Raises
    ------
    UsageError
        If the table is missing or broken.

    Examples
    --------
    >>> published_accuracies()["resnet18"].top1_fraction
    0.69758
    """
    path = resource_folder("tables") / _FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as err:
        raise UsageError(f"{path}: cannot be read, expected the table of accuracies of annette") from err
    found = {}
    rows = csv.DictReader(text.splitlines())
    if tuple(rows.fieldnames or ()) != _COLUMNS:
        raise UsageError(f"{path}: found columns {rows.fieldnames}, expected {', '.join(_COLUMNS)}")
    for row in rows:
        top1 = float(row["top1_percent"])
        if not 0 < top1 < 100 or not row["source"]:
            raise UsageError(f"{path}: {row['network']}: found {top1} %, expected 0 to 100, and a source")
        found[row["network"]] = PublishedAccuracy(
            top1_fraction=round(top1 / 100, 6), weights=row["weights"], source=row["source"]
        )
    return MappingProxyType(found)
