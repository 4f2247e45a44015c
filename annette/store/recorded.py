"""A recorded campaign: device, plan, tasks and combined measurements in one small Parquet file.

A file may come from strangers: nothing in it is executed, its pages are not compressed (what takes little
room in the file cannot take much in memory), rows are read one by one, and texts unpacked up to a limit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annette.errors import AnnetteError, StoreError
from annette.measurement import DeviceInfo
from annette.store.codec import (
    device_from_json,
    device_to_json,
    measurement_to_json,
    network_to_bytes,
    pack_text,
    pairs_from_json,
    unpack_text,
)
from annette.store.records import PlanRecord
from annette.store.rows import StoredTask, read_measurement, read_task
from annette.store.strict_json import parse_strict_json, shorten

__all__ = [
    "RECORDED_SCHEMA_VERSION",
    "RecordedCampaign",
    "read_campaign",
    "require_pyarrow",
    "write_campaign",
]

RECORDED_SCHEMA_VERSION = 1
"""Version of the file's columns and header."""

MAX_FILE_BYTES = 256 * 1024 * 1024
"""No recorded campaign is larger: one of thousands of networks has a few million bytes."""
MAX_TASKS = 1_000_000
"""No campaign has more tasks."""

_HEADER = b"annette_campaign"
_ROWS_A_GROUP = 4096
_MAX_SEED_LETTERS = 19  # what the store's integers hold


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCampaign:
    """What a recorded campaign holds."""

    device: DeviceInfo
    """What it was measured on."""
    plan: PlanRecord
    """What was planned."""
    provenance: dict[str, str]
    """Versions and machine of the run."""
    tasks: tuple[StoredTask, ...]
    """In the store's order."""


