"""Shape inference as a whole: errors, omitted outputs, domains."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import GraphError
from annette.graph.network import Layer, Tensor
from annette.graph.shapes import SHAPE_RULES, DataDependentShape, UnknownOperator, infer_outputs

INT_ATTRIBUTES = (
    "axis", "group", "num_heads", "q_num_heads", "kv_num_heads", "blocksize", "batch_dims", "keepdims",
    "transA", "num_outputs", "num_groups", "to", "ceil_mode", "channels_last", "layout", "hidden_size",
    "k", "K", "N",
)  # fmt: skip
LIST_ATTRIBUTES = (
    "kernel_shape", "strides", "pads", "dilations", "perm", "axes", "split", "starts", "ends", "output_shape",
    "output_padding", "pooled_shape", "scales", "shape", "qkv_hidden_sizes",
)  # fmt: skip
X = Tensor(name="x", shape=(1, 3, 8, 8))


def test_an_unknown_operator_is_named_in_the_error() -> None:
    layer = Layer(name="odd", op_type="Wobble", domain="org.example", inputs=("x",), outputs=("y",))
    with pytest.raises(UnknownOperator, match=r"layer 'odd'.*'Wobble' of domain 'org\.example'"):
        infer_outputs(layer, {"x": X})


def test_an_operator_of_another_domain_is_not_taken_for_onnx_s() -> None:
    layer = Layer(name="odd", op_type="Relu", domain="org.example", inputs=("x",), outputs=("y",))
    with pytest.raises(UnknownOperator):
        infer_outputs(layer, {"x": X})


def test_a_contents_dependent_shape_is_an_unknown_operator_too() -> None:
    assert issubclass(DataDependentShape, UnknownOperator)
    assert issubclass(UnknownOperator, GraphError)


def test_errors_name_the_layer_the_shapes_and_what_was_expected() -> None:
    layer = Layer(name="conv_7", op_type="Conv", inputs=("x", "w"), outputs=("y",))
    weight = Tensor(name="w", shape=(4, 5, 3, 3), is_constant=True)
    with pytest.raises(GraphError) as caught:
        infer_outputs(layer, {"x": X, "w": weight})
    message = str(caught.value)
    assert "conv_7" in message
    assert "(1, 3, 8, 8), (4, 5, 3, 3)" in message
    assert "expected in-channels" in message
    assert "\n" not in message


def test_a_missing_input_is_named() -> None:
    layer = Layer(name="add", op_type="Add", inputs=("x", "ghost"), outputs=("y",))
    with pytest.raises(GraphError, match="'ghost'"):
        infer_outputs(layer, {"x": X})


def test_omitted_outputs_are_left_out() -> None:
    layer = Layer(name="pool", op_type="MaxPool", inputs=("x",), outputs=("", "where"),
                  attributes=(("kernel_shape", (2, 2)),))  # fmt: skip
    (found,) = infer_outputs(layer, {"x": X})
    assert (found.name, found.dtype) == ("where", "int64")


def test_more_outputs_than_the_operator_has_are_refused() -> None:
    layer = Layer(name="act", op_type="Relu", inputs=("x",), outputs=("y", "z"))
    with pytest.raises(GraphError, match="at most 1 outputs"):
        infer_outputs(layer, {"x": X})


def test_computed_tensors_are_no_constants() -> None:
    constant = Tensor(name="x", shape=(2,), dtype="int64", value=(3, 4), is_constant=True)
    layer = Layer(name="act", op_type="Abs", inputs=("x",), outputs=("y",))
    (found,) = infer_outputs(layer, {"x": constant})
    assert not found.is_constant
    assert found.value is None


@pytest.mark.parametrize("domain", sorted(SHAPE_RULES))
def test_every_rule_answers_a_layer_without_inputs_with_a_graph_error(domain: str) -> None:
    for op_type in SHAPE_RULES[domain]:
        layer = Layer(name="bare", op_type=op_type, domain=domain, outputs=("y",))
        if op_type.startswith("Constant"):
            continue
        with pytest.raises(GraphError):
            infer_outputs(layer, {})


@settings(max_examples=300, deadline=None)
@given(
    domain=st.sampled_from(sorted(SHAPE_RULES)),
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=5).map(tuple), max_size=6),
    numbers=st.dictionaries(st.sampled_from(INT_ATTRIBUTES), st.integers(-3, 5), max_size=4),
    lists=st.dictionaries(
        st.sampled_from(LIST_ATTRIBUTES), st.lists(st.integers(-2, 4), max_size=4).map(tuple), max_size=4
    ),
    data=st.data(),
)
def test_every_rule_answers_anything_with_shapes_or_a_graph_error(
    domain: str,
    shapes: list[tuple[int, ...]],
    numbers: dict[str, int],
    lists: dict[str, tuple[int, ...]],
    data: st.DataObject,
) -> None:
    tensors = {f"x{index}": Tensor(name=f"x{index}", shape=shape) for index, shape in enumerate(shapes)}
    if shapes and data.draw(st.booleans()):
        values = data.draw(st.lists(st.integers(-2, 4), max_size=4).map(tuple))
        tensors["x1"] = Tensor(name="x1", shape=(len(values),), dtype="int64", value=values)
    layer = Layer(
        name="any",
        op_type=data.draw(st.sampled_from(sorted(SHAPE_RULES[domain]))),
        domain=domain,
        inputs=tuple(tensors),
        outputs=("y",),
        attributes=(*numbers.items(), *lists.items()),
    )
    with contextlib.suppress(GraphError):
        (found,) = infer_outputs(layer, tensors)
        assert found.name == "y"
