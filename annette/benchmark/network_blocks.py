"""Blocks that synthetic networks are put together from: each takes a feature map, a width and a stride."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from annette.benchmark.pieces import Style, activate, normalise, unit
from annette.benchmark.sampling import Draw
from annette.graph.builder import NetworkBuilder

__all__ = ["NETWORK_BLOCKS", "Block", "Taste", "draw_taste", "gate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taste:
    """What the blocks of one network have in common."""

    style: Style
    """Normalisation and activation."""
    kernel: int
    """The window that most convolutions have."""
    expansion: int
    """How much wider the inside of a bottleneck's reverse is."""
    reduction: int
    """How much narrower the inside of a bottleneck or gate is."""
    group_size: int
    """Channels of a group in grouped convolutions; 0: no groups."""
    gated: float
    """Share of the blocks with squeeze-and-excite."""
    addition: str = "Add"
    """Operator of shortcuts: ``Add``, or ``Sum`` as Caffe has it."""


Block = Callable[[Draw, NetworkBuilder, str, int, int, Taste], str]
"""Draw, builder, feature map, channels and stride wanted, taste; returns the feature map made."""


def draw_taste(draw: Draw, activations: tuple[str, ...], *, gated: float = 0.0) -> Taste:
    """One network's taste, its activation one of these."""
    is_caffe = draw.chance(0.1)
    return Taste(
        style=Style(norm=draw.chance(0.75), activation=draw.pick(activations), is_scaled=is_caffe),
        kernel=draw.pick((3, 3, 3, 5, 7)),
        expansion=draw.pick((2, 3, 4, 4, 6, 6)),
        reduction=draw.pick((2, 4, 4, 8)),
        group_size=draw.pick((0, 0, 0, 4, 8, 16, 24, 32)),
        gated=gated if draw.chance(0.6) else 0.0,
        addition="Sum" if is_caffe or draw.chance(0.04) else "Add",
    )


def _linear(taste: Taste) -> Style:
    return replace(taste.style, activation=None)


def _add(draw: Draw, build: NetworkBuilder, a: str, b: str, taste: Taste) -> str:
    return build.add(taste.addition, *((a, b) if draw.chance(0.5) else (b, a)))


def gate(draw: Draw, build: NetworkBuilder, x: str, inner: int) -> str:
    """Squeeze-and-excite."""
    if draw.chance(0.6):
        y = build.global_avg_pool(x)
    else:
        y = build.add("ReduceMean", x, build.int_constant((2, 3)), keepdims=1)
    y = activate(build, build.conv(y, inner), draw.pick(("Relu", "Relu", "Swish")))
    y = build.add(draw.pick(("Sigmoid", "HardSigmoid")), build.conv(y, build.channels(x)))
    return build.add("Mul", x, y)


