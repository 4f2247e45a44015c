"""Rows of a campaign store's tables: written from tasks and measurements, and read back with every check."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from annette.errors import StoreError
from annette.measurement import DeviceInfo, Measurement
from annette.store.codec import (
    device_to_json,
    measurement_from_json,
    measurement_to_json,
    network_from_bytes,
    network_to_bytes,
    pairs_from_json,
)
from annette.store.records import Category, PlanRecord, Task

__all__ = [
    "TASK_COLUMNS",
    "StoredTask",
    "insert_campaign",
    "insert_measurement",
    "insert_stored",
    "insert_tasks",
    "read_measurement",
    "read_task",
]

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


def insert_campaign(
    connection: sqlite3.Connection, device: DeviceInfo, plan: PlanRecord, provenance: Mapping[str, str]
) -> None:
    """Write the one row that says what the campaign is."""
    connection.execute(
        "INSERT INTO campaign VALUES (1, ?, ?, ?, ?, ?, ?)",
        (
            device_to_json(device), plan.name, plan.seed, plan.text, plan.hash,
            json.dumps(dict(provenance), sort_keys=True),
        ),
    )  # fmt: skip


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
        "INSERT INTO measurements VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            ordinal, visit, visits, result, measurement.error, measurement.seed,
            known.get("reference_s"), known.get("load_fraction"),
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
