"""A clock that jumps, back and forth, moves no measurement and stops no campaign."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from annette.backends.registry import open_device
from annette.backends.visit_care import visit_conditions
from annette.benchmark.campaign import CampaignSummary, run_campaign
from annette.measurement import DeviceInfo, Measurement
from annette.store.campaign import CampaignStore
from annette.store.records import PlanRecord, Task
from annette.store.visits import combine_visits
from annette.zoo.registry import zoo_network

PLAN = PlanRecord(name="clock", seed=1, text="{}")
JUMPS_S = (0.0, 4e9, -4e9, 1e-9, 3.0)


def _campaign(path: Path, jumps_s: tuple[float, ...]) -> tuple[list[Measurement], CampaignSummary]:
    device = open_device("zcu102-dpu")
    tasks = [
        Task(network=zoo_network(name), category="block", group=name) for name in ("lenet5", "squeezenet1_1")
    ]
    clock = itertools.cycle(jumps_s)
    with CampaignStore.create(path, device=device.info, plan=PLAN) as store:
        ran = run_campaign(tasks, device, store, clock=lambda: next(clock))
        return [record.measurement for record in store.records()], ran


@pytest.mark.parametrize("first", range(len(JUMPS_S)))
def test_a_campaign_measures_the_same_whatever_the_clock_says(tmp_path: Path, first: int) -> None:
    calm, _ = _campaign(tmp_path / "calm.db", (0.0,))
    found, ran = _campaign(tmp_path / "jumps.db", (*JUMPS_S[first:], *JUMPS_S[:first]))
    assert found == calm
    assert (ran.measured, ran.failed) == (2, 0)


def test_when_a_visit_began_changes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    device = DeviceInfo(name="d", backend="test", visits=3)
    network_id = "0" * 32

    def combined(clock_s: tuple[float, ...]) -> Measurement:
        visits = []
        for seconds, now in zip((1.0, 1.2, 1.1), clock_s, strict=True):
            monkeypatch.setattr(time, "time", lambda now=now: now)
            conditions = {"started_s": visit_conditions(0.5)["started_s"], "reference_s": 0.5}
            visits.append(
                Measurement(network_id=network_id, device=device, values_s=(seconds,), conditions=conditions)
            )
        return combine_visits(visits, reference_s=0.5)

    assert combined((1e9, 2e9, 3e9)).values_s == combined((3e9, 0.0, -1e9)).values_s