def _plain(draw: Draw, build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    """Convolutions in a row; down-sampling by a pool or a step."""
    pooled = stride == 2 and draw.chance(0.6)
    x = unit(build, x, out, taste.style, kernel=3, stride=1 if pooled else stride)
    if draw.chance(0.4):
        x = unit(build, x, out, taste.style, kernel=draw.pick((1, 3, 3, 5)))
    if pooled:
        kind = build.max_pool if draw.chance(0.7) else build.avg_pool
        x = kind(x, kernel=draw.pick((2, 3)), stride=2, padding="same")
    return x


def _shortcut(build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    if stride == 1 and build.channels(x) == out:
        return x
    return unit(build, x, out, _linear(taste), kernel=1, stride=stride)


def _basic(draw: Draw, build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    y = unit(build, x, out, taste.style, kernel=3, stride=stride)
    y = unit(build, y, out, _linear(taste), kernel=3, dilation=draw.pick((1,) * 9 + (2,)))
    if draw.chance(taste.gated):
        y = gate(draw, build, y, max(out // taste.reduction, 1))
    return activate(build, _add(draw, build, y, _shortcut(build, x, out, stride, taste), taste), "Relu")


def _bottleneck(draw: Draw, build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    inner, groups = max(out // taste.reduction, 4), 1
    if taste.group_size and inner >= 2 * taste.group_size:
        groups = inner // taste.group_size
        inner = groups * taste.group_size
    y = unit(build, x, inner, taste.style, kernel=1)
    y = unit(build, y, inner, taste.style, kernel=3, stride=stride, groups=groups)
    if draw.chance(taste.gated):
        y = gate(draw, build, y, max(inner // 4, 1))
    y = unit(build, y, out, _linear(taste), kernel=1)
    shortcut = _shortcut(build, x, out, stride, taste)
    return activate(build, _add(draw, build, y, shortcut, taste), taste.style.activation)


def _preactivated(draw: Draw, build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    """Normalisation and activation come first, so that they cannot be folded."""
    y = activate(build, normalise(build, x, taste.style), taste.style.activation)
    shortcut = x
    if stride != 1 or build.channels(x) != out:
        shortcut = build.conv(y, out, stride=stride, bias=False)
    y = build.conv(y, out, kernel=3, stride=stride, padding=1, bias=False)
    y = activate(build, normalise(build, y, taste.style), taste.style.activation)
    return _add(draw, build, build.conv(y, out, kernel=3, padding=1, bias=False), shortcut, taste)


def _inverted(draw: Draw, build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    """Expand, depthwise, perhaps a gate, project."""
    channels = build.channels(x)
    inner = channels * (taste.expansion if draw.chance(0.85) else 1)
    y = unit(build, x, inner, taste.style, kernel=1)
    kernel = taste.kernel if draw.chance(0.5) else draw.pick((3, 5))
    y = unit(build, y, inner, taste.style, kernel=kernel, stride=stride, groups=inner)
    if draw.chance(taste.gated):
        y = gate(draw, build, y, max(inner // (4 * taste.reduction), 4))
    y = unit(build, y, out, _linear(taste), kernel=1)
    return _add(draw, build, y, x, taste) if stride == 1 and out == channels else y


def _separable(draw: Draw, build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    channels = build.channels(x)
    dilation = draw.pick((1,) * 8 + (2, 3)) if stride == 1 else 1
    y = unit(
        build, x, channels, taste.style, kernel=taste.kernel, stride=stride, groups=channels,
        dilation=dilation,
    )  # fmt: skip
    if draw.chance(taste.gated):
        y = gate(draw, build, y, max(channels // taste.reduction, 1))
    return unit(build, y, out, taste.style, kernel=1)


def _dense(draw: Draw, build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    """Two or three layers that each read all before them; a transition where the size shrinks."""
    growth = max(out // draw.pick((4, 6, 8)), 4)
    if stride == 2:
        x = build.relu(normalise(build, x, taste.style) if taste.style.norm else x)
        x = build.avg_pool(build.conv(x, max(build.channels(x) // 2, 4), bias=False), kernel=2, stride=2)
    for _ in range(draw.integer(2, 3)):
        y = build.relu(normalise(build, x, taste.style))
        if draw.chance(0.8):
            y = build.relu(normalise(build, build.conv(y, 4 * growth, bias=False), taste.style))
        x = build.concat(x, build.conv(y, growth, kernel=3, padding=1, bias=False))
    return x


def _inception(draw: Draw, build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    """Branches of different windows and a pool, concatenated."""
    share = max(out // 4, 4)
    pool = build.max_pool if draw.chance(0.5) else build.avg_pool
    pooled = pool(x, kernel=3, stride=stride, padding=1)
    branches = [unit(build, pooled, share, taste.style, kernel=1) if draw.chance(0.7) else pooled]
    if stride == 1:
        branches.append(unit(build, x, share, taste.style, kernel=1))
    for _ in range(draw.integer(1, 2)):
        y = unit(build, x, max(round(share * draw.log_float(0.4, 1.0)), 4), taste.style, kernel=1)
        if draw.chance(0.35):
            length = draw.pick((3, 5, 7))
            y = unit(build, y, build.channels(y), taste.style, kernel=(1, length))
            y = unit(build, y, share, taste.style, kernel=(length, 1), stride=stride)
        else:
            y = unit(build, y, share, taste.style, kernel=draw.pick((3, 3, 5)), stride=stride)
        branches.append(y)
    return build.concat(*branches)


def _shuffle(draw: Draw, build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    """Half of the channels pass by, the other half is convolved; then both are shuffled."""
    half = max(out // 2, 4)
    if stride == 1 and build.channels(x) == 2 * half:
        if draw.chance(0.5):
            left, y = build.add_many("Split", x, build.int_constant((half, half)), outputs=2, axis=1)
        else:
            left = build.slice(x, axis=1, start=0, end=half)
            y = build.slice(x, axis=1, start=half, end=2 * half)
    else:
        left = unit(build, x, build.channels(x), _linear(taste), stride=stride, groups=build.channels(x))
        left, y = unit(build, left, half, taste.style, kernel=1), x
    y = unit(build, y, half, taste.style, kernel=1)
    y = unit(build, y, half, _linear(taste), kernel=taste.kernel, stride=stride, groups=half)
    y = unit(build, y, half, taste.style, kernel=1)
    return _shuffled(build, build.concat(left, y), 2)


def _grouped_shuffle(draw: Draw, build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    """Grouped 1x1 convolutions around a depthwise one, channels shuffled between them; added, or beside the
    pooled input where the size or the width changes."""
    groups, channels = draw.pick((2, 3, 3, 4, 8)), build.channels(x)
    out = max(round(out / groups), 1) * groups
    is_wider = stride != 1 or channels != out
    wide = out - channels if is_wider and out > channels else out
    wide = max(round(wide / groups), 1) * groups
    inner = max(round(out / taste.reduction / groups), 1) * groups
    y = unit(build, x, inner, taste.style, kernel=1, groups=groups if channels % groups == 0 else 1)
    y = _shuffled(build, y, groups)
    y = unit(build, y, inner, _linear(taste), kernel=3, stride=stride, groups=inner)
    y = unit(build, y, wide if is_wider else out, _linear(taste), kernel=1, groups=groups)
    if not is_wider:
        return activate(build, _add(draw, build, y, x, taste), taste.style.activation)
    beside = build.avg_pool(x, kernel=3, stride=stride, padding=1) if stride != 1 else x
    return activate(build, build.concat(beside, y), taste.style.activation)


def _shuffled(build: NetworkBuilder, x: str, groups: int) -> str:
    """The channels of the groups in turns."""
    batch, channels, height, width = build.shape(x)
    y = build.reshape(x, (batch, groups, channels // groups, height, width))
    return build.reshape(build.transpose(y, (0, 2, 1, 3, 4)), (batch, channels, height, width))


def _fire(draw: Draw, build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    """Squeeze, then expand in two branches, concatenated."""
    if stride == 2:
        x = build.max_pool(x, kernel=3, stride=2, padding=draw.pick((0, 1)))
    style = replace(taste.style, norm=False)
    y = unit(build, x, max(out // 8, 4), style, kernel=1)
    wide = max(out // 2, 4)
    return build.concat(unit(build, y, wide, style, kernel=1), unit(build, y, wide, style, kernel=3))


def _cross_stage(draw: Draw, build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    """Part of the channels goes through residual units, all are brought together (cross-stage partial)."""
    if stride == 2:
        x = unit(build, x, out, taste.style, kernel=3, stride=2)
    half = max(out // 2, 4)
    if draw.chance(0.5):
        wide = unit(build, x, 2 * half, taste.style, kernel=1)
        left, y = build.add_many("Split", wide, build.int_constant((half, half)), outputs=2, axis=1)
    else:
        left = unit(build, x, half, taste.style, kernel=1)
        y = unit(build, x, half, taste.style, kernel=1)
    kept = [left, y]
    for _ in range(draw.integer(1, 2)):
        z = unit(build, y, half, taste.style, kernel=draw.pick((1, 3)))
        z = unit(build, z, half, taste.style, kernel=3)
        y = _add(draw, build, y, z, taste) if draw.chance(0.7) else z
        kept.append(y)
    merged = build.concat(*kept) if draw.chance(0.5) else build.concat(left, y)
    return unit(build, merged, out, taste.style, kernel=1)


def _many_windows(draw: Draw, build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    """A 3x3 and a 1x1 convolution and perhaps the input itself, added."""
    linear = _linear(taste)
    y = unit(build, x, out, linear, kernel=3, stride=stride)
    y = _add(draw, build, y, unit(build, x, out, linear, kernel=1, stride=stride), taste)
    if stride == 1 and build.channels(x) == out:
        y = _add(draw, build, y, normalise(build, x, taste.style) if draw.chance(0.5) else x, taste)
    return activate(build, y, taste.style.activation)


def _channels_last(draw: Draw, build: NetworkBuilder, x: str, out: int, stride: int, taste: Taste) -> str:
    """A large depthwise window, then layer normalisation and two linear layers over channels last."""
    if stride == 2 or build.channels(x) != out:
        if draw.chance(0.5):
            x = build.layer_norm(build.transpose(x, (0, 2, 3, 1)))
            x = build.transpose(x, (0, 3, 1, 2))
        x = build.conv(x, out, kernel=stride, stride=stride)
    y = build.depthwise_conv(x, kernel=draw.pick((5, 7, 7, 9)))
    y = build.layer_norm(build.transpose(y, (0, 2, 3, 1)))
    y = build.linear(y, out * draw.pick((2, 3, 4)))
    y = build.linear(build.activation(y, draw.pick(("Gelu", "Gelu", "Relu"))), out)
    if draw.chance(0.6):
        y = build.add("Mul", y, build.constant((out,)))
    return _add(draw, build, x, build.transpose(y, (0, 3, 1, 2)), taste)


NETWORK_BLOCKS: Mapping[str, Block] = MappingProxyType(
    {
        "plain": _plain, "basic": _basic, "bottleneck": _bottleneck, "preactivated": _preactivated,
        "inverted": _inverted, "separable": _separable, "dense": _dense, "inception": _inception,
        "shuffle": _shuffle, "grouped_shuffle": _grouped_shuffle, "fire": _fire,
        "cross_stage": _cross_stage, "many_windows": _many_windows, "channels_last": _channels_last,
    }
)  # fmt: skip
"""Every block by name."""
