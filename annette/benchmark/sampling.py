"""Seeded low-discrepancy draws of layer sizes that resemble those of real networks."""

from __future__ import annotations

import bisect
import math
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

import numpy
import numpy.typing

__all__ = ["POPULAR_CHANNELS", "POPULAR_SPATIAL", "STAGE_SPATIAL", "Draw", "draws"]

Item = TypeVar("Item")

POPULAR_CHANNELS = (
    1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 72, 80, 96, 112, 128, 144, 160, 184, 192, 224, 240,
    256, 288, 320, 336, 384, 448, 480, 512, 576, 640, 672, 728, 768, 832, 960, 1024, 1152, 1280, 1536, 1792,
    2048,
)  # fmt: skip
"""Channel counts that published networks use again and again."""

ODD_CHANNELS = (3, 10, 18, 19, 21, 27, 38, 58, 75, 91, 116, 126, 174, 255, 273, 348, 425, 1000, 1001)
"""Channel counts of inputs, heads and scaled networks that are no multiple of eight."""

POPULAR_SPATIAL = (
    1, 2, 3, 4, 5, 7, 8, 10, 13, 14, 16, 17, 19, 20, 26, 28, 32, 33, 35, 38, 40, 46, 52, 56, 64, 65, 73, 80,
    92, 104, 112, 128, 129, 147, 149, 150, 160, 184, 192, 208, 224, 256, 257, 299, 300, 320, 368, 384, 416,
    512, 513,
)  # fmt: skip
"""Heights and widths at the stages of networks fed with 32 to 513 pixels (small images to segmentation)."""

STAGE_SPATIAL = (1, 4, 7, 8, 14, 16, 28, 32, 56, 64, 112, 128, 224, 256)
"""The halvings of 224 and 256 pixels, where most layers of most networks are."""

_DIMENSIONS = 24
_ODD_SHARE, _MULTIPLE_SHARE, _ANY_SHARE = 0.08, 0.27, 0.15  # of the channel counts; the rest is popular
_STAGE_SHARE, _POPULAR_SHARE = 0.4, 0.35  # of the heights; the rest is arbitrary
_SQUARE_SHARE = 0.7
_BAND_SHARE = 0.88
_BAND = (220.0, 36_000.0)
"""Channels times side of most feature maps: published networks keep near 224 x 64, 56 x 256 and 14 x 1024,
mobile ones near 112 x 16 and 7 x 160, detectors up to 416 x 64; the rest of the draws ignores the band."""


