"""Blocks with branches: residual sums, several consumers, concatenations, gates, splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from annette.benchmark.micro_matrix import Sampler
from annette.benchmark.pieces import Style, activate, draw_style, image, lead_in, unit
from annette.benchmark.sampling import Draw
from annette.graph.builder import NetworkBuilder

__all__ = ["BRANCH_BLOCKS"]

_UNIT_ORDERS: Mapping[str, float] = MappingProxyType(
    {"acn": 3.0, "nac": 3.0, "ac": 2.0, "cna": 1.0, "can": 1.0}
)
"""How a unit writes its convolution ``c``, normalisation ``n`` and activation ``a``; mostly pre-activated."""
_SUM_ACTIVATIONS: Mapping[str, float] = MappingProxyType(
    {"Relu": 4.0, "Relu6": 2.0, "LeakyRelu": 1.0, "HardSwish": 0.5, "Sigmoid": 0.5}
)


def _sum(draw: Draw, build: NetworkBuilder, a: str, b: str) -> str:
    """The two added, in either order."""
    return build.add("Add", a, b) if draw.chance(0.5) else build.add("Add", b, a)


def _sum_all(draw: Draw, build: NetworkBuilder, terms: Sequence[str]) -> str:
    """All added, two at a time in any order."""
    left = list(terms)
    while len(left) > 1:
        a, b = (left.pop(draw.integer(0, len(left) - 1)) for _ in range(2))
        left.append(_sum(draw, build, a, b))
    return left[0]


def _after_sum(draw: Draw, build: NetworkBuilder, x: str, style: Style) -> str:
    return activate(build, x, style.activation) if draw.chance(0.7) else x


def _residual(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """A shortcut around two or three convolutions: basic or bottleneck, one or two of them."""
    x = image(draw, build)
    start = lead_in(draw, build, x)
    style = draw_style(draw)
    if draw.chance(0.5):
        style = Style(norm=True, activation="Relu")
    y = start
    for _ in range(draw.integer(1, 2)):
        y = _residual_unit(draw, build, y, style, project=False)
    return (y,)


def _residual_unit(draw: Draw, build: NetworkBuilder, x: str, style: Style, *, project: bool) -> str:
    linear = replace(style, activation=None)
    out = draw.channels_beside(build.channels(x), factor=4.0, high=1536) if project else build.channels(x)
    stride = 2 if project and draw.chance(0.6) and min(build.shape(x)[2:]) >= 4 else 1
    if draw.chance(0.5):
        y = unit(build, x, out, style, stride=stride)
        y = unit(build, y, out, linear)
    else:
        inner = max(round(out / draw.pick((2, 4))), 4)
        groups = draw.pick((1, 1, 1, 4, 8))
        inner = max(inner // groups, 1) * groups
        y = unit(build, x, inner, style, kernel=1)
        y = unit(build, y, inner, style, stride=stride, groups=groups)
        y = unit(build, y, out, linear, kernel=1)
    if project:
        x = unit(build, x, out, linear, kernel=1, stride=stride)
    return _after_sum(draw, build, _sum(draw, build, y, x), style)


def _projection(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """A residual block whose shortcut is a convolution, then perhaps one whose shortcut is not."""
    x = lead_in(draw, build, image(draw, build))
    style = Style(norm=draw.chance(0.8), activation=draw.pick(("Relu", "Relu", "LeakyRelu", "Relu6")))
    y = _residual_unit(draw, build, x, style, project=True)
    return (_residual_unit(draw, build, y, style, project=False) if draw.chance(0.5) else y,)


def _sum_of_many(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Sums whose operands come from convolutions, pools, the input or an activation."""
    x = image(draw, build)
    style, channels = draw_style(draw), build.channels(x)
    y = unit(build, x, channels, replace(style, activation=None))
    other = draw.integer(0, 4)
    if other == 0:
        z = unit(build, x, channels, replace(style, activation=None), kernel=1)
    elif other == 1:
        z = build.max_pool(x, kernel=3, stride=1, padding=1)
    elif other == 2:
        z = build.add("Sigmoid", x)
    elif other == 3:
        z = unit(build, x, channels, Style(norm=True, activation="Relu"), groups=channels)
    else:
        z = x
    total = _after_sum(draw, build, _sum(draw, build, y, z), style)
    if draw.chance(0.4):
        total = _sum(draw, build, total, unit(build, y, channels, style, kernel=1))
    return (build.relu(total) if draw.chance(0.3) else total,)


