"""Once-for-all: the MobileNetV3 networks of any depth, width, kernels and resolution in one supernetwork."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.zoo.blocks import SqueezeExcite, conv_bn, inverted_residual, make_divisible
from annette.zoo.spaces.notation import (
    choice_indices,
    parse_fields,
    parse_numbers,
    require_positive,
    space_name,
)
from annette.zoo.spaces.space import ABSENT, Encoding, Encodings, Pieces, SearchSpace, chain_sources

__all__ = ["OnceForAll"]

_KERNELS = (3, 5, 7)
_EXPANSIONS = (3, 4, 6)
_DEPTHS = (2, 3, 4)
_RESOLUTIONS = tuple(range(128, 225, 4))
_STAGES = 5
_MOST_BLOCKS = max(_DEPTHS)
_BLOCKS = _STAGES * _MOST_BLOCKS
_FIELDS = {
    "ks": (_KERNELS, _BLOCKS),
    "e": (_EXPANSIONS, _BLOCKS),
    "d": (_DEPTHS, _STAGES),
    "r": (_RESOLUTIONS, 1),
}
"""The parts of an encoding in their order: the values of each gene, and how many genes."""

_STEM_CHANNELS = 16
_FIRST_CHANNELS = 16
_STAGE_CHANNELS = (24, 40, 80, 112, 160)
_STAGE_STRIDES = (2, 2, 2, 1, 2)
_STAGE_ACTIVATIONS = ("Relu", "Relu", "HardSwish", "HardSwish", "HardSwish")
_STAGE_GATES = (False, True, False, True, True)
_EXPANDED_CHANNELS = 960
_LAST_CHANNELS = 1280
_BLOCK_CODES = (_STAGES, 2, len(_KERNELS), len(_EXPANSIONS))
"""What a block's code packs: stage, whether it is the stage's first, kernel, expansion."""


class OnceForAll(SearchSpace):
    """Sub-networks of OFA-MobileNetV3: 20 kernels, 20 expansions, 5 depths and a resolution.

    The genes are those four lists in this order. Block i of stage s has the kernel and the expansion number
    4 s + i; those of blocks beyond a stage's depth have no effect. Every gene is drawn evenly, as the
    reference draws a random sub-network.

    The notation is ``ks=7,5,...;e=6,4,...;d=2,3,...;r=204``; `parse` also takes the JSON object
    ``{"ks": [...], "e": [...], "d": [...], "r": 204}`` with lists as the reference's own code has them.

    Parameters
    ----------
    width : float
        Multiplies all channels, which are rounded to multiples of 8; the published supernetworks have 1.0
        and 1.2.
    batch : int
        Images at once, >= 1.
    classes : int
        Outputs, >= 1.

    Raises
    ------
    UsageError
        If a parameter is not positive.

    References
    ----------
    Cai et al.: Once for All: Train One Network and Specialize it for Efficient Deployment, ICLR 2020, and
    its code, `OFAMobileNetV3`.

    Examples
    --------
    >>> space = OnceForAll(width=1.2)
    >>> space.format(space.sample(1, seed=0)[0])[:14]
    'ks=7,5,5,3,3,3'
    """

    def __init__(self, *, width: float = 1.0, batch: int = 1, classes: int = 1000) -> None:
        require_positive("ofa", width=width, batch=batch, classes=classes)
        given = {"width": width, "batch": batch, "classes": classes}
        self.name = space_name("ofa", given, {"width": 1.0, "batch": 1, "classes": 1000})
        self.choices = tuple(len(values) for values, count in _FIELDS.values() for _ in range(count))
        self._width = width
        self._batch = batch
        self._classes = classes

    def pieces(self, encodings: Encodings) -> Pieces:
        """Input, stem, first block, twenty blocks or fewer, head."""
        codes = np.zeros((len(encodings), 3 + _BLOCKS + 1), dtype=np.int64)
        codes[:, 0] = encodings[:, -1]
        block = np.arange(_BLOCKS)
        place = block // _MOST_BLOCKS * 2 + (block % _MOST_BLOCKS == 0)
        blocks = codes[:, 3:-1]
        blocks[:] = encodings[:, :_BLOCKS]
        blocks += place * len(_KERNELS)
        blocks *= len(_EXPANSIONS)
        blocks += encodings[:, _BLOCKS : 2 * _BLOCKS]
        blocks[~_has_block(encodings)] = ABSENT
        kinds = ("input", "stem", "first", *("block",) * _BLOCKS, "head")
        return Pieces(kinds=kinds, codes=codes, sources=chain_sources(codes))

    def build_piece(self, build: NetworkBuilder, kind: str, code: int, inputs: tuple[str, ...]) -> str:
        """The layers of one piece."""
        if kind == "input":
            return build.input("image", (self._batch, 3, _RESOLUTIONS[code], _RESOLUTIONS[code]))
        (x,) = inputs
        if kind == "stem":
            return conv_bn(
                build, x, self._channels(_STEM_CHANNELS), kernel=3, stride=2, activation="HardSwish"
            )
        if kind == "first":
            channels = self._channels(_FIRST_CHANNELS)
            return inverted_residual(
                build, x, channels, expanded_channels=build.channels(x), activation="Relu"
            )
        return self._head(build, x) if kind == "head" else self._block(build, x, code)

    def _channels(self, channels: int) -> int:
        return make_divisible(channels * self._width)

    def _block(self, build: NetworkBuilder, x: str, code: int) -> str:
        stage, is_first, kernel, expansion = map(int, np.unravel_index(code, _BLOCK_CODES))
        wide = make_divisible(build.channels(x) * _EXPANSIONS[expansion])
        gate = SqueezeExcite(channels=make_divisible(wide // 4), gate="HardSigmoid")
        return inverted_residual(
            build, x, self._channels(_STAGE_CHANNELS[stage]), expanded_channels=wide,
            kernel=_KERNELS[kernel], stride=_STAGE_STRIDES[stage] if is_first else 1,
            activation=_STAGE_ACTIVATIONS[stage], excite=gate if _STAGE_GATES[stage] else None,
        )  # fmt: skip

    def _head(self, build: NetworkBuilder, x: str) -> str:
        """The reference's last layers: the second 1x1 convolution has neither bias nor normalisation."""
        y = conv_bn(build, x, self._channels(_EXPANDED_CHANNELS), activation="HardSwish")
        y = build.conv(build.global_avg_pool(y), self._channels(_LAST_CHANNELS), bias=False)
        return build.linear(build.flatten(build.activation(y, "HardSwish")), self._classes)

    def canonical(self, encodings: Encodings) -> Encodings:
        """The encodings with zeros for the kernels and expansions of blocks that are left out."""
        has_block = _has_block(encodings)
        has_effect = np.hstack([has_block, has_block, np.ones((len(encodings), _STAGES + 1), dtype=bool)])
        return np.where(has_effect, encodings, 0)

    def parse(self, text: str) -> Encoding:
        """The encoding of ``ks=...;e=...;d=...;r=...`` or of the same as a JSON object.

        Raises
        ------
        UsageError
            If the text is no architecture of the space.
        """
        is_json = text.lstrip().startswith("{")
        fields = self._json_fields(text) if is_json else parse_fields(self.name, text, tuple(_FIELDS))
        genes: list[int] = []
        for key, (values, count) in _FIELDS.items():
            numbers = parse_numbers(f"{self.name}: {key}", fields[key], count)
            genes += choice_indices(self.name, key, numbers, values)
        return self._encoding(genes)

    def _json_fields(self, text: str) -> dict[str, str]:
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict) or set(fields) != set(_FIELDS):
            raise UsageError(
                f"{self.name}: {text[:80]!r} is no architecture, "
                'expected {"ks": [...], "e": [...], "d": [...], "r": ...}'
            )
        return {key: str(value) for key, value in fields.items()}

    def format(self, encoding: Sequence[int]) -> str:
        """The encoding as ``ks=...;e=...;d=...;r=...``."""
        genes = iter(self._encoding(encoding))
        parts = []
        for key, (values, count) in _FIELDS.items():
            parts.append(f"{key}=" + ",".join(str(values[next(genes)]) for _ in range(count)))
        return ";".join(parts)


def _has_block(encodings: Encodings) -> NDArray[np.bool_]:
    """Which of the twenty blocks each network has, shape (n_networks, 20)."""
    depths = np.array(_DEPTHS)[encodings[:, 2 * _BLOCKS : 2 * _BLOCKS + _STAGES]]
    return np.repeat(depths, _MOST_BLOCKS, axis=1) > np.arange(_BLOCKS) % _MOST_BLOCKS
