"""Figures of trade-off studies show what the study says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annette.errors import UsageError
from annette.explore.array_choice import list_arrays
from annette.explore.tradeoff import (
    COSTS,
    Subject,
    TradeoffPoint,
    TradeoffStudy,
    accuracy_front,
    study_tradeoff,
    summarise_devices,
)
from annette.explore.tradeoff_figures import accelerator_figure, accuracy_figure, array_figure, energy_figure
from annette.explore.tradeoff_page import write_page
from annette.explore.tradeoff_plot import draw_tradeoff
from annette.explore.tradeoff_report import ArrayStudy, points_csv, tradeoff_document
from annette.hardware.codec import load_accelerator
from annette.zoo.registry import zoo_network

SUBJECTS = (
    Subject(name="<b>lenet</b>", network=zoo_network("lenet5"), top1_fraction=0.5),
    Subject(name="tc", network=zoo_network("tc_resnet8"), top1_fraction=None),
    Subject(name="squeeze", network=zoo_network("squeezenet1_1"), top1_fraction=0.58),
)


@pytest.fixture(scope="module")
def study() -> TradeoffStudy:
    return study_tradeoff(SUBJECTS, [load_accelerator(name) for name in ("nvdla-small", "gemmini-16x16")])


@pytest.fixture(scope="module")
def arrays() -> ArrayStudy:
    choices = list_arrays(64, 1 << 16)
    found = study_tradeoff(SUBJECTS, [choice.accelerator for choice in choices])
    return ArrayStudy(macs=64, buffer_bytes=1 << 16, choices=choices, study=found)


def test_buttons_change_the_cost_of_every_trace(study: TradeoffStudy) -> None:
    figure = accuracy_figure(study.points, ["nvdla-small"])
    names = [trace["name"] for trace in figure["data"]]
    assert names == ["nvdla-small", "gemmini-16x16", "Pareto front of all"]
    assert [trace["visible"] for trace in figure["data"]] == [True, "legendonly", True]
    buttons = figure["layout"]["updatemenus"][0]["buttons"]
    assert [button["label"] for button in buttons] == list(COSTS)
    for button in buttons:
        front = accuracy_front(study.points, button["label"])
        assert button["args"][0]["x"][-1] == [getattr(item, COSTS[button["label"]]) for item in front]
        assert [len(values) for values in button["args"][0]["y"]] == [2, 2, len(front)]


def test_every_accelerator_is_a_circle_and_a_bar_of_a_hundred_percent(study: TradeoffStudy) -> None:
    devices = summarise_devices(study.points)
    circles = [name for trace in accelerator_figure(devices)["data"] for name in trace["text"]]
    assert sorted(circles) == sorted(study.devices)
    bars = energy_figure(study.points)["data"]
    for position in range(len(study.devices)):
        assert sum(trace["x"][position] for trace in bars) == pytest.approx(100)


def test_the_map_of_arrays_has_a_best_one_for_each_network(arrays: ArrayStudy) -> None:
    (trace,) = array_figure(arrays, "EDP")["data"]
    assert trace["y"] == [subject.name for subject in SUBJECTS]
    assert trace["x"] == ["8x8 OS", "8x8 WS", "8x8 IS"]
    assert [min(row) for row in trace["z"]] == [1.0, 1.0, 1.0]


def test_names_of_networks_are_no_markup(tmp_path: Path, study: TradeoffStudy, arrays: ArrayStudy) -> None:
    path = tmp_path / "page.html"
    write_page(study, path, arrays)
    page = path.read_text(encoding="utf-8")
    assert "&lt;b&gt;lenet&lt;/b&gt;" in page
    assert '<td class="text"><b>' not in page


def test_the_document_is_plain_and_says_who_is_on_how_many_fronts(
    study: TradeoffStudy, arrays: ArrayStudy
) -> None:
    document = json.loads(json.dumps(tradeoff_document(study, arrays)))
    assert document["networks_with_accuracy"] == 2
    assert {item["network"] for item in document["on_fronts_of_accelerators"]} <= {"<b>lenet</b>", "squeeze"}
    for cost in COSTS:
        found = document["arrays"]["by_cost"][cost]
        assert found["common_loss"] >= 1
        assert sum(found["preferred"]["dataflow"].values()) == len(SUBJECTS)


def test_no_points_are_no_picture_and_an_empty_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found no points"):
        draw_tradeoff((), tmp_path / "none.png")
    assert points_csv(()).count("\n") == 1


def test_pictures_are_drawn_without_accuracies_and_areas(tmp_path: Path) -> None:
    bare = TradeoffPoint(
        network="a",
        device="b",
        latency_s=1.0,
        energy_j=1.0,
        area_mm2=None,
        top1_fraction=None,
        energy_parts_j=(),
    )
    draw_tradeoff((bare,), tmp_path / "bare.png")
    assert (tmp_path / "bare.png").stat().st_size > 10_000
