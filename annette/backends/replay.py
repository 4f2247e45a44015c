"""The backend of recorded measurements: answers from a store or a recorded campaign, without a device."""

from __future__ import annotations

import os
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from annette.errors import MeasurementError, StoreError, UsageError
from annette.graph.mapping import Kernel
from annette.graph.network import Network
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.store.campaign import CampaignStore, Record

__all__ = ["ReplayBackend", "open_replay"]


@dataclass(frozen=True)
class ReplayBackend:
    """Answers with what was recorded of a network of the same content; names do not matter.

    Its device is the recorded one: a platform and a store cannot tell the two apart. What was recorded is
    read once and when first asked for; in another process it is read again.
    """

    path: Path
    """A campaign store, or a recorded campaign (Parquet)."""
    info: DeviceInfo = field(init=False)
    """Identity and data sheet of the recorded device."""

    def __post_init__(self) -> None:
        with CampaignStore.open(self.path) as store:
            object.__setattr__(self, "info", store.device)

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        """What was recorded of ``network``, its visits combined; an error if nothing was."""
        try:
            record = _records(self.path, _stamp(self.path)).get(network.id)
            if record is None:
                error = f"network {network.name!r} was not recorded in {self.path}; measure it on the device"
            elif record.measurement.device != self.info:
                error = f"{self.path} holds another device than when it was opened; open it again"
            else:
                return _renamed(record, network)
        except (StoreError, MeasurementError) as err:
            error = str(err)
        return Measurement(network_id=network.id, device=self.info, error=error, seed=seed)


def open_replay(target: str) -> ReplayBackend:
    """The device that was recorded in that store or Parquet file.

    Raises
    ------
    UsageError
        If ``target`` is no file.
    StoreError
        If the file is damaged, no recorded campaign, or of another version.
    """
    path = Path(target)
    if not os.path.isfile(path):
        raise UsageError(
            f"device replay:{target}: no such file; expected what annette benchmark --store FILE or --record "
            "FILE.parquet writes"
        )
    return ReplayBackend(path)


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when the file, or the log beside it, is written."""
    files = (path, path.with_name(f"{path.name}-wal"))
    known = [os.stat(file) for file in files if os.path.exists(file)]
    return max((item.st_mtime_ns for item in known), default=0), sum(item.st_size for item in known)


@lru_cache(maxsize=2)
def _records(path: Path, stamp: tuple[int, int]) -> MappingType[str, Record]:
    """Records by the network's id; of several of one network the first with values."""
    found: dict[str, Record] = {}
    with CampaignStore.open(path) as store:
        for record in store.records():
            kept = found.get(record.task.network.id)
            if kept is None or kept.measurement.error is not None:
                found[record.task.network.id] = record
    return MappingProxyType(found)


def _renamed(record: Record, network: Network) -> Measurement:
    """The recorded measurement in the words of ``network``, which has the same content in the same order."""
    recorded, measurement = record.task.network, record.measurement
    layers = {old.name: new.name for old, new in zip(recorded.layers, network.layers, strict=True)}
    tensors = dict(zip(_tensors(recorded), _tensors(network), strict=True))
    try:
        kernels = tuple(_renamed_kernel(item, layers, tensors) for item in measurement.kernels or ())
        eliminated = tuple(layers[name] for name in measurement.eliminated_layers)
    except KeyError as err:
        raise MeasurementError(
            f"replay of {network.name!r}: the record speaks of {err}, unknown to it"
        ) from err
    return replace(
        measurement,
        kernels=None if measurement.kernels is None else kernels,
        eliminated_layers=eliminated,
    )


def _renamed_kernel(
    item: KernelMeasurement, layers: MappingType[str, str], tensors: MappingType[str, str]
) -> KernelMeasurement:
    old = item.kernel
    kernel = Kernel(
        layers=tuple(layers[name] for name in old.layers),
        primary=layers[old.primary] if old.primary else "",
        unit=old.unit,
        tensor=None if old.tensor is None else tensors[old.tensor],
    )
    return replace(item, kernel=kernel)


def _tensors(network: Network) -> list[str]:
    """Names of the tensors by first use: equal contents have them in the same order."""
    used = chain(network.inputs, *((*layer.inputs, *layer.outputs) for layer in network.layers))
    return list(dict.fromkeys(name for name in (*used, *network.outputs) if name))
