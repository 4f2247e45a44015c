"""Networks survive the way to another process: equal in everything, names and types of numbers too."""

from __future__ import annotations

import pickle

import pytest

from annette.graph.network import Layer, Network, Tensor
from annette.graph.network_state import pack, unpack
from annette.zoo.registry import list_networks, zoo_network


def same(one: Network, other: Network) -> bool:
    fields = ("name", "inputs", "outputs", "layers", "tensors", "id")
    return all(repr(getattr(one, field)) == repr(getattr(other, field)) for field in fields)


@pytest.mark.parametrize("name", [entry.name for entry in list_networks()])
def test_networks_of_the_zoo_arrive_as_they_were(name: str) -> None:
    network = zoo_network(name)
    again = pickle.loads(pickle.dumps(network))  # noqa: S301
    assert again == network
    assert same(again, network)
    assert again.kinds.layers == network.kinds.layers


def test_numbers_keep_their_types() -> None:
    layers = tuple(
        Layer(
            name=f"layer {number}", op_type="Odd", inputs=("x", f"w{number}", ""), outputs=(f"y{number}",),
            attributes=(("a", value), ("b", (value,))),
        )
        for number, value in enumerate((1, 1.0, True, -0.0, 0.0, "1"))
    )  # fmt: skip
    tensors = [Tensor(name="x", shape=(1,)), *(Tensor(name=f"y{number}", shape=(1,)) for number in range(6))]
    for number, value in enumerate((1, 1.0, True, -0.0, 0.0, "1")):
        tensors.append(Tensor(name=f"w{number}", shape=(1,), is_constant=True, value=(value,)))
    network = Network(
        name="odd", inputs=("x",), outputs=("y0",), layers=layers,
        tensors={tensor.name: tensor for tensor in tensors},
    )  # fmt: skip
    again = unpack(pack(network))
    assert same(again, network)
    for layer, before in zip(again.layers, network.layers, strict=True):
        assert layer == before
        assert repr(layer.attribute("a")) == repr(before.attribute("a"))


def test_what_is_worked_out_does_not_travel() -> None:
    network = zoo_network("lenet5")
    size = len(pickle.dumps(network))
    assert network.id
    assert network.kinds.layers
    assert network.producer(network.outputs[0]) is not None
    assert len(pickle.dumps(network)) == size
