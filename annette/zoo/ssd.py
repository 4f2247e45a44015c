"""SSD and SSDLite on MobileNet v2: one-stage detectors with six output scales."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import conv_bn
from annette.zoo.mobilenet import mobilenet_v2_features

__all__ = ["ssd_mobilenet_v2"]

_EXTRA_CHANNELS = (512, 256, 256, 128)
_ANCHORS = (3, 6, 6, 6, 6, 6)
"""Boxes a position of each scale: the finest has the reduced set."""


def ssd_mobilenet_v2(
    *,
    resolution: int = 300,
    batch: int = 1,
    classes: int = 91,
    width: float = 1.0,
    lite: bool = False,
) -> Network:
    """SSD-MobileNetV2 as TensorFlow's detection zoo has it, or its SSDLite variant (``lite=True``).

    Six scales: the 576-channel expansion at stride 16, the 1280-channel features at stride 32, and four
    extra levels of a 1x1 and a depthwise separable 3x3 convolution of stride 2. Box and class predictors
    are 3x3 convolutions; SSDLite makes them depthwise separable. Hands out boxes (batch, anchors, 4) and
    class scores (batch, anchors, classes) after the sigmoid; decoding and suppression are not part of it.

    Parameters
    ----------
    classes : int
        Classes with the background: 91 for COCO.

    References
    ----------
    W. Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016; M. Sandler et al., "MobileNetV2", CVPR
    2018, section 6.2; the pipelines ``ssd_mobilenet_v2_coco`` and ``ssdlite_mobilenet_v2_coco`` (2018).
    """
    build = NetworkBuilder("ssdlite_mobilenet_v2" if lite else "ssd_mobilenet_v2")
    x = build.input("image", (batch, 3, resolution, resolution))
    features = mobilenet_v2_features(build, x, width=width)
    x = conv_bn(build, features.c5, 1280, activation="Relu6")
    scales = [features.c4_expanded, x]
    for channels in _EXTRA_CHANNELS:
        x = _extra_level(build, x, channels)
        scales.append(x)
    boxes, scores = [], []
    for scale, anchors in zip(scales, _ANCHORS, strict=True):
        boxes.append(_predict(build, scale, anchors, 4, lite))
        scores.append(_predict(build, scale, anchors, classes, lite))
    return build.finish(build.concat(*boxes, axis=1), build.add("Sigmoid", build.concat(*scores, axis=1)))


def _extra_level(build: NetworkBuilder, x: str, channels: int) -> str:
    x = conv_bn(build, x, channels // 2, activation="Relu6")
    x = conv_bn(
        build, x, channels // 2, kernel=3, stride=2, groups=channels // 2, activation="Relu6", padding="same"
    )
    return conv_bn(build, x, channels, activation="Relu6")


def _predict(build: NetworkBuilder, x: str, anchors: int, values: int, lite: bool) -> str:
    """Predictions of one scale as (batch, anchors of all positions, values)."""
    if lite:
        x = conv_bn(build, x, build.channels(x), kernel=3, groups=build.channels(x), activation="Relu6")
        y = build.conv(x, anchors * values)
    else:
        y = build.conv(x, anchors * values, kernel=3, padding=1)
    return build.reshape(build.transpose(y, (0, 2, 3, 1)), (build.shape(y)[0], -1, values))
