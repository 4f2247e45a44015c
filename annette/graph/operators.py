"""Groups of ONNX operator types that are treated alike: by shape, by work and by family."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annette.graph.network import Layer

__all__ = [
    "BROADCASTING",
    "COMPARISONS",
    "MAC_OPERATORS",
    "MICROSOFT_UNARY",
    "REDUCTIONS",
    "SHAPE_KEEPING",
    "UNARY",
    "WEIGHT_KEEPING",
    "operator_key",
    "primary_rank",
]

# fmt: off
UNARY = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Ceil", "Celu", "Clip",
    "Cos", "Cosh", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log",
    "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh",
    "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
)
"""One output element from one input element, of the same dtype; bounds and slopes are parameters."""

MICROSOFT_UNARY = (
    "BiasGelu", "FastGelu", "Gelu", "QLinearLeakyRelu", "QLinearSigmoid", "QuickGelu",
)
"""The same in the domain ``com.microsoft``."""

SHAPE_KEEPING = (
    "CumProd", "CumSum", "Identity", "LRN", "LpNormalization", "MeanVarianceNormalization",
    "ReverseSequence", "RotaryEmbedding", "Scatter", "ScatterElements", "ScatterND", "TensorScatter", "Trilu",
)
"""Other operators whose output has the shape and dtype of the first input."""

BROADCASTING = (
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Max", "Mean", "Min", "Mod",
    "Mul", "Or", "Pow", "Sub", "Sum", "Xor",
)
"""Element by element over two or more inputs that broadcast, of the same dtype."""

COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
"""Element by element over two inputs that broadcast, with booleans as result."""

REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare",
)
"""One number from all elements along some axes."""
WEIGHT_KEEPING = frozenset(
    {"Cast", "DequantizeLinear", "Identity", "QuantizeLinear", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators through which a weight stays a weight."""

MAC_OPERATORS = frozenset(
    {
        "Conv", "ConvTranspose", "Gemm", "MatMul", "ConvInteger", "MatMulInteger", "QLinearConv",
        "QLinearMatMul", "DeformConv", "com.microsoft::FusedConv", "com.microsoft::FusedGemm",
    }
)
"""Operators that multiply and accumulate, other domains named first: they give a kernel its primary layer."""

QUANTISERS = frozenset({"DequantizeLinear", "QuantizeLinear"})
"""Operators that turn floating point into integers or back."""
# fmt: on


def operator_key(layer: Layer) -> str:
    """The operator type, preceded by its domain where that is not ONNX's own."""
    return layer.op_type if layer.domain in ("", "ai.onnx") else f"{layer.domain}::{layer.op_type}"


def primary_rank(operator: str) -> int:
    """How well an operator stands for its kernel: the first layer with the least rank is primary.

    What multiplies and accumulates comes first, what quantises last.

    Examples
    --------
    >>> sorted(("DequantizeLinear", "Relu", "Conv"), key=primary_rank)
    ['Conv', 'Relu', 'DequantizeLinear']
    """
    return 0 if operator in MAC_OPERATORS else 2 if operator in QUANTISERS else 1
