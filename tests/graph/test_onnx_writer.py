"""The ONNX writer: valid models, and in -> out -> in keeps the content id."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from annette.errors import GraphError
from annette.graph import onnx_writer
from annette.graph.builder import NetworkBuilder
from annette.graph.codec import network_from_json, network_to_json
from annette.graph.network import Layer, Network, Tensor
from annette.graph.onnx_reader import network_from_onnx_bytes, read_onnx
from annette.graph.onnx_writer import to_onnx_model, write_onnx
from annette.graph.wire import strip_weights

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
EXPORTED = Path(__file__).parents[1] / "data" / "onnx"
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "bert": {"input_ids": (1, 16)},
    "gpt": {"tokens": (1, 16)},
    "recurrent": {"tokens": (2, 20)},
    "residual": {"image": (2, 3, 64, 64)},
    "speech": {"features": (2, 40, 101)},
    "unet": {"image": (1, 1, 64, 64)},
    "vit": {"image": (2, 3, 32, 32)},
}


def again(network: Network, **options: Any) -> Network:
    return network_from_onnx_bytes(to_onnx_model(network, **options).SerializeToString(), "again")


def contents(model: onnx.ModelProto) -> dict[str, Any]:
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def small_network() -> Network:
    build = NetworkBuilder("small")
    x = build.input("image", (1, 3, 16, 16))
    x = build.relu6(build.batch_norm(build.conv(x, 8, kernel=3, padding=1, bias=False)))
    x = build.flatten(build.global_avg_pool(x))
    return build.finish(build.softmax(build.linear(x, 10)))


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Chains of convolutions, activations, pools, resizes, splits and attention, with skips."""
    build = NetworkBuilder(draw(st.text(max_size=5)))
    x = build.input("x", (draw(st.integers(1, 3)), draw(st.integers(1, 8)), 16, 16))
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(
            st.sampled_from(("conv", "act", "norm", "pool", "add", "concat", "resize", "scale", "slice"))
        )
        if kind == "conv":
            padding = draw(st.sampled_from(("same", 1)))
            x = build.conv(x, draw(st.integers(1, 9)), kernel=3, padding=padding, bias=draw(st.booleans()))
        elif kind == "act":
            x = build.activation(x, draw(st.sampled_from(("Relu", "Relu6", "Swish", "HardSwish", "Gelu"))))
        elif kind == "norm":
            x = build.batch_norm(x)
        elif kind == "pool":
            x = build.max_pool(x, kernel=3, stride=draw(st.integers(1, 2)), padding=1)
        elif kind == "add":
            x = build.add("Add", x, build.relu(x))
        elif kind == "concat":
            x = build.concat(x, build.add("Sigmoid", x))
        elif kind == "resize":
            x = build.resize(x, (16, 16), mode="linear")
        elif kind == "scale":
            x = build.add("Mul", x, build.constant((), value=(draw(st.floats(-2, 2)),)))
        else:
            x = build.slice(x, axis=1, start=0, end=build.channels(x))
    if draw(st.booleans()):
        x = build.add("LeakyRelu", x, alpha=draw(st.floats(0, 1)))
    return build.finish(x)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks(), st.sampled_from(("zero", "random")))
def test_networks_from_the_builder_come_back_with_the_same_id(network: Network, weights: Any) -> None:
    model = to_onnx_model(network, weights=weights)
    onnx.checker.check_model(model, full_check=True)
    assert again(network, weights=weights).id == network.id


@pytest.mark.parametrize("path", sorted(LIGHT.glob("*.onnx")), ids=lambda path: path.stem)
def test_the_nine_models_of_the_onnx_wheel_come_back_with_the_same_id(path: Path) -> None:
    network = read_onnx(path)
    data = strip_weights(to_onnx_model(network).SerializeToString(), "again")
    assert network_from_onnx_bytes(data, "again").id == network.id


