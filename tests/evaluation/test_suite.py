"""Evaluating a platform on networks it never saw: rows, figures, failures."""

from __future__ import annotations

import json
from dataclasses import replace

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


class _Noisy:
    """The simulator as a device of several visits that drifts, times one network at a time, and lost one."""

    def __init__(self, refused: str = "") -> None:
        self._backend, self._refused = open_simulator("zcu102-dpu"), refused
        self.info = replace(self._backend.info, visits=3, is_exclusive=True)
        self.asked: list[tuple[str, int]] = []

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        self.asked.append((network.name, seed))
        if network.name == self._refused:
            raise OSError("no answer")
        drift = 1.0 + 0.01 * len(self.asked)
        answer = self._backend.measure(network, seed=0)
        value_s = answer.latency_s * drift
        return replace(
            answer,
            device=self.info,
            values_s=(value_s,),
            kernels=tuple(replace(item, values_s=(item.latency_s * drift,)) for item in answer.kernels or ()),
            conditions={"reference_s": drift},
        )


def test_a_noisy_device_is_visited_in_rounds_and_its_drift_divided_out(small_platform: Platform) -> None:
    device, seen = _Noisy("squeezenet1_1"), list[tuple[int, int]]()
    answer = evaluate_suite(
        small_platform, NETWORKS, device=device, on_progress=lambda done, total: seen.append((done, total))
    )
    first, lost, last = (network.name for network in NETWORKS)
    assert [name for name, _ in device.asked] == [first, lost, last, first, last, first, last]
    assert len({seed for _, seed in device.asked}) == len(device.asked)
    assert seen == [(1, 9), (4, 9), (5, 9), (6, 9), (7, 9), (8, 9), (9, 9)]
    assert [(item.name, item.error) for item in answer.failed] == [(lost, "OSError: no answer")]
    assert answer.spread_fraction == pytest.approx(0.0, abs=1e-9)
    ratios = [
        item.measured_s / open_simulator("zcu102-dpu").measure(network).latency_s
        for item, network in zip(answer.networks, (NETWORKS[0], NETWORKS[2]), strict=True)
    ]
    assert ratios[0] == pytest.approx(ratios[1])


def test_a_device_that_times_one_network_at_a_time_refuses_jobs(small_platform: Platform) -> None:
    with pytest.raises(UsageError, match="one network at a time"):
        evaluate_suite(small_platform, NETWORKS, device=_Noisy(), jobs=2)


def test_the_device_of_a_real_platform_must_be_named(small_platform: Platform) -> None:
    real = replace(small_platform.device, name="cpu-onnxruntime", backend="onnxruntime")
    with pytest.raises(UsageError, match="as in --device onnxruntime") as caught:
        evaluate_suite(replace(small_platform, device=real), NETWORKS)
    assert "\n" not in str(caught.value)
    gone = replace(small_platform.device, name="my-own")
    with pytest.raises(UsageError, match=r"simulator:FILE\.yaml"):
        evaluate_suite(replace(small_platform, device=gone), NETWORKS)


def test_kernels_with_their_own_times_have_no_error(small_platform: Platform) -> None:
    """With a mapping from the device itself, every kernel is exact."""
    backend = open_simulator("zcu102-dpu")
    answer = evaluate_suite(small_platform, NETWORKS[:1], device=backend)
    row = answer.networks[0]
    assert row.exact_kernels is not None
    assert row.compared_kernels == row.exact_kernels
