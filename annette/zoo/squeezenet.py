"""SqueezeNet 1.0 and 1.1."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import scale_channels

__all__ = ["squeezenet1_0", "squeezenet1_1"]

_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
"""Squeezed and expanded channels of each fire module (Iandola et al., 2016, table 1)."""


def _fire(build: NetworkBuilder, x: str, squeezed: int, expanded: int) -> str:
    x = build.relu(build.conv(x, squeezed))
    left = build.relu(build.conv(x, expanded))
    right = build.relu(build.conv(x, expanded, kernel=3, padding=1))
    return build.concat(left, right)


def _squeezenet(
    build: NetworkBuilder, stem: str, pooled_fires: tuple[int, ...], classes: int, width: float
) -> Network:
    """Fire modules, with a pooling before those in ``pooled_fires``, then a convolutional classifier."""
    x = build.relu(stem)
    for index, (squeezed, expanded) in enumerate(_FIRES):
        if index in pooled_fires:
            x = build.max_pool(x, kernel=3, stride=2, ceil_mode=True)
        x = _fire(build, x, scale_channels(squeezed, width), scale_channels(expanded, width))
    x = build.relu(build.conv(x, classes))
    return build.finish(build.flatten(build.global_avg_pool(x)))


def squeezenet1_0(
    *, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0
) -> Network:
    """SqueezeNet 1.0: fire modules, AlexNet's accuracy with 1.2 M parameters (Iandola et al., 2016)."""
    build = NetworkBuilder("squeezenet1_0")
    x = build.input("image", (batch, 3, resolution, resolution))
    stem = build.conv(x, scale_channels(96, width), kernel=7, stride=2)
    return _squeezenet(build, stem, (0, 3, 7), classes, width)


def squeezenet1_1(
    *, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0
) -> Network:
    """SqueezeNet 1.1: as 1.0 with a smaller stem and earlier pooling, 2.4 times fewer MACs."""
    build = NetworkBuilder("squeezenet1_1")
    x = build.input("image", (batch, 3, resolution, resolution))
    stem = build.conv(x, scale_channels(64, width), kernel=3, stride=2)
    return _squeezenet(build, stem, (0, 2, 4), classes, width)
