"""Synthetic networks on images: random stems, stages and heads in the manner of each published family."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from annette.benchmark.growing import GrowingBuilder
from annette.benchmark.network_blocks import NETWORK_BLOCKS, Taste, draw_taste
from annette.benchmark.pieces import Style, unit
from annette.benchmark.sampling import Draw

__all__ = ["IMAGE_THEMES", "Frame", "Theme", "draw_side", "draw_width", "shrinks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a synthetic network is to keep within."""

    batch: int
    """Images or sequences at once."""
    macs: float
    """No further block is begun beyond so many multiply-accumulates."""
    weight_elements: float
    """No further block is begun beyond so many elements of constants."""
    kernels: int
    """No further block is begun beyond so many kernels."""

    @property
    def scale(self) -> float:
        """What widths and sides are multiplied by, so that the work nears the frame's; 1 at 25 M MACs.

        Not so small that only the least widths are left.
        """
        return min(max(math.pow(self.macs / self.batch / 2.5e7, 0.25), 0.45), 2.8)

    @property
    def width_scale(self) -> float:
        """What widths are multiplied by, so that the weights near the frame's as well."""
        return self.scale * min(max(math.pow(self.weight_elements / 1e6, 0.3), 0.8), 2.5)

    @property
    def growth(self) -> tuple[float, float]:
        """Least and most that each stage is wider than the one before: networks of many weights end wide."""
        return (1.3, 2.1) if self.weight_elements < 2e6 else (1.7, 2.3)

    @property
    def is_wide(self) -> bool:
        """Whether most of the weights wanted need wide layers."""
        return self.weight_elements > 5e6

    def has_room(self, build: GrowingBuilder, share: float = 1.0) -> bool:
        """Whether another block may be begun within this share of the frame."""
        return (
            build.macs < share * self.macs
            and build.weight_elements < share * self.weight_elements
            and build.kernels < share * self.kernels
        )


Theme = Callable[[Draw, GrowingBuilder, Frame], tuple[str, ...]]
"""Adds a whole network to the builder and returns its outputs."""


def draw_width(draw: Draw, near: float) -> int:
    """A stage's channel count: mostly multiples of 8, 16 or 32; runtimes lay others out otherwise."""
    step = draw.weighted({8: 0.42, 16: 0.26, 32: 0.18, 4: 0.06, 1: 0.08})
    return max(round(near / step), 1) * step if near >= step else max(round(near), 4)


def draw_side(draw: Draw, low: float = 32, high: float = 288) -> int:
    """Height or width of an image."""
    step = draw.weighted({32: 0.45, 16: 0.2, 8: 0.15, 4: 0.1, 1: 0.1})
    return max(round(draw.log_float(low, high) / step), 1) * step


def shrinks(build: GrowingBuilder, x: str, to: int = 4) -> bool:
    """Whether half of the feature map's smaller side is still ``to`` or more."""
    return min(build.shape(x)[2:]) >= 2 * to


def _input(draw: Draw, build: GrowingBuilder, frame: Frame, *, low: int = 32, high: int = 256) -> str:
    most = min(high * frame.scale * math.sqrt(frame.scale / frame.width_scale), 320.0)
    height = draw_side(draw, low * min(frame.scale, 1.5), most)
    width = height if draw.chance(0.8) else draw_side(draw, low, most)
    return build.input("image", (frame.batch, draw.pick((3, 3, 3, 3, 1, 4)), height, width))


