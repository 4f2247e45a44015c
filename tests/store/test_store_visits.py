"""A store keeps every visit, grows behind its plan, and combines what is whole."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from annette.errors import StoreError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.store.campaign import CampaignStore, PlanRecord, Task
from annette.store.codec import (
    device_from_json,
    device_to_json,
    measurement_from_json,
    measurement_to_json,
)

DEVICE = DeviceInfo(
    name="cpu", backend="test", visits=3, is_exclusive=True, cache_bytes=(32768, 1048576), vector_bytes=64,
    environment=(("host", "0a1b2c3d"), ("runtime", "1.31"), ("threads", "1")),
)  # fmt: skip
PLAN = PlanRecord(name="plan", seed=7, text="{}")


def make_tasks(count: int, *, first: int = 1) -> list[Task]:
    tasks = []
    for channels in range(first, first + count):
        build = NetworkBuilder(f"conv-{channels}")
        network = build.finish(build.relu(build.conv(build.input("x", (1, 3, 8, 8)), channels, kernel=3)))
        tasks.append(Task(network=network, category="block", group=f"g{channels}"))
    return tasks


def make_visit(task: Task, total_s: float, *, reference_s: float = 1e-3, load: float = 0.5) -> Measurement:
    names = tuple(layer.name for layer in task.network.layers)
    kernels = (
        Kernel(layers=names, primary=names[0], unit="blocked"),
        Kernel(tensor=task.network.outputs[0], unit="to_plain"),
    )
    return Measurement(
        network_id=task.network.id,
        device=DEVICE,
        values_s=(total_s, total_s * 1.1),
        kernels=tuple(
            KernelMeasurement(kernel=kernel, values_s=(total_s * share,))
            for kernel, share in zip(kernels, (0.9, 0.1), strict=True)
        ),
        conditions={"reference_s": reference_s, "load_fraction": load},
        seed=1,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CampaignStore]:
    with CampaignStore.create(tmp_path / "run.db", device=DEVICE, plan=PLAN) as opened:
        yield opened


def test_every_visit_comes_back_raw_and_in_order(store: CampaignStore) -> None:
    first, second, third = make_tasks(3)
    store.add_tasks([first, second, third])
    given = {
        first: [make_visit(first, value) for value in (1.0, 3.0, 2.0)],
        second: [make_visit(second, 1.0)],
    }
    for task, visits in given.items():
        for visit in visits:
            store.record(task.id, visit)
    assert [(task, list(visits)) for task, visits in store.visits()] == list(given.items())
    assert store.visit_counts() == {first.id: 3, second.id: 1, third.id: 0}


def test_a_task_counts_once_it_has_all_its_visits_or_failed(store: CampaignStore) -> None:
    whole, partial, failed, new = tasks = make_tasks(4)
    store.add_tasks(tasks)
    for value in (1.0, 1.3, 1.1):
        store.record(whole.id, make_visit(whole, value))
    store.record(partial.id, make_visit(partial, 1.0))
    store.record(failed.id, make_visit(failed, 1.0))
    store.record(failed.id, Measurement(network_id=failed.network.id, device=DEVICE, error="no room"))
    assert store.pending() == (partial.id, new.id)
    records = {record.task: record.measurement for record in store.records()}
    assert list(records) == [whole, failed]
    assert records[whole].values_s == (1.0,)
    assert records[whole].spread_fraction == pytest.approx(0.1)
    assert records[failed].error == "no room"
    summary = store.summary()
    assert (summary.planned, summary.measured, summary.started, summary.failed) == (4, 1, 1, 1)
    assert (summary.pending, summary.visits, summary.visits_per_task) == (2, 6, 3)
    assert summary.failures == (("no room", 1),)


def test_the_campaigns_median_reference_divides_out_the_drift(store: CampaignStore) -> None:
    tasks = make_tasks(2)
    store.add_tasks(tasks)
    for task in tasks:
        for drift in (1.0, 1.2, 1.1):
            store.record(task.id, make_visit(task, drift * 2.0, reference_s=drift * 1e-3))
    assert store.reference_s == pytest.approx(1.1e-3)
    for record in store.records():
        assert record.measurement.latency_s == pytest.approx(2.2)
        assert record.measurement.spread_fraction == pytest.approx(0.0, abs=1e-9)


def test_noise_tells_drift_and_load_of_all_visits(store: CampaignStore) -> None:
    assert store.noise().reference_s is None
    assert store.noise().load_fraction is None
    (task,) = make_tasks(1)
    store.add_tasks([task])
    for reference_s, load in ((1.0e-3, 0.2), (1.3e-3, 0.9), (1.1e-3, 0.4)):
        store.record(task.id, make_visit(task, 1.0, reference_s=reference_s, load=load))
    noise = store.noise()
    assert noise.reference_s == 1.1e-3
    assert noise.drift_fraction == pytest.approx(0.3 / 1.1)
    assert (noise.load_fraction, noise.peak_load_fraction) == (0.4, 0.9)


def test_there_is_an_end_of_visits_and_none_after_a_failed_one(store: CampaignStore) -> None:
    steady, failed = tasks = make_tasks(2)
    store.add_tasks(tasks)
    for _ in range(9):
        store.record(steady.id, make_visit(steady, 1.0))
    with pytest.raises(StoreError, match="at most 9 visits"):
        store.record(steady.id, make_visit(steady, 1.0))
    store.record(failed.id, Measurement(network_id=failed.network.id, device=DEVICE, error="no room"))
    with pytest.raises(StoreError, match="none after a failed one"):
        store.record(failed.id, make_visit(failed, 1.0))


def test_tasks_may_be_appended_behind_the_plan(tmp_path: Path) -> None:
    planned, grown = make_tasks(2), make_tasks(2, first=10)
    with CampaignStore.create(tmp_path / "run.db", device=DEVICE, plan=PLAN) as store:
        with pytest.raises(StoreError, match="add the plan's tasks first"):
            store.append_tasks(grown)
        store.add_tasks(planned)
        store.append_tasks(grown[:1])
        store.append_tasks([planned[0], *grown])  # what is there already stays
    with CampaignStore.open_or_create(tmp_path / "run.db", device=DEVICE, plan=PLAN) as store:
        store.add_tasks(planned)
        store.add_tasks([*planned, *grown])
        assert list(store.tasks()) == [*planned, *grown]
        assert list(store.tasks({grown[1].id})) == [grown[1]]
        assert store.pending() == tuple(task.id for task in (*planned, *grown))
        for others in (planned[:1], [*planned, *grown[:1]], [*planned, *make_tasks(1, first=50)]):
            with pytest.raises(StoreError, match="differ from"):
                store.add_tasks(others)
        with pytest.raises(StoreError, match="planned twice"):
            store.append_tasks(grown[:1] * 2)


@pytest.mark.parametrize(
    ("environment", "difference"),
    [
        ((("host", "ffffffff"), *DEVICE.environment[1:]), "host ('0a1b2c3d' then, 'ffffffff' now)"),
        (
            (*DEVICE.environment[:1], ("runtime", "1.32"), ("threads", "1")),
            "runtime ('1.31' then, '1.32' now)",
        ),
        (DEVICE.environment[:2], "threads ('1' then, not known now)"),
        ((*DEVICE.environment, ("kernels", "alone")), "kernels (not known then, 'alone' now)"),
    ],
)
def test_another_machine_version_or_option_is_refused_by_name(
    store: CampaignStore, environment: tuple[tuple[str, str], ...], difference: str
) -> None:
    store.close()
    other = dataclasses.replace(DEVICE, environment=environment)
    with pytest.raises(StoreError) as caught:
        CampaignStore.open_or_create(store.path, device=other, plan=PLAN)
    text = str(caught.value)
    assert f"differs in {difference}; " in text
    assert "\n" not in text


def test_a_store_of_an_older_annette_says_how_to_bring_it_to_todays(store: CampaignStore) -> None:
    store.close()
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(StoreError, match=r"written by an older annette.*`annette store export .* NEW.db`"):
        CampaignStore.open(store.path)


def test_identities_and_conditions_survive_the_text() -> None:
    assert device_from_json(device_to_json(DEVICE)) == DEVICE
    (task,) = make_tasks(1)
    measurement = dataclasses.replace(make_visit(task, 1.0), spread_fraction=0.25)
    text = measurement_to_json(measurement)
    assert measurement_from_json(text, network_id=task.network.id, device=DEVICE, seed=1) == measurement


def test_an_older_identity_without_the_new_fields_is_read() -> None:
    text = '{"name": "npu", "backend": "test", "environment": [["runs", "3"]]}'
    assert device_from_json(text) == DeviceInfo(name="npu", backend="test", environment=(("runs", "3"),))


@pytest.mark.parametrize("visits", [0, -1, "x", 1e9])
def test_an_identity_that_makes_no_sense_is_refused(visits: object) -> None:
    text = device_to_json(DEVICE).replace('"visits":3', f'"visits":{json.dumps(visits)}')
    with pytest.raises(StoreError, match="device of the store"):
        device_from_json(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"values_s": [1e999], "kernels": null, "eliminated": []}',
        '{"values_s": [NaN], "kernels": null, "eliminated": []}',
        '{"values_s": [1.0], "kernels": null, "eliminated": [], "conditions": {"load_fraction": "x"}}',
        '{"values_s": [1.0], "kernels": null, "eliminated": [], "conditions": [1]}',
        "[" * 100_000,
    ],
)
def test_measurements_that_are_no_sane_json_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(StoreError) as caught:
        measurement_from_json(text, network_id="0" * 32, device=DEVICE, seed=None)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
