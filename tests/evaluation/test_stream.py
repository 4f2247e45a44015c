"""Suites as a stream: the numbers of single networks, few networks alive, order and interruption."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace

import pytest

from annette.backends.simulator import open_simulator
from annette.estimation.platform import Platform
from annette.evaluation.comparison import FailedNetwork, NetworkResult
from annette.evaluation.predictions import PredictionTable
from annette.evaluation.ranking import LEAST_RANKED
from annette.evaluation.stream import iterate_results
from annette.evaluation.suite import Evaluation, evaluate_suite
from annette.graph.network import Network
from annette.graph.work import network_work
from annette.measurement import DeviceInfo, Measurement
from annette.models.layer_models import MODEL_NAMES
from annette.zoo.suites import iterate_members, iterate_suite

SUITE = "nasbench201-40"


class _Watched:
    """The simulator; knows how many of the networks it was shown are still there, and may be interrupted."""

    def __init__(self, stop_after: int | None = None) -> None:
        self._backend = open_simulator("zcu102-dpu")
        self._seen: list[weakref.ref[Network]] = []
        self._stop_after = stop_after
        self.most_alive = 0

    @property
    def info(self) -> DeviceInfo:
        return self._backend.info

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        if len(self._seen) == self._stop_after:
            raise KeyboardInterrupt
        self._seen.append(weakref.ref(network))
        if len(self._seen) % 20 == 0:
            gc.collect()
            self.most_alive = max(self.most_alive, sum(item() is not None for item in self._seen))
        if len(self._seen) % 7 == 0:
            return Measurement(network_id=network.id, device=self.info, error="does not fit")
        return self._backend.measure(network, seed=seed)


@pytest.fixture(scope="module")
def evaluation(small_platform: Platform) -> Evaluation:
    return evaluate_suite(small_platform, SUITE, device="zcu102-dpu", seed=3)


def test_a_part_of_many_networks_gives_the_numbers_of_each_alone(
    small_platform: Platform, evaluation: Evaluation
) -> None:
    backend = open_simulator("zcu102-dpu")
    for number, (network, row) in enumerate(zip(iterate_suite(SUITE), evaluation.networks, strict=True)):
        if number % 5:
            continue
        estimates = small_platform.estimate_models(network)
        assert row.name == network.name
        alone_s = {model: item.latency_s for model, item in estimates.items()}
        assert dict(row.predicted_s) == alone_s
        assert row.measured_s == backend.measure(network, seed=3 * 1_000_003 + number).latency_s
        assert row.macs == network_work(network).macs


def test_many_networks_are_never_there_at_once(small_platform: Platform) -> None:
    backend, seen = _Watched(), list[tuple[int, int]]()
    members = tuple(iterate_members("nasbench201-60"))
    results = list(
        iterate_results(
            small_platform, backend, members, seed=0, jobs=1,
            on_progress=lambda done, total: seen.append((done, total)),
        )
    )  # fmt: skip
    assert 0 < backend.most_alive < 20
    assert seen == [(number, 60) for number in range(1, 61)]
    names = [item.name for item in results]
    assert names == [member.name for member in members]
    assert [isinstance(item, FailedNetwork) for item in results] == [number % 7 == 6 for number in range(60)]


def test_processes_give_the_same_networks_in_the_same_order(
    small_platform: Platform, evaluation: Evaluation
) -> None:
    assert evaluate_suite(small_platform, SUITE, device="zcu102-dpu", seed=3, jobs=2) == evaluation


def test_an_interrupt_in_the_middle_goes_through(small_platform: Platform) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate_suite(small_platform, SUITE, device=_Watched(stop_after=20))


def test_several_suites_are_judged_together_and_each_alone(small_platform: Platform) -> None:
    answer = evaluate_suite(small_platform, ["nasbench201-6", "nasbench101-3"], device="zcu102-dpu")
    document = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert document["suite"] == "nasbench201-6, nasbench101-3"
    assert {name: group["networks"] for name, group in document["groups"].items()} == {
        "nasbench201-6": 6, "nasbench101-3": 3,
    }  # fmt: skip
    assert [row["group"] for row in document["networks"]] == ["nasbench201-6"] * 6 + ["nasbench101-3"] * 3
    assert all(row["architecture"].startswith("|") for row in document["networks"][:6])


def test_another_sample_is_drawn_only_of_random_suites(small_platform: Platform) -> None:
    suites = ["nasbench201-2", "nasbench101-2"]
    first, other = (
        evaluate_suite(small_platform, suites, device="zcu102-dpu", sample_seed=seed) for seed in (None, 5)
    )
    assert [item.name for item in first.networks] == [item.name for item in other.networks]
    assert all(
        one.measured_s != two.measured_s for one, two in zip(first.networks, other.networks, strict=True)
    )


def test_choices_are_judged_from_forty_networks_on(evaluation: Evaluation) -> None:
    document = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert len(evaluation.networks) == LEAST_RANKED
    names = {row["name"] for row in document["networks"]}
    for model in MODEL_NAMES:
        ranking = document["models"][model]["ranking"]
        assert ranking["quality"] == "macs"
        assert sum(item["networks"] for item in ranking["quartiles"]) == LEAST_RANKED
        assert {name for item in ranking["budgets"] for name in (item["best"], item["chosen"])} <= names
        assert document["groups"][SUITE]["models"][model]["ranking"] == ranking
    fewer = replace(evaluation, networks=evaluation.networks[1:])
    assert fewer.ranking("mixed") is None
    assert fewer.to_dict()["models"]["mixed"]["ranking"] is None  # type: ignore[index]


def test_a_platform_that_knows_the_truth_finds_everything(evaluation: Evaluation) -> None:
    def perfect(item: NetworkResult) -> NetworkResult:
        return replace(item, predicted_s=tuple((model, item.measured_s) for model in MODEL_NAMES))

    table: PredictionTable = replace(evaluation, networks=tuple(map(perfect, evaluation.networks))).table()
    ranking = table.ranking("mixed")
    assert ranking is not None
    assert ranking.front_recall == 1
    assert all(item.best == item.chosen for item in ranking.budgets)


def test_the_same_network_twice_is_one_to_choose(evaluation: Evaluation) -> None:
    """Only the noise of the measurement tells them apart."""
    first = evaluation.networks[0]
    again = replace(first, name="again", measured_s=first.measured_s * 1.5)
    table = replace(evaluation, networks=(*evaluation.networks, again)).table()
    distinct = table.distinct()
    assert len(distinct.names) == len({item.network_id for item in evaluation.networks})
    assert "again" not in distinct.names
    same = [item.measured_s for item in evaluation.networks if item.network_id == first.network_id]
    mean_s = sum((*same, again.measured_s)) / (len(same) + 1)
    assert distinct.measured_s[0] == pytest.approx(mean_s)
    ranking = table.ranking("mixed")
    assert ranking is not None
    assert sum(item.networks for item in ranking.quartiles) == len(table.names)
