"""ResNet-18, -34, -50 and -101, and their features for detectors and segmentation."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import classify, conv_bn, scale_channels

__all__ = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet_features"]

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
_STAGE_CHANNELS = (64, 128, 256, 512)
_BOTTLENECK_EXPANSION = 4


def resnet_features(
    build: NetworkBuilder, x: str, depth: int, *, width: float = 1.0, v1: bool = False
) -> tuple[str, str, str, str]:
    """The outputs C2, C3, C4 and C5 of the four stages, at strides 4, 8, 16 and 32.

    ``depth`` is 18 or 34 (basic blocks), 50 or 101 (bottlenecks, stride in the 3x3 convolution: "v1.5"; with
    ``v1`` in the first 1x1, as in the paper).

    References
    ----------
    He et al.: Deep Residual Learning for Image Recognition, CVPR 2016, table 1.
    """
    x = conv_bn(build, x, scale_channels(_STAGE_CHANNELS[0], width), kernel=7, stride=2)
    x = build.max_pool(x, kernel=3, stride=2, padding=1)
    block = (_bottleneck_v1 if v1 else _bottleneck) if depth >= 50 else _basic_block
    stages = []
    for stage, (count, channels) in enumerate(zip(_BLOCKS[depth], _STAGE_CHANNELS, strict=True)):
        for index in range(count):
            x = block(build, x, scale_channels(channels, width), 2 if stage and not index else 1)
        stages.append(x)
    c2, c3, c4, c5 = stages
    return c2, c3, c4, c5


def _basic_block(build: NetworkBuilder, x: str, channels: int, stride: int) -> str:
    y = conv_bn(build, x, channels, kernel=3, stride=stride)
    y = conv_bn(build, y, channels, kernel=3, activation=None)
    return _join(build, x, y, stride)


def _bottleneck(build: NetworkBuilder, x: str, channels: int, stride: int) -> str:
    y = conv_bn(build, x, channels)
    y = conv_bn(build, y, channels, kernel=3, stride=stride)
    y = conv_bn(build, y, channels * _BOTTLENECK_EXPANSION, activation=None)
    return _join(build, x, y, stride)


def _bottleneck_v1(build: NetworkBuilder, x: str, channels: int, stride: int) -> str:
    y = conv_bn(build, x, channels, stride=stride)
    y = conv_bn(build, y, channels, kernel=3)
    y = conv_bn(build, y, channels * _BOTTLENECK_EXPANSION, activation=None)
    return _join(build, x, y, stride)


def _join(build: NetworkBuilder, x: str, y: str, stride: int) -> str:
    """Sum of a block's result and its input, which is projected where the shapes differ."""
    if build.shape(x) != build.shape(y):
        x = conv_bn(build, x, build.channels(y), stride=stride, activation=None)
    return build.relu(build.add("Add", y, x))


def _resnet(
    depth: int, resolution: int, batch: int, classes: int, width: float, *, v1: bool = False
) -> Network:
    build = NetworkBuilder(f"resnet{depth}")
    x = build.input("image", (batch, 3, resolution, resolution))
    return build.finish(classify(build, resnet_features(build, x, depth, width=width, v1=v1)[-1], classes))


def resnet18(*, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0) -> Network:
    """ResNet-18: basic residual blocks (He et al., 2016)."""
    return _resnet(18, resolution, batch, classes, width)


def resnet34(*, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0) -> Network:
    """ResNet-34: basic residual blocks (He et al., 2016)."""
    return _resnet(34, resolution, batch, classes, width)


def resnet50(
    *, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0, v1: bool = False
) -> Network:
    """ResNet-50 v1.5: bottlenecks with the stride in the 3x3 convolution (He et al., 2016).

    With ``v1`` the stride is in the first 1x1 convolution, as in the paper and in Caffe.
    """
    return _resnet(50, resolution, batch, classes, width, v1=v1)


def resnet101(*, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0) -> Network:
    """ResNet-101 v1.5: bottlenecks with the stride in the 3x3 convolution (He et al., 2016)."""
    return _resnet(101, resolution, batch, classes, width)
