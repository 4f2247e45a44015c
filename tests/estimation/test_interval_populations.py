"""Intervals of populations: those of one network at a time, to the last bit, along every path."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from annette.errors import UsageError
from annette.estimation.bounds import LatencyIntervals
from annette.estimation.platform import Platform
from annette.graph.network import Network
from annette.zoo.registry import zoo_network
from annette.zoo.spaces.registry import open_space

NETWORKS = tuple(zoo_network(name) for name in ("resnet18", "lenet5", "vit_tiny", "squeezenet1_1"))


def one_by_one(platform: Platform, networks: tuple[Network, ...], model: str = "mixed") -> list[list[float]]:
    rows = []
    for network in networks:
        estimate = platform.estimate(network, model=model)
        assert estimate.interval is not None
        rows.append([estimate.latency_s, estimate.interval.low_s, estimate.interval.high_s])
    return rows


def rows_of(found: LatencyIntervals) -> list[list[float]]:
    return np.stack([found.latency_s, found.low_s, found.high_s], axis=1).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("model", ["roofline", "mixed"])
def test_many_networks_have_the_intervals_of_single_ones(small_platform: Platform, model: str) -> None:
    found = small_platform.estimate_many_intervals(NETWORKS, model=model)
    assert rows_of(found) == one_by_one(small_platform, NETWORKS, model)
    backwards = small_platform.estimate_many_intervals(iter(NETWORKS[::-1]), model=model)
    assert rows_of(backwards) == rows_of(found)[::-1]
    assert found.latency_s.tolist() == small_platform.estimate_many(NETWORKS, model=model).tolist()
    assert rows_of(small_platform.estimate_many_intervals([], model=model)) == []


@pytest.mark.parametrize(("name", "count"), [("nasbench201", 40), ("ofa", 12), ("transformer", 12)])
def test_spaces_have_the_intervals_of_their_networks(small_platform: Platform, name: str, count: int) -> None:
    space = open_space(name)
    rows = space.sample(count, seed=3)
    networks = tuple(space.network(row) for row in rows.tolist())
    found = small_platform.estimate_space_intervals(space, rows)
    assert rows_of(found) == one_by_one(small_platform, networks)
    assert found.latency_s.tolist() == small_platform.estimate_space(space, rows).tolist()
    few = small_platform.estimate_space_intervals(space, rows[:3])  # too few for arrays
    assert rows_of(few) == rows_of(found)[:3]
    assert (found.low_s < found.latency_s).all()
    assert (found.latency_s < found.high_s).all()


def test_a_platform_without_intervals_says_so(small_platform: Platform) -> None:
    without = replace(small_platform, intervals=None)
    space = open_space("nasbench201")
    with pytest.raises(UsageError, match="no intervals of the mixed model; train it again"):
        without.estimate_space_intervals(space, space.sample(2, seed=1))
    with pytest.raises(UsageError, match="no intervals of the roofline model"):
        without.estimate_many_intervals(NETWORKS, model="roofline")
    with pytest.raises(UsageError, match="layer model 'best'"):
        small_platform.estimate_many_intervals(NETWORKS, model="best")


def test_arrays_of_intervals_cannot_be_changed(small_platform: Platform) -> None:
    found = small_platform.estimate_many_intervals(NETWORKS[1:2])
    with pytest.raises(ValueError, match="read-only"):
        found.low_s[0] = 0.0
