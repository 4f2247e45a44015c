"""Stores that are measured in turns in one session: rounds alternate, a stopped session goes on as it was."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from types import ModuleType

import pytest

from annette.backends.registry import open_device
from annette.benchmark.adaptation import adaptive_step
from annette.benchmark.plan_codec import plan_from_yaml
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.measurement import Measurement
from annette.store.campaign import CampaignStore
from annette.store.records import Task

STUDIES = Path(__file__).resolve().parents[2] / "benchmarks" / "studies"
PLAN = """
schema_version: 1
name: tiny
description: a few of some
seed: 5
limits: {macs: 1.0e+8, activation_elements: 2.0e+6, weight_elements: 1.0e+7}
micro_kernels: {conv: 8, pool: 4}
adaptive: {share: 0.25, steps: 2}
"""


@pytest.fixture(scope="module")
def session() -> ModuleType:
    name = "real_cpu_session"
    spec = importlib.util.spec_from_file_location(name, STUDIES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


class ThreeVisits:
    """The simulator as a device of three visits, which stops the session where it is told to."""

    def __init__(self, asked: list[str], stop_at: int = -1) -> None:
        self._backend = open_device("zcu102-dpu")
        self.info = replace(self._backend.info, visits=3, is_exclusive=True)
        self.asked, self.stop_at = asked, stop_at

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        if len(self.asked) == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append(network.name)
        return replace(self._backend.measure(network), device=self.info)


def evaluation(first: int, count: int) -> tuple[Task, ...]:
    tasks = []
    for channels in range(first, first + count):
        build = NetworkBuilder(f"network-{channels}")
        network = build.finish(build.relu(build.input("x", (1, channels, 4, 4))))
        tasks.append(Task(network=network, category="block", group="networks"))
    return tuple(tasks)


def measure(session: ModuleType, folder: Path, asked: list[str], stops: Sequence[int] = ()) -> list[str]:
    """What the device was asked, in order, with a new session after each stop."""
    for stop_at in (*stops, -1):
        device = ThreeVisits(asked, stop_at)
        turns = [
            session.campaign_turn(folder / "cpu.db", device, plan_from_yaml(PLAN, "tiny.yaml")),
            session.tasks_turn(folder / "evaluation.db", device, evaluation(1, 4), seed=3),
            session.tasks_turn(folder / "lookup.db", device, evaluation(50, 2), seed=3),
        ]
        if stop_at < 0:
            session.run_session(turns)
        else:
            with pytest.raises(KeyboardInterrupt):
                session.run_session(turns)
    return asked


def test_campaign_networks_and_look_up_table_take_turns(session: ModuleType, tmp_path: Path) -> None:
    asked = measure(session, tmp_path, [])
    runs = [(key, len(list(group))) for key, group in groupby(asked, key=_kind)]
    assert runs == [("campaign", 16), ("evaluation", 4), ("lookup", 2)] * 3
    with CampaignStore.open(tmp_path / "cpu.db") as store:
        assert [adaptive_step(task) for task in store.tasks()] == [0] * 12 + [1] * 2 + [2] * 2
        assert set(store.visit_counts().values()) == {3}
    assert len(measure(session, tmp_path, list(asked))) == len(asked), "nothing is left to do"


@pytest.mark.parametrize("stops", [(5, 12, 13), (16, 17), (20, 22, 30), (44, 65)])
def test_a_stopped_session_asks_the_same_as_one_that_was_not(
    session: ModuleType, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert measure(session, parts, [], stops) == measure(session, whole, [])


def _kind(name: str) -> str:
    if not name.startswith("network-"):
        return "campaign"
    return "lookup" if int(name.removeprefix("network-")) >= 50 else "evaluation"
