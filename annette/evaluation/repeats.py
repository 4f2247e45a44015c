"""What is measured beside an evaluation: each network a second time, and its kernels one by one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from annette.errors import AnnetteError, StoreError
from annette.store.campaign import CampaignStore
from annette.store.records import Record
from annette.store.strict_json import parse_strict_json, shorten
from annette.store.visits import combine_visits

__all__ = [
    "REPEATS_SCHEMA_VERSION",
    "Repeats",
    "find_repeats",
    "kernel_sums",
    "read_repeats",
    "write_repeats",
]

REPEATS_SCHEMA_VERSION = 1
"""Version of the file's format."""

MAX_FILE_BYTES = 64 << 20
"""No such file is larger: one of a hundred networks has 20 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """The ceiling and the baseline of an evaluation."""

    halves_s: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By task two independent measurements of one session, in seconds: of every other visit each."""
    lookup_fractions: Mapping[str, float] = field(default_factory=dict)
    """By network the sum of its kernels, each timed alone, over the time of the whole network."""


def find_repeats(store: CampaignStore, lookup: Iterable[Record] = ()) -> Repeats:
    """The repeats in a store that keeps every visit, and the sums of kernels of ``lookup``.

    Parameters
    ----------
    store : CampaignStore
        Of the evaluation; one whose visits are combined already has no halves.
    lookup : iterable of Record
        The same networks on the same device, each kernel timed alone.

    Raises
    ------
    StoreError
        If a row is damaged.
    """
    reference_s, halves_s = store.reference_s, {}
    for task, visits in store.visits():
        halves = [half for half in (visits[0::2], visits[1::2]) if half]
        if len(halves) == 2:
            found = [combine_visits(half, reference_s=reference_s) for half in halves]
            if all(half.values_s and half.latency_s > 0 for half in found):
                halves_s[task.id] = (found[0].latency_s, found[1].latency_s)
    return Repeats(halves_s=halves_s, lookup_fractions=kernel_sums(lookup))


def kernel_sums(records: Iterable[Record]) -> dict[str, float]:
    """By network the sum of the kernels' times over the end-to-end time: what a look-up table would say.

    The records are those of a device that times each kernel on its own.
    """
    found = {}
    for record in records:
        measurement = record.measurement
        if measurement.kernels and measurement.error is None and measurement.latency_s > 0:
            total_s = sum(item.latency_s for item in measurement.kernels)
            found[record.task.network.id] = total_s / measurement.latency_s
    return found


def write_repeats(repeats: Repeats, path: str | PathLike[str]) -> None:
    """Write ``repeats`` as JSON.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    document = {
        "schema_version": REPEATS_SCHEMA_VERSION,
        "halves_s": {key: list(pair) for key, pair in sorted(repeats.halves_s.items())},
        "lookup_fractions": dict(sorted(repeats.lookup_fractions.items())),
    }
    try:
        Path(path).write_text(json.dumps(document, indent=0, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as err:
        raise StoreError(f"repeats {path}: {err}; choose a place that may be written") from err


def read_repeats(path: str | PathLike[str]) -> Repeats:
    """The repeats that `write_repeats` wrote.

    Raises
    ------
    StoreError
        If the file is missing, too large, damaged or of another schema version.
    """
    where = f"repeats {path}"
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise StoreError(f"{where}: expected at most {MAX_FILE_BYTES} bytes")
        document = parse_strict_json(data)
        version = document["schema_version"]
        if version != REPEATS_SCHEMA_VERSION:
            raise StoreError(
                f"{where}: schema_version {shorten(repr(version))}, expected {REPEATS_SCHEMA_VERSION}; read "
                "it with the version of annette that wrote it"
            )
        halves_s = {}
        for key, (first, second) in document["halves_s"].items():
            halves_s[str(key)] = (_positive(first), _positive(second))
        lookup = {str(key): _positive(value) for key, value in document["lookup_fractions"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as err:
        if isinstance(err, AnnetteError):
            raise
        raise StoreError(f"{where}: {shorten(err)}; restore a copy of it") from err
    return Repeats(halves_s=halves_s, lookup_fractions=lookup)


def _positive(value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ValueError(f"found {value!r}, expected a number > 0")
    return float(value)
