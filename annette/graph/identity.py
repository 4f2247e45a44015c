"""The identity of a network: a hash of its content, in which no name takes part."""

from __future__ import annotations

import ctypes
import hashlib
import json
from typing import TYPE_CHECKING

import numpy

if TYPE_CHECKING:
    from annette.graph.network import Layer, Network, Scalar, Tensor

__all__ = ["content_id"]


def content_id(network: Network) -> str:
    """32 hexadecimal digits: the start of the SHA-256 of the network's canonical JSON."""
    return hashlib.sha256(_canonical(network).encode()).hexdigest()[:32]


def _canonical(network: Network) -> str:
    """The content as JSON text, with tensors renamed by their first use.

    The text is put together from that of attributes and of tensors, which are the same for many layers.
    """
    numbers: dict[str, str] = {"": "-1"}
    used: list[str] = []

    def refer(names: tuple[str, ...]) -> str:
        found = []
        for name in names:
            number = numbers.get(name)
            if number is None:
                number = numbers[name] = str(len(used))
                used.append(name)
            found.append(number)
        return ",".join(found)

    inputs = refer(network.inputs)
    layers = []
    for layer in network.layers:
        head, tail = _layer_text(layer)
        layers.append(f"{head}[{refer(layer.inputs)}],[{refer(layer.outputs)}]{tail}")
    outputs = refer(network.outputs)
    tensors, kinds = network.tensors, network.kinds.tensors
    table = ",".join(
        [_TENSOR_TEXTS.get(kinds[name]) or _tensor_text(tensors[name], kinds[name]) for name in used]
    )
    return f"[[{inputs}],[{','.join(layers)}],[{outputs}],[{table}]]"


_LAYER_TEXTS: dict[str, tuple[str, str]] = {}
_TENSOR_TEXTS: dict[int, str] = {}
_MAX_TEXTS = 1 << 14


def _layer_text(layer: Layer) -> tuple[str, str]:
    """What stands in a layer's JSON before and behind the tensors."""
    found = _LAYER_TEXTS.get(layer.signature)
    if found is None:
        attributes = [
            [key, [_as_stored(v) for v in value] if isinstance(value, tuple) else _as_stored(value)]
            for key, value in layer.attributes
        ]
        found = f"[{_json(layer.op_type)},{_json(layer.domain)},", f",{_json(attributes)}]"
        if len(_LAYER_TEXTS) >= _MAX_TEXTS:
            _LAYER_TEXTS.clear()
        _LAYER_TEXTS[layer.signature] = found
    return found


def _tensor_text(tensor: Tensor, kind: int) -> str:
    if tensor.value is not None:  # a kind does not tell the types of numbers
        value = [_as_stored(v, tensor.dtype) for v in tensor.value]
        return _json([list(tensor.shape), tensor.dtype, int(tensor.is_constant), value])
    row = [list(map(int, tensor.shape)), tensor.dtype, int(tensor.is_constant), None]
    if len(_TENSOR_TEXTS) >= _MAX_TEXTS:
        _TENSOR_TEXTS.clear()
    text = _TENSOR_TEXTS[kind] = _json(row if tensor.stored_dtype is None else [*row, tensor.stored_dtype])
    return text


def _json(content: object) -> str:
    return json.dumps(content, separators=(",", ":"))


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
