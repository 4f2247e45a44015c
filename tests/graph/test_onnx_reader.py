"""The ONNX reader: real exports, bound dimensions, folding, branches, old opsets, and damage of all kinds."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from annette.errors import GraphError
from annette.graph.network import Network
from annette.graph.onnx_reader import network_from_onnx_bytes, read_onnx
from annette.graph.work import network_work

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
EXPORTED = Path(__file__).parents[1] / "data" / "onnx"
Shapes = dict[str, tuple[int, ...]]

EXPORTED_CASES: dict[str, tuple[Shapes, int]] = {
    "bert": ({"input_ids": (1, 16)}, 1_114_112),
    "gpt": ({"tokens": (1, 16)}, 2_150_400),
    "mobile": ({}, 3_445_728),
    "recurrent": ({"tokens": (2, 20)}, 1_290_560),
    "residual": ({"image": (2, 3, 64, 64)}, 26_423_808),
    "speech": ({"features": (2, 40, 101)}, 906_240),
    "unet": ({"image": (1, 1, 64, 64)}, 26_411_008),
    "vit": ({"image": (2, 3, 32, 32)}, 2_286_912),
}
"""Shapes that bind the dynamic dimensions, and MACs; some of them are also written out below."""


def value(name: str, shape: list[Any] | None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def weight(name: str, array: Any, dtype: Any = numpy.float32) -> TensorProto:
    return numpy_helper.from_array(numpy.asarray(array, dtype), name)


def model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto] | None = None,
    outputs: list[str] | None = None,
    weights: list[TensorProto] | None = None,
    opset: int = 18,
    **more: Any,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [value("x", [1, 8, 4, 4])] if inputs is None else inputs,
        [value(name, None) for name in outputs or ["y"]],
        initializer=weights or [],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("custom", 1)]
    return helper.make_model(graph, opset_imports=imports, **more)


def read(proto: onnx.ModelProto, **options: Any) -> Network:
    return network_from_onnx_bytes(proto.SerializeToString(), "model", **options)


def op_types(network: Network) -> list[str]:
    return [layer.op_type for layer in network.layers]


# Real files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gmacs", "mparams"),
    [
        ("bvlc_alexnet", 0.655, 60.97),
        ("densenet121", 2.834, 8.06),
        ("inception_v1", 1.432, 7.00),
        ("inception_v2", 2.019, 11.21),
        ("resnet50", 4.089, 25.56),
        ("shufflenet", 0.1247, 1.393),
        ("squeezenet", 0.349, 1.235),
        ("vgg19", 19.632, 143.67),
        ("zfnet512", 1.482, 87.25),
    ],
)
def test_the_nine_models_inside_the_onnx_wheel_read_with_their_weights(
    name: str, gmacs: float, mparams: float
) -> None:
    network = read_onnx(LIGHT / f"light_{name}.onnx")
    work = network_work(network)
    assert work.macs / 1e9 == pytest.approx(gmacs, rel=1e-3)
    assert work.params / 1e6 == pytest.approx(mparams, rel=1e-3)
    assert len(network.inputs) == 1
    assert "ConstantOfShape" not in op_types(network)
    for layer in network.layers:
        if layer.op_type in ("Conv", "Gemm", "BatchNormalization"):
            assert len(network.activation_inputs(layer)) == 1
            assert all(tensor.value is None for tensor in network.constant_inputs(layer))


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
@pytest.mark.parametrize("name", EXPORTED_CASES)
def test_models_exported_from_torch_read_with_the_right_macs(name: str, exporter: str) -> None:
    shapes, macs = EXPORTED_CASES[name]
    network = read_onnx(EXPORTED / f"{name}_{exporter}.onnx", shapes=shapes)
    assert network_work(network).macs == macs
    assert not {"Shape", "Constant", "ConstantOfShape", "If", "Range"}.intersection(op_types(network))


def test_macs_of_transformers_are_those_of_their_matrices() -> None:
    def block(width: int, hidden: int, tokens: int) -> int:
        return tokens * (4 * width**2 + 2 * width * hidden) + 2 * tokens**2 * width

    assert EXPORTED_CASES["bert"][1] == 2 * block(64, 128, 16)
    assert EXPORTED_CASES["gpt"][1] == 2 * block(64, 256, 16) + 16 * 64 * 500
    patches = 16 * 48 * 3 * 8 * 8
    assert EXPORTED_CASES["vit"][1] == 2 * (2 * block(48, 192, 17) + patches + 48 * 10)


def test_macs_grow_with_the_batch() -> None:
    path = EXPORTED / "residual_dynamo.onnx"
    one, four = (network_work(read_onnx(path, batch=batch)).macs for batch in (1, 4))
    assert four == 4 * one


def test_reading_is_fast_enough_for_estimates() -> None:
    path = LIGHT / "light_resnet50.onnx"
    read_onnx(path)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        read_onnx(path)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.2  # about 0.02 on an idle core


# Dynamic dimensions ------------------------------------------------------------------------------------

RELU = helper.make_node("Relu", ["x"], ["y"])


def test_unbound_dimensions_are_one_error_that_names_them_and_the_way_out() -> None:
    nodes = [RELU, helper.make_node("Relu", ["mask"], ["z"])]
    inputs = [value("x", ["batch", 3, None, 224]), value("mask", ["batch", "length"])]
    with pytest.raises(GraphError) as caught:
        read(model(nodes, inputs, ["y", "z"]))
    text = str(caught.value)
    assert "x (batch, 3, ?, 224)" in text
    assert "mask (batch, length)" in text
    assert "--shape x=1,3,1,224" in text
    assert "\n" not in text


def test_a_dynamic_first_dimension_alone_can_be_bound_by_batch() -> None:
    proto = model([RELU], [value("x", ["n", 3, 8, 8])])
    with pytest.raises(GraphError, match="--batch 1"):
        read(proto)
    assert read(proto, batch=5).tensors["y"].shape == (5, 3, 8, 8)


def test_a_symbol_that_one_shape_binds_is_bound_everywhere() -> None:
    nodes = [RELU, helper.make_node("Relu", ["mask"], ["z"])]
    inputs = [value("x", ["batch", "length", 4]), value("mask", ["batch", "length"])]
    network = read(model(nodes, inputs, ["y", "z"]), shapes={"x": (2, 7, 4)})
    assert network.tensors["mask"].shape == (2, 7)
    with pytest.raises(GraphError, match="'length' is given as 7 and as 8"):
        read(model(nodes, inputs, ["y", "z"]), shapes={"x": (2, 7, 4), "mask": (2, 8)})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shapes": {"image": (1, 3)}}, "'image', which is no input; its inputs are x"),
        ({"shapes": {"x": (1, 3)}}, "expected 4 dimensions"),
        ({"shapes": {"x": (1, 0, 4, 4)}}, "integers >= 1"),
        ({"batch": 0}, "at least 1"),
        ({"batch": 4}, "first dimension of every input is fixed"),
    ],
)
def test_shapes_that_do_not_fit_the_inputs_are_errors(options: dict[str, Any], words: str) -> None:
    with pytest.raises(GraphError, match=words):
        read(model([RELU]), **options)


def test_fixed_dimensions_can_be_overridden_as_long_as_the_layers_fit() -> None:
    network = read(model([RELU]), shapes={"x": (2, 8, 9, 9)})
    assert network.tensors["y"].shape == (2, 8, 9, 9)
    reshape = helper.make_node("Reshape", ["x", "s"], ["y"])
    proto = model([reshape], weights=[weight("s", [1, 128], numpy.int64)])
    assert read(proto).tensors["y"].shape == (1, 128)
    with pytest.raises(GraphError, match="model: layer 'Reshape'"):
        read(proto, shapes={"x": (2, 8, 4, 4)})


def test_an_input_without_any_shape_needs_one() -> None:
    proto = model([RELU], [value("x", None)])
    with pytest.raises(GraphError, match="shape not in the file"):
        read(proto)
    assert read(proto, shapes={"x": (2, 3)}).tensors["y"].shape == (2, 3)


def test_weights_that_are_listed_as_inputs_are_weights() -> None:
    inputs = [value("x", [1, 8]), value("w", [8, 4])]
    proto = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], inputs, weights=[weight("w", numpy.ones((8, 4)))]
    )
    network = read(proto)
    assert network.inputs == ("x",)
    assert network.tensors["w"].is_constant


# Constants ---------------------------------------------------------------------------------------------


def test_shape_arithmetic_folds_away_with_what_served_it_only() -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2, 3]),
        helper.make_node("Shape", ["t"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["c"]),
        helper.make_node("Unsqueeze", ["c", "axes"], ["c1"]),
        helper.make_node("Concat", ["c1", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    weights = [
        weight("zero", 0, numpy.int64),
        weight("axes", [0], numpy.int64),
        weight("rest", [-1], numpy.int64),
    ]
    network = read(model(nodes, weights=weights))
    assert op_types(network) == ["Reshape"]
    assert network.tensors["target"].value == (8, -1)
    assert network.tensors["y"].shape == (8, 16)


def test_layers_that_serve_nothing_in_the_file_stay() -> None:
    network = read(model([RELU, helper.make_node("Sigmoid", ["x"], ["unused"])]))
    assert op_types(network) == ["Relu", "Sigmoid"]


def test_constness_spreads_through_layers_whose_contents_are_not_computed() -> None:
    nodes = [
        helper.make_node("Transpose", ["w"], ["wt"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "wt"], ["y"]),
    ]
    network = read(model(nodes, [value("x", [1, 64])], weights=[weight("w", numpy.ones((512, 64)))]))
    assert op_types(network) == ["MatMul"]
    assert network.tensors["wt"].is_constant
    assert network.tensors["wt"].value is None


def test_random_layers_are_never_constants() -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["w"], ["noise"]),
        helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    network = read(model(nodes, [value("x", [8])], weights=[weight("w", numpy.ones(8))]))
    assert op_types(network) == ["RandomNormalLike", "Add"]


@pytest.mark.parametrize(
    ("kind", "weight_bytes"), [(TensorProto.INT8, 64 * 32), (TensorProto.INT4, 64 * 32 // 2)]
)
def test_weights_behind_dequantisation_count_with_the_bytes_that_are_stored(
    kind: int, weight_bytes: int
) -> None:
    """A weight of few bits, dequantised and transposed: one layer, all parameters, and their stored bytes."""
    nodes = [
        helper.make_node("DequantizeLinear", ["stored", "scale"], ["wide"]),
        helper.make_node("Transpose", ["wide"], ["w"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    stored = helper.make_tensor("stored", kind, [32, 64], [0] * (32 * 64))
    network = read(model(nodes, [value("x", [1, 64])], weights=[stored, weight("scale", 0.1)], opset=21))
    assert op_types(network) == ["MatMul"]
    assert network.tensors["w"].dtype == "float32"
    work = network_work(network)
    assert (work.params, work.weight_elements, work.weight_bytes) == (64 * 32, 64 * 32, weight_bytes)


def test_weights_quantised_in_training_count_as_stored_in_bytes() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "scale", "zero"], ["narrow"]),
        helper.make_node("DequantizeLinear", ["narrow", "scale", "zero"], ["wide"]),
        helper.make_node("Conv", ["x", "wide"], ["y"]),
    ]
    weights = [weight("w", numpy.zeros((4, 8, 3, 3))), weight("scale", 0.1), weight("zero", 0, numpy.int8)]
    network = read(model(nodes, weights=weights))
    assert network.tensors["wide"].stored_dtype == "int8"
    assert network_work(network).weight_bytes == 4 * 8 * 3 * 3


def test_trained_numbers_do_not_change_the_identity_and_bounds_do() -> None:
    def clipped(high: float, bias: float) -> Network:
        nodes = [
            helper.make_node("Conv", ["x", "w", "b"], ["c"]),
            helper.make_node("Clip", ["c", "low", "high"], ["y"]),
        ]
        weights = [
            weight("w", numpy.full((4, 8, 1, 1), bias)), weight("b", [bias] * 4),
            weight("low", 0.0), weight("high", high),
        ]  # fmt: skip
        return read(model(nodes, weights=weights))

    assert clipped(6.0, 1.0).id == clipped(6.0, 2.0).id
    assert clipped(6.0, 1.0).id != clipped(5.0, 1.0).id
    assert clipped(6.0, 1.0).tensors["high"].value == (6.0,)


# Control flow, unknown operators, functions --------------------------------------------------------------


def branches(condition: str) -> onnx.NodeProto:
    then = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["inner"]), helper.make_node("Flatten", ["inner"], ["out"])],
        "then", [], [value("out", None)],
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["out"])], "else", [], [value("out", None)]
    )
    return helper.make_node("If", [condition], ["y"], name="choice", then_branch=then, else_branch=other)


def test_an_if_with_a_known_condition_becomes_its_branch() -> None:
    for chosen, expected in ((True, ["Relu", "Flatten"]), (False, ["Identity"])):
        network = read(model([branches("c")], weights=[weight("c", chosen, numpy.bool_)]))
        assert op_types(network) == expected
        assert network.inputs == ("x",)


def test_an_if_with_an_unknown_condition_is_kept_with_what_its_branches_read() -> None:
    inputs = [value("x", [1, 8, 4, 4]), value("c", [], TensorProto.BOOL)]
    network = read(model([branches("c")], inputs))
    (layer,) = network.layers
    assert (layer.op_type, layer.inputs, layer.attributes) == ("If", ("c", "x"), ())
    assert network.tensors["y"].shape == (1, 128)


def test_a_loop_is_kept_and_its_state_keeps_its_shape() -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["state", "outer"], ["next"]), helper.make_node("Identity", ["on"], ["go"])],
        "body",
        [value("i", [], TensorProto.INT64), value("on", [], TensorProto.BOOL), value("state", [1, 8])],
        [value("go", [], TensorProto.BOOL), value("next", [1, 8])],
    )
    nodes = [
        helper.make_node("Loop", ["n", "", "x"], ["y"], body=body),
        helper.make_node("Relu", ["y"], ["z"]),
    ]
    inputs = [value("x", [1, 8]), value("outer", [1, 8]), value("n", [], TensorProto.INT64)]
    network = read(model(nodes, inputs, ["z"]))
    assert network.layers[0].inputs == ("n", "", "x", "outer")
    assert network.tensors["z"].shape == (1, 8)


def test_a_custom_operator_takes_its_shape_from_the_file_or_its_input(
    caplog: pytest.LogCaptureFixture,
) -> None:
    nodes = [
        helper.make_node("Magic", ["x"], ["m"], domain="custom", strength=3),
        helper.make_node("Relu", ["m"], ["y"]),
    ]
    proto = model(nodes)
    with caplog.at_level(logging.WARNING, logger="annette"):
        assert read(proto).tensors["y"].shape == (1, 8, 4, 4)
    assert "Magic" in caplog.text
    assert "is not known" in caplog.text
    proto.graph.value_info.append(value("m", [1, 5]))
    network = read(proto)
    assert network.tensors["y"].shape == (1, 5)
    assert network.layers[0].domain == "custom"
    assert network.layers[0].attribute("strength") == 3


def test_a_shape_that_depends_on_data_is_guessed_and_said(caplog: pytest.LogCaptureFixture) -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["n"]), helper.make_node("Cast", ["n"], ["y"], to=1)]
    with caplog.at_level(logging.WARNING, logger="annette"):
        network = read(model(nodes))
    assert op_types(network) == ["NonZero", "Cast"]
    assert network.tensors["n"].dtype == "int64"
    assert "NonZero" in caplog.text


def test_a_reshape_to_what_is_fed_keeps_the_rank_and_the_elements() -> None:
    nodes = [helper.make_node("Reshape", ["x", "sizes"], ["y"])]
    network = read(model(nodes, [value("x", [1, 8, 4, 4]), value("sizes", [2], TensorProto.INT64)]))
    assert network.tensors["y"].shape == (128, 1)


def test_what_is_selected_by_contents_is_taken_to_be_as_much_as_there_can_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The end of a detector: indices of ten boxes a class at most, the wanted ones gathered by number."""
    nodes = [
        helper.make_node("NonMaxSuppression", ["boxes", "scores", "most"], ["kept"]),
        helper.make_node("Gather", ["kept", "two"], ["rows"], axis=1),
        helper.make_node("Gather", ["boxes", "rows"], ["found"], axis=1),
        helper.make_node("NonZero", ["rows"], ["places"]),
        helper.make_node("Transpose", ["places"], ["y"], perm=[1, 0]),
    ]
    inputs = [value("boxes", [1, 400, 4]), value("scores", [1, 3, 400])]
    weights = [weight("most", [10], numpy.int64), weight("two", 2, numpy.int64)]
    with caplog.at_level(logging.WARNING, logger="annette"):
        network = read(model(nodes, inputs, ["found", "y"], weights))
    assert network.tensors["kept"].shape == (30, 3)
    assert network.tensors["found"].shape == (1, 30, 4)
    assert network.tensors["y"].shape == (30, 1)
    assert len(caplog.records) == 1
    assert "(30, 3) (and 1 more such layers)" in caplog.text


