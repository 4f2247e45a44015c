"""YOLOv3 and YOLOv3-tiny: one-stage detectors with two or three output scales."""

from __future__ import annotations

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import scale_channels

__all__ = ["yolov3", "yolov3_tiny"]

_DARKNET53_STAGES = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))
"""Channels and residual blocks of each stage (Redmon and Farhadi, 2018, table 1)."""

_TINY_CHANNELS = (16, 32, 64, 128, 256, 512)
_ANCHORS = 3
_BOX_VALUES = 5
"""Four coordinates and the objectness."""


def yolov3(*, resolution: int = 416, batch: int = 1, classes: int = 80, width: float = 1.0) -> Network:
    """YOLOv3 on Darknet-53: boxes at strides 32, 16 and 8 (Redmon and Farhadi, 2018).

    Hands out the three raw output maps; decoding and suppression are not part of the network.

    Raises
    ------
    GraphError
        If the resolution is not a multiple of 32.

    References
    ----------
    J. Redmon, A. Farhadi, "YOLOv3: An Incremental Improvement", arXiv 1804.02767, and its ``yolov3.cfg``.
    """
    _require_multiple("yolov3", resolution)
    build = NetworkBuilder("yolov3")
    x = build.input("image", (batch, 3, resolution, resolution))
    *_, c3, c4, c5 = _darknet53(build, x, width)
    outputs = []
    x = c5
    for channels, skip in ((512, None), (256, c4), (128, c3)):
        if skip is not None:
            x = _conv(build, x, scale_channels(channels, width), kernel=1)
            x = build.concat(_upsample(build, x), skip)
        x, y = _detection_block(build, x, scale_channels(channels, width))
        outputs.append(build.conv(y, _ANCHORS * (_BOX_VALUES + classes)))
    return build.finish(*outputs)


def yolov3_tiny(*, resolution: int = 416, batch: int = 1, classes: int = 80, width: float = 1.0) -> Network:
    """YOLOv3-tiny: a chain of convolutions and max-pools, boxes at strides 32 and 16 (Redmon, 2018).

    Raises
    ------
    GraphError
        If the resolution is not a multiple of 32.

    References
    ----------
    J. Redmon, A. Farhadi, "YOLOv3: An Incremental Improvement", arXiv 1804.02767, and ``yolov3-tiny.cfg``.
    """
    _require_multiple("yolov3_tiny", resolution)
    build = NetworkBuilder("yolov3_tiny")
    x = skip = build.input("image", (batch, 3, resolution, resolution))
    for channels in _TINY_CHANNELS:
        skip = _conv(build, x, scale_channels(channels, width), kernel=3)
        if channels == 512:
            break
        x = build.max_pool(skip, kernel=2, stride=2)
        c4 = skip
    x = build.max_pool(skip, kernel=2, stride=1, padding="same")
    x = _conv(build, x, scale_channels(1024, width), kernel=3)
    neck = _conv(build, x, scale_channels(256, width), kernel=1)
    coarse = _conv(build, neck, scale_channels(512, width), kernel=3)
    x = _conv(build, neck, scale_channels(128, width), kernel=1)
    fine = _conv(build, build.concat(_upsample(build, x), c4), scale_channels(256, width), kernel=3)
    out_channels = _ANCHORS * (_BOX_VALUES + classes)
    return build.finish(build.conv(coarse, out_channels), build.conv(fine, out_channels))


def _require_multiple(name: str, resolution: int) -> None:
    if resolution % 32:
        raise GraphError(
            f"{name}: resolution {resolution}, expected a multiple of 32 so that scales concatenate"
        )


def _conv(build: NetworkBuilder, x: str, channels: int, *, kernel: int, stride: int = 1) -> str:
    """Darknet's unit: convolution, batch normalisation, leaky ReLU of slope 0.1."""
    y = build.conv(x, channels, kernel=kernel, stride=stride, padding=kernel // 2, bias=False)
    return build.add("LeakyRelu", build.batch_norm(y), alpha=0.1)


def _upsample(build: NetworkBuilder, x: str) -> str:
    height, width = build.shape(x)[2:]
    return build.resize(x, (2 * height, 2 * width))


def _darknet53(build: NetworkBuilder, x: str, width: float) -> list[str]:
    """Outputs of the five stages, at strides 2, 4, 8, 16 and 32."""
    x = _conv(build, x, scale_channels(32, width), kernel=3)
    stages = []
    for channels, count in _DARKNET53_STAGES:
        x = _conv(build, x, scale_channels(channels, width), kernel=3, stride=2)
        for _ in range(count):
            y = _conv(build, x, scale_channels(channels // 2, width), kernel=1)
            x = build.add("Add", x, _conv(build, y, scale_channels(channels, width), kernel=3))
        stages.append(x)
    return stages


def _detection_block(build: NetworkBuilder, x: str, channels: int) -> tuple[str, str]:
    """Six convolutions; the fifth result goes on to the next scale, the sixth to this scale's output."""
    for _ in range(2):
        x = _conv(build, x, channels, kernel=1)
        x = _conv(build, x, 2 * channels, kernel=3)
    x = _conv(build, x, channels, kernel=1)
    return x, _conv(build, x, 2 * channels, kernel=3)