def _stem(draw: Draw, build: GrowingBuilder, x: str, width: int, taste: Taste) -> str:
    """One to three convolutions, perhaps a pool; larger images shrink more."""
    side = min(build.shape(x)[2:])
    style = draw.integer(0, 3) if side >= 64 else draw.pick((0, 1))
    if style == 0:
        return unit(build, x, width, taste.style, kernel=3, stride=1 if side < 64 else 2)
    if style == 1:
        x = unit(build, x, max(width // 2, 8), taste.style, kernel=3, stride=2 if side >= 64 else 1)
        return unit(build, x, width, taste.style, kernel=draw.pick((1, 3)))
    if style == 2:
        x = unit(build, x, width, taste.style, kernel=draw.pick((5, 7, 7)), stride=2)
        return build.max_pool(x, kernel=3, stride=2, padding=draw.pick((0, 1)))
    size = draw.pick((2, 4))
    return build.conv(x, width, kernel=size, stride=size)


def _stages(
    draw: Draw, build: GrowingBuilder, x: str, frame: Frame, taste: Taste, blocks: Mapping[str, float],
    *, share: float = 0.9,
) -> list[str]:  # fmt: skip
    """Stages of blocks, each coarser and wider than the one before; the feature map after each."""
    width = float(build.channels(x))
    growth, maps = draw.log_float(*frame.growth), [x]
    main = draw.weighted(blocks)
    for stage in range(draw.integer(3, 6)):
        width *= growth if stage else draw.log_float(1.0, growth)
        out, depth = draw_width(draw, width), draw.integer(1, 4 + stage)
        kind = main if draw.chance(0.8) else draw.weighted(blocks)
        for index in range(depth):
            if not frame.has_room(build, share) and len(maps) > 1:
                return maps
            stride = 2 if index == 0 and shrinks(build, x) and (stage or draw.chance(0.4)) else 1
            x = NETWORK_BLOCKS[kind](draw, build, x, out, stride, taste)
        maps.append(x)
    return maps


def _classify(draw: Draw, build: GrowingBuilder, x: str, frame: Frame, taste: Taste) -> str:
    """Pool, flatten, one or two linear layers, perhaps softmax."""
    if draw.chance(0.4):
        x = unit(
            build, x, draw_width(draw, build.channels(x) * draw.log_float(1.2, 4.0)), taste.style, kernel=1
        )
    y = build.global_avg_pool(x) if draw.chance(0.8) else None
    if y is None:
        y = build.add("ReduceMean", x, build.int_constant((2, 3)), keepdims=draw.integer(0, 1))
    y = build.flatten(y)
    if draw.chance(0.3):
        room = max(frame.weight_elements - build.weight_elements, 1e5)
        wide = round(min(draw.log_float(128, 2048), room / build.shape(y)[1]))
        y = build.activation(build.linear(y, max(wide, 16)), draw.pick(("Relu", "HardSwish", "Tanh")))
    y = build.linear(y, draw.log_int(5, 2000) if draw.chance(0.5) else draw.pick((10, 100, 1000)))
    return build.softmax(y) if draw.chance(0.4) else y


def _classifier(blocks: Mapping[str, float], activations: tuple[str, ...], gated: float = 0.0) -> Theme:
    """A theme of networks that classify images with these blocks."""

    def theme(draw: Draw, build: GrowingBuilder, frame: Frame) -> tuple[str, ...]:
        taste = draw_taste(draw, activations, gated=gated)
        x = _stem(
            draw,
            build,
            _input(draw, build, frame),
            draw_width(draw, frame.width_scale * draw.log_float(10, 56)),
            taste,
        )
        maps = _stages(draw, build, x, frame, taste, blocks)
        return (_classify(draw, build, maps[-1], frame, taste),)

    return theme


def _plain_dense(draw: Draw, build: GrowingBuilder, frame: Frame) -> tuple[str, ...]:
    """Dense windows and pools, then large fully connected layers."""
    taste = draw_taste(draw, ("Relu", "Relu", "LeakyRelu", "Elu"))
    x = unit(
        build,
        _input(draw, build, frame),
        draw_width(draw, frame.width_scale * draw.log_float(12, 48)),
        taste.style,
        kernel=3,
    )
    if shrinks(build, x, 48):
        x = build.max_pool(x, kernel=2, stride=2)
    x = _stages(draw, build, x, frame, taste, {"plain": 1.0})[-1]
    while min(build.shape(x)[2:]) > 10:
        x = build.max_pool(x, kernel=3, stride=2)
    y = build.flatten(x)
    for _ in range(draw.integer(1, 3)):
        room = max(frame.weight_elements - build.weight_elements, 2e5)
        wide = round(min(draw.log_float(64, 4096), room / build.shape(y)[1]))
        y = build.activation(build.linear(y, max(wide, 16)), draw.pick(("Relu", "Relu", "Sigmoid")))
        y = build.add("Dropout", y) if draw.chance(0.3) else y
    return (build.linear(y, draw.log_int(5, 1000)),)


def _unet(draw: Draw, build: GrowingBuilder, frame: Frame) -> tuple[str, ...]:
    """Down, then up again with the finer maps concatenated or added; one prediction a pixel."""
    taste = draw_taste(draw, ("Relu", "LeakyRelu", "Swish"))
    x = _input(draw, build, frame, low=48, high=192)
    x = unit(build, x, draw_width(draw, frame.width_scale * draw.log_float(8, 28)), taste.style, kernel=3)
    blocks = {"plain": 2.0, "basic": 1.0, "separable": 1.0, "preactivated": 0.5, "inverted": 0.5}
    maps = _stages(draw, build, x, frame, taste, blocks, share=0.55)
    x, way = maps.pop(), draw.pick(("transpose", "transpose", "nearest", "linear"))
    while maps:
        side = maps.pop()
        if build.shape(side)[2:] == build.shape(x)[2:]:
            continue
        out, spatial = build.channels(side), build.shape(side)[2:]
        if way == "transpose" and spatial == tuple(2 * size for size in build.shape(x)[2:]):
            kernel, padding = draw.pick(((2, 0), (2, 0), (4, 1)))
            x = build.conv_transpose(x, out, kernel=kernel, padding=padding)
        else:
            x = build.resize(x, spatial, mode="nearest" if way == "transpose" else way)
            x = unit(build, x, out, taste.style, kernel=draw.pick((1, 3)))
        x = build.concat(x, side) if draw.chance(0.75) else build.add("Add", x, side)
        if frame.has_room(build):
            x = unit(build, x, out, taste.style, kernel=3)
    y = build.conv(x, draw.pick((1, 2, 4, 12, 19, 21)))
    ending = draw.integer(0, 3)
    if ending == 0:
        return (build.add("ArgMax", y, axis=1, keepdims=0),)
    return (build.softmax(y, axis=1) if ending == 1 else build.add("Sigmoid", y),)


def _segmentation(draw: Draw, build: GrowingBuilder, frame: Frame) -> tuple[str, ...]:
    """A backbone, dilated branches in parallel, a prediction resized to the image."""
    taste = draw_taste(draw, ("Relu", "Relu6", "HardSwish"), gated=0.3)
    image = _input(draw, build, frame, low=65, high=257)
    x = _stem(draw, build, image, draw_width(draw, frame.width_scale * draw.log_float(10, 32)), taste)
    blocks = {"inverted": 2.0, "basic": 1.0, "bottleneck": 1.0, "separable": 1.0}
    maps = _stages(draw, build, x, frame, taste, blocks, share=0.6)
    x, out = maps[-1], draw_width(draw, draw.log_float(24, 160))
    spatial = build.shape(x)[2:]
    branches = [unit(build, x, out, taste.style, kernel=1)]
    for _ in range(draw.integer(1, 3)):
        dilation = draw.pick((2, 3, 4, 6, 12))
        if draw.chance(0.5):
            y = unit(build, x, build.channels(x), taste.style, groups=build.channels(x), dilation=dilation)
            branches.append(unit(build, y, out, taste.style, kernel=1))
        else:
            branches.append(unit(build, x, out, taste.style, dilation=dilation))
    pooled = unit(build, build.global_avg_pool(x), out, replace(taste.style, norm=False), kernel=1)
    branches.append(build.resize(pooled, spatial, mode=draw.pick(("nearest", "linear"))))
    y = unit(build, build.concat(*branches), out, taste.style, kernel=1)
    fine = maps[max(len(maps) - 3, 0)]
    if draw.chance(0.6) and build.shape(fine)[2:] != spatial:
        y = build.resize(y, build.shape(fine)[2:], mode="linear")
        y = build.concat(y, unit(build, fine, max(out // 4, 8), taste.style, kernel=1))
        y = unit(build, y, out, taste.style, kernel=3)
    y = build.conv(y, draw.pick((2, 12, 19, 21)))
    return (build.resize(y, build.shape(image)[2:], mode="linear"),)


def _detection(draw: Draw, build: GrowingBuilder, frame: Frame) -> tuple[str, ...]:
    """A backbone, a pyramid down and perhaps up again, predictions on two or three scales."""
    taste = draw_taste(draw, ("Swish", "LeakyRelu", "Relu", "HardSwish", "Mish"))
    x = _input(draw, build, frame, low=96, high=256)
    x = _stem(draw, build, x, draw_width(draw, frame.width_scale * draw.log_float(8, 28)), taste)
    blocks = {"cross_stage": 3.0, "basic": 1.0, "inverted": 1.0, "many_windows": 1.0, "separable": 0.5}
    maps = _stages(draw, build, x, frame, taste, blocks, share=0.6)
    distinct = {build.shape(item)[2:]: item for item in maps}
    scales = list(distinct.values())[-draw.integer(2, 3) :]
    x = scales[-1]
    if draw.chance(0.5):  # pools of one window, one after the other
        half = max(build.channels(x) // 2, 4)
        chain = [unit(build, x, half, taste.style, kernel=1)]
        for _ in range(3):
            chain.append(build.max_pool(chain[-1], kernel=5, stride=1, padding=2))
        x = unit(build, build.concat(*chain), build.channels(x), taste.style, kernel=1)
    merged = [x]
    for side in reversed(scales[:-1]):
        inner = build.channels(side)
        y = unit(build, merged[-1], inner, taste.style, kernel=1)
        y = build.concat(build.resize(y, build.shape(side)[2:]), side)
        merged.append(unit(build, y, inner, taste.style, kernel=draw.pick((1, 3))))
    fields, anchors = draw.pick((6, 21, 25, 85, 91)), draw.pick((1, 3, 3, 6))
    return _predictions(draw, build, merged, taste, fields, anchors)


def _predictions(
    draw: Draw, build: GrowingBuilder, scales: list[str], taste: Taste, fields: int, anchors: int
) -> tuple[str, ...]:
    """Boxes and classes of every position of every scale, in one list."""
    channels_last, found = draw.chance(0.5), []
    for x in scales:
        if draw.chance(0.5):
            x = unit(build, x, build.channels(x), taste.style, kernel=3)
        y = build.conv(x, anchors * fields, kernel=draw.pick((1, 1, 3)), padding="same")
        batch, _, rows, columns = build.shape(y)
        if channels_last:
            y = build.transpose(y, (0, 2, 3, 1))
        else:
            y = build.transpose(build.reshape(y, (batch, anchors, fields, rows, columns)), (0, 1, 3, 4, 2))
        found.append(build.reshape(y, (batch, rows * columns * anchors, fields)))
    y = build.concat(*found, axis=1)
    boxes = build.slice(y, axis=2, start=0, end=4)
    classes = build.slice(y, axis=2, start=4, end=fields)
    return (boxes, build.add("Sigmoid", classes) if draw.chance(0.6) else build.softmax(classes))


def _enlarge(draw: Draw, build: GrowingBuilder, frame: Frame) -> tuple[str, ...]:
    """Convolutions at full size, then channels unfolded into space, or learnt up-sampling of a vector."""
    taste = draw_taste(draw, ("Relu", "LeakyRelu", "PRelu", "Relu"))
    taste = replace(taste, style=replace(taste.style, norm=False))
    if draw.chance(0.35):
        return _generate(draw, build, frame, taste)
    x = build.input(
        "image",
        (
            frame.batch,
            draw.pick((1, 3)),
            draw_side(draw, 20, 72 * frame.scale),
            draw_side(draw, 20, 72 * frame.scale),
        ),
    )
    width, start = draw_width(draw, frame.width_scale * draw.log_float(10, 40)), x
    x = first = unit(build, x, width, taste.style, kernel=draw.pick((3, 5, 9)))
    for _ in range(draw.integer(2, 8)):
        if not frame.has_room(build, 0.8):
            break
        y = unit(build, x, width, taste.style, kernel=3)
        y = unit(build, y, width, Style(norm=False, activation=None), kernel=3)
        x = build.add("Add", y, x)
    factor, colours = draw.pick((2, 2, 3, 4)), build.channels(start)
    x = build.conv(build.add("Add", x, first), colours * factor**2, kernel=3, padding=1)
    x = build.add("DepthToSpace", x, blocksize=factor, mode=draw.pick(("CRD", "DCR")))
    if draw.chance(0.5):
        spatial = tuple(factor * size for size in build.shape(start)[2:])
        x = build.add("Add", x, build.resize(start, spatial, mode=draw.pick(("linear", "cubic"))))
    return (x,)


def _generate(draw: Draw, build: GrowingBuilder, frame: Frame, taste: Taste) -> tuple[str, ...]:
    side, width = draw.pick((4, 6, 8)), draw_width(draw, draw.log_float(48, 256))
    x = build.input("latent", (frame.batch, draw.pick((32, 64, 100, 128))))
    x = build.reshape(build.linear(x, width * side * side), (frame.batch, width, side, side))
    while min(build.shape(x)[2:]) <= 64 and frame.has_room(build, 0.7):
        width = max(width // 2, 8)
        kernel, padding = draw.pick(((4, 1), (2, 0), (4, 1)))
        x = build.conv_transpose(x, width, kernel=kernel, padding=padding, bias=False)
        x = build.activation(build.batch_norm(x), draw.pick(("Relu", "LeakyRelu")))
        if draw.chance(0.3):
            x = unit(build, x, width, taste.style, kernel=3)
    return (build.add("Tanh", build.conv(x, 3, kernel=3, padding=1)),)


_COMMON = ("Relu", "Relu", "Relu", "LeakyRelu", "Swish")
_MOBILE = ("Relu6", "Relu6", "Relu", "HardSwish", "Swish")

IMAGE_THEMES: Mapping[str, Theme] = MappingProxyType(
    {
        "mobile": _classifier({"inverted": 4.0, "separable": 1.5}, _MOBILE, gated=0.5),
        "depthwise_gated": _classifier({"inverted": 2.0, "separable": 2.0}, _MOBILE, gated=1.0),
        "residual": _classifier({"basic": 2.0, "bottleneck": 3.0, "preactivated": 1.0}, _COMMON, gated=0.3),
        "plain": _plain_dense,
        "dense": _classifier({"dense": 1.0}, ("Relu",)),
        "inception": _classifier({"inception": 4.0, "plain": 0.5}, ("Relu", "Relu", "Relu6")),
        "shuffle": _classifier({"shuffle": 2.0, "grouped_shuffle": 2.0, "fire": 1.5}, ("Relu",)),
        "many_windows": _classifier({"many_windows": 2.0, "cross_stage": 2.0}, _COMMON),
        "channels_last": _classifier({"channels_last": 1.0}, ("Relu",)),
        "mixed": _classifier(dict.fromkeys(NETWORK_BLOCKS, 1.0), _COMMON, gated=0.3),
        "unet": _unet, "segmentation": _segmentation, "detection": _detection, "enlarge": _enlarge,
    }
)  # fmt: skip
"""Themes by the name that plans use."""
