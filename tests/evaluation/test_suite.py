"""Evaluating a platform on networks it never saw: rows, figures, failures."""

from __future__ import annotations

import json

import pytest

from annette.backends.simulator import open_simulator
from annette.errors import MeasurementError, UsageError
from annette.estimation.platform import Platform
from annette.evaluation.metrics import accuracy
from annette.evaluation.suite import evaluate_suite
from annette.graph.network import Network
from annette.measurement import DeviceInfo, Measurement
from annette.models.layer_models import MODEL_NAMES
from annette.zoo.registry import zoo_network

NETWORKS = tuple(zoo_network(name) for name in ("resnet18", "squeezenet1_1", "mobilenet_v1"))


class _Picky:
    """The simulator, but one network does not fit."""

    def __init__(self, refused: frozenset[str]) -> None:
        self._backend = open_simulator("zcu102-dpu")
        self._refused = refused

    @property
    def info(self) -> DeviceInfo:
        return self._backend.info

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        if network.name in self._refused:
            return Measurement(network_id=network.id, device=self.info, error="does not fit")
        return self._backend.measure(network, seed=seed)


def test_rows_and_figures_agree(small_platform: Platform) -> None:
    seen: list[tuple[int, int]] = []
    answer = evaluate_suite(
        small_platform, NETWORKS, on_progress=lambda done, total: seen.append((done, total))
    )
    document = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert {"platform", "suite", "device", "mapping_accuracy", "models", "networks"} <= set(document)
    assert set(document["models"]) == set(MODEL_NAMES)
    for model, figures in document["models"].items():
        measured = [row["measured_s"] for row in document["networks"]]
        predicted = [row[f"{model}_s"] for row in document["networks"]]
        assert {key: figures[key] for key in accuracy(measured, predicted).to_dict()} == accuracy(
            measured, predicted
        ).to_dict()
        assert figures["kernel_mape"] > 0
    assert [row["name"] for row in document["networks"]] == [network.name for network in NETWORKS]
    assert document["mapping_accuracy"] > 0.9
    assert document["surplus_kernels"] == sum(
        row["predicted_kernels"] - row["exact_kernels"] for row in document["networks"]
    )


def test_failures_are_reported_and_left_out(small_platform: Platform) -> None:
    answer = evaluate_suite(small_platform, NETWORKS, device=_Picky(frozenset({"resnet18"})))
    assert [item.name for item in answer.networks] == [network.name for network in NETWORKS[1:]]
    assert answer.to_dict()["failed"] == [{"name": "resnet18", "error": "does not fit"}]


def test_nothing_measured_is_an_error_with_the_first_reason(small_platform: Platform) -> None:
    names = frozenset(network.name for network in NETWORKS)
    with pytest.raises(MeasurementError, match="resnet18: does not fit"):
        evaluate_suite(small_platform, NETWORKS, device=_Picky(names))
    with pytest.raises(UsageError, match="no networks"):
        evaluate_suite(small_platform, ())


def test_jobs_change_nothing(small_platform: Platform) -> None:
    alone = evaluate_suite(small_platform, NETWORKS[:2], device="zcu102-dpu", seed=3)
    assert evaluate_suite(small_platform, NETWORKS[:2], device="zcu102-dpu", seed=3, jobs=2) == alone
    assert evaluate_suite(small_platform, NETWORKS[:2], device="zcu102-dpu", seed=4) != alone


def test_kernels_with_their_own_times_have_no_error(small_platform: Platform) -> None:
    """With a mapping from the device itself, every kernel is exact."""
    backend = open_simulator("zcu102-dpu")
    answer = evaluate_suite(small_platform, NETWORKS[:1], device=backend)
    row = answer.networks[0]
    assert row.exact_kernels is not None
    assert len(dict(row.kernel_errors)["mixed"]) == row.exact_kernels
