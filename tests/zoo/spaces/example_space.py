"""A search space of one's own, as a user would write it: three residual stages of any depth and width."""

from __future__ import annotations

import numpy as np

from annette.graph.builder import NetworkBuilder
from annette.zoo.spaces.space import ABSENT, Encodings, Pieces, SearchSpace, chain_sources

WIDTHS = (16, 24, 32)
DEPTHS = 4


class StagedNetworks(SearchSpace):
    """Per stage a width and a depth; each block is a depthwise and a pointwise convolution."""

    name = "staged"
    choices = (len(WIDTHS), DEPTHS) * 3

    def pieces(self, encodings: Encodings) -> Pieces:
        """Input, then per stage a strided block and up to three more, then the head."""
        widths, depths = encodings[:, 0::2], encodings[:, 1::2]
        columns = [np.zeros(len(encodings), dtype=np.int64)]
        for stage in range(3):
            for block in range(DEPTHS):
                columns.append(np.where(block <= depths[:, stage], widths[:, stage], ABSENT))
        codes = np.stack([*columns, columns[0]], axis=1)
        kinds = ("input", *("reduce", "keep", "keep", "keep") * 3, "head")
        return Pieces(kinds=kinds, codes=codes, sources=chain_sources(codes))

    def build_piece(self, build: NetworkBuilder, kind: str, code: int, inputs: tuple[str, ...]) -> str:
        """The layers of one piece."""
        if kind == "input":
            return build.input("image", (1, 3, 64, 64))
        if kind == "head":
            return build.linear(build.flatten(build.global_avg_pool(inputs[0])), 10)
        x = build.relu(build.depthwise_conv(inputs[0], kernel=3, stride=2 if kind == "reduce" else 1))
        x = build.relu(build.conv(x, WIDTHS[code]))
        return build.add("Add", x, inputs[0]) if build.shape(x) == build.shape(inputs[0]) else x
