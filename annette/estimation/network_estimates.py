"""The estimate of one network with all its kernels: mapped, priced, with intervals and coverage."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from annette.errors import UsageError
from annette.estimation.bounds import kernel_bounds, network_bounds
from annette.estimation.end_to_end import end_to_end_s
from annette.estimation.estimate import Coverage, Estimate, Interval, KernelEstimate
from annette.estimation.exact_sum import sum_by_network
from annette.estimation.kernel_bank import KernelFlags
from annette.estimation.network_kernels import KernelFinder, MappedNetwork
from annette.graph.mapping import Kernel, Mapping, require_complete
from annette.graph.network import Network
from annette.models.kernel_table import COLUMN_INDEX
from annette.models.layer_models import MODEL_NAMES

if TYPE_CHECKING:
    from annette.estimation.platform import Platform
    from annette.models.mapping_model import MappingModel

__all__ = ["estimate_network", "require_model", "whole_networks_s"]

HOST = "host"
"""The unit of kernels that an accelerator leaves to its host."""
_OPS = COLUMN_INDEX["ops"]
_MOVED = [COLUMN_INDEX[name] for name in ("input_bytes", "weight_bytes", "output_bytes")]


def require_model(model: str) -> None:
    """Check the name of a layer model.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if model not in MODEL_NAMES:
        raise UsageError(f"layer model {model!r}: not known, expected one of {', '.join(MODEL_NAMES)}")


# One network ---------------------------------------------------------------------------------------


def estimate_network(
    platform: Platform, network: Network, *, models: Sequence[str], mapping: Mapping | None
) -> dict[str, Estimate]:
    """`Platform.estimate_models` of a network; without a given mapping from memory where it is known."""
    memory = platform.memory
    if mapping is not None:
        require_complete(network, mapping)
        with memory.lock:
            asked = _Asked(platform, network, mapping)
            return {model: asked.estimate(model) for model in models}
    with memory.lock:
        asked = _Asked(platform, network, None)
        return {
            model: memory.estimate(network, model, lambda model=model: asked.estimate(model))  # type: ignore[misc]
            for model in models
        }


@dataclass(frozen=True, slots=True)
class _Kernel:
    """What an estimate says of a kernel beside what it costs."""

    name: str
    family: str
    layers: tuple[str, ...]
    unit: str
    operator: str
    """Of the primary layer, or ``move UNIT``."""


class _Asked:
    """One network that is asked for; it is mapped when the first model is."""

    def __init__(self, platform: Platform, network: Network, mapping: Mapping | None) -> None:
        self._platform = platform
        self._network = network
        self._mapping = mapping

    @cached_property
    def _mapped(self) -> tuple[list[_Kernel], tuple[str, ...], NDArray[np.int64]]:
        """The kernels in order of execution, the layers that vanish, and the kernels' numbers."""
        platform, network, mapping = self._platform, self._network, self._mapping
        bank = platform.memory.bank
        bank.make_room()
        finder = KernelFinder(platform.mapping_model, platform.device, bank)
        if mapping is not None:
            numbers = finder.numbers_under(network, mapping)
            return _kernels_of(network, mapping), mapping.eliminated_layers, numbers
        mapped = finder.map(network)
        layers = network.layers
        gone = tuple([layers[number].name for number in mapped.walk.vanished])
        return _kernels_in(mapped, platform.mapping_model), gone, finder.numbers(mapped)

    def estimate(self, model: str) -> Estimate:
        """The estimate by one model."""
        platform, network = self._platform, self._network
        kernels, gone, numbers = self._mapped
        bank = platform.memory.bank
        latency_s = bank.prices(numbers, platform.layer_models, model)
        energy_j = (
            None if platform.energy_models is None else bank.prices(numbers, platform.energy_models, model)
        )
        flags = bank.flags(numbers, platform.layer_models)
        kernels_s = _sum(latency_s)
        whole_s = kernels_s
        if platform.overhead is not None:
            index = np.zeros(len(numbers), dtype=np.int64)
            whole_s = float(whole_networks_s(platform, numbers, index, latency_s, 1, model)[0])
        interval, intervals = self._intervals(model, latency_s, whole_s)
        return Estimate(
            network=network.name,
            network_id=network.id,
            platform=platform.name,
            device=platform.device.name,
            model=model,
            latency_s=whole_s,
            interval=interval,
            overhead_s=None if platform.overhead is None else whole_s - kernels_s,
            energy_j=None if energy_j is None else _sum(energy_j),
            kernels=_priced(kernels, latency_s, energy_j, flags, bank.rows(numbers), intervals),
            eliminated_layers=gone,
            coverage=_coverage(kernels, latency_s, flags),
        )

    def _intervals(
        self, model: str, latency_s: NDArray[np.float64], whole_s: float
    ) -> tuple[Interval | None, Sequence[Interval | None]]:
        """The interval of the network, and those of its kernels."""
        platform, (_, _, numbers) = self._platform, self._mapped
        spread = None if platform.intervals is None else platform.intervals.models.get(model)
        if spread is None or not len(numbers):
            return None, [None] * len(numbers)
        bank = platform.memory.bank
        spreads = bank.spreads(numbers, platform.layer_models, model, spread)
        index = np.zeros(len(numbers), dtype=np.int64)
        (low,), (high,) = network_bounds(
            spread, np.array([whole_s]), latency_s, spreads, bank.families(numbers), index
        )
        ends = zip(*(side.tolist() for side in kernel_bounds(spread, latency_s, spreads)), strict=True)
        kernels = [Interval(low_s=below, high_s=above) for below, above in ends]
        return Interval(low_s=float(low), high_s=float(high)), kernels


