"""The estimate: latency and energy of one network, kernel by kernel, with interval, coverage and verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annette.estimation.verdict import Verdict, judge

if TYPE_CHECKING:
    import pandas

__all__ = ["ESTIMATE_SCHEMA_VERSION", "Coverage", "Estimate", "Interval", "KernelEstimate"]

ESTIMATE_SCHEMA_VERSION = 1
"""Version of `Estimate.to_dict`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A 90 % prediction interval: where a measurement is expected to lie nine times out of ten."""

    low_s: float
    """Seconds; > 0, and at most the estimate."""
    high_s: float
    """Seconds; at least the estimate."""

    def to_list(self) -> list[float]:
        """The interval as JSON types: low and high, in seconds."""
        return [self.low_s, self.high_s]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelEstimate:
    """One kernel that the device is expected to execute."""

    name: str
    """The primary layer's name, then the other layers'; of a move the tensor and where to."""
    family: str
    """Family of the primary layer, or ``move``."""
    layers: tuple[str, ...]
    """Names of the merged layers, in topological order; none for a move of a tensor."""
    unit: str
    """The part of the device that is expected to run it; of a move what it does, for example ``to_plain``."""
    latency_s: float
    """Seconds; > 0."""
    bound: str
    """What limits it: ``compute``, ``memory`` or ``overhead``."""
    is_generic: bool
    """Whether the generic model priced it, since its family was not measured often enough."""
    is_out_of_range: bool
    """Whether a size lies outside what was measured for its family."""
    ops: int
    """Operations of all its layers, two per multiply-accumulate."""
    memory_bytes: int
    """Activations read and written, and weights."""
    interval: Interval | None = None
    """Where its latency is expected to lie; ``None``: the platform does not know."""
    energy_j: float | None = None
    """Joules; > 0. ``None``: the platform was trained without energy."""

    def to_dict(self) -> dict[str, object]:
        """The kernel as JSON types."""
        return {
            "name": self.name,
            "family": self.family,
            "layers": list(self.layers),
            "latency_s": self.latency_s,
            "interval_s": _listed(self.interval),
            "energy_j": self.energy_j,
            "ops": self.ops,
            "memory_bytes": self.memory_bytes,
            "bound": self.bound,
            "unit": self.unit,
            "generic": self.is_generic,
            "out_of_range": self.is_out_of_range,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of an estimate rests on measurements of its like."""

    modelled_fraction: float
    """Share of the latency from kernels priced by their own family's model, in [0, 1]."""
    generic_fraction: float
    """Share of the latency from kernels priced by the generic model, in [0, 1]."""
    out_of_range_fraction: float
    """Share of the latency from kernels outside the measured range, in [0, 1]."""
    generic_operators: tuple[str, ...]
    """The operators that the generic model priced, sorted; moves as ``move UNIT``."""
    unseen_fraction: float
    """Share of the latency from kernels whose operator was never measured on its unit, in [0, 1]."""
    unseen_operators: tuple[str, ...]
    """Those operators, sorted."""
    host_fraction: float
    """Share of the latency from kernels that are placed on the host, in [0, 1]."""
    host_layers: tuple[str, ...]
    """Names of the layers that are placed there, in order of execution."""

    def to_dict(self) -> dict[str, object]:
        """The coverage as JSON types."""
        return {
            "modelled_fraction": self.modelled_fraction,
            "generic_kernels": self.generic_fraction,
            "out_of_range_kernels": self.out_of_range_fraction,
            "generic_operators": list(self.generic_operators),
            "unseen_fraction": self.unseen_fraction,
            "unseen_operators": list(self.unseen_operators),
            "host_fraction": self.host_fraction,
            "host_layers": list(self.host_layers),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a platform predicts for one network."""

    network: str
    """The network's name."""
    network_id: str
    """`Network.id`."""
    platform: str
    """The platform's name."""
    device: str
    """The device that the platform was trained on."""
    model: str
    """The layer model that priced the kernels."""
    latency_s: float
    """Seconds; >= 0, and 0 only for a network without work."""
    kernels: tuple[KernelEstimate, ...]
    """In order of execution."""
    eliminated_layers: tuple[str, ...]
    """Names of the layers that are expected to vanish."""
    coverage: Coverage
    """How much of the latency rests on measurements of its like."""
    energy_j: float | None = None
    """Joules: the sum over the kernels. ``None``: the platform was trained without energy."""
    overhead_s: float | None = None
    """Seconds of `latency_s` beyond the sum of the kernels, negative where a network takes less than that;
    ``None``: the platform learned of no network from end to end, and the latency is the kernels' sum."""
    interval: Interval | None = None
    """Where its latency is expected to lie; ``None``: the platform was trained without intervals, or they are
    not known of this model."""

    @property
    def verdict(self) -> Verdict:
        """Whether the estimate may be relied on, and why not; the rule is that of `judge`."""
        return judge(
            self.coverage, latency_s=self.latency_s, n_kernels=len(self.kernels), interval=self.interval
        )

    def to_dict(self) -> dict[str, object]:
        """The estimate as JSON types; seconds and joules everywhere."""
        overhead = {} if self.overhead_s is None else {"overhead_s": self.overhead_s}
        return {
            "schema_version": ESTIMATE_SCHEMA_VERSION,
            "network": self.network,
            "device": self.device,
            "platform": self.platform,
            "model": self.model,
            "latency_s": self.latency_s,
            "interval_s": _listed(self.interval),
            "verdict": self.verdict.to_dict(),
            **overhead,
            "energy_j": self.energy_j,
            "coverage": self.coverage.to_dict(),
            "kernels": [kernel.to_dict() for kernel in self.kernels],
            "eliminated_layers": list(self.eliminated_layers),
        }

    def to_frame(self) -> pandas.DataFrame:
        """The kernels as a pandas table, one row each, in order of execution.

        Joules (``energy_j``) and intervals (``low_s``, ``high_s``) are columns where they are known.
        """
        import pandas

        columns = ["name", "family", "layers", "latency_s", "bound", "unit", "generic", "out_of_range"]
        columns += ["ops", "memory_bytes"]
        if self.energy_j is not None:
            columns.insert(4, "energy_j")
        frame = pandas.DataFrame([kernel.to_dict() for kernel in self.kernels], columns=columns)
        known = [kernel.interval for kernel in self.kernels if kernel.interval is not None]
        if known and len(known) == len(self.kernels):
            frame["low_s"] = [item.low_s for item in known]
            frame["high_s"] = [item.high_s for item in known]
        return frame


def _listed(interval: Interval | None) -> list[float] | None:
    return None if interval is None else interval.to_list()
