"""Adaptive campaigns: what errs most gets most, a stopped campaign goes on, other plans run as before."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from annette.backends.registry import open_device
from annette.benchmark.adaptation import adaptive_step, plan_sources
from annette.benchmark.plan import CampaignPlan
from annette.benchmark.plan_codec import plan_from_yaml
from annette.errors import UsageError
from annette.evaluation.adaptive import FamilyNeed, family_needs, run_adaptive_campaign, source_weights
from annette.graph.network import Network
from annette.measurement import Measurement
from annette.models.training import training_data
from annette.store.campaign import CampaignStore

PLAN = """
schema_version: 1
name: small
description: a few of some
seed: 5
limits: {macs: 1.0e+9, activation_elements: 2.0e+6, weight_elements: 1.0e+7}
micro_kernels: {conv: 24, resize: 4, softmax: 4, depthwise_conv: 10, activation: 8}
blocks: {residual: 4}
adaptive: {share: 0.25, steps: 2}
"""


@pytest.fixture(scope="module")
def plan() -> CampaignPlan:
    return plan_from_yaml(PLAN, "small.yaml")


def _need(family: str, share: float) -> FamilyNeed:
    return FamilyNeed(family=family, kernels=10, error=0.2, time_share=0.1, share=share)


def test_steps_are_drawn_measured_and_kept(plan: CampaignPlan, tmp_path: Path) -> None:
    device, seen = open_device("zcu102-dpu"), list[tuple[int, int]]()
    with CampaignStore.open_or_create(tmp_path / "a.db", device=device.info, plan=plan.record) as store:
        summary = run_adaptive_campaign(
            plan, device, store, on_progress=lambda done, total, failed: seen.append((done, total))
        )
        tasks = tuple(store.tasks())
    assert summary.planned == len(tasks) == summary.measured == 72
    assert Counter(adaptive_step(task) for task in tasks) == {0: 54, 1: 9, 2: 9}
    assert seen[-1] == (72, 72)
    assert seen[0] == (0, 72), "steps to come are counted from the start"


def test_a_stopped_campaign_goes_on_where_it_was(plan: CampaignPlan, tmp_path: Path) -> None:
    device = open_device("zcu102-dpu")
    whole, parts = tmp_path / "whole.db", tmp_path / "parts.db"

    class Stopping:
        """The device, until it is stopped."""

        def __init__(self, limit: int) -> None:
            self.info, self._left = device.info, limit

        def measure(self, network: object, *, seed: int = 0) -> Measurement:
            self._left -= 1
            if self._left < 0:
                raise KeyboardInterrupt
            return device.measure(network, seed=seed)  # type: ignore[arg-type]  # what the campaign gives

    with CampaignStore.open_or_create(whole, device=device.info, plan=plan.record) as store:
        run_adaptive_campaign(plan, device, store)
        expected = [(item.task.id, item.measurement.values_s) for item in store.records()]
    for limit in (20, 38, 1000):
        with CampaignStore.open_or_create(parts, device=device.info, plan=plan.record) as store:
            try:
                run_adaptive_campaign(plan, Stopping(limit), store)
            except KeyboardInterrupt:
                assert limit < 1000
    with CampaignStore.open(parts) as store:
        assert [(item.task.id, item.measurement.values_s) for item in store.records()] == expected


class Twice:
    """The simulator as a device of two visits; says in which order it was asked."""

    def __init__(self) -> None:
        self._backend = open_device("zcu102-dpu")
        self.info = dataclasses.replace(self._backend.info, visits=2, is_exclusive=True)
        self.asked: list[str] = []

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        self.asked.append(network.id)
        return dataclasses.replace(self._backend.measure(network), device=self.info)


@pytest.mark.parametrize("stopped_after", [54, 60, 63])
def test_one_round_draws_all_steps_and_the_next_visits_everything(
    plan: CampaignPlan, tmp_path: Path, stopped_after: int
) -> None:
    device, orders = Twice(), []
    for path, stops in ((tmp_path / "a.db", False), (tmp_path / "b.db", True)):
        device.asked.clear()
        with CampaignStore.open_or_create(path, device=device.info, plan=plan.record) as store:
            if stops:
                with pytest.raises(KeyboardInterrupt):
                    run_adaptive_campaign(
                        plan, device, store, one_round=True, on_progress=_stop(stopped_after)
                    )
            first = run_adaptive_campaign(plan, device, store, one_round=True)
            assert (first.planned, first.measured, len(store.pending())) == (72, 0, 72)
            assert Counter(adaptive_step(task) for task in store.tasks()) == {0: 54, 1: 9, 2: 9}
            assert set(store.visit_counts().values()) == {1}
            second = run_adaptive_campaign(plan, device, store, one_round=True)
            assert (second.visits, second.measured, store.pending()) == (72, 72, ())
        orders.append(tuple(device.asked))
    assert orders[0] == orders[1]
    assert orders[0][:72] == orders[0][72:]


def _stop(after: int) -> Callable[[int, int, int], None]:
    def stop(done: int, total: int, failed: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    return stop


def test_a_plan_without_steps_runs_as_it_is(plan: CampaignPlan, tmp_path: Path) -> None:
    plain, device = dataclasses.replace(plan, adaptive=None), open_device("zcu102-dpu")
    with CampaignStore.open_or_create(tmp_path / "a.db", device=device.info, plan=plain.record) as store:
        assert run_adaptive_campaign(plain, device, store).planned == 54


def test_a_device_without_kernels_gets_more_of_what_the_plan_has(
    plan: CampaignPlan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    device = open_device("zcu102-dpu")

    class Failing:
        info = device.info

        def measure(self, network: object, *, seed: int = 0) -> Measurement:
            raise UsageError("out of order")

    with CampaignStore.open_or_create(tmp_path / "a.db", device=device.info, plan=plan.record) as store:
        summary = run_adaptive_campaign(plan, Failing(), store)
    assert summary.failed == summary.planned == 72
    assert "drawn as the plan is" in caplog.text


def test_needs_are_shares_and_grow_with_error_and_time(plan: CampaignPlan, tmp_path: Path) -> None:
    device = open_device("zcu102-dpu")
    plain = dataclasses.replace(plan, adaptive=None)
    with CampaignStore.open_or_create(tmp_path / "a.db", device=device.info, plan=plain.record) as store:
        run_adaptive_campaign(plain, device, store)
        data = training_data(store.records(), store.device)
    needs = family_needs(data, seed=1)
    assert sum(need.share for need in needs) == pytest.approx(1.0)
    assert sum(need.time_share for need in needs) == pytest.approx(1.0)
    assert sum(need.kernels for need in needs) == len(data)
    assert all(need.share >= 0 for need in needs)
    assert [need.share for need in needs] == sorted((need.share for need in needs), reverse=True)


def test_sources_of_the_families_in_need_get_the_most(plan: CampaignPlan) -> None:
    weights = source_weights(plan, [_need("resize@host", 0.8), _need("conv", 0.2)])
    assert set(weights) == {source for source, _ in plan_sources(plan)}
    assert sum(weights.values()) == pytest.approx(1.0)
    assert max(weights, key=lambda source: weights[source]) == "micro-kernel/resize"
    assert weights["micro-kernel/softmax"] > 0, "a part is always spread as the plan is"


def test_without_needs_the_plan_goes_on_evenly(plan: CampaignPlan) -> None:
    weights = source_weights(plan, [])
    counts = dict(plan_sources(plan))
    assert weights["micro-kernel/conv"] / weights["block/residual"] == pytest.approx(
        counts["micro-kernel/conv"] / counts["block/residual"]
    )
