"""Energy beside latency in both evaluations: only where both device and platform know it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from annette.backends.simulator import open_simulator
from annette.estimation.platform import Platform
from annette.evaluation.metrics import accuracy
from annette.evaluation.score import score_records
from annette.evaluation.suite import Evaluation, evaluate_suite
from annette.graph.network import Network
from annette.measurement import DeviceInfo, Measurement
from annette.models.layer_models import MODEL_NAMES
from annette.store.records import Record, Task
from annette.zoo.registry import zoo_network

NETWORKS = tuple(zoo_network(name) for name in ("resnet18", "squeezenet1_1", "mobilenet_v1", "lenet5"))
DEVICE = "systolic-32x32-ws"


class _Silent:
    """The device, which does not tell the energy of one network."""

    def __init__(self, silent: frozenset[str]) -> None:
        self._backend = open_simulator(DEVICE)
        self._silent = silent

    @property
    def info(self) -> DeviceInfo:
        return self._backend.info

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        found = self._backend.measure(network, seed=seed)
        if network.name not in self._silent or found.kernels is None:
            return found
        return replace(found, kernels=tuple(replace(item, counters={}) for item in found.kernels))


@pytest.fixture(scope="module")
def evaluation(energy_platform: Platform) -> Evaluation:
    return evaluate_suite(energy_platform, NETWORKS, device=_Silent(frozenset({"lenet5"})))


def test_figures_are_those_of_the_networks_with_energy(evaluation: Evaluation) -> None:
    document = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    rows = document["networks"]
    assert [row["measured_j"] is None for row in rows] == [False, False, False, True]
    assert len(rows) == 4  # of latency all count
    known = [row for row in rows if row["measured_j"] is not None]
    for model in MODEL_NAMES:
        expected = accuracy([row["measured_j"] for row in known], [row[f"{model}_j"] for row in known])
        assert document["energy"]["models"][model] == expected.to_dict()
    truth = [open_simulator(DEVICE).measure(network).energy_j for network in NETWORKS[:3]]
    assert [row["measured_j"] for row in known] == truth


def test_the_mixed_model_of_energy_is_good_and_better_than_the_analytic_ones(evaluation: Evaluation) -> None:
    found = {model: evaluation.energy_accuracy(model) for model in MODEL_NAMES}
    errors = {model: value.mape for model, value in found.items() if value is not None}
    assert errors["mixed"] < 0.04
    assert errors["mixed"] < errors["refined_roofline"] < errors["roofline"]


def test_without_energy_on_either_side_nothing_is_said_of_it(
    energy_platform: Platform, evaluation: Evaluation
) -> None:
    everyone = frozenset(network.name for network in NETWORKS)
    deaf = evaluate_suite(energy_platform, NETWORKS, device=_Silent(everyone))
    mute = evaluate_suite(replace(energy_platform, energy_models=None), NETWORKS, device=DEVICE)
    for found in (deaf, mute):
        document = found.to_dict()
        assert document["energy"] is None
        assert document["models"] == evaluation.to_dict()["models"]
        assert found.energy_accuracy("mixed") is None


def test_recorded_networks_are_scored_in_joules_too(energy_platform: Platform) -> None:
    backend = open_simulator(DEVICE)
    records = [
        Record(task=Task(network=item, category="block", group="all"), measurement=backend.measure(item))
        for item in NETWORKS
    ]
    scored = score_records(energy_platform, records)
    pairs = [(item.measured_j, item.predicted_j["mixed"]) for item in scored.networks]
    figures = scored.figures(way="energy")
    assert figures is not None
    assert figures.networks == len(NETWORKS)
    expected = accuracy([one for one, _ in pairs if one is not None], [other for _, other in pairs])
    assert (figures.mape, figures.spearman) == (expected.mape, expected.spearman)
    assert pairs[0] == (backend.measure(NETWORKS[0]).energy_j, energy_platform.estimate(NETWORKS[0]).energy_j)
    document = json.loads(json.dumps(scored.to_dict(), allow_nan=False))
    assert set(document["groups"]["all"]["energy"]) == set(MODEL_NAMES)
    silent = score_records(replace(energy_platform, energy_models=None), records)
    assert silent.figures(way="energy") is None
    assert silent.to_dict()["groups"]["all"]["energy"] == {}  # type: ignore[index]
