"""TC-ResNet8: keyword spotting by one-dimensional convolutions over time."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import scale_channels

__all__ = ["tc_resnet8"]

_STEM_CHANNELS = 16
_BLOCK_CHANNELS = (24, 32, 48)


def tc_resnet8(
    *, frames: int = 101, features: int = 40, batch: int = 1, classes: int = 12, width: float = 1.0
) -> Network:
    """TC-ResNet8: 40 cepstral coefficients as channels, convolutions along time (Choi et al., 2019).

    A stem of kernel 3 and three residual blocks of two kernel-9 convolutions, the first of stride 2.

    References
    ----------
    S. Choi et al., "Temporal Convolution for Real-time Keyword Spotting on Mobile Devices", Interspeech
    2019, figure 2.
    """
    build = NetworkBuilder("tc_resnet8")
    x = build.input("cepstrum", (batch, features, frames))
    x = build.relu(_conv_bn(build, x, scale_channels(_STEM_CHANNELS, width), kernel=3, stride=1))
    for channels in _BLOCK_CHANNELS:
        x = _block(build, x, scale_channels(channels, width))
    return build.finish(build.linear(build.flatten(build.global_avg_pool(x)), classes, bias=False))


def _conv_bn(build: NetworkBuilder, x: str, channels: int, *, kernel: int, stride: int) -> str:
    y = build.conv(x, channels, kernel=kernel, stride=stride, padding=kernel // 2, bias=False)
    return build.batch_norm(y)


def _block(build: NetworkBuilder, x: str, channels: int) -> str:
    y = build.relu(_conv_bn(build, x, channels, kernel=9, stride=2))
    y = _conv_bn(build, y, channels, kernel=9, stride=1)
    shortcut = build.relu(_conv_bn(build, x, channels, kernel=1, stride=2))
    return build.relu(build.add("Add", y, shortcut))
