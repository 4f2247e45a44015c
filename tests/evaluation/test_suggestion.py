"""Suggested micro-kernels: the same for the same seed, new to the campaign, of the networks asked for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from annette.backends.simulator import open_simulator
from annette.benchmark.campaign import run_campaign
from annette.benchmark.suggested import add_suggested
from annette.errors import MeasurementError, UsageError
from annette.estimation.platform import Platform
from annette.evaluation.suggestion import Suggestion, space_targets, suggest_kernels, typical_targets
from annette.evaluation.suite import evaluate_suite
from annette.measurement import DeviceInfo
from annette.models.held_out_networks import drawn_rows, held_out_networks
from annette.models.trained_networks import trained_networks
from annette.models.training import training_data
from annette.store.campaign import CampaignStore
from annette.store.records import Record
from annette.zoo.registry import zoo_network
from annette.zoo.spaces.registry import open_space
from annette.zoo.suites import suite_networks

NETWORK = zoo_network("mobilenet_v2")


@pytest.fixture(scope="module")
def found(small_platform: Platform, small_store_path: Path) -> Suggestion:
    with CampaignStore.open(small_store_path) as store:
        return suggest_kernels(small_platform, [NETWORK], 25, seed=1, store=store)


def test_as_many_as_asked_for_all_different_and_new(found: Suggestion, small_store_path: Path) -> None:
    ids = {item.task.network.id for item in found.kernels}
    assert len(ids) == len(found.kernels) == 25
    with CampaignStore.open(small_store_path) as store:
        assert not ids & {task.network.id for task in store.tasks()}


def test_each_narrows_what_is_expected(found: Suggestion) -> None:
    widths = [found.half_width, *(item.half_width for item in found.kernels)]
    assert all(later <= before for before, later in itertools.pairwise(widths))
    assert widths[-1] < 0.8 * widths[0]


def test_the_width_now_is_that_of_the_estimate(found: Suggestion, small_platform: Platform) -> None:
    estimate = small_platform.estimate(NETWORK)
    assert estimate.interval is not None
    half = (estimate.interval.high_s - estimate.interval.low_s) / 2 / estimate.latency_s
    assert found.half_width == pytest.approx(half, rel=1e-6)


def test_kernels_are_of_the_network_or_near_it(found: Suggestion) -> None:
    operators = {layer.op_type for layer in NETWORK.layers}
    for item in found.kernels:
        assert item.source.startswith("mobilenet_v2: ")
        assert {layer.op_type for layer in item.task.network.layers} <= operators
        assert item.task.tag("kind") == "suggested"
    assert {item.is_varied for item in found.kernels} == {True, False}
    assert len({item.family for item in found.kernels[:10]}) > 1  # not all of the family with most time


def test_kernels_cut_out_of_one_kernel_stay_together_in_cross_validation(found: Suggestion) -> None:
    groups: dict[str, set[str]] = {}
    for item in found.kernels:
        groups.setdefault(item.task.group, set()).add(item.family)
    assert len(groups) < len(found.kernels)
    assert all(len(families) == 1 for families in groups.values())
    assert all(group.removeprefix("suggested/").isdigit() for group in groups)  # one kind in reports


def test_the_same_seed_gives_the_same_bytes(small_platform: Platform) -> None:
    first, second, other = (
        suggest_kernels(small_platform, [zoo_network("lenet5")], 12, seed=seed).to_tasks().to_bytes()
        for seed in (3, 3, 4)
    )
    assert first == second != other


def test_kernels_have_company_unless_the_device_tells_no_kernels(
    found: Suggestion, small_platform: Platform
) -> None:
    several = [item for item in found.kernels if len(item.task.network.layers) > 3]
    assert len(several) > 15  # a convolution of this network is merged with two layers at most
    silent = replace(small_platform, metrics={"mapping": {"kernels": 0}})
    alone = suggest_kernels(silent, [NETWORK], 10)
    assert {len(item.task.network.layers) for item in alone.kernels} == {1}


def test_measured_suggestions_become_kernels_to_learn_from(
    found: Suggestion, small_store_path: Path, tmp_path: Path
) -> None:
    with CampaignStore.open(small_store_path) as small:
        recorded = small.export_campaign(tmp_path / "small.parquet")
        before = len(training_data(small.records(), small.device))
    with CampaignStore.from_parquet(recorded, tmp_path / "run.db") as store:
        tasks = add_suggested(store, found.to_tasks())
        summary = run_campaign(tasks, open_simulator("zcu102-dpu"), store)
        assert (summary.measured, summary.failed) == (25, 0)
        assert len(training_data(store.records(), store.device)) >= before + 25
        records = tuple(store.records())
        drawn = drawn_rows(records)
        assert drawn is not None
        assert len(drawn) == len(training_data(records, store.device))
        assert drawn[:before].all()
        assert not drawn[before:].any()
        assert trained_networks(records) == {"suggested_for": [NETWORK.id[:12]]}
        counts = [_judged(items, store.device) for items in (records, records[:-25])]
        assert counts[0] == counts[1] > 100  # chosen ones are no sample to judge by


def _judged(records: Sequence[Record], device: DeviceInfo) -> int:
    """How many networks of a campaign intervals are calibrated on."""
    mappings = (record.measurement.mapping for record in records)
    known = dict(enumerate(item for item in mappings if item is not None))
    found = held_out_networks(records, known, training_data(records, device), device)
    return 0 if found is None else found.table.n_networks


def test_networks_that_kernels_were_suggested_for_are_judged_no_more(small_platform: Platform) -> None:
    networks = [zoo_network(name) for name in ("lenet5", "squeezenet1_1")]
    trained = replace(small_platform, metrics={"suggested_for": [networks[0].id[:12]]})
    found = evaluate_suite(trained, networks)
    assert [item.name for item in found.networks] == ["squeezenet1_1"]
    (left_out,) = found.failed
    assert left_out.name == "lenet5"
    assert "no longer unseen" in left_out.error
    with pytest.raises(MeasurementError, match="lenet5: kernels that the platform was trained on"):
        evaluate_suite(trained, networks[:1])


def test_networks_that_stand_for_others_are_in_no_suite() -> None:
    judged = {network.id for suite in ("classic12", "modern12") for network in suite_networks(suite)}
    typical = typical_targets(seed=0)
    assert len({network.id for network in typical}) == len(typical)
    assert not judged & {network.id for network in typical}
    assert len(space_targets(open_space("nasbench201"), seed=0, count=5)) == 5


def test_what_cannot_be_suggested_is_refused(small_platform: Platform) -> None:
    with pytest.raises(UsageError, match="0 micro-kernels asked for"):
        suggest_kernels(small_platform, [NETWORK], 0)
    with pytest.raises(UsageError, match="5000 micro-kernels asked for, found"):
        suggest_kernels(small_platform, [zoo_network("lenet5")], 5000)
    with pytest.raises(UsageError, match="1001 networks, expected at most 1000"):
        suggest_kernels(small_platform, [NETWORK] * 1001, 1)
    with pytest.raises(UsageError, match="layer model 'best'"):
        suggest_kernels(small_platform, [NETWORK], 1, model="best")
