"""The builder: ONNX layers, shapes on the way, errors that name the fault."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder


def fresh(*shape: int) -> tuple[NetworkBuilder, str]:
    build = NetworkBuilder("b")
    return build, build.input("x", shape)


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(1, 40), kernel=st.integers(1, 7), stride=st.integers(1, 4), dilation=st.integers(1, 3)
)
def test_same_padding_keeps_a_position_for_each_step(
    size: int, kernel: int, stride: int, dilation: int
) -> None:
    build, x = fresh(1, 2, size, size + 3)
    y = build.conv(x, 3, kernel=kernel, stride=stride, dilation=dilation, padding="same")
    assert build.shape(y)[2:] == (-(-size // stride), -(-(size + 3) // stride))


def test_paddings_are_a_number_one_an_axis_or_begins_and_ends() -> None:
    build, x = fresh(1, 2, 10, 10)
    shapes = [build.shape(build.conv(x, 1, kernel=3, padding=item)) for item in (1, (1, 0), (1, 0, 0, 2))]
    assert [shape[2:] for shape in shapes] == [(10, 10), (10, 8), (9, 10)]


def test_every_method_makes_a_layer_of_onnx() -> None:
    build, x = fresh(1, 8, 16, 16)
    layers: list[tuple[str, str, tuple[int, ...]]] = [
        (build.conv(x, 4, kernel=3, stride=2, padding=1), "Conv", (1, 4, 8, 8)),
        (build.depthwise_conv(x, stride=2), "Conv", (1, 8, 8, 8)),
        (build.conv_transpose(x, 4), "ConvTranspose", (1, 4, 32, 32)),
        (build.batch_norm(x), "BatchNormalization", (1, 8, 16, 16)),
        (build.layer_norm(x), "LayerNormalization", (1, 8, 16, 16)),
        (build.relu(x), "Relu", (1, 8, 16, 16)),
        (build.relu6(x), "Clip", (1, 8, 16, 16)),
        (build.activation(x, "HardSwish"), "HardSwish", (1, 8, 16, 16)),
        (build.activation(x, "Swish"), "Mul", (1, 8, 16, 16)),
        (build.max_pool(x, kernel=3, stride=2, ceil_mode=True), "MaxPool", (1, 8, 8, 8)),
        (build.avg_pool(x, kernel=2, stride=2), "AveragePool", (1, 8, 8, 8)),
        (build.global_avg_pool(x), "GlobalAveragePool", (1, 8, 1, 1)),
        (build.concat(x, x), "Concat", (1, 16, 16, 16)),
        (build.flatten(x), "Flatten", (1, 2048)),
        (build.linear(build.flatten(x), 10), "Gemm", (1, 10)),
        (build.linear(x, 10, bias=False), "MatMul", (1, 8, 16, 10)),
        (build.reshape(x, (1, -1, 16)), "Reshape", (1, 128, 16)),
        (build.transpose(x, (0, 2, 3, 1)), "Transpose", (1, 16, 16, 8)),
        (build.slice(x, axis=1, start=2, end=5), "Slice", (1, 3, 16, 16)),
        (build.resize(x, (20, 8)), "Resize", (1, 8, 20, 8)),
        (build.softmax(x), "Softmax", (1, 8, 16, 16)),
    ]
    network = build.finish(*(name for name, _, _ in layers))
    for name, op_type, shape in layers:
        producer = network.producer(name)
        assert producer is not None
        assert (producer.op_type, build.shape(name)) == (op_type, shape)


def test_no_activation_adds_no_layer() -> None:
    build, x = fresh(1, 4)
    assert build.activation(x, None) == x


def test_a_layer_with_several_outputs_hands_out_all_names() -> None:
    build, x = fresh(1, 6, 4)
    parts = build.add_many("Split", x, build.int_constant((1, 5)), outputs=2, axis=1)
    assert [build.shape(part) for part in parts] == [(1, 1, 4), (1, 5, 4)]


def test_running_numbers_avoid_names_given_by_hand() -> None:
    build, x = fresh(1, 4)
    y = build.relu(x, name="relu_1")
    network = build.finish(build.relu(y))
    assert [layer.name for layer in network.layers] == ["relu_1", "relu_2"]


def test_constants_that_nobody_reads_are_left_out() -> None:
    build, x = fresh(1, 4)
    build.constant((3,), name="spare")
    assert "spare" not in build.finish(build.relu(x)).tensors


def test_the_same_calls_give_the_same_network() -> None:
    def make(name: str) -> str:
        build = NetworkBuilder(name)
        x = build.input(f"{name}_image", (1, 3, 8, 8))
        return build.finish(build.relu(build.conv(x, 4, kernel=3))).id

    assert make("one") == make("two")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda build, x: build.relu("ghost"), "nothing is known of its input 'ghost'"),
        (lambda build, x: build.shape("ghost"), "nothing is known of tensor 'ghost'"),
        (lambda build, x: build.input("x", (1,)), "two tensors are named 'x'"),
        (lambda build, x: [build.relu(x, name="a"), build.relu(x, name="a")], "two layers are named 'a'"),
        (lambda build, x: build.conv(x, 4, kernel=3, groups=2), "groups"),
        (lambda build, x: build.conv(x, 4, groups=0), "in 0 groups"),
        (lambda build, x: build.conv(x, 4, kernel=(3, 3, 3)), "one for each of 2 spatial axes"),
        (lambda build, x: build.conv(x, 4, kernel=3, padding="valid"), "'same' or numbers"),
        (lambda build, x: build.conv(x, 4, kernel=9), "dilated kernel"),
        (lambda build, x: build.add("Wobble", x), "no shape rule for operator 'Wobble'"),
        (lambda build, x: build.add("Elu", x, alpha=[1.0]), "attribute 'alpha'"),
        (lambda build, x: build.finish("ghost"), "nothing is known of tensor 'ghost'"),
        (lambda build, x: build.batch_norm(build.constant((3,))), "expected channels on axis 1"),
    ],
)
def test_faults_are_named(call: Any, message: str) -> None:
    build, x = fresh(1, 3, 8, 8)
    with pytest.raises(GraphError, match=message):
        call(build, x)


def test_a_refused_layer_leaves_no_trace() -> None:
    build, x = fresh(1, 3, 8, 8)
    with pytest.raises(GraphError):
        build.conv(x, 4, kernel=9, name="a")
    network = build.finish(build.conv(x, 4, kernel=3, name="a"))
    assert [layer.name for layer in network.layers] == ["a"]
    assert len(network.tensors) == 4


def test_a_tensor_in_place_of_the_operator_is_explained() -> None:
    build = NetworkBuilder("residual")
    x = build.input("x", (1, 8, 4, 4))
    y = build.relu(x)
    with pytest.raises(GraphError, match="expected an operator first"):
        build.add(x, y)
