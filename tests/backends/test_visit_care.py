"""What a visit refuses before a runtime sees it, by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annette.backends.visit_care import require_expressed, require_memory
from annette.errors import MeasurementError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Layer, Network
from annette.graph.onnx_writer import to_onnx_model

pytest.importorskip("onnx")


def linear(size: int) -> Network:
    build = NetworkBuilder("wide")
    return build.finish(build.linear(build.input("x", (1, size)), size))


def test_a_layer_that_onnx_cannot_express_is_named() -> None:
    network = linear(8)
    loop = Layer(name="again", op_type="Loop", inputs=("x",), outputs=network.outputs)
    model = to_onnx_model(replace(network, layers=(loop,)))
    with pytest.raises(MeasurementError, match=r"layer 'again': operator Loop cannot be written as ONNX"):
        require_expressed(model)
    require_expressed(to_onnx_model(network))


def test_weights_that_no_model_holds_are_refused_whatever_the_memory() -> None:
    with pytest.raises(MeasurementError, match=r"network 'wide': 23\d+ bytes of weights, expected at most"):
        require_memory(linear(24_000), None)


def test_more_than_half_of_the_memory_is_refused() -> None:
    require_memory(linear(100), 1 << 20)
    with pytest.raises(MeasurementError, match=r"network 'wide': needs up to \d+ bytes of memory"):
        require_memory(linear(1000), 1 << 20)
