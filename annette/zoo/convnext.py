"""ConvNeXt-Tiny: a convolutional network in the manner of a vision transformer."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import scale_channels
from annette.zoo.transformer import feed_forward

__all__ = ["convnext_tiny"]

_STAGES = ((96, 3), (192, 3), (384, 9), (768, 3))
_MLP_RATIO = 4
_TO_CHANNELS_LAST = (0, 2, 3, 1)
_TO_CHANNELS_FIRST = (0, 3, 1, 2)


def convnext_tiny(
    *, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0
) -> Network:
    """ConvNeXt-Tiny: 7x7 depthwise convolutions and linear layers, 3, 3, 9 and 3 blocks (Liu et al., 2022).

    Normalisation and linear layers run with the channels last, between two transpositions.

    References
    ----------
    Z. Liu et al., "A ConvNet for the 2020s", CVPR 2022, section 2 and table 9.
    """
    build = NetworkBuilder("convnext_tiny")
    x = build.input("image", (batch, 3, resolution, resolution))
    for stage, (channels, depth) in enumerate(_STAGES):
        channels = scale_channels(channels, width)
        if stage:
            x = build.conv(_norm_channels(build, x), channels, kernel=2, stride=2)
        else:
            x = _norm_channels(build, build.conv(x, channels, kernel=4, stride=4))
        for _ in range(depth):
            x = _block(build, x)
    x = _norm_channels(build, build.global_avg_pool(x))
    return build.finish(build.linear(build.flatten(x), classes))


def _norm_channels(build: NetworkBuilder, x: str) -> str:
    """Layer normalisation over the channels of (batch, channels, h, w)."""
    y = build.layer_norm(build.transpose(x, _TO_CHANNELS_LAST))
    return build.transpose(y, _TO_CHANNELS_FIRST)


def _block(build: NetworkBuilder, x: str) -> str:
    channels = build.channels(x)
    y = build.transpose(build.depthwise_conv(x, kernel=7, padding=3), _TO_CHANNELS_LAST)
    y = feed_forward(build, build.layer_norm(y), _MLP_RATIO * channels)
    scaled = build.add("Mul", build.constant((channels, 1, 1)), build.transpose(y, _TO_CHANNELS_FIRST))
    return build.add("Add", scaled, x)
