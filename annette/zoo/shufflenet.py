"""ShuffleNet v2."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import channel_shuffle, classify, conv_bn, scale_channels

__all__ = ["shufflenet_v2"]

_BLOCKS = (4, 8, 4)
_STEM_CHANNELS = 24
_WIDTHS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
"""Channels of the three stages and the last convolution (Ma et al., 2018, table 5)."""


def shufflenet_v2(
    *, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0
) -> Network:
    """ShuffleNet v2: channel split and channel shuffle around depthwise convolutions (Ma et al., 2018).

    Widths 0.5, 1, 1.5 and 2 are the published ones; others scale the stages of width 1.

    References
    ----------
    Ma et al.: ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design, ECCV 2018.
    """
    *stages, last = _WIDTHS.get(width) or (*(scale_channels(c, width, 4) for c in _WIDTHS[1.0][:3]), 1024)
    build = NetworkBuilder("shufflenet_v2")
    x = build.input("image", (batch, 3, resolution, resolution))
    x = conv_bn(build, x, _STEM_CHANNELS, kernel=3, stride=2)
    x = build.max_pool(x, kernel=3, stride=2, padding=1)
    for count, channels in zip(_BLOCKS, stages, strict=True):
        x = _down_block(build, x, channels)
        for _ in range(count - 1):
            x = _block(build, x)
    return build.finish(classify(build, conv_bn(build, x, last), classes))


def _branch(build: NetworkBuilder, x: str, channels: int, stride: int) -> str:
    y = conv_bn(build, x, channels)
    y = conv_bn(build, y, channels, kernel=3, stride=stride, groups=channels, activation=None)
    return conv_bn(build, y, channels)


def _block(build: NetworkBuilder, x: str) -> str:
    half = build.channels(x) // 2
    left, right = build.add_many("Split", x, build.int_constant((half, half)), outputs=2, axis=1)
    return channel_shuffle(build, build.concat(left, _branch(build, right, half, 1)), 2)


def _down_block(build: NetworkBuilder, x: str, channels: int) -> str:
    left = conv_bn(build, x, build.channels(x), kernel=3, stride=2, groups=build.channels(x), activation=None)
    left = conv_bn(build, left, channels // 2)
    return channel_shuffle(build, build.concat(left, _branch(build, x, channels // 2, 2)), 2)