def _shared_sum(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Sums that several layers read: pre-activated residuals, cells whose nodes add what others made."""
    x = image(draw, build, low=2, high=128, most=512)
    if draw.chance(0.3):
        x = unit(build, x, build.channels(x), Style(norm=True, activation=None))
    order, kind = draw.weighted(_UNIT_ORDERS), draw.weighted(_SUM_ACTIVATIONS)
    nodes = [x]
    for _ in range(draw.integer(2, 4)):
        sources = [nodes[-1], *(node for node in nodes[-4:-1] if draw.chance(0.6))]
        terms = [_term(draw, build, source, order, kind) for source in sources]
        if len(terms) == 1:
            terms.append(_convolved(draw, build, nodes[-1], order, kind))
        total = _sum_all(draw, build, terms)
        nodes.extend(term for term in terms if term not in nodes and draw.chance(0.15))
        rest = draw.weighted({None: 6.0, "norm": 1.0, kind: 1.0})
        nodes.append(build.batch_norm(total) if rest == "norm" else activate(build, total, rest))
    return _read_at_last(draw, build, nodes[-1], order, kind)


def _read_at_last(draw: Draw, build: NetworkBuilder, x: str, order: str, kind: str) -> tuple[str, ...]:
    """Who reads a block's last sum: nobody, its activation, both, or a residual block of half the size."""
    height, width = build.shape(x)[2:]
    readers = draw.integer(0, 4 if min(height, width) >= 4 else 2)
    if readers == 0:
        return (x,)
    if readers < 3:
        return (activate(build, x, kind), *((x,) if readers == 2 else ()))
    out = draw.channels_beside(build.channels(x), factor=2.0)
    y = _convolved(draw, build, x, order, kind, out=out, stride=2)
    if readers == 3:
        pooled = build.avg_pool(x, kernel=2, stride=2, ceil_mode=bool(height % 2 or width % 2))
        side = build.conv(pooled, out, bias=False)
    else:
        side = _convolved(draw, build, x, order, kind, out=out, stride=2)
    return (_sum(draw, build, y, side),)


def _term(draw: Draw, build: NetworkBuilder, x: str, order: str, kind: str) -> str:
    """What a node takes from an earlier one: the tensor itself, a pool of it or a convolution."""
    way = draw.unit()
    if way < 0.25:
        return x
    if way < 0.45:
        pool = build.avg_pool if draw.chance(0.6) else build.max_pool
        return pool(x, kernel=3, stride=1, padding=1)
    return _convolved(draw, build, x, order, kind)


def _convolved(
    draw: Draw,
    build: NetworkBuilder,
    x: str,
    order: str,
    kind: str,
    *,
    out: int | None = None,
    stride: int = 1,
) -> str:
    """Normalisation, activation and convolution in the order of the letters ``n``, ``a`` and ``c``."""
    channels = build.channels(x)
    for step in order:
        if step == "n":
            x = build.batch_norm(x)
        elif step == "a":
            x = activate(build, x, kind)
        else:
            kernel = draw.pick((1, 3, 3, 3, 5))
            groups = channels if out is None and kernel > 1 and draw.chance(0.3) else 1
            x = build.conv(
                x, out or channels, kernel=kernel, stride=stride, padding=kernel // 2, groups=groups,
                bias="n" not in order,
            )  # fmt: skip
    return x


def _fan_out(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """A convolution, or its activation, that several layers read, so that fusing is not free."""
    x, style = image(draw, build), draw_style(draw)
    y = unit(build, x, draw.channels_beside(build.channels(x), factor=2.0), replace(style, activation=None))
    a = activate(build, y, style.activation or "Relu")
    kind = draw.integer(0, 3)
    if kind == 0:
        return (a, build.add("Sigmoid", y))
    if kind == 1:
        return (unit(build, a, build.channels(y), style, kernel=1), build.max_pool(y, kernel=2, stride=2))
    if kind == 2:
        return (_sum(draw, build, unit(build, a, build.channels(y), style), y),)
    return (a, y)


def _inverted_residual(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Expand, depthwise, perhaps a gate, project; the shortcut where sizes allow."""
    x = image(draw, build, high=224, most=320)
    style = Style(norm=True, activation=draw.pick(("Relu6", "Relu6", "Relu", "HardSwish", "Swish")))
    if draw.chance(0.2):
        x = unit(build, x, build.channels(x), replace(style, activation=None), kernel=1)
    for _ in range(draw.integer(1, 2)):
        channels = build.channels(x)
        inner = min(round(channels * draw.pick((1, 2, 3, 4, 6, 6, 6))), 2048)
        stride = 2 if draw.chance(0.3) and min(build.shape(x)[2:]) >= 4 else 1
        out = channels if stride == 1 and draw.chance(0.65) else draw.channels_beside(channels, factor=2.0)
        y = unit(build, x, inner, style, kernel=1)
        y = unit(build, y, inner, style, kernel=draw.pick((3, 3, 5)), stride=stride, groups=inner)
        if draw.chance(0.35):
            y = _gate(draw, build, y)
        y = unit(build, y, out, replace(style, activation=None), kernel=1)
        x = _sum(draw, build, y, x) if stride == 1 and out == channels else y
    return (x,)


def _gate(draw: Draw, build: NetworkBuilder, x: str) -> str:
    """Squeeze-and-excite."""
    channels = build.channels(x)
    inner = max(round(channels / draw.pick((4, 4, 8, 16, 24))), 1)
    if draw.chance(0.8):
        y = build.global_avg_pool(x)
    else:
        y = build.add("ReduceMean", x, build.int_constant((2, 3)), keepdims=1)
    if draw.chance(0.15):
        y = build.linear(build.flatten(y), inner)
        y = build.add("Sigmoid", build.linear(build.relu(y), channels))
        y = build.reshape(y, (1, channels, 1, 1))
    else:
        y = activate(build, build.conv(y, inner), draw.pick(("Relu", "Relu", "Swish")))
        y = build.add(draw.pick(("Sigmoid", "Sigmoid", "HardSigmoid")), build.conv(y, channels))
    return build.add("Mul", x, y) if draw.chance(0.5) else build.add("Mul", y, x)


def _squeeze_excite(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    x, style = image(draw, build), draw_style(draw)
    x = unit(build, x, draw.channels_beside(build.channels(x), factor=2.0), style, kernel=draw.pick((1, 3)))
    y = _gate(draw, build, x)
    return (unit(build, y, build.channels(y), style, kernel=1) if draw.chance(0.5) else y,)


def _soft_activation(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Swish and hard-swish written out as several layers, in the ways exporters write them."""
    x = image(draw, build)
    for _ in range(draw.integer(1, 2)):
        channels = build.channels(x)
        groups = channels if draw.chance(0.3) else 1
        out = channels if groups > 1 else draw.channels_beside(channels, factor=2.0)
        style = Style(norm=draw.chance(0.7), activation=None)
        x = unit(build, x, out, style, kernel=draw.pick((1, 3)), groups=groups)
        kind = draw.pick(("sigmoid", "sigmoid", "hard_sigmoid", "clip", "tanh"))
        if kind == "sigmoid":
            gate = build.add("Sigmoid", x)
        elif kind == "hard_sigmoid":
            gate = build.add("HardSigmoid", x)
        elif kind == "clip":
            gate = build.relu6(build.add("Add", x, build.constant((), value=(3.0,))))
            gate = build.add("Div", gate, build.constant((), value=(6.0,)))
        else:
            gate = build.add("Tanh", build.add("Softplus", x))
        x = build.add("Mul", x, gate) if draw.chance(0.5) else build.add("Mul", gate, x)
    return (x,)


def _inception(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Parallel branches of different windows and a pool, concatenated."""
    x, style = lead_in(draw, build, image(draw, build, low=6, high=147)), draw_style(draw)
    channels = build.channels(x)
    stride = 2 if draw.chance(0.3) and min(build.shape(x)[2:]) >= 8 else 1
    branches = []
    for _ in range(draw.integer(1, 3)):
        y = unit(build, x, draw.channels_beside(max(channels // 4, 4), factor=2.0), style, kernel=1)
        for _ in range(draw.integer(0, 2)):
            y = unit(
                build,
                y,
                draw.channels_beside(build.channels(y), factor=2.0),
                style,
                kernel=draw.pick((3, 3, 5)),
            )
        y = unit(build, y, build.channels(y), style, kernel=3, stride=stride)
        branches.append(y)
    pool = build.max_pool if draw.chance(0.6) else build.avg_pool
    pooled = pool(x, kernel=3, stride=stride, padding=1)
    if draw.chance(0.6):
        pooled = unit(build, pooled, draw.channels_beside(max(channels // 4, 4), factor=2.0), style, kernel=1)
    return (build.concat(*branches, pooled),)


def _fire(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Squeeze, then expand in two branches, concatenated."""
    x = image(draw, build)
    style = Style(norm=draw.chance(0.3), activation="Relu")
    for _ in range(draw.integer(1, 2)):
        y = unit(build, x, max(draw.channels_beside(build.channels(x), factor=2.0) // 4, 4), style, kernel=1)
        wide = draw.channels_beside(4 * build.channels(y), factor=1.5)
        x = build.concat(unit(build, y, wide, style, kernel=1), unit(build, y, wide, style))
    return (x,)


def _dense(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Every layer reads all before it; normalisation before each convolution."""
    x = image(draw, build, high=112, most=896)
    growth = draw.pick((12, 16, 24, 32, 32, 48))
    for _ in range(draw.integer(1, 3)):
        y = build.relu(build.batch_norm(x))
        if draw.chance(0.8):
            y = build.relu(build.batch_norm(build.conv(y, 4 * growth, bias=False)))
        y = build.conv(y, growth, kernel=3, padding=1, bias=False)
        x = build.concat(x, y)
    if draw.chance(0.35):
        x = build.conv(build.relu(build.batch_norm(x)), max(build.channels(x) // 2, 1), bias=False)
        x = build.avg_pool(x, kernel=2, stride=2)
    return (x,)


def _shuffle(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Half of the channels pass by, the other half is convolved; then both are shuffled."""
    channels, height, width = draw.feature_map(low=4, high=128, max_channels=1024)
    half = max(channels // 2, 4)
    x = build.input("x", (1, 2 * half, height, width))
    style = Style(norm=True, activation="Relu")
    for _ in range(draw.integer(1, 2)):
        if draw.chance(0.5):
            left, y = build.add_many("Split", x, build.int_constant((half, half)), outputs=2, axis=1)
        else:
            left = build.slice(x, axis=1, start=0, end=half)
            y = build.slice(x, axis=1, start=half, end=2 * half)
        y = unit(build, y, half, style, kernel=1)
        y = unit(build, y, half, replace(style, activation=None), groups=half)
        y = unit(build, y, half, style, kernel=1)
        x = build.reshape(build.concat(left, y), (1, 2, half, height, width))
        x = build.reshape(build.transpose(x, (0, 2, 1, 3, 4)), (1, 2 * half, height, width))
    return (x,)


def _split_concat(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Channels split, some convolved, all concatenated again (cross-stage partial, feature re-use)."""
    channels, height, width = draw.feature_map(low=4, max_channels=768)
    parts = draw.pick((2, 2, 3, 4))
    size = max(channels // parts, 2)
    x = build.input("x", (1, size * parts, height, width))
    style = draw_style(draw)
    x = unit(build, x, size * parts, style, kernel=1) if draw.chance(0.6) else x
    pieces = list(build.add_many("Split", x, build.int_constant((size,) * parts), outputs=parts, axis=1))
    pieces[-1] = unit(build, pieces[-1], size, style)
    if draw.chance(0.5):
        pieces.append(_sum(draw, build, unit(build, pieces[-1], size, style), pieces[-1]))
    y = build.concat(*pieces)
    return (unit(build, y, size * parts, style, kernel=1) if draw.chance(0.6) else y,)


def _focus(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Space folded into channels: four strided slices, concatenated."""
    height, width = draw.image(low=16, high=416)
    height, width = 2 * (height // 2), 2 * (width // 2)
    x = build.input("x", (1, draw.pick((3, 3, 16, 32)), height, width))
    pieces = []
    for row, column in ((0, 0), (1, 0), (0, 1), (1, 1)):
        y = build.add("Slice", x, *(build.int_constant((item,)) for item in (row, height, 2, 2)))
        pieces.append(build.add("Slice", y, *(build.int_constant((item,)) for item in (column, width, 3, 2))))
    return (unit(build, build.concat(*pieces), draw.channels(16, 96), draw_style(draw)),)


def _mixed_concat(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """A concatenation of two to six tensors that different kinds of layers made."""
    x, style = image(draw, build, high=208, most=512), draw_style(draw)
    channels = build.channels(x)
    made = [x] if draw.chance(0.4) else []
    for _ in range(draw.integer(2, 5)):
        kind = draw.integer(0, 4)
        if kind == 0:
            made.append(unit(build, x, draw.channels_beside(channels, factor=3.0), style))
        elif kind == 1:
            made.append(unit(build, x, channels, style, groups=channels))
        elif kind == 2:
            made.append(build.max_pool(x, kernel=draw.pick((3, 5)), stride=1, padding="same"))
        elif kind == 3:
            made.append(build.add("Sigmoid", x))
        else:
            made.append(build.conv(x, draw.channels_beside(channels, factor=3.0)))
    y = build.concat(*made) if len(made) > 1 else made[0]
    return (activate(build, build.batch_norm(y), "Relu") if draw.chance(0.3) else y,)


BRANCH_BLOCKS: Mapping[str, Sampler] = MappingProxyType(
    {
        "residual": _residual, "projection": _projection, "sum_of_many": _sum_of_many,
        "shared_sum": _shared_sum, "fan_out": _fan_out,
        "inverted_residual": _inverted_residual, "squeeze_excite": _squeeze_excite,
        "soft_activation": _soft_activation, "inception": _inception, "fire": _fire, "dense": _dense,
        "shuffle": _shuffle, "split_concat": _split_concat, "focus": _focus, "mixed_concat": _mixed_concat,
    }
)  # fmt: skip
"""Samplers by the name that plans use."""
