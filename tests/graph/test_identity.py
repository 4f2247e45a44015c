"""The identity of a network is the hash of its canonical JSON, however that text is put together."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from annette.graph.identity import _as_stored, content_id
from annette.graph.network import Layer, Network, Tensor
from annette.zoo.registry import zoo_network


def canonical(network: Network) -> list[Any]:
    """The content as JSON, with tensors renamed by their first use: what identities are defined by."""
    numbers: dict[str, int] = {}
    table: list[Any] = []

    def number(name: str) -> int:
        if not name:
            return -1
        if name not in numbers:
            tensor = network.tensors[name]
            numbers[name] = len(numbers)
            value = None if tensor.value is None else [_as_stored(v, tensor.dtype) for v in tensor.value]
            row = [list(tensor.shape), tensor.dtype, int(tensor.is_constant), value]
            table.append(row if tensor.stored_dtype is None else [*row, tensor.stored_dtype])
        return numbers[name]

    inputs = [number(name) for name in network.inputs]
    layers = [
        [
            layer.op_type,
            layer.domain,
            [number(name) for name in layer.inputs],
            [number(name) for name in layer.outputs],
            [
                [key, [_as_stored(v) for v in value] if isinstance(value, tuple) else _as_stored(value)]
                for key, value in layer.attributes
            ],
        ]
        for layer in network.layers
    ]
    return [inputs, layers, [number(name) for name in network.outputs], table]


def expected(network: Network) -> str:
    text = json.dumps(canonical(network), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@pytest.mark.parametrize("name", ["lenet5", "yolov3_tiny", "swin_tiny", "bert_mini", "mobilenet_v3_small"])
def test_networks_of_the_zoo_have_the_hash_of_their_json(name: str) -> None:
    network = zoo_network(name)
    assert content_id(network) == expected(network)


def odd(value: Any, attribute: Any, dtype: str = "int64", stored_dtype: str | None = None) -> Network:
    layer = Layer(
        name="é", op_type='Odd"\n', domain="mine\\", inputs=("x", "", "w", "x"), outputs=("", "y"),
        attributes=(("a", attribute), ("b", ())),
    )  # fmt: skip
    tensors = (
        Tensor(name="x", shape=(1, 2)),
        Tensor(name="w", shape=(2,), dtype=dtype, is_constant=True, value=value, stored_dtype=stored_dtype),
        Tensor(name="y", shape=()),
    )
    return Network(
        name="odd", inputs=("x",), outputs=("y", "w"), layers=(layer,),
        tensors={tensor.name: tensor for tensor in tensors},
    )  # fmt: skip


@pytest.mark.parametrize(
    "network",
    [
        odd((1, 2), 1),
        odd((True, False), True, "bool"),
        odd((1.0, -0.0), 1.0, "float16"),
        odd((0.1, 2.5), (0.1, -0.0), "float32"),
        odd((0.1, 2.5), (1, 2), "bfloat16"),
        odd(("a", 'ü"'), "ü\u2028", "string"),
        odd(None, (1.5, float("inf")), "float32", "int8"),
        odd(None, ("a", "b")),
    ],
)
def test_odd_contents_have_the_hash_of_their_json(network: Network) -> None:
    assert content_id(network) == expected(network)
    assert content_id(network) == expected(network)


def test_numbers_of_different_types_are_different_contents() -> None:
    found = {content_id(odd((1, 2), attribute)) for attribute in (1, 1.0, "1", (1,), (1.0,))}
    assert len(found) == 5
