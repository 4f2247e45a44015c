"""The network: an immutable directed acyclic graph of layers whose tensor shapes are all known."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from annette.errors import GraphError
from annette.graph.identity import content_id
from annette.graph.operators import WEIGHT_KEEPING

if TYPE_CHECKING:
    from annette.graph.layer_kinds import NetworkKinds

__all__ = [
    "ELEMENT_BITS",
    "MAX_ELEMENTS",
    "AttributeValue",
    "Layer",
    "Network",
    "Scalar",
    "Tensor",
]

Scalar = int | float | bool | str
AttributeValue = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]

ELEMENT_BITS: Mapping[str, int] = MappingProxyType(
    {
        "float64": 64, "float32": 32, "float16": 16, "bfloat16": 16, "float8": 8, "float4": 4,
        "int64": 64, "int32": 32, "int16": 16, "int8": 8, "int4": 4, "int2": 2,
        "uint64": 64, "uint32": 32, "uint16": 16, "uint8": 8, "uint4": 4, "uint2": 2,
        "bool": 8, "string": 64, "complex64": 64, "complex128": 128, "opaque": 0,
    }
)  # fmt: skip
"""Bits of one element by dtype; ``string`` counts a pointer, ``opaque`` (sequences, optionals) nothing."""

_ONLY_INT = frozenset({int})
_set = object.__setattr__
MAX_ELEMENTS = 1 << 40
"""A tensor with more elements than this is a mistake in the file, not a network (2**40 = 1 T elements)."""


class _TensorKinds(dict[Any, int]):
    """Numbers of what tensors are without their names; a number is never given twice."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count()

    def __missing__(self, key: Any) -> int:
        if len(self) >= _MAX_TENSOR_KINDS:
            self.clear()
        return self.setdefault(key, next(self._numbers))


_TENSOR_KINDS = _TensorKinds()
"""By shape, dtype, constness, contents and stored dtype: `Tensor.kind`."""
_MAX_TENSOR_KINDS = 1 << 16
"""Descriptions that are remembered; when there are more, all are forgotten, and met as new ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """What is known of a tensor: its name, shape and dtype, and the contents where shapes depend on them.

    Raises
    ------
    GraphError
        For a negative dimension, an unknown dtype or an absurd size.
    """

    name: str
    """Unique within its network."""
    shape: tuple[int, ...]
    """Known dimensions, each >= 0; ``()`` is a scalar."""
    dtype: str = "float32"
    """A key of `ELEMENT_BITS`."""
    is_constant: bool = False
    """True for weights and other initialisers: it does not depend on the network's inputs."""
    value: tuple[Scalar, ...] | None = None
    """Row-major contents of a small constant that shapes depend on; ``None`` means not known."""
    stored_dtype: str | None = None
    """The narrower dtype of a quantised weight that counts as ``dtype`` once dequantised; else ``None``."""
    size: int = field(init=False, repr=False, compare=False)
    """Number of elements."""
    kind: int = field(init=False, repr=False, compare=False)
    """A number for all but the name, equal for tensors that are alike, in one process."""

    def __post_init__(self) -> None:
        for dtype in (self.dtype, self.stored_dtype or self.dtype):
            if dtype not in ELEMENT_BITS:
                raise GraphError(
                    f"tensor {self.name!r}: dtype {dtype!r}, expected one of {', '.join(ELEMENT_BITS)}"
                )
        if self.stored_dtype is not None and (not self.is_constant or self.value is not None):
            raise GraphError(
                f"tensor {self.name!r}: stored as {self.stored_dtype}, expected that of weights only"
            )
        for size in self.shape:
            if not isinstance(size, int) or size < 0:
                raise GraphError(f"tensor {self.name!r}: shape {self.shape}, expected dimensions >= 0")
        object.__setattr__(self, "size", math.prod(self.shape))
        if self.size > MAX_ELEMENTS:
            raise GraphError(
                f"tensor {self.name!r}: shape {self.shape} has more than {MAX_ELEMENTS} elements; "
                "check the shapes bound to the network's inputs"
            )
        if self.value is not None:
            if len(self.value) != self.size:
                raise GraphError(
                    f"tensor {self.name!r}: {len(self.value)} values for shape {self.shape}, "
                    f"expected {self.size}"
                )
            _require_scalars(self.value, f"tensor {self.name!r}: its value")
        description = self.shape, self.dtype, self.is_constant, self.value, self.stored_dtype
        object.__setattr__(self, "kind", _TENSOR_KINDS[description])

    def renamed(self, name: str) -> Tensor:
        """The same tensor under another name."""
        found = object.__new__(Tensor)  # nothing that was checked changes
        _set(found, "name", name)
        _set(found, "shape", self.shape)
        _set(found, "dtype", self.dtype)
        _set(found, "is_constant", self.is_constant)
        _set(found, "value", self.value)
        _set(found, "stored_dtype", self.stored_dtype)
        _set(found, "size", self.size)
        _set(found, "kind", self.kind)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        state = self.name, self.shape, self.dtype, self.is_constant, self.value, self.stored_dtype
        return _tensor, state  # numbers of kinds are those of one process

    @property
    def size_bytes(self) -> int:
        """Bytes at the dtype in which the tensor is stored, rounded up to whole bytes."""
        return self.bytes_of(self.size)

    def bytes_of(self, elements: int) -> int:
        """Bytes of so many of the tensor's elements."""
        return (elements * ELEMENT_BITS[self.stored_dtype or self.dtype] + 7) // 8


