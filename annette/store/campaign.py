"""The campaign store: planned benchmark networks and their measurements in one SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from annette.errors import StoreError
from annette.measurement import DeviceInfo, Measurement
from annette.store.database import (
    WriterLock,
    connect_memory,
    connect_reader,
    connect_writer,
    store_errors,
)
from annette.store.identity import device_difference
from annette.store.provenance import current_environment
from annette.store.reader import CampaignReader
from annette.store.records import SALVAGED, Category, Noise, PlanRecord, Record, StoreSummary, Task
from annette.store.rows import (
    insert_campaign,
    insert_measurement,
    insert_stored,
    insert_tasks,
)
from annette.store.visits import most_visits

__all__ = ["CampaignStore", "Category", "Noise", "PlanRecord", "Record", "StoreSummary", "Task"]


_RECORDED_SUFFIX = ".parquet"


class CampaignStore(CampaignReader):
    """One campaign: its device, its plan, its tasks and every visit of each, written at once.

    Get one from `create`, `open`, `open_or_create` or `from_parquet`; use it as a context manager, or `close`
    it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriterLock | None) -> None:
        super().__init__(path, connection)
        self._lock = lock

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

        A recorded campaign (a Parquet file that `export_campaign` wrote) is read into memory.

        Raises
        ------
        StoreError
            If it is missing, damaged, no campaign store, of another version, or (writable) in use.
        """
        path, lock = Path(path), None
        if path.suffix == _RECORDED_SUFFIX:
            if writable:
                raise StoreError(f"{path}: a recorded campaign is only read; make a store of it to write one")
            return cls._from_recorded(path, connect_memory(), None, path)
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
                    insert_campaign(
                        connection, device, plan, current_environment() if provenance is None else provenance
                    )
            store = cls(path, connection, lock)
            store._require_same(device, plan)
            return store
        except BaseException:
            connection.close()
            lock.release()
            raise

    @classmethod
    def from_parquet(cls, parquet_path: str | Path, path: str | Path) -> Self:
        """A new, writable store at ``path`` with what `export_campaign` wrote.

        Raises
        ------
        StoreError
            If the recorded campaign is missing, damaged or too large, or as in `create`.
        """
        lock, connection = connect_writer(Path(path))
        try:
            with store_errors(Path(path)):
                if connection.execute("SELECT count(*) FROM campaign").fetchone()[0]:
                    raise StoreError(f"store {path}: it holds a campaign already; name a new file")
            return cls._from_recorded(Path(path), connection, lock, Path(parquet_path))
        except BaseException:
            connection.close()
            lock.release()
            raise

    @classmethod
    def _from_recorded(
        cls, path: Path, connection: sqlite3.Connection, lock: WriterLock | None, parquet_path: Path
    ) -> Self:
        from annette.store.recorded import read_campaign

        campaign = read_campaign(parquet_path)
        with store_errors(path):
            connection.execute("BEGIN IMMEDIATE")
            insert_campaign(connection, campaign.device, campaign.plan, campaign.provenance)
            insert_stored(connection, campaign.tasks)
            connection.execute("COMMIT")
        return cls(path, connection, lock)

    def _require_same(self, device: DeviceInfo, plan: PlanRecord) -> None:
        if device != self.device:
            raise StoreError(
                f"store {self.path}: measured on another device than this {device.name!r}: differs in "
                f"{device_difference(self.device, device)}; measurements of two devices are never mixed: "
                "name a new store, or the device that it was measured on"
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

        A store that was saved out of a damaged one may lack some of them; those are added in their places.

        Raises
        ------
        StoreError
            If a task is there twice, or the store holds other tasks.
        """
        ids = _distinct_ids(tasks, self.path)
        stored = self._rows("SELECT id, appended, ordinal FROM tasks ORDER BY ordinal")
        if ids in ([row[0] for row in stored if not row[1]], [row[0] for row in stored]) and stored:
            return
        planned_ids = {row[2]: row[0] for row in stored if not row[1]}
        if SALVAGED in self.provenance and all(
            number < len(ids) and ids[number] == key for number, key in planned_ids.items()
        ):
            with self._transaction():
                for number, task in enumerate(tasks):
                    if number not in planned_ids:
                        insert_tasks(self._connection, [task], first=number, is_appended=False)
            return
        if stored:
            planned = sum(not row[1] for row in stored)
            raise StoreError(
                f"store {self.path}: holds {planned} tasks that differ from the {len(ids)} planned now "
                "(another version of annette?); name a new store"
            )
        with self._transaction():
            insert_tasks(self._connection, tasks, first=0, is_appended=False)

    def append_tasks(self, tasks: Sequence[Task]) -> None:
        """Keep more tasks behind the plan's, all at once; those that the store has already stay as they are.

        Raises
        ------
        StoreError
            If a task is there twice, or the plan's own tasks have not been added yet.
        """
        _distinct_ids(tasks, self.path)
        stored = {row[0]: row[1] for row in self._rows("SELECT id, ordinal FROM tasks")}
        if not stored:
            raise StoreError(f"store {self.path}: holds no tasks; add the plan's tasks first")
        new = [task for task in tasks if task.id not in stored]
        with self._transaction():
            insert_tasks(self._connection, new, first=max(stored.values()) + 1, is_appended=True)

    def record(self, task_id: str, measurement: Measurement) -> None:
        """Keep one measurement as the task's next visit, in a transaction of its own.

        Raises
        ------
        StoreError
            If the task is unknown, has failed before or has all its visits, or the measurement is another
            network's or device's.
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
        query = "SELECT count(*), total(visits), count(error) FROM measurements WHERE ordinal = ?"
        with self._transaction():
            visit, visits, failed = self._connection.execute(query, (ordinal,)).fetchone()
            most = most_visits(self.device)
            if failed or visits >= most:
                raise StoreError(
                    f"store {self.path}: task {task_id} is measured already, expected "
                    f"{'each once' if most == 1 else f'at most {most} visits, and none after a failed one'}"
                )
            try:
                insert_measurement(self._connection, ordinal, visit, measurement)
            except ValueError as err:
                raise StoreError(
                    f"store {self.path}: task {task_id}: {err}; a backend must answer finite numbers"
                ) from err

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


def _distinct_ids(tasks: Sequence[Task], path: Path) -> list[str]:
    ids = [task.id for task in tasks]
    doubled = next((item for item, count in Counter(ids).items() if count > 1), None)
    if doubled is not None:
        raise StoreError(f"store {path}: task {doubled} is planned twice, expected each once")
    return ids
