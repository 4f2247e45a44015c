"""EfficientNet-B0."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import SqueezeExcite, classify, conv_bn, inverted_residual, make_divisible

__all__ = ["efficientnet_b0"]

_STAGES = (
    (1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2), (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2), (6, 3, 320, 1, 1),
)  # fmt: skip
"""Expansion, kernel, channels, blocks and first stride of each stage (Tan and Le, 2019, table 1)."""


def efficientnet_b0(
    *, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0
) -> Network:
    """EfficientNet-B0: inverted residuals with swish and squeeze-excite (Tan and Le, 2019).

    ``width`` is the coefficient of compound scaling; the depth stays that of B0.

    References
    ----------
    Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019.
    """
    build = NetworkBuilder("efficientnet_b0")
    x = build.input("image", (batch, 3, resolution, resolution))
    x = conv_bn(build, x, make_divisible(32 * width), kernel=3, stride=2, activation="Swish")
    for ratio, kernel, channels, count, first_stride in _STAGES:
        for index in range(count):
            gate = SqueezeExcite(channels=max(1, build.channels(x) // 4), activation="Swish")
            x = inverted_residual(
                build, x, make_divisible(channels * width), expanded_channels=build.channels(x) * ratio,
                kernel=kernel, stride=1 if index else first_stride, activation="Swish", excite=gate,
            )  # fmt: skip
    x = conv_bn(build, x, build.channels(x) * 4, activation="Swish")
    return build.finish(classify(build, x, classes))
