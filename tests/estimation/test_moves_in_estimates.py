"""Estimates with moves: listed, priced, covered; shipped platforms estimate what they always did."""

from __future__ import annotations

import dataclasses

import pytest

from annette.estimation.catalogue import load_platform
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping
from annette.zoo.registry import zoo_network


def test_moves_are_listed_and_priced_by_their_bytes() -> None:
    build = NetworkBuilder("conv")
    network = build.finish(build.conv(build.input("x", (1, 16, 32, 32)), 16, name="conv"))
    tensor = network.outputs[0]
    conv = Kernel(layers=("conv",), primary="conv", unit="array")
    move = Kernel(tensor=tensor, unit="to_plain")
    estimate = load_platform("ncs2").estimate(network, mapping=Mapping(kernels=(conv, move)))
    moved = estimate.kernels[1]
    assert (moved.name, moved.family, moved.layers, moved.unit) == (
        f"{tensor} to_plain",
        "move",
        (),
        "to_plain",
    )
    assert moved.latency_s > 0
    assert moved.is_generic
    assert estimate.coverage.generic_operators == ("move to_plain",)
    assert estimate.latency_s == pytest.approx(sum(kernel.latency_s for kernel in estimate.kernels))
    assert list(estimate.to_frame()["family"]) == ["conv", "move"]


def test_a_move_alone_costs_more_the_larger_its_tensor() -> None:
    platform = load_platform("ncs2")
    times = []
    for size in (8, 64, 256):
        build = NetworkBuilder("relu")
        network = build.finish(build.relu(build.input("x", (1, 16, size, size)), name="relu"))
        relu = Kernel(layers=("relu",), primary="relu", unit="vector")
        mapping = Mapping(kernels=(relu, Kernel(tensor=network.outputs[0], unit="copy")))
        times.append(
            platform.estimate(network, mapping=mapping, model="refined_roofline").kernels[1].latency_s
        )
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("platform", "network", "mixed_s", "statistical_s"),
    [
        ("ncs2", "resnet18", 0.01741379224130694, 0.018530068009866056),
        ("zcu102-dpu", "resnet18", 0.004915216502393452, 0.005252190141009201),
        ("ncs2", "mobilenet_v3_large", 0.015220442115175354, 0.015221579619445848),
        ("zcu102-dpu", "mobilenet_v3_large", 0.003554178375965298, 0.0033945374852077798),
        ("ncs2", "bert_mini", 0.01575053916326736, 0.015270040864308474),
        ("zcu102-dpu", "bert_mini", 0.025597780005316605, 0.025283793045321645),
    ],
)
def test_shipped_platforms_estimate_what_they_did_when_they_were_trained(
    platform: str, network: str, mixed_s: float, statistical_s: float
) -> None:
    """Computed at commit 0701aa5 with ncs2 of commit 8c24178, and at 3452782 with the zcu102-dpu of that
    commit, whose device runs squeeze-and-excitations; other processors round otherwise.

    With the platforms before those, the code agreed to 1e-9 with that of f7df712, before there were moves.
    """
    found = load_platform(platform).estimate_models(zoo_network(network), models=("mixed", "statistical"))
    assert found["mixed"].latency_s == pytest.approx(mixed_s, rel=1e-9)
    assert found["statistical"].latency_s == pytest.approx(statistical_s, rel=1e-9)


def test_a_move_survives_as_a_plain_value() -> None:
    move = Kernel(tensor="y", unit="cast")
    assert dataclasses.replace(move, unit="copy").name == "y copy"
