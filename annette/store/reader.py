"""Reads a campaign store: its tasks, their visits raw and combined, how far it is, and exports to Parquet."""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from annette.errors import StoreError
from annette.measurement import DeviceInfo, Measurement
from annette.store.database import schema_version, store_errors
from annette.store.records import Noise, PlanRecord, Record, StoreSummary, Task
from annette.store.rows import (
    CAMPAIGN_COLUMNS,
    TASK_COLUMNS,
    StoredTask,
    read_campaign_row,
    read_measurement,
    read_task,
    require_measurement_row,
)
from annette.store.visits import combine_visits

__all__ = ["CampaignReader"]

_MOST = 1e15
"""No time and no load of a machine is greater."""


class CampaignReader:
    """What can be read of a campaign store; `annette.store.campaign.CampaignStore` opens and writes one."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        with store_errors(path):
            self._checksum = "checksum" if schema_version(connection) >= 3 else "NULL"
        row = self._rows(f"SELECT {CAMPAIGN_COLUMNS}, {self._checksum} FROM campaign")
        if not row:
            raise StoreError(
                f"store {path}: it holds no campaign yet; run `annette benchmark --store {path}`"
            )
        self.device: DeviceInfo
        self.plan: PlanRecord
        self.provenance: dict[str, str]
        self.device, self.plan, self.provenance = read_campaign_row(f"store {path}", row[0][:-1], row[0][-1])

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with store_errors(self.path):
            return self._connection.execute(query, values).fetchall()

    @property
    def reference_s(self) -> float | None:
        """Median seconds of the device's reference network over all visits; ``None``: it has none."""
        known = self._known("reference_s")
        return statistics.median(known) if known else None

    def pending(self) -> tuple[str, ...]:
        """Ids of the tasks without all their visits, in the store's order; a failed task has them."""
        query = (
            "SELECT id FROM tasks LEFT JOIN measurements USING (ordinal) GROUP BY ordinal "
            "HAVING count(error) = 0 AND total(visits) < ? ORDER BY ordinal"
        )
        return tuple(str(row[0]) for row in self._rows(query, self.device.visits))

    def visit_counts(self) -> dict[str, int]:
        """How many visits each task has, by its id, in the store's order."""
        query = (
            "SELECT id, total(visits) FROM tasks LEFT JOIN measurements USING (ordinal) "
            "GROUP BY ordinal ORDER BY ordinal"
        )
        return {str(row[0]): int(row[1]) for row in self._rows(query)}

    def tasks(self, task_ids: Collection[str] | None = None) -> Iterator[Task]:
        """The tasks, or those with the given ids, in the store's order.

        Raises
        ------
        StoreError
            If a row is damaged.
        """
        with store_errors(self.path):
            for row in self._connection.execute(f"SELECT {TASK_COLUMNS} FROM tasks ORDER BY ordinal"):
                if task_ids is None or row[0] in task_ids:
                    yield read_task(f"store {self.path}", *row)

    def visits(
        self, task_ids: Collection[str] | None = None
    ) -> Iterator[tuple[Task, tuple[Measurement, ...]]]:
        """Tasks with visits, or those with the given ids, and each visit as it was recorded.

        Raises
        ------
        StoreError
            If a row is damaged.
        """
        for task, _, visits in self._visited(task_ids):
            yield task, visits

    def records(self, task_ids: Collection[str] | None = None, *, partial: bool = False) -> Iterator[Record]:
        """Measured and failed tasks, or those with the given ids, in the store's order: visits are combined.

        A task without all its visits is left out, unless ``partial``: then the visits that it has count.

        Raises
        ------
        StoreError
            If a row is damaged.
        """
        reference_s = self.reference_s
        for task, count, visits in self._visited(task_ids):
            if partial or count >= self.device.visits or any(item.error is not None for item in visits):
                yield Record(task=task, measurement=combine_visits(visits, reference_s=reference_s))

    def _visited(
        self, task_ids: Collection[str] | None = None
    ) -> Iterator[tuple[Task, int, tuple[Measurement, ...]]]:
        """Each task with a measurement, how many visits it has, and its measurements."""
        query = (
            f"SELECT ordinal, {TASK_COLUMNS}, visits, result, error, seed, visit, {self._checksum} "
            "FROM tasks JOIN measurements USING (ordinal) ORDER BY ordinal, visit"
        )
        with store_errors(self.path):
            for _, group in groupby(self._connection.execute(query), key=lambda row: row[0]):
                rows = list(group)
                if task_ids is not None and rows[0][1] not in task_ids:
                    continue
                where = f"store {self.path}"
                task = read_task(where, *rows[0][1:7])
                for row in rows:
                    require_measurement_row(where, row[0], row[11], row[7], row[8], row[9], row[10], row[12])
                visits = tuple(
                    read_measurement(*row[8:11], network_id=task.network.id, device=self.device)
                    for row in rows
                )
                yield task, sum(row[7] for row in rows), visits

    def summary(self) -> StoreSummary:
        """How many tasks are planned, measured and failed, and why."""
        query = (
            "SELECT (SELECT count(*) FROM tasks), total(failed = 0 AND visits >= ?), "
            "total(failed = 0 AND visits < ?), total(failed > 0), total(visits) FROM "
            "(SELECT count(error) AS failed, total(visits) AS visits FROM measurements GROUP BY ordinal)"
        )
        row = self._rows(query, self.device.visits, self.device.visits)[0]
        planned, measured, started, failed, visits = (int(value) for value in row)
        reasons = self._rows(
            "SELECT error, count(*) FROM measurements WHERE error IS NOT NULL "
            "GROUP BY error ORDER BY count(*) DESC, error"
        )
        categories = self._rows("SELECT category, count(*) FROM tasks GROUP BY category ORDER BY category")
        return StoreSummary(
            planned=planned,
            measured=measured,
            started=started,
            failed=failed,
            failures=tuple((str(reason), int(count)) for reason, count in reasons),
            categories=tuple((str(name), int(count)) for name, count in categories),
            visits=visits,
            visits_per_task=self.device.visits,
        )

    def noise(self) -> Noise:
        """How steady the machine was while the campaign ran, as far as the visits tell."""
        reference_s, load = sorted(self._known("reference_s")), sorted(self._known("load_fraction"))
        drift = None
        if reference_s and statistics.median(reference_s) > 0:
            apart_s = _quantile(reference_s, 0.95) - _quantile(reference_s, 0.05)
            drift = apart_s / statistics.median(reference_s)
        return Noise(
            reference_s=statistics.median(reference_s) if reference_s else None,
            drift_fraction=drift,
            load_fraction=statistics.median(load) if load else None,
            peak_load_fraction=_quantile(load, 0.95) if load else None,
        )

    def _known(self, column: str) -> list[float]:
        rows = self._rows(
            f"SELECT {column} FROM measurements WHERE typeof({column}) IN ('real', 'integer') "
            f"AND {column} BETWEEN 0 AND {_MOST}"
        )
        return [float(row[0]) for row in rows]

    # Exporting ---------------------------------------------------------------------------------------

    def export_parquet(self, folder: str | Path) -> tuple[Path, Path]:
        """Write ``kernels.parquet`` and ``networks.parquet`` into ``folder``; returns their paths.

        Raises
        ------
        StoreError
            If pyarrow is missing (extra ``parquet``) or the folder cannot be written.
        """
        from annette.store.export import write_parquet

        raw = self.visits() if self.device.visits > 1 else iter(())
        return write_parquet(self.records(), Path(folder), visits={task.id: items for task, items in raw})

    def export_campaign(self, path: str | Path) -> Path:
        """Write the whole campaign with combined measurements as one Parquet file; returns its path.

        `open` reads it, `from_parquet` makes a store of it, and the ``replay`` backend answers from it.

        Raises
        ------
        StoreError
            If pyarrow is missing (extra ``parquet``) or the file cannot be written.
        """
        from annette.store.recorded import RecordedCampaign, write_campaign

        counts = self.visit_counts()
        answers = {record.task.id: record.measurement for record in self.records()}
        appended = {row[0] for row in self._rows("SELECT id FROM tasks WHERE appended")}
        stored = (
            StoredTask(
                task=task,
                is_appended=task.id in appended,
                visits=counts[task.id] if task.id in answers else 0,
                measurement=answers.get(task.id),
            )
            for task in self.tasks()
        )
        campaign = RecordedCampaign(
            device=self.device, plan=self.plan, provenance=self.provenance, tasks=tuple(stored)
        )
        return write_campaign(campaign, Path(path))


def _quantile(ascending: Sequence[float], fraction: float) -> float:
    return ascending[round(fraction * (len(ascending) - 1))]