def require_pyarrow() -> Any:
    """pyarrow, with ``pyarrow.parquet`` loaded.

    Raises
    ------
    StoreError
        If it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as err:
        raise StoreError(
            "Parquet: pyarrow is not installed; install it with `pip install annette[parquet]`"
        ) from err
    return pyarrow


def write_campaign(campaign: RecordedCampaign, path: Path) -> Path:
    """Write ``campaign`` to ``path``, whole or not at all; returns the path.

    Raises
    ------
    StoreError
        If pyarrow is missing (extra ``parquet``), the name does not end in .parquet, or the file cannot be
        written.
    """
    arrow = require_pyarrow()
    if path.suffix != ".parquet":
        raise StoreError(f"recorded campaign {path}: expected a file name that ends in .parquet")
    header = {
        "schema_version": RECORDED_SCHEMA_VERSION,
        "device": device_to_json(campaign.device),
        "plan": {"name": campaign.plan.name, "seed": str(campaign.plan.seed), "text": campaign.plan.text},
        "provenance": campaign.provenance,
    }
    schema = arrow.schema(_columns(arrow), metadata={_HEADER: json.dumps(header, sort_keys=True).encode()})
    table = arrow.Table.from_pylist([_row(item) for item in campaign.tasks], schema=schema)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        arrow.parquet.write_table(
            table, part, compression="none", use_dictionary=False, row_group_size=_ROWS_A_GROUP
        )
        os.replace(part, path)
    except OSError as err:
        raise StoreError(f"recorded campaign {path}: {err}; choose a place that may be written") from err
    finally:
        part.unlink(missing_ok=True)
    return path


def read_campaign(path: Path) -> RecordedCampaign:
    """The recorded campaign at ``path``.

    Raises
    ------
    StoreError
        If pyarrow is missing, or the file is missing, too large, damaged or of another schema version.
    """
    arrow = require_pyarrow()
    where = f"recorded campaign {path}"
    if not os.path.isfile(path):
        raise StoreError(f"{where}: no such file; make one with `annette benchmark --record {path}`")
    size = os.path.getsize(path)
    if size > MAX_FILE_BYTES:
        raise StoreError(f"{where}: {size} bytes, expected at most {MAX_FILE_BYTES}")
    try:
        with arrow.parquet.ParquetFile(path) as file:
            device, plan, provenance = _read_header(file.schema_arrow.metadata or {}, where)
            _check_layout(arrow, file, where)
            tasks = tuple(_read_tasks(file, device, where))
    except (arrow.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError) as err:
        if isinstance(err, AnnetteError):
            raise err if where in str(err) else StoreError(f"{where}: {err}") from err
        raise StoreError(f"{where}: {shorten(err).rstrip('.')}; it is damaged, or none of annette's") from err
    ids = {item.task.id for item in tasks}
    if len(ids) != len(tasks) or not tasks:
        raise StoreError(f"{where}: {len(tasks)} tasks, {len(ids)} of them different; restore a copy of it")
    return RecordedCampaign(device=device, plan=plan, provenance=provenance, tasks=tasks)


def _columns(arrow: Any) -> list[Any]:
    return [
        *(
            arrow.field(name, arrow.string(), nullable=False)
            for name in ("task_id", "category", "group", "tags")
        ),
        arrow.field("is_appended", arrow.bool_(), nullable=False),
        arrow.field("network_id", arrow.string(), nullable=False),
        arrow.field("network", arrow.binary(), nullable=False),
        arrow.field("visits", arrow.int64(), nullable=False),
        arrow.field("result", arrow.binary()),
        arrow.field("error", arrow.string()),
        arrow.field("seed", arrow.int64()),
    ]


def _row(item: StoredTask) -> dict[str, object]:
    task, measurement = item.task, item.measurement
    has_values = measurement is not None and measurement.error is None
    return {
        "task_id": task.id,
        "category": task.category,
        "group": task.group,
        "tags": json.dumps(task.tags),
        "is_appended": item.is_appended,
        "network_id": task.network.id,
        "network": network_to_bytes(task.network),
        "visits": item.visits,
        "result": pack_text(measurement_to_json(measurement)) if measurement and has_values else None,
        "error": measurement.error if measurement else None,
        "seed": measurement.seed if measurement else None,
    }


def _read_header(metadata: dict[bytes, bytes], where: str) -> tuple[DeviceInfo, PlanRecord, dict[str, str]]:
    if _HEADER not in metadata:
        raise StoreError(f"{where}: a Parquet file, but no recorded campaign of annette; name another file")
    header = parse_strict_json(metadata[_HEADER])
    version = header["schema_version"]
    if version != RECORDED_SCHEMA_VERSION:
        raise StoreError(
            f"{where}: schema_version {shorten(repr(version))}, expected {RECORDED_SCHEMA_VERSION}; "
            "read it with the version of annette that wrote it"
        )
    plan = header["plan"]
    name, seed, text = plan["name"], plan["seed"], plan["text"]
    if not all(isinstance(item, str) for item in (name, seed, text)) or len(seed) > _MAX_SEED_LETTERS:
        raise ValueError("a plan that is not name, seed and text")
    provenance = dict(pairs_from_json(json.dumps(header["provenance"])))
    return device_from_json(header["device"]), PlanRecord(name=name, seed=int(seed), text=text), provenance


def _check_layout(arrow: Any, file: Any, where: str) -> None:
    """Refuse other columns than ours, too many rows, and pages that could unpack to more than the file."""
    expected = arrow.schema(_columns(arrow))
    if not file.schema_arrow.equals(expected, check_metadata=False):
        raise StoreError(f"{where}: other columns than those of a recorded campaign; restore a copy of it")
    if file.metadata.num_rows > MAX_TASKS:
        raise StoreError(f"{where}: {file.metadata.num_rows} tasks, expected at most {MAX_TASKS}")
    for group in range(file.metadata.num_row_groups):
        for column in range(len(expected)):
            if file.metadata.row_group(group).column(column).compression != "UNCOMPRESSED":
                raise StoreError(f"{where}: compressed pages, expected none; write it again with annette")


def _read_tasks(file: Any, device: DeviceInfo, where: str) -> Iterator[StoredTask]:
    for batch in file.iter_batches(batch_size=1, use_threads=False):
        for row in batch.to_pylist():
            yield _read_row(row, device, where)


def _read_row(row: dict[str, Any], device: DeviceInfo, where: str) -> StoredTask:
    network_id, visits = row["network_id"], row["visits"]
    task = read_task(
        where, row["task_id"], row["category"], row["group"], row["tags"], network_id, row["network"]
    )
    result, error = row["result"], row["error"]
    is_known = result is not None or error is not None
    if (result is not None and error is not None) or (visits < 1) is is_known:
        raise StoreError(f"{where}: task {task.id}: no measurement, but parts of one; restore a copy of it")
    if not is_known:
        return StoredTask(task=task, is_appended=row["is_appended"], visits=0, measurement=None)
    text = None if result is None else unpack_text(result, f"{where}: task {task.id}")
    measurement = read_measurement(text, error, row["seed"], network_id=network_id, device=device)
    return StoredTask(task=task, is_appended=row["is_appended"], visits=visits, measurement=measurement)