def test_ten_thousand_nodes_without_names_read_in_time() -> None:
    nodes = [helper.make_node("Clip", [f"x{i}"], [f"x{i + 1}"], min=0.0, max=6.0) for i in range(10_000)]
    proto = model(nodes, [value("x0", [1, 8])], ["x10000"], opset=9)
    start = time.perf_counter()
    network = read(proto)
    assert time.perf_counter() - start < 10  # about 1 on an idle core; 90 if each name is searched for
    assert len({layer.name for layer in network.layers}) == 10_000


def test_local_functions_are_inlined_and_endless_ones_refused() -> None:
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    twice = helper.make_function(
        "local", "Twice", ["a"], ["b"],
        [helper.make_node("Relu", ["a"], ["m"]), helper.make_node("Sigmoid", ["m"], ["b"])], opsets,
    )  # fmt: skip
    node = helper.make_node("Twice", ["x"], ["y"], domain="local")
    proto = model([node], functions=[twice])
    proto.opset_import.append(helper.make_opsetid("local", 1))
    assert op_types(read(proto)) == ["Relu", "Sigmoid"]
    proto.functions[0].node[0].op_type, proto.functions[0].node[0].domain = "Twice", "local"
    with pytest.raises(GraphError, match="calls itself"):
        read(proto)


