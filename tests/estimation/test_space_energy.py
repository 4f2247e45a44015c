"""Energies of populations: those of their networks one by one, whatever they are asked with."""

from __future__ import annotations

import pytest

from annette.errors import UsageError
from annette.estimation.platform import Platform
from annette.estimation.search import LatencyObjective
from annette.models.layer_models import MODEL_NAMES
from annette.zoo.spaces.registry import open_space

COUNT = 12
"""More than the few of which networks are built instead."""


@pytest.mark.parametrize("name", ["nasbench201", "ofa"])
@pytest.mark.parametrize("model", MODEL_NAMES)
def test_joules_of_a_population_are_those_of_its_networks(
    energy_platform: Platform, name: str, model: str
) -> None:
    space = open_space(name)
    rows = space.sample(COUNT, seed=6)
    found = energy_platform.estimate_space(space, rows, model=model, target="energy")
    expected = [energy_platform.estimate(space.network(row), model=model).energy_j for row in rows]
    assert found.tolist() == expected
    again = energy_platform.estimate_space(space, rows[::-1], model=model, target="energy")
    assert again.tolist() == expected[::-1]


def test_joules_and_seconds_of_one_space_are_kept_apart(energy_platform: Platform) -> None:
    space = open_space("nasbench201")
    rows = space.sample(COUNT, seed=7)
    estimates = [energy_platform.estimate(space.network(row)) for row in rows]
    for target in ("latency", "energy", "latency", "energy"):
        expected = [item.energy_j if target == "energy" else item.latency_s for item in estimates]
        assert LatencyObjective(energy_platform, space, target=target)(rows).tolist() == expected


def test_a_platform_without_energy_has_no_joules_of_a_population(small_platform: Platform) -> None:
    space = open_space("nasbench201")
    with pytest.raises(UsageError, match="without energy"):
        small_platform.estimate_space(space, space.sample(2, seed=0), target="energy")
