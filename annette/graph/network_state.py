"""Networks on their way to another process: what many layers and tensors share travels once.

A network has some six hundred layers and tensors, but a few dozen sets of attributes and shapes. Taken apart
into names and numbers it is pickled in a fifth of the time; it was checked when it was made and is not again.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from annette.graph.network import Layer, Network, Tensor

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
    ends, operators, layers, descriptions, tensors = state
    shared = [Layer(name="", op_type=op, domain=domain, attributes=items) for op, domain, items in operators]
    found = [shared[number].rewired(name, inputs, outputs) for name, inputs, outputs, number in layers]
    alike = [
        Tensor(name="", shape=shape, dtype=dtype, is_constant=is_constant, value=value, stored_dtype=stored)
        for shape, dtype, is_constant, value, stored in descriptions
    ]
    by_name = {tensor_name: alike[number].renamed(tensor_name) for tensor_name, number in tensors}
    network = object.__new__(Network)
    for field_name, value in zip(("name", "inputs", "outputs"), ends, strict=True):
        _set(network, field_name, value)
    _set(network, "layers", tuple(found))
    _set(network, "tensors", MappingProxyType(by_name))
    return network
