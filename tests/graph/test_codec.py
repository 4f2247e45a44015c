"""Networks as JSON text: what is written comes back, and what is wrong is named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import onnx
import pytest

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder
from annette.graph.codec import network_from_json, network_to_json
from annette.graph.network import Network
from annette.graph.onnx_reader import read_onnx

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def network() -> Network:
    build = NetworkBuilder("coded")
    x = build.relu6(build.input("x", (1, 3, 8, 8)))
    x = build.add("Max", x, build.constant((), value=(-math.inf,)))
    x = build.add("Where", build.constant((1,), dtype="bool", value=(True,)), x, x)
    return build.finish(build.reshape(build.add("LeakyRelu", x, alpha=0.1), (1, -1)))


def test_a_network_comes_back_whole() -> None:
    before = network()
    after = network_from_json(network_to_json(before))
    assert (after.name, after.id, after.inputs, after.outputs) == (
        before.name, before.id, before.inputs, before.outputs,
    )  # fmt: skip
    assert after.layers == before.layers
    assert dict(after.tensors) == dict(before.tensors)


def test_a_network_read_from_onnx_comes_back_whole() -> None:
    before = read_onnx(LIGHT / "light_shufflenet.onnx")
    after = network_from_json(network_to_json(before))
    assert after.layers == before.layers
    assert dict(after.tensors) == dict(before.tensors)


def test_the_text_is_one_line_of_standard_json() -> None:
    text = network_to_json(network())
    assert "\n" not in text
    document = json.loads(text, parse_constant=lambda item: pytest.fail(f"{item} is not JSON"))
    assert document["schema_version"] == 1


def changed(**entries: Any) -> str:
    return json.dumps({**json.loads(network_to_json(network())), **entries})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "without schema_version"),
        (changed(schema_version=2), "schema version 2, expected 1"),
        (changed(schema_version=True), "schema version True"),
        (changed(extra=1), "keys"),
        (changed(name=3), "expected a text"),
        (changed(inputs="x"), "expected a list"),
        (changed(layers=[["a", "Relu"]]), r"layers\[0\] has 2 entries"),
        (changed(layers=[["a", "Relu", "", [], [], []]]), "expected an object"),
        (changed(layers=[["a", "Relu", "", [], [], {"k": None}]]), "expected a number or a text"),
        (changed(tensors=[["x", [1.5], "float32", 0, None]]), "expected integers"),
        (changed(tensors=[["x", [-1], "float32", 0, None]]), "dimensions >= 0"),
        (changed(tensors=[["x", [1], "float31", 0, None]]), "dtype 'float31'"),
        (changed(tensors=[["x", [1], "float32", 2, None]]), "expected 0 or 1"),
        (changed(tensors=[["x", [2], "float32", 1, [1.0]]]), "1 values for shape"),
        (changed(tensors=[["x", [1], "float32", 0, None]] * 2), "same name"),
        (changed(outputs=["nowhere"]), "nothing is known of tensor 'nowhere'"),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        network_from_json(text)
