"""MACs and ops of operators made of multiply-accumulates: convolutions, products, attention, recurrence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from annette.graph.geometry import MATRIX_OPERATORS
from annette.graph.network import Layer, Tensor
from annette.graph.work_rules import SOFTMAX_OPS, Count, Inputs

__all__ = ["MATRIX_COUNTS"]


def _shape(inputs: Inputs, index: int) -> tuple[int, ...]:
    tensor = inputs[index] if index < len(inputs) else None
    return () if tensor is None else tensor.shape


def _conv(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    """Output elements times in-channels of a group times kernel area; padding counts as data."""
    weight = _shape(inputs, 3 if layer.op_type == "QLinearConv" else 1)
    macs = outputs[0].size * math.prod(weight[1:])
    added = outputs[0].size if layer.op_type == "FusedConv" and _shape(inputs, 3) else 0
    return macs, 2 * macs + added


def _deform_conv(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    """A convolution, and 8 ops (four taps) for each sample of the input."""
    weight, shape = _shape(inputs, 1), outputs[0].shape
    macs = outputs[0].size * math.prod(weight[1:])
    positions = shape[0] * math.prod(shape[2:])
    return macs, 2 * macs + 8 * positions * _shape(inputs, 0)[1] * math.prod(weight[2:])


def _conv_transpose(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    """Input elements times out-channels of a group times kernel area."""
    macs = math.prod(_shape(inputs, 0)) * math.prod(_shape(inputs, 1)[1:])
    return macs, 2 * macs


def _matmul(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    left = _shape(inputs, 0)
    inner = left[-2 if layer.int_attribute("transA", 0) and len(left) > 1 else -1]
    macs = outputs[0].size * inner
    return macs, 2 * macs


def _einsum(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    """All indices' sizes multiplied, once for each product; one op an output where nothing is summed."""
    equation = layer.attribute("equation", "")
    terms = str(equation).replace(" ", "").split("->")[0].split(",")
    sizes: dict[str, int] = {}
    hidden = 1
    for term, tensor in zip(terms, inputs, strict=False):
        shape = () if tensor is None else tensor.shape
        head, _, tail = term.partition("...")
        middle = len(shape) - len(head) - len(tail)
        hidden = max(hidden, math.prod(shape[len(head) : len(head) + middle]))
        rest = (*shape[: len(head)], *shape[len(head) + middle :])
        for letter, size in zip(head + tail, rest, strict=False):
            sizes[letter] = max(size, sizes.get(letter, 1))
    space = math.prod(sizes.values()) * hidden
    summed = space > outputs[0].size
    if len(inputs) == 1:
        return 0, space if summed else 0
    products = (len(inputs) - 1) * space
    return (products, 2 * products) if summed else (0, products)


def _attention_ops(
    batch_heads: int, length: int, total: int, key_size: int, value_size: int
) -> tuple[int, int]:
    """Scores, their scaling and softmax, and the weighted sum of the values; masks are not skipped."""
    scores = batch_heads * length * total
    macs = scores * (key_size + value_size)
    return macs, 2 * macs + (SOFTMAX_OPS + 1) * scores


def _attention(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    """Attention of ONNX, or of com.microsoft, which projects its one input first."""
    query, key, value = (_shape(inputs, index) for index in range(3))
    if layer.domain == "com.microsoft":
        batch, length, hidden = query
        heads = max(layer.int_attribute("num_heads", 1), 1)
        past = _shape(inputs, 4)
        total = length + (past[3] if past else 0)
        sizes = layer.ints_attribute("qkv_hidden_sizes") or (key[1] // 3,) * 3
        projection = batch * length * hidden * key[1]
        macs, ops = _attention_ops(batch * heads, length, total, sizes[1] // heads, sizes[2] // heads)
        return projection + macs, 2 * projection + ops
    past = _shape(inputs, 4)
    kept = past[2] if past else 0
    if len(query) == 4:
        return _attention_ops(query[0] * query[1], query[2], key[2] + kept, query[3], value[3])
    heads = max(layer.int_attribute("q_num_heads", 1), 1)
    kv_heads = max(layer.int_attribute("kv_num_heads", 1), 1)
    return _attention_ops(
        query[0] * heads, query[1], key[1] + kept, query[2] // heads, value[2] // kv_heads
    )  # fmt: skip


def _multi_head_attention(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    query, key, past = _shape(inputs, 0), _shape(inputs, 1), _shape(inputs, 6)
    heads = max(layer.int_attribute("num_heads", 1), 1)
    if len(query) == 5:  # keys and values packed with it, whatever else is given
        head_size, length = query[4], query[1]
    else:
        head_size, length = query[2] // heads, key[2] if len(key) == 4 else key[1]
    total = length + (past[2] if past else 0)
    return _attention_ops(query[0] * heads, query[1], total, head_size, outputs[0].shape[-1] // heads)


def _group_query_attention(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    query, past = _shape(inputs, 0), _shape(inputs, 3)
    heads = max(layer.int_attribute("num_heads", 1), 1)
    head_size = outputs[0].shape[-1] // heads
    total = max(past[2], query[1]) if past else query[1]
    return _attention_ops(query[0] * heads, query[1], total, head_size, head_size)


_GATES: Mapping[str, tuple[int, int]] = MappingProxyType({"LSTM": (4, 9), "GRU": (3, 8), "RNN": (1, 1)})
"""Gates, and element-wise ops of a hidden unit and step: activations, products and sums."""


def _recurrent(layer: Layer, inputs: Inputs, outputs: Sequence[Tensor]) -> tuple[int, int]:
    source, weight, recurrence = (_shape(inputs, index) for index in range(3))
    directions, hidden = recurrence[0], recurrence[-1]
    gates, element_ops = _GATES[layer.op_type]
    cells = directions * source[0] * source[1]  # steps and batch, in either layout
    macs = cells * gates * hidden * (weight[-1] + hidden)
    return macs, 2 * macs + cells * hidden * element_ops


MATRIX_COUNTS: Mapping[str, Count] = MappingProxyType(
    {
        **dict.fromkeys(("Conv", "ConvInteger", "FusedConv", "QLinearConv"), _conv),
        **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
        **dict.fromkeys(MATRIX_OPERATORS, _matmul),
        "Attention": _attention,
        "ConvTranspose": _conv_transpose,
        "DeformConv": _deform_conv,
        "Einsum": _einsum,
        "GroupQueryAttention": _group_query_attention,
        "MultiHeadAttention": _multi_head_attention,
    }
)
"""By operator type."""
