"""MNASNet."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import classify, conv_bn, inverted_residual, make_divisible

__all__ = ["mnasnet"]

_STAGES = (
    (3, 3, 24, 3, 2), (3, 5, 40, 3, 2), (6, 5, 80, 3, 2), (6, 3, 96, 2, 1), (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)  # fmt: skip
"""Expansion, kernel, channels, blocks and first stride of each stage."""


def mnasnet(*, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0) -> Network:
    """MNASNet-B1: searched inverted residuals with 3x3 and 5x5 kernels (Tan et al., 2019).

    The variant without squeeze-and-excitation, as torchvision has it.

    References
    ----------
    Tan et al.: MnasNet: Platform-Aware Neural Architecture Search for Mobile, CVPR 2019.
    """
    build = NetworkBuilder("mnasnet")
    x = build.input("image", (batch, 3, resolution, resolution))
    x = conv_bn(build, x, make_divisible(32 * width), kernel=3, stride=2)
    x = conv_bn(build, x, build.channels(x), kernel=3, groups=build.channels(x))
    x = conv_bn(build, x, make_divisible(16 * width), activation=None)
    for ratio, kernel, channels, count, first_stride in _STAGES:
        for index in range(count):
            x = inverted_residual(
                build, x, make_divisible(channels * width), expanded_channels=build.channels(x) * ratio,
                kernel=kernel, stride=1 if index else first_stride, activation="Relu",
            )  # fmt: skip
    return build.finish(classify(build, conv_bn(build, x, 1280), classes))
