"""Families: one for every operator."""

from __future__ import annotations

import pytest

from annette.graph.builder import NetworkBuilder
from annette.graph.families import FAMILIES, layer_family
from annette.graph.network import Layer, Network, Tensor
from annette.graph.shapes import SHAPE_RULES
from annette.graph.work import WORK_RULES


def family_of(op_type: str, *shapes: tuple[int, ...], domain: str = "", **attributes: int) -> str:
    """The family of a layer whose second input, if any, is a constant."""
    names = tuple(f"x{index}" for index in range(len(shapes)))
    layer = Layer(
        name="one", op_type=op_type, domain=domain, inputs=names, outputs=("y",),
        attributes=tuple(attributes.items()),
    )  # fmt: skip
    tensors = {
        name: Tensor(name=name, shape=shape, is_constant=name != "x0")
        for name, shape in zip(names, shapes, strict=True)
    }
    tensors["y"] = Tensor(name="y", shape=(1,))
    network = Network(name="one", inputs=("x0",), outputs=("y",), layers=(layer,), tensors=tensors)
    return layer_family(network, layer)


@pytest.mark.parametrize(
    ("groups", "weight", "family"),
    [
        (1, (8, 8, 3, 3), "conv"),
        (8, (8, 1, 3, 3), "depthwise_conv"),
        (8, (16, 1, 3, 3), "depthwise_conv"),
        (2, (8, 4, 3, 3), "grouped_conv"),
    ],
)
def test_convolutions_differ_by_their_groups(groups: int, weight: tuple[int, ...], family: str) -> None:
    assert family_of("Conv", (1, 8, 5, 5), weight, group=groups) == family


def test_a_convolution_of_one_channel_is_a_plain_one() -> None:
    assert family_of("Conv", (1, 1, 28, 28), (6, 1, 5, 5)) == "conv"


def test_products_differ_by_their_right_side() -> None:
    build = NetworkBuilder("m")
    x, y = build.input("x", (2, 3, 4)), build.input("y", (2, 4, 3))
    a = build.add("MatMul", x, y)
    b = build.linear(a, 7, bias=False)
    c = build.add("Einsum", b, b, equation="bij,bkj->bik")
    network = build.finish(c)
    assert [layer_family(network, layer) for layer in network.layers] == ["matmul", "gemm", "matmul"]


@pytest.mark.parametrize(
    ("op_type", "family"),
    [
        ("ConvTranspose", "conv_transpose"),
        ("Gemm", "gemm"),
        ("MaxPool", "pool"),
        ("GlobalAveragePool", "global_pool"),
        ("Add", "elementwise"),
        ("Where", "elementwise"),
        ("Relu", "activation"),
        ("Clip", "activation"),
        ("PRelu", "activation"),
        ("Softmax", "softmax"),
        ("LayerNormalization", "normalization"),
        ("BatchNormalization", "normalization"),
        ("ReduceMean", "reduce"),
        ("ArgMax", "reduce"),
        ("Concat", "concat"),
        ("Transpose", "copy"),
        ("Reshape", "copy"),
        ("Cast", "copy"),
        ("DepthToSpace", "copy"),
        ("Gather", "gather"),
        ("Resize", "resize"),
        ("Upsample", "resize"),
        ("Attention", "attention"),
        ("QuantizeLinear", "quantize"),
        ("LSTM", "opaque"),
        ("Wobble", "opaque"),
    ],
)
def test_each_operator_has_its_family(op_type: str, family: str) -> None:
    assert family_of(op_type, (4, 4), (4, 4)) == family


def test_an_operator_of_another_domain_is_opaque() -> None:
    assert family_of("Relu", (4, 4), domain="org.example") == "opaque"
    assert family_of("QuickGelu", (4, 4), domain="com.microsoft") == "activation"


def test_every_operator_with_a_shape_rule_has_a_family() -> None:
    without = {"Bernoulli", "Det", "GRU", "LSTM", "NonMaxSuppression", "NonZero", "RNN", "Unique"}
    for domain, rules in SHAPE_RULES.items():
        for op_type in rules:
            family = family_of(op_type, *([(4, 4)] * 4), domain=domain)
            assert family in FAMILIES
            assert (family == "opaque") == (op_type in without), op_type


def test_every_operator_that_computes_has_a_count_of_ops() -> None:
    computing = set(FAMILIES) - {"concat", "copy", "gather", "opaque"}
    uncounted = {"MaxUnpool"}  # a pool that moves data only
    for domain, rules in SHAPE_RULES.items():
        for op_type in rules:
            if family_of(op_type, *([(4, 4)] * 4), domain=domain) in computing:
                assert (op_type in WORK_RULES) != (op_type in uncounted), op_type