class Draw:
    """One point of the unit cube, spent coordinate by coordinate on choices and sizes.

    Beyond the cube's dimensions, coordinates come from a generator of the point's own.
    """

    def __init__(self, point: Sequence[float], entropy: tuple[int, ...]) -> None:
        self._point = iter(point)
        self._entropy = entropy
        self._rng: numpy.random.Generator | None = None

    def unit(self) -> float:
        """The next coordinate, in [0, 1)."""
        found = next(self._point, None)
        if found is not None:
            return found
        if self._rng is None:
            self._rng = numpy.random.default_rng(self._entropy)
        return self._rng.random()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.unit() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items, all alike likely."""
        return items[min(int(self.unit() * len(items)), len(items) - 1)]

    def weighted(self, weights: Mapping[Item, float]) -> Item:
        """One of the keys, likely in proportion to its weight."""
        sums = list(accumulate(weights.values()))
        return list(weights)[min(bisect.bisect_right(sums, self.unit() * sums[-1]), len(sums) - 1)]

    def integer(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        return low + min(int(self.unit() * (high - low + 1)), high - low)

    def log_float(self, low: float, high: float) -> float:
        """A number between ``low`` and ``high``, uniform in its logarithm."""
        return low * math.exp(math.log(high / low) * self.unit())

    def log_int(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, about uniform in its logarithm."""
        return min(max(round(self.log_float(low, high)), low), high)

    def channels(self, low: int = 1, high: int = 2048) -> int:
        """A channel count: mostly popular ones and multiples of eight, some odd, some arbitrary."""
        return self._channels_near(self.log_float(low, high), low, high)

    def channels_beside(self, channels: int, *, factor: float = 8.0, high: int = 2048) -> int:
        """A channel count for a layer that follows one of ``channels``, within this factor of it."""
        near = channels * self.log_float(1 / factor, factor)
        return self._channels_near(near, 1, high)

    def _channels_near(self, near: float, low: int, high: int) -> int:
        style = self.unit()
        if style < _ODD_SHARE:
            found = _nearest(ODD_CHANNELS, near)
        elif style < _ODD_SHARE + _MULTIPLE_SHARE:
            found = max(8 * round(near / 8), 8)
        elif style < _ODD_SHARE + _MULTIPLE_SHARE + _ANY_SHARE:
            found = round(near)
        else:
            found = _nearest(POPULAR_CHANNELS, near)
        return min(max(found, low), high)

    def spatial(self, low: int = 1, high: int = 513) -> int:
        """A height, width or length."""
        near, style = self.log_float(low, high), self.unit()
        if style < _STAGE_SHARE:
            found = _nearest(STAGE_SPATIAL, near)
        elif style < _STAGE_SHARE + _POPULAR_SHARE:
            found = _nearest(POPULAR_SPATIAL, near)
        else:
            found = round(near)
        return min(max(found, low), high)

    def image(self, low: int = 1, high: int = 513) -> tuple[int, int]:
        """Height and width: mostly squares, otherwise rectangles up to one to four."""
        height = self.spatial(low, high)
        if self.chance(_SQUARE_SHARE):
            return height, height
        width = round(height * self.log_float(0.25, 4.0))
        return height, min(max(width, low), high)

    def feature_map(self, *, low: int = 1, high: int = 513, max_channels: int = 2048) -> tuple[int, int, int]:
        """Channels, height and width as they occur together: large images have few channels."""
        height, width = self.image(low, high)
        fewest, most = 1, max_channels
        if self.chance(_BAND_SHARE):
            side = math.sqrt(height * width)
            fewest = min(max(round(_BAND[0] / side), 1), max_channels // 2 or 1)
            most = min(max(round(_BAND[1] / side), fewest + 1), max_channels)
        return self.channels(fewest, most), height, width

    def batch(self) -> int:
        """A batch size: nearly always one."""
        return 1 if self.unit() < 0.94 else self.pick((2, 4, 8))


def _nearest(values: Sequence[int], near: float) -> int:
    """The value nearest to ``near`` by ratio; ``values`` ascend."""
    position = bisect.bisect_left(values, near)
    around = values[max(position - 1, 0) : position + 1]
    return min(around, key=lambda value: abs(math.log(value / max(near, 0.5))))


def draws(seed: int, stream: str) -> Iterator[Draw]:
    """Points of a scrambled Sobol sequence, without end; each ``stream`` of a seed has its own.

    References
    ----------
    Owen, "Scrambling Sobol' and Niederreiter-Xing points", Journal of Complexity 14, 1998, as in
    `scipy.stats.qmc.Sobol`.
    """
    from scipy.stats import qmc

    entropy = (seed, zlib.crc32(stream.encode()))
    engine = qmc.Sobol(_DIMENSIONS, scramble=True, rng=numpy.random.default_rng(entropy))
    index = 0
    exponent = 6
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # balance is only promised for whole powers of two
            block = engine.random_base2(exponent)
        if index == 0:
            _require_stratified(block)
        for point in block.tolist():
            yield Draw(point, (*entropy, index))
            index += 1
        exponent = max(exponent, index.bit_length() - 1)


def _require_stratified(block: numpy.typing.NDArray[numpy.float64]) -> None:
    """Refuse a first block that has not one point in each of as many equal slices of every axis.

    SciPy swallows a Ctrl-C that comes while it reads its table of direction numbers, and then draws from a
    table half empty: the plan would be another one, and the user's wish to stop would be lost.

    Raises
    ------
    KeyboardInterrupt
        In place of the swallowed one.
    """
    slices = numpy.sort(numpy.floor(block * len(block)), axis=0)
    if not (slices == numpy.arange(len(block))[:, None]).all():
        raise KeyboardInterrupt
