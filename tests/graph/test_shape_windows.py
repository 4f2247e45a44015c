"""Convolutions and pools: the shape rules agree with ONNX's own inference."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.graph.network import Tensor


def tensor(name: str, *shape: int, dtype: str = "float32", value: tuple[Any, ...] | None = None) -> Tensor:
    return Tensor(name=name, shape=shape, dtype=dtype, value=value)


@st.composite
def windows(draw: st.DrawFn, *, pool: bool) -> tuple[tuple[int, ...], dict[str, Any], tuple[int, ...]]:
    """Spatial sizes, attributes and kernel of a convolution or pool over one to three axes."""
    rank = draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    kernel, spatial = each(1, 4), each(1, 12)
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": each(1, 3), "dilations": each(1, 2)}
    auto_pad = draw(st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if auto_pad == "NOTSET":
        # A pool may not have a whole window in the padding.
        attributes["pads"] = tuple(draw(st.integers(0, (size - 1) if pool else 3)) for size in kernel * 2)
    else:
        attributes["auto_pad"] = auto_pad
    return spatial, attributes, kernel


def fits(spatial: tuple[int, ...], attributes: dict[str, Any]) -> bool:
    """Whether the dilated kernel lies within the padded input; where not, ONNX's answer is no shape."""
    if attributes.get("auto_pad", "").startswith("SAME"):
        return True
    rank = len(spatial)
    pads = attributes.get("pads", (0,) * 2 * rank)
    return all(
        spatial[i] + pads[i] + pads[i + rank]
        > (attributes["kernel_shape"][i] - 1) * attributes["dilations"][i]
        for i in range(rank)
    )


@settings(max_examples=300, deadline=None)
@given(window=windows(pool=False), groups=st.sampled_from([1, 2, 3]), per_group=st.integers(1, 3))
def test_convolutions_have_the_shape_that_onnx_says(
    window: Any, groups: int, per_group: int, onnx_outputs: Any, rule_outputs: Any
) -> None:
    spatial, attributes, kernel = window
    inputs = [
        tensor("x", 2, groups * per_group, *spatial),
        tensor("w", groups * 2, per_group, *kernel),
    ]
    attributes = {**attributes, "group": groups}
    found = rule_outputs("Conv", inputs, attributes)
    if fits(spatial, attributes):
        assert found == onnx_outputs("Conv", inputs, attributes)
    else:
        assert found is None


@settings(max_examples=400, deadline=None)
@given(
    window=windows(pool=True),
    ceil_mode=st.booleans(),
    op_type=st.sampled_from(["MaxPool", "AveragePool", "LpPool"]),
)
def test_pools_have_the_shape_that_onnx_says(
    window: Any, ceil_mode: bool, op_type: str, onnx_outputs: Any, rule_outputs: Any
) -> None:
    spatial, attributes, _ = window
    inputs = [tensor("x", 1, 4, *spatial)]
    attributes = {**attributes, "ceil_mode": int(ceil_mode)}
    found = rule_outputs(op_type, inputs, attributes)
    if fits(spatial, attributes):
        # Before opset 22 ONNX's inference counted windows that start in the padding at the end.
        assert found == onnx_outputs(op_type, inputs, attributes, opset=22)
    else:
        assert found is None


@settings(max_examples=300, deadline=None)
@given(window=windows(pool=False), data=st.data())
def test_transposed_convolutions_have_the_shape_that_onnx_says(
    window: Any, data: st.DataObject, onnx_outputs: Any, rule_outputs: Any
) -> None:
    spatial, attributes, kernel = window
    attributes = dict(attributes)
    if "auto_pad" not in attributes:
        attributes["output_padding"] = tuple(
            data.draw(st.integers(0, step - 1)) for step in attributes["strides"]
        )
    if data.draw(st.booleans()):
        attributes.pop("pads", None)
        attributes["output_shape"] = tuple(
            size * step for size, step in zip(spatial, attributes["strides"], strict=True)
        )
    groups = data.draw(st.sampled_from([1, 2]))
    attributes["group"] = groups
    inputs = [tensor("x", 2, 4, *spatial), tensor("w", 4, 3, *kernel)]
    found = rule_outputs("ConvTranspose", inputs, attributes)
    if attributes.get("auto_pad", "").startswith("SAME"):
        # The operator's text says input * stride; ONNX's inference pads as for a convolution.
        grown = tuple(size * step for size, step in zip(spatial, attributes["strides"], strict=True))
        assert found == [((2, 3 * groups, *grown), "float32")]
        return
    expected = onnx_outputs("ConvTranspose", inputs, attributes)
    if found is None:
        assert expected is None or min(expected[0][0]) < 1
    else:
        assert found == expected


