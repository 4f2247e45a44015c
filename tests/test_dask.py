"""On a Dask cluster of several processes: the same answers, also when a worker is killed half-way."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

import annette
from annette import parallel
from annette.backends.protocol import Backend
from annette.backends.registry import open_device
from annette.benchmark.campaign import run_campaign
from annette.benchmark.plan import CampaignPlan, plan_campaign
from annette.benchmark.plan_codec import plan_from_yaml
from annette.errors import MeasurementError, UsageError, WorkerLostError
from annette.graph.network import Network
from annette.measurement import Measurement
from annette.parallel import on_dask, run_in_order
from annette.store.campaign import CampaignStore, Record
from annette.zoo.spaces.registry import open_space

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install annette[dask]")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")

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


def _cluster(workers: int) -> Any:
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with _cluster(2) as started:
        yield started


@pytest.fixture
def scheduler(cluster: Any) -> str:
    """Address of a cluster of two processes, each started anew when it died in another test."""
    cluster.wait_for_workers(2)
    address: str = cluster.scheduler_address
    return address


@pytest.fixture(scope="module")
def plan() -> CampaignPlan:
    return plan_from_yaml(PLAN, "tiny.yaml")


def _dies_once(marker: Path) -> Callable[[], None]:
    """Kills the worker that calls it first, and does nothing from then on."""

    def die() -> None:
        try:
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    return die


def _run(path: Path, plan: CampaignPlan, backend: Backend, *, jobs: int) -> list[Record]:
    with CampaignStore.open_or_create(path, device=backend.info, plan=plan.record) as store:
        run_campaign(plan_campaign(plan), backend, store, jobs=jobs)
        return list(store.records())


def test_answers_come_in_order_from_the_workers(scheduler: str) -> None:
    with on_dask(scheduler) as threads:
        assert threads == 2
        assert list(run_in_order(divmod, [(number, 7) for number in range(20)], -1)) == [
            divmod(number, 7) for number in range(20)
        ]
        assert os.getpid() not in set(run_in_order(os.getpid, [()] * 4, 2))
        assert set(run_in_order(os.getpid, [()] * 4, 1)) == {os.getpid()}
    with distributed.Client(scheduler) as client, joblib.parallel_config(backend="dask"):
        pids = set(run_in_order(os.getpid, [()] * 4, -1))
        assert pids <= set(client.run(os.getpid).values())


def test_arrays_survive_the_worker_that_got_them_first(scheduler: str, tmp_path: Path) -> None:
    die = _dies_once(tmp_path / "died")

    def add_up(number: int, array: Any) -> float:
        if number == 7:
            die()
        return float(array.sum())

    tasks = [(number, np.full(1000, float(number))) for number in range(30)]
    with on_dask(scheduler):
        assert list(run_in_order(add_up, tasks, -1)) == [1000.0 * number for number in range(30)]
    assert (tmp_path / "died").exists()


def test_whoever_stops_half_way_is_not_warned(scheduler: str) -> None:
    with on_dask(scheduler), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        answers = run_in_order(divmod, [(number, 7) for number in range(200)], -1)
        assert next(answers) == (0, 0)
        answers.close()  # type: ignore[attr-defined]


def test_a_campaign_holds_each_task_once_though_a_worker_was_killed(
    scheduler: str, plan: CampaignPlan, tmp_path: Path
) -> None:
    device, die = open_device("simulator:zcu102-dpu"), _dies_once(tmp_path / "died")

    class Fragile:  # local, so that it travels to the workers by value
        info = device.info

        def measure(self, network: Network, *, seed: int = 0) -> Measurement:
            if int(network.id, 16) % 5 == 0:
                die()
            return device.measure(network, seed=seed)

    alone = _run(tmp_path / "alone.db", plan, device, jobs=1)
    with on_dask(scheduler):
        together = _run(tmp_path / "together.db", plan, Fragile(), jobs=-1)
    assert (tmp_path / "died").exists()
    assert together == alone
    with CampaignStore.open(tmp_path / "together.db") as store:
        assert set(store.visit_counts().values()) == {1}
        assert [record.task for record in together] == list(plan_campaign(plan))


def test_work_that_kills_every_worker_is_given_up_with_a_reason(plan: CampaignPlan, tmp_path: Path) -> None:
    import dask

    device = open_device("simulator:zcu102-dpu")

    class Deadly:
        info = device.info

        def measure(self, network: Network, *, seed: int = 0) -> Measurement:
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        _cluster(1) as cluster,
        on_dask(cluster.scheduler_address),
        pytest.raises(MeasurementError, match="what was measured is kept") as caught,
    ):
        _run(tmp_path / "a.db", plan, Deadly(), jobs=-1)
    assert isinstance(caught.value.__cause__, WorkerLostError)
    with CampaignStore.open(tmp_path / "a.db") as store:
        assert len(store.pending()) == len(plan_campaign(plan))


def test_the_command_measures_on_the_cluster_what_it_measures_here(scheduler: str, tmp_path: Path) -> None:
    from annette.cli.benchmark import run_benchmark

    file = tmp_path / "tiny.yaml"
    file.write_text(PLAN, encoding="utf-8")
    for name, dask in (("here", None), ("there", scheduler)):
        done = run_benchmark("zcu102-dpu", tmp_path / name, str(file), jobs=1, dask=dask)
        assert done["measured"] == done["planned"] > 0
    with CampaignStore.open(tmp_path / "here") as here, CampaignStore.open(tmp_path / "there") as there:
        assert list(here.records()) == list(there.records())
    with pytest.raises(UsageError, match=r"one network at a time, here; start the command without --dask"):
        run_benchmark("onnxruntime", tmp_path / "a.db", str(file), jobs=1, dask=scheduler)


def test_a_device_that_times_one_network_at_a_time_never_leaves_this_process(
    scheduler: str, plan: CampaignPlan, tmp_path: Path
) -> None:
    from dataclasses import replace

    device, pids = open_device("simulator:zcu102-dpu"), set()

    class Exclusive:
        info = replace(device.info, is_exclusive=True)

        def measure(self, network: Network, *, seed: int = 0) -> Measurement:
            pids.add(os.getpid())
            return replace(device.measure(network, seed=seed), device=self.info)

    with on_dask(scheduler):
        with pytest.raises(UsageError, match="one network at a time"):
            _run(tmp_path / "a.db", plan, Exclusive(), jobs=-1)
        _run(tmp_path / "a.db", plan, Exclusive(), jobs=1)
    assert pids == {os.getpid()}


def test_a_cluster_that_cannot_be_used_says_why(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_PATIENCE_S", 0.3)
    with pytest.raises(UsageError, match=r"tcp://127.0.0.1:1: no answer .* expected the address"):
        _enter("tcp://127.0.0.1:1")
    with pytest.raises(UsageError, match="no answer"):
        _enter("nonsense://")
    with _cluster(0) as empty, pytest.raises(UsageError, match="no worker; start some with: dask worker"):
        _enter(empty.scheduler_address)
    monkeypatch.setattr(annette, "__version__", "9.9")
    with pytest.raises(UsageError, match=r"annette .*, expected annette 9\.9 as here"):
        _enter(scheduler)


def _enter(scheduler: str) -> None:
    with on_dask(scheduler):
        pass


def test_a_population_is_estimated_alike_though_workers_are_killed(
    scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform, space = annette.load("zcu102-dpu"), open_space("nasbench201")
    rows = space.sample(1000, seed=1)
    networks = [space.network(row) for row in rows[:10]] * 40
    alone_s = platform.estimate_space(space, rows)
    monkeypatch.setattr("annette.estimation.space_estimates.TASK", 100)
    with on_dask(scheduler), distributed.Client(scheduler) as client:
        due = list(client.run(os.getpid).values())

        def estimate(method: Callable[..., Any], *what: Any) -> Any:
            victims = [due.pop()]

            def kill_one(done: int, total: int | None) -> None:
                if victims:
                    os.kill(victims.pop(), signal.SIGKILL)

            return method(*what, n_jobs=-1, on_progress=kill_one)

        many_s = estimate(platform.estimate_many, networks)
        assert np.array_equal(many_s, np.tile(alone_s[:10], 40))
        assert np.array_equal(estimate(platform.estimate_space, space, rows), alone_s)
    assert not due
