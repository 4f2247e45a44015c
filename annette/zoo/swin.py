"""Swin-Tiny: a hierarchical vision transformer with attention in shifted windows."""

from __future__ import annotations

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.transformer import feed_forward, packed_self_attention

__all__ = ["swin_tiny"]

_DEPTHS = (2, 2, 6, 2)
_HEADS = (3, 6, 12, 24)
_CHANNELS = 96
_MLP_RATIO = 4


def swin_tiny(*, resolution: int = 224, batch: int = 1, classes: int = 1000, window: int = 7) -> Network:
    """Swin-Tiny: 96 channels, 2, 2, 6 and 2 blocks, windows of 7 x 7 (Liu et al., 2021).

    As an exporter folds them, the relative position biases are constants of (heads, 49, 49) and the masks of
    the shifted windows constants too; both count as parameters (2 % more than the trained ones).

    Raises
    ------
    GraphError
        If the resolution is not a multiple of 32 windows.

    References
    ----------
    Z. Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", ICCV 2021.
    """
    if window < 1 or resolution % (32 * window):
        raise GraphError(f"swin_tiny: resolution {resolution}, expected a multiple of 32 windows of {window}")
    build = NetworkBuilder("swin_tiny")
    x = build.input("image", (batch, 3, resolution, resolution))
    x = build.transpose(build.conv(x, _CHANNELS, kernel=4, stride=4), (0, 2, 3, 1))
    x = build.layer_norm(x)
    for stage, (depth, heads) in enumerate(zip(_DEPTHS, _HEADS, strict=True)):
        if stage:
            x = _merge_patches(build, x)
        for index in range(depth):
            x = _block(build, x, heads, window, is_shifted=index % 2 == 1)
    x = build.transpose(build.layer_norm(x), (0, 3, 1, 2))
    return build.finish(build.linear(build.flatten(build.global_avg_pool(x)), classes))


def _merge_patches(build: NetworkBuilder, x: str) -> str:
    """Each 2 x 2 neighbourhood as one position with twice the channels."""
    parts = []
    for column in (0, 1):
        for row in (0, 1):
            part = _every_second(build, x, axis=1, start=row)
            parts.append(_every_second(build, part, axis=2, start=column))
    x = build.layer_norm(build.concat(*parts, axis=-1))
    return build.linear(x, build.shape(x)[-1] // 2, bias=False)


def _every_second(build: NetworkBuilder, x: str, *, axis: int, start: int) -> str:
    bounds = (start, build.shape(x)[axis], axis, 2)
    return build.add("Slice", x, *(build.int_constant((item,)) for item in bounds))


def _block(build: NetworkBuilder, x: str, heads: int, window: int, *, is_shifted: bool) -> str:
    y = _window_attention(build, build.layer_norm(x), heads, window, is_shifted=is_shifted)
    x = build.add("Add", x, y)
    return build.add("Add", x, feed_forward(build, build.layer_norm(x), _MLP_RATIO * build.shape(x)[-1]))


def _roll(build: NetworkBuilder, x: str, shift: int) -> str:
    """Both spatial axes of (batch, h, w, channels) rotated towards lower positions by ``shift``."""
    for axis in (1, 2):
        size = build.shape(x)[axis]
        cut = shift % size
        tail = build.slice(x, axis=axis, start=cut, end=size)
        x = build.concat(tail, build.slice(x, axis=axis, start=0, end=cut), axis=axis)
    return x


def _window_attention(build: NetworkBuilder, x: str, heads: int, window: int, *, is_shifted: bool) -> str:
    """Attention within windows; shifted ones wrap around, and a mask keeps what is not adjacent apart.

    A window as large as the map is never shifted.
    """
    batch, height, width, channels = build.shape(x)
    rows, columns = height // window, width // window
    shift = window // 2 if is_shifted and min(rows, columns) > 1 else 0
    tokens, windows = window * window, rows * columns
    x = _roll(build, x, shift) if shift else x
    x = build.reshape(x, (batch, rows, window, columns, window, channels))
    x = build.reshape(build.transpose(x, (0, 1, 3, 2, 4, 5)), (batch * windows, tokens, channels))
    bias = build.constant((1, heads, tokens, tokens))
    mask = build.constant((1, windows, 1, tokens, tokens)) if shift else None
    y = packed_self_attention(build, x, heads, bias=bias, mask=mask)
    y = build.reshape(y, (batch, rows, columns, window, window, channels))
    y = build.reshape(build.transpose(y, (0, 1, 3, 2, 4, 5)), (batch, height, width, channels))
    return _roll(build, y, -shift) if shift else y
