"""Measures and predicts the networks of suites as a stream: few are there at once, however many there are."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence

from annette.backends.protocol import Backend
from annette.benchmark.campaign import measure_network, visit_seed
from annette.estimation.platform import Platform
from annette.evaluation.comparison import FailedNetwork, MeasuredNetwork, NetworkResult, compare_networks
from annette.graph.network import Network
from annette.measurement import Measurement
from annette.parallel import run_in_order
from annette.store.visits import combine_visits
from annette.zoo.suites import SuiteMember

__all__ = ["OnProgress", "iterate_results"]

OnProgress = Callable[[int, int], None]
"""Called with the visits done and to do: one of each network, or as many as the device wants."""

_PART = 16
"""Networks that are built, measured and predicted together: enough to make the cost of each call small."""
_PARTS_A_JOB = 4
"""Parts that each process gets at least, if there are networks enough, so that all end at about one time."""


def iterate_results(
    platform: Platform,
    backend: Backend,
    members: Sequence[SuiteMember],
    *,
    seed: int,
    jobs: int,
    on_progress: OnProgress | None,
) -> Iterator[NetworkResult | FailedNetwork]:
    """Each network measured and predicted, in order.

    Networks of a device that answers always alike are built, measured and predicted part by part, in several
    processes on request, and forgotten. A device that wants several visits of a network gets them in rounds
    over all networks, which it takes all of them for.

    Parameters
    ----------
    members : sequence of SuiteMember
        The networks, not built yet.
    seed : int
        Seed of the device's noise; each network has its own from it and its position.
    jobs : int
        Processes, as `annette.benchmark.campaign.check_jobs` allows them.
    """
    if backend.info.visits > 1:
        yield from _iterate_rounds(platform, backend, members, seed, jobs, on_progress)
        return
    size = _part_size(len(members), jobs)
    parts = [(start, members[start : start + size]) for start in range(0, len(members), size)]
    done = 0
    for results in run_in_order(_evaluate_part, parts, jobs, shared=(platform, backend, seed)):
        for result in results:
            done += 1
            if on_progress is not None:
                on_progress(done, len(members))
            yield result


def _part_size(networks: int, jobs: int) -> int:
    if jobs == 1:
        return _PART
    processes = jobs if jobs > 0 else os.cpu_count() or 1
    return max(1, min(_PART, networks // (_PARTS_A_JOB * processes)))


def _evaluate_part(
    platform: Platform, backend: Backend, seed: int, start: int, members: Sequence[SuiteMember]
) -> tuple[NetworkResult | FailedNetwork, ...]:
    """The members from position ``start`` on."""
    items = []
    for number, member in enumerate(members, start):
        network = member.build()
        measurement = measure_network(backend, network, _network_seed(seed, number))
        items.append(_measured(member, network, combine_visits([measurement], reference_s=None)))
    return compare_networks(platform, items)


def _iterate_rounds(
    platform: Platform,
    backend: Backend,
    members: Sequence[SuiteMember],
    seed: int,
    jobs: int,
    on_progress: OnProgress | None,
) -> Iterator[NetworkResult | FailedNetwork]:
    networks = [member.build() for member in members]
    measured = _measure_rounds(backend, networks, seed, jobs, on_progress)
    for member, network, measurement in zip(members, networks, measured, strict=True):
        yield from compare_networks(platform, [_measured(member, network, measurement)])


def _measure_rounds(
    backend: Backend, networks: Sequence[Network], seed: int, jobs: int, on_progress: OnProgress | None
) -> list[Measurement]:
    """The networks' measurements: as many visits as the device wants, in rounds, combined."""
    visits: list[list[Measurement]] = [[] for _ in networks]
    done, total = 0, backend.info.visits * len(networks)
    for visit in range(backend.info.visits):
        asked = [number for number, found in enumerate(visits) if not found or found[-1].error is None]
        todo = [
            (backend, networks[number], visit_seed(_network_seed(seed, number), networks[number], visit))
            for number in asked
        ]
        for number, measurement in zip(asked, run_in_order(measure_network, todo, jobs), strict=True):
            visits[number].append(measurement)
            done += 1 if measurement.error is None else backend.info.visits - visit  # it is asked no more
            if on_progress is not None:
                on_progress(done, total)
    known = [item.conditions.get("reference_s") for found in visits for item in found]
    references = [item for item in known if item is not None]
    reference_s = statistics.median(references) if references else None
    return [combine_visits(found, reference_s=reference_s) for found in visits]


def _network_seed(seed: int, number: int) -> int:
    return seed * 1_000_003 + number


def _measured(member: SuiteMember, network: Network, measurement: Measurement) -> MeasuredNetwork:
    return MeasuredNetwork(
        network=network, measurement=measurement, group=member.suite, architecture=member.architecture
    )
