"""Quantised networks written as ONNX: a runtime computes them with integers, as it would the original."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.graph.onnx_reader import network_from_onnx_bytes
from annette.graph.onnx_writer import to_onnx_model


def _quantised() -> Network:
    """A convolution and a fully connected layer as `onnxruntime.quantization` writes them."""
    build = NetworkBuilder("quantised")

    def weight(shape: tuple[int, ...], dtype: str) -> str:
        return build.constant(shape, stored_dtype=dtype)

    def bracket(x: str, value: float | None) -> str:
        scale = build.constant((), value=None if value is None else (value,))
        zero = build.constant((), dtype="uint8", value=(128,))
        return build.add("DequantizeLinear", build.add("QuantizeLinear", x, scale, zero), scale, zero)

    x = bracket(build.input("x", (1, 8, 12, 12)), 0.02)
    y = build.add("Conv", x, weight((16, 8, 3, 3), "int8"), weight((16,), "int32"), kernel_shape=(3, 3))
    y = bracket(y, None)
    y = bracket(build.flatten(y), 0.05)
    y = build.add("Gemm", y, weight((10, 1600), "int8"), weight((10,), "int32"), transB=1)
    return build.finish(bracket(y, 0.1))


@pytest.mark.parametrize("weights", ["zero", "random"])
def test_the_scale_of_a_bias_is_that_of_activations_times_that_of_weights(weights: str) -> None:
    model = to_onnx_model(_quantised(), weights="random" if weights == "random" else "zero", seed=3)
    data = {
        item.name: numpy.frombuffer(item.raw_data, "<f4")
        for item in model.graph.initializer
        if item.data_type == 1 and item.raw_data
    }
    producers = {node.output[0]: node for node in model.graph.node}
    checked = 0
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            x, weight, bias = (producers[name].input[1] for name in node.input)
            assert data[bias][0] == data[x][0] * data[weight][0]
            checked += 1
    assert checked == 2


def test_a_quantised_network_keeps_its_id_when_read_again() -> None:
    network = _quantised()
    data = to_onnx_model(network, weights="random").SerializeToString()
    assert network_from_onnx_bytes(data, network.name).id == network.id


def test_onnx_runtime_computes_it_with_integers(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    import onnx

    options = runtime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    data = to_onnx_model(_quantised(), weights="random").SerializeToString()
    runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    executed = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    assert {"QLinearConv", "QGemm"} <= set(executed)
    assert not {"Conv", "Gemm"} & set(executed)


def test_a_table_of_integers_keeps_the_scale_of_what_is_looked_up_in_it() -> None:
    build = NetworkBuilder("embedding")
    table = build.constant((64, 8), stored_dtype="uint8")
    rows = build.add("Gather", table, build.input("tokens", (1, 4), dtype="int64"))
    scale, zero = build.constant(()), build.constant((), dtype="uint8")
    network = build.finish(
        build.add("DequantizeLinear", build.add("QuantizeLinear", rows, scale, zero), scale, zero)
    )
    model = to_onnx_model(network, weights="random")
    producers = {node.output[0]: node for node in model.graph.node}
    quantise = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    dequantised = producers[producers[quantise.input[0]].input[0]]
    assert list(dequantised.input[1:]) == list(quantise.input[1:])
    assert network_from_onnx_bytes(model.SerializeToString(), network.name).id == network.id
