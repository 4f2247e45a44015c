"""Estimates of many networks as arrays: seconds, joules, or seconds with the ends of their intervals."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import UsageError
from annette.estimation.bounds import LatencyIntervals, network_bounds, require_spread
from annette.estimation.exact_sum import sum_by_network
from annette.estimation.network_estimates import require_model, whole_networks_s
from annette.estimation.network_kernels import KernelFinder
from annette.graph.network import Network
from annette.graph.network_state import pack, unpack
from annette.models.layer_models import LayerModels
from annette.models.target import ENERGY, LATENCY
from annette.parallel import require_jobs, run_as_done

if TYPE_CHECKING:
    from annette.estimation.platform import Platform

__all__ = [
    "INTERVALS",
    "OnProgress",
    "answer_many",
    "estimate_many",
    "estimate_many_intervals",
    "models_of",
    "needs_networks",
]

OnProgress = Callable[[int, int | None], None]
"""Called with the networks done and to do; ``None``: nobody knows how many there are."""

INTERVALS = "intervals"
"""What is asked in place of a target: seconds with the ends of their intervals."""
CHUNK = 128
"""Networks at once: what is kept of them beside their estimates is kept of so many only."""


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


def needs_networks(platform: Platform, target: str) -> bool:
    """Whether what is asked is more than a sum over kernels: what networks take beyond them counts."""
    return target != ENERGY.name and platform.overhead is not None


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
            found = whole_networks_s(platform, numbers, index, prices, len(parts), model)
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
