"""Blocks that change the scale: pyramids, up-sampling, context pooling, classifier and detection heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from annette.benchmark.micro_matrix import Sampler
from annette.benchmark.pieces import Style, activate, draw_style, image, unit
from annette.benchmark.sampling import Draw
from annette.graph.builder import NetworkBuilder

__all__ = ["SCALE_BLOCKS"]


def _pyramid(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """A coarse map up-sampled and merged, by sum or concatenation, with a finer one."""
    channels, height, width = draw.feature_map(low=2, high=80, max_channels=1024)
    coarse = build.input("coarse", (1, channels, height, width))
    fine_channels = draw.channels_beside(max(channels // 2, 1), factor=2.0, high=1024)
    fine = build.input("fine", (1, fine_channels, 2 * height, 2 * width))
    style = draw_style(draw)
    mode = draw.pick(("nearest", "nearest", "linear"))
    inner = draw.pick((64, 96, 128, 256, 256)) if draw.chance(0.5) else fine_channels
    x = unit(build, coarse, inner, style, kernel=1)
    up = build.resize(x, (2 * height, 2 * width), mode=mode)
    if draw.chance(0.5):
        side = build.conv(fine, inner)
        merged = build.add("Add", up, side) if draw.chance(0.5) else build.add("Add", side, up)
    else:
        merged = build.concat(up, fine) if draw.chance(0.5) else build.concat(fine, up)
    y = unit(build, merged, inner, style)
    return (y, unit(build, x, inner, style)) if draw.chance(0.4) else (y,)


def _up_sample(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Convolutions with interpolation between or after them."""
    x, style = image(draw, build, low=2, high=104), draw_style(draw)
    for _ in range(draw.integer(1, 2)):
        x = unit(
            build, x, draw.channels_beside(build.channels(x), factor=2.0), style, kernel=draw.pick((1, 3))
        )
        height, width = build.shape(x)[2:]
        factor = draw.pick((2, 2, 2, 4))
        x = build.resize(x, (height * factor, width * factor), mode=draw.pick(("nearest", "linear")))
    return (
        unit(build, x, draw.channels_beside(build.channels(x), factor=2.0), style, kernel=draw.pick((1, 3))),
    )