@pytest.mark.parametrize("path", sorted(EXPORTED.glob("*.onnx")), ids=lambda path: path.stem)
def test_exported_models_come_back_valid_and_with_the_same_id(path: Path) -> None:
    network = read_onnx(path, shapes=SHAPES.get(path.stem.partition("_")[0]))
    model = to_onnx_model(network)
    onnx.checker.check_model(model, full_check=True)
    assert again(network).id == network.id


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int4", "int2", "float8", "int32"])
@pytest.mark.parametrize("weights", ["zero", "random"])
def test_quantised_weights_are_written_as_they_are_stored(dtype: str, weights: Any) -> None:
    plain = small_network()
    tensors = {
        name: dataclasses.replace(tensor, stored_dtype=dtype)
        if tensor.is_constant and len(tensor.shape) > 1
        else tensor
        for name, tensor in plain.tensors.items()
    }
    network = dataclasses.replace(plain, tensors=tensors)
    assert network.id != plain.id
    model = to_onnx_model(network, weights=weights)
    onnx.checker.check_model(model, full_check=True)
    assert again(network, weights=weights).id == network.id
    assert network_from_json(network_to_json(network)).id == network.id


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("number", [0.1, 1e300, -1e-40, 70000.0, math.inf])
def test_numbers_of_few_bits_come_back_as_they_are_stored(dtype: str, number: float) -> None:
    build = NetworkBuilder("factor")
    factor = build.constant((), dtype=dtype, value=(number,))
    network = build.finish(build.add("Mul", build.input("x", (1, 3), dtype=dtype), factor))
    assert again(network).id == network.id


@pytest.mark.parametrize(("code", "opset"), [(1, 18), (17, 19), (22, 21), (25, 25)])
def test_the_opset_has_the_types_that_layers_compute(code: int, opset: int) -> None:
    build = NetworkBuilder("cast")
    network = build.finish(build.add("Cast", build.input("x", (1, 3)), to=code))
    model = to_onnx_model(network)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == opset


def test_a_file_comes_back_with_the_same_id(tmp_path: Path) -> None:
    network = small_network()
    write_onnx(network, tmp_path / "small.onnx", weights="random", seed=3)
    assert read_onnx(tmp_path / "small.onnx").id == network.id
    assert [item.name for item in tmp_path.iterdir()] == ["small.onnx"]


def test_the_opset_is_18_or_the_first_that_has_the_operators() -> None:
    assert to_onnx_model(small_network()).opset_import[0].version == 18
    build = NetworkBuilder("gelu")
    gelu = build.finish(build.add("Gelu", build.input("x", (1, 8))))
    assert to_onnx_model(gelu).opset_import[0].version == 20
    build = NetworkBuilder("sample")
    x, grid = build.input("x", (1, 2, 8, 8)), build.input("grid", (1, 4, 4, 2))
    sample = build.finish(build.add("GridSample", x, grid, mode="linear"))
    assert to_onnx_model(sample).opset_import[0].version == 20  # bilinear is its name before


def test_random_weights_are_seeded_positive_where_they_must_be_and_scaled() -> None:
    network = small_network()
    one, same, other = (contents(to_onnx_model(network, weights="random", seed=seed)) for seed in (1, 1, 2))
    assert all((one[name] == same[name]).all() for name in one)
    assert any((one[name] != other[name]).any() for name in one)
    conv, norm = network.layers[0], network.layers[1]
    assert (one[norm.inputs[4]] > 0).all()
    assert numpy.std(one[conv.inputs[1]]) == pytest.approx((2 / 27) ** 0.5, rel=0.2)


def test_zero_weights_are_zero_but_for_scales_and_variances() -> None:
    network = small_network()
    found = contents(to_onnx_model(network))
    conv, norm = network.layers[0], network.layers[1]
    assert not found[conv.inputs[1]].any()
    assert (found[norm.inputs[1]] == 1).all()
    assert not found[norm.inputs[3]].any()
    assert (found[norm.inputs[4]] == 1).all()


def test_zero_points_behind_a_relu_and_steps_are_what_calibration_makes_of_them() -> None:
    build = NetworkBuilder("quantised")
    x = build.input("x", (1, 8))
    for source in (x, build.relu(x)):
        step, zero = build.constant(()), build.constant((), dtype="int8")
        x = build.add("Add", x, build.add("DequantizeLinear", build.add("QuantizeLinear", source, step, zero),
                                          step, zero))  # fmt: skip
    network = build.finish(x)
    found = contents(to_onnx_model(network, weights="random"))
    plain, behind = (layer.inputs for layer in network.layers if layer.op_type == "QuantizeLinear")
    assert (found[plain[2]], found[behind[2]]) == (0, -128)
    assert all(0.01 <= found[inputs[1]] <= 6 / 255 for inputs in (plain, behind))


def test_known_contents_are_written_as_they_are() -> None:
    network = small_network()
    clip = next(layer for layer in network.layers if layer.op_type == "Clip")
    assert contents(to_onnx_model(network, weights="random"))[clip.inputs[2]] == 6.0


