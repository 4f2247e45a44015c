"""Element-wise operators, norms and reductions: the shape rules agree with ONNX's own inference."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from annette.graph.network import Tensor
from annette.graph.operators import BROADCASTING, COMPARISONS, REDUCTIONS, UNARY

BOOLEAN = {"And", "Or", "Xor", "Not"}
INTEGER = {"BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"}
VARIADIC = {"Max", "Min", "Mean", "Sum"}
SHAPES = st.lists(st.integers(1, 6), min_size=1, max_size=5).map(tuple)


def tensor(name: str, *shape: int, dtype: str = "float32") -> Tensor:
    return Tensor(name=name, shape=shape, dtype=dtype)


def ints(name: str, *values: int) -> Tensor:
    return Tensor(name=name, shape=(len(values),), dtype="int64", value=values, is_constant=True)


def dtype_for(op_type: str) -> str:
    if op_type in BOOLEAN:
        return "bool"
    return "uint8" if op_type in INTEGER else "float32"


@pytest.mark.parametrize("op_type", UNARY)
def test_unary_operators_keep_shape_and_dtype(op_type: str, onnx_outputs: Any, rule_outputs: Any) -> None:
    inputs = [tensor("x", 2, 3, 4, dtype=dtype_for(op_type))]
    found = rule_outputs(op_type, inputs, {})
    if op_type != "Swish":  # newer than some releases of onnx
        assert found == onnx_outputs(op_type, inputs, {})
    assert found == [((2, 3, 4), inputs[0].dtype)]


@settings(max_examples=300, deadline=None)
@given(
    shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4, min_side=1),
    op_type=st.sampled_from((*BROADCASTING, *COMPARISONS)),
)
def test_binary_operators_broadcast(shapes: Any, op_type: str, onnx_outputs: Any, rule_outputs: Any) -> None:
    attributes = {"direction": "LEFT"} if op_type == "BitShift" else {}
    inputs = [
        tensor(f"x{index}", *shape, dtype=dtype_for(op_type))
        for index, shape in enumerate(shapes.input_shapes)
    ]
    found = rule_outputs(op_type, inputs, attributes)
    assert found == onnx_outputs(op_type, inputs, attributes)
    assert found[0][0] == shapes.result_shape


@settings(max_examples=150, deadline=None)
@given(
    shapes=mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=4, min_side=1),
    op_type=st.sampled_from(sorted(VARIADIC)),
)
def test_operators_of_three_inputs_broadcast(
    shapes: Any, op_type: str, onnx_outputs: Any, rule_outputs: Any
) -> None:
    inputs = [tensor(f"x{index}", *shape) for index, shape in enumerate(shapes.input_shapes)]
    assert rule_outputs(op_type, inputs, {}) == onnx_outputs(op_type, inputs, {})
    condition = Tensor(name="c", shape=inputs[0].shape, dtype="bool")
    chosen = [condition, *inputs[1:]]
    assert rule_outputs("Where", chosen, {}) == onnx_outputs("Where", chosen, {})


def test_shapes_that_do_not_broadcast_are_refused(rule_outputs: Any) -> None:
    assert rule_outputs("Add", [tensor("a", 2, 3), tensor("b", 2, 4)], {}) is None
    assert rule_outputs("PRelu", [tensor("a", 2, 3), tensor("b", 2, 2, 3)], {}) is None


@settings(max_examples=400, deadline=None)
@given(shape=SHAPES, op_type=st.sampled_from(REDUCTIONS), data=st.data())
def test_reductions_agree_with_onnx(
    shape: tuple[int, ...], op_type: str, data: st.DataObject, onnx_outputs: Any, rule_outputs: Any
) -> None:
    rank = len(shape)
    axes = data.draw(st.lists(st.integers(-rank, -1), max_size=rank, unique=True))
    attributes = {
        "keepdims": data.draw(st.integers(0, 1)),
        "noop_with_empty_axes": data.draw(st.integers(0, 1)),
    }
    x = tensor("x", *shape)
    inputs = [x, ints("axes", *axes)]
    found = rule_outputs(op_type, inputs, attributes)
    assert found == onnx_outputs(op_type, inputs, attributes)
    if axes:
        old = {"axes": tuple(axes), "keepdims": attributes["keepdims"]}
        assert rule_outputs(op_type, [x], old) == found


@settings(max_examples=200, deadline=None)
@given(shape=SHAPES, keepdims=st.integers(0, 1), data=st.data())
def test_arg_reductions_and_top_k_agree_with_onnx(
    shape: tuple[int, ...], keepdims: int, data: st.DataObject, onnx_outputs: Any, rule_outputs: Any
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = tensor("x", *shape)
    attributes = {"axis": axis, "keepdims": keepdims}
    assert rule_outputs("ArgMax", [x], attributes) == onnx_outputs("ArgMax", [x], attributes)
    count = data.draw(st.integers(1, shape[axis]))
    case = ("TopK", [x, ints("k", count)], {"axis": axis})
    assert rule_outputs(*case, outputs=2) == onnx_outputs(*case, outputs=2)
    assert rule_outputs("TopK", [x], {"axis": axis, "k": count}, outputs=2) == rule_outputs(*case, outputs=2)


def test_norms_agree_with_onnx(onnx_outputs: Any, rule_outputs: Any) -> None:
    x, vector = tensor("x", 2, 6, 4, 5), [tensor(name, 6) for name in "abcd"]
    cases: list[tuple[str, list[Tensor], dict[str, Any]]] = [
        ("BatchNormalization", [x, *vector], {}),
        ("InstanceNormalization", [x, *vector[:2]], {}),
        ("LayerNormalization", [x, tensor("s", 5), tensor("b", 5)], {}),
        ("LayerNormalization", [x, tensor("s", 4, 5)], {"axis": 2}),
        ("LRN", [x], {"size": 5}),
        ("LpNormalization", [x], {}),
        ("Softmax", [x], {"axis": 1}),
        ("LogSoftmax", [x], {}),
        ("Hardmax", [x], {}),
        ("PRelu", [x, tensor("s", 6, 1, 1)], {}),
        ("Dropout", [x], {}),
        ("CumSum", [x, ints("axis", 1)], {}),
        ("Identity", [x], {}),
        ("IsNaN", [x], {}),
    ]
    for op_type, inputs, attributes in cases:
        assert rule_outputs(op_type, inputs, attributes) == onnx_outputs(op_type, inputs, attributes), op_type
    norm = ("LayerNormalization", [x, tensor("s", 4, 5)], {"axis": 2})
    assert rule_outputs(*norm, outputs=3) == onnx_outputs(*norm, outputs=3)
    groups = ("GroupNormalization", [x, *vector[:2]], {"num_groups": 3})
    for op_type, inputs, attributes in (groups, ("MeanVarianceNormalization", [x], {})):
        found = rule_outputs(op_type, inputs, attributes)
        assert found == [(x.shape, x.dtype)]  # ONNX itself infers nothing here
    drop = ("Dropout", [x], {})
    assert rule_outputs(*drop, outputs=2) == onnx_outputs(*drop, outputs=2)


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes"),
    [
        ("BatchNormalization", [tensor("x", 1, 6, 4), *(tensor(name, 5) for name in "abcd")], {}),
        ("InstanceNormalization", [tensor("x", 1, 6, 4), tensor("a", 5), tensor("b", 5)], {}),
        ("GroupNormalization", [tensor("x", 1, 6, 4), tensor("a", 6), tensor("b", 6)], {"num_groups": 4}),
        ("LayerNormalization", [tensor("x", 1, 6, 4), tensor("a", 3)], {}),
        ("Softmax", [tensor("x", 1, 6)], {"axis": 2}),
        ("TopK", [tensor("x", 3), ints("k", 4)], {}),
        ("ReduceSum", [tensor("x", 3), ints("axes", 1)], {}),
        ("ReduceSum", [tensor("x", 3, 2), ints("axes", 1, -1)], {}),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    op_type: str, inputs: list[Tensor], attributes: dict[str, Any], rule_outputs: Any
) -> None:
    assert rule_outputs(op_type, inputs, attributes) is None


def test_casts_and_quantisation_change_the_dtype_alone(onnx_outputs: Any, rule_outputs: Any) -> None:
    x, q = tensor("x", 2, 3), tensor("q", 2, 3, dtype="int8")
    scale, zero = tensor("s"), tensor("z", dtype="int8")
    cases: list[tuple[str, list[Tensor], dict[str, Any], int]] = [
        ("Cast", [x], {"to": 10}, 1),
        ("CastLike", [x, q], {}, 1),
        ("QuantizeLinear", [x, scale], {}, 1),
        ("QuantizeLinear", [x, scale, zero], {}, 1),
        ("QuantizeLinear", [x, scale], {"output_dtype": 5}, 1),
        ("DequantizeLinear", [q, scale, zero], {}, 1),
        ("DynamicQuantizeLinear", [x], {}, 3),
        ("Greater", [x, x], {}, 1),
    ]
    for op_type, inputs, attributes, outputs in cases:
        found = rule_outputs(op_type, inputs, attributes, outputs=outputs)
        assert found == onnx_outputs(op_type, inputs, attributes, outputs=outputs), op_type


def test_quantised_sums_broadcast(rule_outputs: Any) -> None:
    a, b = tensor("a", 1, 8, 4, 4, dtype="uint8"), tensor("b", 8, 1, 1, dtype="uint8")
    scale, zero = tensor("s"), tensor("z", dtype="uint8")
    inputs = [a, scale, zero, b, scale, zero, scale, zero]
    assert rule_outputs("QLinearAdd", inputs, {}, domain="com.microsoft") == [((1, 8, 4, 4), "uint8")]
