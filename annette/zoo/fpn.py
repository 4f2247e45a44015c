"""FPN on ResNet-18: semantic segmentation by a feature pyramid."""

from __future__ import annotations

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import conv_bn
from annette.zoo.resnet import resnet_features

__all__ = ["fpn_resnet18"]


def fpn_resnet18(
    *,
    height: int = 256,
    width: int = 512,
    batch: int = 1,
    classes: int = 19,
    pyramid_channels: int = 256,
    segmentation_channels: int = 128,
) -> Network:
    """Feature pyramid on ResNet-18 with the semantic branch of Panoptic FPN, 19 classes of Cityscapes.

    Pyramid: 1x1 laterals to 256 channels, nearest up-sampling and addition from stride 32 to stride 4.
    Semantic branch: each level by 3x3 convolutions to 128 channels, each followed by bilinear x2
    up-sampling, until stride 4; the sum of the four levels is classified by a 1x1 convolution and resized to
    the image. Batch instead of group normalisation, which accelerators fold; as many parameters.

    Parameters
    ----------
    height, width : int
        Pixels of the image, multiples of 32.

    Raises
    ------
    GraphError
        If height or width is not a multiple of 32.

    References
    ----------
    A. Kirillov et al., "Panoptic Feature Pyramid Networks", CVPR 2019, section 3 and figure 3.
    """
    if height % 32 or width % 32:
        raise GraphError(f"fpn_resnet18: image of {height} x {width}, expected multiples of 32")
    build = NetworkBuilder("fpn_resnet18")
    image = build.input("image", (batch, 3, height, width))
    features = resnet_features(build, image, 18)
    pyramid = [build.conv(features[-1], pyramid_channels)]
    for feature in reversed(features[:-1]):
        lateral = build.conv(feature, pyramid_channels)
        pyramid.append(build.add("Add", build.resize(pyramid[-1], build.shape(feature)[2:]), lateral))
    levels = [
        _semantic_level(build, x, segmentation_channels, upsamplings=len(pyramid) - 1 - level)
        for level, x in enumerate(pyramid)
    ]
    total = levels[0]
    for x in levels[1:]:
        total = build.add("Add", total, x)
    scores = build.conv(total, classes)
    return build.finish(build.resize(scores, (height, width), mode="linear"))


def _semantic_level(build: NetworkBuilder, x: str, channels: int, *, upsamplings: int) -> str:
    """At least one 3x3 convolution, and one before each up-sampling to stride 4."""
    for index in range(max(upsamplings, 1)):
        x = conv_bn(build, x, channels, kernel=3)
        if index < upsamplings:
            rows, columns = build.shape(x)[2:]
            x = build.resize(x, (2 * rows, 2 * columns), mode="linear")
    return x
