"""LeNet-5."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import scale_channels

__all__ = ["lenet5"]


def lenet5(*, resolution: int = 32, batch: int = 1, classes: int = 10, width: float = 1.0) -> Network:
    """LeNet-5 for grey images: tanh, average pooling, fully connected feature maps (LeCun et al., 1998).

    The common variant: every map of C3 sees every map of S2, pooling has no weights, the output layer is a
    plain fully connected one. Needs a resolution of 32 at least.

    References
    ----------
    LeCun et al.: Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 86(11), 1998, figure 2.
    """
    build = NetworkBuilder("lenet5")
    x = build.input("image", (batch, 1, resolution, resolution))
    for channels in (6, 16):
        x = build.activation(build.conv(x, scale_channels(channels, width, 1), kernel=5), "Tanh")
        x = build.avg_pool(x, kernel=2, stride=2)
    x = build.activation(build.conv(x, scale_channels(120, width, 1), kernel=5), "Tanh")
    x = build.activation(build.linear(build.flatten(x), scale_channels(84, width, 1)), "Tanh")
    return build.finish(build.linear(x, classes))
