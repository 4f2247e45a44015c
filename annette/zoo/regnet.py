"""RegNetY-400MF."""

from __future__ import annotations

import math
from collections import Counter

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import (
    SqueezeExcite,
    classify,
    conv_bn,
    make_divisible,
    scale_channels,
    squeeze_excite,
)

__all__ = ["regnety_400mf"]

_STEM_CHANNELS = 32


def regnety_400mf(
    *, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0
) -> Network:
    """RegNetY-400MF: group convolutions of width 8 with squeeze-excite (Radosavovic et al., 2020).

    References
    ----------
    Radosavovic et al.: Designing Network Design Spaces, CVPR 2020, section 3.3 and figure 15.
    """
    group_width = 8
    build = NetworkBuilder("regnety_400mf")
    x = build.input("image", (batch, 3, resolution, resolution))
    x = conv_bn(build, x, scale_channels(_STEM_CHANNELS, width), kernel=3, stride=2)
    for channels, count in _stages(depth=16, initial=48, slope=27.89, ratio=2.09):
        scaled = make_divisible(channels * width, group_width)
        for index in range(count):
            x = _block(build, x, scaled, stride=1 if index else 2, group_width=group_width)
    return build.finish(classify(build, x, classes))


def _stages(*, depth: int, initial: int, slope: float, ratio: float) -> tuple[tuple[int, int], ...]:
    """Channels and blocks of each stage: a line over the blocks, quantised in powers and in eights."""
    powers = (round(math.log(1 + slope * block / initial, ratio)) for block in range(depth))
    return tuple(Counter(round(initial * ratio**power / 8) * 8 for power in powers).items())


def _block(build: NetworkBuilder, x: str, channels: int, *, stride: int, group_width: int) -> str:
    """Bottleneck of ratio 1 with a gate whose width is a quarter of the block's input."""
    y = conv_bn(build, x, channels)
    y = conv_bn(build, y, channels, kernel=3, stride=stride, groups=channels // group_width)
    y = squeeze_excite(build, y, SqueezeExcite(channels=round(build.channels(x) / 4)))
    y = conv_bn(build, y, channels, activation=None)
    if build.shape(x) != build.shape(y):
        x = conv_bn(build, x, channels, stride=stride, activation=None)
    return build.relu(build.add("Add", x, y))
