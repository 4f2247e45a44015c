"""Makes a campaign store of a kernel table: a row is a measured kernel, a network's time a measured whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from annette.errors import UsageError
from annette.evaluation import table_file
from annette.evaluation.table_file import TableFile
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.store.campaign import CampaignStore
from annette.store.records import TIMED_IN, WHOLE_NETWORK, PlanRecord, Record, Task
from annette.store.strict_json import shorten
from annette.tables.kernel import TableKernel, add_kernel
from annette.tables.profiles import PROFILE_SUFFIXES, read_profile
from annette.tables.rows import Problem, read_kernels, read_latencies
from annette.tables.schema import PROFILE_SCHEMAS, TableSchema

__all__ = [
    "ImportedTable",
    "draw_networks",
    "import_table",
    "leave_out",
    "read_table",
    "read_tables",
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
    read, network_s = _file(path, schema)
    columns = read.columns
    name = _device(columns, schema, device, Path(path))
    if len(read.row_numbers) > _MAX_KERNELS:
        raise UsageError(
            f"{path}: {len(read.row_numbers)} rows, expected at most {_MAX_KERNELS}; import a part of them"
        )
    kernels, problems, incomplete = read_kernels(
        columns, schema, name, where=str(path), row_numbers=read.row_numbers, network=Path(path).stem
    )
    latencies: dict[str, float] = {} if network_s is None else {Path(path).stem: network_s}
    network_problems: list[Problem] = []
    if networks is not None:
        wholes = table_file.read_table(networks)
        latencies, network_problems = read_latencies(
            wholes.columns, schema, name, where=str(networks), row_numbers=wholes.row_numbers
        )
    return ImportedTable(
        device=name,
        n_rows=len(columns[schema.operator]),
        kernels=tuple(kernels),
        problems=tuple(problems),
        latencies=latencies,
        network_problems=tuple(network_problems),
        incomplete=incomplete,
        source=_digest(kernels, latencies),
    )


def read_tables(
    paths: Sequence[str | PathLike[str]],
    schema: TableSchema,
    *,
    device: str | None = None,
    networks: str | PathLike[str] | None = None,
) -> ImportedTable:
    """Several tables or profiles of one device, each with networks of its own, as one; as `read_table`.

    Raises
    ------
    UsageError
        If ``device`` is not named although nothing else tells it, or two tables have a network of one name.
    StoreError
        If a file cannot be read, or has too many rows.
    """
    if len(paths) == 1:
        return read_table(paths[0], schema, device=device, networks=networks)
    if device is None and not schema.needs_device:
        raise UsageError(f"{len(paths)} tables: whose times are they? name the device, as in --device phone")
    owner: dict[str, int] = {}
    tables: list[ImportedTable] = []
    for number, path in enumerate(paths):
        table = read_table(path, schema, device=device, networks=networks)
        for name in dict.fromkeys(kernel.network for kernel in table.kernels):
            if owner.setdefault(name, number) != number:
                raise UsageError(
                    f"{path}: has kernels of network {shorten(name)!r}, as {paths[owner[name]]} has; "
                    "expected each network in one table"
                )
        problems = tuple(replace(item, file=Path(path).name) for item in table.problems)
        tables.append(replace(table, problems=problems))
    if len({table.device for table in tables}) > 1:
        raise UsageError(f"{len(paths)} tables: of several devices, expected one; name it by --device")
    kernels = tuple(kernel for table in tables for kernel in table.kernels)
    if len(kernels) > _MAX_KERNELS:
        raise UsageError(f"{len(kernels)} kernels, expected at most {_MAX_KERNELS}; import a part of them")
    latencies = {name: value for table in tables for name, value in table.latencies.items()}
    return ImportedTable(
        device=tables[0].device,
        n_rows=sum(table.n_rows for table in tables),
        kernels=kernels,
        problems=tuple(problem for table in tables for problem in table.problems),
        latencies=latencies,
        network_problems=tables[0].network_problems,
        incomplete=frozenset().union(*(table.incomplete for table in tables)),
        source=_digest(kernels, latencies),
    )


def _digest(kernels: Sequence[TableKernel], latencies: Mapping[str, float]) -> str:
    return hashlib.sha256(repr((list(kernels), sorted(latencies.items()))).encode()).hexdigest()


def draw_networks(table: ImportedTable, count: int, *, seed: int = 0) -> list[str]:
    """So many networks of the table at random, in the table's order; the same seed gives the same.

    Raises
    ------
    UsageError
        If the table has no more networks than that.
    """
    import numpy as np

    known = list(dict.fromkeys(kernel.network for kernel in table.kernels))
    if not 0 < count < len(known):
        raise UsageError(
            f"--leave-out {count}: expected 1 to {len(known) - 1} of the table's {len(known)} networks"
        )
    chosen = np.random.default_rng(seed).choice(len(known), count, replace=False)
    return [known[number] for number in sorted(chosen.tolist())]


def leave_out(table: ImportedTable, networks: Sequence[str]) -> ImportedTable:
    """The table without these networks, for a platform that is to be evaluated on them.

    Raises
    ------
    UsageError
        If the table has no such network, or none is left.
    """
    known = dict.fromkeys(kernel.network for kernel in table.kernels)
    unknown = [name for name in networks if name not in known]
    if unknown:
        raise UsageError(
            f"network {shorten(unknown[0])!r}: the table has none of that name, expected some of "
            f"{shorten(', '.join(known))}"
        )
    gone = frozenset(networks)
    if not set(known) - gone:
        raise UsageError(f"{len(gone)} networks left out: none is left to learn from")
    kernels = tuple(kernel for kernel in table.kernels if kernel.network not in gone)
    latencies = {name: value for name, value in table.latencies.items() if name not in gone}
    return replace(table, kernels=kernels, latencies=latencies, source=_digest(kernels, latencies))


def _file(path: str | PathLike[str], schema: TableSchema) -> tuple[TableFile, float | None]:
    """The columns of a table or profile, and the end-to-end seconds that a profile tells."""
    suffix = Path(path).suffix.lower()
    if suffix not in PROFILE_SUFFIXES:
        return table_file.read_table(path), None
    wanted = PROFILE_SCHEMAS[suffix]
    if schema.where != wanted and (schema.where in PROFILE_SCHEMAS.values() or schema.operator != "operator"):
        raise UsageError(f"{path}: is a runtime's profile, not a table: read it by --columns {wanted}")
    found = read_profile(path)
    columns = {name: list(cells) for name, cells in found.columns.items()}
    return TableFile(columns=columns, row_numbers=range(1, len(columns["time"]) + 1)), found.network_s


def _device(columns: Mapping[str, object], schema: TableSchema, device: str | None, path: Path) -> str:
    if not schema.needs_device:
        return device or path.stem
    known = schema.devices(columns)
    if not known:
        raise UsageError(
            f"{path}: no column like {schema.latency.column!r}, expected one a device as the schema says; "
            f"the table has {shorten(', '.join(columns))}"
        )
    if device is None and len(known) == 1:
        return known[0]
    if device not in known:
        found = "no device" if device is None else f"device {shorten(device)!r}"
        raise UsageError(f"{path}: {found}, expected one of {', '.join(known)}; name it by --device")
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
