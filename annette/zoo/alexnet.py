"""AlexNet."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import avg_pool_to, scale_channels

__all__ = ["alexnet"]


def alexnet(*, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0) -> Network:
    """AlexNet with one tower and no response normalisation (Krizhevsky, 2014), as in torchvision.

    Maps larger than 6x6 before the fully connected layers are average-pooled to 6x6; smaller ones stay.

    References
    ----------
    Krizhevsky: One weird trick for parallelizing convolutional neural networks, arXiv 1404.5997, 2014.
    """
    build = NetworkBuilder("alexnet")
    x = build.input("image", (batch, 3, resolution, resolution))
    x = build.conv(x, scale_channels(64, width), kernel=11, stride=4, padding=2)
    x = build.max_pool(build.relu(x), kernel=3, stride=2)
    x = build.conv(x, scale_channels(192, width), kernel=5, padding=2)
    x = build.max_pool(build.relu(x), kernel=3, stride=2)
    for channels in (384, 256, 256):
        x = build.relu(build.conv(x, scale_channels(channels, width), kernel=3, padding=1))
    x = build.flatten(avg_pool_to(build, build.max_pool(x, kernel=3, stride=2), 6))
    for _ in range(2):
        x = build.relu(build.linear(x, scale_channels(4096, width)))
    return build.finish(build.linear(x, classes))
