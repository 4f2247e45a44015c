"""Running a campaign: the same values for any number of processes, failures kept, stopping harmless."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from annette.backends.protocol import Backend
from annette.backends.registry import open_device
from annette.benchmark.campaign import CampaignSummary, run_campaign, task_seed
from annette.benchmark.plan import CampaignPlan, plan_campaign
from annette.benchmark.plan_codec import plan_from_yaml
from annette.errors import MeasurementError, StoreError, UsageError
from annette.graph.network import Network
from annette.measurement import DeviceInfo, Measurement
from annette.store.campaign import CampaignStore, Record, Task

PLAN = """
schema_version: 1
name: tiny
description: enough for several batches
seed: 3
limits: {macs: 1.0e+9, activation_elements: 4.0e+6, weight_elements: 20.0e+6}
sweeps:
  - name: wide
    layer: conv
    base: {in_channels: 32, out_channels: 48, out_h: 10, out_w: 12, kernel: 3}
    dimensions: [out_channels, out_w]
    dense_to: 30
    up_to: 30
"""
DEVICE = DeviceInfo(name="fake", backend="test")


class FakeBackend:
    """Answers from the network's id and the seed, and fails as told."""

    def __init__(self, fault: str = "") -> None:
        self.info = DEVICE
        self.fault = fault
        self.asked: list[str] = []

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        self.asked.append(network.id)
        odd = int(network.id, 16) % 3 == 0
        if odd and self.fault == "raise":
            raise ValueError("cannot\nrun this")
        if odd and self.fault == "answer":
            return Measurement(network_id=network.id, device=DEVICE, error="too large")
        if odd and self.fault == "other":
            return Measurement(network_id="f" * 32, device=DEVICE, values_s=(1.0,))
        if self.fault == "interrupt" and len(self.asked) == 10:
            raise KeyboardInterrupt
        value = (int(network.id, 16) + seed) % 1000 * 1e-6
        return Measurement(network_id=network.id, device=DEVICE, values_s=(value,), seed=seed)


@pytest.fixture(scope="module")
def plan() -> CampaignPlan:
    return plan_from_yaml(PLAN, "tiny.yaml")


@pytest.fixture(scope="module")
def tasks(plan: CampaignPlan) -> tuple[Task, ...]:
    return plan_campaign(plan)


def _run(
    path: Path, plan: CampaignPlan, tasks: tuple[Task, ...], backend: Backend, **options: Any
) -> tuple[CampaignSummary, list[Record]]:
    with CampaignStore.open_or_create(path, device=backend.info, plan=plan.record) as store:
        summary = run_campaign(tasks, backend, store, **options)
        return summary, list(store.records())


def test_every_task_is_measured_once(tmp_path: Path, plan: CampaignPlan, tasks: tuple[Task, ...]) -> None:
    backend = FakeBackend()
    summary, records = _run(tmp_path / "a.db", plan, tasks, backend)
    assert backend.asked == [task.network.id for task in tasks]
    assert [record.task for record in records] == list(tasks)
    assert (summary.planned, summary.done_before, summary.measured, summary.failed) == (
        len(tasks),
        0,
        len(tasks),
        0,
    )


def test_a_finished_campaign_measures_nothing_more(
    tmp_path: Path, plan: CampaignPlan, tasks: tuple[Task, ...]
) -> None:
    _, first = _run(tmp_path / "a.db", plan, tasks, FakeBackend())
    backend = FakeBackend()
    summary, second = _run(tmp_path / "a.db", plan, tasks, backend)
    assert backend.asked == []
    assert (summary.done_before, summary.measured) == (len(tasks), 0)
    assert first == second


def test_values_do_not_depend_on_the_number_of_processes(
    tmp_path: Path, plan: CampaignPlan, tasks: tuple[Task, ...]
) -> None:
    device = open_device("simulator:zcu102-dpu")
    (_, alone), (summary, together) = (
        _run(tmp_path / f"{jobs}.db", plan, tasks, device, jobs=jobs) for jobs in (1, 2)
    )
    assert alone == together
    assert summary.measured == len(tasks)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", "ValueError: cannot run this"),
        ("answer", "too large"),
        ("other", "the backend answered for another network or device"),
    ],
)
def test_a_failed_benchmark_is_kept_with_its_reason_and_the_rest_goes_on(
    tmp_path: Path, plan: CampaignPlan, tasks: tuple[Task, ...], fault: str, reason: str
) -> None:
    summary, records = _run(tmp_path / "a.db", plan, tasks, FakeBackend(fault))
    failed = [record for record in records if record.measurement.error is not None]
    assert len(records) == len(tasks)
    assert len(failed) == sum(int(task.network.id, 16) % 3 == 0 for task in tasks) > 0
    assert {record.measurement.error for record in failed} == {reason}
    assert summary.failures == ((reason, len(failed)),)
    assert summary.measured + summary.failed == len(tasks)


