"""Networks quantised: as ONNX Runtime's own quantiser writes them, so that it computes with integers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy
import pytest

from annette.benchmark.networks import THEMES, Frame, synthetic_network
from annette.benchmark.quantised import halve, quantise
from annette.benchmark.sampling import draws
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.graph.onnx_writer import to_onnx_model
from annette.graph.work import network_work

FRAME = Frame(batch=1, macs=2e7, weight_elements=3e5, kernels=16)


def _residual() -> Network:
    """A normalised convolution, a shortcut, a pool, a concatenation, a linear layer."""
    build = NetworkBuilder("residual")
    x = build.input("x", (1, 3, 16, 16))
    x = build.relu(build.batch_norm(build.conv(x, 8, kernel=3, padding=1, bias=False)))
    y = build.batch_norm(build.conv(x, 8, kernel=3, padding=1, bias=False))
    x = build.relu(build.add("Add", y, x))
    x = build.concat(x, build.max_pool(x, kernel=3, stride=1, padding=1))
    x = build.flatten(build.global_avg_pool(x))
    return build.finish(build.softmax(build.linear(x, 10)))


def _executed(data: bytes, folder: Path) -> Counter[str]:
    """Operators of the graph that ONNX Runtime makes of a model."""
    import onnx

    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 4
    runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def test_normalisation_is_folded_and_rectifiers_are_swallowed() -> None:
    layers = Counter(layer.op_type for layer in quantise(_residual()).layers)
    assert layers["BatchNormalization"] == layers["Relu"] == 0
    assert layers["Conv"] == 2
    assert layers["QuantizeLinear"] == layers["DequantizeLinear"] == 10


def test_weights_are_int8_biases_int32_and_macs_stay() -> None:
    network, quantised = _residual(), quantise(_residual(), activations="int8")
    stored = Counter(tensor.stored_dtype for tensor in quantised.tensors.values() if tensor.stored_dtype)
    assert stored == {"int8": 3, "int32": 3}
    assert network_work(quantised).macs == network_work(network).macs
    assert network_work(quantised).weight_bytes < 0.5 * network_work(network).weight_bytes


def test_layers_that_hand_values_on_keep_the_scale() -> None:
    quantised = quantise(_residual())
    pool = next(layer for layer in quantised.layers if layer.op_type == "MaxPool")
    before = quantised.producer(pool.inputs[0])
    after = quantised.consumers(pool.outputs[0])[0]
    assert before is not None
    assert before.inputs[1:] == after.inputs[1:]


def test_onnx_runtime_computes_the_quantised_network_with_integers(tmp_path: Path) -> None:
    network = quantise(_residual())
    found = _executed(to_onnx_model(network, weights="random").SerializeToString(), tmp_path)
    assert {"QLinearConv", "QLinearAdd", "QLinearConcat", "QGemm"} <= set(found)
    assert not {"Conv", "Add", "Concat", "Gemm"} & set(found)


_LIKE_THE_QUANTISER = ("cells", "inception", "mixer", "mobile", "plain", "residual")


@pytest.mark.parametrize("theme", _LIKE_THE_QUANTISER)
def test_the_executed_graph_is_that_of_onnx_runtimes_own_quantiser(theme: str, tmp_path: Path) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    from onnxruntime.quantization.shape_inference import quant_pre_process

    network = synthetic_network(theme, next(draws(3, theme)), FRAME)

    class Images(quantization.CalibrationDataReader):  # type: ignore[misc]  # a base without types
        def __init__(self) -> None:
            rng = numpy.random.default_rng(1)
            shapes = {name: network.tensors[name].shape for name in network.inputs}
            feeds = {name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()}
            self._feeds = iter([feeds])

        def get_next(self) -> dict[str, numpy.typing.NDArray[numpy.float32]] | None:
            return next(self._feeds, None)

    paths = [tmp_path / name for name in ("float.onnx", "prepared.onnx", "quantised.onnx")]
    paths[0].write_bytes(to_onnx_model(network, weights="random").SerializeToString())
    quant_pre_process(str(paths[0]), str(paths[1]), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(paths[1]), str(paths[2]), Images(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
        weight_type=quantization.QuantType.QInt8, activation_type=quantization.QuantType.QUInt8,
    )  # fmt: skip
    theirs = _executed(paths[2].read_bytes(), tmp_path)
    ours = to_onnx_model(quantise(network, prepared=True), weights="random").SerializeToString()
    assert _executed(ours, tmp_path) == theirs


@pytest.mark.parametrize("theme", sorted(THEMES))
def test_half_precision_keeps_every_layer_and_no_float32(theme: str) -> None:
    network = synthetic_network(theme, next(draws(4, theme)), FRAME)
    halved = halve(network)
    assert [layer.op_type for layer in halved.layers] == [layer.op_type for layer in network.layers]
    assert all(tensor.dtype != "float32" for tensor in halved.tensors.values())
    assert network_work(halved).macs == network_work(network).macs
