"""The kernel table: every kernel of one or many networks as one row of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.graph.mapping import Mapping as LayerMapping
from annette.graph.network import Network
from annette.measurement import DeviceInfo
from annette.models.kernel_distance import reuse_distances
from annette.models.kernel_row import COLUMNS, UNITS, KernelReader

__all__ = [
    "COLUMNS",
    "KernelTable",
    "build_kernel_table",
    "concatenate_tables",
    "fill_network_columns",
    "moved_bytes",
]

COLUMN_INDEX = MappingProxyType({name: index for index, name in enumerate(COLUMNS)})
_DISTANCES = [COLUMN_INDEX[name] for name in ("near_bytes", "far_bytes", "recent_bytes")]
_MOVED = tuple(COLUMN_INDEX[name] for name in ("input_bytes", "weight_bytes", "output_bytes"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KernelTable:
    """One row a kernel, in the order of the networks and of their mappings.

    Raises
    ------
    ModelError
        If the parts differ in length or an index is out of range.
    """

    values: NDArray[np.float64]
    """Shape (n_kernels, n_columns); the columns are `COLUMNS`, units in `annette.models.kernel_row`."""
    family_names: tuple[str, ...]
    """The distinct family keys; a key is a layer family, with ``@unit`` where the unit is unusual, or
    ``move@unit``."""
    family_index: NDArray[np.int64]
    """Shape (n_kernels,): the row's family key as a position in `family_names`."""
    network_index: NDArray[np.int64]
    """Shape (n_kernels,): which network the row belongs to."""
    n_networks: int
    """Number of networks, those without kernels included."""

    def __post_init__(self) -> None:
        n_kernels = len(self.values)
        if self.values.shape != (n_kernels, len(COLUMNS)):
            raise ModelError(f"kernel table: shape {self.values.shape}, expected {len(COLUMNS)} columns")
        for name, limit in (("family_index", len(self.family_names)), ("network_index", self.n_networks)):
            index: NDArray[np.int64] = getattr(self, name)
            if index.shape != (n_kernels,):
                raise ModelError(f"kernel table: {name} has shape {index.shape}, expected ({n_kernels},)")
            if n_kernels and not 0 <= int(index.min()) <= int(index.max()) < limit:
                raise ModelError(f"kernel table: {name} is outside 0..{limit - 1}")
        for array in (self.values, self.family_index, self.network_index):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> NDArray[np.float64]:
        """The column of that name, shape (n_kernels,).

        Raises
        ------
        ModelError
            If there is none.
        """
        try:
            column: NDArray[np.float64] = self.values[:, COLUMN_INDEX[name]]
        except KeyError:
            raise ModelError(
                f"kernel table: no column {name!r}, expected one of {', '.join(COLUMNS)}"
            ) from None
        return column

    @property
    def moved_bytes(self) -> NDArray[np.float64]:
        """Bytes entering and leaving each kernel, weights included, shape (n_kernels,)."""
        return self.column("input_bytes") + self.column("weight_bytes") + self.column("output_bytes")

    @property
    def families(self) -> tuple[str, ...]:
        """The family key of each row."""
        return tuple(self.family_names[index] for index in self.family_index)

    def rows_of(self, family: str) -> NDArray[np.int64]:
        """Positions of the rows with this family key, ascending."""
        if family not in self.family_names:
            return np.empty(0, dtype=np.int64)
        found: NDArray[np.int64] = np.flatnonzero(self.family_index == self.family_names.index(family))
        return found

    def sums_by_family(self, latency_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over each network's kernels of each family, shape (n_networks, n_families)."""
        n_families = len(self.family_names)
        place = self.network_index * n_families + self.family_index
        sums = np.bincount(place, latency_s, self.n_networks * n_families)
        return sums.astype(np.float64).reshape(self.n_networks, n_families)

    def without_families(self) -> KernelTable:
        """The same kernels as if no more were known of their families and operators than the unit."""
        values = self.values.copy()
        values[:, COLUMN_INDEX["operator"]] = 0.0
        return KernelTable(
            values=values,
            family_names=tuple(f"*@{unit}" for unit in UNITS),
            family_index=values[:, COLUMN_INDEX["unit"]].astype(np.int64),
            network_index=self.network_index,
            n_networks=self.n_networks,
        )

    def renamed(self, names: Mapping[str, str]) -> KernelTable:
        """The same rows with some families called otherwise."""
        keys: dict[str, int] = {}
        codes = [keys.setdefault(names.get(name, name), len(keys)) for name in self.family_names]
        index = np.array(codes, dtype=np.int64)[self.family_index] if codes else self.family_index
        return KernelTable(
            values=self.values,
            family_names=tuple(keys),
            family_index=index,
            network_index=self.network_index,
            n_networks=self.n_networks,
        )

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> KernelTable:
        """The table of these rows, in this order."""
        return KernelTable(
            values=self.values[rows],
            family_names=self.family_names,
            family_index=self.family_index[rows],
            network_index=self.network_index[rows],
            n_networks=self.n_networks,
        )


def build_kernel_table(items: Sequence[tuple[Network, LayerMapping]], device: DeviceInfo) -> KernelTable:
    """The kernels of networks under their mappings, as a table.

    Parameters
    ----------
    items : sequence of (Network, Mapping)
        One pair a network; ``network_index`` counts them.
    device : DeviceInfo
        Says how many bytes an activation and a weight take; where it does not know, the tensors' own
        dtypes count.

    Raises
    ------
    GraphError
        If a mapping names a layer its network does not have.
    """
    rows: list[tuple[float, ...]] = []
    keys: dict[str, int] = {}
    family_index: list[int] = []
    network_index: list[int] = []
    distances: list[tuple[float, float, float]] = []
    for number, (network, mapping) in enumerate(items):
        reader = KernelReader(network, mapping, device)
        for kernel in mapping.kernels:
            rows.append(reader.row(kernel))
            family_index.append(keys.setdefault(reader.family_key(kernel), len(keys)))
            network_index.append(number)
        if device.cache_bytes:  # without caches it does not matter what else a network moves
            per_kernel = moved_bytes(np.array(rows[len(distances) :]).reshape(-1, len(COLUMNS)))
            distances.extend(reuse_distances(network, mapping, per_kernel, reader.source))
    values = np.array(rows, dtype=np.float64).reshape(len(rows), len(COLUMNS))
    networks = np.array(network_index, dtype=np.int64)
    if device.cache_bytes:
        fill_network_columns(values, networks, len(items), distances)
    return KernelTable(
        values=values,
        family_names=tuple(keys),
        family_index=np.array(family_index, dtype=np.int64),
        network_index=networks,
        n_networks=len(items),
    )


def moved_bytes(values: NDArray[np.float64]) -> list[float]:
    """Bytes entering and leaving each kernel of rows of shape (n_kernels, n_columns), weights included."""
    moved: list[float] = sum(values[:, at] for at in _MOVED).tolist()  # type: ignore[union-attr]
    return moved


def fill_network_columns(
    values: NDArray[np.float64],
    networks: NDArray[np.int64],
    n_networks: int,
    distances: Sequence[tuple[float, float, float]],
) -> None:
    """Write into rows of kernels what takes their whole network to tell.

    Parameters
    ----------
    values : ndarray of shape (n_kernels, n_columns)
        Changed in place.
    networks : ndarray of shape (n_kernels,)
        Which network a row belongs to.
    n_networks : int
        Number of networks.
    distances : sequence of n_kernels triples
        As `annette.models.kernel_distance` tells them.
    """
    moved = values[:, COLUMN_INDEX["weight_bytes"]] + values[:, COLUMN_INDEX["output_bytes"]]
    values[:, COLUMN_INDEX["network_bytes"]] = np.bincount(networks, moved, n_networks)[networks]
    values[:, _DISTANCES] = np.array(distances).reshape(-1, len(_DISTANCES))


def concatenate_tables(tables: Sequence[KernelTable]) -> KernelTable:
    """One table with the rows of all, the networks numbered on."""
    keys: dict[str, int] = {}
    family_index: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    network_index: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    n_networks = 0
    for table in tables:
        codes = np.array([keys.setdefault(name, len(keys)) for name in table.family_names], dtype=np.int64)
        family_index.append(codes[table.family_index] if len(codes) else table.family_index)
        network_index.append(table.network_index + n_networks)
        n_networks += table.n_networks
    empty = np.empty((0, len(COLUMNS)))
    return KernelTable(
        values=np.concatenate([empty, *(table.values for table in tables)]),
        family_names=tuple(keys),
        family_index=np.concatenate(family_index),
        network_index=np.concatenate(network_index),
        n_networks=n_networks,
    )
