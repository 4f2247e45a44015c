"""Transformer encoders of text: layers, heads, width, width of the feed-forward layer, tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.zoo.spaces.notation import (
    choice_indices,
    parse_fields,
    parse_numbers,
    require_positive,
    space_name,
)
from annette.zoo.spaces.space import ABSENT, Encoding, Encodings, Pieces, SearchSpace, chain_sources
from annette.zoo.transformer import feed_forward, packed_self_attention

__all__ = ["TransformerSpace"]

_LAYERS = tuple(range(2, 13))
_HEADS = (2, 3, 4, 6, 8, 12)
_WIDTHS = (128, 192, 256, 320, 384, 512, 640, 768)
_MLP_RATIOS = (1, 2, 3, 4)
_SEQUENCES = (32, 64, 128, 256, 384, 512)
_FIELDS = {
    "layers": _LAYERS,
    "heads": _HEADS,
    "width": _WIDTHS,
    "mlp": _MLP_RATIOS,
    "sequence": _SEQUENCES,
}
"""The genes in their order, and the values of each."""

_DEFAULTS = {"vocabulary": 30522, "classes": 2, "batch": 1}


class TransformerSpace(SearchSpace):
    """BERT-like encoders of text with a classifier: layers, heads, width, MLP ratio, tokens.

    The heads must divide the width, and share it. A network takes the numbers of the tokens of whole
    sequences (no padding, so no mask): embeddings with positions, layers that normalise after each sum, and
    the first token through a pooler to the classes. The notation is
    ``layers=6;heads=4;width=256;mlp=4;sequence=128``.

    Parameters
    ----------
    vocabulary : int
        Rows of the table of embeddings, >= 1; the default is BERT's.
    classes : int
        Outputs, >= 1.
    batch : int
        Sequences at once, >= 1.

    Raises
    ------
    UsageError
        If a parameter is not positive.

    References
    ----------
    J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
    NAACL 2019, section 3; the ranges are around those of I. Turc et al., "Well-Read Students Learn Better",
    arXiv 1908.08962, table 1.

    Examples
    --------
    >>> TransformerSpace().format([4, 2, 2, 3, 2])
    'layers=6;heads=4;width=256;mlp=4;sequence=128'
    """

    def __init__(self, *, vocabulary: int = 30522, classes: int = 2, batch: int = 1) -> None:
        given = {"vocabulary": vocabulary, "classes": classes, "batch": batch}
        require_positive("transformer", **given)
        self.name = space_name("transformer", given, _DEFAULTS)
        self.choices = tuple(len(values) for values in _FIELDS.values())
        self._vocabulary = vocabulary
        self._classes = classes
        self._batch = batch

    def valid_mask(self, encodings: Encodings) -> NDArray[np.bool_]:
        """Which rows have heads that divide the width."""
        is_multiple = np.array(
            [[width % heads == 0 for width in _WIDTHS] for heads in _HEADS], dtype=np.bool_
        )
        return is_multiple[encodings[:, 1], encodings[:, 2]]

    def pieces(self, encodings: Encodings) -> Pieces:
        """Embeddings, two to twelve layers, head."""
        layers, heads, width, mlp, sequence = encodings.T
        codes = np.zeros((len(encodings), 1 + max(_LAYERS) + 1), dtype=np.int64)
        codes[:, 0] = width * len(_SEQUENCES) + sequence
        is_there = np.array(_LAYERS)[layers][:, None] > np.arange(max(_LAYERS))
        codes[:, 1:-1] = np.where(is_there, (heads * len(_MLP_RATIOS) + mlp)[:, None], ABSENT)
        kinds = ("embeddings", *("layer",) * max(_LAYERS), "head")
        return Pieces(kinds=kinds, codes=codes, sources=chain_sources(codes))

    def build_piece(self, build: NetworkBuilder, kind: str, code: int, inputs: tuple[str, ...]) -> str:
        """The layers of one piece."""
        if kind == "embeddings":
            width, sequence = divmod(code, len(_SEQUENCES))
            return self._embeddings(build, _WIDTHS[width], _SEQUENCES[sequence])
        (x,) = inputs
        if kind == "head":
            first = build.add("Gather", x, build.constant((), dtype="int64", value=(0,)), axis=1)
            pooled = build.add("Tanh", build.linear(first, build.shape(first)[-1]))
            return build.linear(pooled, self._classes)
        heads, mlp = divmod(code, len(_MLP_RATIOS))
        x = build.layer_norm(build.add("Add", packed_self_attention(build, x, _HEADS[heads]), x))
        hidden = build.shape(x)[-1] * _MLP_RATIOS[mlp]
        return build.layer_norm(build.add("Add", feed_forward(build, x, hidden), x))

    def _embeddings(self, build: NetworkBuilder, width: int, sequence: int) -> str:
        tokens = build.input("input_ids", (self._batch, sequence), dtype="int64")
        x = build.add("Gather", build.constant((self._vocabulary, width)), tokens, axis=0)
        return build.layer_norm(build.add("Add", x, build.constant((1, sequence, width))))

    def parse(self, text: str) -> Encoding:
        """The encoding of ``layers=...;heads=...;width=...;mlp=...;sequence=...``.

        Raises
        ------
        UsageError
            If the text is no architecture of the space.
        """
        fields = parse_fields(self.name, text, tuple(_FIELDS))
        genes: list[int] = []
        for key, values in _FIELDS.items():
            number = parse_numbers(f"{self.name}: {key}", fields[key], 1)
            genes += choice_indices(self.name, key, number, values)
        heads, width = _HEADS[genes[1]], _WIDTHS[genes[2]]
        if width % heads:
            raise UsageError(f"{self.name}: width={width} for heads={heads}, expected a multiple")
        return self._encoding(genes)

    def format(self, encoding: Sequence[int]) -> str:
        """The encoding as ``layers=...;heads=...;width=...;mlp=...;sequence=...``."""
        genes = self._encoding(encoding)
        items = zip(_FIELDS.items(), genes, strict=True)
        return ";".join(f"{key}={values[gene]}" for (key, values), gene in items)
