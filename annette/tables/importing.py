"""Makes a campaign store of a kernel table: a row is a measured kernel, a network's time a measured whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from annette.errors import UsageError
from annette.evaluation.table_file import Cell, read_columns
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.store.campaign import CampaignStore
from annette.store.records import TIMED_IN, WHOLE_NETWORK, PlanRecord, Record, Task
from annette.tables.kernel import TableKernel, add_kernel
from annette.tables.profiles import PROFILE_SUFFIXES, read_profile
from annette.tables.rows import Problem, read_kernels, read_latencies
from annette.tables.schema import TableSchema

__all__ = [
    "ImportedTable",
    "import_table",
    "read_table",
    "table_device",
    "table_networks",
    "table_records",
]

_MIN_GROUPS = 5
"""With fewer networks cross-validation leaves out kernels of one shape, and not networks."""
_MAX_KERNELS = 100_000
"""So many rows a store takes; a platform needs some thousand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedTable:
    """What a kernel table holds of one device."""

    device: str
    """Its name."""
    n_rows: int
    """Rows of the table."""
    kernels: tuple[TableKernel, ...]
    """Those that could be read."""
    problems: tuple[Problem, ...]
    """Why the others could not."""
    latencies: Mapping[str, float]
    """End-to-end seconds by network."""
    network_problems: tuple[Problem, ...] = ()
    """Rows of the table of networks that could not be read."""
    incomplete: frozenset[str] = frozenset()
    """Networks with rows that could not be read: their end-to-end times say nothing of an overhead."""
    source: str = ""
    """SHA-256 of what was read."""

    @property
    def timed(self) -> tuple[TableKernel, ...]:
        """The kernels with a time."""
        return tuple(kernel for kernel in self.kernels if kernel.latency_s is not None)

    def whole_networks(self) -> dict[str, float]:
        """End-to-end seconds of the networks whose kernels are all known."""
        known = {kernel.network for kernel in self.kernels} - self.incomplete
        return {name: value for name, value in self.latencies.items() if name in known}

    def units(self) -> dict[str, int]:
        """How often each kernel of the device ran, most frequent first."""
        counts: dict[str, int] = {}
        for kernel in self.kernels:
            counts[kernel.unit] = counts.get(kernel.unit, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def read_table(
    path: str | PathLike[str],
    schema: TableSchema,
    *,
    device: str | None = None,
    networks: str | PathLike[str] | None = None,
) -> ImportedTable:
    """The kernels in a CSV or Parquet file or a profile, with end-to-end times from ``networks``.

    Parameters
    ----------
    path : str or path
        The table of kernels.
    schema : TableSchema
        What its columns hold; see `annette.tables.schema.read_schema`.
    device : str, optional
        The device whose columns to read, where the table has several; the file's name by default.
    networks : str or path, optional
        A table of networks with end-to-end times.

    Raises
    ------
    UsageError
        If a column is missing, or the table has several devices and none of them is named.
    StoreError
        If a file cannot be read, or has too many rows.
    """
    columns = _columns(path)
    name = _device(columns, schema, device, Path(path))
    kernels, problems, incomplete = read_kernels(columns, schema, name, where=str(path))
    if len(kernels) > _MAX_KERNELS:
        raise UsageError(
            f"{path}: {len(kernels)} kernels, expected at most {_MAX_KERNELS}; import a part of them"
        )
    latencies: dict[str, float] = {}
    network_problems: list[Problem] = []
    if networks is not None:
        latencies, network_problems = read_latencies(_columns(networks), schema, name, where=str(networks))
    digest = hashlib.sha256(repr((kernels, sorted(latencies.items()))).encode()).hexdigest()
    return ImportedTable(
        device=name,
        n_rows=len(columns[schema.operator]),
        kernels=tuple(kernels),
        problems=tuple(problems),
        latencies=latencies,
        network_problems=tuple(network_problems),
        incomplete=incomplete,
        source=digest,
    )


def _columns(path: str | PathLike[str]) -> Mapping[str, Sequence[Cell]]:
    return read_profile(path) if Path(path).suffix.lower() in PROFILE_SUFFIXES else read_columns(path)


def _device(columns: Mapping[str, object], schema: TableSchema, device: str | None, path: Path) -> str:
    if not schema.needs_device:
        return device or path.stem
    known = schema.devices(columns)
    if device is None and len(known) == 1:
        return known[0]
    if device not in known:
        found = "no device" if device is None else f"device {device!r}"
        raise UsageError(f"{path}: {found}, expected one of {', '.join(known) or '(none has such a column)'}")
    return device


def table_networks(kernels: Sequence[TableKernel]) -> dict[str, Network]:
    """The networks of a table by name: their kernels side by side, since no table says who feeds whom."""
    builders: dict[str, NetworkBuilder] = {}
    results: dict[str, list[str]] = {}
    for kernel in kernels:
        build = builders.setdefault(kernel.network, NetworkBuilder(kernel.network))
        results.setdefault(kernel.network, []).append(add_kernel(build, kernel)[1])
    return {name: build.finish(*results[name]) for name, build in builders.items()}


def import_table(table: ImportedTable, schema: TableSchema, store: str | Path) -> None:
    """Write the table as a campaign into a new store, which ``annette train`` takes.

    Raises
    ------
    UsageError
        If no row has a time.
    StoreError
        If there is a store already, or it cannot be written.
    """
    if not table.timed:
        raise UsageError(
            f"kernel table of {table.device}: no row that could be read has a time, nothing to import"
        )
    device = table_device(table, schema)
    records = table_records(table, device)
    text = json.dumps({"source_sha256": table.source, "schema": schema.where}, sort_keys=True)
    plan = PlanRecord(name="kernel table", seed=0, text=text)
    with CampaignStore.create(store, device=device, plan=plan) as kept:
        kept.add_tasks([record.task for record in records])
        for record in records:
            kept.record(record.task.id, record.measurement)


def table_device(table: ImportedTable, schema: TableSchema) -> DeviceInfo:
    """The device as far as a table tells."""
    return DeviceInfo(
        name=table.device,
        backend="table",
        description=f"kernels timed by others: {len(table.timed)} rows",
        activation_bytes=schema.activation_bytes,
        weight_bytes=schema.weight_bytes,
        environment=(("source_sha256", table.source),),
    )


def table_records(table: ImportedTable, device: DeviceInfo) -> tuple[Record, ...]:
    """Each kernel with a time as a measured network of its own, then each network with an end-to-end time."""
    return (*_kernel_records(table, device), *_whole_records(table, device))


def _kernel_records(table: ImportedTable, device: DeviceInfo) -> Iterator[Record]:
    by_network = len({kernel.network for kernel in table.timed}) >= _MIN_GROUPS
    for kernel in table.kernels:
        if kernel.latency_s is None:
            continue
        shape = (kernel.operator, kernel.input_shape, kernel.output_shape, kernel.kernel, kernel.groups)
        build = NetworkBuilder(f"{kernel.network} row {kernel.row}")
        mapped, result = add_kernel(build, kernel)
        network = build.finish(result)
        values_s = (kernel.latency_s,)
        task = Task(
            network=network,
            category="block" if kernel.fused else "micro-kernel",
            group=kernel.network if by_network else f"shape {shape}",
            tags=(("row", str(kernel.row)), (TIMED_IN, kernel.network)),
        )
        measurement = Measurement(
            network_id=network.id,
            device=device,
            values_s=values_s,
            kernels=(KernelMeasurement(kernel=mapped, values_s=values_s),),
        )
        yield Record(task=task, measurement=measurement)


def _whole_records(table: ImportedTable, device: DeviceInfo) -> Iterator[Record]:
    latencies = table.whole_networks()
    kernels = [kernel for kernel in table.kernels if kernel.network in latencies]
    for name, network in table_networks(kernels).items():
        task = Task(network=network, category="block", group=name, tags=((WHOLE_NETWORK, name),))
        measurement = Measurement(network_id=network.id, device=device, values_s=(latencies[name],))
        yield Record(task=task, measurement=measurement)