def test_custom_operators_keep_their_domain_and_shapes() -> None:
    layer = Layer(
        name="m", op_type="Magic", domain="custom.domain", inputs=("x",), outputs=("y",),
        attributes=(("names", ("a", "b")), ("power", 0.5), ("sizes", (1, 2))),
    )  # fmt: skip
    tensors = {name: Tensor(name=name, shape=shape) for name, shape in (("x", (1, 3)), ("y", (7,)))}
    network = Network(name="n", inputs=("x",), outputs=("y",), layers=(layer,), tensors=tensors)
    model = to_onnx_model(network)
    onnx.checker.check_model(model, full_check=True)
    assert {item.domain for item in model.opset_import} == {"", "custom.domain"}
    assert again(network).id == network.id


def test_loops_and_shapes_that_depend_on_data_come_back_through_a_domain_of_annettes_own() -> None:
    body = helper.make_graph(
        [helper.make_node("Relu", ["s"], ["next"]), helper.make_node("Identity", ["on"], ["go"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []),
         helper.make_tensor_value_info("on", TensorProto.BOOL, []),
         helper.make_tensor_value_info("s", 1, [1, 8])],
        [helper.make_tensor_value_info("go", TensorProto.BOOL, []),
         helper.make_tensor_value_info("next", 1, [1, 8])],
    )  # fmt: skip
    nodes = [
        helper.make_node("Loop", ["n", "", "x"], ["l"], body=body),
        helper.make_node("NonZero", ["l"], ["z"]),
        helper.make_node("SequenceConstruct", ["z"], ["sequence"]),
        helper.make_node("SequenceAt", ["sequence", "n"], ["y"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", 1, [1, 8]),
        helper.make_tensor_value_info("n", TensorProto.INT64, []),
    ]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_empty_tensor_value_info("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    network = network_from_onnx_bytes(model.SerializeToString(), "loop")
    written = to_onnx_model(network)
    onnx.checker.check_model(written, full_check=True)
    assert "annette.opaque" in {item.domain for item in written.opset_import}
    assert again(network).id == network.id
    assert [layer.op_type for layer in again(network).layers] == [layer.op_type for layer in network.layers]


def test_older_forms_are_written_in_todays() -> None:
    build = NetworkBuilder("older")
    x = build.add("ReduceMean", build.input("x", (1, 8, 4, 4)), axes=(2, 3), keepdims=1)
    model = to_onnx_model(build.finish(x))
    onnx.checker.check_model(model, full_check=True)
    assert len(model.graph.node[0].input) == 2


def test_weights_beyond_protobufs_limit_go_to_a_file_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_writer, "MAX_MODEL_BYTES", 10_000)
    build = NetworkBuilder("large")
    network = build.finish(build.linear(build.linear(build.input("x", (1, 64)), 64), 500))
    with pytest.raises(GraphError, match="write_onnx"):
        to_onnx_model(network)
    write_onnx(network, tmp_path / "large.onnx", weights="random")
    onnx.checker.check_model(tmp_path / "large.onnx", full_check=True)
    assert read_onnx(tmp_path / "large.onnx").id == network.id
    loaded = onnx.load(tmp_path / "large.onnx")
    assert numpy.std(contents(loaded)[network.layers[0].inputs[1]]) > 0.1


def test_absurd_amounts_of_weights_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    build = NetworkBuilder("absurd")
    network = build.finish(build.linear(build.input("x", (1, 1 << 20)), 1 << 19))
    with pytest.raises(GraphError, match="bytes of weights"):
        to_onnx_model(network)
    with pytest.raises(GraphError, match="bytes of weights"):
        write_onnx(network, tmp_path / "absurd.onnx")
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_and_an_unknown_kind_of_weights_are_errors(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="cannot be written"):
        write_onnx(small_network(), tmp_path / "absent" / "small.onnx")
    with pytest.raises(GraphError, match="expected 'zero' or 'random'"):
        to_onnx_model(small_network(), weights="ones")  # type: ignore[arg-type]


def test_written_models_run_and_give_the_shapes_of_the_network() -> None:
    runtime = pytest.importorskip("onnxruntime")
    network = small_network()
    data = to_onnx_model(network, weights="random").SerializeToString()
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"image": numpy.ones((1, 3, 16, 16), numpy.float32)})
    assert result.shape == network.tensors[network.outputs[0]].shape
    assert numpy.isfinite(result).all()
