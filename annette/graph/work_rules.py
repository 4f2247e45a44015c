"""Op counts of operators without multiply-accumulates: pools, element-wise, norms, reductions, sampling.

Ops an output element unless said otherwise (n is the number of elements reduced to one):

| operators | ops |
|---|---|
| MaxPool, AveragePool, LpPool | area of the window |
| Global pools, Reduce*, ArgMax, CumSum | 1 an input element; 2 where it is squared or exponentiated first |
| binary and n-ary element-wise | number of operands - 1, at least 1; Mean one more for the division |
| activations, comparisons, Where | 1 |
| Softmax, LogSoftmax | 5: maximum, subtract, exp, sum, divide (or subtract) |
| Hardmax | 1 |
| BatchNormalization | 2: scale and shift, with the statistics folded in |
| LayerNormalization, Instance-, GroupNormalization | 7: sum, subtract, square, sum, divide, scale, shift |
| RMSNormalization | 4: square, sum, divide, scale |
| SkipLayerNormalization | as above, and 1 for each addend |
| MeanVarianceNormalization | 5: sum, subtract, square, sum, divide |
| LpNormalization | 3: power, sum, divide |
| LRN | size + 4: square, sum over size channels, scale, add, power, divide |
| Resize, Upsample | 2 a tap: 2 taps an interpolated axis if linear, 4 if cubic; nearest moves data only |
| GridSample | the same, with both axes interpolated |
| RoiAlign | 8 a sample (four taps); 4 samples where their number is not given |
| QuantizeLinear, DequantizeLinear | 2: scale, shift; DynamicQuantizeLinear 4: also minimum and maximum |
| TopK | ceil(log2(k)) an input element, at least 1: a heap of k |
| RotaryEmbedding | 3: two products and a sum |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from annette.graph.network import Layer, Tensor
from annette.graph.operators import BROADCASTING, COMPARISONS, MICROSOFT_UNARY, REDUCTIONS, UNARY

__all__ = ["COUNTS", "SOFTMAX_OPS", "Count"]

Inputs = Sequence[Tensor | None]
Count = Callable[[Layer, Inputs, Sequence[Tensor]], tuple[int, int]]
"""Counts (macs, ops) from a layer, its inputs and its outputs."""

SOFTMAX_OPS = 5
"""Ops of a softmax, an element."""


def _size(inputs: Inputs, index: int) -> int:
    tensor = inputs[index] if index < len(inputs) else None
    return 0 if tensor is None else tensor.size


def _per_output(ops: int) -> Count:
    def count(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
        return 0, ops * outputs[0].size

    return count


def _per_input(ops: int) -> Count:
    def count(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
        return 0, ops * _size(inputs, 0)

    return count


def _broadcasting(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    operations = max(len(inputs) - 1, 1) + (layer.op_type == "Mean")
    return 0, operations * outputs[0].size


def _pool(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    return 0, math.prod(layer.ints_attribute("kernel_shape") or ()) * outputs[0].size


def _skip_norm(ops: int) -> Count:
    def count(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
        has_bias = len(inputs) > 4 and inputs[4] is not None
        return 0, (ops + 1 + has_bias) * outputs[0].size

    return count


def _lrn(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    return 0, (layer.int_attribute("size", 1) + 4) * outputs[0].size


def _taps_per_axis(layer: Layer, default: str) -> int:
    mode = layer.attribute("mode", default)
    if mode == "nearest":
        return 1
    return 4 if mode in ("cubic", "bicubic") else 2


def _resize(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    source, result = inputs[0], outputs[0]
    taps = _taps_per_axis(layer, "nearest")
    if source is None or taps == 1:
        return 0, 0
    changed = [a for a, b in zip(source.shape, result.shape, strict=False) if a != b]
    return 0, 2 * math.prod(taps for _ in changed) * result.size if changed else 0


def _grid_sample(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    taps = _taps_per_axis(layer, "linear")
    window = math.prod(taps for _ in outputs[0].shape[2:])
    return 0, 2 * window * outputs[0].size if taps > 1 else 0


def _roi_align(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    samples = layer.int_attribute("sampling_ratio", 0) ** 2 or 4
    return 0, 8 * samples * outputs[0].size


def _top_k(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    axis = layer.int_attribute("axis", -1)
    shape = outputs[0].shape
    kept = shape[axis] if -len(shape) <= axis < len(shape) else 1
    return 0, max(1, (max(kept, 1) - 1).bit_length()) * _size(inputs, 0)


COUNTS: Mapping[str, Count] = MappingProxyType(
    {
        **dict.fromkeys((*UNARY, *MICROSOFT_UNARY, *COMPARISONS), _per_output(1)),
        **dict.fromkeys(("BiasAdd", "IsInf", "IsNaN", "PRelu", "Where", "Hardmax"), _per_output(1)),
        **dict.fromkeys(("QLinearAdd", "QLinearMul"), _per_output(1)),
        **dict.fromkeys(BROADCASTING, _broadcasting),
        **dict.fromkeys(REDUCTIONS, _per_input(1)),
        **dict.fromkeys(("ReduceL2", "ReduceLogSumExp", "ReduceSumSquare"), _per_input(2)),
        **dict.fromkeys(("ArgMax", "ArgMin", "CumProd", "CumSum"), _per_input(1)),
        **dict.fromkeys(("AveragePool", "LpPool", "MaxPool", "QLinearAveragePool"), _pool),
        **dict.fromkeys(("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"), _per_input(1)),
        **dict.fromkeys(("Softmax", "LogSoftmax", "QLinearSoftmax"), _per_output(SOFTMAX_OPS)),
        **dict.fromkeys(("LayerNormalization", "InstanceNormalization"), _per_output(7)),
        **dict.fromkeys(("GroupNormalization", "GroupNorm"), _per_output(7)),
        **dict.fromkeys(("RMSNormalization", "SimplifiedLayerNormalization"), _per_output(4)),
        **dict.fromkeys(("Resize", "Upsample"), _resize),
        **dict.fromkeys(("DequantizeLinear", "QuantizeLinear"), _per_output(2)),
        "BatchNormalization": _per_output(2),
        "BiasGelu": _per_output(2),
        "DynamicQuantizeLinear": _per_output(4),
        "EmbedLayerNormalization": _per_output(9),
        "GridSample": _grid_sample,
        "LRN": _lrn,
        "LpNormalization": _per_output(3),
        "MaxRoiPool": _per_input(1),
        "MeanVarianceNormalization": _per_output(5),
        "QLinearGlobalAveragePool": _per_input(1),
        "RoiAlign": _roi_align,
        "RotaryEmbedding": _per_output(3),
        "SkipLayerNormalization": _skip_norm(7),
        "SkipSimplifiedLayerNormalization": _skip_norm(4),
        "TopK": _top_k,
    }
)
"""By operator type; an operator that is in no table of counts moves data only."""