def test_functions_that_multiply_beyond_measure_are_refused() -> None:
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    functions = []
    for level in range(40):
        called = f"F{level + 1}" if level < 39 else "G"
        pair = [
            helper.make_node(called, ["a"], ["m"], domain="local"),
            helper.make_node(called, ["m"], ["b"], domain="local"),
        ]
        functions.append(helper.make_function("local", f"F{level}", ["a"], ["b"], pair, opsets))
    proto = model([helper.make_node("F0", ["x"], ["y"], domain="local")], functions=functions)
    with pytest.raises(GraphError, match="unfold to more than"):
        read(proto)


# One vocabulary for all opsets -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opset", "old", "new", "constants"),
    [
        (9, ("Clip", {"min": 0.0, "max": 6.0}), ("Clip", {}), [0.0, 6.0]),
        (11, ("Squeeze", {"axes": [0]}), ("Squeeze", {}), [[0]]),
        (12, ("Unsqueeze", {"axes": [0, 2]}), ("Unsqueeze", {}), [[0, 2]]),
        (9, ("Slice", {"starts": [1], "ends": [3], "axes": [1]}), ("Slice", {}), [[1], [3], [1]]),
        (17, ("ReduceMean", {"axes": [2, 3]}), ("ReduceMean", {}), [[2, 3]]),
        (12, ("ReduceSum", {"axes": [1], "keepdims": 0}), ("ReduceSum", {"keepdims": 0}), [[1]]),
        (9, ("Pad", {"pads": [0, 0, 1, 1, 0, 0, 1, 1]}), ("Pad", {}), [[0, 0, 1, 1, 0, 0, 1, 1]]),
        (9, ("TopK", {"k": 2, "axis": 1}), ("TopK", {"axis": 1}), [[2]]),
        (12, ("Split", {"split": [3, 5], "axis": 1}), ("Split", {"axis": 1}), [[3, 5]]),
        (13, ("Split", {"axis": 1}), ("Split", {"axis": 1, "num_outputs": 2}), []),
        (9, ("Dropout", {"ratio": 0.3}), ("Dropout", {}), []),
        (18, ("Softmax", {}), ("Softmax", {"axis": -1}), []),
    ],
    ids=lambda item: item[0] if isinstance(item, tuple) else None,
)
def test_a_layer_is_the_same_whatever_opset_it_is_written_in(
    opset: int, old: tuple[str, Any], new: tuple[str, Any], constants: list[Any]
) -> None:
    outputs = ["y", "z"] if old[0] in ("TopK", "Split") else ["y"]
    earlier = read(model([helper.make_node(old[0], ["x"], outputs, **old[1])], opset=opset, outputs=outputs))
    names = [f"c{index}" for index in range(len(constants))]
    weights = [
        weight(name, item, numpy.int64 if isinstance(item, list) else numpy.float32)
        for name, item in zip(names, constants, strict=True)
    ]
    node = helper.make_node(new[0], ["x", *names], outputs, **new[1])
    later = read(model([node], opset=18, outputs=outputs, weights=weights))
    assert earlier.id == later.id


