"""Kinds of layers: what is left of a layer when all names are taken away, each once for all networks.

Networks repeat themselves, and populations of networks repeat each other: hundreds of thousands of cells are
made of some hundred layers that differ in more than their names. What depends on a layer alone (its geometry,
its work, its family) is worked out once for its kind and kept there.

A kind is: operator, domain and attributes; shape, dtype, constness and known contents of each tensor; which
inputs are weights; and which inputs are the same tensor.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from annette.graph.families import layer_family
from annette.graph.geometry import Geometry, layer_geometry
from annette.graph.operators import WEIGHT_KEEPING, operator_key
from annette.graph.work import Work, layer_work

if TYPE_CHECKING:
    from annette.graph.network import Layer, Network

__all__ = ["MAX_KINDS", "LayerKind", "NetworkKinds"]

MAX_KINDS = 1 << 16
"""Kinds that are remembered; when there are more, all are forgotten, and met as new ones."""

_OMITTED = -1
"""Stands for an input or output that is left out."""


class LayerKind:
    """One kind of layer; compared by identity. Equal kinds may be two objects once kinds were forgotten."""

    __slots__ = (
        "_family", "_geometry", "_work", "activations", "makes_constants", "op_type", "operator",
    )  # fmt: skip

    def __init__(self, network: Network, layer: Layer) -> None:
        """The kind of a layer of ``network``."""
        tensors = network.tensors
        self.op_type = layer.op_type
        """ONNX operator type."""
        self.operator = operator_key(layer)
        """The same with its domain."""
        places = enumerate(layer.inputs)
        self.activations = tuple([at for at, name in places if name and not tensors[name].is_constant])
        """Places of the inputs that are no constants, ascending."""
        self.makes_constants = True in [tensors[name].is_constant for name in layer.outputs if name]
        """Whether an output is marked as a constant, as only networks that somebody wrote by hand have it."""
        self._family: str | None = None
        self._geometry: Geometry | None = None
        self._work: Work | None = None

    def family(self, network: Network, layer: Layer) -> str:
        """`layer_family` of a layer of this kind."""
        if self._family is None:
            self._family = layer_family(network, layer)
        return self._family

    def geometry(self, network: Network, layer: Layer) -> Geometry:
        """`layer_geometry` of a layer of this kind."""
        if self._geometry is None:
            self._geometry = layer_geometry(network, layer)
        return self._geometry

    def work(self, network: Network, layer: Layer) -> Work:
        """`layer_work` of a layer of this kind."""
        if self._work is None:
            self._work = layer_work(network, layer)
        return self._work


_kind = attrgetter("kind")
_layer_parts = attrgetter("signature", "inputs", "outputs")
_KINDS: dict[Any, LayerKind] = {}
_LOCK = threading.Lock()


class NetworkKinds:
    """Layers and tensors of one network without their names: `Network.kinds`.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("twice")
    >>> x = build.relu(build.relu(build.input("x", (1, 8))))
    >>> first, second = build.finish(x).kinds.layers
    >>> first is second
    True
    """

    def __init__(self, network: Network) -> None:
        """The kinds of ``network``."""
        self.tensors = _tensor_kinds(network)
        """By the name of each tensor a number, equal for tensors that are alike; -1 for the empty name.
        Weights that layers make of constants (`Network.weights`) have numbers of their own, below -1."""
        self.layers = tuple(_layer_kinds(network, self.tensors))
        """The kind of each layer, in the network's order; one object for equal layers."""
        self._layers = network.layers  # not the network: it holds its kinds, and would outlive its use

    @cached_property
    def _by_name(self) -> dict[str, LayerKind]:
        return {layer.name: kind for layer, kind in zip(self._layers, self.layers, strict=True)}

    def of(self, layer: Layer) -> LayerKind:
        """The kind of a layer of the network."""
        return self._by_name[layer.name]


def _tensor_kinds(network: Network) -> dict[str, int]:
    tensors = network.tensors
    numbers = dict(zip(tensors, map(_kind, tensors.values()), strict=True))
    numbers[""] = _OMITTED
    if any(layer.op_type in WEIGHT_KEEPING for layer in network.layers):
        for name in network.weights:
            if not tensors[name].is_constant:
                numbers[name] = -2 - numbers[name]
    return numbers


def _layer_kinds(network: Network, tensors: dict[str, int]) -> Iterator[LayerKind]:
    number_of = tensors.__getitem__
    for place, (signature, inputs, outputs) in enumerate(map(_layer_parts, network.layers)):
        key: tuple[Any, ...] = (signature, *map(number_of, inputs), None, *map(number_of, outputs))
        if len(inputs) > 1 and len(set(inputs)) < len(inputs):  # read twice counts once
            key = (key, *map(inputs.index, inputs))
        kind = _KINDS.get(key)
        yield _add(key, LayerKind(network, network.layers[place])) if kind is None else kind


def _add(key: Any, kind: LayerKind) -> LayerKind:
    with _LOCK:
        if len(_KINDS) >= MAX_KINDS:
            _KINDS.clear()
        return _KINDS.setdefault(key, kind)
