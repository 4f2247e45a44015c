"""Vision transformers (ViT): an image as a sequence of patches."""

from __future__ import annotations

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.transformer import feed_forward, packed_self_attention

__all__ = ["vit_base", "vit_tiny"]

_MLP_RATIO = 4


def vit_tiny(
    *, resolution: int = 224, batch: int = 1, classes: int = 1000, patch: int = 16, depth: int = 12
) -> Network:
    """ViT-Tiny (DeiT-Ti): 192 channels, 3 heads, 12 blocks (Touvron et al., 2021)."""
    return _vit("vit_tiny", 192, 3, resolution, batch, classes, patch, depth)


def vit_base(
    *, resolution: int = 224, batch: int = 1, classes: int = 1000, patch: int = 16, depth: int = 12
) -> Network:
    """ViT-Base: 768 channels, 12 heads, 12 blocks (Dosovitskiy et al., 2021)."""
    return _vit("vit_base", 768, 12, resolution, batch, classes, patch, depth)


def _vit(
    name: str, channels: int, heads: int, resolution: int, batch: int, classes: int, patch: int, depth: int
) -> Network:
    """Patch embedding, class token, positions, pre-norm blocks, head on the class token.

    The class token is a constant of the whole batch: its expansion folded, as an exporter has it.

    Raises
    ------
    GraphError
        If the resolution is not a multiple of the patch size.

    References
    ----------
    A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, section 3.1.
    """
    if patch < 1 or resolution % patch:
        raise GraphError(f"{name}: resolution {resolution}, expected a multiple of the patch size {patch}")
    build = NetworkBuilder(name)
    x = build.input("image", (batch, 3, resolution, resolution))
    x = build.conv(x, channels, kernel=patch, stride=patch)
    x = build.transpose(build.reshape(x, (batch, channels, -1)), (0, 2, 1))
    x = build.concat(build.constant((batch, 1, channels)), x, axis=1)
    x = build.add("Add", x, build.constant((1, build.shape(x)[1], channels)))
    for _ in range(depth):
        x = build.add("Add", x, packed_self_attention(build, build.layer_norm(x), heads))
        x = build.add("Add", x, feed_forward(build, build.layer_norm(x), _MLP_RATIO * channels))
    x = build.layer_norm(x)
    x = build.add("Gather", x, build.constant((), dtype="int64", value=(0,)), axis=1)
    return build.finish(build.linear(x, classes))