def test_softmax_of_old_opsets_joins_the_axes() -> None:
    node = helper.make_node("Softmax", ["x"], ["y"])
    assert op_types(read(model([node], opset=12))) == ["Reshape", "Softmax", "Reshape"]
    flat = read(model([node], [value("x", [1, 1000, 1, 1])], opset=12))
    assert op_types(flat) == ["Softmax"]
    assert flat.layers[0].attribute("axis") == 1


@pytest.mark.parametrize(("opset", "op_type"), [(9, "Upsample"), (10, "Resize")])
def test_old_resizes_become_todays(opset: int, op_type: str) -> None:
    node = helper.make_node(op_type, ["x", "scales"], ["y"], mode="nearest")
    network = read(model([node], weights=[weight("scales", [1, 1, 2, 3])], opset=opset))
    (layer,) = network.layers
    assert (layer.op_type, layer.inputs[1]) == ("Resize", "")
    assert layer.attribute("coordinate_transformation_mode") == "asymmetric"
    assert network.tensors["y"].shape == (1, 8, 8, 12)


def test_an_opset_before_9_says_how_to_convert() -> None:
    with pytest.raises(GraphError, match=r"opset 8, expected 9 or later; convert it with onnx\.version_conv"):
        read(model([RELU], opset=8))


# Names and damage --------------------------------------------------------------------------------------


