"""Other precisions of a network: quantised as `onnxruntime.quantization` writes it, and half precision."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from annette.benchmark.growing import GrowingBuilder
from annette.benchmark.sampling import Draw
from annette.graph.network import Layer, Network, Tensor

__all__ = ["Activations", "draw_quantised", "halve", "quantise"]

Activations = Literal["uint8", "int8"]
"""How quantised activations are stored; weights are ``int8``, as runtimes for CPUs want them."""

_SAME_SCALE = frozenset(
    {
        "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "Reshape", "Resize",
        "Slice", "SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
"""Operators that hand values on: their outputs keep the scale of their input."""
_QUANTISABLE = _SAME_SCALE | {
    "Add", "ArgMax", "AveragePool", "BatchNormalization", "Clip", "Concat", "Conv", "ConvTranspose", "Gemm",
    "GlobalAveragePool", "InstanceNormalization", "LayerNormalization", "LeakyRelu", "MatMul", "Mul", "Relu",
    "Sigmoid", "Softmax", "Where",
}  # fmt: skip
"""Operators whose activations the quantiser puts between quantisation and its reverse."""
_WEIGHTS: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        **dict.fromkeys(("Conv", "ConvTranspose", "Gemm"), MappingProxyType({1: "int8", 2: "int32"})),
        **dict.fromkeys(
            ("BatchNormalization", "InstanceNormalization", "LayerNormalization"),
            MappingProxyType({1: "int8", 2: "int32"}),
        ),
        "MatMul": MappingProxyType({0: "int8", 1: "int8"}),
        "Gather": MappingProxyType({0: "int8"}),
        **dict.fromkeys(("Add", "Mul", "Concat"), MappingProxyType(dict.fromkeys(range(8), "activation"))),
    }
)
"""How constants are stored, by operator and position; ``activation``: as activations are."""


def quantise(network: Network, *, activations: Activations = "uint8", prepared: bool = False) -> Network:
    """The network with its activations and weights quantised to eight bits, in ONNX's QDQ form.

    As `onnxruntime.quantization.quantize_static` writes it: normalisation folded into convolutions (exporters
    do so), rectifiers swallowed by the quantisation after them, one pair of QuantizeLinear and
    DequantizeLinear a tensor, shared by its readers; layers that only hand values on keep the scale; biases
    are int32. What it does not quantise (division, powers, recurrent layers, ...) stays in float32 between.

    Parameters
    ----------
    network : Network
        In float32.
    activations : {"uint8", "int8"}
        How activations are stored.
    prepared : bool
        As after `quant_pre_process`: linear layers on tokens written as Gemm between two Reshapes, hard
        swish as hard sigmoid and product.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("small")
    >>> small = build.finish(build.relu(build.conv(build.input("x", (1, 3, 8, 8)), 4)))
    >>> [layer.op_type for layer in quantise(small).layers]
    ['QuantizeLinear', 'DequantizeLinear', 'Conv', 'QuantizeLinear', 'DequantizeLinear']
    """
    return _Quantiser(_prepare(network) if prepared else network, activations).run()


def draw_quantised(draw: Draw, network: Network) -> Network:
    """The network quantised in one of the ways that there are."""
    activations: Activations = "uint8" if draw.chance(0.7) else "int8"
    return quantise(network, activations=activations, prepared=draw.chance(0.6))


def _prepare(network: Network) -> Network:
    """What the quantiser's own pre-processing changes."""
    build, made = GrowingBuilder(network.name), {}
    skipped: set[str] = set()
    for name, tensor in network.tensors.items():
        if tensor.is_constant:
            made[name] = build.constant(
                tensor.shape, dtype=tensor.dtype, value=tensor.value, stored_dtype=tensor.stored_dtype
            )
        elif name in network.inputs:
            made[name] = build.input(name, tensor.shape, dtype=tensor.dtype)
    for layer in network.layers:
        if layer.name in skipped:
            continue
        bias = _bias_of(network, layer)
        if bias is not None:
            shape = network.tensors[bias[0].outputs[0]].shape
            y = build.reshape(made[layer.inputs[0]], (-1, network.tensors[layer.inputs[0]].shape[-1]))
            y = build.add("Gemm", y, made[layer.inputs[1]], made[bias[1]])
            made[bias[0].outputs[0]] = build.reshape(y, shape)
            skipped.add(bias[0].name)
        elif layer.op_type == "HardSwish":
            x = made[layer.inputs[0]]
            made[layer.outputs[0]] = build.add("Mul", x, build.add("HardSigmoid", x, alpha=1 / 6, beta=0.5))
        else:
            names = build.repeat(layer, [made[item] if item else "" for item in layer.inputs])
            made.update(zip(layer.outputs, names, strict=True))
    return build.finish(*(made[name] for name in network.outputs))


def _bias_of(network: Network, layer: Layer) -> tuple[Layer, str] | None:
    """The addition of a bias that alone reads this product by a matrix of weights, and the bias."""
    if layer.op_type != "MatMul" or layer.outputs[0] in network.outputs:
        return None
    weight, readers = network.tensors[layer.inputs[1]], network.consumers(layer.outputs[0])
    if not weight.is_constant or len(weight.shape) != 2 or len(readers) != 1 or readers[0].op_type != "Add":
        return None
    others = [name for name in readers[0].inputs if name != layer.outputs[0]]
    bias = network.tensors[others[0]] if len(others) == 1 else None
    if bias is None or not bias.is_constant or bias.shape != weight.shape[1:]:
        return None
    return readers[0], others[0]


