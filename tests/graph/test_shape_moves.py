"""Operators that move data: the shape rules agree with ONNX's own inference and with NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from annette.graph.network import Layer, Tensor
from annette.graph.shapes import DataDependentShape, infer_outputs

SHAPES = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


def tensor(name: str, *shape: int, dtype: str = "float32") -> Tensor:
    return Tensor(name=name, shape=shape, dtype=dtype)


def ints(name: str, *values: int) -> Tensor:
    return Tensor(name=name, shape=(len(values),), dtype="int64", value=values, is_constant=True)


def floats(name: str, *values: float) -> Tensor:
    return Tensor(name=name, shape=(len(values),), value=values, is_constant=True)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), size=st.integers(1, 7))
def test_slices_keep_what_onnx_says(
    data: st.DataObject, size: int, onnx_outputs: Any, rule_outputs: Any
) -> None:
    bound = st.one_of(st.integers(-12, 12), st.sampled_from([2**63 - 1, -(2**63), 2**31 - 1]))
    start, end = data.draw(bound), data.draw(bound)
    step = data.draw(st.sampled_from([1, 2, 3, -1, -2, -5]))
    axis = data.draw(st.sampled_from([0, 1, -1]))
    shape = [3, 4]
    shape[axis] = size
    inputs = [
        tensor("x", *shape),
        ints("starts", start),
        ints("ends", end),
        ints("axes", axis),
        ints("steps", step),
    ]
    found = rule_outputs("Slice", inputs, {})
    assert found == onnx_outputs("Slice", inputs, {}, opset=13)
    if step == 1:
        old = {"starts": (start,), "ends": (end,), "axes": (axis,)}
        assert rule_outputs("Slice", inputs[:1], old) == found


@settings(max_examples=200, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_reshapes_agree_with_onnx(
    shape: tuple[int, ...], data: st.DataObject, onnx_outputs: Any, rule_outputs: Any
) -> None:
    total = math.prod(shape)
    divisor = data.draw(st.sampled_from([item for item in range(1, total + 1) if total % item == 0]))
    wanted = [divisor, total // divisor]
    if data.draw(st.booleans()):
        wanted[data.draw(st.integers(0, 1))] = -1
    if wanted[0] == shape[0] and data.draw(st.booleans()):
        wanted[0] = 0
    inputs = [tensor("x", *shape), ints("shape", *wanted)]
    assert rule_outputs("Reshape", inputs, {}) == onnx_outputs("Reshape", inputs, {})


def test_reshape_with_allowzero_means_an_empty_axis(onnx_outputs: Any, rule_outputs: Any) -> None:
    inputs = [tensor("x", 0, 3), ints("shape", 3, 0)]
    assert rule_outputs("Reshape", inputs, {"allowzero": 1}) == [((3, 0), "float32")]
    assert rule_outputs("Reshape", inputs, {}) is None  # (3, 3) has more elements


@pytest.mark.parametrize("wanted", [(5, -1), (-1, -1), (4, 4), (2, 3, 4, 0)])
def test_reshapes_that_lose_or_make_elements_are_refused(wanted: tuple[int, ...], rule_outputs: Any) -> None:
    assert rule_outputs("Reshape", [tensor("x", 2, 3, 4), ints("shape", *wanted)], {}) is None


@settings(max_examples=150, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_pads_agree_with_onnx(
    shape: tuple[int, ...], data: st.DataObject, onnx_outputs: Any, rule_outputs: Any
) -> None:
    pads = tuple(data.draw(st.integers(-1, 3)) for _ in range(2 * len(shape)))
    assume(all(size + pads[i] + pads[i + len(shape)] >= 0 for i, size in enumerate(shape)))
    inputs = [tensor("x", *shape), ints("pads", *pads)]
    found = rule_outputs("Pad", inputs, {})
    assert found == onnx_outputs("Pad", inputs, {})
    assert found == rule_outputs("Pad", inputs[:1], {"pads": pads})


def test_pads_of_some_axes_leave_the_others(rule_outputs: Any) -> None:
    inputs = [tensor("x", 1, 3, 4, 5), ints("pads", 1, 2, 3, 4), None, ints("axes", -1, 2)]
    assert rule_outputs("Pad", inputs, {}) == [((1, 3, 10, 9), "float32")]


@settings(max_examples=200, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_transposes_tiles_and_flattens_agree_with_onnx(
    shape: tuple[int, ...], data: st.DataObject, onnx_outputs: Any, rule_outputs: Any
) -> None:
    rank = len(shape)
    perm = tuple(data.draw(st.permutations(range(rank))))
    repeats = tuple(data.draw(st.integers(1, 3)) for _ in range(rank))
    axis = data.draw(st.integers(-rank, rank))
    x = tensor("x", *shape)
    cases: list[tuple[str, list[Tensor], dict[str, Any]]] = [
        ("Transpose", [x], {"perm": perm}),
        ("Transpose", [x], {}),
        ("Tile", [x, ints("repeats", *repeats)], {}),
        ("Flatten", [x], {"axis": axis}),
    ]
    for op_type, inputs, attributes in cases:
        assert rule_outputs(op_type, inputs, attributes) == onnx_outputs(op_type, inputs, attributes), op_type


@settings(max_examples=150, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_unsqueezing_and_squeezing_again_keeps_the_shape(
    shape: tuple[int, ...], data: st.DataObject, onnx_outputs: Any, rule_outputs: Any
) -> None:
    rank = len(shape) + 2
    axes = data.draw(st.lists(st.integers(0, rank - 1), min_size=2, max_size=2, unique=True))
    signed = [axis - rank if data.draw(st.booleans()) else axis for axis in axes]
    inputs = [tensor("x", *shape), ints("axes", *signed)]
    grown = rule_outputs("Unsqueeze", inputs, {})
    assert grown == onnx_outputs("Unsqueeze", inputs, {})
    assert grown == rule_outputs("Unsqueeze", inputs[:1], {"axes": tuple(signed)})
    back = [tensor("x", *grown[0][0]), ints("axes", *signed)]
    assert rule_outputs("Squeeze", back, {}) == [(shape, "float32")]
    assert rule_outputs("Squeeze", back[:1], {})[0][0] == tuple(size for size in shape if size != 1)


@settings(max_examples=200, deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), axis=st.sampled_from([1, -2]))
def test_splitting_undoes_concatenating(
    sizes: list[int], axis: int, onnx_outputs: Any, rule_outputs: Any
) -> None:
    parts = [tensor(f"x{index}", 2, size, 3) for index, size in enumerate(sizes)]
    joined = rule_outputs("Concat", parts, {"axis": axis})
    assert joined == onnx_outputs("Concat", parts, {"axis": axis})
    whole = [tensor("x", *joined[0][0]), ints("split", *sizes)]
    expected = [(part.shape, "float32") for part in parts]
    assert rule_outputs("Split", whole, {"axis": axis}, outputs=len(sizes)) == expected
    old = {"axis": axis, "split": tuple(sizes)}
    assert rule_outputs("Split", whole[:1], old, outputs=len(sizes)) == expected


@settings(max_examples=100, deadline=None)
@given(size=st.integers(1, 20), parts=st.integers(1, 5))
def test_splits_into_a_number_of_parts_agree_with_onnx(
    size: int, parts: int, onnx_outputs: Any, rule_outputs: Any
) -> None:
    assume(-(-size // parts) * (parts - 1) <= size)
    case = ("Split", [tensor("x", size, 2)], {"num_outputs": parts})
    assert rule_outputs(*case, outputs=parts) == onnx_outputs(*case, outputs=parts)
    even = ("Split", [tensor("x", size, 2)], {})
    if size % parts == 0:
        assert rule_outputs(*even, outputs=parts) == onnx_outputs(*even, outputs=parts, opset=13)
    else:
        assert rule_outputs(*even, outputs=parts) is None


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(1, 64),
    scale=st.floats(0.125, 4.0, width=32),
    op_type=st.sampled_from(["Resize", "Upsample"]),
)
def test_scales_resize_as_onnx_says(
    size: int, scale: float, op_type: str, onnx_outputs: Any, rule_outputs: Any
) -> None:
    product = numpy.float32(size) * numpy.float32(scale)
    assume(math.floor(product) == math.floor(size * scale))  # ONNX multiplies exactly, runtimes in float32
    scales = floats("scales", 1.0, 1.0, scale)
    x = tensor("x", 1, 2, size)
    if op_type == "Resize":
        new, opset = [x, None, scales], 13
    else:
        new, opset = [x, scales], 9
    found = rule_outputs(op_type, new, {})
    assert found == onnx_outputs(op_type, new, {}, opset=opset)
    assert rule_outputs("Resize", [x, scales], {}) == found  # opset 10
    assert rule_outputs("Upsample", [x], {"scales": scales.value}) == found  # opset 7


@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    sizes=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    policy=st.sampled_from(["stretch", "not_larger", "not_smaller"]),
)
def test_sizes_resize_as_onnx_says(
    shape: tuple[int, int], sizes: tuple[int, int], policy: str, onnx_outputs: Any, rule_outputs: Any
) -> None:
    inputs = [tensor("x", 1, 3, *shape), None, None, ints("sizes", *sizes)]
    attributes = {"axes": (2, 3), "keep_aspect_ratio_policy": policy}
    expected = onnx_outputs("Resize", inputs, attributes, opset=19)
    assume(-1 not in expected[0][0])  # ONNX says nothing where the rounded size is 0
    assert rule_outputs("Resize", inputs, attributes) == expected


@settings(max_examples=200, deadline=None)
@given(shape=SHAPES, indices=SHAPES, data=st.data())
def test_gathers_agree_with_onnx(
    shape: tuple[int, ...],
    indices: tuple[int, ...],
    data: st.DataObject,
    onnx_outputs: Any,
    rule_outputs: Any,
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    inputs = [tensor("x", *shape), tensor("i", *indices, dtype="int64")]
    assert rule_outputs("Gather", inputs, {"axis": axis}) == onnx_outputs("Gather", inputs, {"axis": axis})
    depth = data.draw(st.integers(1, len(shape)))
    nested = [inputs[0], tensor("i", *indices, depth, dtype="int64")]
    assert rule_outputs("GatherND", nested, {}) == onnx_outputs("GatherND", nested, {})


@settings(max_examples=150, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_expands_broadcast_both_ways(
    shape: tuple[int, ...], data: st.DataObject, onnx_outputs: Any, rule_outputs: Any
) -> None:
    other = tuple(size if data.draw(st.booleans()) else 1 for size in shape)
    inputs = [
        tensor("x", *other),
        ints("shape", *data.draw(st.sampled_from([shape, shape[-1:], (2, *shape)]))),
    ]
    expected = numpy.broadcast_shapes(other, tuple(inputs[1].value or ()))
    assert rule_outputs("Expand", inputs, {}) == onnx_outputs("Expand", inputs, {}) == [(expected, "float32")]


def test_other_moves_agree_with_onnx(onnx_outputs: Any, rule_outputs: Any) -> None:
    x = tensor("x", 2, 8, 4, 6)
    index = tensor("i", 2, 3, 4, 6, dtype="int64")
    scalar = [
        Tensor(name=name, shape=(), dtype="int64", value=(value,))
        for name, value in (("a", 3), ("b", 20), ("c", 4))
    ]
    cases: list[tuple[str, list[Tensor], dict[str, Any]]] = [
        ("DepthToSpace", [x], {"blocksize": 2}),
        ("SpaceToDepth", [x], {"blocksize": 2}),
        ("GatherElements", [x, index], {"axis": 1}),
        ("ScatterElements", [x, index, tensor("u", 2, 3, 4, 6)], {"axis": 1}),
        ("ScatterND", [x, tensor("i", 5, 2, dtype="int64"), tensor("u", 5, 4, 6)], {}),
        ("Shape", [x], {}),
        ("Shape", [x], {"start": 1, "end": -1}),
        ("Shape", [x], {"start": -3}),
        ("Size", [x], {}),
        ("Range", scalar, {}),
        ("Trilu", [x], {}),
        ("EyeLike", [tensor("x", 3, 4)], {"dtype": 6}),
        ("ReverseSequence", [x, tensor("l", 8, dtype="int64")], {}),
        ("RandomNormal", [], {"shape": (2, 3)}),
        ("CenterCropPad", [x, ints("s", 5, 5)], {"axes": (2, 3)}),
        ("ConstantOfShape", [ints("s", 2, 3)], {}),
        (
            "OneHot",
            [
                tensor("i", 2, 3, dtype="int64"),
                Tensor(name="d", shape=(), dtype="int64", value=(7,)),
                floats("v", 0.0, 1.0),
            ],
            {"axis": 1},
        ),
        ("Constant", [], {"value_ints": (1, 2, 3)}),
        ("Constant", [], {"value_float": 1.5}),
    ]
    for op_type, inputs, attributes in cases:
        assert rule_outputs(op_type, inputs, attributes) == onnx_outputs(op_type, inputs, attributes), op_type


@pytest.mark.parametrize(
    ("op_type", "inputs"),
    [
        ("NonZero", (tensor("x", 3),)),
        ("Reshape", (tensor("x", 6), tensor("s", 2, dtype="int64"))),
        ("Expand", (tensor("x", 1), tensor("s", 2, dtype="int64"))),
    ],
)
def test_shapes_that_depend_on_unknown_contents_are_said_so(op_type: str, inputs: tuple[Tensor, ...]) -> None:
    layer = Layer(name="late", op_type=op_type, inputs=tuple(item.name for item in inputs), outputs=("y",))
    with pytest.raises(DataDependentShape, match="layer 'late'"):
        infer_outputs(layer, {item.name: item for item in inputs})


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes", "largest"),
    [
        ("NonZero", [tensor("x", 3, 4)], {}, [((2, 12), "int64")]),
        ("NonZero", [tensor("x")], {}, [((1, 1), "int64")]),
        ("Compress", [tensor("x", 3, 4), tensor("c", 2, dtype="bool")], {"axis": 1}, [((3, 2), "float32")]),
        ("Compress", [tensor("x", 3, 4), tensor("c", 20, dtype="bool")], {}, [((12,), "float32")]),
        ("Unique", [tensor("x", 3, 4)], {}, [((12,), "float32"), *[((12,), "int64")] * 3]),
        ("Unique", [tensor("x", 3, 4)], {"axis": 0}, [((3, 4), "float32"), *[((3,), "int64")] * 3]),
        ("NonMaxSuppression", [tensor("b", 2, 9, 4), tensor("s", 2, 5, 9)], {}, [((90, 3), "int64")]),
        (
            "NonMaxSuppression",
            [tensor("b", 2, 9, 4), tensor("s", 2, 5, 9), ints("most", 4)],
            {},
            [((40, 3), "int64")],
        ),
    ],
)
def test_a_selection_by_contents_says_how_much_it_can_be_at_most(
    op_type: str, inputs: list[Tensor], attributes: Any, largest: Any
) -> None:
    layer = Layer(
        name="select",
        op_type=op_type,
        inputs=tuple(item.name for item in inputs),
        outputs=("y",),
        attributes=tuple(attributes.items()),
    )
    with pytest.raises(DataDependentShape) as caught:
        infer_outputs(layer, {item.name: item for item in inputs})
    assert list(caught.value.largest) == largest
