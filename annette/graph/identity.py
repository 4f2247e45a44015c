"""The identity of a network: a hash of its content, in which no name takes part."""

from __future__ import annotations

import ctypes
import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy

if TYPE_CHECKING:
    from annette.graph.network import Network, Scalar

__all__ = ["content_id"]


def content_id(network: Network) -> str:
    """32 hexadecimal digits: the start of the SHA-256 of the network's canonical JSON."""
    text = json.dumps(_canonical(network), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _canonical(network: Network) -> list[Any]:
    """The content as JSON, with tensors renamed by their first use."""
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
    outputs = [number(name) for name in network.outputs]
    return [inputs, layers, outputs, table]


def _as_stored(value: Scalar, dtype: str = "") -> Scalar:
    """The number that an ONNX file gives back: 1 for true, single precision for attributes, and so on."""
    if dtype in ("float32", "bfloat16", "float16") or (not dtype and isinstance(value, float)):
        single = ctypes.c_float(float(value)).value
        if dtype == "float16":
            with numpy.errstate(over="ignore"):
                return float(numpy.float16(single))
        if dtype == "bfloat16":  # cut, not rounded, as the writer does
            return float((numpy.float32(single).view(numpy.uint32) & 0xFFFF0000).view(numpy.float32))
        return single
    if dtype == "bool" or (not dtype and isinstance(value, bool)):
        return int(value)
    return value
