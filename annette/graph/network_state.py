"""Networks on their way to another process: what many layers and tensors share travels once.

A network has some six hundred layers and tensors, but a few dozen sets of attributes and shapes. Taken apart
into names and numbers it is pickled in a fifth of the time; it was checked when it was made and is not again.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

from annette.graph.network import TENSOR_KINDS, Layer, Network, Tensor

__all__ = ["pack", "unpack"]

_set = object.__setattr__


def pack(network: Network) -> tuple[Any, ...]:
    """The network as tuples of plain values: what `unpack` takes."""
    signatures: dict[str, int] = {}
    operators: list[tuple[Any, ...]] = []
    layers = []
    for layer in network.layers:
        number = signatures.setdefault(layer.signature, len(signatures))
        if number == len(operators):
            operators.append((layer.op_type, layer.domain, layer.attributes))
        layers.append((layer.name, layer.inputs, layer.outputs, number))
    numbers: dict[tuple[Any, ...], int] = {}
    descriptions: list[tuple[Any, ...]] = []
    tensors = []
    for name, tensor in network.tensors.items():
        description = tensor.shape, tensor.dtype, tensor.is_constant, tensor.value, tensor.stored_dtype
        if tensor.value is None:
            number = numbers.setdefault(description, len(descriptions))
        else:  # numbers of different types are equal
            number = len(descriptions)
        if number == len(descriptions):
            descriptions.append(description)
        tensors.append((name, number))
    ends = network.name, network.inputs, network.outputs
    return ends, tuple(operators), tuple(layers), tuple(descriptions), tuple(tensors)


def unpack(state: tuple[Any, ...]) -> Network:
    """The network that `pack` took apart."""
    (name, inputs, outputs), operators, layers, descriptions, tensors = state
    shared = [Layer(name="", op_type=op, domain=domain, attributes=items) for op, domain, items in operators]
    found = []
    for layer_name, layer_inputs, layer_outputs, number in layers:
        like, layer = shared[number], object.__new__(Layer)
        _set(layer, "name", layer_name)
        _set(layer, "op_type", like.op_type)
        _set(layer, "domain", like.domain)
        _set(layer, "inputs", layer_inputs)
        _set(layer, "outputs", layer_outputs)
        _set(layer, "attributes", like.attributes)
        _set(layer, "signature", like.signature)
        _set(layer, "_lookup", like._lookup)
        found.append(layer)
    by_name = {}
    like_these = [(math.prod(item[0]), TENSOR_KINDS[item]) for item in descriptions]
    for tensor_name, number in tensors:
        tensor = by_name[tensor_name] = object.__new__(Tensor)
        shape, dtype, is_constant, value, stored_dtype = descriptions[number]
        _set(tensor, "name", tensor_name)
        _set(tensor, "shape", shape)
        _set(tensor, "dtype", dtype)
        _set(tensor, "is_constant", is_constant)
        _set(tensor, "value", value)
        _set(tensor, "stored_dtype", stored_dtype)
        size, kind = like_these[number]
        _set(tensor, "size", size)
        _set(tensor, "kind", kind)
    network = object.__new__(Network)
    _set(network, "name", name)
    _set(network, "inputs", inputs)
    _set(network, "outputs", outputs)
    _set(network, "layers", tuple(found))
    _set(network, "tensors", MappingProxyType(by_name))
    return network
