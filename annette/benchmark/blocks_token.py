"""Blocks on tokens: attention, feed-forward layers, normalisation written out, embeddings, windows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from annette.benchmark.micro_matrix import Sampler
from annette.benchmark.sampling import Draw
from annette.graph.builder import NetworkBuilder

__all__ = ["TOKEN_BLOCKS"]

_HEAD_SIZES = (16, 24, 32, 32, 64, 64, 64)


def _token_count(draw: Draw, high: int = 1024) -> int:
    if draw.chance(0.5):
        return min(draw.pick((49, 50, 64, 128, 144, 192, 196, 197, 256, 384, 512, 784)), high)
    return draw.log_int(8, high)


def _features(draw: Draw) -> int:
    return draw.pick((96, 128, 192, 256, 320, 384, 512, 768)) if draw.chance(0.6) else draw.channels(32, 1024)


def _scalar(build: NetworkBuilder, value: float) -> str:
    return build.constant((), value=(value,))


def _normalise(draw: Draw, build: NetworkBuilder, x: str) -> str:
    """Layer normalisation, as one operator or written out."""
    if draw.chance(0.55):
        return build.layer_norm(x)
    axes = build.int_constant((-1,))
    centred = build.add("Sub", x, build.add("ReduceMean", x, axes, keepdims=1))
    square = (
        build.add("Pow", centred, _scalar(build, 2.0))
        if draw.chance(0.7)
        else build.add("Mul", centred, centred)
    )
    variance = build.add("Add", build.add("ReduceMean", square, axes, keepdims=1), _scalar(build, 1e-5))
    y = build.add("Div", centred, build.add("Sqrt", variance))
    size = build.shape(x)[-1:]
    return build.add("Add", build.add("Mul", y, build.constant(size)), build.constant(size))


def _gelu(draw: Draw, build: NetworkBuilder, x: str) -> str:
    """The Gaussian error linear unit: as written by exporters, as an operator, or its cheap cousins."""
    style = draw.unit()
    if style < 0.5:
        y = build.add("Erf", build.add("Div", x, _scalar(build, math.sqrt(2.0))))
        y = build.add("Mul", x, build.add("Add", y, _scalar(build, 1.0)))
        return build.add("Mul", y, _scalar(build, 0.5))
    if style < 0.7:
        return build.add("Gelu", x)
    if style < 0.85:
        return build.add("Mul", x, build.add("Sigmoid", build.add("Mul", x, _scalar(build, 1.702))))
    return build.relu(x)


def _feed_forward(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Normalise, widen, bend, narrow, add."""
    features = _features(draw)
    x = build.input("x", (1, _token_count(draw, 3136), features))
    y = _normalise(draw, build, x) if draw.chance(0.6) else x
    y = build.linear(y, max(round(features * draw.pick((1, 2, 4, 4))), 8))
    y = build.linear(_gelu(draw, build, y), features)
    if draw.chance(0.7):
        y = build.add("Add", y, x) if draw.chance(0.5) else build.add("Add", x, y)
        y = _normalise(draw, build, y) if draw.chance(0.4) else y
    return (y,)


