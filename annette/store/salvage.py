"""Checks a campaign store row by row, and saves what can be read of a damaged or an old one."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annette.errors import AnnetteError, StoreError
from annette.measurement import DeviceInfo, Measurement
from annette.store.campaign import CampaignStore
from annette.store.database import connect_reader, schema_version, store_errors
from annette.store.records import SALVAGED, PlanRecord, Task
from annette.store.rows import (
    CAMPAIGN_COLUMNS,
    TASK_COLUMNS,
    insert_measurement,
    insert_tasks,
    read_campaign_row,
    read_measurement,
    read_task,
    require_measurement_row,
)

__all__ = ["StoreCheck", "check_store", "export_store"]

_OLDEST = 1
_MOST_FAULTS = 20
_LEAST_ROW_BYTES = 64
"""Each row takes more, which bounds how many are looked for where nobody knows how many there were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCheck:
    """What can be read of a store, and what cannot."""

    path: str
    """The store."""
    schema_version: int
    """Version of its tables."""
    tasks: int
    """Tasks that can be read."""
    visits: int
    """Measurements that can be read, of these tasks."""
    damaged_tasks: int
    """Rows of tasks that cannot be read."""
    damaged_visits: int
    """Rows of measurements that cannot be read, or whose task cannot."""
    faults: tuple[str, ...]
    """What is wrong, in lines; the first twenty."""

    @property
    def is_sound(self) -> bool:
        """Whether everything can be read and is what was written, as far as checksums tell."""
        return not self.faults

    def to_dict(self) -> dict[str, object]:
        """The check as JSON types."""
        return {
            "store": self.path,
            "store_schema_version": self.schema_version,
            "is_sound": self.is_sound,
            "tasks": self.tasks,
            "visits": self.visits,
            "damaged_tasks": self.damaged_tasks,
            "damaged_visits": self.damaged_visits,
            "faults": list(self.faults),
        }


def check_store(path: str | Path) -> StoreCheck:
    """Read every row of the store, also of an older one; nothing is written.

    Raises
    ------
    StoreError
        If the file is missing, no campaign store, or damaged where it says what it is.
    """
    with _salvage(Path(path)) as salvage:
        for _ in salvage.rows():
            pass
        return salvage.result()


def export_store(path: str | Path, target: str | Path) -> StoreCheck:
    """Write what can be read of the store into a new one of today's version at ``target``.

    A task that is lost with its row is measured again when the campaign is continued with the new store.

    Raises
    ------
    StoreError
        As `check_store`, or if there is something at ``target`` already, or it cannot be written.
    """
    target = Path(target)
    if target.exists():
        raise StoreError(f"store {target}: exists already, expected a new name")
    with _salvage(Path(path)) as salvage:
        try:
            return _export(salvage, target)
        except BaseException:
            for end in ("", "-wal", "-shm", "-lock"):
                target.with_name(f"{target.name}{end}").unlink(missing_ok=True)
            raise


def _export(salvage: _Salvage, target: Path) -> StoreCheck:
    lost = check_store(salvage.path)
    note = {SALVAGED: f"{lost.damaged_tasks} tasks and {lost.damaged_visits} visits lost"}
    provenance = {**salvage.provenance, **({} if lost.is_sound else note)}
    with (
        CampaignStore.create(
            target, device=salvage.device, plan=salvage.plan, provenance=provenance
        ) as store,
        store_errors(target),
    ):
        store._connection.execute("BEGIN IMMEDIATE")
        for ordinal, task, is_appended, visits in salvage.rows():
            insert_tasks(store._connection, [task], first=ordinal, is_appended=is_appended)
            for number, (count, measurement) in enumerate(visits):
                insert_measurement(store._connection, ordinal, number, measurement, visits=count)
        store._connection.execute("COMMIT")
    return salvage.result()


@contextlib.contextmanager
def _salvage(path: Path) -> Iterator[_Salvage]:
    with contextlib.closing(connect_reader(path, oldest=_OLDEST)) as connection:
        yield _Salvage(path, connection)


