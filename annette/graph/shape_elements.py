"""Shape rules of operators that work element by element, normalise, or reduce along axes."""

from __future__ import annotations

from types import MappingProxyType

from annette.graph.operators import (
    BROADCASTING,
    COMPARISONS,
    MICROSOFT_UNARY,
    REDUCTIONS,
    SHAPE_KEEPING,
    UNARY,
)
from annette.graph.shape_case import Case, Result, Rule

__all__ = ["ELEMENT_RULES", "MICROSOFT_ELEMENT_RULES"]


def _same(case: Case) -> tuple[Result, ...]:
    return (case.same(),)


def _accumulated(case: Case) -> tuple[Result, ...]:
    case.tensor(1)  # the axis
    return _same(case)


def _same_bool(case: Case) -> tuple[Result, ...]:
    return ((case.shape(0), "bool"),)


def _broadcast(case: Case) -> tuple[Result, ...]:
    return ((case.broadcast(*range(len(case.inputs))), case.dtype(0)),)


def _broadcast_bool(case: Case) -> tuple[Result, ...]:
    return ((case.broadcast(0, 1), "bool"),)


def _prelu(case: Case) -> tuple[Result, ...]:
    if case.broadcast(0, 1) != case.shape(0):
        raise case.fail("a slope that broadcasts to the shape of the first input")
    return (case.same(),)


def _where(case: Case) -> tuple[Result, ...]:
    return ((case.broadcast(0, 1, 2), case.dtype(1)),)


def _cast(case: Case) -> tuple[Result, ...]:
    return ((case.shape(0), case.data_type("to", case.dtype(0))),)


def _cast_like(case: Case) -> tuple[Result, ...]:
    return ((case.shape(0), case.dtype(1)),)


def _dropout(case: Case) -> tuple[Result, ...]:
    return case.same(), (case.shape(0), "bool")


def _softmax(case: Case) -> tuple[Result, ...]:
    shape = case.require_rank(0, 1)
    case.axis(case.number("axis", 1 if len(shape) > 1 else 0), len(shape))
    return (case.same(),)


def _batch_norm(case: Case) -> tuple[Result, ...]:
    shape = case.require_rank(0, 1)
    channels = shape[1] if len(shape) > 1 else 1
    for index in range(1, 5):
        if case.shape(index) not in ((channels,), (1,)):
            raise case.fail(f"four vectors of {channels} channels behind the first input")
    return case.same(), *(case.same(index) for index in (3, 4, 3, 4))


def _channel_norm(case: Case) -> tuple[Result, ...]:
    """InstanceNormalization and GroupNormalization: two vectors of weights, one number a channel or group."""
    shape = case.require_rank(0, 2)
    groups = case.number("num_groups", shape[1])
    if groups < 1 or shape[1] % groups:
        raise case.fail(f"a number of channels that is a multiple of {groups} groups")
    for index in (1, 2):
        if case.shape(index) not in ((shape[1],), (groups,)):
            raise case.fail(f"two vectors of {shape[1]} channels or {groups} groups behind the first input")
    return (case.same(),)


def _layer_norm(case: Case) -> tuple[Result, ...]:
    shape = case.require_rank(0, 1)
    axis = case.axis(case.number("axis", -1), len(shape))
    if case.broadcast(0, 1) != shape:
        raise case.fail(f"a scale that broadcasts to the normalised axes {shape[axis:]}")
    statistics = ((*shape[:axis], *(1 for _ in shape[axis:])), "float32")
    return case.same(), statistics, statistics


def _skip_layer_norm(case: Case) -> tuple[Result, ...]:
    shape = case.broadcast(0, 1)
    if shape != case.shape(0):
        raise case.fail("a second input that broadcasts to the shape of the first")
    statistics = ((*shape[:-1], 1), "float32")
    return case.same(), statistics, statistics, case.same()


def _embed_layer_norm(case: Case) -> tuple[Result, ...]:
    tokens, table = case.require_rank(0, 2, 2), case.require_rank(2, 2, 2)
    shape = (*tokens, table[1])
    dtype = case.dtype(2)
    return (shape, dtype), ((tokens[0],), "int32"), (shape, dtype)


