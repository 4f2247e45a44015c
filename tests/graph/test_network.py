"""Networks as values: checked, sorted, identified by content."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Layer, Network, Tensor


def residual(stem: str = "", *, channels: int = 4) -> Network:
    """Two convolutions with a residual addition, every name beginning with ``stem``."""
    layers = (
        Layer(name=f"{stem}a", op_type="Conv", inputs=(f"{stem}x", f"{stem}w"), outputs=(f"{stem}1",)),
        Layer(name=f"{stem}b", op_type="Relu", inputs=(f"{stem}1",), outputs=(f"{stem}2",)),
        Layer(name=f"{stem}c", op_type="Add", inputs=(f"{stem}2", f"{stem}x"), outputs=(f"{stem}3",)),
    )
    shape = (1, channels, 6, 6)
    tensors = [Tensor(name=f"{stem}{name}", shape=shape) for name in ("x", "1", "2", "3")]
    tensors.append(Tensor(name=f"{stem}w", shape=(channels, channels, 1, 1), is_constant=True))
    return Network(
        name=f"{stem}net",
        inputs=(f"{stem}x",),
        outputs=(f"{stem}3",),
        layers=layers,
        tensors={tensor.name: tensor for tensor in tensors},
    )


def changed(network: Network, **fields: Any) -> Network:
    return dataclasses.replace(network, **fields)


# Values ------------------------------------------------------------------------------------------------


def test_a_network_cannot_be_changed() -> None:
    network = residual()
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        network.tensors["x"] = Tensor(name="x", shape=(1,))  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.layers[0].name = "other"  # type: ignore[misc]


def test_a_network_does_not_follow_the_mapping_it_was_made_from() -> None:
    network = residual()
    tensors = dict(network.tensors)
    copied = changed(network, tensors=tensors)
    tensors.clear()
    assert copied.tensors["x"].shape == (1, 4, 6, 6)


@pytest.mark.parametrize("transport", [lambda n: pickle.loads(pickle.dumps(n)), copy.deepcopy, copy.copy])  # noqa: S301
def test_a_network_survives_pickling_and_copying(transport: Any) -> None:
    network = residual()
    assert network.id  # the cached id must not be in the way
    found = transport(network)
    assert found == network
    assert found.id == network.id
    assert found.layers == network.layers
    assert dict(found.tensors) == dict(network.tensors)
    assert found.producer("3") == network.producer("3")


# Identity ----------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(stem=st.text(min_size=1, max_size=8))
def test_the_id_does_not_depend_on_any_name(stem: str) -> None:
    assert residual(stem).id == residual().id
    assert residual(stem) == residual()
    assert hash(residual(stem)) == hash(residual())


def test_the_id_has_thirty_two_hexadecimal_digits() -> None:
    assert len(residual().id) == 32
    assert int(residual().id, 16) >= 0


def test_the_id_depends_on_shapes_operators_attributes_and_wiring() -> None:
    base = residual()
    conv, act, add = base.layers
    variants = [
        residual(channels=8),
        changed(base, layers=(conv, dataclasses.replace(act, op_type="Sigmoid"), add)),
        changed(base, layers=(conv, dataclasses.replace(act, domain="org.example"), add)),
        changed(base, layers=(dataclasses.replace(conv, attributes=(("group", 1),)), act, add)),
        changed(base, layers=(dataclasses.replace(conv, attributes=(("group", 2),)), act, add)),
        changed(base, layers=(conv, act, dataclasses.replace(add, inputs=("x", "2")))),
        changed(base, layers=(conv, act, dataclasses.replace(add, inputs=("2", "1")))),
        changed(base, outputs=("3", "1")),
        changed(base, tensors={**base.tensors, "2": Tensor(name="2", shape=(1, 4, 6, 6), dtype="float16")}),
    ]
    ids = {item.id for item in (base, *variants)}
    assert len(ids) == len(variants) + 1


def test_the_id_does_not_depend_on_the_order_of_attributes_or_on_unused_tensors() -> None:
    base = residual()
    conv, act, add = base.layers
    pairs = (("group", 1), ("strides", (1, 1)))
    one = changed(base, layers=(dataclasses.replace(conv, attributes=pairs), act, add))
    two = changed(base, layers=(dataclasses.replace(conv, attributes=pairs[::-1]), act, add))
    assert one.id == two.id
    spare = Tensor(name="spare", shape=(3,), is_constant=True)
    assert changed(base, tensors={**base.tensors, "spare": spare}).id == base.id


def test_the_contents_of_a_constant_are_part_of_the_identity() -> None:
    def reshaped(shape: tuple[int, ...]) -> Network:
        build = NetworkBuilder("r")
        x = build.input("x", (1, 12))
        return build.finish(build.add("Neg", build.reshape(x, shape)))

    assert reshaped((3, 4)).id != reshaped((4, 3)).id
    assert reshaped((3, 4)).id != reshaped((3, -1)).id


# Order -------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 25))
def test_layers_come_in_an_order_in_which_they_can_run(seed: int, count: int) -> None:
    rng = random.Random(seed)
    names = ["x"]
    layers = []
    for index in range(count):
        inputs = tuple(rng.choice(names) for _ in range(2))
        layers.append(Layer(name=f"l{index}", op_type="Add", inputs=inputs, outputs=(f"t{index}",)))
        names.append(f"t{index}")
    tensors = {name: Tensor(name=name, shape=(1,)) for name in names}

    def network(order: list[Layer]) -> Network:
        return Network(name="n", inputs=("x",), outputs=names[-1:], layers=tuple(order), tensors=tensors)  # type: ignore[arg-type]

    assert network(layers).layers == tuple(layers)  # already in order: kept as it is
    shuffled = rng.sample(layers, count)
    found = network(shuffled).layers
    assert sorted(layer.name for layer in found) == sorted(layer.name for layer in layers)
    known = {"x"}
    for layer in found:
        assert known.issuperset(layer.inputs)
        known.update(layer.outputs)


def test_a_very_deep_network_given_backwards_is_sorted() -> None:
    count = 5000
    layers = [
        Layer(name=f"l{i}", op_type="Relu", inputs=(f"t{i}",), outputs=(f"t{i + 1}",)) for i in range(count)
    ]
    tensors = {f"t{i}": Tensor(name=f"t{i}", shape=(1,)) for i in range(count + 1)}
    network = Network(
        name="deep", inputs=("t0",), outputs=(f"t{count}",), layers=tuple(reversed(layers)), tensors=tensors
    )
    assert network.layers == tuple(layers)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_cycle_is_refused_and_named(length: int) -> None:
    layers = tuple(
        Layer(name=f"l{i}", op_type="Add", inputs=("x", f"t{(i - 1) % length}"), outputs=(f"t{i}",))
        for i in range(length)
    )
    tensors = {name: Tensor(name=name, shape=(1,)) for name in ("x", *(f"t{i}" for i in range(length)))}
    with pytest.raises(GraphError, match="cycle through layer 'l"):
        Network(name="loop", inputs=("x",), outputs=("t0",), layers=layers, tensors=tensors)


# Faults ------------------------------------------------------------------------------------------------


def test_names_used_twice_are_refused() -> None:
    base = residual()
    conv, act, add = base.layers
    with pytest.raises(GraphError, match="two layers are named 'a'"):
        changed(base, layers=(conv, dataclasses.replace(act, name="a"), add))
    with pytest.raises(GraphError, match="'1' is produced twice"):
        changed(base, layers=(conv, dataclasses.replace(act, outputs=("1",)), add))
    with pytest.raises(GraphError, match="'x' is produced twice"):
        changed(base, layers=(conv, dataclasses.replace(act, outputs=("x",)), add))
    with pytest.raises(GraphError, match="'x' is declared twice"):
        changed(base, inputs=("x", "x"))


def test_tensors_that_nobody_defines_are_refused() -> None:
    base = residual()
    conv, act, add = base.layers
    with pytest.raises(GraphError, match="nothing is known of tensor 'ghost'"):
        changed(base, layers=(conv, act, dataclasses.replace(add, inputs=("2", "ghost"))))
    with pytest.raises(GraphError, match="nothing is known of tensor 'ghost'"):
        changed(base, outputs=("ghost",))
    with pytest.raises(GraphError, match="neither an input, nor a constant, nor the output"):
        changed(base, inputs=())


def test_tensors_that_contradict_their_place_are_refused() -> None:
    base = residual()
    with pytest.raises(GraphError, match="under 'x' calls itself '1'"):
        changed(base, tensors={**base.tensors, "x": base.tensors["1"]})
    with pytest.raises(GraphError, match="an input and a constant"):
        changed(base, tensors={**base.tensors, "x": dataclasses.replace(base.tensors["x"], is_constant=True)})


@pytest.mark.parametrize(
    "fields",
    [
        {"shape": (1, -2)},
        {"shape": (1.5,)},
        {"shape": (1 << 21, 1 << 21)},
        {"shape": (1,), "dtype": "float12"},
        {"shape": (2,), "value": (1,)},
        {"shape": (1,), "value": (None,)},
    ],
)
def test_bad_tensors_cannot_exist(fields: dict[str, Any]) -> None:
    with pytest.raises(GraphError, match="tensor 'bad'"):
        Tensor(name="bad", **fields)


@pytest.mark.parametrize("value", [math.nan, (1.0, math.nan), [1, 2], None])
def test_bad_attributes_cannot_exist(value: Any) -> None:
    with pytest.raises(GraphError, match="layer 'bad': attribute 'alpha'"):
        Layer(name="bad", op_type="Elu", attributes=(("alpha", value),))


def test_an_attribute_given_twice_is_refused() -> None:
    with pytest.raises(GraphError, match="given twice"):
        Layer(name="bad", op_type="Elu", attributes=(("alpha", 1.0), ("alpha", 2.0)))


def test_attributes_of_another_type_are_refused_when_asked_for() -> None:
    layer = Layer(name="l", op_type="Conv", attributes=(("group", 1.5), ("pads", (1, 0.5)), ("mode", "x")))
    with pytest.raises(GraphError, match="expected an integer"):
        layer.int_attribute("group", 1)
    with pytest.raises(GraphError, match="expected integers"):
        layer.ints_attribute("pads")
    assert layer.int_attribute("missing", 7) == 7
    assert layer.ints_attribute("missing") is None
    assert layer.attribute("mode") == "x"


# Questions ---------------------------------------------------------------------------------------------


def test_neighbours_are_found_once_and_in_order() -> None:
    network = residual()
    conv, act, add = network.layers
    assert network.producer("x") is None
    assert network.producer("1") == conv
    assert network.consumers("x") == (conv, add)
    assert network.consumers("3") == ()
    assert network.predecessors(add) == (act,)
    assert network.predecessors(conv) == ()
    assert network.successors(conv) == (act,)
    assert [item.name for item in network.activation_inputs(add)] == ["2", "x"]
    assert [item.name for item in network.constant_inputs(conv)] == ["w"]
    assert [item.name for item in network.output_tensors(conv)] == ["1"]
    assert network.layer("b") == act
    with pytest.raises(GraphError, match="no layer is named 'zz'"):
        network.layer("zz")


def test_a_layer_that_reads_a_tensor_twice_is_one_consumer() -> None:
    build = NetworkBuilder("n")
    x = build.relu(build.input("x", (2,)))
    network = build.finish(build.add("Mul", x, x))
    assert len(network.consumers(x)) == 1
    assert len(network.activation_inputs(network.layers[1])) == 2


@pytest.mark.parametrize(
    ("dtype", "shape", "size_bytes"),
    [
        ("float32", (2, 3), 24),
        ("int4", (3,), 2),
        ("bool", (), 1),
        ("float16", (0, 5), 0),
        ("opaque", (4,), 0),
    ],
)
def test_a_tensor_knows_its_bytes(dtype: str, shape: tuple[int, ...], size_bytes: int) -> None:
    assert Tensor(name="t", shape=shape, dtype=dtype).size_bytes == size_bytes


def test_only_weights_without_contents_are_stored_in_another_dtype() -> None:
    weight = Tensor(name="w", shape=(3, 3), is_constant=True, stored_dtype="int4")
    assert (weight.size_bytes, weight.bytes_of(4)) == (5, 2)
    for wrong in ({"is_constant": False}, {"value": (0.0,) * 9}, {"stored_dtype": "int3"}):
        with pytest.raises(GraphError, match=r"stored as int4|'int3'"):
            dataclasses.replace(weight, **wrong)


def test_a_renamed_tensor_and_a_rewired_layer_are_those_that_a_constructor_makes() -> None:
    weight = Tensor(name="w", shape=(4, 3), is_constant=True, stored_dtype="int8")
    renamed = Tensor(name="v", shape=(4, 3), is_constant=True, stored_dtype="int8")
    pickled: Tensor = pickle.loads(pickle.dumps(renamed))  # noqa: S301  # what this test has made
    for tensor in (weight.renamed("v"), pickled, copy.deepcopy(renamed)):
        assert tensor == renamed
        assert (tensor.size, tensor.kind) == (12, weight.kind)
    strides = (("strides", (2, 2)),)
    layer = Layer(name="a", op_type="Conv", inputs=("x", "w"), outputs=("y",), attributes=strides)
    made = layer.rewired("b", ("y", "v"), ("z",))
    assert made == Layer(name="b", op_type="Conv", inputs=("y", "v"), outputs=("z",), attributes=strides)
    assert (made.signature, made.ints_attribute("strides")) == (layer.signature, (2, 2))


def test_tensors_are_of_one_kind_where_they_differ_in_names_only() -> None:
    tensor = Tensor(name="a", shape=(2, 3), is_constant=True)
    others = (
        dataclasses.replace(tensor, shape=(3, 2)),
        dataclasses.replace(tensor, is_constant=False),
        dataclasses.replace(tensor, dtype="float16"),
        dataclasses.replace(tensor, value=(0, 1, 2, 3, 4, 5)),
        dataclasses.replace(tensor, stored_dtype="int8"),
    )
    assert dataclasses.replace(tensor, name="b").kind == tensor.kind
    assert len({item.kind for item in (tensor, *others)}) == 6