def _tensor(
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    is_constant: bool,
    value: tuple[Scalar, ...] | None,
    stored_dtype: str | None,
) -> Tensor:
    return Tensor(
        name=name, shape=shape, dtype=dtype, is_constant=is_constant, value=value, stored_dtype=stored_dtype
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One node of a network, in ONNX's vocabulary."""

    name: str
    """Unique within its network."""
    op_type: str
    """ONNX operator type, for example ``Conv``."""
    domain: str = ""
    """Operator domain; empty for ``ai.onnx``."""
    inputs: tuple[str, ...] = ()
    """Tensor names in ONNX's order; the empty string stands for an omitted optional input."""
    outputs: tuple[str, ...] = ()
    """Tensor names in ONNX's order; the empty string stands for an omitted optional output."""
    attributes: tuple[tuple[str, AttributeValue], ...] = ()
    """Name and value pairs; kept sorted by name. A value is a number, a string, or a tuple of them."""
    signature: str = field(init=False, repr=False, compare=False)
    """Operator, domain and attributes as text: the same for layers that differ in names only."""
    _lookup: dict[str, AttributeValue] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lookup = dict(self.attributes)
        if len(lookup) != len(self.attributes):
            raise GraphError(f"layer {self.name!r}: an attribute is given twice, expected each once")
        for key, value in lookup.items():
            items = value if isinstance(value, tuple) else (value,)
            _require_scalars(items, f"layer {self.name!r}: attribute {key!r}")
            if any(item != item for item in items):
                raise GraphError(f"layer {self.name!r}: attribute {key!r} holds NaN, expected a number")
        attributes = tuple(sorted(lookup.items()))
        object.__setattr__(self, "attributes", attributes)
        signature = sys.intern(repr((self.op_type, self.domain, attributes)))  # text keeps its hash
        object.__setattr__(self, "signature", signature)
        object.__setattr__(self, "_lookup", lookup)

    def rewired(self, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Layer:
        """The same operator under another name, between other tensors."""
        found = object.__new__(Layer)  # nothing that was checked changes
        _set(found, "name", name)
        _set(found, "op_type", self.op_type)
        _set(found, "domain", self.domain)
        _set(found, "inputs", inputs)
        _set(found, "outputs", outputs)
        _set(found, "attributes", self.attributes)
        _set(found, "signature", self.signature)
        _set(found, "_lookup", self._lookup)
        return found

    def int_attribute(self, name: str, default: int) -> int:
        """The integer attribute ``name``, or ``default`` where the layer does not carry it.

        Raises
        ------
        GraphError
            If it is not an integer.
        """
        value = self._lookup.get(name, default)
        if not isinstance(value, int):
            raise GraphError(f"layer {self.name!r}: attribute {name!r} is {value!r}, expected an integer")
        return value

    def ints_attribute(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        """The integers of attribute ``name``, or ``default`` where the layer does not carry it.

        Raises
        ------
        GraphError
            If it is not a tuple of integers.
        """
        value = self._lookup.get(name, default)
        if value is None:
            return None
        if isinstance(value, tuple) and _ONLY_INT.issuperset(map(type, value)):
            return value  # type: ignore[return-value]  # just checked
        if not isinstance(value, tuple) or not all(isinstance(item, int) for item in value):
            raise GraphError(f"layer {self.name!r}: attribute {name!r} is {value!r}, expected integers")
        return tuple(int(item) for item in value)

    def attribute(self, name: str, default: AttributeValue | None = None) -> AttributeValue | None:
        """The attribute ``name`` of any type, or ``default`` where the layer does not carry it."""
        return self._lookup.get(name, default)


def _require_scalars(items: Iterable[object], where: str) -> None:
    for item in items:
        if not isinstance(item, int | float | str):
            raise GraphError(f"{where} holds {item!r}, expected numbers or strings of Python")


@dataclass(frozen=True, kw_only=True)
class Network:
    """An immutable DAG of layers with known shapes.

    Layers are brought into a topological order that keeps the given order wherever that is one already.

    Raises
    ------
    GraphError
        For names defined twice, tensors nobody defines, and cycles.

    Examples
    --------
    >>> network = Network(
    ...     name="one", inputs=("x",), outputs=("y",),
    ...     layers=(Layer(name="act", op_type="Relu", inputs=("x",), outputs=("y",)),),
    ...     tensors={"x": Tensor(name="x", shape=(1, 3)), "y": Tensor(name="y", shape=(1, 3))},
    ... )
    >>> network.producer("y").name
    'act'
    """

    name: str
    """For people; not part of the identity."""
    inputs: tuple[str, ...]
    """Names of the tensors fed from outside."""
    outputs: tuple[str, ...]
    """Names of the tensors handed out."""
    layers: tuple[Layer, ...]
    """In topological order."""
    tensors: Mapping[str, Tensor]
    """Every tensor by its name: inputs, constants and layer outputs."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        self._check_names()
        object.__setattr__(self, "layers", _sort_layers(self))

    def _check_names(self) -> None:
        names: set[str] = set()
        produced: set[str] = set()
        inputs: set[str] = set()
        for name in self.inputs:
            if name in inputs:
                raise GraphError(f"network {self.name!r}: input {name!r} is declared twice")
            if name in self.tensors and self.tensors[name].is_constant:
                raise GraphError(f"network {self.name!r}: {name!r} is an input and a constant, expected one")
            inputs.add(name)
        for layer in self.layers:
            if layer.name in names:
                raise GraphError(f"network {self.name!r}: two layers are named {layer.name!r}")
            names.add(layer.name)
            for tensor in filter(None, layer.outputs):
                if tensor in produced or tensor in inputs:
                    raise GraphError(f"network {self.name!r}: tensor {tensor!r} is produced twice")
                produced.add(tensor)
        used = dict.fromkeys(self.inputs)
        for layer in self.layers:
            used.update(dict.fromkeys((*layer.inputs, *layer.outputs)))
        used.pop("", None)
        used.update(dict.fromkeys(self.outputs))
        for name in used:
            tensor_value = self.tensors.get(name)
            if tensor_value is None:
                raise GraphError(f"network {self.name!r}: nothing is known of tensor {name!r}")
            if tensor_value.name != name:
                raise GraphError(
                    f"network {self.name!r}: the tensor under {name!r} calls itself {tensor_value.name!r}"
                )
            if name not in produced and name not in inputs and not tensor_value.is_constant:
                raise GraphError(
                    f"network {self.name!r}: tensor {name!r} is used, but it is neither an input, "
                    "nor a constant, nor the output of a layer"
                )

    @cached_property
    def id(self) -> str:
        """32 hexadecimal digits that depend on the content alone: not on the name of anything."""
        return content_id(self)

    @cached_property
    def kinds(self) -> NetworkKinds:
        """What the layers and tensors are without their names."""
        from annette.graph.layer_kinds import NetworkKinds  # which knows networks itself

        return NetworkKinds(self)

    @cached_property
    def _producers(self) -> dict[str, Layer]:
        return {tensor: layer for layer in self.layers for tensor in layer.outputs if tensor}

    @cached_property
    def _consumers(self) -> dict[str, list[Layer]]:
        consumers: dict[str, list[Layer]] = {}
        for layer in self.layers:
            for tensor in layer.inputs:
                found = consumers.setdefault(tensor, [])
                if not found or found[-1] is not layer:
                    found.append(layer)
        consumers.pop("", None)
        return consumers

    @cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def weights(self) -> frozenset[str]:
        """Names of the constants, and of what casts, (de)quantisation and views make of constants alone.

        So the weights of a network in ONNX's QDQ form count as weights.
        """
        found = {name for name, tensor in self.tensors.items() if tensor.is_constant}
        for layer in self.layers:
            if layer.op_type in WEIGHT_KEEPING and found.issuperset(filter(None, layer.inputs)):
                found.update(filter(None, layer.outputs))
        return frozenset(found)

    def layer(self, name: str) -> Layer:
        """The layer of that name.

        Raises
        ------
        GraphError
            If there is none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise GraphError(f"network {self.name!r}: no layer is named {name!r}") from None

    def producer(self, tensor: str) -> Layer | None:
        """The layer that computes ``tensor``; ``None`` for inputs and constants."""
        return self._producers.get(tensor)

    def consumers(self, tensor: str) -> tuple[Layer, ...]:
        """The layers that read ``tensor``, in topological order, each once."""
        return tuple(self._consumers.get(tensor, ()))

    def predecessors(self, layer: Layer) -> tuple[Layer, ...]:
        """The layers whose outputs ``layer`` reads, in the order of its inputs, each once."""
        found = (self._producers.get(name) for name in layer.inputs)
        return tuple(dict.fromkeys(item for item in found if item is not None))

    def successors(self, layer: Layer) -> tuple[Layer, ...]:
        """The layers that read any output of ``layer``, each once."""
        return tuple(dict.fromkeys(item for name in layer.outputs for item in self.consumers(name)))

    def activation_inputs(self, layer: Layer) -> tuple[Tensor, ...]:
        """The inputs of ``layer`` that are computed at run time (not constants), one entry per use."""
        found = (self.tensors[name] for name in layer.inputs if name)
        return tuple(tensor for tensor in found if not tensor.is_constant)

    def constant_inputs(self, layer: Layer) -> tuple[Tensor, ...]:
        """The inputs of ``layer`` that are constants: weights, biases, axes."""
        found = (self.tensors[name] for name in layer.inputs if name)
        return tuple(tensor for tensor in found if tensor.is_constant)

    def output_tensors(self, layer: Layer) -> tuple[Tensor, ...]:
        """The outputs of ``layer`` that are not omitted."""
        return tuple(self.tensors[name] for name in layer.outputs if name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Network({self.name!r}, {len(self.layers)} layers, id={self.id[:8]})"

    def __reduce__(self) -> tuple[Any, ...]:
        from annette.graph.network_state import pack, unpack  # which know networks themselves

        return unpack, (pack(self),)


def _sort_layers(network: Network) -> tuple[Layer, ...]:
    """A topological order: the given one, with each layer preceded by those it still waits for."""
    producer = {name: index for index, layer in enumerate(network.layers) for name in layer.outputs if name}
    if all(
        producer.get(name, -1) < index for index, layer in enumerate(network.layers) for name in layer.inputs
    ):
        return network.layers
    needs = [
        sorted({producer[name] for name in layer.inputs if name in producer}) for layer in network.layers
    ]
    order: list[int] = []
    started = [False] * len(needs)
    done = [False] * len(needs)
    for start in range(len(needs)):
        stack = [] if done[start] else [(start, iter(needs[start]))]  # explicit: graphs may be deep
        while stack:
            node, rest = stack[-1]
            started[node] = True
            need = next((item for item in rest if not done[item]), None)
            if need is None:
                done[node] = True
                order.append(node)
                stack.pop()
            elif started[need]:
                raise GraphError(
                    f"network {network.name!r}: the graph has a cycle through layer "
                    f"{network.layers[need].name!r}, expected a directed acyclic graph"
                )
            else:
                stack.append((need, iter(needs[need])))
    return tuple(network.layers[index] for index in order)
