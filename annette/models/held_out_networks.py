"""Networks of several layers as they would have been estimated had they not been measured."""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network
from annette.measurement import DeviceInfo
from annette.models.kernel_table import KernelTable, build_kernel_table
from annette.models.training import kernel_rows
from annette.store.campaign import Record

__all__ = ["HeldOutNetworks", "held_out_networks"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOutNetworks:
    """Measured networks of several kernels under mappings that were predicted without them.

    Raises
    ------
    ModelError
        If the parts differ in length.
    """

    table: KernelTable
    """The predicted kernels, network by network."""
    rows: NDArray[np.int64]
    """Shape (n_kernels,): the row of the training data that a kernel is; -1 for one that the device does not
    have, or of which no time is known."""
    measured_s: NDArray[np.float64]
    """Shape (n_networks,): seconds, > 0: the sum of the expected times of the kernels that the device has."""

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.table) or len(self.measured_s) != self.table.n_networks:
            raise ModelError("held-out networks: parts differ in length")


def held_out_networks(
    records: Sequence[Record],
    predicted: MappingType[int, Mapping],
    latency_s: NDArray[np.float64],
    device: DeviceInfo,
) -> HeldOutNetworks | None:
    """The held-out networks among records; ``None`` where there are none.

    What is compared is what kernels are fitted to, expected times: the median of a few runs of a few kernels
    is below their mean where now and then a run is disturbed, that of many kernels is not.

    Parameters
    ----------
    records : sequence of Record
        Those that the training data were made of, in the same order.
    predicted : mapping
        Mappings by the record's number among those whose own mapping is known.
    latency_s : ndarray of shape (n_rows,)
        Of the training data, which the records gave.
    device : DeviceInfo
        The measured device.
    """
    items: list[tuple[Network, Mapping]] = []
    rows: list[int] = []
    measured: list[float] = []
    number = -1
    for record, own_rows in zip(records, kernel_rows(records), strict=True):
        seen = record.measurement.mapping
        if seen is None:
            continue
        number += 1
        mapping = predicted.get(number)
        if mapping is None or own_rows is None or not mapping.kernels or not (own_rows >= 0).any():
            continue
        row_of = {_key(kernel): row for kernel, row in zip(seen.kernels, own_rows.tolist(), strict=True)}
        items.append((record.task.network, mapping))
        rows.extend(row_of.get(_key(kernel), -1) for kernel in mapping.kernels)
        measured.append(float(latency_s[own_rows[own_rows >= 0]].sum()))
    if not items:
        return None
    return HeldOutNetworks(
        table=build_kernel_table(items, device),
        rows=np.array(rows, dtype=np.int64),
        measured_s=np.array(measured, dtype=np.float64),
    )


def _key(kernel: Kernel) -> tuple[frozenset[str], str, str | None]:
    return frozenset(kernel.layers), kernel.unit, kernel.tensor
