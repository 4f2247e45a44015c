"""Parts of transformers, written out in the primitive operators that an export at opset 17 has."""

from __future__ import annotations

import math

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder

__all__ = ["feed_forward", "gelu", "merge_heads", "packed_self_attention", "require_heads", "scalar"]


def scalar(build: NetworkBuilder, value: float) -> str:
    """A float32 constant of rank 0."""
    return build.constant((), value=(value,))


def require_heads(where: str, channels: int, heads: int) -> int:
    """Channels of each attention head.

    Raises
    ------
    GraphError
        If the heads do not share the channels evenly.
    """
    if heads < 1 or channels % heads:
        raise GraphError(f"{where}: {channels} channels for {heads} heads, expected a multiple")
    return channels // heads


def gelu(build: NetworkBuilder, x: str) -> str:
    """``x / 2 * (1 + erf(x / sqrt 2))`` as five layers: the export form below opset 20.

    References
    ----------
    D. Hendrycks, K. Gimpel, "Gaussian Error Linear Units", arXiv 1606.08415.
    """
    y = build.add("Erf", build.add("Div", x, scalar(build, math.sqrt(2.0))))
    y = build.add("Mul", x, build.add("Add", y, scalar(build, 1.0)))
    return build.add("Mul", y, scalar(build, 0.5))


def feed_forward(build: NetworkBuilder, x: str, hidden: int) -> str:
    """Linear layer to ``hidden`` features, GELU, and a linear layer back."""
    return build.linear(gelu(build, build.linear(x, hidden)), build.shape(x)[-1])


def packed_self_attention(
    build: NetworkBuilder, x: str, heads: int, *, bias: str | None = None, mask: str | None = None
) -> str:
    """Multi-head self-attention of (groups, tokens, channels), one linear layer for all three projections.

    Parameters
    ----------
    bias : str or None
        Added to the scores; broadcasts to (groups, heads, tokens, tokens).
    mask : str or None
        Added to the scores after the bias; of shape (1, windows, 1, tokens, tokens), where the groups are
        those windows for each image.

    References
    ----------
    A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017, equation 1 and section 3.2.2.
    """
    groups, tokens, channels = build.shape(x)
    features = require_heads("attention", channels, heads)
    packed = build.reshape(build.linear(x, 3 * channels), (groups, tokens, 3, heads, features))
    packed = build.transpose(packed, (2, 0, 3, 1, 4))
    query, key, value = (
        build.add("Gather", packed, build.constant((), dtype="int64", value=(index,)), axis=0)
        for index in range(3)
    )
    query = build.add("Mul", query, scalar(build, features**-0.5))
    scores = build.add("MatMul", query, build.transpose(key, (0, 1, 3, 2)))
    if bias is not None:
        scores = build.add("Add", scores, bias)
    if mask is not None:
        windows = build.shape(mask)[1]
        scores = build.reshape(scores, (groups // windows, windows, heads, tokens, tokens))
        scores = build.reshape(build.add("Add", scores, mask), (groups, heads, tokens, tokens))
    y = build.add("MatMul", build.softmax(scores), value)
    return build.linear(merge_heads(build, y), channels)


def merge_heads(build: NetworkBuilder, x: str) -> str:
    """(batch, heads, tokens, features) to (batch, tokens, heads * features)."""
    batch, heads, tokens, features = build.shape(x)
    return build.reshape(build.transpose(x, (0, 2, 1, 3)), (batch, tokens, heads * features))
