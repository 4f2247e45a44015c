"""The pieces that benchmark blocks are put together from: inputs, convolution units, branches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from annette.benchmark.sampling import Draw
from annette.graph.builder import NetworkBuilder

__all__ = ["ACTIVATION_SHARES", "Style", "activate", "draw_style", "image", "lead_in", "normalise", "unit"]

ACTIVATION_SHARES: Mapping[str | None, float] = MappingProxyType(
    {
        "Relu": 5.0, "Relu6": 2.0, None: 1.2, "LeakyRelu": 1.0, "HardSwish": 1.0, "Swish": 1.0,
        "Sigmoid": 0.5, "HardSigmoid": 0.4, "Tanh": 0.3, "Elu": 0.3, "PRelu": 0.4, "Gelu": 0.4,
    }
)  # fmt: skip
"""What follows a convolution and how often; ``None`` is nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a block writes its convolutions."""

    norm: bool
    """Batch normalisation after each convolution, which then has no bias."""
    activation: str | None
    """What follows each convolution; ``None`` for nothing."""
    is_scaled: bool = False
    """Factors and offsets as layers of their own after each normalisation, as Caffe writes it."""


def draw_style(draw: Draw) -> Style:
    """Mostly with batch normalisation; any activation."""
    return Style(norm=draw.chance(0.72), activation=draw.weighted(ACTIVATION_SHARES))


def image(draw: Draw, build: NetworkBuilder, *, low: int = 4, high: int = 416, most: int = 1024) -> str:
    """An input of a feature map's sizes."""
    channels, height, width = draw.feature_map(low=low, high=high, max_channels=most)
    return build.input("x", (1, channels, height, width))


def lead_in(draw: Draw, build: NetworkBuilder, x: str) -> str:
    """What comes before a block: nothing, an activation, a pool or a convolution."""
    style = draw.unit()
    if style < 0.45:
        return x
    if style < 0.60:
        return build.relu(x)
    if style < 0.72:
        return build.max_pool(x, kernel=3, stride=1, padding=1)
    return unit(build, x, build.channels(x), Style(norm=draw.chance(0.7), activation="Relu"), kernel=1)


def activate(build: NetworkBuilder, x: str, kind: str | None) -> str:
    """The activation, with a slope a channel for ``PRelu``."""
    if kind == "PRelu":
        slope = (build.channels(x), *(1,) * (len(build.shape(x)) - 2))
        return build.add(kind, x, build.constant(slope))
    return build.activation(x, kind)


def normalise(build: NetworkBuilder, x: str, style: Style) -> str:
    """Batch normalisation, written as the style says."""
    y = build.batch_norm(x)
    if style.is_scaled:
        per_channel = (build.channels(x), *(1,) * (len(build.shape(x)) - 2))
        y = build.add("Mul", y, build.constant(per_channel))
        y = build.add("Add", y, build.constant(per_channel))
    return y


def unit(
    build: NetworkBuilder,
    x: str,
    out_channels: int,
    style: Style,
    *,
    kernel: int | tuple[int, int] = 3,
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
) -> str:
    """Convolution, then normalisation and activation as the style says; padded to keep the size."""
    pair = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = ((pair[0] - 1) * dilation // 2, (pair[1] - 1) * dilation // 2)
    y = build.conv(
        x, out_channels, kernel=pair, stride=stride, padding=padding, dilation=dilation, groups=groups,
        bias=not style.norm,
    )  # fmt: skip
    return activate(build, normalise(build, y, style) if style.norm else y, style.activation)
