"""One measurement: what a device answered for one network, or the reason why it did not."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field

from annette.errors import MeasurementError
from annette.graph.mapping import Kernel, Mapping

__all__ = ["ENERGY_COUNTER", "DeviceInfo", "KernelMeasurement", "Measurement"]

ENERGY_COUNTER = "energy_j"
"""The counter of a kernel that holds its energy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """A device's identity and its data sheet: what predicts it may know without looking inside.

    Two measurements belong together only if their `DeviceInfo` is equal.
    """

    name: str
    """Short name, for example ``zcu102-dpu``."""
    backend: str
    """The backend that talks to it, for example ``simulator``."""
    description: str = ""
    """One line for people."""
    activation_bytes: float | None = None
    """Bytes of one activation element on the device; ``None``: as the network says."""
    weight_bytes: float | None = None
    """Bytes of one weight element on the device; ``None``: as the network says."""
    peak_ops_per_s: float | None = None
    """Peak of the data sheet (1 MAC = 2 ops); ``None``: not known."""
    bandwidth_bytes_per_s: float | None = None
    """Memory bandwidth of the data sheet; ``None``: not known."""
    cache_bytes: tuple[int, ...] = ()
    """Sizes of the data caches that one thread sees, the smallest first; empty: none, or not known."""
    vector_bytes: int | None = None
    """Width of the vector registers; ``None``: none, or not known."""
    visits: int = 1
    """How often a network is timed, spread over the campaign, before it counts as measured: 1 for a device
    that always answers alike."""
    is_exclusive: bool = False
    """Whether only one network may be timed at a time, because runs side by side slow each other down."""
    environment: tuple[tuple[str, str], ...] = ()
    """What else the result depends on, by name: host, versions, options, a hash of the description."""

    def __post_init__(self) -> None:
        if not 1 <= self.visits <= 1000:
            raise MeasurementError(f"device {self.name!r}: {self.visits} visits, expected 1 to 1000")


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelMeasurement:
    """One kernel as the device ran it."""

    kernel: Kernel
    """Its layers and its unit."""
    values_s: tuple[float, ...]
    """Seconds, one value per run; each finite and >= 0."""
    bound: str | None = None
    """What limits it, where the device tells: ``compute``, ``memory``, ``overhead`` or ``host``."""
    counters: MappingType[str, float] = field(default_factory=dict)
    """Whatever else the device counts, the unit in the name: ``cycles``, ``moved_bytes``, ... A device that
    knows energy says it here, as ``energy_j`` of every kernel: joules, >= 0."""

    def __post_init__(self) -> None:
        _require_values(self.values_s, f"kernel {self.kernel.name!r}")
        energy_j = self.counters.get(ENERGY_COUNTER, 0.0)
        if not (math.isfinite(energy_j) and energy_j >= 0):
            raise MeasurementError(
                f"kernel {self.kernel.name!r}: {ENERGY_COUNTER} {energy_j}, expected finite joules >= 0"
            )

    @property
    def latency_s(self) -> float:
        """Median over the runs, in seconds."""
        return statistics.median(self.values_s)

    @property
    def energy_j(self) -> float | None:
        """Joules; ``None`` if the device does not tell."""
        return self.counters.get(ENERGY_COUNTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a device answered for one network: values, or an error; never both, never a sentinel.

    Raises
    ------
    MeasurementError
        If values and error are both there or both missing, or a value is not a finite number >= 0.
    """

    network_id: str
    """`Network.id` of what ran."""
    device: DeviceInfo
    """What it ran on."""
    values_s: tuple[float, ...] | None = None
    """End-to-end seconds, one value per run."""
    kernels: tuple[KernelMeasurement, ...] | None = None
    """Per-kernel values in order of execution; ``None`` if the device does not report kernels."""
    eliminated_layers: tuple[str, ...] = ()
    """Names of the layers that vanished; meaningful where `kernels` is known."""
    conditions: MappingType[str, float] = field(default_factory=dict)
    """The circumstances, the unit in the name: ``reference_s`` (a fixed network timed beside this one, which
    tells how fast the machine was just then), ``load_fraction``, ``clock_hz``, ``started_s``, ..."""
    spread_fraction: float | None = None
    """How much several visits differ: (their median - their least) / their least; ``None``: one visit."""
    error: str | None = None
    """Why there are no values, in one line."""
    seed: int | None = None
    """Seed of the noise of a simulated device."""

    def __post_init__(self) -> None:
        if (self.values_s is None) == (self.error is None):
            raise MeasurementError("a measurement holds values or an error: found both or neither")
        if self.values_s is not None:
            _require_values(self.values_s, "measurement")
        if not all(math.isfinite(value) for value in self.conditions.values()):
            raise MeasurementError(
                f"measurement: conditions {dict(self.conditions)}, expected finite numbers"
            )

    @property
    def latency_s(self) -> float:
        """Median end-to-end seconds over the runs.

        Raises
        ------
        MeasurementError
            If the measurement failed.
        """
        if self.values_s is None:
            raise MeasurementError(f"no latency: the measurement failed: {self.error}")
        return statistics.median(self.values_s)

    @property
    def energy_j(self) -> float | None:
        """Joules of the network: the sum over its kernels; ``None`` unless the device tells each one's."""
        known = [item.energy_j for item in self.kernels or ()]
        found = [value for value in known if value is not None]
        return math.fsum(found) if found and len(found) == len(known) else None

    @property
    def mapping(self) -> Mapping | None:
        """The mapping that the device reported; ``None`` if it reports no kernels."""
        if self.kernels is None:
            return None
        kernels = tuple(item.kernel for item in self.kernels)
        return Mapping(kernels=kernels, eliminated_layers=self.eliminated_layers)


def _require_values(values_s: tuple[float, ...], where: str) -> None:
    if not values_s or not all(math.isfinite(value) and value >= 0 for value in values_s):
        raise MeasurementError(f"{where}: values {values_s[:3]}, expected finite seconds >= 0")
