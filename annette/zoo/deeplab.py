"""DeepLabv3 on MobileNet v2: semantic segmentation with dilated features and image pooling."""

from __future__ import annotations

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import conv_bn
from annette.zoo.mobilenet import mobilenet_v2_features

__all__ = ["deeplabv3_mobilenet_v2"]


def deeplabv3_mobilenet_v2(
    *,
    resolution: int = 513,
    batch: int = 1,
    classes: int = 21,
    width: float = 1.0,
    output_stride: int = 16,
    head_channels: int = 256,
) -> Network:
    """DeepLabv3 on MobileNet v2 at output stride 16, as the TensorFlow release has it.

    The head has no dilated branches: image pooling and a 1x1 convolution on the 320-channel features,
    concatenated, projected and classified by 1x1 convolutions, then resized to the image (the rows with a
    star in table 7 of the MobileNetV2 paper). Hands out one score a class and pixel.

    Raises
    ------
    GraphError
        For an output stride that is not 8, 16 or 32.

    References
    ----------
    L.-C. Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", arXiv 1706.05587;
    M. Sandler et al., "MobileNetV2", CVPR 2018, section 6.3.
    """
    if output_stride not in (8, 16, 32):
        raise GraphError(f"deeplabv3_mobilenet_v2: output stride {output_stride}, expected 8, 16 or 32")
    build = NetworkBuilder("deeplabv3_mobilenet_v2")
    image = build.input("image", (batch, 3, resolution, resolution))
    features = mobilenet_v2_features(build, image, width=width, output_stride=output_stride).c5
    pooled = conv_bn(build, build.global_avg_pool(features), head_channels)
    pooled = build.resize(pooled, build.shape(features)[2:], mode="linear")
    x = build.concat(pooled, conv_bn(build, features, head_channels))
    x = build.conv(conv_bn(build, x, head_channels), classes)
    return build.finish(build.resize(x, (resolution, resolution), mode="linear"))
