"""Operators that samples had, and how much of other networks is of others."""

from __future__ import annotations

import pytest

from annette.calibration.seen import seen_operators, unseen_in
from annette.zoo.registry import open_network


def test_networks_that_were_samples_have_nothing_unseen() -> None:
    networks = [open_network(f"zoo:{name}") for name in ("squeezenet1_0", "mobilenet_v2")]
    seen = seen_operators(networks)
    for network in networks:
        found = unseen_in(network, seen)
        assert (found.operators, found.fraction, found.is_all) == ((), 0.0, False)


def test_depthwise_convolutions_are_another_kind_than_other_convolutions() -> None:
    seen = seen_operators([open_network("zoo:resnet18"), open_network("zoo:squeezenet1_0")])
    found = unseen_in(open_network("zoo:efficientnet_b0"), seen)
    assert {"Conv (depthwise)", "Sigmoid", "Mul"} <= set(found.operators)
    assert 0.25 < found.fraction < 1.0


@pytest.mark.parametrize("seen", [(), ("Softmax",)])
def test_of_a_network_without_a_seen_operator_all_is_unseen(seen: tuple[str, ...]) -> None:
    found = unseen_in(open_network("zoo:lenet5"), seen)
    assert (found.fraction, found.is_all) == (1.0, True)
