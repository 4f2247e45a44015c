"""Blocks in a row: what a compiler folds, fuses or drops between a convolution and what follows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from annette.benchmark.micro_matrix import Sampler, draw_kernel
from annette.benchmark.pieces import Style, activate, draw_style, image, lead_in, unit
from annette.benchmark.sampling import Draw
from annette.graph.builder import NetworkBuilder

__all__ = ["CHAIN_BLOCKS"]


def _kernel(draw: Draw, build: NetworkBuilder, x: str) -> tuple[int, int]:
    height, width = build.shape(x)[2:]
    return draw_kernel(draw, height, width)


def _stride(draw: Draw, build: NetworkBuilder, x: str) -> int:
    return 2 if draw.chance(0.15) and min(build.shape(x)[2:]) >= 4 else 1


def _conv_chain(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Two to five convolutions in one style."""
    x, style = image(draw, build), draw_style(draw)
    for _ in range(draw.integer(2, 5)):
        out = draw.channels_beside(build.channels(x), factor=3.0)
        x = unit(build, x, out, style, kernel=_kernel(draw, build, x), stride=_stride(draw, build, x))
    return (x,)


def _conv_activations(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Convolutions that each have an activation, or normalisation, of their own."""
    x = image(draw, build)
    for _ in range(draw.integer(2, 4)):
        out = draw.channels_beside(build.channels(x), factor=2.0)
        x = unit(build, x, out, draw_style(draw), kernel=_kernel(draw, build, x))
    return (x,)


def _rare_followers(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Convolutions followed by what is seldom fused: norms, constants, square roots, soft activations."""
    x = image(draw, build)
    for _ in range(2):
        channels = build.channels(x)
        y = unit(build, x, channels, Style(norm=False, activation=None), kernel=draw.pick((1, 3)))
        kind = draw.pick(
            (
                "Mul",
                "Add",
                "Sub",
                "Div",
                "InstanceNormalization",
                "Softplus",
                "Exp",
                "Mish",
                "LRN",
                "Neg",
                "Min",
            )
        )
        if kind in ("Mul", "Add", "Sub", "Div", "Min"):
            size = draw.pick(((), (channels, 1, 1), (1, channels, 1, 1)))
            x = build.add(kind, y, build.constant(size))
        elif kind == "InstanceNormalization":
            x = build.add(kind, y, build.constant((channels,)), build.constant((channels,)))
        else:
            x = build.add(kind, y, size=5) if kind == "LRN" else build.add(kind, y)
        x = build.relu(x) if draw.chance(0.5) else x
    return (x,)


def _stem(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """The start of a network: three channels, a large window, perhaps a pool."""
    height, width = draw.image(low=28)
    x = build.input("x", (1, draw.pick((3, 3, 3, 1)), height, width))
    style, out = draw_style(draw), draw.channels(8, 96)
    if draw.chance(0.2):
        x = build.add("Sub", x, build.constant((build.channels(x), 1, 1)))
    x = unit(build, x, out, style, kernel=draw.pick((3, 3, 5, 7)), stride=draw.pick((1, 2, 2)))
    if draw.chance(0.5) and min(build.shape(x)[2:]) >= 8:
        x = build.max_pool(x, kernel=draw.pick((2, 3)), stride=2, padding=draw.integer(0, 1))
    for _ in range(draw.integer(1, 2)):
        x = unit(build, x, draw.channels_beside(out, factor=2.0), style, kernel=draw.pick((1, 3)))
    return (x,)


def _preactivation(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Normalisation and activation before each convolution."""
    x, activation = image(draw, build), draw.pick(("Relu", "Relu", "Relu6", "LeakyRelu"))
    for _ in range(draw.integer(1, 3)):
        y = activate(build, build.batch_norm(x), activation)
        out = draw.channels_beside(build.channels(x), factor=3.0)
        x = build.conv(y, out, kernel=draw.pick((1, 3)), padding="same", bias=draw.chance(0.2))
    return (build.relu(build.batch_norm(x)) if draw.chance(0.5) else x,)


def _pool(draw: Draw, build: NetworkBuilder, x: str) -> str:
    """A pool whose window, step and padding vary, so that conditions on them show."""
    smallest = min(build.shape(x)[2:])
    kernel = min(draw.pick((2, 2, 2, 3, 3, 3, 4, 5, 7, 8)), smallest)
    stride = draw.pick((1, 2, 2, 2, 3, kernel))
    padding = 0 if draw.chance(0.5) else kernel // 2
    kind = build.max_pool if draw.chance(0.6) else build.avg_pool
    return kind(x, kernel=kernel, stride=stride, padding=padding, ceil_mode=draw.chance(0.15))


def _conv_pool(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """A convolution, perhaps normalised and activated, then a pool; perhaps read by another layer too."""
    x = image(draw, build, low=6)
    x = lead_in(draw, build, x)
    outputs: list[str] = []
    for _ in range(draw.integer(1, 2)):
        style = Style(norm=draw.chance(0.5), activation="Relu" if draw.chance(0.6) else None)
        if draw.chance(0.15):
            style = draw_style(draw)
        out = draw.channels_beside(build.channels(x), factor=3.0)
        y = unit(build, x, out, style, kernel=_kernel(draw, build, x))
        if draw.chance(0.15):
            outputs.append(build.add("Sigmoid", y))
        x = _pool(draw, build, y)
        if min(build.shape(x)[2:]) < 4:
            break
    return (*outputs, x)


def _pool_conv(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """A pool first, then a convolution."""
    x = _pool(draw, build, image(draw, build, low=8))
    style = draw_style(draw)
    return (unit(build, x, draw.channels_beside(build.channels(x)), style, kernel=draw.pick((1, 3))),)


def _down_sampling(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """A convolution, the pool that most networks down-sample with, and each kind of layer that may follow."""
    x = lead_in(draw, build, image(draw, build, low=6, most=512))
    activation = draw.pick(("Relu", "Relu", "Relu", "Relu6", "LeakyRelu", None))
    style = Style(norm=draw.chance(0.6), activation=activation)
    out = draw.channels_beside(build.channels(x), factor=3.0, high=1024)
    y = unit(build, x, out, style, kernel=draw.pick((1, 3, 3, 3, 5, 7)))
    kernel, stride = draw.pick((2, 2, 3, 3)), draw.pick((2, 2, 2, 2, 1))
    if draw.chance(0.12):
        pooled = build.max_pool(y, kernel=kernel, stride=stride, padding="same")
        side = unit(build, y, draw.channels_beside(out, factor=2.0), style, kernel=3, stride=stride)
        return (build.concat(side, pooled) if draw.chance(0.5) else build.concat(pooled, side),)
    if draw.chance(0.6):
        x = build.max_pool(y, kernel=kernel, stride=stride, padding="same")
    else:
        x = build.max_pool(y, kernel=kernel, stride=stride)
    match draw.pick(("nothing", "conv", "conv", "norm", "activation", "grow", "dense")):
        case "conv":
            return (unit(build, x, draw.channels_beside(out, factor=2.0), style, kernel=draw.pick((1, 3))),)
        case "norm":
            grown = build.conv(build.relu(build.batch_norm(x)), draw.pick((16, 32, 48)), kernel=1)
            return (build.concat(x, grown) if draw.chance(0.5) else grown,)
        case "activation":
            return (build.relu(x),)
        case "grow":
            grown = unit(build, x, draw.pick((16, 24, 32, 48, 64)), style, kernel=3)
            return (build.concat(x, grown),)
        case "dense":
            return (build.linear(build.flatten(build.global_avg_pool(x)), draw.pick((10, 100, 1000))),)
    return (x,)


def _vanish(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Layers that do nothing at inference, in the middle of what could be fused."""
    x, style = image(draw, build), draw_style(draw)
    activation = style.activation or "Relu"
    for _ in range(draw.integer(1, 2)):
        x = unit(
            build, x, draw.channels_beside(build.channels(x), factor=2.0), replace(style, activation=None)
        )
        x = _nothing(draw, build, x)
        x = activate(build, x, activation)
        x = _nothing(draw, build, x) if draw.chance(0.4) else x
    return (unit(build, x, build.channels(x), style, kernel=1),)


def _nothing(draw: Draw, build: NetworkBuilder, x: str) -> str:
    kind = draw.pick(("Identity", "Dropout", "Dropout", "Reshape", "Squeeze"))
    shape = build.shape(x)
    if kind == "Reshape":
        return build.reshape(build.reshape(x, (shape[0], shape[1], -1)), shape)
    if kind == "Squeeze":
        wide = build.add("Unsqueeze", x, build.int_constant((1,)))
        return build.add("Squeeze", wide, build.int_constant((1,)))
    return build.add(kind, x)


def _separable(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Depthwise, then pointwise, one to three times."""
    x, style = image(draw, build), draw_style(draw)
    if draw.chance(0.5):
        style = Style(norm=True, activation=draw.pick(("Relu", "Relu6")))
    for _ in range(draw.integer(1, 3)):
        channels = build.channels(x)
        kernel = draw.pick((3, 3, 5, 7))
        inner = replace(style, activation=None) if draw.chance(0.1) else style
        x = unit(build, x, channels, inner, kernel=kernel, stride=_stride(draw, build, x), groups=channels)
        x = unit(build, x, draw.channels_beside(channels, factor=2.5), style, kernel=1)
    return (x,)


def _factorised(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """A large window as a row and a column."""
    x, style = image(draw, build, low=8), draw_style(draw)
    x = unit(build, x, draw.channels_beside(build.channels(x), factor=4.0), style, kernel=1)
    length = draw.pick((3, 5, 7, 7))
    for kernel in ((1, length), (length, 1)) * draw.integer(1, 2):
        x = unit(build, x, draw.channels_beside(build.channels(x), factor=1.6), style, kernel=kernel)
    return (x,)


def _conv_transpose(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Learnt up-sampling with what follows it."""
    x, style = image(draw, build, high=104), draw_style(draw)
    x = unit(build, x, draw.channels_beside(build.channels(x), factor=2.0), style, kernel=draw.pick((1, 3)))
    kernel, padding = draw.pick(((2, 0), (2, 0), (4, 1)))
    out = draw.channels_beside(build.channels(x), factor=3.0)
    x = build.conv_transpose(x, out, kernel=kernel, padding=padding, bias=not style.norm)
    x = activate(build, build.batch_norm(x) if style.norm else x, style.activation)
    return (unit(build, x, out, style) if draw.chance(0.5) else x,)


def _conv_1d(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Convolutions over time, with a shortcut."""
    x = build.input("x", (1, draw.channels(8, 256), draw.spatial(16, 1024)))
    kernel = draw.pick((3, 5, 9, 9))
    out = draw.channels_beside(build.channels(x), factor=2.0, high=512)
    stride = draw.pick((1, 2))
    y = build.relu(
        build.batch_norm(build.conv(x, out, kernel=kernel, stride=stride, padding="same", bias=False))
    )
    y = build.batch_norm(build.conv(y, out, kernel=kernel, padding="same", bias=False))
    if draw.chance(0.3):
        return (build.relu(y),)
    shortcut = build.relu(build.batch_norm(build.conv(x, out, stride=stride, bias=False)))
    return (build.relu(build.add("Add", y, shortcut)),)


def _pad_conv(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Explicit padding before a convolution or a pool."""
    x, style = lead_in(draw, build, image(draw, build, low=6)), draw_style(draw)
    x = build.add("Pad", x, build.int_constant(draw.pick(((0, 0, 1, 1) * 2, (0, 0, 0, 0, 0, 0, 1, 1)))))
    if draw.chance(0.25):
        x = build.max_pool(x, kernel=3, stride=2)
    y = build.conv(x, draw.channels_beside(build.channels(x)), kernel=3, stride=draw.pick((1, 2)))
    return (activate(build, build.batch_norm(y), style.activation),)


def _quantised(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """A convolution between quantisation and its reverse."""
    x = image(draw, build, high=224)
    for _ in range(2):
        scale, zero = build.constant((), value=(0.1,)), build.constant((), dtype="int8", value=(0,))
        x = build.add("DequantizeLinear", build.add("QuantizeLinear", x, scale, zero), scale, zero)
        x = build.relu(build.conv(x, draw.channels_beside(build.channels(x)), kernel=3, padding=1))
    return (x,)


CHAIN_BLOCKS: Mapping[str, Sampler] = MappingProxyType(
    {
        "conv_chain": _conv_chain, "conv_activations": _conv_activations, "rare_followers": _rare_followers,
        "stem": _stem, "preactivation": _preactivation, "conv_pool": _conv_pool, "pool_conv": _pool_conv,
        "down_sampling": _down_sampling,
        "vanish": _vanish, "separable": _separable, "factorised": _factorised, "conv_1d": _conv_1d,
        "conv_transpose": _conv_transpose, "pad_conv": _pad_conv, "quantised": _quantised,
    }
)  # fmt: skip
"""Samplers by the name that plans use."""
