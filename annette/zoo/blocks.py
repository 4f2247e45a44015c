"""Blocks that several families of convolutional networks share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder

__all__ = [
    "SqueezeExcite",
    "avg_pool_to",
    "channel_shuffle",
    "classify",
    "conv_bn",
    "inverted_residual",
    "inverted_residual_expand",
    "inverted_residual_project",
    "make_divisible",
    "scale_channels",
    "squeeze_excite",
]

_ONE_SIXTH = 0.1666666716337204
"""Slope of the hard sigmoid as ONNX keeps it: 1/6 rounded to float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqueezeExcite:
    """How a squeeze-and-excite block looks inside."""

    channels: int
    """Width of the bottleneck, >= 1."""
    activation: str = "Relu"
    """After the first 1x1 convolution; a kind `NetworkBuilder.activation` knows."""
    gate: str = "Sigmoid"
    """After the second 1x1 convolution: ``Sigmoid`` or ``HardSigmoid`` (slope 1/6)."""


def make_divisible(value: float, divisor: int = 8) -> int:
    """The multiple of ``divisor`` nearest to ``value``, but never more than 10 % below it.

    Raises
    ------
    GraphError
        If ``value`` is no positive number: a network's width was zero, negative or not finite.

    References
    ----------
    The rounding of the MobileNet papers' code (Sandler et al., CVPR 2018), which torchvision shares.

    Examples
    --------
    >>> make_divisible(83), make_divisible(84), make_divisible(11.9)
    (80, 88, 16)
    """
    if not (math.isfinite(value) and value > 0):
        raise GraphError(f"a layer would have {value} channels, expected more than 0; check the width")
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def scale_channels(channels: int, width: float, divisor: int = 8) -> int:
    """Channels of a layer in a network ``width`` times as wide; exactly ``channels`` for width 1."""
    return channels if width == 1 else make_divisible(channels * width, divisor)


def conv_bn(
    build: NetworkBuilder,
    x: str,
    channels: int,
    *,
    kernel: int | tuple[int, int] = 1,
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
    activation: str | None = "Relu",
    padding: int | tuple[int, int] | str | None = None,
) -> str:
    """Convolution without bias, batch normalisation, activation: three layers.

    ``padding`` is None for half the (dilated) kernel on every side, as the networks of torchvision pad.
    """
    if padding is None:
        kernel_h, kernel_w = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (dilation * (kernel_h - 1) // 2, dilation * (kernel_w - 1) // 2)
    y = build.conv(
        x,
        channels,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=False,
    )
    return build.activation(build.batch_norm(y), activation)


def channel_shuffle(build: NetworkBuilder, x: str, groups: int) -> str:
    """The channels of all groups interleaved: reshape, transpose, reshape back.

    References
    ----------
    Zhang et al.: ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices, CVPR
    2018, section 3.1.
    """
    _, channels, height, width = build.shape(x)
    y = build.reshape(x, (-1, groups, channels // groups, height, width))
    return build.reshape(build.transpose(y, (0, 2, 1, 3, 4)), (-1, channels, height, width))


def squeeze_excite(build: NetworkBuilder, x: str, block: SqueezeExcite) -> str:
    """``x`` with each channel scaled by a gate computed from the channels' means.

    References
    ----------
    Hu, Shen, Sun: Squeeze-and-Excitation Networks, CVPR 2018; the two layers are 1x1 convolutions with bias.
    """
    y = build.conv(build.global_avg_pool(x), block.channels)
    y = build.conv(build.activation(y, block.activation), build.channels(x))
    if block.gate == "HardSigmoid":
        y = build.add("HardSigmoid", y, alpha=_ONE_SIXTH, beta=0.5)
    else:
        y = build.activation(y, block.gate)
    return build.add("Mul", x, y)


def inverted_residual_expand(
    build: NetworkBuilder, x: str, expanded_channels: int, *, activation: str
) -> str:
    """The widening 1x1 convolution of an inverted residual; ``x`` itself where nothing is widened."""
    if expanded_channels == build.channels(x):
        return x
    return conv_bn(build, x, expanded_channels, activation=activation)


def inverted_residual_project(
    build: NetworkBuilder,
    x: str,
    shortcut: str,
    channels: int,
    *,
    kernel: int,
    stride: int,
    activation: str,
    dilation: int = 1,
    excite: SqueezeExcite | None = None,
) -> str:
    """The rest of an inverted residual: depthwise, optional gate, linear 1x1, sum with ``shortcut``.

    The sum is left out where the shapes of ``shortcut`` and result differ.
    """
    y = conv_bn(
        build, x, build.channels(x), kernel=kernel, stride=stride, dilation=dilation,
        groups=build.channels(x), activation=activation,
    )  # fmt: skip
    if excite is not None:
        y = squeeze_excite(build, y, excite)
    y = conv_bn(build, y, channels, activation=None)
    is_residual = stride == 1 and build.shape(y) == build.shape(shortcut)
    return build.add("Add", shortcut, y) if is_residual else y


def inverted_residual(
    build: NetworkBuilder,
    x: str,
    channels: int,
    *,
    expanded_channels: int,
    kernel: int = 3,
    stride: int = 1,
    activation: str = "Relu6",
    dilation: int = 1,
    excite: SqueezeExcite | None = None,
) -> str:
    """Inverted residual: widen by 1x1, depthwise convolution, optional gate, narrow by 1x1, add.

    References
    ----------
    Sandler et al.: MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018, figure 4.
    """
    wide = inverted_residual_expand(build, x, expanded_channels, activation=activation)
    return inverted_residual_project(
        build, wide, x, channels, kernel=kernel, stride=stride, activation=activation,
        dilation=dilation, excite=excite,
    )  # fmt: skip


def avg_pool_to(build: NetworkBuilder, x: str, size: int) -> str:
    """Average pooling to at most ``size`` positions a side; ``x`` itself where it has no more than that."""
    in_h, in_w = build.shape(x)[2:]
    if in_h <= size and in_w <= size:
        return x
    stride = (max(in_h // size, 1), max(in_w // size, 1))
    kernel = tuple(
        length - (min(size, length) - 1) * step for length, step in zip((in_h, in_w), stride, strict=True)
    )
    return build.avg_pool(x, kernel=kernel, stride=stride)


def classify(build: NetworkBuilder, x: str, classes: int) -> str:
    """Global average pooling and one fully connected layer: logits of shape (batch, classes)."""
    return build.linear(build.flatten(build.global_avg_pool(x)), classes)
