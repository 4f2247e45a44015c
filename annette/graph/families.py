"""Families: the kinds of layers that devices run alike and that models treat together."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from annette.graph.geometry import MATRIX_OPERATORS
from annette.graph.network import Layer, Network
from annette.graph.operands import DOMAINS
from annette.graph.operators import BROADCASTING, COMPARISONS, MICROSOFT_UNARY, REDUCTIONS, UNARY

__all__ = ["FAMILIES", "layer_family"]

FAMILIES = (
    "conv",
    "depthwise_conv",
    "grouped_conv",
    "conv_transpose",
    "gemm",
    "matmul",
    "pool",
    "global_pool",
    "elementwise",
    "activation",
    "softmax",
    "normalization",
    "reduce",
    "concat",
    "copy",
    "gather",
    "resize",
    "attention",
    "quantize",
    "opaque",
)
"""Every family; ``opaque`` holds what has no rule, control flow and recurrent layers."""

_CONVOLUTIONS = frozenset({"Conv", "ConvInteger", "DeformConv", "FusedConv", "QLinearConv"})

_MEMBERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "activation": (*UNARY, *MICROSOFT_UNARY, "IsInf", "IsNaN", "PRelu"),
        "attention": ("Attention", "GroupQueryAttention", "MultiHeadAttention"),
        "concat": ("Concat", "QLinearConcat"),
        "conv_transpose": ("ConvTranspose",),
        "copy": (
            "AffineGrid", "BiasDropout", "Cast", "CastLike", "CenterCropPad", "Col2Im", "Constant",
            "ConstantOfShape", "DepthToSpace", "Dropout", "Expand", "EyeLike", "Flatten", "Identity",
            "OneHot", "Pad", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
            "Range", "Reshape", "ReverseSequence", "Shape", "Size", "Slice", "SpaceToDepth", "Split",
            "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze",
        ),
        "elementwise": (*BROADCASTING, *COMPARISONS, "BiasAdd", "QLinearAdd", "QLinearMul", "RotaryEmbedding",
                        "Where"),
        "gather": ("Compress", "Gather", "GatherElements", "GatherND", "Scatter", "ScatterElements",
                   "ScatterND", "TensorScatter"),
        "global_pool": ("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "QLinearGlobalAveragePool"),
        "normalization": (
            "BatchNormalization", "EmbedLayerNormalization", "GroupNorm", "GroupNormalization",
            "InstanceNormalization", "LRN", "LayerNormalization", "LpNormalization",
            "MeanVarianceNormalization", "RMSNormalization", "SimplifiedLayerNormalization",
            "SkipLayerNormalization", "SkipSimplifiedLayerNormalization",
        ),
        "pool": ("AveragePool", "LpPool", "MaxPool", "MaxRoiPool", "MaxUnpool", "QLinearAveragePool",
                 "RoiAlign"),
        "quantize": ("DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"),
        "reduce": (*REDUCTIONS, "ArgMax", "ArgMin", "CumProd", "CumSum", "TopK"),
        "resize": ("GridSample", "Resize", "Upsample"),
        "softmax": ("Hardmax", "LogSoftmax", "QLinearSoftmax", "Softmax"),
    }
)  # fmt: skip
_FAMILY: Mapping[str, str] = MappingProxyType(
    {op_type: family for family, members in _MEMBERS.items() for op_type in members}
)


def layer_family(network: Network, layer: Layer) -> str:
    """The family of ``layer``, one of `FAMILIES`.

    A convolution is depthwise if each of its groups has one input channel, and grouped if it has several
    groups otherwise. A matrix product (or an Einsum of two) is ``gemm`` if its right side is a weight.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("one")
    >>> y = build.depthwise_conv(build.input("x", (1, 8, 6, 6)))
    >>> network = build.finish(y)
    >>> layer_family(network, network.layers[0])
    'depthwise_conv'
    """
    op_type = layer.op_type
    if layer.domain not in DOMAINS:
        return "opaque"
    if op_type in _CONVOLUTIONS:
        groups = layer.int_attribute("group", 1)
        if groups == 1:
            return "conv"
        weight = network.tensors[layer.inputs[3 if op_type == "QLinearConv" else 1]]
        return "depthwise_conv" if weight.shape[1] == 1 else "grouped_conv"
    position = MATRIX_OPERATORS.get(op_type)
    if position is None and op_type == "Einsum":
        if len(layer.inputs) == 1:
            return "reduce"
        position = 1
    if position is not None:
        return "gemm" if layer.inputs[position] in network.weights else "matmul"
    return _FAMILY.get(op_type, "opaque")
