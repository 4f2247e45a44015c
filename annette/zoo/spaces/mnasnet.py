"""The MnasNet space of Accel-NASBench: seven blocks with an expansion, a kernel, layers and a gate each."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.zoo.blocks import SqueezeExcite, classify, conv_bn, inverted_residual
from annette.zoo.spaces.notation import require_positive, space_name
from annette.zoo.spaces.space import ABSENT, Encoding, Encodings, Pieces, SearchSpace, chain_sources

__all__ = ["MnasNetSpace"]

_EXPANSIONS = (1, 4, 6)
_KERNELS = (3, 5)
_MOST_LAYERS = (3, 3, 3, 3, 3, 4, 3)
_BLOCKS = len(_MOST_LAYERS)
_GENES = 4
"""Of a block: expansion, kernel, layers, gate."""
_STEM_CHANNELS = 32
_CHANNELS = (16, 24, 40, 80, 112, 192, 320)
_STRIDES = (1, 2, 2, 2, 1, 2, 1)
_HEAD_CHANNELS = 1280
_GATE_SHARE = 4
"""A gate's bottleneck has a quarter of the channels that its layer reads."""
_LAYER_CODES = (_BLOCKS, 2, len(_EXPANSIONS), len(_KERNELS), 2)
"""What a layer's code packs: block, whether it is the block's first, expansion, kernel, gate."""
_FORM = re.compile(r"e(\d{1,3})k(\d{1,3})l(\d{1,3})(s(?:True)?|sFalse|)")
"""A block; published tables have the gate in words."""


class MnasNetSpace(SearchSpace):
    """Networks of seven blocks of inverted residuals, as Accel-NASBench trained and timed them.

    The genes are, block by block, the positions of the expansion in 1, 4, 6, of the kernel in 3, 5, the
    layers less one (up to 3; 4 in the sixth block), and whether the layers have a squeeze-and-excitation.
    The notation is a word a block: ``e6k5l2s`` for expansion 6, kernel 5, two layers, with a gate.

    Parameters
    ----------
    resolution : int
        Pixels a side, >= 1.
    batch : int
        Images at once, >= 1.

    Raises
    ------
    UsageError
        If a parameter is not positive.

    References
    ----------
    Ahmad et al.: Accel-NASBench: Sustainable Benchmarking for Accelerator-Aware NAS, DAC 2024, appendix B;
    Tan and Le: EfficientNet, ICML 2019, whose layers and channels the benchmark takes. The parameters are
    those of the published table to the last; its multiply-accumulates count normalisations beside these.

    Examples
    --------
    >>> space = MnasNetSpace()
    >>> space.parse("e1k3l1s e6k3l2s e6k5l2s e6k3l3s e6k5l3s e6k5l4s e6k3l1s")[:8]
    (0, 0, 0, 1, 2, 0, 1, 1)
    """

    def __init__(self, *, resolution: int = 224, batch: int = 1) -> None:
        require_positive("mnasnet", resolution=resolution, batch=batch)
        given = {"resolution": resolution, "batch": batch}
        self.name = space_name("mnasnet", given, {"resolution": 224, "batch": 1})
        self.choices = tuple(
            count for most in _MOST_LAYERS for count in (len(_EXPANSIONS), len(_KERNELS), most, 2)
        )
        self._resolution = resolution
        self._batch = batch

    def pieces(self, encodings: Encodings) -> Pieces:
        """Input, stem, the layers of each block, head."""
        layers = sum(_MOST_LAYERS)
        codes = np.zeros((len(encodings), 2 + layers + 1), dtype=np.int64)
        position = 2
        for block, most in enumerate(_MOST_LAYERS):
            expansion, kernel, count, gate = encodings[:, block * _GENES : (block + 1) * _GENES].T
            for layer in range(most):
                place = np.full(len(encodings), block), np.full(len(encodings), int(layer == 0))
                code = np.ravel_multi_index((*place, expansion, kernel, gate), _LAYER_CODES)
                codes[:, position] = np.where(layer <= count, code, ABSENT)
                position += 1
        kinds = ("input", "stem", *("layer",) * layers, "head")
        return Pieces(kinds=kinds, codes=codes, sources=chain_sources(codes))

    def build_piece(self, build: NetworkBuilder, kind: str, code: int, inputs: tuple[str, ...]) -> str:
        """The layers of one piece."""
        if kind == "input":
            return build.input("image", (self._batch, 3, self._resolution, self._resolution))
        (x,) = inputs
        if kind == "stem":
            return conv_bn(build, x, _STEM_CHANNELS, kernel=3, stride=2)
        if kind == "head":
            return classify(build, conv_bn(build, x, _HEAD_CHANNELS), 1000)
        block, is_first, expansion, kernel, gate = map(int, np.unravel_index(code, _LAYER_CODES))
        squeeze = SqueezeExcite(channels=max(1, build.channels(x) // _GATE_SHARE)) if gate else None
        return inverted_residual(
            build, x, _CHANNELS[block], expanded_channels=build.channels(x) * _EXPANSIONS[expansion],
            kernel=_KERNELS[kernel], stride=_STRIDES[block] if is_first else 1, activation="Relu",
            excite=squeeze,
        )  # fmt: skip

    def parse(self, text: str) -> Encoding:
        """The encoding of seven words ``e6k5l2s``.

        Raises
        ------
        UsageError
            If the text is no architecture of the space.
        """
        words = [_FORM.fullmatch(word) for word in text.split()]
        genes: list[int] = []
        for word, most in zip(words, _MOST_LAYERS, strict=False):
            if word is None:
                break
            expansion, kernel, layers = (int(number) for number in word.groups()[:3])
            if expansion not in _EXPANSIONS or kernel not in _KERNELS or not 1 <= layers <= most:
                break
            gate = int(word[4] in ("s", "sTrue"))
            genes += [_EXPANSIONS.index(expansion), _KERNELS.index(kernel), layers - 1, gate]
        if len(words) != _BLOCKS or len(genes) != len(self.choices):
            raise UsageError(
                f"{self.name}: {text[:120]!r} is no architecture, expected {_BLOCKS} words as e6k5l2s: "
                "expansion 1, 4 or 6, kernel 3 or 5, 1 to 3 layers (4 in the sixth), s for a gate"
            )
        return self._encoding(genes)

    def format(self, encoding: Sequence[int]) -> str:
        """The encoding as seven words."""
        row = self._encoding(encoding)
        words = []
        for start in range(0, len(row), _GENES):
            expansion, kernel, layers, gate = row[start : start + _GENES]
            words.append(f"e{_EXPANSIONS[expansion]}k{_KERNELS[kernel]}l{layers + 1}{'s' if gate else ''}")
        return " ".join(words)
