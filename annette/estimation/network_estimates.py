"""Estimates of networks: one with all its kernels, or many as an array."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import UsageError
from annette.estimation.bounds import LatencyIntervals, kernel_bounds, network_bounds, require_spread
from annette.estimation.end_to_end import end_to_end_s
from annette.estimation.estimate import Coverage, Estimate, Interval, KernelEstimate
from annette.estimation.exact_sum import sum_by_network
from annette.estimation.kernel_bank import KernelFlags
from annette.estimation.network_kernels import KernelFinder, MappedNetwork
from annette.graph.mapping import Kernel, Mapping, require_complete
from annette.graph.network import Network
from annette.graph.network_state import pack, unpack
from annette.models.kernel_table import COLUMN_INDEX
from annette.models.layer_models import MODEL_NAMES, LayerModels
from annette.models.target import ENERGY, LATENCY
from annette.parallel import require_jobs, run_as_done

if TYPE_CHECKING:
    from annette.estimation.platform import Platform
    from annette.models.mapping_model import MappingModel

__all__ = [
    "INTERVALS",
    "OnProgress",
    "answer_many",
    "estimate_many",
    "estimate_many_intervals",
    "estimate_network",
    "models_of",
    "require_model",
]

OnProgress = Callable[[int, int | None], None]
"""Called with the networks done and to do; ``None``: nobody knows how many there are."""

HOST = "host"
"""The unit of kernels that an accelerator leaves to its host."""
_OPS = COLUMN_INDEX["ops"]
_MOVED = [COLUMN_INDEX[name] for name in ("input_bytes", "weight_bytes", "output_bytes")]
INTERVALS = "intervals"
"""What is asked in place of a target: seconds with the ends of their intervals."""
CHUNK = 128
"""Networks at once: what is kept of them beside their estimates is kept of so many only."""


def require_model(model: str) -> None:
    """Check the name of a layer model.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if model not in MODEL_NAMES:
        raise UsageError(f"layer model {model!r}: not known, expected one of {', '.join(MODEL_NAMES)}")


def models_of(platform: Platform, target: str) -> LayerModels:
    """The platform's layer models of ``latency`` or ``energy``.

    Raises
    ------
    UsageError
        For another target, and for energy of a platform that was trained without.
    """
    if target == LATENCY.name:
        return platform.layer_models
    if target != ENERGY.name:
        raise UsageError(f"target {target!r}: not known, expected {LATENCY.name} or {ENERGY.name}")
    if platform.energy_models is None:
        raise UsageError(f"platform {platform.name!r}: trained on measurements without energy, predicts none")
    return platform.energy_models


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
            whole_s = float(_whole_s(platform, numbers, index, latency_s, 1, model)[0])
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


def _whole_s(
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


# Many networks -------------------------------------------------------------------------------------


def estimate_many(
    platform: Platform,
    networks: Iterable[Network],
    *,
    model: str,
    target: str,
    n_jobs: int,
    on_progress: OnProgress | None,
) -> NDArray[np.float64]:
    """`Platform.estimate_many`."""
    models_of(platform, target)
    found: NDArray[np.float64] = _many(platform, networks, model, target, n_jobs, on_progress)[0]
    return found


def estimate_many_intervals(
    platform: Platform,
    networks: Iterable[Network],
    *,
    model: str,
    n_jobs: int,
    on_progress: OnProgress | None,
) -> LatencyIntervals:
    """`Platform.estimate_many_intervals`."""
    require_model(model)
    require_spread(platform, model)
    latency_s, low_s, high_s = _many(platform, networks, model, INTERVALS, n_jobs, on_progress)
    return LatencyIntervals(latency_s=latency_s, low_s=low_s, high_s=high_s)


def answer_many(
    platform: Platform, networks: Iterable[Network], model: str, target: str
) -> NDArray[np.float64]:
    """What is asked of the networks in this process, shape (n_answers, n_networks); target or `INTERVALS`."""
    return _many(platform, networks, model, target, 1, None)


def _many(
    platform: Platform,
    networks: Iterable[Network],
    model: str,
    target: str,
    n_jobs: int,
    on_progress: OnProgress | None,
) -> NDArray[np.float64]:
    """What is asked of the networks, shape (n_answers, n_networks): a price, or seconds and the ends."""
    require_model(model)
    require_jobs(n_jobs)
    if not isinstance(networks, Iterable):
        raise UsageError(
            f"networks: found {type(networks).__name__}, expected an iterable of Networks; put one in a list"
        )
    to_do = len(networks) if isinstance(networks, Sequence) else None
    chunks = _chunks(networks)
    if n_jobs == 1:
        answers = (_estimate_chunk(platform, start, chunk, model, target) for start, chunk in chunks)
    else:
        tasks = ((start, list(map(pack, chunk)), model, target) for start, chunk in chunks)
        answers = run_as_done(_estimate_packed, tasks, n_jobs, shared=(platform,))
    found: dict[int, NDArray[np.float64]] = {}
    done = 0
    for start, values in answers:
        found[start] = values
        done += values.shape[1]
        if on_progress is not None:
            on_progress(done, to_do)
    nothing = np.empty((3 if target == INTERVALS else 1, 0))
    return np.concatenate([nothing, *(found[start] for start in sorted(found))], axis=1)


def _chunks(networks: Iterable[Network]) -> Iterator[tuple[int, list[Network]]]:
    iterator, start = iter(networks), 0
    while chunk := list(itertools.islice(iterator, CHUNK)):
        for place, network in enumerate(chunk):
            if not isinstance(network, Network):
                raise UsageError(
                    f"network {start + place}: found {type(network).__name__}, expected a Network; "
                    "annette.zoo.registry.open_network opens files and zoo:NAME"
                )
        yield start, chunk
        start += len(chunk)


def _estimate_chunk(
    platform: Platform, start: int, networks: Iterable[Network], model: str, target: str
) -> tuple[int, NDArray[np.float64]]:
    """Where the chunk starts, and what is asked of its networks, shape (n_answers, n_networks)."""
    memory = platform.memory
    with memory.lock:
        memory.bank.make_room()
        finder = KernelFinder(platform.mapping_model, platform.device, memory.bank)
        parts = [finder.numbers(finder.map(network)) for network in networks]
        index = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        numbers = np.concatenate([np.empty(0, dtype=np.int64), *parts])
        models = platform.layer_models if target == INTERVALS else models_of(platform, target)
        prices = memory.bank.prices(numbers, models, model)
        if models is platform.layer_models and platform.overhead is not None:
            found = _whole_s(platform, numbers, index, prices, len(parts), model)
        else:
            found = sum_by_network(index, prices, len(parts))
        if target != INTERVALS:
            return start, found[None]
        spread = require_spread(platform, model)
        spreads = memory.bank.spreads(numbers, models, model, spread)
        families = memory.bank.families(numbers)
        return start, np.stack([found, *network_bounds(spread, found, prices, spreads, families, index)])


def _estimate_packed(
    platform: Platform, start: int, packed: Sequence[tuple[Any, ...]], model: str, target: str
) -> tuple[int, NDArray[np.float64]]:
    """The same of networks that came from another process, each unpacked for as long as it is looked at."""
    return _estimate_chunk(platform, start, map(unpack, packed), model, target)
