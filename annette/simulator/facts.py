"""What the compiler asks about the layers of one network: geometry, work, family, rule features."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import cached_property

from annette.graph.families import layer_family
from annette.graph.geometry import Geometry, layer_geometry
from annette.graph.network import Layer, Network, Tensor
from annette.graph.operands import operands
from annette.graph.work import Work, layer_work
from annette.hardware.rules import Condition

__all__ = ["NetworkFacts", "has_channel_factors"]

_GEOMETRY = frozenset(Geometry.__dataclass_fields__)
_STATIC = frozenset({"Constant", "ConstantOfShape", "Shape", "Size", "Range"})
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_VIEWS = frozenset({"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})


class NetworkFacts:
    """Answers questions about the layers of ``network``, each computed once."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._geometries: dict[str, Geometry] = {}
        self._works: dict[str, Work] = {}
        self._families: dict[str, str] = {}
        self._outputs: dict[str, tuple[Tensor, ...]] = {}
        self._operands: dict[str, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = {}

    def geometry(self, layer: Layer) -> Geometry:
        """Sizes of the layer's loop nest."""
        found = self._geometries.get(layer.name)
        if found is None:
            found = self._geometries[layer.name] = layer_geometry(self.network, layer)
        return found

    def work(self, layer: Layer) -> Work:
        """MACs, ops, elements."""
        found = self._works.get(layer.name)
        if found is None:
            found = self._works[layer.name] = layer_work(self.network, layer)
        return found

    def family(self, layer: Layer) -> str:
        """Kernel family."""
        found = self._families.get(layer.name)
        if found is None:
            found = self._families[layer.name] = layer_family(self.network, layer)
        return found

    def outputs(self, layer: Layer) -> tuple[Tensor, ...]:
        """What the layer writes."""
        found = self._outputs.get(layer.name)
        if found is None:
            found = self._outputs[layer.name] = self.network.output_tensors(layer)
        return found

    def operands(self, layer: Layer) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Activations and weights that the layer reads."""
        found = self._operands.get(layer.name)
        if found is None:
            found = self._operands[layer.name] = operands(self.network, layer)
        return found

    @cached_property
    def static_layers(self) -> frozenset[str]:
        """Names of the layers whose results are known before the network runs.

        Never those that draw anew each time, nor those that nothing is known of.
        """
        known: set[str] = set()
        tensors: set[str] = set()
        for layer in self.network.layers:
            inputs = [item.name for item in self.network.activation_inputs(layer)]
            is_known = layer.op_type not in _RANDOM and all(name in tensors for name in inputs)
            if layer.op_type in _STATIC or (is_known and self.family(layer) != "opaque"):
                known.add(layer.name)
                tensors.update(layer.outputs)
        return frozenset(known)

    def holds(self, layer: Layer, conditions: Sequence[Condition], *, from_kernels: bool = True) -> bool:
        """Whether ``layer`` fulfils all ``conditions``; ``from_kernels`` is its ``inputs_from_kernels``."""
        return all(item.holds(self._feature(layer, item.feature, from_kernels)) for item in conditions)

    def _feature(self, layer: Layer, name: str, from_kernels: bool) -> float | str:
        if name in _GEOMETRY:
            return int(getattr(self.geometry(layer), name))
        if name == "inputs_from_kernels":
            return int(from_kernels)
        if name == "output_elements":
            return self.work(layer).output_elements
        if name == "weight_elements":
            return self.work(layer).weight_elements
        if name == "mode":
            return str(layer.attribute("mode", "nearest"))
        outputs = self.outputs(layer)
        if name == "rank":
            return len(outputs[0].shape) if outputs else 0
        if name == "axis":
            axis = layer.int_attribute("axis", -1)
            return axis + len(outputs[0].shape) if axis < 0 and layer.attribute("axis") is not None else axis
        if name == "activation_inputs":
            return self.activation_count(layer)
        return _input_feature(name, self.operands(layer)[0], outputs)

    def activation_count(self, layer: Layer) -> int:
        """How many of the layer's inputs are activations; one that is used twice counts twice."""
        names = {item.name for item in self.operands(layer)[0]}
        return sum(name in names for name in layer.inputs)

    def is_view_of(self, tensor: str, names: Collection[str]) -> bool:
        """Whether ``tensor`` is one of ``names`` seen through layers with one activation as input."""
        while True:
            if tensor in names:
                return True
            layer = self.network.producer(tensor)
            if layer is None or layer.op_type not in _VIEWS:
                return False
            tensor = layer.inputs[0]


def has_channel_factors(inputs: Sequence[Tensor], output: Tensor) -> bool:
    """Whether some inputs differ in shape from ``output``, and each of those has one value a channel."""
    smaller = [item.shape for item in inputs if item.shape != output.shape]
    factors = (*output.shape[:2], *[1] * (len(output.shape) - 2))
    return len(output.shape) > 2 and bool(smaller) and all(shape == factors for shape in smaller)


def _input_feature(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int:
    if name == "broadcasts":
        return int(any(item.shape != outputs[0].shape for item in inputs))
    if name == "channel_factors":
        return int(has_channel_factors(inputs, outputs[0]))
    channels = [item.shape[1] if len(item.shape) > 1 else 1 for item in inputs]
    return math.gcd(*channels)
