"""Trade-off studies: pairs, fronts against their definition, preferences among arrays of one budget."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from annette.errors import UsageError
from annette.explore.array_choice import SPLITS, array_preferences, list_arrays
from annette.explore.imagenet import published_accuracies
from annette.explore.tradeoff import (
    COSTS,
    Subject,
    TradeoffPoint,
    TradeoffStudy,
    accuracy_front,
    best_networks,
    study_tradeoff,
    summarise_devices,
)
from annette.graph.builder import NetworkBuilder
from annette.hardware.codec import load_accelerator
from annette.hardware.rules import PlacementRule
from annette.simulator.run import simulate
from annette.zoo.registry import list_networks, zoo_network

DEVICES = ("systolic-16x16-os", "nvdla-small", "gemmini-16x16")


def subject(name: str, top1_fraction: float | None = None) -> Subject:
    return Subject(name=name, network=zoo_network(name), top1_fraction=top1_fraction)


@pytest.fixture(scope="module")
def study() -> TradeoffStudy:
    subjects = (subject("squeezenet1_1", 0.58), subject("mobilenet_v2", 0.72), subject("tc_resnet8"))
    return study_tradeoff(subjects, [load_accelerator(name) for name in DEVICES])


def test_every_pair_is_what_the_simulator_says(study: TradeoffStudy) -> None:
    assert not study.failures
    assert study.devices == DEVICES
    assert len(study.points) == 9
    for point in study.points:
        accelerator = load_accelerator(point.device)
        run = simulate(zoo_network(point.network), accelerator)
        assert (point.latency_s, point.energy_j) == (run.latency_s, run.energy_j)
        assert point.edp_js == point.energy_j * point.latency_s
        assert point.area_mm2 == accelerator.area_mm2
        assert math.fsum(joules for _, joules in point.energy_parts_j) == pytest.approx(point.energy_j)


def test_several_processes_give_the_same_and_tell_how_far_they_are(study: TradeoffStudy) -> None:
    subjects = (subject("squeezenet1_1", 0.58), subject("mobilenet_v2", 0.72), subject("tc_resnet8"))
    calls: list[tuple[int, int, int]] = []
    again = study_tradeoff(
        subjects,
        [load_accelerator(name) for name in DEVICES],
        jobs=2,
        on_progress=lambda *call: calls.append(call),
    )
    assert again == study
    assert calls == [(3, 9, 0), (6, 9, 0), (9, 9, 0)]


def test_what_an_accelerator_cannot_run_is_said_and_not_made_up() -> None:
    base = load_accelerator("systolic-16x16-os")
    assert base.energy is not None
    placement = (PlacementRule(unit="array", layers=("Conv", "Gemm")),)
    alone = replace(
        base, name="alone", host=None, energy=replace(base.energy, host_w=None),
        compiler=replace(base.compiler, placement=placement, fuse=()),
    )  # fmt: skip
    found = study_tradeoff((subject("squeezenet1_1"),), (alone,))
    assert not found.points
    assert found.failures[0].device == "alone"
    assert found.failures[0].network == "squeezenet1_1"
    assert summarise_devices(found.points) == ()
    assert accuracy_front(found.points, "energy") == ()


def test_wrong_studies_are_refused() -> None:
    one = subject("tc_resnet8")
    with pytest.raises(UsageError, match="accelerator 'zcu102-dpu': no table of energies"):
        study_tradeoff((one,), (load_accelerator("zcu102-dpu"),))
    with pytest.raises(UsageError, match="two networks named 'tc_resnet8'"):
        study_tradeoff((one, one), ())
    device = load_accelerator("nvdla-small")
    with pytest.raises(UsageError, match="two accelerators named 'nvdla-small'"):
        study_tradeoff((one,), (device, device))


def point(
    network: str, device: str, cost: float, top1: float | None, area: float | None = 1.0
) -> TradeoffPoint:
    return TradeoffPoint(
        network=network, device=device, latency_s=cost, energy_j=2 * cost, area_mm2=area,
        top1_fraction=top1, energy_parts_j=(),
    )  # fmt: skip


def test_the_front_holds_what_nothing_cheaper_is_as_accurate_as() -> None:
    points = [
        point("a", "x", 1.0, 0.6), point("b", "x", 2.0, 0.5), point("c", "x", 3.0, 0.8),
        point("d", "y", 0.5, None), point("a", "y", 1.5, 0.6), point("e", "y", 9.0, 0.8),
    ]  # fmt: skip
    for cost in COSTS:
        assert [(item.network, item.device) for item in accuracy_front(points, cost)] == [
            ("a", "x"),
            ("c", "x"),
        ]
        assert best_networks(points, cost) == {"x": ("a", 1, 2), "y": ("a", 0, 1)}


def test_accelerators_are_compared_on_what_all_of_them_run() -> None:
    points = [
        point("a", "fast", 1.0, None, 9.0), point("b", "fast", 4.0, None, 9.0),
        point("c", "fast", 1e6, None, 9.0),
        point("a", "small", 3.0, None, 1.0), point("b", "small", 3.0, None, 1.0),
        point("a", "poor", 5.0, None, 10.0), point("b", "poor", 5.0, None, 10.0),
        point("a", "unknown", 0.1, None, None), point("b", "unknown", 0.1, None, None),
    ]  # fmt: skip
    found = {item.device: item for item in summarise_devices(points)}
    assert found["fast"].latency_s == pytest.approx(2.0)  # without c
    assert found["fast"].edp_js == pytest.approx(2.0 * 4.0)
    fronts = {name: item.is_on_front for name, item in found.items()}
    assert fronts == {"fast": True, "small": True, "poor": False, "unknown": False}


def test_arrays_of_a_budget_differ_in_nothing_else() -> None:
    choices = list_arrays(1024, 1 << 20)
    assert len({choice.name for choice in choices}) == len(choices) == 5 * 3 * len(SPLITS)
    for choice in choices:
        accelerator = choice.accelerator
        assert accelerator.array.macs_per_cycle == 1024
        total = sum(memory.size_bytes for memory in accelerator.memories)
        assert (1 << 20) - 3 < total <= 1 << 20
        assert accelerator.area_mm2 == pytest.approx(choices[0].accelerator.area_mm2, rel=1e-3)
    largest = {choice.split: choice.accelerator.memories for choice in choices}
    for index, name in enumerate(("inputs", "weights", "outputs")):
        sizes = [memory.size_bytes for memory in largest[name]]
        assert sizes[index] == max(sizes) > min(sizes)
    with pytest.raises(UsageError, match="1000 MACs, expected a power of two"):
        list_arrays(1000, 1 << 20)
    with pytest.raises(UsageError, match="buffers of 100 bytes"):
        list_arrays(1024, 100)


def test_preferences_are_the_least_cost_and_the_common_choice_the_least_loss() -> None:
    choices = list_arrays(64, 1 << 16)[:3]
    names = [choice.name for choice in choices]
    costs = {"one": (1.0, 2.0, 8.0), "two": (8.0, 2.0, 1.0), "three": (4.0, 3.0, 4.0)}
    points = [
        point(network, name, cost, None)
        for network, row in costs.items()
        for name, cost in zip(names, row, strict=True)
    ]
    points.append(point("partly", names[0], 1.0, None))
    found = array_preferences(points, choices, "latency")
    assert [(name, choice.name, loss) for name, choice, loss in found.best] == [
        ("one", names[0], 2.0), ("two", names[2], 2.0), ("three", names[1], 1.0)
    ]  # fmt: skip
    assert found.common.name == names[1]
    assert found.common_loss == pytest.approx(4 ** (1 / 3))
    assert found.counts("split") == {choice.split: 1 for choice in choices}
    with pytest.raises(UsageError, match="no network runs on every array"):
        array_preferences(points[-1:], choices, "energy")


def test_a_layer_prefers_the_array_that_it_fills() -> None:
    """Eight output channels fill eight columns; where outputs stay, pixels fill the rows."""
    build = NetworkBuilder("few")
    network = build.finish(build.conv(build.input("x", (1, 64, 56, 56)), 8, kernel=3, padding=1))
    choices = [item for item in list_arrays(1024, 1 << 20) if item.dataflow == "OS"]
    few = Subject(name="few", network=network, top1_fraction=None)
    found = study_tradeoff((few,), [choice.accelerator for choice in choices])
    ((_, best, loss),) = array_preferences(found.points, choices, "latency").best
    assert best.shape == "128x8"
    assert loss == 1.0


def test_published_accuracies_are_of_networks_of_the_zoo_that_classify_imagenet() -> None:
    found = published_accuracies()
    descriptions = {entry.name: entry.description for entry in list_networks()}
    assert {name for name, text in descriptions.items() if "ImageNet" in text} == set(found)
    for item in found.values():
        assert 0.5 < item.top1_fraction < 0.9
        assert item.source
        assert item.weights.endswith(".IMAGENET1K_V1") == item.source.startswith("torchvision")
