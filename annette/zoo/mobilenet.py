"""MobileNet v1, v2 and v3, and the features of v2 for detectors and segmentation."""

from __future__ import annotations

from dataclasses import dataclass

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import (
    SqueezeExcite,
    classify,
    conv_bn,
    inverted_residual,
    inverted_residual_expand,
    inverted_residual_project,
    make_divisible,
)

__all__ = [
    "MobileNetV2Features",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v2_features",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
]

_V1_BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1),
    (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
"""Channels and stride of each depthwise separable convolution (Howard et al., 2017, table 1)."""

_V2_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
)  # fmt: skip
"""Expansion, channels, blocks and first stride of each stage (Sandler et al., 2018, table 2)."""

_V3_LARGE = (
    (3, 16, 16, False, "Relu", 1), (3, 64, 24, False, "Relu", 2), (3, 72, 24, False, "Relu", 1),
    (5, 72, 40, True, "Relu", 2), (5, 120, 40, True, "Relu", 1), (5, 120, 40, True, "Relu", 1),
    (3, 240, 80, False, "HardSwish", 2), (3, 200, 80, False, "HardSwish", 1),
    (3, 184, 80, False, "HardSwish", 1), (3, 184, 80, False, "HardSwish", 1),
    (3, 480, 112, True, "HardSwish", 1), (3, 672, 112, True, "HardSwish", 1),
    (5, 672, 160, True, "HardSwish", 2), (5, 960, 160, True, "HardSwish", 1),
    (5, 960, 160, True, "HardSwish", 1),
)  # fmt: skip
"""Kernel, expanded channels, channels, gate, activation and stride (Howard et al., 2019, table 1)."""

_V3_SMALL = (
    (3, 16, 16, True, "Relu", 2), (3, 72, 24, False, "Relu", 2), (3, 88, 24, False, "Relu", 1),
    (5, 96, 40, True, "HardSwish", 2), (5, 240, 40, True, "HardSwish", 1),
    (5, 240, 40, True, "HardSwish", 1), (5, 120, 48, True, "HardSwish", 1),
    (5, 144, 48, True, "HardSwish", 1), (5, 288, 96, True, "HardSwish", 2),
    (5, 576, 96, True, "HardSwish", 1), (5, 576, 96, True, "HardSwish", 1),
)  # fmt: skip
"""Kernel, expanded channels, channels, gate, activation and stride (Howard et al., 2019, table 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MobileNetV2Features:
    """Names of MobileNetV2's feature tensors; channels are those of width 1."""

    c1: str
    """16 channels at stride 2."""
    c2: str
    """24 channels at stride 4."""
    c3: str
    """32 channels at stride 8."""
    c4: str
    """96 channels at stride 16 (or the output stride, if that is less)."""
    c4_expanded: str
    """576 channels at the stride of ``c4``: the first expansion of the 160-channel stage, which SSD reads."""
    c5: str
    """320 channels at stride 32 (or the output stride, if that is less)."""


def mobilenet_v2_features(
    build: NetworkBuilder, x: str, *, width: float = 1.0, output_stride: int = 32
) -> MobileNetV2Features:
    """The features of MobileNetV2 up to its 320-channel stage.

    With an ``output_stride`` of 8 or 16 strides beyond it become dilations, as DeepLab uses it: the block
    that would have had the stride keeps the rate so far, those after it take the new rate.

    References
    ----------
    Sandler et al.: MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018, table 2.
    """
    x = conv_bn(build, x, make_divisible(32 * width), kernel=3, stride=2, activation="Relu6")
    features: list[str] = []
    expanded: list[str] = []
    reached, rate = 2, 1
    for ratio, channels, count, first_stride in _V2_STAGES:
        for index in range(count):
            stride = first_stride if index == 0 else 1
            dilation = rate
            if reached * stride > output_stride:
                rate, stride = rate * stride, 1
            reached *= stride
            wide = inverted_residual_expand(build, x, build.channels(x) * ratio, activation="Relu6")
            if index == 0:
                expanded.append(wide)
            x = inverted_residual_project(
                build, wide, x, make_divisible(channels * width), kernel=3, stride=stride,
                activation="Relu6", dilation=dilation,
            )  # fmt: skip
        features.append(x)
    c1, c2, c3, _, c4, _, c5 = features
    return MobileNetV2Features(c1=c1, c2=c2, c3=c3, c4=c4, c4_expanded=expanded[5], c5=c5)


def mobilenet_v1(
    *, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0
) -> Network:
    """MobileNet v1: depthwise separable convolutions (Howard et al., 2017)."""
    build = NetworkBuilder("mobilenet_v1")
    x = build.input("image", (batch, 3, resolution, resolution))
    x = conv_bn(build, x, make_divisible(32 * width), kernel=3, stride=2)
    for channels, stride in _V1_BLOCKS:
        x = conv_bn(build, x, build.channels(x), kernel=3, stride=stride, groups=build.channels(x))
        x = conv_bn(build, x, make_divisible(channels * width))
    return build.finish(classify(build, x, classes))


def mobilenet_v2(
    *, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0
) -> Network:
    """MobileNet v2: inverted residuals with linear bottlenecks (Sandler et al., 2018)."""
    build = NetworkBuilder("mobilenet_v2")
    x = build.input("image", (batch, 3, resolution, resolution))
    x = mobilenet_v2_features(build, x, width=width).c5
    x = conv_bn(build, x, make_divisible(1280 * max(1.0, width)), activation="Relu6")
    return build.finish(classify(build, x, classes))


def _mobilenet_v3(
    build: NetworkBuilder,
    blocks: tuple[tuple[int, int, int, bool, str, int], ...],
    image: str,
    hidden: int,
    classes: int,
    width: float,
) -> Network:
    x = conv_bn(build, image, make_divisible(16 * width), kernel=3, stride=2, activation="HardSwish")
    for kernel, expanded, channels, has_gate, activation, stride in blocks:
        wide = make_divisible(expanded * width)
        gate = SqueezeExcite(channels=make_divisible(wide // 4), gate="HardSigmoid")
        x = inverted_residual(
            build, x, make_divisible(channels * width), expanded_channels=wide, kernel=kernel,
            stride=stride, activation=activation, excite=gate if has_gate else None,
        )  # fmt: skip
    x = conv_bn(build, x, build.channels(x) * 6, activation="HardSwish")
    x = classify(build, x, make_divisible(hidden * width))
    return build.finish(build.linear(build.activation(x, "HardSwish"), classes))


def mobilenet_v3_large(
    *, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0
) -> Network:
    """MobileNet v3 large: searched blocks with squeeze-excite and hard swish (Howard et al., 2019)."""
    build = NetworkBuilder("mobilenet_v3_large")
    x = build.input("image", (batch, 3, resolution, resolution))
    return _mobilenet_v3(build, _V3_LARGE, x, 1280, classes, width)


def mobilenet_v3_small(
    *, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0
) -> Network:
    """MobileNet v3 small: searched blocks with squeeze-excite and hard swish (Howard et al., 2019)."""
    build = NetworkBuilder("mobilenet_v3_small")
    x = build.input("image", (batch, 3, resolution, resolution))
    return _mobilenet_v3(build, _V3_SMALL, x, 1024, classes, width)
