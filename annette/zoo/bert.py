"""BERT encoders: text as a sequence of token numbers."""

from __future__ import annotations

import math

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.transformer import feed_forward, merge_heads, require_heads, scalar

__all__ = ["bert_base", "bert_mini"]

_MLP_RATIO = 4
_TOKEN_TYPES = 2
_MASKED = -3.4028234663852886e38
"""Lowest float32: what a masked position adds to its score."""


def bert_mini(*, sequence: int = 128, batch: int = 1, vocabulary: int = 30522, depth: int = 4) -> Network:
    """BERT-Mini: 256 channels, 4 heads, 4 layers, 128 tokens (Turc et al., 2019)."""
    return _bert("bert_mini", 256, 4, sequence, batch, vocabulary, depth)


def bert_base(*, sequence: int = 128, batch: int = 1, vocabulary: int = 30522, depth: int = 12) -> Network:
    """BERT-Base uncased: 768 channels, 12 heads, 12 layers, 128 tokens (Devlin et al., 2019)."""
    return _bert("bert_base", 768, 12, sequence, batch, vocabulary, depth)


def _bert(
    name: str, channels: int, heads: int, sequence: int, batch: int, vocabulary: int, depth: int
) -> Network:
    """Embeddings, post-norm layers and the pooler; hands out the last hidden state and the pooled output.

    The position table holds the rows of this sequence only (an exporter folds the look-up), not all 512.

    References
    ----------
    J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
    NAACL 2019, section 3.
    """
    build = NetworkBuilder(name)
    shape = (batch, sequence)
    tokens, mask, types = (
        build.input(item, shape, dtype="int64") for item in ("input_ids", "attention_mask", "token_type_ids")
    )
    x = build.add("Gather", build.constant((vocabulary, channels)), tokens, axis=0)
    x = build.add("Add", x, build.add("Gather", build.constant((_TOKEN_TYPES, channels)), types, axis=0))
    x = build.layer_norm(build.add("Add", x, build.constant((1, sequence, channels))))
    bias = _mask_bias(build, mask)
    for _ in range(depth):
        x = build.layer_norm(build.add("Add", _self_attention(build, x, bias, heads), x))
        x = build.layer_norm(build.add("Add", feed_forward(build, x, _MLP_RATIO * channels), x))
    first = build.add("Gather", x, build.constant((), dtype="int64", value=(0,)), axis=1)
    return build.finish(x, build.add("Tanh", build.linear(first, channels)))


def _mask_bias(build: NetworkBuilder, mask: str) -> str:
    """0 where the mask is 1 and the lowest number where it is 0, as (batch, 1, 1, sequence)."""
    x = build.add("Cast", build.add("Unsqueeze", mask, build.int_constant((1, 2))), to=1)
    return build.add("Mul", build.add("Sub", scalar(build, 1.0), x), scalar(build, _MASKED))


def _self_attention(build: NetworkBuilder, x: str, bias: str, heads: int) -> str:
    """Multi-head attention with a linear layer each for queries, keys and values."""
    batch, tokens, channels = build.shape(x)
    features = require_heads("bert", channels, heads)
    shape = (batch, tokens, heads, features)
    query, key, value = (build.reshape(build.linear(x, channels), shape) for _ in range(3))
    scores = build.add("MatMul", build.transpose(query, (0, 2, 1, 3)), build.transpose(key, (0, 2, 3, 1)))
    scores = build.add("Div", scores, scalar(build, math.sqrt(features)))
    weights = build.softmax(build.add("Add", scores, bias))
    y = build.add("MatMul", weights, build.transpose(value, (0, 2, 1, 3)))
    return build.linear(merge_heads(build, y), channels)
