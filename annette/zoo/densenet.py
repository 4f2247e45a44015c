"""DenseNet-121."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import classify, conv_bn, scale_channels

__all__ = ["densenet121"]

_GROWTH = 32
_BLOCKS = (6, 12, 24, 16)
_BOTTLENECK = 4
"""Channels of a layer's 1x1 convolution, as a multiple of the growth rate."""


def densenet121(*, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0) -> Network:
    """DenseNet-121: every layer reads all earlier ones of its block (Huang et al., 2017).

    ``width`` scales the growth rate of 32.

    References
    ----------
    Huang et al.: Densely Connected Convolutional Networks, CVPR 2017, table 1 (DenseNet-BC, growth 32).
    """
    build = NetworkBuilder("densenet121")
    growth = scale_channels(_GROWTH, width)
    x = build.input("image", (batch, 3, resolution, resolution))
    x = build.max_pool(conv_bn(build, x, 2 * growth, kernel=7, stride=2), kernel=3, stride=2, padding=1)
    for block, count in enumerate(_BLOCKS):
        if block:
            x = build.conv(_bn_relu(build, x), build.channels(x) // 2, bias=False)
            x = build.avg_pool(x, kernel=2, stride=2)
        features = [x]
        for _ in range(count):
            y = build.concat(*features) if len(features) > 1 else x
            y = build.conv(_bn_relu(build, y), _BOTTLENECK * growth, bias=False)
            features.append(build.conv(_bn_relu(build, y), growth, kernel=3, padding=1, bias=False))
        x = build.concat(*features)
    return build.finish(classify(build, _bn_relu(build, x), classes))


def _bn_relu(build: NetworkBuilder, x: str) -> str:
    return build.relu(build.batch_norm(x))
