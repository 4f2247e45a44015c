"""Rows of a campaign store's tables: written from tasks and measurements, and read back with every check."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast, get_args

from annette.errors import StoreError
from annette.measurement import DeviceInfo, Measurement
from annette.store.codec import (
    device_from_json,
    device_to_json,
    measurement_from_json,
    measurement_to_json,
    network_from_bytes,
    network_to_bytes,
    pairs_from_json,
)
from annette.store.records import Category, PlanRecord, Task

__all__ = [
    "CAMPAIGN_COLUMNS",
    "TASK_COLUMNS",
    "StoredTask",
    "campaign_checksum",
    "insert_campaign",
    "insert_measurement",
    "insert_stored",
    "insert_tasks",
    "measurement_checksum",
    "read_campaign_row",
    "read_measurement",
    "read_task",
    "require_measurement_row",
]

CAMPAIGN_COLUMNS = "device, plan_name, plan_seed, plan_text, plan_hash, provenance"
"""What `read_campaign_row` takes, in its order."""
TASK_COLUMNS = "id, category, group_name, tags, network_id, network"
"""What `read_task` takes, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTask:
    """A task of a campaign and what is known of it: one measurement, or none yet."""

    task: Task
    is_appended: bool
    """Whether it came after the plan's own."""
    visits: int
    """How many visits the measurement stands for; 0 without one."""
    measurement: Measurement | None


def campaign_checksum(*values: object) -> int:
    """Checksum of the other columns of the campaign's row, from ``device`` to ``provenance``.

    Examples
    --------
    >>> campaign_checksum("{}", "plan", 0, "", "", "{}") == campaign_checksum("{}", "plan", 1, "", "", "{}")
    False
    """
    return zlib.crc32(json.dumps(values).encode())


def measurement_checksum(
    ordinal: int, visit: int, visits: int, result: str | None, error: str | None, seed: int | None
) -> int:
    """Checksum of a row of measurements.

    Examples
    --------
    >>> measurement_checksum(0, 0, 1, None, "no TopK", 1) == measurement_checksum(0, 0, 1, None, "no TopX", 1)
    False
    """
    return zlib.crc32(json.dumps([ordinal, visit, visits, result, error, seed]).encode())


def insert_campaign(
    connection: sqlite3.Connection, device: DeviceInfo, plan: PlanRecord, provenance: Mapping[str, str]
) -> None:
    """Write the one row that says what the campaign is."""
    values = (
        device_to_json(device), plan.name, plan.seed, plan.text, plan.hash,
        json.dumps(dict(provenance), sort_keys=True),
    )  # fmt: skip
    connection.execute(
        "INSERT INTO campaign VALUES (1, ?, ?, ?, ?, ?, ?, ?)", (*values, campaign_checksum(*values))
    )


def insert_tasks(
    connection: sqlite3.Connection, tasks: Iterable[Task], *, first: int, is_appended: bool
) -> None:
    """Write tasks with ordinals from ``first`` on."""
    rows = (
        (
            ordinal, task.id, task.category, task.group, json.dumps(task.tags), task.network.id,
            network_to_bytes(task.network), int(is_appended),
        )
        for ordinal, task in enumerate(tasks, start=first)
    )  # fmt: skip
    connection.executemany("INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def insert_measurement(
    connection: sqlite3.Connection, ordinal: int, visit: int, measurement: Measurement, *, visits: int = 1
) -> None:
    """Write one row of measurements, which stands for ``visits`` visits.

    Raises
    ------
    ValueError
        If a number of the measurement is not finite.
    """
    result = None if measurement.error is not None else measurement_to_json(measurement)
    known = measurement.conditions
    connection.execute(
        "INSERT INTO measurements VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            ordinal, visit, visits, result, measurement.error, measurement.seed,
            known.get("reference_s"), known.get("load_fraction"),
            measurement_checksum(ordinal, visit, visits, result, measurement.error, measurement.seed),
        ),
    )  # fmt: skip


def insert_stored(connection: sqlite3.Connection, stored: Iterable[StoredTask]) -> None:
    """Write whole tasks with their measurements into empty tables."""
    for ordinal, item in enumerate(stored):
        insert_tasks(connection, [item.task], first=ordinal, is_appended=item.is_appended)
        if item.measurement is not None:
            insert_measurement(connection, ordinal, 0, item.measurement, visits=item.visits)


def read_task(
    where: str, task_id: str, category: str, group: str, tags: str, network_id: str, network: bytes
) -> Task:
    """The task of a row; ``where`` names the row's file in messages.

    Raises
    ------
    StoreError
        If the row is damaged.
    """
    if not all(isinstance(item, str) for item in (task_id, category, group, tags, network_id)):
        raise StoreError(f"{where}: a task whose values are no texts; restore a copy of it")
    if category not in get_args(Category):
        raise StoreError(f"{where}: task {task_id}: category {category!r}; restore a copy of it")
    task = Task(
        network=network_from_bytes(network, network_id=network_id),
        category=category,  # type: ignore[arg-type]  # checked above
        group=group,
        tags=pairs_from_json(tags),
    )
    if task.id != task_id:
        raise StoreError(f"{where}: task {task_id} does not match its id; restore a copy of it")
    return task


def read_campaign_row(
    where: str, values: Sequence[object], checksum: object
) -> tuple[DeviceInfo, PlanRecord, dict[str, str]]:
    """Device, plan and provenance of a campaign's row; ``values`` are its columns from ``device`` on.

    Raises
    ------
    StoreError
        If the row is damaged.
    """
    kinds = (str, str, int, str, str, str)
    if not all(isinstance(value, kind) for value, kind in zip(values, kinds, strict=True)):
        raise StoreError(
            f"{where}: the campaign's row holds values of other kinds; restore a copy of the file"
        )
    device, name, seed, text, plan_hash, provenance = cast(tuple[str, str, int, str, str, str], tuple(values))
    plan = PlanRecord(name=name, seed=seed, text=text)
    if plan.hash != plan_hash:
        raise StoreError(f"{where}: the plan does not match its hash; restore a copy of the file")
    if checksum is not None and checksum != campaign_checksum(*values):
        raise StoreError(
            f"{where}: the campaign's row does not match its checksum; restore a copy of the file"
        )
    return device_from_json(device), plan, dict(pairs_from_json(provenance))


def require_measurement_row(
    where: str, ordinal: object, visit: object, visits: object, result: object, error: object, seed: object,
    checksum: object,
) -> None:  # fmt: skip
    """Refuse a row of measurements whose values are not of their kinds, or do not match their checksum.

    Raises
    ------
    StoreError
        If so; says how to save the rest.
    """
    is_sound = (
        all(type(item) is int for item in (ordinal, visit, visits))
        and cast(int, visits) >= 1
        and {type(result), type(error)} == {str, type(None)}
        and (seed is None or type(seed) is int)
        and checksum in (None, measurement_checksum(ordinal, visit, visits, result, error, seed))  # type: ignore[arg-type]
    )
    if not is_sound:
        raise StoreError(
            f"{where}: a measurement is damaged; restore a copy of the file, or save the rest with "
            "`annette store export`"
        )


def read_measurement(
    result: str | None, error: str | None, seed: int | None, *, network_id: str, device: DeviceInfo
) -> Measurement:
    """The measurement of a row.

    Raises
    ------
    StoreError
        If the row is damaged.
    """
    if result is None:
        return Measurement(network_id=network_id, device=device, error=error, seed=seed)
    return measurement_from_json(result, network_id=network_id, device=device, seed=seed)
