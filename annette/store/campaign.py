"""The campaign store: planned benchmark networks and their measurements in one SQLite file."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

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
from annette.store.database import WriterLock, connect_reader, connect_writer, store_errors
from annette.store.provenance import current_environment
from annette.store.records import Category, PlanRecord, Record, StoreSummary, Task

__all__ = ["CampaignStore", "Category", "PlanRecord", "Record", "StoreSummary", "Task"]


class CampaignStore:
    """One campaign: its device, its plan, its tasks and their measurements, each written at once.

    Get one from `create`, `open` or `open_or_create`; use it as a context manager, or `close` it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriterLock | None) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock
        row = self._rows(
            "SELECT device, plan_name, plan_seed, plan_text, plan_hash, provenance FROM campaign"
        )
        if not row:
            raise StoreError(
                f"store {path}: it holds no campaign yet; run `annette benchmark --store {path}`"
            )
        device, name, seed, text, plan_hash, provenance = row[0]
        self.device: DeviceInfo = device_from_json(device)
        self.plan = PlanRecord(name=name, seed=seed, text=text)
        if self.plan.hash != plan_hash:
            raise StoreError(f"store {path}: the plan does not match its hash; restore a copy of the file")
        self.provenance: dict[str, str] = dict(pairs_from_json(provenance))

    # Opening -----------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        device: DeviceInfo,
        plan: PlanRecord,
        provenance: Mapping[str, str] | None = None,
    ) -> Self:
        """A new, writable store at ``path``; ``provenance`` defaults to `current_environment`.

        Raises
        ------
        StoreError
            If there is a campaign at ``path`` already, another process holds it, or it cannot be written.
        """
        return cls._start(Path(path), device, plan, provenance, only_new=True)

    @classmethod
    def open(cls, path: str | Path, *, writable: bool = False) -> Self:
        """The store at ``path``; read-only unless ``writable``, and then also while another process writes.

        Raises
        ------
        StoreError
            If it is missing, damaged, no campaign store, of another version, or (writable) in use.
        """
        path, lock = Path(path), None
        if writable and os.path.isfile(path):
            lock, connection = connect_writer(path)
        else:
            connection = connect_reader(path)
        try:
            return cls(path, connection, lock)
        except BaseException:
            connection.close()
            if lock is not None:
                lock.release()
            raise

    @classmethod
    def open_or_create(cls, path: str | Path, *, device: DeviceInfo, plan: PlanRecord) -> Self:
        """The writable store at ``path``, new or to be continued.

        Raises
        ------
        StoreError
            If the store there belongs to another device or another plan, or as in `create` and `open`.
        """
        return cls._start(Path(path), device, plan, None, only_new=False)

    @classmethod
    def _start(
        cls, path: Path, device: DeviceInfo, plan: PlanRecord, provenance: Mapping[str, str] | None,
        *, only_new: bool,
    ) -> Self:  # fmt: skip
        lock, connection = connect_writer(path)
        try:
            with store_errors(path):
                started = connection.execute("SELECT count(*) FROM campaign").fetchone()[0]
                if started and only_new:
                    raise StoreError(f"store {path}: it holds a campaign already; name a new file")
                if not started:
                    kept = current_environment() if provenance is None else dict(provenance)
                    connection.execute(
                        "INSERT INTO campaign VALUES (1, ?, ?, ?, ?, ?, ?)",
                        (device_to_json(device), plan.name, plan.seed, plan.text, plan.hash,
                         json.dumps(kept, sort_keys=True)),
                    )  # fmt: skip
            store = cls(path, connection, lock)
            store._require_same(device, plan)
            return store
        except BaseException:
            connection.close()
            lock.release()
            raise

    def _require_same(self, device: DeviceInfo, plan: PlanRecord) -> None:
        if device != self.device:
            differing = [
                item.name for item in fields(DeviceInfo)
                if getattr(device, item.name) != getattr(self.device, item.name)
            ]  # fmt: skip
            raise StoreError(
                f"store {self.path}: measured on {self.device.name!r} ({self.device.backend}), but this is "
                f"{device.name!r} ({device.backend}): differs in {', '.join(differing)}; name a new store"
            )
        if plan.hash != self.plan.hash:
            raise StoreError(
                f"store {self.path}: started with plan {self.plan.name!r} seed {self.plan.seed}, but this is "
                f"{plan.name!r} seed {plan.seed} or has changed since; name a new store, or the same plan"
            )

    def close(self) -> None:
        """Close the file and let others write it; a second call does nothing."""
        self._connection.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Writing -----------------------------------------------------------------------------------------

    def add_tasks(self, tasks: Sequence[Task]) -> None:
        """Keep the plan's tasks, all at once; a store that has them already stays as it is.

        Raises
        ------
        StoreError
            If a task is there twice, or the store holds other tasks.
        """
        ids = [task.id for task in tasks]
        doubled = next((item for item, count in Counter(ids).items() if count > 1), None)
        if doubled is not None:
            raise StoreError(f"store {self.path}: task {doubled} is planned twice, expected each once")
        stored = [row[0] for row in self._rows("SELECT id FROM tasks ORDER BY ordinal")]
        if stored == ids:
            return
        if stored:
            raise StoreError(
                f"store {self.path}: holds {len(stored)} tasks that differ from the {len(ids)} planned now "
                "(another version of annette?); name a new store"
            )
        rows = [
            (
                ordinal, task.id, task.category, task.group, json.dumps(task.tags), task.network.id,
                network_to_bytes(task.network),
            )
            for ordinal, task in enumerate(tasks)
        ]  # fmt: skip
        with self._transaction():
            self._connection.executemany("INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def record(self, task_id: str, measurement: Measurement) -> None:
        """Keep one measurement, in a transaction of its own.

        Raises
        ------
        StoreError
            If the task is unknown or measured already, or the measurement is another network's or device's.
        """
        found = self._rows("SELECT ordinal, network_id FROM tasks WHERE id = ?", task_id)
        if not found:
            raise StoreError(f"store {self.path}: no task {task_id}; add the plan's tasks first")
        ordinal, network_id = found[0]
        if measurement.network_id != network_id or measurement.device != self.device:
            raise StoreError(
                f"store {self.path}: task {task_id} is network {network_id} on {self.device.name!r}, found a "
                f"measurement of {measurement.network_id} on {measurement.device.name!r}"
            )
        try:
            result = None if measurement.error is not None else measurement_to_json(measurement)
        except ValueError as err:
            raise StoreError(
                f"store {self.path}: task {task_id}: {err}; a backend must answer finite numbers"
            ) from err
        with self._transaction():
            done = self._connection.execute("SELECT 1 FROM measurements WHERE ordinal = ?", (ordinal,))
            if done.fetchone():
                raise StoreError(f"store {self.path}: task {task_id} is measured already, expected each once")
            self._connection.execute(
                "INSERT INTO measurements VALUES (?, ?, ?, ?)",
                (ordinal, result, measurement.error, measurement.seed),
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._lock is None:
            raise StoreError(f"store {self.path}: opened for reading; open it with writable=True")
        with store_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    # Reading -----------------------------------------------------------------------------------------

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with store_errors(self.path):
            return self._connection.execute(query, values).fetchall()

    def pending(self) -> tuple[str, ...]:
        """Ids of the tasks without a measurement, in the plan's order."""
        query = (
            "SELECT id FROM tasks LEFT JOIN measurements USING (ordinal) "
            "WHERE measurements.ordinal IS NULL ORDER BY ordinal"
        )
        return tuple(str(row[0]) for row in self._rows(query))

    def records(self) -> Iterator[Record]:
        """Measured and failed tasks in the plan's order.

        Raises
        ------
        StoreError
            If a row is damaged.
        """
        query = (
            "SELECT id, category, group_name, tags, network_id, network, result, error, seed "
            "FROM tasks JOIN measurements USING (ordinal) ORDER BY ordinal"
        )
        with store_errors(self.path):
            for row in self._connection.execute(query):
                yield self._read_record(*row)

    def _read_record(
        self, task_id: str, category: str, group: str, tags: str, network_id: str, network: bytes,
        result: str | None, error: str | None, seed: int | None,
    ) -> Record:  # fmt: skip
        if category not in get_args(Category):
            raise StoreError(
                f"store {self.path}: task {task_id}: category {category!r}; restore a copy of it"
            )
        task = Task(
            network=network_from_bytes(network, network_id=network_id),
            category=category,  # type: ignore[arg-type]  # checked above
            group=group,
            tags=pairs_from_json(tags),
        )
        if task.id != task_id:
            raise StoreError(f"store {self.path}: task {task_id} does not match its id; restore a copy of it")
        if result is None:
            measurement = Measurement(network_id=network_id, device=self.device, error=error, seed=seed)
        else:
            measurement = measurement_from_json(result, network_id=network_id, device=self.device, seed=seed)
        return Record(task=task, measurement=measurement)

    def summary(self) -> StoreSummary:
        """How many tasks are planned, measured and failed, and why."""
        query = "SELECT (SELECT count(*) FROM tasks), count(result), count(error) FROM measurements"
        planned, measured, failed = self._rows(query)[0]
        reasons = self._rows(
            "SELECT error, count(*) FROM measurements WHERE error IS NOT NULL "
            "GROUP BY error ORDER BY count(*) DESC, error"
        )
        categories = self._rows("SELECT category, count(*) FROM tasks GROUP BY category ORDER BY category")
        return StoreSummary(
            planned=planned,
            measured=measured,
            failed=failed,
            failures=tuple((str(reason), int(count)) for reason, count in reasons),
            categories=tuple((str(name), int(count)) for name, count in categories),
        )

    def export_parquet(self, folder: str | Path) -> tuple[Path, Path]:
        """Write ``kernels.parquet`` and ``networks.parquet`` into ``folder``; returns their paths.

        Raises
        ------
        StoreError
            If pyarrow is missing (extra ``parquet``) or the folder cannot be written.
        """
        from annette.store.export import write_parquet

        return write_parquet(self.records(), Path(folder))
