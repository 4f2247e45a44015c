"""Networks of several layers as they would have been estimated had they not been measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network
from annette.measurement import DeviceInfo, Measurement
from annette.models.kernel_table import KernelTable, build_kernel_table
from annette.models.layer_models import LayerModels
from annette.models.training import TrainingData, kernel_rows
from annette.store.campaign import Record
from annette.store.records import SUGGESTED

__all__ = ["HeldOutNetworks", "drawn_rows", "held_out_networks"]


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
    end_to_end_s: NDArray[np.float64]
    """Shape (n_networks,): the same times what the whole took over its kernels, run by run."""
    n_kernels: NDArray[np.int64]
    """Shape (n_networks,): as how many kernels the device ran each, whatever was predicted."""
    groups: NDArray[np.int64]
    """Shape (n_networks,): those of the training data."""
    are_blocks: NDArray[np.bool_]
    """Shape (n_networks,): whether it is one of the campaign's blocks."""
    factors: MappingType[str, NDArray[np.float64]] = field(default_factory=dict)
    """By layer model what networks are expected to take over their kernels, shape (n_networks,), > 0; 1 for
    models that are not named."""

    def __post_init__(self) -> None:
        per_network = (
            self.measured_s, self.end_to_end_s, self.n_kernels, self.groups, self.are_blocks
        )  # fmt: skip
        if len(self.rows) != len(self.table) or {self.table.n_networks} != set(map(len, per_network)):
            raise ModelError("held-out networks: parts differ in length")

    def latency_s(
        self, models: LayerModels, model: str, predicted: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Seconds of each kernel, shape (n_kernels,).

        Kernels that the device has take what was held out of the rows, others what models of all rows say.
        """
        latency_s = models.predict_s(self.table, model)
        known = self.rows >= 0
        latency_s[known] = predicted[self.rows[known]]
        return latency_s


def held_out_networks(
    records: Sequence[Record],
    predicted: MappingType[int, Mapping],
    data: TrainingData,
    device: DeviceInfo,
) -> HeldOutNetworks | None:
    """The held-out networks among records; ``None`` where there are none.

    Suggested ones are left out: intervals hold for networks like those they were calibrated on, and these
    were not drawn but cut out along kernels that a platform expected.

    What is compared is what kernels are fitted to, expected times: the median of a few runs of a few kernels
    is below their mean where now and then a run is disturbed, that of many kernels is not.

    Parameters
    ----------
    records : sequence of Record
        Those that the training data were made of, in the same order.
    predicted : mapping
        Mappings by the record's number among those whose own mapping is known.
    data : TrainingData
        Which the records gave.
    device : DeviceInfo
        The measured device.
    """
    items: list[tuple[Network, Mapping]] = []
    rows: list[int] = []
    measured: list[float] = []
    whole: list[float] = []
    counts: list[int] = []
    groups: list[int] = []
    are_blocks: list[bool] = []
    number = -1
    for record, own_rows in zip(records, kernel_rows(records), strict=True):
        seen = record.measurement.mapping
        if seen is None:
            continue
        number += 1
        if record.task.tag(SUGGESTED) is not None:
            continue
        mapping = predicted.get(number)
        if mapping is None or own_rows is None or not mapping.kernels or not (own_rows >= 0).any():
            continue
        row_of = {_key(kernel): row for kernel, row in zip(seen.kernels, own_rows.tolist(), strict=True)}
        items.append((record.task.network, mapping))
        rows.extend(row_of.get(_key(kernel), -1) for kernel in mapping.kernels)
        own = own_rows[own_rows >= 0]
        measured.append(float(data.latency_s[own].sum()))
        whole.append(measured[-1] * _whole_over_kernels(record.measurement))
        counts.append(len(own))
        groups.append(int(data.groups[own[0]]))
        are_blocks.append(record.task.category == "block" and record.task.tag("suite") is None)
    if not items:
        return None
    return HeldOutNetworks(
        table=build_kernel_table(items, device),
        rows=np.array(rows, dtype=np.int64),
        measured_s=np.array(measured, dtype=np.float64),
        end_to_end_s=np.array(whole, dtype=np.float64),
        n_kernels=np.array(counts, dtype=np.int64),
        groups=np.array(groups, dtype=np.int64),
        are_blocks=np.array(are_blocks, dtype=np.bool_),
    )


def drawn_rows(records: Sequence[Record]) -> NDArray[np.bool_] | None:
    """Of each row of the training data of these records whether it is of a benchmark that was not suggested.

    ``None``: all are alike, drawn or suggested.
    """
    suggested = [record.task.tag(SUGGESTED) is not None for record in records]
    if all(suggested) or not any(suggested):
        return None
    parts = [
        np.full(int((rows >= 0).sum()), not was_chosen)
        for rows, was_chosen in zip(kernel_rows(records), suggested, strict=True)
        if rows is not None
    ]
    drawn = np.concatenate(parts)
    return drawn if drawn.any() else None


def _whole_over_kernels(measurement: Measurement) -> float:
    """What the network took over what its kernels took; means, since medians of parts do not add up."""
    if measurement.values_s is None or measurement.kernels is None:
        return 1.0
    kernels_s = math.fsum(statistics.fmean(item.values_s) for item in measurement.kernels)
    whole_s = statistics.fmean(measurement.values_s)
    return whole_s / kernels_s if kernels_s > 0 and whole_s > 0 else 1.0


def _key(kernel: Kernel) -> tuple[frozenset[str], str, str | None]:
    return frozenset(kernel.layers), kernel.unit, kernel.tensor
