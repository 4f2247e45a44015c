"""Constant folding computes what ONNX's reference does, and stays small."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from onnx.reference import ReferenceEvaluator

from annette.errors import GraphError
from annette.graph.constant_folding import FOLDING_RULES, MAX_FOLDED_ELEMENTS, fold_layer
from annette.graph.network import Layer


def fold(op_type: str, *inputs: Any, outputs: int = 1, results: Any = None, **attributes: Any) -> Any:
    layer = Layer(
        name="layer",
        op_type=op_type,
        inputs=tuple("" if item is None else f"x{index}" for index, item in enumerate(inputs)),
        outputs=tuple(f"y{index}" for index in range(outputs)),
        attributes=tuple(
            (key, tuple(item) if isinstance(item, list) else item) for key, item in attributes.items()
        ),
    )
    return fold_layer(layer, [None if item is None else numpy.asarray(item) for item in inputs], results)


def reference(op_type: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> list[Any]:
    names = ["" if item is None else f"x{index}" for index, item in enumerate(inputs)]
    node = helper.make_node(op_type, names, [f"y{index}" for index in range(outputs)], **attributes)
    feeds = {name: numpy.asarray(item) for name, item in zip(names, inputs, strict=True) if name}
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(item.dtype), item.shape)
            for name, item in feeds.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in node.output],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    return list(ReferenceEvaluator(model).run(None, feeds))


INTS = numpy.array([[3, -7, 5], [2, 9, -4]])
SHAPE = numpy.array([1, 64, 56, 56])
FLOATS = numpy.array([[0.5, 2.0, 1.5], [4.0, 0.25, 9.0]], dtype=numpy.float32)
BOOLS = numpy.array([True, False, True])


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes"),
    [
        ("Abs", [INTS], {}),
        ("Add", [INTS, 3], {}),
        ("And", [BOOLS, ~BOOLS], {}),
        ("ArgMax", [INTS], {"axis": 1}),
        ("Clip", [INTS, None, 4], {}),
        ("Concat", [SHAPE, [7]], {"axis": 0}),
        ("CumSum", [SHAPE, 0], {}),
        ("Div", [INTS, 2], {}),
        ("Div", [FLOATS, numpy.float32(3)], {}),
        ("Equal", [SHAPE, [1, 2, 56, 7]], {}),
        ("Expand", [INTS, [2, 1, 3]], {}),
        ("Flatten", [INTS], {"axis": 1}),
        ("Floor", [FLOATS], {}),
        ("Gather", [SHAPE, [3, -2]], {"axis": 0}),
        ("Gather", [INTS, 1], {"axis": 1}),
        ("GatherElements", [INTS, [[0, 0, 2], [1, 1, 0]]], {"axis": 1}),
        ("GatherND", [INTS, [[0, 1], [1, 2]]], {}),
        ("Greater", [SHAPE, 56], {}),
        ("Less", [SHAPE, 56], {}),
        ("Max", [SHAPE, [60]], {}),
        ("Min", [SHAPE, [60]], {}),
        ("Mod", [INTS, 4], {}),
        ("Mod", [INTS, 4], {"fmod": 1}),
        ("Mul", [INTS, INTS], {}),
        ("Neg", [INTS], {}),
        ("NonZero", [INTS], {}),
        ("Not", [BOOLS], {}),
        ("Pow", [FLOATS, numpy.float32(2)], {}),
        ("Range", [2, 11, 3], {}),
        ("Range", [numpy.float32(5), numpy.float32(0), numpy.float32(-2)], {}),
        ("Reciprocal", [FLOATS], {}),
        ("ReduceMax", [INTS, [1]], {"keepdims": 0}),
        ("ReduceProd", [SHAPE], {"keepdims": 0}),
        ("ReduceSum", [INTS, [0]], {}),
        ("Reshape", [INTS, [-1, 2]], {}),
        ("Reshape", [INTS, [0, 1, -1]], {}),
        ("Round", [FLOATS], {}),
        ("ScatterND", [SHAPE, [[1], [3]], [5, 6]], {}),
        ("Slice", [SHAPE, [1], [3]], {}),
        ("Slice", [SHAPE, [-1], [-9], [0], [-1]], {}),
        ("Slice", [INTS, [0, 1], [9, 9], [1, 0], [2, 1]], {}),
        ("Sqrt", [FLOATS], {}),
        ("Squeeze", [INTS[:1], [0]], {}),
        ("Sub", [SHAPE, 1], {}),
        ("Sum", [INTS, INTS, INTS], {}),
        ("Tile", [INTS, [2, 1]], {}),
        ("Transpose", [INTS], {"perm": [1, 0]}),
        ("Transpose", [INTS], {}),
        ("Trilu", [INTS], {"upper": 0}),
        ("Unsqueeze", [SHAPE, [0, 2]], {}),
        ("Where", [BOOLS, [1, 2, 3], [7, 8, 9]], {}),
        ("Xor", [BOOLS, ~BOOLS], {}),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_results_are_those_of_onnxs_reference(op_type: str, inputs: list[Any], attributes: Any) -> None:
    given_inputs = [None if item is None else numpy.asarray(item) for item in inputs]
    (found,) = fold(op_type, *given_inputs, **attributes)
    (expected,) = reference(op_type, *given_inputs, **attributes)
    assert found.shape == numpy.shape(expected)
    numpy.testing.assert_allclose(found.astype(float), numpy.asarray(expected, dtype=float), rtol=1e-6)


@given(st.integers(-100, 100), st.integers(-20, 20).filter(bool))
def test_integers_are_divided_towards_zero(a: int, b: int) -> None:
    (found,) = fold("Div", a, b)
    assert int(found) == int(a / b)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 3))
def test_a_split_put_together_is_the_whole(sizes: list[int], extra: int) -> None:
    whole = numpy.arange(sum(sizes))
    results = [((size,), "int64") for size in sizes]
    parts = fold("Split", whole, sizes, outputs=len(sizes), results=results, axis=0)
    assert [part.shape for part in parts] == [(size,) for size in sizes]
    assert numpy.concatenate(parts).tolist() == whole.tolist()


def test_results_take_the_inferred_dtype() -> None:
    (found,) = fold("Cast", FLOATS, results=[((2, 3), "int64")], to=7)
    assert found.dtype == numpy.int64
    assert found.tolist() == [[0, 2, 1], [4, 0, 9]]


@pytest.mark.parametrize(
    ("op_type", "inputs"),
    [
        ("Gather", [SHAPE, 9]),
        ("Div", [SHAPE, 0]),
        ("Mod", [SHAPE, 0]),
        ("Reshape", [INTS, [4, 4]]),
        ("Range", [0, 5, 0]),
        ("Unsqueeze", [SHAPE, [0, 0]]),
        ("Where", [BOOLS, None, [1]]),
        ("Squeeze", [INTS, [0]]),
    ],
)
def test_contents_that_do_not_fit_the_operator_are_an_error(op_type: str, inputs: list[Any]) -> None:
    with pytest.raises(GraphError, match=f"layer 'layer' \\({op_type}\\): cannot be computed"):
        fold(op_type, *inputs)


def test_large_results_are_not_computed() -> None:
    size = MAX_FOLDED_ELEMENTS + 1
    assert fold("Expand", [1], [size], results=[((size,), "int64")]) is None
    assert fold("Range", 0, 10**12, 1) is None


def test_operators_without_a_rule_and_of_other_domains_are_not_computed() -> None:
    assert fold("Conv", FLOATS, FLOATS) is None
    layer = Layer(name="a", op_type="Add", domain="custom", inputs=("x", "x"), outputs=("y",))
    assert fold_layer(layer, [SHAPE, SHAPE]) is None


def test_every_rule_is_named_after_an_operator_of_onnx() -> None:
    from onnx import defs

    assert FOLDING_RULES.keys() <= {schema.name for schema in defs.get_all_schemas()}
