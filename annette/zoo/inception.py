"""Inception v1 (GoogLeNet), v3 and v4, without auxiliary classifiers."""

from __future__ import annotations

from dataclasses import dataclass

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import classify, conv_bn, scale_channels

__all__ = ["inception_v1", "inception_v3", "inception_v4"]

_Kernel = int | tuple[int, int]
_Conv = tuple[int, _Kernel] | tuple[int, _Kernel, int]
"""Channels and kernel of a padded convolution of stride 1; with a third entry, a stride without padding."""

_V1_MODULES = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)  # fmt: skip
"""1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5 and pool projection (Szegedy et al., 2015, table 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """Adds the pieces inception modules are made of, all convolutions with BN and ReLU."""

    build: NetworkBuilder
    width: float

    def chain(self, x: str, *convs: _Conv) -> str:
        """Convolutions one after the other."""
        for conv in convs:
            channels = scale_channels(conv[0], self.width)
            if len(conv) == 3:
                x = conv_bn(self.build, x, channels, kernel=conv[1], stride=conv[2], padding=0)
            else:
                x = conv_bn(self.build, x, channels, kernel=conv[1])
        return x

    def mix(self, x: str, *branches: tuple[_Conv, ...], pooled: int) -> str:
        """Branches beside a 3x3 average pooling with a 1x1 convolution to ``pooled`` channels."""
        ends = [self.chain(x, *branch) for branch in branches]
        means = self.build.avg_pool(x, kernel=3, padding=1)
        return self.build.concat(*ends, self.chain(means, (pooled, 1)))

    def reduce(self, x: str, *branches: tuple[_Conv, ...]) -> str:
        """Branches beside a 3x3 max-pooling of stride 2."""
        ends = [self.chain(x, *branch) for branch in branches]
        return self.build.concat(*ends, self.build.max_pool(x, kernel=3, stride=2))

    def fork(self, x: str, channels: int) -> str:
        """A 1x3 and a 3x1 convolution side by side."""
        return self.build.concat(self.chain(x, (channels, (1, 3))), self.chain(x, (channels, (3, 1))))


# Version 1 ------------------------------------------------------------------------------------------


def inception_v1(
    *, resolution: int = 224, batch: int = 1, classes: int = 1000, width: float = 1.0
) -> Network:
    """Inception v1 (GoogLeNet) with batch normalisation and 3x3 for 5x5 kernels (Szegedy et al., 2015).

    This is the variant of torchvision and TF-slim: batch normalisation instead of response normalisation,
    and a 3x3 kernel in the branch where the paper has 5x5.

    References
    ----------
    Szegedy et al.: Going Deeper with Convolutions, CVPR 2015.
    """
    build = NetworkBuilder("inception_v1")
    cells = _Cells(build=build, width=width)
    x = build.input("image", (batch, 3, resolution, resolution))
    x = conv_bn(build, x, scale_channels(64, width), kernel=7, stride=2)
    x = build.max_pool(x, kernel=3, stride=2, ceil_mode=True)
    x = cells.chain(x, (64, 1), (192, 3))
    for stage, modules in enumerate(_V1_MODULES):
        window = 2 if stage == 2 else 3
        x = build.max_pool(x, kernel=window, stride=2, ceil_mode=True)
        for module in modules:
            x = _v1_module(cells, x, module)
    return build.finish(classify(build, x, classes))


def _v1_module(cells: _Cells, x: str, module: tuple[int, int, int, int, int, int]) -> str:
    direct, reduce_3, conv_3, reduce_5, conv_5, projection = module
    branches = (
        cells.chain(x, (direct, 1)),
        cells.chain(x, (reduce_3, 1), (conv_3, 3)),
        cells.chain(x, (reduce_5, 1), (conv_5, 3)),
        cells.chain(cells.build.max_pool(x, kernel=3, padding=1), (projection, 1)),
    )
    return cells.build.concat(*branches)


# Version 3 ------------------------------------------------------------------------------------------


def inception_v3(
    *, resolution: int = 299, batch: int = 1, classes: int = 1000, width: float = 1.0
) -> Network:
    """Inception v3: factorised 7x7 and 3x3 convolutions (Szegedy et al., 2016).

    References
    ----------
    Szegedy et al.: Rethinking the Inception Architecture for Computer Vision, CVPR 2016; as in torchvision.
    """
    build = NetworkBuilder("inception_v3")
    cells = _Cells(build=build, width=width)
    x = build.input("image", (batch, 3, resolution, resolution))
    x = cells.chain(x, (32, 3, 2), (32, 3, 1), (64, 3))
    x = cells.chain(build.max_pool(x, kernel=3, stride=2), (80, 1), (192, 3, 1))
    x = build.max_pool(x, kernel=3, stride=2)
    for pooled in (32, 64, 64):
        x = cells.mix(x, ((64, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3)), pooled=pooled)
    x = cells.reduce(x, ((384, 3, 2),), ((64, 1), (96, 3), (96, 3, 2)))
    for inner in (128, 160, 160, 192):
        x = _v3_factorised_7x7(cells, x, inner)
    seven = ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2))
    x = cells.reduce(x, ((192, 1), (320, 3, 2)), seven)
    for _ in range(2):
        x = _v3_wide(cells, x)
    return build.finish(classify(build, x, classes))


def _v3_factorised_7x7(cells: _Cells, x: str, inner: int) -> str:
    once = ((inner, 1), (inner, (1, 7)), (192, (7, 1)))
    twice = ((inner, 1), (inner, (7, 1)), (inner, (1, 7)), (inner, (7, 1)), (192, (1, 7)))
    return cells.mix(x, ((192, 1),), once, twice, pooled=192)


def _v3_wide(cells: _Cells, x: str) -> str:
    direct = cells.chain(x, (320, 1))
    once = cells.fork(cells.chain(x, (384, 1)), 384)
    twice = cells.fork(cells.chain(x, (448, 1), (384, 3)), 384)
    means = cells.chain(cells.build.avg_pool(x, kernel=3, padding=1), (192, 1))
    return cells.build.concat(direct, once, twice, means)


# Version 4 ------------------------------------------------------------------------------------------


def inception_v4(
    *, resolution: int = 299, batch: int = 1, classes: int = 1000, width: float = 1.0
) -> Network:
    """Inception v4: deeper, more uniform inception modules without residuals (Szegedy et al., 2017).

    References
    ----------
    Szegedy et al.: Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning,
    AAAI 2017, figures 3 to 9.
    """
    build = NetworkBuilder("inception_v4")
    cells = _Cells(build=build, width=width)
    x = _v4_stem(cells, build.input("image", (batch, 3, resolution, resolution)))
    for _ in range(4):
        x = cells.mix(x, ((96, 1),), ((64, 1), (96, 3)), ((64, 1), (96, 3), (96, 3)), pooled=96)
    x = cells.reduce(x, ((384, 3, 2),), ((192, 1), (224, 3), (256, 3, 2)))
    once = ((192, 1), (224, (1, 7)), (256, (7, 1)))
    twice = ((192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7)))
    for _ in range(7):
        x = cells.mix(x, ((384, 1),), once, twice, pooled=128)
    seven = ((256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2))
    x = cells.reduce(x, ((192, 1), (192, 3, 2)), seven)
    for _ in range(3):
        x = _v4_wide(cells, x)
    return build.finish(classify(build, x, classes))


def _v4_stem(cells: _Cells, x: str) -> str:
    x = cells.chain(x, (32, 3, 2), (32, 3, 1), (64, 3))
    x = cells.reduce(x, ((96, 3, 2),))
    short = cells.chain(x, (64, 1), (96, 3, 1))
    long = cells.chain(x, (64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3, 1))
    return cells.reduce(cells.build.concat(short, long), ((192, 3, 2),))


def _v4_wide(cells: _Cells, x: str) -> str:
    direct = cells.chain(x, (256, 1))
    once = cells.fork(cells.chain(x, (384, 1)), 256)
    twice = cells.fork(cells.chain(x, (384, 1), (448, (3, 1)), (512, (1, 3))), 256)
    means = cells.chain(cells.build.avg_pool(x, kernel=3, padding=1), (256, 1))
    return cells.build.concat(direct, once, twice, means)