def _pixel_shuffle(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Channels unfolded into space, as in super-resolution."""
    x, style = image(draw, build, low=4, high=160, most=128), draw_style(draw)
    block = draw.pick((2, 2, 3))
    out = draw.pick((1, 3, 16, 32))
    x = unit(build, x, build.channels(x), style)
    x = build.conv(x, out * block**2, kernel=3, padding=1)
    x = build.add("DepthToSpace", x, blocksize=block, mode=draw.pick(("CRD", "DCR")))
    return (unit(build, x, out, style) if draw.chance(0.5) else x,)


def _context(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Dilated branches and a globally pooled one, concatenated."""
    channels, height, width = draw.feature_map(low=8, high=65, max_channels=640)
    x = build.input("x", (1, channels, height, width))
    style, out = draw_style(draw), draw.pick((32, 64, 96, 128, 256))
    branches = [unit(build, x, out, style, kernel=1)]
    for _ in range(draw.integer(1, 3)):
        dilation = draw.pick((2, 3, 4, 6, 12, 18))
        if draw.chance(0.25):
            y = unit(build, x, channels, style, groups=channels, dilation=dilation)
            branches.append(unit(build, y, out, style, kernel=1))
        else:
            branches.append(unit(build, x, out, style, dilation=dilation))
    if draw.chance(0.6):
        pooled = unit(build, build.global_avg_pool(x), out, replace(style, norm=False), kernel=1)
        branches.append(build.resize(pooled, (height, width), mode="linear"))
    return (unit(build, build.concat(*branches), out, style, kernel=1),)


def _pool_pyramid(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """The input and pools of growing windows, concatenated."""
    x, style = image(draw, build, low=8, high=52), draw_style(draw)
    half = max(build.channels(x) // 2, 2)
    y = unit(build, x, half, style, kernel=1)
    made = [y]
    for kernel in draw.pick(((5, 9, 13), (5, 5, 5), (3, 5))):
        source = made[-1] if draw.chance(0.5) else y
        made.append(build.max_pool(source, kernel=kernel, stride=1, padding=kernel // 2))
    return (unit(build, build.concat(*made), build.channels(x), style, kernel=1),)


def _classifier(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """The end of a network: global pool, flatten, fully connected, softmax, in several spellings."""
    x, style = image(draw, build, low=3, high=28, most=1536), draw_style(draw)
    if draw.chance(0.6):
        x = unit(
            build, x, draw.channels_beside(build.channels(x), factor=3.0), style, kernel=draw.pick((1, 3))
        )
    classes = draw.pick((10, 100, 1000, 1000, 1001, 21)) if draw.chance(0.7) else draw.log_int(2, 4096)
    ending = draw.integer(0, 3)
    if ending == 0:
        y = build.reshape(build.add("ReduceMean", x, build.int_constant((2, 3)), keepdims=1), (1, -1))
    elif ending == 1:
        y = build.flatten(build.global_avg_pool(build.conv(x, classes)))
        return (build.softmax(y),)
    elif ending == 2:
        y = build.flatten(build.avg_pool(x, kernel=build.shape(x)[2:]))
    else:
        y = build.flatten(build.global_avg_pool(x))
    y = build.add("Dropout", y) if draw.chance(0.4) else y
    if draw.chance(0.25):
        y = activate(
            build, build.linear(y, draw.channels(64, 2048)), draw.pick(("Relu", "HardSwish", "Tanh"))
        )
    y = build.linear(y, classes)
    return (build.softmax(y) if draw.chance(0.6) else y,)


def _dense_head(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """A feature map flattened into fully connected layers."""
    x = image(draw, build, low=2, high=10, most=512)
    style = Style(norm=False, activation="Relu")
    if draw.chance(0.7):
        x = unit(build, x, draw.channels_beside(build.channels(x), factor=2.0), style)
        if draw.chance(0.5) and min(build.shape(x)[2:]) >= 2:
            x = build.max_pool(x, kernel=2, stride=2)
    y = build.flatten(x) if draw.chance(0.7) else build.reshape(x, (1, -1))
    for _ in range(draw.integer(1, 3)):
        y = build.add("Dropout", y) if draw.chance(0.4) else y
        y = build.linear(y, draw.channels(10, 4096))
        y = build.batch_norm(y) if draw.chance(0.25) else y
        y = activate(build, y, draw.pick(("Relu", "Relu", "Tanh", "Sigmoid", "LeakyRelu")))
    return (build.linear(y, draw.channels(2, 1000)),)


def _detection(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Predictions per position brought into one list over scales."""
    channels, height, width = draw.feature_map(low=4, high=52, max_channels=512)
    x = build.input("x", (1, channels, height, width))
    style, fields = draw_style(draw), draw.pick((4, 21, 85, 91))
    anchors = draw.pick((1, 3, 3, 6))
    found: list[str] = []
    for _ in range(draw.integer(1, 2)):
        x = unit(build, x, build.channels(x), style, stride=1 if not found else 2)
        y = build.conv(x, anchors * fields, kernel=draw.pick((1, 1, 3)), padding="same")
        rows, columns = build.shape(y)[2:]
        if draw.chance(0.5):
            y = build.reshape(build.transpose(y, (0, 2, 3, 1)), (1, rows * columns * anchors, fields))
        else:
            y = build.transpose(build.reshape(y, (1, anchors, fields, rows, columns)), (0, 1, 3, 4, 2))
            y = build.reshape(y, (1, rows * columns * anchors, fields))
        found.append(y)
    y = build.concat(*found, axis=1) if len(found) > 1 else found[0]
    return (build.add("Sigmoid", y) if draw.chance(0.5) else build.softmax(y),)


def _two_outputs(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Activations and convolutions that are the network's outputs, and read further too."""
    x, style = image(draw, build), draw_style(draw)
    y = unit(build, x, build.channels(x), style)
    z = unit(build, y, draw.channels_beside(build.channels(x), factor=2.0), style, kernel=1)
    return (y, build.add("Sigmoid", z)) if draw.chance(0.5) else (y, z)


def _multi_stage(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Two predictors from shared features, concatenated with them, as in stages that refine."""
    x = image(draw, build, low=16, high=92, most=256)
    style = Style(norm=draw.chance(0.2), activation="Relu")
    kernel, width = draw.pick((3, 3, 7)), draw.pick((64, 96, 128))
    predicted = []
    for out in (draw.pick((38, 26, 28)), draw.pick((19, 14, 15))):
        y = x
        for _ in range(draw.integer(1, 2)):
            y = unit(build, y, width, style, kernel=kernel)
        y = unit(build, y, draw.pick((width, 4 * width)), style, kernel=1)
        predicted.append(build.conv(y, out))
    y = build.concat(*predicted, x)
    return (unit(build, y, width, style, kernel=kernel),)


SCALE_BLOCKS: Mapping[str, Sampler] = MappingProxyType(
    {
        "pyramid": _pyramid, "up_sample": _up_sample, "pixel_shuffle": _pixel_shuffle, "context": _context,
        "pool_pyramid": _pool_pyramid, "classifier": _classifier, "dense_head": _dense_head,
        "detection": _detection, "two_outputs": _two_outputs, "multi_stage": _multi_stage,
    }
)  # fmt: skip
"""Samplers by the name that plans use."""