class _Quantiser:
    """The state of one pass over a network's layers."""

    def __init__(self, network: Network, activations: Activations) -> None:
        self.network = network
        self.activations = activations
        self.build = GrowingBuilder(network.name)
        self.roots: dict[str, str] = {}
        """Tensors that are another one now: what a folded or swallowed layer made."""
        self.made: dict[str, str] = {}
        """The new tensor of each old one."""
        self.pairs: dict[str, str] = {}
        """The dequantised tensor of each old one that was quantised."""
        self.scales: dict[str, tuple[str, str]] = {}
        """Scale and zero point of each old tensor."""
        self.constants: dict[tuple[str, str], str] = {}
        self.biased: set[str] = set()
        """Convolutions that take in a normalisation's offset."""
        self.kept = tuple(layer for layer in network.layers if not self._vanishes(layer))
        self.wanted = {
            self._root(name)
            for layer in self.kept
            if layer.op_type in _QUANTISABLE
            for name in (*layer.inputs, *layer.outputs)
            if name and self._is_activation(name)
        }

    def run(self) -> Network:
        for name in self.network.inputs:
            tensor = self.network.tensors[name]
            self.made[name] = self.build.input(name, tensor.shape, dtype=tensor.dtype)
        for layer in self.kept:
            self._write(layer)
        return self.build.finish(*dict.fromkeys(self._read(name) for name in self.network.outputs))

    def _root(self, name: str) -> str:
        while name in self.roots:
            name = self.roots[name]
        return name

    def _is_activation(self, name: str) -> bool:
        tensor = self.network.tensors[name]
        return not tensor.is_constant and tensor.dtype == "float32"

    def _vanishes(self, layer: Layer) -> bool:
        """Whether the layer is folded into, or swallowed after, the one before; then takes note of it."""
        if layer.op_type not in ("BatchNormalization", "Relu", "Clip"):
            return False
        source = layer.inputs[0]
        producer = self.network.producer(self._root(source))
        alone = len(self.network.consumers(source)) == 1 and source not in self.network.outputs
        if producer is None or not alone or producer.op_type not in _QUANTISABLE:
            return False
        if layer.op_type == "BatchNormalization":
            if producer.op_type not in ("Conv", "ConvTranspose") or self._root(source) != source:
                return False
            self.biased.add(producer.name)
        self.roots[layer.outputs[0]] = source
        return True

    def _write(self, layer: Layer) -> None:
        inputs = [self._input(layer, position, name) for position, name in enumerate(layer.inputs)]
        if layer.name in self.biased and len(inputs) == 2:
            channels = self.network.tensors[layer.outputs[0]].shape[1]
            inputs.append(self.build.constant((channels,), stored_dtype="int32"))
        made = self.build.repeat(layer, inputs)
        self.made.update(zip(layer.outputs, made, strict=True))
        if layer.op_type in _SAME_SCALE and self._root(layer.inputs[0]) in self.scales:
            for name in layer.outputs:
                self.scales.setdefault(name, self.scales[self._root(layer.inputs[0])])

    def _input(self, layer: Layer, position: int, name: str) -> str:
        if not name:
            return ""
        tensor = self.network.tensors[name]
        if not tensor.is_constant:
            return self._read(name)
        stored = _WEIGHTS.get(layer.op_type, {}).get(position) if tensor.dtype == "float32" else None
        return self._constant(tensor, self.activations if stored == "activation" else stored)

    def _constant(self, tensor: Tensor, stored: str | None) -> str:
        key = tensor.name, stored or tensor.stored_dtype or ""
        if key not in self.constants:
            self.constants[key] = self.build.constant(
                tensor.shape,
                dtype=tensor.dtype,
                value=None if stored else tensor.value,
                stored_dtype=stored or tensor.stored_dtype,
            )
        return self.constants[key]

    def _read(self, name: str) -> str:
        """The tensor to read for an old activation: dequantised where it is quantised."""
        root = self._root(name)
        if root not in self.wanted:
            return self.made[root]
        if root not in self.pairs:
            if root not in self.scales:
                self.scales[root] = (
                    self.build.constant(()),
                    self.build.constant((), dtype=self.activations),
                )
            quantised = self.build.add("QuantizeLinear", self.made[root], *self.scales[root])
            self.pairs[root] = self.build.add("DequantizeLinear", quantised, *self.scales[root])
        return self.pairs[root]


def halve(network: Network) -> Network:
    """The network in half precision: every float32 tensor is float16.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("small")
    >>> small = build.finish(build.relu(build.input("x", (1, 3))))
    >>> {tensor.dtype for tensor in halve(small).tensors.values()}
    {'float16'}
    """
    build, made = GrowingBuilder(network.name), {}
    for name, tensor in network.tensors.items():
        dtype = "float16" if tensor.dtype == "float32" else tensor.dtype
        if tensor.is_constant:
            made[name] = build.constant(tensor.shape, dtype=dtype, value=tensor.value)
        elif name in network.inputs:
            made[name] = build.input(name, tensor.shape, dtype=dtype)
    for layer in network.layers:
        names = build.repeat(layer, [made[item] if item else "" for item in layer.inputs])
        made.update(zip(layer.outputs, names, strict=True))
    return build.finish(*(made[name] for name in network.outputs))
