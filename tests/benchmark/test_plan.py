"""Plans: the same tasks for the same seed, within limits, of every family, and each fault of a YAML named."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy
import pytest

from annette.benchmark.blocks import BLOCKS
from annette.benchmark.plan import MICRO_KERNELS, CampaignPlan, list_plans, load_plan, plan_campaign
from annette.benchmark.plan_codec import plan_from_yaml
from annette.benchmark.sampling import draws
from annette.benchmark.sweeps import sweep_values
from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.codec import network_from_json, network_to_json
from annette.graph.families import FAMILIES, layer_family
from annette.graph.geometry import layer_geometry
from annette.graph.network import Network
from annette.graph.work import layer_work, network_work
from annette.store.records import Task
from annette.zoo.suites import suite_networks

SMALL = """
schema_version: 1
name: small
description: a few of everything
seed: 3
limits: {macs: 1.0e+9, activation_elements: 4.0e+6, weight_elements: 20.0e+6}
micro_kernels: {conv: 20, pool: 5}
sweeps:
  - name: wide
    layer: conv
    base: {in_channels: 32, out_channels: 48, out_h: 10, out_w: 12, kernel: 3}
    dimensions: [out_channels, out_w]
    dense_to: 4
    up_to: 16
blocks: {residual: 4}
"""


@pytest.fixture(scope="module")
def standard() -> tuple[Task, ...]:
    return plan_campaign(load_plan("standard"))


@pytest.fixture(scope="module")
def small() -> CampaignPlan:
    return plan_from_yaml(SMALL, "small.yaml")


# Planning ----------------------------------------------------------------------------------------------


def test_the_same_plan_gives_the_same_tasks_in_the_same_order(small: CampaignPlan) -> None:
    first, second = plan_campaign(small), plan_campaign(small)
    assert [task.id for task in first] == [task.id for task in second]


def test_another_seed_gives_other_networks_but_the_same_sweeps(small: CampaignPlan) -> None:
    first, second = plan_campaign(small), plan_campaign(dataclasses.replace(small, seed=4))
    sampled = [{task.network.id for task in tasks if task.category != "sweep"} for tasks in (first, second)]
    swept = [{task.id for task in tasks if task.category == "sweep"} for tasks in (first, second)]
    assert len(sampled[0] & sampled[1]) <= 2
    assert swept[0] == swept[1]


def test_a_larger_plan_keeps_the_networks_of_a_smaller_one(small: CampaignPlan) -> None:
    larger = dataclasses.replace(small, micro_kernels=(("conv", 40), ("pool", 5)))
    conv = {task.network.id for task in plan_campaign(small) if task.tag("kind") == "conv"}
    assert conv < {task.network.id for task in plan_campaign(larger) if task.tag("kind") == "conv"}


def test_no_network_is_planned_twice(standard: tuple[Task, ...]) -> None:
    assert len({task.network.id for task in standard}) == len({task.id for task in standard}) == len(standard)


def test_every_network_is_within_the_limits_and_does_some_work(standard: tuple[Task, ...]) -> None:
    limits = load_plan("standard").limits
    for task in standard:
        assert network_work(task.network).macs <= limits.macs
        assert all(
            0 < tensor.size <= limits.activation_elements
            for tensor in task.network.tensors.values()
            if not tensor.is_constant
        )


def test_no_layer_of_a_benchmark_network_is_dead(standard: tuple[Task, ...]) -> None:
    for task in standard:
        network = task.network
        for layer in network.layers:
            names = [name for name in layer.outputs if name]
            assert any(network.consumers(name) or name in network.outputs for name in names), task.group
        assert all(network.consumers(name) for name in network.inputs), task.group


def test_benchmark_networks_survive_their_text(standard: tuple[Task, ...]) -> None:
    for task in standard[::37]:
        assert network_from_json(network_to_json(task.network)).id == task.network.id


def test_every_family_that_has_a_rule_is_benchmarked_alone(standard: tuple[Task, ...]) -> None:
    alone = Counter(
        layer_family(task.network, task.network.layers[-1])
        for task in standard
        if task.category == "micro-kernel"
    )
    assert set(FAMILIES) - set(alone) == {"opaque"}
    assert min(alone.values()) >= 20
    assert max(alone, key=lambda family: alone[family]) == "conv"


def test_micro_kernels_have_one_layer_and_blocks_several(standard: tuple[Task, ...]) -> None:
    kinds = {"micro-kernel": MICRO_KERNELS, "block": BLOCKS}
    for task in standard:
        if task.category == "block":
            assert len(task.network.layers) > 1
        else:
            assert len(task.network.layers) == 1
        if task.category in kinds:
            assert task.tag("kind") in kinds[task.category]
    found = {task.tag("kind") for task in standard} - {None}
    assert found == {*MICRO_KERNELS, *BLOCKS}


def test_groups_are_the_task_the_block_or_the_sweep(standard: tuple[Task, ...]) -> None:
    sizes = Counter((task.category, task.group) for task in standard)
    assert all(count == 1 for (category, _), count in sizes.items() if category != "sweep")
    sweeps = {task.group for task in standard if task.category == "sweep"}
    assert sweeps == {f"sweep/{task.tag('sweep')}" for task in standard if task.category == "sweep"}


def test_convolutions_cover_realistic_joint_ranges(standard: tuple[Task, ...]) -> None:
    geometries = [
        layer_geometry(task.network, task.network.layers[0])
        for task in standard
        if task.category == "micro-kernel" and task.network.layers[0].op_type == "Conv"
    ]
    for name, low, high in (
        ("in_h", 1, 400), ("in_w", 1, 400), ("in_channels", 1, 1500), ("out_channels", 2, 1500),
        ("kernel_h", 1, 11), ("stride_h", 1, 4), ("dilation_h", 1, 18), ("groups", 1, 512),
    ):  # fmt: skip
        values = [getattr(item, name) for item in geometries]
        assert min(values) <= low, name
        assert max(values) >= high, name
    assert {(1, 7), (7, 1), (1, 3)} <= {(item.kernel_h, item.kernel_w) for item in geometries}
    assert sum(item.in_h != item.in_w for item in geometries) > 0.1 * len(geometries)
    assert sum(item.in_channels % 8 != 0 for item in geometries) > 0.1 * len(geometries)
    assert sum(item.in_h in (7, 14, 28, 56, 112, 224, 8, 16, 32) for item in geometries) > 0.2 * len(
        geometries
    )


@pytest.mark.parametrize("suite", ["classic12", "modern12", "nasbench101-34"])
def test_no_network_of_a_suite_is_in_a_campaign(standard: tuple[Task, ...], suite: str) -> None:
    planned = {task.network.id for task in standard}
    assert planned.isdisjoint(network.id for network in suite_networks(suite))


def test_sums_without_convolutions_are_read_by_one_layer_and_by_several(standard: tuple[Task, ...]) -> None:
    readers: dict[tuple[bool, str], int] = defaultdict(int)
    for task in standard:
        network = task.network
        for layer in network.layers if task.category == "block" else ():
            sources = [network.producer(tensor.name) for tensor in network.activation_inputs(layer)]
            if layer.op_type == "Add" and not any(item and item.op_type == "Conv" for item in sources):
                found = network.consumers(layer.outputs[0])
                for reader in found:
                    readers[len(found) > 1, reader.op_type] += 1
    for several in (False, True):
        for op_type in ("Relu", "Clip", "BatchNormalization", "Conv", "Add"):
            assert readers[several, op_type] >= 4, (several, op_type)


def test_limits_that_cannot_be_met_are_named(small: CampaignPlan) -> None:
    strict = dataclasses.replace(small, limits=dataclasses.replace(small.limits, macs=1), sweeps=())
    with pytest.raises(UsageError, match=r"of 20 'conv' networks fit the limits"):
        plan_campaign(strict)
    with pytest.raises(UsageError, match="sweep 'wide' reaches beyond"):
        plan_campaign(dataclasses.replace(strict, sweeps=small.sweeps))


def test_planning_the_standard_campaign_is_quick() -> None:
    plan = load_plan("standard")
    start = time.process_time()
    plan_campaign(plan)
    assert time.process_time() - start < 8.0


# Sweeps ------------------------------------------------------------------------------------------------

_MOVES_WITH = {
    "out_channels": {"out_channels"},
    "in_channels": {"in_channels"},
    "out_h": {"out_h", "in_h"},
    "out_w": {"out_w", "in_w"},
}


def test_a_sweep_varies_one_dimension_only(standard: tuple[Task, ...]) -> None:
    sweeps: dict[str, list[tuple[str, Network]]] = defaultdict(list)
    for task in standard:
        if task.category == "sweep":
            dimension = task.tag("dimension") or ""
            geometry = layer_geometry(task.network, task.network.layers[0])
            assert str(getattr(geometry, dimension)) == task.tag("value")
            sweeps[task.group].append((dimension, task.network))
    assert len(sweeps) >= 15
    for items in sweeps.values():
        dimensions = {dimension for dimension, _ in items}
        assert len(dimensions) == 1
        allowed = _MOVES_WITH[dimensions.pop()]
        geometries = [layer_geometry(network, network.layers[0]) for _, network in items]
        families = {layer_family(network, network.layers[0]) for _, network in items}
        assert len(families) == 1
        if families == {"depthwise_conv"} and "out_channels" in allowed:
            allowed = {"out_channels", "in_channels", "groups"}
        moved = {
            field.name for field in dataclasses.fields(geometries[0])
            if len({getattr(item, field.name) for item in geometries}) > 1
        }  # fmt: skip
        assert moved == allowed


def test_sweeps_are_dense_around_small_unroll_factors_and_complete(standard: tuple[Task, ...]) -> None:
    values: dict[str, set[int]] = defaultdict(set)
    for task in standard:
        if task.category == "sweep":
            values[task.group].add(int(task.tag("value") or 0))
    for group, found in values.items():
        assert set(range(2, 69)) <= found, group


def test_sweeps_are_dominated_by_arithmetic(standard: tuple[Task, ...]) -> None:
    for task in standard:
        if task.category == "sweep" and int(task.tag("value") or 0) >= 32:
            work = layer_work(task.network, task.network.layers[0])
            moved = work.input_elements + work.weight_elements + work.output_elements
            floor = 12 if layer_family(task.network, task.network.layers[0]) == "depthwise_conv" else 24
            assert work.macs >= floor * moved, task.network.name


def test_sweep_values_grow_without_repeats() -> None:
    values = sweep_values(68, 256)
    assert list(values) == sorted(set(values))
    assert values[:68] == tuple(range(1, 69))
    assert values[-1] <= 256


# Draws -------------------------------------------------------------------------------------------------


def test_streams_of_one_seed_differ_and_repeat() -> None:
    def first(seed: int, name: str) -> list[float]:
        draw = next(draws(seed, name))
        return [draw.unit() for _ in range(40)]

    assert first(1, "a") == first(1, "a")
    assert first(1, "a") != first(1, "b")
    assert first(1, "a") != first(2, "a")
    assert all(0 <= value < 1 for value in first(1, "a"))


def test_a_stop_that_scipy_swallowed_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.stats import qmc

    monkeypatch.setattr(qmc.Sobol, "random_base2", lambda _, exponent: numpy.full((2**exponent, 24), 0.5))
    with pytest.raises(KeyboardInterrupt):
        next(draws(1, "a"))


@pytest.mark.parametrize("kind", [*MICRO_KERNELS, *BLOCKS])
def test_every_sampler_builds_a_valid_network_from_any_draw(kind: str) -> None:
    sampler = {**BLOCKS, **MICRO_KERNELS}[kind]
    for draw, _ in zip(draws(99, kind), range(60), strict=False):
        build = NetworkBuilder(kind)
        network = build.finish(*sampler(draw, build))
        assert all(size > 0 for name in network.outputs for size in network.tensors[name].shape)


# YAML --------------------------------------------------------------------------------------------------


def test_the_shipped_plans_load_and_are_listed() -> None:
    listed = dict(list_plans())
    assert {"standard", "quick"} <= set(listed)
    assert all(load_plan(name).description == text for name, text in listed.items())


def test_quick_is_a_small_standard(standard: tuple[Task, ...]) -> None:
    quick = plan_campaign(load_plan("quick"))
    assert 0.05 * len(standard) < len(quick) < 0.25 * len(standard)
    assert {task.tag("kind") for task in quick} == {task.tag("kind") for task in standard}


def test_a_plan_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL)
    assert load_plan(path) == plan_from_yaml(SMALL, "x")


def test_the_record_changes_with_what_the_plan_says_not_with_how_it_is_written(small: CampaignPlan) -> None:
    rewritten = plan_from_yaml(SMALL.replace("1.0e+9", "1000000000") + "# a remark\n", "other.yaml")
    assert rewritten.record.hash == small.record.hash
    assert dataclasses.replace(small, seed=4).record.hash != small.record.hash
    assert dataclasses.replace(small, blocks=()).record.hash != small.record.hash


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("micro_kernels:", "micro_kernel:", "unknown key 'micro_kernel', did you mean 'micro_kernels'"),
        ("conv: 20", "conf: 20", r"micro_kernels: unknown key 'conf', did you mean 'conv'"),
        ("conv: 20", "conv: many", r"micro_kernels\.conv: found 'many', expected a whole number"),
        ("conv: 20", "conv: -1", r"micro_kernels\.conv: found -1"),
        ("conv: 20", "conv: 2.5", r"micro_kernels\.conv: found 2\.5"),
        ("residual: 4", "residuals: 4", r"blocks: unknown key 'residuals', did you mean 'residual'"),
        ("seed: 3", "", "seed is missing"),
        ("seed: 3", "seed: true", "seed: found True"),
        ("schema_version: 1", "schema_version: 2", "schema_version: found 2, expected 1"),
        ("macs: 1.0e+9, ", "", "limits: macs is missing"),
        ("layer: conv", "layer: convs", r"sweeps\[0\]\.layer: found 'convs'.*did you mean 'conv'"),
        ("out_h: 10, ", "", r"sweeps\[0\]\.base: out_h is missing"),
        ("[out_channels, out_w]", "[out_channel]", r"dimensions\[0\].*did you mean 'out_channels'"),
        ("[out_channels, out_w]", "[out_w, out_w]", "expected each once"),
        ("[out_channels, out_w]", "out_w", "dimensions: found text, expected a list"),
        ("up_to: 16", "up_to: 2", r"up_to: found 2, expected a whole number from 4"),
        ("name: small", "name: a/b", "name: found 'a/b'"),
        ("seed: 3", "seed: 3\nseed: 4", "twice"),
        ("seed: 3", "seed: [", "small.yaml: line"),
    ],
)  # fmt: skip
def test_each_fault_of_a_plan_is_named_with_its_path(old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(UsageError, match=message) as caught:
        plan_from_yaml(SMALL.replace(old, new), "small.yaml")
    assert str(caught.value).startswith("small.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_plan_with_nothing_to_measure_is_refused() -> None:
    text = SMALL[: SMALL.index("micro_kernels")]
    with pytest.raises(UsageError, match="nothing to measure"):
        plan_from_yaml(text, "small.yaml")


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b", "1"])
def test_yaml_that_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected keys"):
        plan_from_yaml(text, "x.yaml")


def test_unknown_plans_suggest_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean standard"):
        load_plan("standart")
    with pytest.raises(UsageError, match="cannot be read"):
        load_plan(tmp_path / "none.yaml")
