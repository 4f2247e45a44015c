"""Synthetic networks on tokens and sequences: encoders, decoders, mixers, recurrent networks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from annette.benchmark.growing import GrowingBuilder
from annette.benchmark.micro_sequence import recurrent
from annette.benchmark.network_images import Frame, Theme, draw_width
from annette.benchmark.sampling import Draw

__all__ = ["TOKEN_THEMES"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manner:
    """How one transformer is written."""

    heads: int
    size: int
    """Features of a head."""
    packed: bool
    """Queries, keys and values by one projection."""
    norm_first: bool
    norm_written_out: bool
    gelu: str
    """``erf`` (written out), ``Gelu``, ``tanh``, ``quick``, ``Relu`` or ``swish_gated``."""
    ratio: float
    """Width of the feed-forward layer, relative."""
    scaled: str
    """Where the scores are scaled: ``query``, ``scores``, or ``both`` factors by the root, the keys turned as
    exporters of fused attention write them."""

    @property
    def features(self) -> int:
        """Features of a token."""
        return self.heads * self.size


_HEAD_SIZES = (16, 24, 32, 32, 48, 64, 64, 80)
_HEADS = (1, 2, 3, 4, 5, 6, 8, 10, 12)


def _draw_manner(draw: Draw, *, most: int = 768, is_wide: bool = False) -> _Manner:
    """``is_wide`` for networks of many weights: those are wide before they are deep."""
    sizes, counts = ((48, 64, 64, 80), (6, 8, 10, 12, 16)) if is_wide else (_HEAD_SIZES, _HEADS)
    size = draw.pick(sizes)
    heads = min(draw.pick(counts), max((1024 if is_wide else most) // size, 1))
    return _Manner(
        heads=heads,
        size=size,
        packed=draw.chance(0.5),
        norm_first=draw.chance(0.6),
        norm_written_out=draw.chance(0.25),
        gelu=draw.weighted(
            {"erf": 4.0, "Gelu": 2.0, "tanh": 1.0, "quick": 1.0, "Relu": 1.5, "swish_gated": 1.0}
        ),
        ratio=draw.pick((1.5, 2.0, 3.0, 4.0, 4.0, 4.0)),
        scaled=draw.pick(("query", "scores", "both")),
    )


def _scalar(build: GrowingBuilder, value: float) -> str:
    return build.constant((), value=(value,))


def _normalise(build: GrowingBuilder, x: str, manner: _Manner) -> str:
    """Layer normalisation, as one operator or written out."""
    if not manner.norm_written_out:
        return build.layer_norm(x)
    axes, size = build.int_constant((-1,)), build.shape(x)[-1:]
    centred = build.add("Sub", x, build.add("ReduceMean", x, axes, keepdims=1))
    square = build.add("Pow", centred, _scalar(build, 2.0))
    spread = build.add("Add", build.add("ReduceMean", square, axes, keepdims=1), _scalar(build, 1e-5))
    y = build.add("Div", centred, build.add("Sqrt", spread))
    return build.add("Add", build.add("Mul", y, build.constant(size)), build.constant(size))


def _bend(build: GrowingBuilder, x: str, kind: str) -> str:
    """The activation of a feed-forward layer, as exporters write it."""
    if kind == "erf":
        y = build.add("Erf", build.add("Div", x, _scalar(build, math.sqrt(2.0))))
        y = build.add("Mul", x, build.add("Add", y, _scalar(build, 1.0)))
        return build.add("Mul", y, _scalar(build, 0.5))
    if kind == "tanh":
        cube = build.add("Mul", build.add("Pow", x, _scalar(build, 3.0)), _scalar(build, 0.044715))
        y = build.add("Mul", build.add("Add", x, cube), _scalar(build, math.sqrt(2.0 / math.pi)))
        y = build.add("Add", build.add("Tanh", y), _scalar(build, 1.0))
        return build.add("Mul", build.add("Mul", x, _scalar(build, 0.5)), y)
    if kind == "quick":
        return build.add("Mul", x, build.add("Sigmoid", build.add("Mul", x, _scalar(build, 1.702))))
    return build.add(kind, x)


def _feed_forward(build: GrowingBuilder, x: str, manner: _Manner) -> str:
    features = build.shape(x)[-1]
    inner = max(round(features * manner.ratio), 8)
    if manner.gelu == "swish_gated":
        y = build.activation(build.linear(x, inner, bias=False), "Swish")
        y = build.add("Mul", y, build.linear(x, inner, bias=False))
        return build.linear(y, features, bias=False)
    return build.linear(_bend(build, build.linear(x, inner), manner.gelu), features)


def _heads(build: GrowingBuilder, x: str, heads: int, *, transposed: bool = False) -> str:
    batch, tokens, features = build.shape(x)
    y = build.reshape(x, (batch, tokens, heads, features // heads))
    return build.transpose(y, (0, 2, 3, 1) if transposed else (0, 2, 1, 3))


def _projections(
    draw: Draw, build: GrowingBuilder, x: str, source: str, manner: _Manner
) -> tuple[str, str, str]:
    """Queries, transposed keys and values with heads on axis 1."""
    features = manner.features
    if not manner.packed or x != source:
        query = _heads(build, build.linear(x, features), manner.heads)
        key = _key(build, build.linear(source, features), manner)
        return query, key, _heads(build, build.linear(source, features), manner.heads)
    batch, tokens, _ = build.shape(x)
    y = build.linear(x, 3 * features)
    if draw.chance(0.5):
        y = build.transpose(build.reshape(y, (batch, tokens, 3, manner.heads, manner.size)), (2, 0, 3, 1, 4))
        if draw.chance(0.5):
            parts = tuple(
                build.add("Gather", y, build.constant((), dtype="int64", value=(index,)), axis=0)
                for index in range(3)
            )
        else:
            split = build.add_many("Split", y, build.int_constant((1, 1, 1)), outputs=3, axis=0)
            parts = tuple(build.add("Squeeze", item, build.int_constant((0,))) for item in split)
        return parts[0], _turned(build, parts[1], manner), parts[2]
    if draw.chance(0.6):
        parts = build.add_many("Split", y, build.int_constant((features,) * 3), outputs=3, axis=2)
    else:
        parts = tuple(
            build.slice(y, axis=2, start=part * features, end=(part + 1) * features) for part in range(3)
        )
    query, value = (_heads(build, item, manner.heads) for item in (parts[0], parts[2]))
    return query, _key(build, parts[1], manner), value


def _key(build: GrowingBuilder, x: str, manner: _Manner) -> str:
    """Keys with heads on axis 1, transposed, of features side by side."""
    if manner.scaled != "both":
        return _heads(build, x, manner.heads, transposed=True)
    return _turned(build, _heads(build, x, manner.heads), manner)


def _turned(build: GrowingBuilder, key: str, manner: _Manner) -> str:
    """Keys of which the last two axes change places, the axes before them brought together for it or not."""
    if manner.scaled != "both":
        return build.transpose(key, (0, 1, 3, 2))
    batch, heads, tokens, size = build.shape(key)
    y = build.transpose(build.reshape(key, (batch * heads, tokens, size)), (0, 2, 1))
    return build.reshape(y, (batch, heads, size, tokens))


def _attend(draw: Draw, build: GrowingBuilder, x: str, source: str, manner: _Manner, mask: str | None) -> str:
    """Multi-head attention of ``x`` to ``source``, with its projections."""
    batch, tokens, features = build.shape(x)
    query, key, value = _projections(draw, build, x, source, manner)
    if manner.scaled == "query":
        query = build.add("Mul", query, _scalar(build, 1 / math.sqrt(manner.size)))
    elif manner.scaled == "both":
        root = _scalar(build, math.pow(manner.size, -0.25))
        query, key = build.add("Mul", query, root), build.add("Mul", key, root)
    scores = build.add("MatMul", query, key)
    if manner.scaled == "scores":
        factor = math.sqrt(manner.size)
        if draw.chance(0.5):
            scores = build.add("Div", scores, _scalar(build, factor))
        else:
            scores = build.add("Mul", scores, _scalar(build, 1 / factor))
    if mask is not None:
        if build.dtype(mask) == "bool":
            scores = build.add("Where", mask, scores, _scalar(build, -1e9))
        else:
            scores = build.add("Add", scores, mask)
    shares = build.softmax(scores)
    if mask is not None and manner.scaled == "both":
        shares = build.add("Where", build.add("IsNaN", shares), _scalar(build, 0.0), shares)
    y = build.transpose(build.add("MatMul", shares, value), (0, 2, 1, 3))
    return build.linear(build.reshape(y, (batch, tokens, manner.features)), features)


def _layer(
    draw: Draw, build: GrowingBuilder, x: str, manner: _Manner, mask: str | None, memory: str | None = None
) -> str:
    """Self-attention, perhaps attention to ``memory``, feed-forward; each with its shortcut."""
    for part in ("self", "memory", "feed"):
        if part == "memory" and memory is None:
            continue
        y = _normalise(build, x, manner) if manner.norm_first else x
        if part == "feed":
            y = _feed_forward(build, y, manner)
        elif part == "memory" and memory is not None:
            y = _attend(draw, build, y, memory, manner, None)
        else:
            y = _attend(draw, build, y, y, manner, mask)
        x = build.add("Add", x, y) if draw.chance(0.6) else build.add("Add", y, x)
        x = x if manner.norm_first else _normalise(build, x, manner)
    return x


def _embed(draw: Draw, build: GrowingBuilder, frame: Frame, manner: _Manner, tokens: int, name: str) -> str:
    """Words and positions looked up and added."""
    ids = build.input(name, (frame.batch, tokens), dtype="int64")
    rows = max(min(draw.log_int(500, 30_000), round(0.4 * frame.weight_elements / manner.features)), 64)
    x = build.add("Gather", build.constant((rows, manner.features)), ids, axis=0)
    x = build.add("Add", x, build.constant((1, tokens, manner.features)))
    return x if draw.chance(0.4) else _normalise(build, x, manner)


def _tokens(draw: Draw, frame: Frame) -> int:
    if draw.chance(0.6):
        return round(draw.pick((1, 2, 3, 4, 6, 8, 12, 16)) * frame.scale) * 16
    return draw.log_int(6, round(240 * frame.scale))


def _mask(draw: Draw, build: GrowingBuilder, frame: Frame, tokens: int, *, causal: bool) -> str | None:
    """A mask as an input or a constant, to be added or to choose by; or none."""
    style = draw.integer(0, 2) if causal else draw.integer(0, 4)
    if style == 0:
        return build.input("mask", (frame.batch, 1, 1, tokens))
    if style == 1:
        return build.constant((1, 1, tokens, tokens))
    if style == 2:
        return build.input("allowed", (frame.batch, 1, tokens, tokens), dtype="bool")
    return None


def _ending(draw: Draw, build: GrowingBuilder, x: str) -> str:
    """One token, or the mean of all, classified."""
    if draw.chance(0.5):
        y = build.add("Gather", x, build.constant((), dtype="int64", value=(0,)), axis=1)
    else:
        y = build.add("ReduceMean", x, build.int_constant((1,)), keepdims=0)
    if draw.chance(0.4):
        y = build.add("Tanh", build.linear(y, build.shape(y)[-1]))
    return build.linear(y, draw.log_int(2, 1200))


def _text_encoder(draw: Draw, build: GrowingBuilder, frame: Frame) -> tuple[str, ...]:
    manner, tokens = _draw_manner(draw, is_wide=frame.is_wide), _tokens(draw, frame)
    x = _embed(draw, build, frame, manner, tokens, "ids")
    mask = _mask(draw, build, frame, tokens, causal=False)
    for index in range(draw.integer(1, 6)):
        if frame.has_room(build, 0.85) or not index:
            x = _layer(draw, build, x, manner, mask)
    return (_ending(draw, build, x),)


def _text_decoder(draw: Draw, build: GrowingBuilder, frame: Frame) -> tuple[str, ...]:
    """Causal attention, perhaps to a memory too, and a score for each word."""
    manner, tokens = _draw_manner(draw, most=640, is_wide=frame.is_wide), _tokens(draw, frame)
    x = _embed(draw, build, frame, manner, tokens, "ids")
    mask = _mask(draw, build, frame, tokens, causal=True)
    memory = None
    if draw.chance(0.5):
        memory = build.input("memory", (frame.batch, _tokens(draw, frame), manner.features))
    for index in range(draw.integer(1, 5)):
        if frame.has_room(build, 0.8) or not index:
            x = _layer(draw, build, x, manner, mask, memory)
    x = _normalise(build, x, manner) if manner.norm_first else x
    room = max(frame.weight_elements - build.weight_elements, 1e5)
    words = max(round(min(draw.log_float(200, 20_000), room / manner.features)), 32)
    if draw.chance(0.3):
        x = build.slice(x, axis=1, start=tokens - 1, end=tokens)
    return (build.linear(x, words, bias=draw.chance(0.3)),)


def _vision_transformer(draw: Draw, build: GrowingBuilder, frame: Frame) -> tuple[str, ...]:
    """Patches as tokens, perhaps a class token, layers, an ending."""
    manner = _draw_manner(draw, is_wide=frame.is_wide)
    size, rows = draw.pick((4, 8, 8, 14, 16, 16, 32)), draw.integer(4, 16)
    x = build.input("image", (frame.batch, 3, rows * size, rows * size))
    x = build.conv(x, manner.features, kernel=size, stride=size)
    x = build.transpose(build.reshape(x, (frame.batch, manner.features, rows * rows)), (0, 2, 1))
    if draw.chance(0.6):
        token = build.constant((1, 1, manner.features))
        if frame.batch > 1:
            token = build.add("Expand", token, build.int_constant((frame.batch, 1, manner.features)))
        x = build.concat(token, x, axis=1)
    x = build.add("Add", x, build.constant((1, *build.shape(x)[1:])))
    for index in range(draw.integer(1, 6)):
        if frame.has_room(build, 0.85) or not index:
            x = _layer(draw, build, x, manner, None)
    return (_ending(draw, build, _normalise(build, x, manner)),)


def _windowed(draw: Draw, build: GrowingBuilder, frame: Frame) -> tuple[str, ...]:
    """Attention within windows that shift from layer to layer, patches merged between stages."""
    manner = _draw_manner(draw, most=160)
    window, rows = draw.pick((4, 5, 6, 7, 8)), draw.pick((2, 4, 4, 8))
    side, batch = window * rows, frame.batch
    patch = draw.pick((2, 4, 4))
    x = build.input("image", (batch, 3, side * patch, side * patch))
    x = build.transpose(build.conv(x, manner.features, kernel=patch, stride=patch), (0, 2, 3, 1))
    x = build.layer_norm(x)
    for index in range(draw.integer(2, 5)):
        if index and not frame.has_room(build, 0.85):
            break
        x = _window_layer(draw, build, x, manner, window, shift=window // 2 if index % 2 else 0)
        rows = build.shape(x)[1] // window
        if index % 2 and rows % 2 == 0 and manner.features <= 256:
            x = _merge(build, x)
            manner = replace(manner, heads=2 * manner.heads)
    y = build.add("ReduceMean", build.layer_norm(x), build.int_constant((1, 2)), keepdims=0)
    return (build.linear(y, draw.log_int(5, 1000)),)


def _window_layer(
    draw: Draw, build: GrowingBuilder, x: str, manner: _Manner, window: int, *, shift: int
) -> str:
    batch, side, _, features = build.shape(x)
    rows = side // window
    y = _normalise(build, x, manner)
    if shift:
        for axis in (1, 2):
            tail = build.slice(y, axis=axis, start=shift, end=side)
            y = build.concat(tail, build.slice(y, axis=axis, start=0, end=shift), axis=axis)
    y = build.transpose(build.reshape(y, (batch, rows, window, rows, window, features)), (0, 1, 3, 2, 4, 5))
    y = build.reshape(y, (batch * rows * rows, window * window, features))
    mask = build.constant((1, manner.heads, window * window, window * window))
    y = _attend(draw, build, y, y, manner, mask)
    y = build.transpose(build.reshape(y, (batch, rows, rows, window, window, features)), (0, 1, 3, 2, 4, 5))
    x = build.add("Add", x, build.reshape(y, (batch, side, side, features)))
    return build.add("Add", x, _feed_forward(build, _normalise(build, x, manner), manner))


def _merge(build: GrowingBuilder, x: str) -> str:
    """Four neighbours concatenated, normalised and projected."""
    side, features = build.shape(x)[1], build.shape(x)[-1]
    pieces = []
    for row, column in ((0, 0), (1, 0), (0, 1), (1, 1)):
        y = build.add("Slice", x, *(build.int_constant((item,)) for item in (row, side, 1, 2)))
        pieces.append(build.add("Slice", y, *(build.int_constant((item,)) for item in (column, side, 2, 2))))
    return build.linear(build.layer_norm(build.concat(*pieces, axis=-1)), 2 * features, bias=False)


def _mixer(draw: Draw, build: GrowingBuilder, frame: Frame) -> tuple[str, ...]:
    """Linear layers over tokens and over features in turn."""
    manner, tokens = _draw_manner(draw, most=512), draw.pick((16, 36, 49, 64, 100, 144, 196))
    x = build.linear(
        build.input("tokens", (frame.batch, tokens, draw.pick((16, 48, 64, 192)))), manner.features
    )
    for index in range(draw.integer(2, 6)):
        if index and not frame.has_room(build, 0.9):
            break
        y = _feed_forward(build, build.transpose(_normalise(build, x, manner), (0, 2, 1)), manner)
        x = build.add("Add", x, build.transpose(y, (0, 2, 1)))
        x = build.add("Add", x, _feed_forward(build, _normalise(build, x, manner), manner))
    return (_ending(draw, build, x),)


def _sequence(draw: Draw, build: GrowingBuilder, frame: Frame) -> tuple[str, ...]:
    """Convolutions over time with shortcuts, perhaps recurrent layers, an ending."""
    length = draw.pick((64, 100, 128, 256, 400)) if draw.chance(0.6) else draw.log_int(32, 800)
    x = build.input("signal", (frame.batch, draw.pick((1, 8, 20, 40, 64, 80)), length))
    width = draw_width(draw, frame.width_scale * draw.log_float(16, 120))
    kernel = draw.pick((3, 3, 5, 7, 9, 15))
    x = build.relu(build.conv(x, width, kernel=kernel, stride=draw.pick((1, 2)), padding="same"))
    for _ in range(draw.integer(1, 6)):
        if not frame.has_room(build, 0.6):
            break
        groups = build.channels(x) if draw.chance(0.3) else 1
        out = build.channels(x) if draw.chance(0.6) else draw_width(draw, build.channels(x) * 1.4)
        stride = 2 if draw.chance(0.25) and build.shape(x)[2] > 16 else 1
        y = build.conv(x, build.channels(x), kernel=kernel, stride=stride, padding="same", groups=groups)
        y = build.conv(build.relu(build.batch_norm(y)), out, kernel=draw.pick((1, 1, 3)), padding="same")
        x = build.add("Add", y, x) if stride == 1 and out == build.channels(x) else build.relu(y)
        if draw.chance(0.2) and build.shape(x)[2] > 16:
            x = build.max_pool(x, kernel=3, stride=2, padding=1)
    if draw.chance(0.75):
        y = build.transpose(x, (2, 0, 1))
        kind, both = draw.pick(("LSTM", "LSTM", "GRU")), draw.chance(0.5)
        hidden = draw.pick((32, 64, 96, 128, 192, 256))
        for _ in range(draw.integer(1, 2)):
            steps, batch, _ = build.shape(y)
            y = recurrent(build, y, hidden, kind, both=both)
            y = build.transpose(y, (0, 2, 1, 3)) if both else y
            y = build.reshape(y, (steps, batch, (2 if both else 1) * hidden))
        y = build.transpose(y, (1, 0, 2))
    else:
        y = build.transpose(x, (0, 2, 1))
    y = build.linear(y, draw.log_int(8, 500))
    if draw.chance(0.3):
        return (build.add("LogSoftmax", y, axis=-1),)
    return (build.add("ReduceMean", y, build.int_constant((1,)), keepdims=0),) if draw.chance(0.5) else (y,)


TOKEN_THEMES: Mapping[str, Theme] = MappingProxyType(
    {
        "text_encoder": _text_encoder, "text_decoder": _text_decoder,
        "vision_transformer": _vision_transformer, "windowed": _windowed, "mixer": _mixer,
        "sequence": _sequence,
    }
)  # fmt: skip
"""Themes by the name that plans use."""
