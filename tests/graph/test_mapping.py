"""Mappings: every layer in exactly one kernel, or eliminated."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping, require_complete
from annette.graph.network import Network


def chain(length: int) -> Network:
    build = NetworkBuilder("chain")
    x = build.input("x", (1, 4))
    for index in range(length):
        x = build.relu(x, name=f"l{index}")
    return build.finish(x)


def kernel(*layers: str) -> Kernel:
    return Kernel(layers=layers, primary=layers[0], unit="array")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.integers(1, 20))
def test_any_partition_of_the_layers_is_complete_and_any_loss_is_not(seed: int, length: int) -> None:
    rng = random.Random(seed)
    network = chain(length)
    groups: dict[int, list[str]] = {}
    for layer in network.layers:
        groups.setdefault(rng.randrange(4), []).append(layer.name)
    eliminated = tuple(groups.pop(0, ()))
    mapping = Mapping(
        kernels=tuple(kernel(*names) for names in groups.values()), eliminated_layers=eliminated
    )
    require_complete(network, mapping)
    if mapping.kernels:
        lossy = Mapping(kernels=mapping.kernels[1:], eliminated_layers=eliminated)
    else:
        lossy = Mapping(kernels=(), eliminated_layers=eliminated[1:])
    with pytest.raises(GraphError, match="not mapped: l"):
        require_complete(network, lossy)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (Mapping(kernels=(kernel("l0"), kernel("l1"), kernel("l0"))), "mapped twice: l0"),
        (Mapping(kernels=(kernel("l0"), kernel("l1", "l1"))), "mapped twice: l1"),
        (Mapping(kernels=(kernel("l0"), kernel("l1")), eliminated_layers=("l1",)), "mapped twice: l1"),
        (Mapping(kernels=(kernel("l0"),)), "not mapped: l1"),
        (Mapping(kernels=(kernel("l0"), kernel("l1", "l9"))), "unknown: l9"),
    ],
)
def test_incomplete_mappings_name_the_layers(mapping: Mapping, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        require_complete(chain(2), mapping)


def test_a_kernel_is_called_after_its_primary_layer() -> None:
    assert Kernel(layers=("a", "b", "c"), primary="b", unit="array").name == "b+a+c"


@pytest.mark.parametrize("layers", [(), ("a",)])
def test_a_kernel_holds_its_primary_layer(layers: tuple[str, ...]) -> None:
    with pytest.raises(GraphError, match="primary 'z'"):
        Kernel(layers=layers, primary="z", unit="array")
