"""AlexNet."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import avg_pool_to, scale_channels

__all__ = ["alexnet"]


def alexnet(
    *,
    resolution: int = 224,
    batch: int = 1,
    classes: int = 1000,
    width: float = 1.0,
    two_towers: bool = False,
) -> Network:
    """AlexNet with one tower and no response normalisation (Krizhevsky, 2014), as in torchvision.

    Maps larger than 6x6 before the fully connected layers are average-pooled to 6x6; smaller ones stay.
    With ``two_towers`` the network of 2012 as Caffe has it: three convolutions in two groups, response
    normalisation, a first convolution without padding (give it a resolution of 227).

    References
    ----------
    Krizhevsky: One weird trick for parallelizing convolutional neural networks, arXiv 1404.5997, 2014.
    Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks, 2012.
    """
    build = NetworkBuilder("alexnet")
    x = build.input("image", (batch, 3, resolution, resolution))
    x = (_two_towers if two_towers else _one_tower)(build, x, width)
    for _ in range(2):
        x = build.relu(build.linear(x, scale_channels(4096, width)))
    return build.finish(build.linear(x, classes))


def _one_tower(build: NetworkBuilder, x: str, width: float) -> str:
    """The convolutions of 2014, flat."""
    x = build.conv(x, scale_channels(64, width), kernel=11, stride=4, padding=2)
    x = build.max_pool(build.relu(x), kernel=3, stride=2)
    x = build.conv(x, scale_channels(192, width), kernel=5, padding=2)
    x = build.max_pool(build.relu(x), kernel=3, stride=2)
    for channels in (384, 256, 256):
        x = build.relu(build.conv(x, scale_channels(channels, width), kernel=3, padding=1))
    return build.flatten(avg_pool_to(build, build.max_pool(x, kernel=3, stride=2), 6))


def _two_towers(build: NetworkBuilder, x: str, width: float) -> str:
    """The convolutions of 2012, flat; windows of pools may hang over the edge, as in Caffe."""
    x = build.relu(build.conv(x, scale_channels(96, width), kernel=11, stride=4))
    x = build.max_pool(build.add("LRN", x, size=5), kernel=3, stride=2, ceil_mode=True)
    x = build.relu(build.conv(x, scale_channels(256, width), kernel=5, padding=2, groups=2))
    x = build.max_pool(build.add("LRN", x, size=5), kernel=3, stride=2, ceil_mode=True)
    for channels, groups in ((384, 1), (384, 2), (256, 2)):
        x = build.relu(build.conv(x, scale_channels(channels, width), kernel=3, padding=1, groups=groups))
    return build.flatten(build.max_pool(x, kernel=3, stride=2, ceil_mode=True))
