"""Kinds of layers: the same for layers that differ in names only, and what depends on a layer alone."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from typing import Any

import pytest

from annette.graph import layer_kinds
from annette.graph.builder import NetworkBuilder
from annette.graph.families import layer_family
from annette.graph.geometry import layer_geometry
from annette.graph.network import Layer, Network, Tensor
from annette.graph.work import layer_work
from annette.zoo.registry import list_networks, zoo_network

NAMES = [entry.name for entry in list_networks()]


def one(layer: Layer, *tensors: Tensor) -> Network:
    return Network(
        name="one", inputs=("x",), outputs=("y",), layers=(layer,),
        tensors={tensor.name: tensor for tensor in tensors},
    )  # fmt: skip


def renamed(network: Network) -> Network:
    """The same network with other names of everything."""

    def new(name: str) -> str:
        return f"{name}!" if name else ""

    return Network(
        name="other",
        inputs=tuple(map(new, network.inputs)),
        outputs=tuple(map(new, network.outputs)),
        layers=tuple(
            dataclasses.replace(
                layer,
                name=new(layer.name),
                inputs=tuple(map(new, layer.inputs)),
                outputs=tuple(map(new, layer.outputs)),
            )
            for layer in network.layers
        ),
        tensors={
            new(name): dataclasses.replace(tensor, name=new(name)) for name, tensor in network.tensors.items()
        },
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_kind_knows_what_its_layer_alone_tells(name: str) -> None:
    network = zoo_network(name)
    for layer, kind in zip(network.layers, network.kinds.layers, strict=True):
        assert network.kinds.of(layer) is kind
        assert kind.family(network, layer) == layer_family(network, layer)
        assert kind.geometry(network, layer) == layer_geometry(network, layer)
        assert kind.work(network, layer) == layer_work(network, layer)
        assert [network.tensors[layer.inputs[place]] for place in kind.activations] == list(
            network.activation_inputs(layer)
        )


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "bert_mini"])
def test_names_are_no_part_of_a_kind(name: str) -> None:
    network = zoo_network(name)
    assert renamed(network).kinds.layers == network.kinds.layers


def softmax(axis: float) -> Network:
    layer = Layer(name="a", op_type="Softmax", inputs=("x",), outputs=("y",), attributes=(("axis", axis),))
    return one(layer, Tensor(name="x", shape=(2, 3)), Tensor(name="y", shape=(2, 3)))


def test_attributes_of_different_types_are_different() -> None:
    whole, real, truth = (softmax(axis).kinds.layers[0] for axis in (1, 1.0, True))
    assert whole is softmax(1).kinds.layers[0]
    assert len({whole, real, truth}) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"shape": (2, 4)},
        {"dtype": "int8"},
        {"is_constant": True},
        {"is_constant": True, "value": (1.0,) * 6},
        {"is_constant": True, "stored_dtype": "int8"},
    ],
)
def test_what_a_tensor_is_is_part_of_a_kind(change: dict[str, Any]) -> None:
    layer = Layer(name="a", op_type="Add", inputs=("x", "z"), outputs=("y",))
    x, y, z = (Tensor(name=name, shape=(2, 3)) for name in "xyz")
    kinds = set()
    for second in (z, dataclasses.replace(z, **change)):
        inputs = ("x",) if second.is_constant else ("x", "z")
        network = Network(
            name="one", inputs=inputs, outputs=("y",), layers=(layer,), tensors={"x": x, "y": y, "z": second}
        )
        kinds.add(network.kinds.layers[0])
    assert len(kinds) == 2


def test_reading_one_tensor_twice_is_another_kind_than_reading_two() -> None:
    build = NetworkBuilder("sums")
    x, y = (build.input(name, (4, 4)) for name in "xy")
    network = build.finish(build.add("Add", build.add("Add", x, x), build.add("Add", x, y)))
    twice, two, both = network.kinds.layers
    assert twice is not two
    assert two is both
    assert twice.work(network, network.layers[0]).input_elements == 16


def test_a_weight_that_layers_make_of_constants_is_another_operand_than_an_activation() -> None:
    build = NetworkBuilder("products")
    x = build.input("x", (4, 4))
    weight = build.transpose(build.constant((4, 4)), (1, 0))
    product = build.add("MatMul", x, weight)
    network = build.finish(build.add("MatMul", x, product))
    of_weight, of_activation = (kind for kind in network.kinds.layers if kind.op_type == "MatMul")
    assert of_weight is not of_activation
    assert [layer_family(network, layer) for layer in network.layers] == ["copy", "gemm", "matmul"]


def test_kinds_that_were_forgotten_are_met_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_kinds, "MAX_KINDS", 5)
    monkeypatch.setattr(layer_kinds, "_KINDS", {})
    network = zoo_network("squeezenet1_1")
    pairs = zip(network.kinds.layers, network.layers, strict=True)
    assert all(kind.family(network, layer) == layer_family(network, layer) for kind, layer in pairs)
    assert len(layer_kinds._KINDS) <= 5


def test_a_network_is_gone_with_its_last_use() -> None:
    network = zoo_network("lenet5")
    assert network.kinds.of(network.layers[0]) is network.kinds.layers[0]
    reference = weakref.ref(network)
    gc.disable()  # cycles would be found later
    try:
        del network
        assert reference() is None
    finally:
        gc.enable()