class _Salvage:
    """Reads a store one row at a time, and notes which cannot be read."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._where = f"store {path}"
        self._connection = connection
        with store_errors(path):
            self._version = schema_version(connection)
            row = connection.execute(
                f"SELECT {CAMPAIGN_COLUMNS}, {'checksum' if self._version >= 3 else 'NULL'} FROM campaign"
            ).fetchone()
        if row is None:
            raise StoreError(f"{self._where}: it holds no campaign yet, so there is nothing to check or save")
        self.device: DeviceInfo
        self.plan: PlanRecord
        self.provenance: dict[str, str]
        self.device, self.plan, self.provenance = read_campaign_row(self._where, row[:-1], row[-1])
        self._structure_faults: list[str] = []
        self._faults = _Faults()
        self._counts = {"tasks": 0, "visits": 0, "damaged_tasks": 0, "damaged_visits": 0}

    def rows(self) -> Iterator[tuple[int, Task, bool, list[tuple[int, Measurement]]]]:
        """Ordinal and task of each row that can be read, whether it was appended, and its measurements."""
        self._structure_faults = list(self._structure())
        self._faults, self._counts = _Faults(), dict.fromkeys(self._counts, 0)
        found = self._measurements()
        seen: set[str] = set()
        for ordinal, row in self._each_row("tasks", f"{TASK_COLUMNS}, {self._column('appended')}", "task"):
            try:
                task = read_task(self._where, *row[:6])
                if task.id in seen:
                    raise StoreError(f"{self._where}: task {task.id} is there twice")
            except AnnetteError as err:
                self._note("task", ordinal, str(err))
                continue
            seen.add(task.id)
            visits = []
            for line, visit in found.pop(ordinal, []):
                try:
                    result, error, seed = visit[1:]
                    measured = read_measurement(
                        result, error, seed, network_id=task.network.id, device=self.device
                    )
                except AnnetteError as err:
                    self._note("visit", line, str(err))
                    continue
                visits.append((visit[0], measured))
            self._counts["tasks"] += 1
            self._counts["visits"] += len(visits)
            yield ordinal, task, bool(row[6]), visits
        for ordinal, lines in found.items():
            for line, _ in lines:
                self._note("visit", line, f"its task (row {ordinal}) cannot be read")

    def result(self) -> StoreCheck:
        """What the last `rows` found."""
        lines = [*self._structure_faults, *self._faults.lines()]
        more = len(self._structure_faults) + self._faults.n_lines - _MOST_FAULTS
        faults = lines[:_MOST_FAULTS] + ([f"and {more} more"] if more > 0 else [])
        return StoreCheck(
            path=str(self.path), schema_version=self._version, faults=tuple(faults), **self._counts
        )

    def _note(self, kind: str, row: int, text: str) -> None:
        self._counts[f"damaged_{kind}s"] += 1
        name = "task" if kind == "task" else "measurement"
        self._faults.add(name, row, text.removeprefix(f"{self._where}: "))

    def _structure(self) -> Iterator[str]:
        """What SQLite's own check says; it looks at the structure of pages and of indices."""
        try:
            found = self._connection.execute(f"PRAGMA integrity_check({_MOST_FAULTS})").fetchall()
        except sqlite3.DatabaseError as err:
            yield f"the file: {err}"
            return
        for row in found:
            for line in str(row[0]).splitlines():
                if line != "ok" and not line.startswith("***"):
                    yield f"the file: {line}"

    def _column(self, name: str) -> str:
        """The column, or what stands for it in the first version."""
        first = {"visit": "0", "visits": "1", "appended": "0"}
        if name == "checksum":
            return name if self._version >= 3 else "NULL"
        return first.get(name, name) if self._version < 2 else name

    def _measurements(self) -> dict[int, list[tuple[int, tuple[Any, ...]]]]:
        """By the ordinal of their tasks: the rows of measurements, in order of visits, by number."""
        names = ("ordinal", "visit", "visits", "result", "error", "seed", "checksum")
        found: dict[int, list[tuple[int, tuple[Any, ...]]]] = {}
        for line, row in self._each_row("measurements", ", ".join(map(self._column, names)), "visit"):
            try:
                require_measurement_row(self._where, *row)
            except StoreError:
                self._note("visit", line, "its values do not match their checksum, or are of other kinds")
                continue
            found.setdefault(row[0], []).append((line, row[1:]))
        for rows in found.values():
            rows.sort(key=lambda item: item[1][0])
        return {
            ordinal: [(line, (row[1], *row[2:5])) for line, row in rows] for ordinal, rows in found.items()
        }

    def _each_row(self, table: str, columns: str, kind: str) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Each row by its number, looked up one by one: a damaged page costs the rows on it alone."""
        query = f"SELECT {columns} FROM {table} WHERE rowid = ?"
        for number in self._numbers(table):
            try:
                row = self._connection.execute(query, (number,)).fetchone()
            except (sqlite3.DatabaseError, UnicodeDecodeError) as err:
                self._note(kind, number, str(err))
                continue
            if row is not None:
                yield number, row

    def _numbers(self, table: str) -> Iterable[int]:
        """The numbers of the table's rows; of pages that cannot be read, all between those around them."""
        most = self._most_rows()
        before, is_whole = self._scan(f"SELECT rowid FROM {table} NOT INDEXED ORDER BY rowid", most)
        if is_whole:
            return before
        index = f"SELECT rowid FROM {table} INDEXED BY sqlite_autoindex_{table}_1"
        listed, is_whole = self._scan(index, most)
        if is_whole:
            return sorted({*before, *listed})
        behind, _ = self._scan(f"SELECT rowid FROM {table} NOT INDEXED ORDER BY rowid DESC", most)
        first = max(before, default=-1) + 1
        last = min([number for number in behind if number >= first], default=first + most)
        lost = range(first, min(last, first + most))  # may be long: it is never a list
        known = sorted({*before, *behind})
        return itertools.chain(
            (number for number in known if number < first),
            lost,
            (number for number in known if number >= first),
        )

    def _most_rows(self) -> int:
        """How many rows the file can hold: by its pages as SQLite counts them, and their place on the disk.

        The size that a file says it has is no bound: it may be stretched, and holes hold no rows.
        """
        pages, page_bytes = (
            int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "page_size")
        )
        size_bytes = 0
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                blocks_bytes = 512 * getattr(stat, "st_blocks", 0)  # not everywhere told
                size_bytes += min(stat.st_size, blocks_bytes or stat.st_size)
        return min(pages * page_bytes, size_bytes) // _LEAST_ROW_BYTES

    def _scan(self, query: str, most: int) -> tuple[list[int], bool]:
        """The numbers up to the first page that cannot be read, and whether there was none.

        No more than ``most``: pages that lead to each other in circles have rows without end.
        """
        found: list[int] = []
        try:
            for row in self._connection.execute(query):
                if len(found) == most:
                    return found, False
                found.append(int(row[0]))
        except sqlite3.DatabaseError:
            return found, False
        return found, True


class _Faults:
    """What is wrong with which row; rows behind one another with the same fault in one line."""

    def __init__(self) -> None:
        self._runs: list[tuple[str, int, int, str]] = []
        self._last: tuple[str, int, int, str] | None = None
        self.n_lines = 0
        """Of all; the first twenty alone are kept, however many there are."""

    def add(self, name: str, row: int, text: str) -> None:
        """Note that the row, of a kind called ``name``, has the fault."""
        if self._last is not None and (name, row - 1, text) == (self._last[0], *self._last[2:]):
            self._last = (name, self._last[1], row, text)
            if self.n_lines == len(self._runs):
                self._runs[-1] = self._last
            return
        self._last = (name, row, row, text)
        self.n_lines += 1
        if self.n_lines <= _MOST_FAULTS:
            self._runs.append(self._last)

    def lines(self) -> list[str]:
        """The first of them for people."""
        return [
            f"row {first} of {name}s: {text}"
            if first == last
            else f"rows {first} to {last} of {name}s: {text}"
            for name, first, last, text in self._runs
        ]
