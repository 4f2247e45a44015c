"""U-Net: semantic segmentation by an encoder and a decoder with skip connections."""

from __future__ import annotations

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import conv_bn, scale_channels

__all__ = ["unet"]

_CHANNELS = (64, 128, 256, 512, 1024)


def unet(
    *, resolution: int = 256, batch: int = 1, classes: int = 2, in_channels: int = 3, width: float = 1.0
) -> Network:
    """U-Net with the original channels 64 to 1024 and 2x2 transposed convolutions, on 256 x 256 pixels.

    Unlike the original it pads its 3x3 convolutions, so that the scores have the image's size, and
    normalises by batch: the form in common use.

    Raises
    ------
    GraphError
        If the resolution is not a multiple of 16.

    References
    ----------
    O. Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
    figure 1.
    """
    if resolution % 16:
        raise GraphError(
            f"unet: resolution {resolution}, expected a multiple of 16 so that levels concatenate"
        )
    build = NetworkBuilder("unet")
    x = build.input("image", (batch, in_channels, resolution, resolution))
    channels = [scale_channels(item, width) for item in _CHANNELS]
    skips = []
    for level, out_channels in enumerate(channels):
        if level:
            skips.append(x)
            x = build.max_pool(x, kernel=2, stride=2)
        x = _double_conv(build, x, out_channels)
    for out_channels in reversed(channels[:-1]):
        x = build.conv_transpose(x, out_channels, kernel=2, stride=2)
        x = _double_conv(build, build.concat(skips.pop(), x), out_channels)
    return build.finish(build.conv(x, classes))


def _double_conv(build: NetworkBuilder, x: str, channels: int) -> str:
    return conv_bn(build, conv_bn(build, x, channels, kernel=3), channels, kernel=3)
