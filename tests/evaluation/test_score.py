"""Platforms judged on recorded measurements: figures of every way to predict, repeats, tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import annette
from annette.backends.registry import open_device
from annette.backends.simulator import open_simulator
from annette.benchmark.campaign import run_campaign
from annette.errors import StoreError, UsageError
from annette.evaluation.repeats import Repeats, find_repeats, kernel_sums, read_repeats, write_repeats
from annette.evaluation.score import RecordedEvaluation, score_records
from annette.measurement import Measurement
from annette.models.layer_models import MODEL_NAMES
from annette.store.campaign import CampaignStore
from annette.store.records import PlanRecord, Record, Task
from annette.zoo.registry import zoo_network

NAMES = ("lenet5", "tc_resnet8", "squeezenet1_1", "mobilenet_v2")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CampaignStore]:
    backend = open_device("simulator:zcu102-dpu")
    tasks = [
        Task(network=zoo_network(name), category="block", group="small" if name < "m" else "large")
        for name in NAMES
    ]
    path = tmp_path_factory.mktemp("evaluation") / "evaluation.db"
    plan = PlanRecord(name="evaluation", seed=1, text="four")
    with CampaignStore.create(path, device=backend.info, plan=plan) as store:
        run_campaign(tasks, backend, store)
        yield store


@pytest.fixture(scope="module")
def evaluation(store: CampaignStore) -> RecordedEvaluation:
    records = list(store.records())
    halves = {record.task.id: (record.measurement.latency_s,) * 2 for record in records}
    halves[records[0].task.id] = (1.0, 1.1)
    repeats = Repeats(halves_s=halves, lookup_fractions=kernel_sums(records))
    return score_records(annette.load("zcu102-dpu"), records, repeats=repeats)


def test_every_network_is_measured_predicted_and_counted(evaluation: RecordedEvaluation) -> None:
    assert [item.name for item in evaluation.networks] == list(NAMES)
    assert evaluation.groups() == ("small", "large")
    assert not evaluation.failed
    for item in evaluation.networks:
        assert set(item.predicted_s) == set(item.oracle_s) == set(MODEL_NAMES)
        assert item.measured_kernels is not None
        assert len(item.kernels) == item.measured_kernels >= (item.exact_kernels or 0)
        assert sum(kernel.predicted_s for kernel in item.kernels) == pytest.approx(item.oracle_s["mixed"])


def test_figures_tell_the_ways_to_predict_apart(evaluation: RecordedEvaluation) -> None:
    learned = evaluation.figures()
    assert learned is not None
    assert learned.networks == 4
    assert learned.mape <= learned.worst < 0.2
    roofline = evaluation.figures(model="roofline")
    assert roofline is not None
    assert roofline.mape > learned.mape
    repeat = evaluation.figures("small", way="repeat")
    assert repeat is not None
    assert repeat.worst == pytest.approx(0.1)
    assert repeat.mape == pytest.approx(0.1 / repeat.networks)
    assert evaluation.figures("nothing") is None
    with pytest.raises(UsageError, match="expected learned, oracle, lookup, repeat or energy"):
        evaluation.figures(way="guess")


def test_the_mapping_counts_exact_and_surplus_kernels(evaluation: RecordedEvaluation) -> None:
    mapping = evaluation.mapping()
    assert mapping["networks"] == 4
    assert mapping["exact_kernels"] == mapping["measured_kernels"]
    assert mapping["surplus_kernels"] == 0
    assert mapping["accuracy"] == 1.0


def test_the_evaluation_is_json_and_tables(evaluation: RecordedEvaluation) -> None:
    document = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert document["groups"]["large"]["learned"]["mixed"]["networks"] == 3
    assert len(evaluation.to_frame()) == 4
    kernels = evaluation.kernel_frame()
    assert len(kernels) == sum(len(item.kernels) for item in evaluation.networks)
    assert set(kernels.network) == set(NAMES)


def test_what_failed_is_named_and_left_out(store: CampaignStore) -> None:
    first, *rest = store.records()
    failed = Measurement(network_id=first.task.network.id, device=store.device, error="out of memory")
    platform = annette.load("zcu102-dpu")
    found = score_records(platform, [Record(task=first.task, measurement=failed), *rest])
    assert found.failed == (("lenet5", "out of memory"),)
    assert len(found.networks) == 3
    with pytest.raises(UsageError, match=r"no network to score.*out of memory"):
        score_records(platform, [Record(task=first.task, measurement=failed)])


def test_a_device_without_kernels_is_judged_by_its_totals(store: CampaignStore) -> None:
    bare = [
        replace(record, measurement=replace(record.measurement, kernels=None)) for record in store.records()
    ]
    found = score_records(annette.load("zcu102-dpu"), bare)
    assert found.figures() is not None
    assert found.figures(way="oracle") is None
    assert found.mapping()["accuracy"] is None
    assert found.kernel_frame().empty
    assert kernel_sums(bare) == {}


def test_halves_are_of_every_other_visit_with_drift_divided_out(tmp_path: Path) -> None:
    network = zoo_network("lenet5")
    device = replace(open_simulator("zcu102-dpu").info, visits=4)
    task = Task(network=network, category="block", group="a")
    values = ((1.0, 0.5), (1.2, 0.5), (0.9, 0.5), (1.1, 0.5))
    plan = PlanRecord(name="evaluation", seed=1, text="one")
    with CampaignStore.create(tmp_path / "e.db", device=device, plan=plan) as store:
        store.add_tasks([task])
        for seconds, reference_s in values:
            conditions = {"reference_s": reference_s}
            store.record(
                task.id,
                Measurement(network_id=network.id, device=device, values_s=(seconds,), conditions=conditions),
            )
        assert find_repeats(store).halves_s == {task.id: (0.9, 1.1)}


def test_repeats_survive_their_file(tmp_path: Path) -> None:
    repeats = Repeats(halves_s={"a": (1.0, 1.5)}, lookup_fractions={"n": 0.93})
    write_repeats(repeats, tmp_path / "repeats.json")
    assert read_repeats(tmp_path / "repeats.json") == repeats


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        '{"schema_version": 2, "halves_s": {}, "lookup_fractions": {}}',
        '{"schema_version": 1, "halves_s": {"a": [1.0]}, "lookup_fractions": {}}',
        '{"schema_version": 1, "halves_s": {"a": [1.0, -1.0]}, "lookup_fractions": {}}',
        '{"schema_version": 1, "halves_s": {}, "lookup_fractions": {"a": true}}',
        '{"schema_version": 1, "halves_s": {}}',
    ],
)
def test_damaged_repeats_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "repeats.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match="repeats") as caught:
        read_repeats(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError):
        read_repeats(tmp_path / "missing.json")
