"""Writes a campaign's records as Parquet: one file with a row a kernel, one with a row a network."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from annette.errors import StoreError
from annette.graph.families import layer_family
from annette.graph.geometry import Geometry, layer_geometry
from annette.graph.network import Network
from annette.graph.work import layer_work, network_work
from annette.measurement import KernelMeasurement, Measurement
from annette.store.recorded import require_pyarrow
from annette.store.records import Record

__all__ = ["kernel_rows", "network_row", "write_parquet"]

_ROWS_A_GROUP = 20_000
_GEOMETRY = tuple(item.name for item in dataclasses.fields(Geometry))


def write_parquet(
    records: Iterable[Record], folder: Path, *, visits: Mapping[str, Sequence[Measurement]]
) -> tuple[Path, Path]:
    """Write ``kernels.parquet`` and ``networks.parquet`` into ``folder``; returns their paths.

    Parameters
    ----------
    visits
        The visits that a record was combined from, by the task's id; those without stand for themselves.

    Raises
    ------
    StoreError
        If pyarrow is missing (extra ``parquet``) or the folder cannot be written.
    """
    pyarrow = require_pyarrow()
    kernels: list[dict[str, object]] = []
    networks: list[dict[str, object]] = []
    for record in records:
        raw = visits.get(record.task.id, (record.measurement,))
        networks.append(network_row(record, raw))
        kernels.extend(kernel_rows(record, raw))
    paths = (folder / "kernels.parquet", folder / "networks.parquet")
    columns = (_kernel_columns(pyarrow), _network_columns(pyarrow))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, rows, types in zip(paths, (kernels, networks), columns, strict=True):
            table = pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(types))
            pyarrow.parquet.write_table(table, path, compression="zstd", row_group_size=_ROWS_A_GROUP)
    except OSError as err:
        raise StoreError(f"export to {folder}: {err}; choose a folder that may be written") from err
    return paths


def network_row(record: Record, visits: Sequence[Measurement]) -> dict[str, object]:
    """What was asked and answered for one network: task, sizes, seconds, and each visit as recorded."""
    task, measurement = record.task, record.measurement
    work = network_work(task.network)
    return {
        **_task_fields(record),
        "layers": len(task.network.layers),
        "latency_s": None if measurement.values_s is None else measurement.latency_s,
        "values_s": None if measurement.values_s is None else list(measurement.values_s),
        "error": measurement.error,
        "spread_fraction": measurement.spread_fraction,
        "visit_values_s": [None if item.values_s is None else list(item.values_s) for item in visits],
        "visit_conditions": [sorted(item.conditions.items()) for item in visits],
        "eliminated_layers": list(measurement.eliminated_layers),
        "macs": work.macs,
        "ops": work.ops,
        "params": work.params,
    }


def kernel_rows(record: Record, visits: Sequence[Measurement]) -> Iterator[dict[str, object]]:
    """One row a kernel: its layers, the primary layer's geometry, its work and its seconds.

    A move has no layers: it is of the family ``move``, works on nothing, and reads and writes its tensor.
    """
    raw: dict[object, list[list[float]]] = {}
    for visit in visits:
        for key, item in _keyed(visit):
            raw.setdefault(key, []).append(list(item.values_s))
    for key, item in _keyed(record.measurement):
        describe = _move_fields if item.kernel.is_move else _layer_fields
        yield {
            **_task_fields(record),
            "kernel": item.kernel.name,
            "is_move": item.kernel.is_move,
            "tensor": item.kernel.tensor,
            "layers": list(item.kernel.layers),
            "unit": item.kernel.unit,
            "bound": item.bound,
            "latency_s": item.latency_s,
            "values_s": list(item.values_s),
            "visit_values_s": raw.get(key, []),
            **describe(record.task.network, item),
            "counters": sorted(item.counters.items()),
        }


def _keyed(measurement: Measurement) -> Iterator[tuple[object, KernelMeasurement]]:
    """The kernels, each with what tells it from the others: several moves may be alike."""
    seen: Counter[object] = Counter()
    for item in measurement.kernels or ():
        seen[item.kernel.key] += 1
        yield (item.kernel.key, seen[item.kernel.key]), item


def _layer_fields(network: Network, item: KernelMeasurement) -> dict[str, object]:
    primary = network.layer(item.kernel.primary)
    geometry = layer_geometry(network, primary)
    works = [layer_work(network, network.layer(name)) for name in item.kernel.layers]
    main = layer_work(network, primary)
    return {
        "family": layer_family(network, primary),
        "op_types": [network.layer(name).op_type for name in item.kernel.layers],
        "macs": sum(work.macs for work in works),
        "ops": sum(work.ops for work in works),
        "primary_input_bytes": main.input_bytes,
        "primary_weight_bytes": main.weight_bytes,
        "primary_output_bytes": main.output_bytes,
        **{name: getattr(geometry, name) for name in _GEOMETRY},
    }


def _move_fields(network: Network, item: KernelMeasurement) -> dict[str, object]:
    tensor = network.tensors.get(item.kernel.tensor or "")
    size_bytes = None if tensor is None else tensor.size_bytes
    return {
        "family": "move",
        "op_types": [],
        "macs": 0,
        "ops": 0,
        "primary_input_bytes": size_bytes,
        "primary_weight_bytes": 0,
        "primary_output_bytes": size_bytes,
        **dict.fromkeys(_GEOMETRY),
    }


def _task_fields(record: Record) -> dict[str, object]:
    task = record.task
    return {
        "task_id": task.id,
        "network_id": task.network.id,
        "network": task.network.name,
        "category": task.category,
        "group": task.group,
        "tags": list(task.tags),
        "device": record.measurement.device.name,
        "seed": record.measurement.seed,
    }


def _task_columns(arrow: Any) -> list[tuple[str, Any]]:
    texts = ("task_id", "network_id", "network", "category", "group")
    return [
        *((name, arrow.string()) for name in texts),
        ("tags", arrow.map_(arrow.string(), arrow.string())),
        ("device", arrow.string()),
        ("seed", arrow.int64()),
    ]


def _network_columns(arrow: Any) -> list[tuple[str, Any]]:
    return [
        *_task_columns(arrow),
        ("layers", arrow.int64()),
        ("latency_s", arrow.float64()),
        ("values_s", arrow.list_(arrow.float64())),
        ("error", arrow.string()),
        ("spread_fraction", arrow.float64()),
        ("visit_values_s", arrow.list_(arrow.list_(arrow.float64()))),
        ("visit_conditions", arrow.list_(arrow.map_(arrow.string(), arrow.float64()))),
        ("eliminated_layers", arrow.list_(arrow.string())),
        *((name, arrow.int64()) for name in ("macs", "ops", "params")),
    ]


def _kernel_columns(arrow: Any) -> list[tuple[str, Any]]:
    sizes = ("macs", "ops", "primary_input_bytes", "primary_weight_bytes", "primary_output_bytes", *_GEOMETRY)
    return [
        *_task_columns(arrow),
        ("kernel", arrow.string()),
        ("is_move", arrow.bool_()),
        ("tensor", arrow.string()),
        ("family", arrow.string()),
        ("op_types", arrow.list_(arrow.string())),
        ("layers", arrow.list_(arrow.string())),
        ("unit", arrow.string()),
        ("bound", arrow.string()),
        ("latency_s", arrow.float64()),
        ("values_s", arrow.list_(arrow.float64())),
        ("visit_values_s", arrow.list_(arrow.list_(arrow.float64()))),
        *((name, arrow.int64()) for name in sizes),
        ("counters", arrow.map_(arrow.string(), arrow.float64())),
    ]