def test_an_interrupted_campaign_continues_where_it_stopped(
    tmp_path: Path, plan: CampaignPlan, tasks: tuple[Task, ...]
) -> None:
    stopped = FakeBackend("interrupt")
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path / "a.db", plan, tasks, stopped)
    backend = FakeBackend()
    summary, records = _run(tmp_path / "a.db", plan, tasks, backend)
    assert summary.done_before == 9
    assert stopped.asked[:9] + backend.asked == [task.network.id for task in tasks]
    _, whole = _run(tmp_path / "b.db", plan, tasks, FakeBackend())
    assert records == whole


def test_progress_counts_what_was_done_before(
    tmp_path: Path, plan: CampaignPlan, tasks: tuple[Task, ...]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path / "a.db", plan, tasks, FakeBackend("interrupt"))
    seen: list[tuple[int, int, int]] = []
    _run(
        tmp_path / "a.db", plan, tasks, FakeBackend("answer"), on_progress=lambda *counts: seen.append(counts)
    )
    total = len(tasks)
    assert [done for done, _, _ in seen] == list(range(9, total + 1))
    assert {item[1] for item in seen} == {total}
    assert [item[2] for item in seen] == sorted(item[2] for item in seen)


def test_seeds_follow_from_the_plans_seed_and_the_task_alone(tasks: tuple[Task, ...]) -> None:
    assert task_seed(3, tasks[0]) == task_seed(3, dataclasses.replace(tasks[0]))
    assert len({task_seed(3, task) for task in tasks}) == len(tasks)
    assert task_seed(3, tasks[0]) != task_seed(4, tasks[0])


def test_a_full_store_stops_the_campaign_with_its_reason(
    tmp_path: Path, plan: CampaignPlan, tasks: tuple[Task, ...]
) -> None:
    with CampaignStore.open_or_create(tmp_path / "a.db", device=DEVICE, plan=plan.record) as store:
        store.add_tasks(tasks)
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="free some space"):
            run_campaign(tasks, FakeBackend(), store)


@pytest.mark.parametrize("jobs", [0, -2])
def test_a_number_of_processes_that_makes_no_sense_is_refused(
    tmp_path: Path, plan: CampaignPlan, tasks: tuple[Task, ...], jobs: int
) -> None:
    with pytest.raises(UsageError, match="jobs"):
        _run(tmp_path / "a.db", plan, tasks, FakeBackend(), jobs=jobs)


def test_a_measuring_process_that_dies_is_told_and_nothing_is_lost(
    tmp_path: Path, plan: CampaignPlan, tasks: tuple[Task, ...]
) -> None:
    backend = _deadly_backend()
    with pytest.raises(MeasurementError, match="measuring process died"):
        _run(tmp_path / "a.db", plan, tasks, backend, jobs=2)
    with CampaignStore.open(tmp_path / "a.db") as store:
        assert store.summary().failed == 0
        assert len(list(store.records())) + len(store.pending()) == len(tasks)


def _deadly_backend() -> Backend:
    class Deadly:  # local, so that it travels to the measuring processes by value
        info = DEVICE

        def measure(self, network: Network, *, seed: int = 0) -> Measurement:
            import os
            import signal

            if int(network.id, 16) % 11 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return Measurement(network_id=network.id, device=self.info, values_s=(1e-3,), seed=seed)

    return Deadly()


@pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups")
@pytest.mark.parametrize("stop", ["SIGKILL", "SIGINT"])
def test_measuring_processes_end_with_the_campaign_however_it_ends(tmp_path: Path, stop: str) -> None:
    """They share its output: reading that to its end takes until the last of them is gone."""
    program = """
import signal, sys, time
from pathlib import Path
from annette.backends.registry import open_device
from annette.benchmark.campaign import run_campaign
from annette.benchmark.plan import load_plan, plan_campaign
from annette.store.campaign import CampaignStore
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
backend, plan = open_device("zcu102-dpu"), load_plan("quick")
def tell(done, total, failed):
    print(done, flush=True)
    time.sleep(0.005)
with CampaignStore.create(sys.argv[1], device=backend.info, plan=plan.record) as store:
    run_campaign(plan_campaign(plan), backend, store, jobs=2, on_progress=tell)
"""
    arguments = [sys.executable, "-c", program, str(tmp_path / "run.db")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 100:  # then both have measured
            pass
        process.send_signal(getattr(signal, stop))
        _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert stop == "SIGKILL" or b"Warning" not in errors
    with CampaignStore.open(tmp_path / "run.db") as store:
        assert store.summary().measured >= 100
