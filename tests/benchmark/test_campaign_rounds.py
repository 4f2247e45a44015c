"""Campaigns of devices that are visited several times: rounds, stopping in the middle, settling, failures."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from annette.backends.replay import open_replay
from annette.benchmark.campaign import CampaignSummary, measure_visits, run_campaign
from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel
from annette.graph.network import Network
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.store.campaign import CampaignStore, PlanRecord, Record, Task
from annette.store.visits import check_stability, combine_visits

VISITS = 3
PLAN = PlanRecord(name="plan", seed=7, text="{}")
Tried = list[tuple[str, int]]


class NoisyMachine:
    """A machine whose speed drifts, that is disturbed at times, and that times one network at a time."""

    def __init__(self, *, shaky: tuple[str, ...] = (), calm_after: int = 10**9, fails: str = "") -> None:
        self.info = DeviceInfo(name="noisy", backend="test", visits=VISITS, is_exclusive=True)
        self.shaky, self.calm_after, self.fails = shaky, calm_after, fails
        self.stop_at = 10**9
        self.asked: Tried = []
        self._noise = random.Random(3)

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        if len(self.asked) == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append((network.name, seed))
        if network.name == self.fails:
            return Measurement(network_id=network.id, device=self.info, error="no room")
        drift = 1 + 0.1 * self._noise.random()
        value_s = true_s(network) * drift * (1 + 0.01 * self._noise.random())
        times = sum(name == network.name for name, _ in self.asked)
        if network.name in self.shaky and times > 1 and times <= self.calm_after:
            value_s *= 1.5
        kernel = Kernel(layers=("relu_1",), primary="relu_1", unit="plain")
        return Measurement(
            network_id=network.id,
            device=self.info,
            values_s=(value_s, value_s * 1.01),
            kernels=(KernelMeasurement(kernel=kernel, values_s=(value_s,)),),
            conditions={"reference_s": 1e-3 * drift, "load_fraction": 0.3},
            seed=seed,
        )


def true_s(network: Network) -> float:
    return network.tensors[network.inputs[0]].size * 1e-6


def make_tasks(count: int, *, first: int = 1) -> tuple[Task, ...]:
    tasks = []
    for channels in range(first, first + count):
        build = NetworkBuilder(f"relu-{channels}")
        network = build.finish(build.relu(build.input("x", (1, channels))))
        tasks.append(Task(network=network, category="micro-kernel", group=str(channels)))
    return tuple(tasks)


def run(
    path: Path, tasks: tuple[Task, ...], machine: NoisyMachine, **options: Any
) -> tuple[CampaignSummary, list[Record]]:
    with CampaignStore.open_or_create(path, device=machine.info, plan=PLAN) as store:
        summary = run_campaign(tasks, machine, store, **options)
        return summary, list(store.records())


def names(tasks: tuple[Task, ...]) -> list[str]:
    return [task.network.name for task in tasks]


def test_visits_come_in_rounds_over_all_tasks(tmp_path: Path) -> None:
    tasks, machine = make_tasks(4), NoisyMachine()
    summary, records = run(tmp_path / "a.db", tasks, machine)
    assert [name for name, _ in machine.asked] == names(tasks) * VISITS
    assert len({seed for _, seed in machine.asked}) == len(machine.asked)
    assert (summary.measured, summary.failed, summary.visits, summary.unstable) == (4, 0, 12, ())
    for record in records:
        assert record.measurement.latency_s == pytest.approx(1.05 * true_s(record.task.network), rel=0.07)
        assert record.measurement.spread_fraction is not None
        assert record.measurement.spread_fraction < 0.02


@pytest.mark.parametrize("stop_at", [0, 1, 4, 6, 11])
def test_a_campaign_stopped_in_a_round_goes_on_there(tmp_path: Path, stop_at: int) -> None:
    tasks, machine = make_tasks(4), NoisyMachine()
    machine.stop_at = stop_at
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a.db", tasks, machine)
    machine.stop_at = 10**9
    summary, records = run(tmp_path / "a.db", tasks, machine)
    assert [name for name, _ in machine.asked] == names(tasks) * VISITS
    assert len({seed for _, seed in machine.asked}) == len(machine.asked)
    assert len(records) == 4
    assert summary.visits == 12 - stop_at
    assert summary.done_before == max(0, stop_at - 8)
    again, _ = run(tmp_path / "a.db", tasks, machine)
    assert (again.visits, again.done_before, again.measured) == (0, 4, 0)


def test_progress_counts_visits_over_all_runs(tmp_path: Path) -> None:
    tasks, machine = make_tasks(3), NoisyMachine(fails="relu-2")
    machine.stop_at = 4
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a.db", tasks, machine)
    machine.stop_at = 10**9
    seen: list[tuple[int, int, int]] = []
    run(tmp_path / "a.db", tasks, machine, on_progress=lambda *counts: seen.append(counts))
    assert seen == [(6, 9, 1), (7, 9, 1), (8, 9, 1), (9, 9, 1)]  # the failed one is not asked again: 3 of 9


def test_a_failed_network_is_not_visited_again(tmp_path: Path) -> None:
    tasks, machine = make_tasks(3), NoisyMachine(fails="relu-2")
    summary, records = run(tmp_path / "a.db", tasks, machine)
    assert [name for name, _ in machine.asked].count("relu-2") == 1
    assert (summary.measured, summary.failed, summary.failures) == (2, 1, (("no room", 1),))
    assert [record.measurement.error for record in records] == [None, "no room", None]


def test_unstable_networks_are_visited_again_until_they_settle(tmp_path: Path) -> None:
    tasks = make_tasks(4)
    machine = NoisyMachine(shaky=("relu-3",), calm_after=3)
    summary, records = run(tmp_path / "a.db", tasks, machine)
    extra = [name for name, _ in machine.asked[12:]]
    assert set(extra) == {"relu-3"}
    assert 1 <= len(extra) < 2 * VISITS
    assert summary.unstable == ()
    assert check_stability(records[2].measurement).verdict == "steady"


def test_networks_that_stay_unstable_are_reported_and_not_visited_for_ever(tmp_path: Path) -> None:
    tasks = make_tasks(4)
    machine = NoisyMachine(shaky=("relu-2", "relu-4"))
    seen: list[tuple[int, int, int]] = []
    summary, _ = run(tmp_path / "a.db", tasks, machine, on_progress=lambda *counts: seen.append(counts))
    extra = [name for name, _ in machine.asked[12:]]
    assert extra == ["relu-2", "relu-4"] * 2 * VISITS
    assert {name for name, _ in summary.unstable} == {"relu-2", "relu-4"}
    assert all(0.1 < spread < 0.6 for _, spread in summary.unstable)
    assert seen[-1][:2] == (24, 24)
    again, _ = run(tmp_path / "a.db", tasks, machine)
    assert (again.visits, again.unstable) == (0, summary.unstable)


def test_two_campaigns_can_take_turns_on_one_machine_round_by_round(tmp_path: Path) -> None:
    machine, firsts, seconds = NoisyMachine(shaky=("relu-2",)), make_tasks(3), make_tasks(2, first=20)
    turns: list[tuple[int, int, int]] = []
    for _ in range(VISITS):
        for path, tasks in ((tmp_path / "a.db", firsts), (tmp_path / "b.db", seconds)):
            summary, _ = run(path, tasks, machine, max_rounds=1)
            turns.append((summary.measured, summary.visits, len(summary.unstable)))
    settling = 2 * VISITS
    assert turns == [(0, 3, 0), (0, 2, 0)] * 2 + [(3, 3 + settling, 1), (2, 2, 0)]
    asked = [name for name, _ in machine.asked]
    assert asked[: 2 * 5] == [*names(firsts), *names(seconds)] * 2
    with pytest.raises(UsageError, match="rounds >= 1"):
        run(tmp_path / "a.db", firsts, machine, max_rounds=0)


def test_a_round_that_was_stopped_is_ended_before_the_next(tmp_path: Path) -> None:
    tasks, machine = make_tasks(4), NoisyMachine()
    machine.stop_at = 6
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a.db", tasks, machine)
    machine.stop_at = 10**9
    summary, _ = run(tmp_path / "a.db", tasks, machine, max_rounds=1)
    assert (summary.visits, summary.measured) == (2, 0)
    assert [name for name, _ in machine.asked] == names(tasks) * 2


def test_appended_tasks_are_measured_too(tmp_path: Path) -> None:
    planned, grown, machine = make_tasks(2), make_tasks(2, first=10), NoisyMachine()
    run(tmp_path / "a.db", planned, machine)
    with CampaignStore.open(tmp_path / "a.db", writable=True) as store:
        store.append_tasks(grown)
    summary, records = run(tmp_path / "a.db", planned, machine)
    assert (summary.planned, summary.done_before, summary.measured) == (4, 2, 2)
    assert [record.task for record in records] == [*planned, *grown]
    assert [name for name, _ in machine.asked[6:]] == names(grown) * VISITS


@pytest.mark.parametrize("jobs", [2, -1])
def test_an_exclusive_device_refuses_more_than_one_process(tmp_path: Path, jobs: int) -> None:
    with pytest.raises(UsageError, match="one network at a time") as caught:
        run(tmp_path / "a.db", make_tasks(2), NoisyMachine(), jobs=jobs)
    assert "\n" not in str(caught.value)


def test_a_network_alone_is_visited_as_often(tmp_path: Path) -> None:
    (task,), machine = make_tasks(1), NoisyMachine()
    seen: list[tuple[int, int]] = []
    visits = measure_visits(machine, task.network, 5, lambda *counts: seen.append(counts))
    assert len(visits) == VISITS
    assert machine.asked[0][1] == 5
    assert len({seed for _, seed in machine.asked}) == VISITS
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    failing = NoisyMachine(fails="relu-1")
    assert [item.error for item in measure_visits(failing, task.network, 5)] == ["no room"]


# Replay ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["db", "parquet"])
def campaign(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A recorded campaign of four networks, of which one failed, as a store and as a Parquet file."""
    machine = NoisyMachine(fails="relu-2", shaky=("relu-3",))
    run(tmp_path / "run.db", make_tasks(4), machine)
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
        with CampaignStore.open(tmp_path / "run.db") as store:
            store.export_campaign(tmp_path / "run.parquet")
    return tmp_path / f"run.{request.param}"


def test_a_replayed_campaign_is_the_recorded_one(campaign: Path, tmp_path: Path) -> None:
    tasks, backend = make_tasks(4), open_replay(str(campaign))
    assert backend.info == NoisyMachine().info
    with CampaignStore.create(tmp_path / "again.db", device=backend.info, plan=PLAN) as again:
        summary = run_campaign(tasks, backend, again)
        replayed = list(again.records())
    with CampaignStore.open(campaign) as store:
        assert replayed == list(store.records())
    assert [name for name, _ in summary.unstable] == ["relu-3"]


def test_a_replayed_network_keeps_its_spread(campaign: Path) -> None:
    backend, task = open_replay(str(campaign)), make_tasks(4)[2]
    combined = combine_visits(measure_visits(backend, task.network, 0), reference_s=None)
    assert check_stability(combined).verdict == "unstable"
