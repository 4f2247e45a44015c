"""Repetitions of pieces that are mapped once: of equal cells in a row only the first, one more and the last.

In a row of equal repetitions, each of which reads the one before only, a repetition is mapped like the one
before it when what it reads was made alike: mapping rules look at the kernels that a layer reads from, at
its readers, and at nothing further away. So where the first two repetitions hand on what equal kernels made,
all between the first and the last are equal, and one stands for them. Networks where that does not hold are
mapped as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.contents import KernelContents
from annette.estimation.population.layers import PopulationLayers
from annette.zoo.spaces.built_pieces import distinct_values
from annette.zoo.spaces.space import UNUSED, Pieces

__all__ = ["Folded", "fold"]

Ints = NDArray[np.int64]

_KEPT = 3
"""Repetitions that stay: the first, one for those between, the last."""


@dataclass(frozen=True, slots=True)
class Folded:
    """Pieces without the repetitions that others stand for."""

    pieces: Pieces
    counts: Ints
    """How many pieces each position stands for, shape (n_positions,)."""
    links: tuple[tuple[int, int, int], ...]
    """Of what the last repetition of a row reads: the position in the first repetition, the same one in the
    second, and where the last begins."""

    def weights(self, layers: PopulationLayers, kernels: KernelContents) -> Ints:
        """How often each kernel is in its network, shape (n_kernels,)."""
        found: Ints = self.counts[layers.positions[layers.slot_of[kernels.kernel] - 1]]
        return found

    def unlike(self, layers: PopulationLayers, kernels: KernelContents) -> Ints:
        """The networks of which one repetition does not stand for others, ascending."""
        walk = kernels.walk
        content = np.zeros(walk.size, dtype=np.uint64)
        content[kernels.kernel] = kernels.content
        differs = np.zeros(layers.n_networks, dtype=bool)
        sources = self.pieces.sources
        for one, two, last in self.links:
            made = [layers.handed[position] for position in (one, two)]
            first, second = (walk.source[item] for item in made)
            alike = (content[walk.kernel[first]] == content[walk.kernel[second]]) & (
                walk.place[first] == walk.place[second]
            )
            known = (first >= 0) & (second >= 0)
            used = (sources[:, last : last + two - one] == two).any(axis=(1, 2))
            alike = (known & alike) | (made[0] == made[1])
            differs |= used & ~(alike & (layers.tensors[one] == layers.tensors[two]))
        return np.flatnonzero(differs)


def fold(pieces: Pieces) -> Folded | None:
    """The pieces with rows of equal repetitions folded; ``None`` where there is nothing to fold."""
    n_positions = len(pieces.kinds)
    counts, keep = np.ones(n_positions, dtype=np.int64), np.ones(n_positions, dtype=bool)
    stands = np.append(np.arange(n_positions), UNUSED)  # for each position, and for `UNUSED` behind them
    links: list[tuple[int, int, int]] = []
    lowest = _lowest_sources(pieces)
    for start, length, times in pieces.repeats:
        if times <= _KEPT or not _repeats(pieces, lowest, start, length, times):
            continue
        second, last = start + length, start + (times - 1) * length
        if not keep[start : last + length].all() or (counts[start : last + length] > 1).any():
            continue  # among repetitions that are folded already
        keep[second + length : last] = False
        counts[second : second + length] = times - 2
        stands[last - length : last] = stands[second : second + length]
        offsets = _handed_on(pieces, last, length)
        links += [(start + item, second + item, last) for item in offsets]
    if not links:
        return None
    kept = np.flatnonzero(keep)
    place = np.append(np.cumsum(keep) - 1, UNUSED)[stands]
    # Positions come first in memory, as most spaces write them: each is read by itself.
    codes, sources = pieces.codes.T[kept], place[pieces.sources.transpose(1, 2, 0)[kept]]
    folded = replace(
        pieces,
        kinds=tuple(pieces.kinds[position] for position in kept.tolist()),
        codes=codes.T,
        sources=sources.transpose(2, 0, 1),
        repeats=(),
    )
    new = place.tolist()
    return Folded(folded, counts[kept], tuple((new[one], new[two], new[last]) for one, two, last in links))


def _lowest_sources(pieces: Pieces) -> Ints:
    """The earliest position that the pieces at each read in any network, shape (n_positions,); else many."""
    sources = pieces.sources
    many = len(pieces.kinds)
    without_sign = sources.view(f"u{sources.itemsize}")  # `UNUSED` is the largest
    found: Ints = np.minimum(without_sign.min(axis=(0, 2), initial=many), many).astype(np.int64)
    return found


def _repeats(pieces: Pieces, lowest: Ints, start: int, length: int, times: int) -> bool:
    """Whether repetitions are equal, and each reads none but itself and the one before."""
    end, last = start + times * length, start + (times - 1) * length
    shape = (len(pieces.codes), times, length)
    codes = pieces.codes[:, start:end].reshape(shape)
    if not (codes[:, 1:] == codes[:, :1]).all():
        return False
    second = pieces.sources[:, start + length : start + 2 * length]
    used = second != UNUSED
    if (used & (second < start)).any():
        return False
    for number in range(2, times):
        own = pieces.sources[:, start + number * length : start + (number + 1) * length]
        if not (own == second + (number - 1) * length * used).all():
            return False
    if not (lowest[end:] < last).any():
        return True
    after = pieces.sources[:, end:]
    return not ((after >= start) & (after < last)).any()


def _handed_on(pieces: Pieces, last: int, length: int) -> list[int]:
    """Which pieces of a repetition the next one reads, counted from its first."""
    sources = pieces.sources[:, last : last + length]
    return distinct_values(sources[(sources >= last - length) & (sources < last)] - (last - length))
