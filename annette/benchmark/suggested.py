"""The file of suggested micro-kernels: what `annette suggest` writes and `annette benchmark` measures."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annette.errors import GraphError, StoreError, UsageError
from annette.graph.codec import network_from_json, network_to_json
from annette.measurement import DeviceInfo
from annette.store.campaign import CampaignStore
from annette.store.identity import device_difference
from annette.store.records import SUGGESTED, SUGGESTED_FOR, PlanRecord, Task
from annette.store.strict_json import parse_strict_json, shorten

__all__ = ["KIND", "SuggestedTasks", "add_suggested", "open_for_suggested", "read_suggested"]

KIND = "suggested"
"""The tag ``kind`` of suggested tasks, and the first part of their groups."""
SCHEMA_VERSION = 1
_MAX_BYTES = 64 * 1024 * 1024
_MAX_TASKS = 10_000
_MAX_LAYERS = 1000
"""Of one suggested network: kernels have few."""
_TAGS = {"kind": 100, SUGGESTED: 1000, "family": 1000, "source": 1000, SUGGESTED_FOR: 20_000}
"""What tags a suggested task has, and how long each may be: no other is taken from a file, since tags decide
what is learned from a task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestedTasks:
    """Micro-kernels to be measured, and who asked for them."""

    tasks: tuple[Task, ...]
    """In the order in which they are worth most."""
    seed: int
    """Of the suggestion; of a store that starts with it too."""
    origin: Mapping[str, Any]
    """Platform, model, targets and what is expected; JSON types."""

    @property
    def record(self) -> PlanRecord:
        """What a store remembers that starts with these tasks."""
        text = json.dumps({"suggested": [task.id for task in self.tasks]}, separators=(",", ":"))
        return PlanRecord(name=KIND, seed=self.seed, text=text)

    def to_bytes(self) -> bytes:
        """The content of a file; equal suggestions give equal bytes."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "seed": self.seed,
            **dict(self.origin),
            "micro_kernels": [
                {
                    "group": task.group,
                    "tags": dict(task.tags),
                    "network": json.loads(network_to_json(task.network)),
                }
                for task in self.tasks
            ],
        }
        return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def read_suggested(path: str | Path) -> SuggestedTasks:
    """The suggestion in a file that `annette suggest` wrote; safe to read from strangers.

    Raises
    ------
    UsageError
        If there is none, it is too large, of another version, or damaged; names the place.
    """
    where = f"suggestion {path}"
    try:
        if os.path.getsize(path) > _MAX_BYTES:
            raise UsageError(f"{where}: larger than 64 MiB, expected what annette suggest wrote")
        content = Path(path).read_bytes()
    except (OSError, ValueError) as err:
        if isinstance(err, UsageError):
            raise
        raise UsageError(
            f"{where}: cannot be read ({shorten(err)}); name what annette suggest wrote"
        ) from err
    try:
        document = parse_strict_json(content)
    except ValueError as err:
        raise UsageError(f"{where}: {err}, expected what annette suggest wrote") from err
    if not isinstance(document, dict) or not isinstance(document.get("micro_kernels"), list):
        raise UsageError(f"{where}: no list micro_kernels in it, expected what annette suggest wrote")
    if document.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(
            f"{where}: schema_version: found {shorten(repr(document.get('schema_version')))}, expected "
            f"{SCHEMA_VERSION}; use the version of annette that wrote it"
        )
    seed, items = document.pop("seed", None), document.pop("micro_kernels")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UsageError(f"{where}: seed: found {shorten(repr(seed))}, expected a whole number >= 0")
    if not 1 <= len(items) <= _MAX_TASKS:
        raise UsageError(f"{where}: {len(items)} micro_kernels, expected 1 to {_MAX_TASKS}")
    by = str(document.get("platform") or "unknown")[: _TAGS[SUGGESTED]]
    tasks = [_task(item, by, f"{where}: micro_kernels[{place}]") for place, item in enumerate(items)]
    distinct = tuple({task.network.id: task for task in tasks}.values())
    return SuggestedTasks(tasks=distinct, seed=seed, origin=document)


def _task(item: Any, by: str, where: str) -> Task:
    if not isinstance(item, dict) or not {"group", "tags", "network"} <= item.keys():
        raise UsageError(f"{where}: expected group, tags and network")
    group, tags = item["group"], item["tags"]
    if not isinstance(group, str) or not group.startswith(f"{KIND}/") or len(group) > 200:
        raise UsageError(f"{where}: group: expected {KIND}/ and a number; write the file again")
    if not isinstance(tags, dict):
        raise UsageError(f"{where}: tags: expected texts by name; write the file again")
    strange = next((key for key in tags if key not in _TAGS), None)
    if strange is not None:
        raise UsageError(
            f"{where}: tags: found {shorten(repr(strange))}, expected some of {', '.join(_TAGS)}; write the "
            "file again"
        )
    if not all(isinstance(value, str) and len(value) <= _TAGS[key] for key, value in tags.items()):
        raise UsageError(f"{where}: tags: expected short texts; write the file again")
    tags = {"kind": KIND, SUGGESTED: by, **tags}
    if tags["kind"] != KIND:
        raise UsageError(
            f"{where}: tags: kind: found {shorten(repr(tags['kind']))}, expected {KIND}; write the file again"
        )
    try:
        network = network_from_json(json.dumps(item["network"]))
    except (GraphError, RecursionError) as err:
        raise UsageError(f"{where}: {shorten(err)}; write the file again") from err
    if not 1 <= len(network.layers) <= _MAX_LAYERS:
        raise UsageError(f"{where}: {len(network.layers)} layers, expected 1 to {_MAX_LAYERS}")
    return Task(
        network=network,
        category="micro-kernel" if len(network.layers) == 1 else "block",
        group=group,
        tags=tuple(tags.items()),
    )


def open_for_suggested(path: str | Path, *, device: DeviceInfo, suggested: SuggestedTasks) -> CampaignStore:
    """The writable store at ``path`` whatever its plan, or a new one with the suggested tasks alone.

    Raises
    ------
    StoreError
        If the store is of another device, or as `CampaignStore.open`.
    """
    if not os.path.lexists(path):
        return CampaignStore.create(path, device=device, plan=suggested.record)
    store = CampaignStore.open(path, writable=True)
    if store.device == device:
        return store
    store.close()
    raise StoreError(
        f"store {path}: measured on another device than this {device.name!r}: differs in "
        f"{device_difference(store.device, device)}; measurements of two devices are never mixed: "
        "name a new store, or the device that it was measured on"
    )


def add_suggested(store: CampaignStore, suggested: SuggestedTasks) -> tuple[Task, ...]:
    """Put the tasks behind the store's own, but for networks that it has already; returns all its tasks.

    Raises
    ------
    StoreError
        If the store cannot be written.
    """
    stored = tuple(store.tasks())
    taken = {task.network.id for task in stored}
    new = [task for task in suggested.tasks if task.network.id not in taken]
    if not stored:
        store.add_tasks(new)
    elif new:
        store.append_tasks(new)
    return tuple(store.tasks())