def test_empty_and_doubled_layer_names_become_unique_in_a_fixed_way() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="act"),
        helper.make_node("Relu", ["a"], ["b"], name="act"),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    names = [layer.name for layer in read(model(nodes)).layers]
    assert names == ["act", "act_2", "Relu", "Relu_2"]


def test_nodes_in_any_order_read_alike() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    assert read(model(nodes)).id == read(model(nodes[::-1])).id


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([("Relu", ["b"], ["a"]), ("Relu", ["a"], ["b"]), ("Relu", ["a"], ["y"])], "cycle"),
        ([("Relu", ["y"], ["y"])], "cycle"),
        ([("Relu", ["nowhere"], ["y"])], "reads 'nowhere'"),
        ([("Relu", ["x"], ["y"]), ("Relu", ["x"], ["y"])], "twice"),
        ([("Relu", ["x"], ["x"]), ("Relu", ["x"], ["y"])], "twice|cycle"),
        ([("Relu", ["x"], ["a"])], "output 'y' is computed by no node"),
        ([("MatMul", ["x"], ["y"])], "layer 'MatMul'"),
        ([("Relu", ["line\nbreak"], ["y"])], "line"),
    ],
)
def test_graphs_that_make_no_sense_are_one_line(
    nodes: list[tuple[str, list[str], list[str]]], words: str
) -> None:
    with pytest.raises(GraphError, match=words) as caught:
        read(model([helper.make_node(*node) for node in nodes]))
    assert "\n" not in str(caught.value)


