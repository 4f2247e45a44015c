"""Intervals of estimates: around the estimate, kept with the platform, absent where it has none."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

import annette
from annette.estimation.platform import Platform
from annette.models.layer_models import MODEL_NAMES
from annette.zoo.registry import zoo_network

NAMES = ("resnet18", "mobilenet_v2", "vit_tiny")


@pytest.mark.parametrize("model", MODEL_NAMES)
@pytest.mark.parametrize("name", NAMES)
def test_intervals_hold_the_estimate(small_platform: Platform, name: str, model: str) -> None:
    estimate = small_platform.estimate(zoo_network(name), model=model)
    parts = [(estimate.latency_s, estimate.interval)]
    parts += [(kernel.latency_s, kernel.interval) for kernel in estimate.kernels]
    for latency_s, interval in parts:
        assert interval is not None
        assert 0 < interval.low_s <= latency_s <= interval.high_s
        assert interval.low_s < interval.high_s


def test_intervals_are_those_of_the_sums_over_kernels(small_platform: Platform) -> None:
    estimate = small_platform.estimate(zoo_network("mobilenet_v2"))
    assert small_platform.intervals is not None
    assert estimate.interval is not None
    spread = small_platform.intervals.models["mixed"]
    doubts: dict[str, float] = {}
    squares = 0.0
    for kernel in estimate.kernels:
        assert kernel.interval is not None
        doubt = math.log(kernel.interval.high_s / kernel.latency_s) / spread.kernel_up * kernel.latency_s
        key = f"{kernel.family}@{kernel.unit}"
        doubts[key], squares = doubts.get(key, 0.0) + doubt, squares + doubt**2
    within = sum(value**2 for value in doubts.values())
    variance = (
        spread.other_family * sum(doubts.values()) ** 2
        + (spread.same_family - spread.other_family) * within
        + (1 - spread.same_family) * squares
    )
    width = math.sqrt(variance / estimate.latency_s**2 + spread.whole**2)
    high_s = estimate.latency_s * math.exp(spread.network_up * width)
    assert estimate.interval.high_s == pytest.approx(high_s, rel=1e-6)


def test_what_the_platform_does_not_know_makes_the_interval_wide(small_platform: Platform) -> None:
    known, unknown = (small_platform.estimate(zoo_network(name)) for name in ("resnet18", "vit_tiny"))
    assert known.interval is not None
    assert unknown.interval is not None
    assert unknown.coverage.generic_fraction > known.coverage.generic_fraction
    widths = [item.interval.high_s / item.latency_s for item in (known, unknown) if item.interval is not None]
    assert widths[1] > widths[0]


def test_json_and_frame_carry_the_intervals(small_platform: Platform) -> None:
    estimate = small_platform.estimate(zoo_network("resnet18"))
    assert estimate.interval is not None
    document = estimate.to_dict()
    assert document["interval_s"] == [estimate.interval.low_s, estimate.interval.high_s]
    frame = estimate.to_frame()
    assert (frame["low_s"] < frame["latency_s"]).all()
    assert (frame["latency_s"] < frame["high_s"]).all()


def test_a_folder_keeps_them_and_one_without_loads(small_platform: Platform, tmp_path: Path) -> None:
    network = zoo_network("resnet18")
    small_platform.save(tmp_path / "with")
    assert (tmp_path / "with" / "intervals.json").is_file()
    assert (
        annette.load(tmp_path / "with").estimate(network).interval
        == small_platform.estimate(network).interval
    )
    replace(small_platform, intervals=None).save(tmp_path / "without")
    assert not (tmp_path / "without" / "intervals.json").exists()
    estimate = annette.load(tmp_path / "without").estimate(network)
    assert estimate.latency_s == small_platform.estimate(network).latency_s
    assert estimate.interval is None
    assert {kernel.interval for kernel in estimate.kernels} == {None}
    assert estimate.to_dict()["interval_s"] is None
    assert "low_s" not in estimate.to_frame()