@pytest.mark.parametrize("op_type", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
@pytest.mark.parametrize("spatial", [(5,), (5, 7), (2, 3, 4)])
def test_global_pools_leave_one_position(
    op_type: str, spatial: tuple[int, ...], onnx_outputs: Any, rule_outputs: Any
) -> None:
    inputs = [tensor("x", 2, 6, *spatial)]
    assert rule_outputs(op_type, inputs, {}) == onnx_outputs(op_type, inputs, {})


def test_max_pool_hands_out_indices(onnx_outputs: Any, rule_outputs: Any) -> None:
    case = ("MaxPool", [tensor("x", 1, 2, 6, 6)], {"kernel_shape": (2, 2), "strides": (2, 2)})
    assert rule_outputs(*case, outputs=2) == onnx_outputs(*case, outputs=2)
    assert rule_outputs(*case, outputs=2)[1][1] == "int64"


def test_a_last_window_that_starts_in_the_padding_is_dropped(rule_outputs: Any) -> None:
    attributes = {"kernel_shape": (1,), "strides": (2,), "pads": (0, 1), "ceil_mode": 1}
    # Windows start at 0, 2 and 4; position 4 is padding alone.
    assert rule_outputs("MaxPool", [tensor("x", 1, 1, 4)], attributes) == [((1, 1, 2), "float32")]


def test_quantised_convolutions_have_the_shape_of_plain_ones(onnx_outputs: Any, rule_outputs: Any) -> None:
    attributes = {"kernel_shape": (3, 2), "pads": (1, 0, 0, 1), "strides": (2, 1)}
    x, w = tensor("x", 1, 3, 9, 8, dtype="uint8"), tensor("w", 4, 3, 3, 2, dtype="int8")
    scale, zero = tensor("s"), tensor("z", dtype="uint8")
    w_zero = tensor("wz", dtype="int8")
    inputs = [x, scale, zero, w, scale, w_zero, scale, zero]
    named = [
        Tensor(name=f"i{index}", shape=item.shape, dtype=item.dtype) for index, item in enumerate(inputs)
    ]
    assert rule_outputs("QLinearConv", named, attributes) == onnx_outputs("QLinearConv", named, attributes)
    pair = [x, w]
    assert rule_outputs("ConvInteger", pair, attributes) == onnx_outputs("ConvInteger", pair, attributes)


def test_sampling_on_a_grid_and_regions_agree_with_onnx(onnx_outputs: Any, rule_outputs: Any) -> None:
    cases: list[tuple[str, list[Tensor], dict[str, Any]]] = [
        ("GridSample", [tensor("x", 2, 3, 8, 9), tensor("g", 2, 4, 5, 2)], {}),
        (
            "RoiAlign",
            [tensor("x", 2, 3, 8, 9), tensor("r", 7, 4), tensor("b", 7, dtype="int64")],
            {"output_height": 5, "output_width": 6},
        ),
        ("MaxRoiPool", [tensor("x", 2, 3, 8, 9), tensor("r", 7, 5)], {"pooled_shape": (5, 6)}),
        (
            "MaxUnpool",
            [tensor("x", 1, 2, 3, 3), tensor("i", 1, 2, 3, 3, dtype="int64")],
            {"kernel_shape": (2, 2), "strides": (2, 2)},
        ),
        (
            "Col2Im",
            [
                tensor("x", 1, 20, 12),
                tensor("i", 2, dtype="int64", value=(5, 6)),
                tensor("b", 2, dtype="int64", value=(2, 2)),
            ],
            {},
        ),
        ("AffineGrid", [tensor("t", 2, 2, 3), tensor("s", 4, dtype="int64", value=(2, 3, 5, 6))], {}),
        (
            "DeformConv",
            [tensor("x", 1, 2, 6, 6), tensor("w", 4, 2, 3, 3), tensor("o", 1, 18, 4, 4)],
            {"kernel_shape": (3, 3)},
        ),
    ]
    for op_type, inputs, attributes in cases:
        assert rule_outputs(op_type, inputs, attributes) == onnx_outputs(op_type, inputs, attributes), op_type


@pytest.mark.parametrize(
    ("inputs", "attributes"),
    [
        ([tensor("x", 1, 3, 8, 8), tensor("w", 4, 2, 3, 3)], {}),
        ([tensor("x", 1, 4, 8, 8), tensor("w", 3, 2, 3, 3)], {"group": 2}),
        ([tensor("x", 1, 3, 8, 8), tensor("w", 4, 3, 3, 3)], {"kernel_shape": (5, 5)}),
        ([tensor("x", 1, 3, 2, 2), tensor("w", 4, 3, 3, 3)], {}),
        ([tensor("x", 1, 3, 8, 8), tensor("w", 4, 3, 3, 3)], {"strides": (0, 1)}),
        ([tensor("x", 1, 3, 8, 8), tensor("w", 4, 3, 3, 3)], {"pads": (1, 1)}),
        ([tensor("x", 3, 8), tensor("w", 4, 3)], {}),
    ],
)
def test_convolutions_that_do_not_fit_are_refused(
    inputs: list[Tensor], attributes: dict[str, Any], rule_outputs: Any
) -> None:
    assert rule_outputs("Conv", inputs, attributes) is None
