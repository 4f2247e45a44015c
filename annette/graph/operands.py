"""The roles of a layer's inputs: activations, weights, learned parameters, and mere settings."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from annette.graph.network import Layer, Network, Tensor
from annette.graph.operators import REDUCTIONS

__all__ = ["DOMAINS", "operands", "parameter_tensors", "roles"]

DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
"""Operator domains whose operator types mean what ONNX and ONNX Runtime say."""

_SETTINGS: Mapping[str, frozenset[int]] = MappingProxyType(
    {
        **dict.fromkeys(REDUCTIONS, frozenset({1})),
        **dict.fromkeys(("Shape", "Size", "EyeLike", "ConstantOfShape"), frozenset({0})),
        **dict.fromkeys(("Reshape", "Upsample", "Expand", "Tile", "Squeeze", "Unsqueeze"), frozenset({1})),
        **dict.fromkeys(("Split", "TopK", "CumSum", "CumProd", "Trilu", "CenterCropPad"), frozenset({1})),
        **dict.fromkeys(("AffineGrid", "CastLike", "ReverseSequence"), frozenset({1})),
        **dict.fromkeys(("Clip", "Dropout", "OneHot", "Col2Im"), frozenset({1, 2})),
        **dict.fromkeys(("Pad", "Resize"), frozenset({1, 2, 3})),
        "MaxUnpool": frozenset({2}),
        "Range": frozenset({0, 1, 2}),
        "Slice": frozenset({1, 2, 3, 4}),
    }
)
"""Inputs that say how, not what: shapes, axes, bounds. A device does not stream them as data."""

_QUANTISATION = frozenset({1, 2, 4, 5, 6, 7})
_NOT_LEARNED: Mapping[str, frozenset[int]] = MappingProxyType(
    {
        **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), frozenset({1, 2})),
        **dict.fromkeys(("ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul"), frozenset({2, 3})),
        **dict.fromkeys(("QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul"), _QUANTISATION),
        **dict.fromkeys(("LSTM", "GRU", "RNN"), frozenset({4, 5, 6})),
        **dict.fromkeys(("QLinearAveragePool", "QLinearGlobalAveragePool"), frozenset({1, 2, 3, 4})),
        **dict.fromkeys(("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax"), frozenset({1, 2, 3, 4})),
        **dict.fromkeys(("Gather", "GatherElements", "GatherND"), frozenset({1})),
        "Attention": frozenset({3, 4, 5, 6}),
        "BatchNormalization": frozenset({3, 4}),
        "MatMulIntegerToFloat": frozenset({2, 3, 4, 5}),
        "MatMulNBits": frozenset({2, 3, 4}),
        "QGemm": frozenset({1, 2, 4, 5, 7, 8}),
    }
)
"""Weights that no training step learns: scales, zero points, indices, running statistics, masks."""

_NOT_LEARNED_DTYPES = frozenset({"int64", "uint64", "bool", "string", "opaque"})
_NONE: frozenset[int] = frozenset()


Tensors = tuple[Tensor, ...]


def roles(network: Network, layer: Layer) -> tuple[Tensors, Tensors, Tensors]:
    """The activations and the weights that ``layer`` reads as data, and the weights that training learns.

    Each tensor is there once. Settings such as the shape of a Reshape belong to none. Learned are constants
    but scalars, indices and booleans, quantisation scales and zero points, and the running mean and variance
    of a BatchNormalization, which published parameter counts leave out, too.
    """
    known = layer.domain in DOMAINS
    settings = _SETTINGS.get(layer.op_type, _NONE) if known else _NONE
    others = _NOT_LEARNED.get(layer.op_type, _NONE) if known else _NONE
    tensors, kept = network.tensors, network.weights
    activations: dict[str, Tensor] = {}
    weights: dict[str, Tensor] = {}
    learned: dict[str, Tensor] = {}
    for index, name in enumerate(layer.inputs):
        if not name or index in settings:
            continue
        tensor = tensors[name]
        if name not in kept:
            activations[name] = tensor
            continue
        weights[name] = tensor
        is_data = tensor.shape and tensor.dtype not in _NOT_LEARNED_DTYPES
        if is_data and tensor.is_constant and index not in others:
            learned[name] = tensor
    return tuple(activations.values()), tuple(weights.values()), tuple(learned.values())


def operands(network: Network, layer: Layer) -> tuple[Tensors, Tensors]:
    """The activations and the weights that ``layer`` reads as data, as `roles` tells them."""
    activations, weights, _ = roles(network, layer)
    return activations, weights


def parameter_tensors(network: Network, layer: Layer) -> Tensors:
    """The constants of ``layer`` that training learns, as `roles` tells them."""
    return roles(network, layer)[2]