def _reduce(case: Case) -> tuple[Result, ...]:
    shape = case.shape(0)
    axes = case.setting("axes", 1)
    if not axes:
        if case.number("noop_with_empty_axes", 0):
            return (case.same(),)
        axes = tuple(range(len(shape)))
    reduced = set(case.axes(axes, len(shape)))
    if case.number("keepdims", 1):
        result = tuple(1 if axis in reduced else size for axis, size in enumerate(shape))
    else:
        result = tuple(size for axis, size in enumerate(shape) if axis not in reduced)
    return ((result, case.dtype(0)),)


def _arg_reduce(case: Case) -> tuple[Result, ...]:
    shape = case.require_rank(0, 1)
    axis = case.axis(case.number("axis", 0), len(shape))
    middle = (1,) if case.number("keepdims", 1) else ()
    return (((*shape[:axis], *middle, *shape[axis + 1 :]), "int64"),)


def _top_k(case: Case) -> tuple[Result, ...]:
    shape = case.require_rank(0, 1)
    axis = case.axis(case.number("axis", -1), len(shape))
    count = case.number("k", -1) if case.optional(1) is None else case.ints(1)[0]
    if not 0 <= count <= shape[axis]:
        raise case.fail(f"k in [0, {shape[axis]}], not {count}")
    result = (*shape[:axis], count, *shape[axis + 1 :])
    return (result, case.dtype(0)), (result, "int64")


def _quantize(case: Case) -> tuple[Result, ...]:
    return ((case.shape(0), case.dtype_or(2, case.data_type("output_dtype", "uint8"))),)


def _dequantize(case: Case) -> tuple[Result, ...]:
    return ((case.shape(0), case.data_type("output_dtype", case.dtype(1))),)


def _dynamic_quantize(case: Case) -> tuple[Result, ...]:
    return (case.shape(0), "uint8"), ((), "float32"), ((), "uint8")


def _qlinear_binary(case: Case) -> tuple[Result, ...]:
    return ((case.broadcast(0, 3), case.dtype(0)),)


ELEMENT_RULES: MappingProxyType[str, Rule] = MappingProxyType(
    {
        **dict.fromkeys((*UNARY, *SHAPE_KEEPING), _same),
        **dict.fromkeys(BROADCASTING, _broadcast),
        **dict.fromkeys(COMPARISONS, _broadcast_bool),
        **dict.fromkeys(REDUCTIONS, _reduce),
        **dict.fromkeys(("CumProd", "CumSum"), _accumulated),
        **dict.fromkeys(("IsInf", "IsNaN"), _same_bool),
        **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax),
        **dict.fromkeys(("ArgMax", "ArgMin"), _arg_reduce),
        **dict.fromkeys(("InstanceNormalization", "GroupNormalization"), _channel_norm),
        **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _layer_norm),
        "BatchNormalization": _batch_norm,
        "Cast": _cast,
        "CastLike": _cast_like,
        "DequantizeLinear": _dequantize,
        "Dropout": _dropout,
        "DynamicQuantizeLinear": _dynamic_quantize,
        "PRelu": _prelu,
        "QuantizeLinear": _quantize,
        "TopK": _top_k,
        "Where": _where,
    }
)
"""Rules of the default domain."""

MICROSOFT_ELEMENT_RULES: MappingProxyType[str, Rule] = MappingProxyType(
    {
        **dict.fromkeys(MICROSOFT_UNARY, _same),
        **dict.fromkeys(("BiasAdd", "BiasDropout", "GroupNorm", "QLinearSoftmax", "RotaryEmbedding"), _same),
        **dict.fromkeys(("QLinearAdd", "QLinearMul"), _qlinear_binary),
        **dict.fromkeys(("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"), _skip_layer_norm),
        "DequantizeLinear": _dequantize,
        "EmbedLayerNormalization": _embed_layer_norm,
        "QuantizeLinear": _quantize,
        "SimplifiedLayerNormalization": _layer_norm,
    }
)
"""Rules of the domain ``com.microsoft``."""
