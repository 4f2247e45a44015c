"""Plans with mosaics, synthetic networks and adaptive steps: read strictly, hashed stably, drawn further."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from annette.benchmark.adaptation import (
    adaptive_step,
    drawn_steps,
    is_whole_network,
    plan_more,
    plan_sources,
    source_families,
)
from annette.benchmark.plan import Adaptive, CampaignPlan, load_plan, plan_campaign
from annette.benchmark.plan_codec import plan_from_yaml
from annette.errors import UsageError

SMALL = """
schema_version: 1
name: small
description: a few in company
seed: 3
limits: {macs: 3.0e+8, activation_elements: 2.0e+6, weight_elements: 6.0e+6}
micro_kernels: {conv: 4}
sizes: {kernels: 24, least_macs: 1.0e+7, least_weight_elements: 1.0e+5}
mosaics: {conv: 12, softmax: 4, attention_block: 2}
mosaics_int8: {conv: 6, pool: 2}
networks:
  float32: {residual: 2, text_encoder: 1}
  int8: {mobile: 1}
adaptive: {share: 0.25, steps: 2}
"""


@pytest.fixture(scope="module")
def small() -> CampaignPlan:
    return plan_from_yaml(SMALL, "small.yaml")


def test_the_parts_of_a_plan_become_tasks(small: CampaignPlan) -> None:
    assert small.adaptive == Adaptive(share=0.25, steps=2)
    kinds = Counter((task.tag("kind") or "") for task in plan_campaign(small))
    assert kinds["conv"] == 4
    assert kinds["mosaic"] >= 1
    assert kinds["mosaic-int8"] >= 1
    assert (kinds["float32/residual"], kinds["float32/text_encoder"], kinds["int8/mobile"]) == (2, 1, 1)


def test_a_plan_that_uses_nothing_new_keeps_its_hash() -> None:
    assert load_plan("standard").record.hash == "351101ee1118be9141d9430d98b188e7"
    assert load_plan("quick").record.hash == "f9fece623786c59b49e72640f2565099"


@pytest.mark.parametrize(
    "change",
    [
        {"mosaics": (("conv", 13),)},
        {"mosaics_int8": (("conv", 7),)},
        {"networks": (("float32", "residual", 3),)},
        {"adaptive": None},
    ],
)
def test_the_hash_changes_with_each_new_part(small: CampaignPlan, change: dict[str, object]) -> None:
    assert dataclasses.replace(small, **change).record.hash != small.record.hash


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  int8: {mobile", "  int9: {mobile", "networks: unknown key 'int9', did you mean 'int8'"),
        (
            "residual: 2",
            "residuals: 2",
            r"networks\.float32: unknown key 'residuals', did you mean 'residual'",
        ),
        ("residual: 2", "residual: two", r"networks\.float32\.residual: found 'two'"),
        ("softmax: 4", "softmacks: 4", r"mosaics: unknown key 'softmacks', did you mean 'softmax'"),
        ("pool: 2", "poll: 2", r"mosaics_int8: unknown key 'poll', did you mean 'pool'"),
        ("kernels: 24, ", "", r"sizes: kernels is missing"),
        (
            "{kernels: 24, least_macs: 1.0e+7, least_weight_elements: 1.0e+5}",
            "{}",
            "kernels, least_macs, least_weight_elements are missing; add them",
        ),
        ("least_macs: 1.0e+7", "least_macs: 2.0e+8", r"sizes\.least_macs: found 200000000, expected at most"),
        ("share: 0.25", "share: 1.5", r"adaptive\.share: found 1\.5, expected a fraction"),
        ("share: 0.25", "share: true", r"adaptive\.share: found True"),
        ("steps: 2", "steps: 0", r"adaptive\.steps: found 0, expected a whole number from 1"),
        (", steps: 2", "", "adaptive: steps is missing"),
        ("name: small\n", "", "name is missing; add it"),
        ("name: small\ndescription: a few in company\n", "", "name, description are missing; add them"),
    ],
)
def test_each_fault_is_named_with_its_path(old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(UsageError, match=message) as caught:
        plan_from_yaml(SMALL.replace(old, new), "small.yaml")
    assert str(caught.value).startswith("small.yaml: ")
    assert "\n" not in str(caught.value)


def test_mosaics_without_sizes_are_refused() -> None:
    line = next(line for line in SMALL.splitlines() if line.startswith("sizes"))
    with pytest.raises(UsageError, match="sizes is missing, mosaics and networks need it"):
        plan_from_yaml(SMALL.replace(line, ""), "small.yaml")


def test_limits_that_no_piece_meets_are_named(small: CampaignPlan) -> None:
    limits = dataclasses.replace(small.limits, activation_elements=2)
    with pytest.raises(UsageError, match=r"plan 'small': mosaics: only 0 of 12 'conv' pieces fit"):
        plan_campaign(dataclasses.replace(small, limits=limits, micro_kernels=()))
    alone = dataclasses.replace(small, limits=limits, micro_kernels=(), mosaics=(), mosaics_int8=())
    with pytest.raises(UsageError, match=r"plan 'small': networks: only 0 of 2 float32 'residual'"):
        plan_campaign(alone)


# Drawing more ------------------------------------------------------------------------------------------


def test_sources_name_all_that_a_plan_draws_from(small: CampaignPlan) -> None:
    sources = dict(plan_sources(small))
    assert sources["mosaic/attention_block"] == 2
    assert sources["network/int8/mobile"] == 1
    assert sources["mosaic-int8/pool"] == 2
    assert sum(sources.values()) == 4 + 18 + 8 + 4


def test_families_of_a_source_are_shares(small: CampaignPlan) -> None:
    for source, _ in plan_sources(small):
        assert sum(source_families(source).values()) == pytest.approx(1.0)
    assert source_families("mosaic/softmax") == {"softmax": 1.0}
    assert "conv@int8" in source_families("network/int8/mobile")
    assert source_families("mosaic-int8/conv")["conv@int8"] > 0


def test_more_of_a_plan_is_new_repeatable_and_as_much_as_asked(small: CampaignPlan) -> None:
    tasks = plan_campaign(small)
    taken = {task.network.id for task in tasks}
    weights = {"micro-kernel/conv": 1.0, "network/float32/residual": 3.0}
    first = plan_more(small, weights, 8, step=1, taken=taken)
    assert [task.id for task in first] == [
        task.id for task in plan_more(small, weights, 8, step=1, taken=taken)
    ]
    assert Counter(task.tag("kind") for task in first) == {"conv": 2, "float32/residual": 6}
    assert taken.isdisjoint(task.network.id for task in first)
    second = plan_more(small, weights, 8, step=2, taken=taken)
    assert {task.network.id for task in first}.isdisjoint(task.network.id for task in second)
    assert {task.group for task in first}.isdisjoint(task.group for task in (*tasks, *second))
    assert {adaptive_step(task) for task in first} == {1}
    assert drawn_steps((*tasks, *first)) == 1
    assert drawn_steps(tasks) == 0


def test_pieces_drawn_later_come_in_mosaics(small: CampaignPlan) -> None:
    more = plan_more(small, {"mosaic/conv": 1.0, "mosaic/softmax": 1.0}, 3, step=1)
    assert 2 <= len(more) <= 5
    assert all(task.tag("kind") == "mosaic" for task in more)
    quantised = plan_more(small, {"mosaic-int8/conv": 1.0}, 2, step=1)
    assert quantised
    assert all(task.tag("kind") == "mosaic-int8" for task in quantised)


def test_whole_networks_are_told_from_other_tasks(small: CampaignPlan) -> None:
    found = Counter(is_whole_network(task) for task in plan_campaign(small))
    assert found[True] == 4


@pytest.mark.parametrize(
    ("weights", "message"),
    [({"mosaic/cnv": 1.0}, "no source 'mosaic/cnv'"), ({"mosaic/conv": 0.0}, "no weight above 0")],
)
def test_weights_that_say_nothing_are_refused(
    small: CampaignPlan, weights: dict[str, float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        plan_more(small, weights, 3, step=1)
