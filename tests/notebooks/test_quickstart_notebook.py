"""The first notebook runs with the public API alone, and what it says in words is what the platforms say."""

from __future__ import annotations

from collections.abc import Callable

import nbformat
import pytest

import annette
from annette.estimation.platform import Platform
from annette.graph.families import layer_family
from annette.graph.work import layer_work
from annette.zoo.registry import open_network

NAME = "quickstart"


@pytest.fixture(scope="module")
def platforms() -> tuple[Platform, Platform]:
    return annette.load("zcu102-dpu"), annette.load("ncs2")


def test_it_uses_nothing_but_what_is_promised(private_uses: Callable[[str], set[str]]) -> None:
    assert private_uses(NAME) == set()


def test_it_shows_four_figures_and_no_error(outputs: list[nbformat.NotebookNode]) -> None:
    assert not [output for output in outputs if output.output_type == "error"]
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) == 4


def test_one_device_is_faster_here_and_the_other_there(
    platforms: tuple[Platform, Platform], notebook_words: Callable[[str], str]
) -> None:
    dpu, stick = platforms
    words = notebook_words(NAME)
    resnet, efficient = (
        [platform.estimate(f"zoo:{name}").latency_s for platform in platforms]
        for name in ("resnet50", "efficientnet_b0")
    )
    assert "four times faster" in words
    assert round(resnet[1] / resnet[0]) == 4
    assert "two times *slower*" in words
    assert round(efficient[0] / efficient[1]) == 2
    assert "EfficientNet-B0 takes 37 ms" in words
    assert round(1e3 * efficient[1]) == 37
    kernels = dpu.estimate("zoo:efficientnet_b0").to_frame()
    assert set(kernels.family[kernels.unit == "host"]) >= {"activation"}
    assert "five sixths of the time" in words
    assert round(6 * kernels.latency_s[kernels.unit == "host"].sum() / kernels.latency_s.sum()) == 5
    assert "host" not in set(dpu.estimate("zoo:mobilenet_v2").to_frame().unit)
    assert "host" not in set(stick.estimate("zoo:efficientnet_b0").to_frame().unit)


def test_depthwise_convolutions_take_more_time_than_their_work(
    platforms: tuple[Platform, Platform], notebook_words: Callable[[str], str]
) -> None:
    assert "More than half of the time goes into depthwise convolutions" in notebook_words(NAME)
    network = open_network("zoo:mobilenet_v2")
    kernels = platforms[0].estimate(network).to_frame()
    depthwise = kernels.family == "depthwise_conv"
    assert kernels.latency_s[depthwise].sum() > 0.5 * kernels.latency_s.sum()
    macs = [(layer_family(network, layer), layer_work(network, layer).macs) for layer in network.layers]
    assert sum(n for family, n in macs if family == "depthwise_conv") < 0.1 * sum(n for _, n in macs)


def test_coverage_is_as_told(
    platforms: tuple[Platform, Platform], notebook_words: Callable[[str], str]
) -> None:
    assert "A sixth of VGG-16's comes from kernels larger than any that was" in notebook_words(NAME)
    assert platforms[0].estimate("zoo:vgg16").coverage.out_of_range_fraction == pytest.approx(1 / 6, abs=0.03)
