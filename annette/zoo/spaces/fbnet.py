"""FBNet as in HW-NAS-Bench: 22 layers, each one of nine candidate blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.zoo.blocks import channel_shuffle, classify, conv_bn
from annette.zoo.spaces.notation import parse_numbers, require_positive, space_name
from annette.zoo.spaces.space import ABSENT, Encoding, Encodings, Pieces, SearchSpace, chain_sources

__all__ = ["FBNet"]

_BLOCKS = ((3, 1, 1), (3, 1, 2), (3, 3, 1), (3, 6, 1), (5, 1, 1), (5, 1, 2), (5, 3, 1), (5, 6, 1))
"""Kernel, expansion and groups of each candidate, in the benchmark's order: k3_e1, k3_e1_g2, ..., k5_e6."""
_SKIP = len(_BLOCKS)
"""The last candidate."""
_CANDIDATES = _SKIP + 1

_STAGE_LAYERS = (1, 4, 4, 4, 4, 4, 1)
_STAGE_CHANNELS = (16, 24, 32, 64, 112, 184, 352)
_STEM_CHANNELS = 16
_LAYERS = sum(_STAGE_LAYERS)
_STAGE_OF_LAYER = tuple(stage for stage, count in enumerate(_STAGE_LAYERS) for _ in range(count))
_IS_FIRST = tuple(index == 0 for count in _STAGE_LAYERS for index in range(count))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Skeleton:
    """What differs from data set to data set."""

    resolution: int
    stem_stride: int
    strides: tuple[int, ...]
    header_channels: int
    classes: int

    def is_identity(self, layer: int) -> bool:
        """Whether a skip leaves out that layer, for it has neither a stride nor other channels."""
        stage = _STAGE_OF_LAYER[layer]
        if not _IS_FIRST[layer]:
            return True
        before = _STAGE_CHANNELS[stage - 1] if stage else _STEM_CHANNELS
        return self.strides[stage] == 1 and before == _STAGE_CHANNELS[stage]


_SKELETONS: Mapping[str, _Skeleton] = MappingProxyType(
    {
        "cifar100": _Skeleton(
            resolution=32, stem_stride=1, strides=(1, 1, 2, 2, 1, 2, 1), header_channels=1504, classes=100
        ),
        "imagenet": _Skeleton(
            resolution=224, stem_stride=2, strides=(1, 2, 2, 2, 1, 2, 1), header_channels=1984, classes=1000
        ),
    }
)


class FBNet(SearchSpace):
    """The 9 ** 22 networks of FBNet's search space with the skeletons of HW-NAS-Bench.

    Gene i is the candidate at layer i: 0 to 8 for k3_e1, k3_e1_g2, k3_e3, k3_e6, k5_e1, k5_e1_g2, k5_e3,
    k5_e6, skip. A skip is nothing, or a 1x1 convolution where the layer has a stride or changes channels.
    The notation is the benchmark's list of these numbers, ``[7, 8, 1, ...]``.

    Parameters
    ----------
    dataset : str
        ``cifar100`` (32x32, 100 classes) or ``imagenet`` (224x224, 1000 classes).
    batch : int
        Images at once, >= 1.

    Raises
    ------
    UsageError
        If there is no such data set, or the batch is not positive.

    References
    ----------
    Wu et al.: FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture Search,
    CVPR 2019, tables 1 and 2; Li et al.: HW-NAS-Bench, ICLR 2021, and its code, `FBNet_Infer`, which the
    layers follow.

    Examples
    --------
    >>> FBNet().network([8] * 22).layers[-1].op_type
    'Gemm'
    """

    def __init__(self, *, dataset: str = "cifar100", batch: int = 1) -> None:
        if dataset not in _SKELETONS:
            raise UsageError(f"fbnet: dataset={dataset}, expected one of {', '.join(_SKELETONS)}")
        require_positive("fbnet", batch=batch)
        given = {"dataset": dataset, "batch": batch}
        self.name = space_name("fbnet", given, {"dataset": "cifar100", "batch": 1})
        self.choices = (_CANDIDATES,) * _LAYERS
        self._skeleton = _SKELETONS[dataset]
        self._batch = batch

    def pieces(self, encodings: Encodings) -> Pieces:
        """Input, stem, 22 layers or fewer, head."""
        codes = np.zeros((len(encodings), 2 + _LAYERS + 1), dtype=np.int64)
        place = np.array(_STAGE_OF_LAYER) * 2 + np.array(_IS_FIRST)
        codes[:, 2:-1] = encodings + place * _CANDIDATES
        is_identity = np.array([self._skeleton.is_identity(layer) for layer in range(_LAYERS)])
        codes[:, 2:-1][(encodings == _SKIP) & is_identity] = ABSENT
        kinds = ("input", "stem", *("layer",) * _LAYERS, "head")
        return Pieces(kinds=kinds, codes=codes, sources=chain_sources(codes))

    def build_piece(self, build: NetworkBuilder, kind: str, code: int, inputs: tuple[str, ...]) -> str:
        """The layers of one piece."""
        skeleton = self._skeleton
        if kind == "input":
            return build.input("image", (self._batch, 3, skeleton.resolution, skeleton.resolution))
        (x,) = inputs
        if kind == "stem":
            return conv_bn(build, x, _STEM_CHANNELS, kernel=3, stride=skeleton.stem_stride)
        if kind == "head":
            return classify(build, conv_bn(build, x, skeleton.header_channels), skeleton.classes)
        place, candidate = divmod(code, _CANDIDATES)
        stage, is_first = divmod(place, 2)
        channels, stride = _STAGE_CHANNELS[stage], skeleton.strides[stage] if is_first else 1
        if candidate == _SKIP:
            return conv_bn(build, x, channels, stride=stride)
        return _block(build, x, channels, stride, candidate)

    def parse(self, text: str) -> Encoding:
        """The encoding that the 22 numbers in brackets are.

        Raises
        ------
        UsageError
            If the text is no architecture of the space.
        """
        return self._encoding(parse_numbers(self.name, text, _LAYERS))

    def format(self, encoding: Sequence[int]) -> str:
        """The encoding as the benchmark writes it."""
        return str(list(self._encoding(encoding)))


def _block(build: NetworkBuilder, x: str, channels: int, stride: int, candidate: int) -> str:
    """An inverted residual that keeps its first 1x1 convolution at expansion 1, with groups of channels."""
    kernel, expansion, groups = _BLOCKS[candidate]
    wide = build.channels(x) * expansion
    y = conv_bn(build, x, wide, groups=groups)
    if groups > 1:
        y = channel_shuffle(build, y, groups)
    y = conv_bn(build, y, wide, kernel=kernel, stride=stride, groups=wide)
    y = conv_bn(build, y, channels, groups=groups, activation=None)
    return build.add("Add", y, x) if build.shape(y) == build.shape(x) else y
