"""VGG-16 and VGG-19."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import avg_pool_to, scale_channels

__all__ = ["vgg16", "vgg19"]

_STAGE_CHANNELS = (64, 128, 256, 512, 512)


def _vgg(
    name: str, counts: tuple[int, ...], resolution: int, batch: int, classes: int, width: float
) -> Network:
    """Stages of 3x3 convolutions and pooling; maps above 7x7 are average-pooled to 7x7, smaller ones stay.

    References
    ----------
    Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition,
    ICLR 2015, table 1.
    """
    build = NetworkBuilder(name)
    x = build.input("image", (batch, 3, resolution, resolution))
    for count, channels in zip(counts, _STAGE_CHANNELS, strict=True):
        for _ in range(count):
            x = build.relu(build.conv(x, scale_channels(channels, width), kernel=3, padding=1))
        x = build.max_pool(x, kernel=2, stride=2)
    x = build.flatten(avg_pool_to(build, x, 7))
    for _ in range(2):
        x = build.relu(build.linear(x, scale_channels(4096, width)))
    return build.finish(build.linear(x, classes))


def vgg16(*, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0) -> Network:
    """VGG-16 (configuration D) without batch normalisation (Simonyan and Zisserman, 2015)."""
    return _vgg("vgg16", (2, 2, 3, 3, 3), resolution, batch, classes, width)


def vgg19(*, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0) -> Network:
    """VGG-19 (configuration E) without batch normalisation (Simonyan and Zisserman, 2015)."""
    return _vgg("vgg19", (2, 2, 4, 4, 4), resolution, batch, classes, width)