def _heads(build: NetworkBuilder, x: str, heads: int, *, transposed: bool = False) -> str:
    batch, tokens, features = build.shape(x)
    y = build.reshape(x, (batch, tokens, heads, features // heads))
    return build.transpose(y, (0, 2, 3, 1) if transposed else (0, 2, 1, 3))


def _attention(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Multi-head self-attention with its projections, in two layouts, with and without mask and shortcut."""
    heads, size = draw.pick((1, 2, 3, 4, 6, 8, 12)), draw.pick(_HEAD_SIZES)
    features = heads * size
    windows = draw.pick((1, 1, 1, 1, 4, 16))
    tokens = draw.pick((16, 49, 64)) if windows > 1 else _token_count(draw, 600)
    x = build.input("x", (windows, tokens, features))
    y = _normalise(draw, build, x) if draw.chance(0.5) else x
    if draw.chance(0.5):
        query, key, value = _separate(build, y, heads)
    else:
        query, key, value = _packed(build, y, heads)
    if draw.chance(0.3):
        query = build.add("Mul", query, _scalar(build, 1 / math.sqrt(size)))
        scores = build.add("MatMul", query, key)
    else:
        scores = build.add("MatMul", query, key)
        scores = build.add(draw.pick(("Div", "Mul")), scores, _scalar(build, math.sqrt(size)))
    if draw.chance(0.4):
        scores = build.add("Add", scores, build.constant((1, draw.pick((1, heads)), tokens, tokens)))
    y = build.transpose(build.add("MatMul", build.softmax(scores), value), (0, 2, 1, 3))
    y = build.linear(build.reshape(y, (windows, tokens, features)), features)
    if draw.chance(0.7):
        y = build.add("Add", y, x)
        y = _normalise(draw, build, y) if draw.chance(0.4) else y
    return (y,)


def _separate(build: NetworkBuilder, x: str, heads: int) -> tuple[str, str, str]:
    features = build.shape(x)[-1]
    query = _heads(build, build.linear(x, features), heads)
    key = _heads(build, build.linear(x, features), heads, transposed=True)
    return query, key, _heads(build, build.linear(x, features), heads)


def _packed(build: NetworkBuilder, x: str, heads: int) -> tuple[str, str, str]:
    batch, tokens, features = build.shape(x)
    y = build.reshape(build.linear(x, 3 * features), (batch, tokens, 3, heads, features // heads))
    y = build.transpose(y, (2, 0, 3, 1, 4))
    query, key, value = (
        build.add("Gather", y, build.constant((), dtype="int64", value=(index,)), axis=0)
        for index in range(3)
    )
    return query, build.transpose(key, (0, 1, 3, 2)), value


def _embedding(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Words and positions looked up, added and normalised."""
    tokens, features = _token_count(draw, 512), _features(draw)
    ids = build.input("ids", (1, tokens), dtype="int64")
    table = build.constant((draw.log_int(256, 40_000), features))
    x = build.add("Gather", table, ids, axis=0)
    if draw.chance(0.5):
        kinds = build.input("kinds", (1, tokens), dtype="int64")
        x = build.add("Add", x, build.add("Gather", build.constant((2, features)), kinds, axis=0))
    x = build.add("Add", x, build.constant((1, tokens, features)))
    return (_normalise(draw, build, x),)


def _patches(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """An image cut into patches that become tokens, with a class token and positions."""
    size, side, features = draw.pick((4, 8, 14, 16, 32)), draw.integer(4, 24), _features(draw)
    x = build.input("x", (1, 3, side * size, side * size))
    x = build.conv(x, features, kernel=size, stride=size)
    x = build.transpose(build.reshape(x, (1, features, side * side)), (0, 2, 1))
    if draw.chance(0.6):
        x = build.concat(build.constant((1, 1, features)), x, axis=1)
        x = build.add("Add", x, build.constant((1, side * side + 1, features)))
    return (_normalise(draw, build, x) if draw.chance(0.5) else x,)


def _token_head(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """One token, or the mean of all, classified."""
    tokens, features = _token_count(draw), _features(draw)
    x = _normalise(draw, build, build.input("x", (1, tokens, features)))
    if draw.chance(0.5):
        y = build.add("Gather", x, build.constant((), dtype="int64", value=(0,)), axis=1)
    else:
        y = build.add("ReduceMean", x, build.int_constant((1,)), keepdims=0)
    if draw.chance(0.4):
        y = build.add("Tanh", build.linear(y, features))
    return (build.linear(y, draw.log_int(2, 2000)),)


def _convolved_tokens(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """A large depthwise window, then a feed-forward layer over channels in channels-last layout."""
    channels, height, width = draw.feature_map(low=7, high=80, max_channels=640)
    x = build.input("x", (1, channels, height, width))
    y = build.depthwise_conv(x, kernel=draw.pick((5, 7, 7)))
    y = _normalise(draw, build, build.transpose(y, (0, 2, 3, 1)))
    y = build.linear(y, channels * draw.pick((2, 4, 4)))
    y = build.linear(_gelu(draw, build, y), channels)
    if draw.chance(0.6):
        y = build.add("Mul", y, build.constant((channels,)))
    y = build.transpose(y, (0, 3, 1, 2))
    return (build.add("Add", x, y) if draw.chance(0.5) else build.add("Add", y, x),)


def _windows(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """A map rolled, cut into windows and put together again."""
    size, rows, features = draw.pick((4, 7, 8)), draw.pick((2, 4, 8)), draw.pick((64, 96, 128, 192, 384))
    side = size * rows
    x = build.input("x", (1, side, side, features))
    shift = size // 2
    if draw.chance(0.6):
        for axis in (1, 2):
            tail = build.slice(x, axis=axis, start=shift, end=side)
            x = build.concat(tail, build.slice(x, axis=axis, start=0, end=shift), axis=axis)
    y = build.transpose(build.reshape(x, (1, rows, size, rows, size, features)), (0, 1, 3, 2, 4, 5))
    y = build.linear(build.reshape(y, (rows * rows, size * size, features)), features)
    y = build.transpose(build.reshape(y, (1, rows, rows, size, size, features)), (0, 1, 3, 2, 4, 5))
    return (build.reshape(y, (1, side * side, features)),)


def _patch_merge(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Four neighbours concatenated, normalised and projected."""
    side, features = 2 * draw.integer(4, 28), draw.pick((64, 96, 128, 192, 256, 384))
    x = build.input("x", (1, side, side, features))
    pieces = []
    for row, column in ((0, 0), (1, 0), (0, 1), (1, 1)):
        y = build.add("Slice", x, *(build.int_constant((item,)) for item in (row, side, 1, 2)))
        pieces.append(build.add("Slice", y, *(build.int_constant((item,)) for item in (column, side, 2, 2))))
    y = build.reshape(build.concat(*pieces, axis=-1), (1, side * side // 4, 4 * features))
    return (build.linear(_normalise(draw, build, y), 2 * features, bias=False),)


TOKEN_BLOCKS: Mapping[str, Sampler] = MappingProxyType(
    {
        "feed_forward": _feed_forward, "attention": _attention, "embedding": _embedding, "patches": _patches,
        "token_head": _token_head, "convolved_tokens": _convolved_tokens, "windows": _windows,
        "patch_merge": _patch_merge,
    }
)  # fmt: skip
"""Samplers by the name that plans use."""