def test_nan_attributes_negative_and_absurd_sizes_are_one_line() -> None:
    leaky = helper.make_node("LeakyRelu", ["x"], ["y"], alpha=float("nan"))
    with pytest.raises(GraphError, match="NaN"):
        read(model([leaky]))
    negative = TensorProto(name="w", dims=[-4], data_type=TensorProto.FLOAT)
    with pytest.raises(GraphError, match="dimensions >= 0"):
        read(model([RELU], weights=[negative]))
    with pytest.raises(GraphError, match="elements"):
        read(model([RELU], [value("x", [1 << 30, 1 << 30])]))
    fill = helper.make_node("ConstantOfShape", ["s"], ["y"])
    with pytest.raises(GraphError, match="elements"):
        read(model([fill], weights=[weight("s", [1 << 40, 1 << 40], numpy.int64)]))


def test_names_that_look_like_paths_stay_names() -> None:
    node = helper.make_node("Relu", ["../../etc/passwd"], ["/dev/null"], name="../../x")
    network = read(model([node], [value("../../etc/passwd", [1])], ["/dev/null"]))
    assert network.layers[0].name == "../../x"


def test_absent_external_data_are_fine(tmp_path: Path) -> None:
    proto = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", [1, 64])],
        weights=[weight("w", numpy.ones((64, 64)))],
    )
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    (tmp_path / "m.data").unlink()
    assert read_onnx(tmp_path / "m.onnx").tensors["y"].shape == (1, 64)


