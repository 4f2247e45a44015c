"""Operands: what a layer computes on, what it has learned, and what only tells it how."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.graph.operands import operands, parameter_tensors


def shapes(tensors: tuple[object, ...]) -> list[tuple[int, ...]]:
    return [tensor.shape for tensor in tensors]  # type: ignore[attr-defined]


def last(build: NetworkBuilder, output: str) -> tuple[Network, list[tuple[int, ...]], list[tuple[int, ...]]]:
    network = build.finish(output)
    activations, weights = operands(network, network.layers[-1])
    return network, shapes(activations), shapes(weights)


def test_a_convolution_reads_one_activation_and_two_weights() -> None:
    build = NetworkBuilder("o")
    _, activations, weights = last(build, build.conv(build.input("x", (1, 3, 8, 8)), 4, kernel=3))
    assert activations == [(1, 3, 8, 8)]
    assert weights == [(4, 3, 3, 3), (4,)]


def test_the_shape_of_a_reshape_is_no_operand() -> None:
    build = NetworkBuilder("o")
    _, activations, weights = last(build, build.reshape(build.input("x", (4, 6)), (6, 4)))
    assert (activations, weights) == ([(4, 6)], [])


def test_scalars_and_indices_are_read_but_not_learned() -> None:
    build = NetworkBuilder("o")
    x = build.input("x", (4, 6))
    network, _, weights = last(build, build.add("Mul", x, build.constant((), value=(0.5,))))
    assert weights == [()]
    assert parameter_tensors(network, network.layers[-1]) == ()
    build = NetworkBuilder("o")
    y = build.add("Gather", build.constant((10, 4)), build.int_constant((1, 2, 3)))
    network = build.finish(y)
    assert shapes(parameter_tensors(network, network.layers[-1])) == [(10, 4)]


def test_a_weight_stays_one_through_views_casts_and_dequantisation() -> None:
    build = NetworkBuilder("o")
    x = build.input("x", (4, 6))
    weight = build.add("Cast", build.transpose(build.constant((6, 4)), (1, 0)), to=10)
    network = build.finish(build.add("Identity", weight), build.add("Identity", x))
    assert weight in network.weights
    assert "x" not in network.weights
    assert network.outputs[1] not in network.weights


def test_a_very_long_chain_of_views_is_followed() -> None:
    build = NetworkBuilder("o")
    weight, x = build.constant((4,)), build.input("x", (4,))
    for _ in range(3000):
        weight, x = build.add("Identity", weight), build.add("Identity", x)
    network = build.finish(weight, x)
    assert weight in network.weights
    assert x not in network.weights