def _sum(values: NDArray[np.float64]) -> float:
    return float(sum_by_network(np.zeros(len(values), dtype=np.int64), values, 1)[0])


def whole_networks_s(
    platform: Platform,
    numbers: NDArray[np.int64],
    index: NDArray[np.int64],
    latency_s: NDArray[np.float64],
    n_networks: int,
    model: str,
) -> NDArray[np.float64]:
    """The networks' seconds from end to end, from their kernels' seconds."""
    bank = platform.memory.bank
    return end_to_end_s(
        platform.overhead, latency_s, bank.families(numbers), bank.rows(numbers), index, n_networks, model
    )


def _kernels_in(mapped: MappedNetwork, model: MappingModel) -> list[_Kernel]:
    """The kernels of a mapped network."""
    walk, found = mapped.walk, []
    view = walk.view
    for item in mapped.execution:
        if isinstance(item, Kernel):
            found.append(_move(item))
            continue
        numbers, primary = walk.kernels[item].layers, model.primary(walk, item)
        layers = tuple([view.layers[number].name for number in numbers])
        name = view.layers[primary].name
        if len(layers) > 1:
            name = "+".join((name, *(layer for layer in layers if layer != name)))
        found.append(_Kernel(name, view.family(primary), layers, walk.unit(item), view.op_types[primary]))
    return found


def _kernels_of(network: Network, mapping: Mapping) -> list[_Kernel]:
    """The kernels of a given mapping."""
    found = []
    for item in mapping.kernels:
        if item.is_move:
            found.append(_move(item))
            continue
        layer = network.layer(item.primary)
        kind = network.kinds.of(layer)
        family = kind.family(network, layer)
        found.append(_Kernel(item.name, family, item.layers, item.unit, kind.operator))
    return found


def _move(kernel: Kernel) -> _Kernel:
    return _Kernel(kernel.name, "move", (), kernel.unit, f"move {kernel.unit}")


def _priced(
    kernels: Sequence[_Kernel],
    latency_s: NDArray[np.float64],
    energy_j: NDArray[np.float64] | None,
    flags: Sequence[KernelFlags],
    rows: NDArray[np.float64],
    intervals: Sequence[Interval | None],
) -> tuple[KernelEstimate, ...]:
    ops, moved = rows[:, _OPS].tolist(), rows[:, _MOVED].sum(axis=1).tolist()
    joules = itertools.repeat(None, len(latency_s)) if energy_j is None else energy_j.tolist()
    return tuple(
        KernelEstimate(
            name=kernel.name,
            family=kernel.family,
            layers=kernel.layers,
            unit=kernel.unit,
            latency_s=seconds,
            energy_j=energy,
            bound=flag.bound,
            is_generic=flag.is_generic,
            is_out_of_range=flag.is_out_of_range,
            ops=round(n_ops),
            memory_bytes=round(n_bytes),
            interval=interval,
        )
        for kernel, seconds, energy, flag, n_ops, n_bytes, interval in zip(
            kernels, latency_s.tolist(), joules, flags, ops, moved, intervals, strict=True
        )
    )


def _coverage(
    kernels: Sequence[_Kernel], latency_s: NDArray[np.float64], flags: Sequence[KernelFlags]
) -> Coverage:
    generic, unseen = [item.is_generic for item in flags], [item.is_unseen for item in flags]
    outside, host = [item.is_out_of_range for item in flags], [kernel.unit == HOST for kernel in kernels]
    total = float(latency_s.sum())

    def share(mask: Sequence[bool]) -> float:
        part = float(latency_s[np.array(mask, dtype=bool)].sum())
        return min(1.0, part / total) if total > 0 else 0.0

    def operators(mask: Sequence[bool]) -> tuple[str, ...]:
        return tuple(
            sorted({kernel.operator for kernel, chosen in zip(kernels, mask, strict=True) if chosen})
        )

    return Coverage(
        modelled_fraction=1.0 - share(generic),
        generic_fraction=share(generic),
        out_of_range_fraction=share(outside),
        generic_operators=operators(generic),
        unseen_fraction=share(unseen),
        unseen_operators=operators(unseen),
        host_fraction=share(host),
        host_layers=tuple(layer for kernel in kernels if kernel.unit == HOST for layer in kernel.layers),
    )
