"""OpenPose: multi-person pose estimation in six stages of two branches."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import scale_channels

__all__ = ["openpose"]

_VGG_STAGES = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512))
"""Channels of the first ten convolutions of VGG-19, with a max-pool between the groups."""


def openpose(
    *,
    resolution: int = 368,
    batch: int = 1,
    part_affinity_maps: int = 38,
    heat_maps: int = 19,
    stages: int = 6,
    width: float = 1.0,
) -> Network:
    """OpenPose's body network for COCO: ten VGG-19 layers, then stages of two branches (Cao et al., 2017).

    Each stage after the first reads the features and both maps of the stage before it. Hands out the last
    stage's part affinity fields and heat maps at stride 8.

    References
    ----------
    Z. Cao et al., "Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields", CVPR 2017,
    figure 3, and the layer sizes of its COCO model ``pose_deploy_linevec.prototxt``.
    """
    build = NetworkBuilder("openpose")
    x = build.input("image", (batch, 3, resolution, resolution))
    for index, group in enumerate(_VGG_STAGES):
        x = build.max_pool(x, kernel=2, stride=2) if index else x
        for channels in group:
            x = _conv_relu(build, x, scale_channels(channels, width), kernel=3)
    for channels in (256, 128):
        x = _conv_relu(build, x, scale_channels(channels, width), kernel=3)
    features, branch_channels = x, scale_channels(128, width)
    maps = [
        _branch(build, x, (3, 3, 3), (branch_channels, scale_channels(512, width)), channels)
        for channels in (part_affinity_maps, heat_maps)
    ]
    for _ in range(stages - 1):
        x = build.concat(*maps, features)
        maps = [
            _branch(build, x, (7, 7, 7, 7, 7), (branch_channels, branch_channels), channels)
            for channels in (part_affinity_maps, heat_maps)
        ]
    return build.finish(*maps)


def _conv_relu(build: NetworkBuilder, x: str, channels: int, *, kernel: int) -> str:
    return build.relu(build.conv(x, channels, kernel=kernel, padding=kernel // 2))


def _branch(
    build: NetworkBuilder, x: str, kernels: tuple[int, ...], channels: tuple[int, int], out_channels: int
) -> str:
    """Square kernels, a 1x1 convolution, then a linear 1x1 convolution to the maps."""
    for kernel in kernels:
        x = _conv_relu(build, x, channels[0], kernel=kernel)
    return build.conv(_conv_relu(build, x, channels[1], kernel=1), out_channels)
