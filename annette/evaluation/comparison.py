"""Compares measured networks with what a platform predicts of them, many networks as one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.errors import AnnetteError
from annette.estimation.bounds import Bounds, kernel_bounds, network_bounds
from annette.estimation.end_to_end import end_to_end_s
from annette.estimation.exact_sum import sum_by_network
from annette.estimation.platform import Platform
from annette.graph.mapping import Mapping as LayerMapping
from annette.graph.network import Network
from annette.measurement import Measurement
from annette.models.kernel_table import KernelTable, build_kernel_table
from annette.models.layer_models import MODEL_NAMES
from annette.models.mapping_model import exact_kernels

__all__ = ["FailedNetwork", "MeasuredNetwork", "NetworkResult", "compare_networks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredNetwork:
    """A network with what the device answered, and where it comes from."""

    network: Network
    measurement: Measurement
    group: str
    """The suite that it belongs to."""
    architecture: str | None = None
    """Its encoding in the notation of its search space; ``None`` for a network of none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkResult:
    """One network: measured, and predicted by each layer model."""

    name: str
    network_id: str
    """`Network.id`: the same for the same network under another name."""
    group: str
    """The suite that it belongs to."""
    architecture: str | None
    """Its encoding in the notation of its search space; ``None`` for a network of none."""
    macs: int
    """Multiply-accumulates of all kernels."""
    measured_s: float
    """Median seconds over the runs, or the least of the visits; > 0."""
    spread_fraction: float | None
    """(Median - least) / least of the visits; ``None`` for one visit."""
    predicted_s: tuple[tuple[str, float], ...]
    """Seconds by layer model, in the order of `MODEL_NAMES`."""
    measured_kernels: int | None
    """Kernels that the device reported; ``None`` if it reports none."""
    exact_kernels: int | None
    """How many of them were predicted with the same layers on the same unit."""
    predicted_kernels: int
    """Kernels that the mapping model expected; those beyond `exact_kernels` do not exist on the device."""
    compared_kernels: int
    """Exactly predicted kernels with a measured time > 0."""
    kernel_error_sums: tuple[tuple[str, float], ...]
    """By layer model the sum of absolute relative errors of the compared kernels; none without any."""
    measured_j: float | None = None
    """Joules, > 0; ``None``: the device does not tell."""
    predicted_j: tuple[tuple[str, float], ...] = ()
    """Joules by layer model; none for a platform without energy."""
    intervals_s: tuple[tuple[str, float, float], ...] = ()
    """Lower and upper ends of the 90 % intervals by layer model; none where the platform knows of none."""
    covered_kernels: tuple[tuple[str, int], ...] = ()
    """By layer model how many of the compared kernels lie in their own intervals."""

    def to_dict(self) -> dict[str, object]:
        """The result as JSON types; errors of kernels are left to the summary."""
        exact = None
        if self.measured_kernels is not None and self.exact_kernels is not None:
            exact = self.exact_kernels / self.measured_kernels if self.measured_kernels else 1.0
        return {
            "name": self.name,
            "network_id": self.network_id,
            "group": self.group,
            "architecture": self.architecture,
            "macs": self.macs,
            "measured_s": self.measured_s,
            "spread_fraction": self.spread_fraction,
            **{f"{model}_s": seconds for model, seconds in self.predicted_s},
            **{f"{model}_interval_s": [low, high] for model, low, high in self.intervals_s},
            "measured_j": self.measured_j,
            **{f"{model}_j": joules for model, joules in self.predicted_j},
            "measured_kernels": self.measured_kernels,
            "exact_kernels": self.exact_kernels,
            "predicted_kernels": self.predicted_kernels,
            "mapping_accuracy": exact,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedNetwork:
    """A network that could not be measured or predicted, and why; it is left out of the figures."""

    name: str
    error: str


def compare_networks(
    platform: Platform, items: Sequence[MeasuredNetwork]
) -> tuple[NetworkResult | FailedNetwork, ...]:
    """Each network predicted by every layer model and set against its measurement, in order.

    The kernels of all networks are predicted as one table, which changes no number: predictions of a kernel
    do not depend on the others.
    """
    found: dict[int, NetworkResult | FailedNetwork] = {}
    mapped: dict[int, LayerMapping] = {}
    for number, item in enumerate(items):
        error = item.measurement.error
        if error is None and item.measurement.latency_s <= 0:
            error = "measured as 0 s, expected seconds > 0"
        if error is None:
            try:
                mapped[number] = platform.mapping_model.predict(item.network)
            except AnnetteError as err:
                error = f"cannot be predicted: {err}"
        if error is not None:
            found[number] = FailedNetwork(name=item.network.name, error=error)
    pairs = [(items[number], mapping) for number, mapping in mapped.items()]
    found.update(zip(mapped, _predict(platform, pairs), strict=True))
    return tuple(found[number] for number in range(len(items)))


def _predict(
    platform: Platform, pairs: Sequence[tuple[MeasuredNetwork, LayerMapping]]
) -> Iterable[NetworkResult | FailedNetwork]:
    """The results of mapped networks; where one of them cannot be predicted, that one alone fails."""
    if not pairs:
        return ()
    try:
        table = build_kernel_table([(item.network, mapping) for item, mapping in pairs], platform.device)
        kernels_s = {model: platform.layer_models.predict_s(table, model) for model in MODEL_NAMES}
        energy = platform.energy_models
        kernels_j = {} if energy is None else {model: energy.predict_j(table, model) for model in MODEL_NAMES}
    except AnnetteError as err:
        if len(pairs) > 1:
            return [result for pair in pairs for result in _predict(platform, [pair])]
        return (FailedNetwork(name=pairs[0][0].network.name, error=f"cannot be predicted: {err}"),)
    whole_s = {
        model: end_to_end_s(
            platform.overhead,
            values,
            table.families if platform.overhead is not None else (),
            table.values,
            table.network_index,
            table.n_networks,
            model,
        )
        for model, values in kernels_s.items()
    }
    ends = _intervals(platform, table, kernels_s, whole_s)
    return _results(pairs, table, kernels_s, whole_s, kernels_j, ends)


@dataclass(frozen=True, slots=True)
class _Ends:
    """The ends of one layer model's intervals."""

    kernels: Bounds
    networks: Bounds


def _intervals(
    platform: Platform,
    table: KernelTable,
    kernels_s: Mapping[str, NDArray[np.float64]],
    total_s: Mapping[str, NDArray[np.float64]],
) -> dict[str, _Ends]:
    """By layer model, where the platform knows of any."""
    found = {}
    for model, spread in platform.intervals.models.items() if platform.intervals is not None else ():
        values = kernels_s[model]
        spreads = spread.kernel_spread(table, values, platform.layer_models)
        networks = network_bounds(
            spread, total_s[model], values, spreads, table.families, table.network_index
        )
        found[model] = _Ends(kernel_bounds(spread, values, spreads), networks)
    return found


def _results(
    pairs: Sequence[tuple[MeasuredNetwork, LayerMapping]],
    table: KernelTable,
    kernels_s: Mapping[str, NDArray[np.float64]],
    total_s: Mapping[str, NDArray[np.float64]],
    kernels_j: Mapping[str, NDArray[np.float64]],
    ends: Mapping[str, _Ends],
) -> Iterator[NetworkResult]:
    macs = np.bincount(table.network_index, table.column("macs"), table.n_networks)
    total_j = {model: _totals(table, values) for model, values in kernels_j.items()}
    start = 0
    for number, (item, mapping) in enumerate(pairs):
        rows = slice(start, start + len(mapping.kernels))
        start = rows.stop
        exact, compared = _compare_kernels(item.measurement, mapping)
        at = np.flatnonzero(~np.isnan(compared)) + rows.start
        timed_s = compared[at - rows.start]
        measured = item.measurement.kernels
        yield NetworkResult(
            name=item.network.name,
            network_id=item.network.id,
            group=item.group,
            architecture=item.architecture,
            macs=int(macs[number]),
            measured_s=item.measurement.latency_s,
            spread_fraction=item.measurement.spread_fraction,
            predicted_s=tuple((model, float(values[number])) for model, values in total_s.items()),
            measured_kernels=None if measured is None else len(measured),
            exact_kernels=exact,
            predicted_kernels=len(mapping.kernels),
            compared_kernels=len(at),
            kernel_error_sums=tuple(
                (model, float(np.abs(values[at] / timed_s - 1.0).sum()))
                for model, values in kernels_s.items()
                if len(at)
            ),
            measured_j=item.measurement.energy_j or None,
            predicted_j=tuple(
                (model, float(values[number])) for model, values in total_j.items() if values[number] > 0
            ),
            intervals_s=tuple(
                (model, float(both.networks[0][number]), float(both.networks[1][number]))
                for model, both in ends.items()
            ),
            covered_kernels=tuple(
                (model, int(((both.kernels[0][at] <= timed_s) & (timed_s <= both.kernels[1][at])).sum()))
                for model, both in ends.items()
            ),
        )


def _totals(table: KernelTable, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return sum_by_network(table.network_index, values, table.n_networks)


def _compare_kernels(
    measurement: Measurement, mapping: LayerMapping
) -> tuple[int | None, NDArray[np.float64]]:
    """How many kernels were predicted exactly, and the measured seconds of each predicted one, > 0.

    nan for a kernel that does not exist on the device or took no measurable time.
    """
    measured = measurement.mapping
    if measured is None or measurement.kernels is None:
        return None, np.full(len(mapping.kernels), np.nan)
    flags = exact_kernels(measured, mapping)
    timed_s = {
        item.kernel.key: item.latency_s
        for item, flag in zip(measurement.kernels, flags, strict=True)
        if flag and item.latency_s > 0
    }
    known_s = [timed_s.get(kernel.key, np.nan) for kernel in mapping.kernels]
    return sum(flags), np.array(known_s, dtype=np.float64)
