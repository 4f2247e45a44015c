"""The original network as the tracing of an optimised graph sees it: what folds, is equal, or is idle."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from annette.graph.network import Layer, Network
from annette.graph.operators import operator_key, primary_rank

__all__ = ["VIEW_OPERATORS", "Original", "is_idle", "primary_layer"]

VIEW_OPERATORS = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators that move no element, and stand for each other."""
_OF_SHAPES = frozenset({"Shape", "Size"})
_RANDOM = frozenset({"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
                     "RandomUniformLike"})  # fmt: skip
_IDLE_IF_SAME_SHAPE = frozenset({"Cast", "CastLike", "Expand", "Pad", "Resize", "Slice", "Tile", "Upsample"})
_IDLE_IF_ONE_INPUT = frozenset({"Concat", "Max", "Mean", "Min", "Sum"})


def primary_layer(layers: Sequence[Layer]) -> Layer:
    """The layer that gives a kernel of ``layers`` its family: the first with the least `primary_rank`."""
    return min(layers, key=lambda layer: primary_rank(operator_key(layer)))


def is_idle(network: Network, layer: Layer) -> bool:
    """Whether the layer moves no element: an optimiser may drop it without doing its work elsewhere."""
    if layer.domain not in ("", "ai.onnx"):
        return False
    op_type = layer.op_type
    if op_type in VIEW_OPERATORS or op_type == "Dropout":
        return True
    if op_type in _IDLE_IF_ONE_INPUT:
        return len(layer.inputs) == 1
    source, result = network.tensors[layer.inputs[0]] if layer.inputs else None, network.output_tensors(layer)
    if source is None or len(result) != 1:
        return False
    if op_type in _IDLE_IF_SAME_SHAPE:
        return (source.shape, source.dtype) == (result[0].shape, result[0].dtype)
    if op_type == "Transpose":
        order = layer.ints_attribute("perm") or tuple(reversed(range(len(source.shape))))
        moved = [axis for axis in order if source.shape[axis] != 1]
        return moved == sorted(moved)
    return False


@dataclass(frozen=True, slots=True)
class Original:
    """Facts about a network's layers, given which of them the executed graph still shows."""

    network: Network
    folded: frozenset[str]
    """Layers that depend on constants and shapes alone and do not show: they ran with the optimiser."""
    twins: dict[str, str]
    """Layers that do not show because an equal one stands for them: the name of that one."""
    same: dict[str, str]
    """Tensors of twins: the tensor of the equal layer."""

    @classmethod
    def of(cls, network: Network, *, shows: Callable[[Layer], bool]) -> Original:
        """The facts; ``shows`` tells whether a node stands for the layer or computes its outputs."""
        constants = {name for name, tensor in network.tensors.items() if tensor.is_constant}
        folded: set[str] = set()
        twins: dict[str, str] = {}
        same: dict[str, str] = {}
        first: dict[Hashable, Layer] = {}
        for layer in network.layers:
            is_constant = layer.op_type in _OF_SHAPES or constants.issuperset(filter(None, layer.inputs))
            if is_constant and layer.op_type not in _RANDOM:
                constants.update(filter(None, layer.outputs))
                if not shows(layer):
                    folded.add(layer.name)
            key = _content(network, layer, same)
            other = first.setdefault(key, layer)
            if other is not layer and not (shows(layer) and shows(other)):
                if shows(layer):
                    first[key], layer, other = layer, other, layer
                twins[layer.name] = other.name
                same.update(zip(layer.outputs, other.outputs, strict=True))
        return cls(network, frozenset(folded), twins, same)

    def first_twins(self) -> tuple[dict[str, str], dict[str, str]]:
        """For each layer that stands for equal ones the first of them all; likewise for its tensors.

        Which one of them an optimiser keeps is chance; the first is as good, and always the same.
        """
        order = {layer.name: number for number, layer in enumerate(self.network.layers)}
        firsts: dict[str, str] = {}
        for name, other in self.twins.items():
            while other in self.twins:
                other = self.twins[other]
            if order[name] < order[firsts.get(other, other)]:
                firsts[other] = name
        tensors: dict[str, str] = {}
        for kept, first in firsts.items():
            tensors.update(
                zip(self.network.layer(kept).outputs, self.network.layer(first).outputs, strict=True)
            )
        return firsts, tensors

    def tensor(self, name: str) -> str:
        """The tensor that stands for ``name`` among those of equal layers."""
        while name in self.same:
            name = self.same[name]
        return name

    def producer(self, tensor: str) -> Layer | None:
        """The layer that computes the tensor, or the one that stands for it; ``None`` for inputs."""
        return self.network.producer(self.tensor(tensor))

    def consumers(self, tensor: str) -> list[Layer]:
        """The layers that read the tensor or one that it stands for, without those for which others stand."""
        names = [tensor, *(name for name in self.same if self.tensor(name) == tensor)]
        found = {layer.name: layer for name in names for layer in self.network.consumers(name)}
        return [layer for layer in found.values() if layer.name not in self.twins]


def _content(network: Network, layer: Layer, same: dict[str, str]) -> Hashable:
    """What makes two layers equal."""
    if layer.op_type in _RANDOM:
        return layer.name
    inputs: list[Hashable] = []
    for name in layer.inputs:
        tensor = network.tensors.get(name)
        if tensor is not None and tensor.is_constant and tensor.value is not None:
            inputs.append((tensor.dtype, tensor.shape, tensor.value))
        else:
            while name in same:
                name = same[name]
            inputs.append(name)
    return layer.domain, layer.op_type, layer.attributes, tuple(inputs), len(layer.outputs)