def _attempt(data: bytes, **options: Any) -> str:
    try:
        network_from_onnx_bytes(data, "damaged", **options)
    except GraphError as err:
        return "in one line" if "\n" not in str(err) else "in several lines"
    return "read"


def test_a_model_cut_anywhere_is_an_error_or_a_smaller_model() -> None:
    data = (EXPORTED / "residual_torchscript.onnx").read_bytes()
    results = Counter(_attempt(data[:end], batch=1) for end in range(0, len(data), 7))
    assert results.keys() <= {"read", "in one line"}
    assert results["in one line"] > 0.9 * results.total()


@pytest.mark.parametrize("name", ["residual_torchscript", "vit_dynamo", "recurrent_torchscript"])
def test_random_damage_never_ends_in_anything_but_a_graph_error(name: str) -> None:
    data = (EXPORTED / f"{name}.onnx").read_bytes()
    rng = random.Random(name)
    start = time.perf_counter()
    for _ in range(200):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 1, 3, 10))):
            place = rng.randrange(len(damaged))
            if rng.random() < 0.7:
                damaged[place] = rng.randrange(256)
            else:
                del damaged[place : place + rng.randrange(1, 16)]
        assert _attempt(bytes(damaged), batch=1) in ("read", "in one line")
    assert time.perf_counter() - start < 60


def test_swapped_operators_and_absurd_attributes_never_end_in_anything_but_a_graph_error() -> None:
    original = onnx.load(EXPORTED / "mobile_torchscript.onnx")
    rng = random.Random(3)
    known = sorted({schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""})
    for _ in range(150):
        proto = onnx.ModelProto()
        proto.CopyFrom(original)
        node = rng.choice(proto.graph.node)
        if rng.random() < 0.5:
            node.op_type = rng.choice(known)
        for item in node.attribute:
            if rng.random() < 0.3:
                item.i = rng.choice((0, -1, 7, 1 << 40, -(1 << 62)))
                if item.ints:
                    item.ints[0] = item.i
        assert _attempt(proto.SerializeToString()) in ("read", "in one line")
