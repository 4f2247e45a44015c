"""The pieces of one module of NAS-Bench-101 in many cells at once."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from annette.zoo.nasbench101 import MAXPOOL3X3, OPERATIONS
from annette.zoo.spaces.nasbench101_cells import INTERIOR, OUTPUT, Bools, Feeds
from annette.zoo.spaces.space import ABSENT, UNUSED

__all__ = ["MODULE_KINDS", "MOST_ENDS", "ModulePieces", "channel_arrays"]

Small = NDArray[np.int16]

MOST_ENDS = 4
"""Vertices that can feed the output: five would take ten edges."""


def _steps() -> tuple[tuple[str, int, int], ...]:
    """Kind of each piece, the vertex that it is for, and the vertex that it reads (0: the module's input)."""
    steps: list[tuple[str, int, int]] = []
    for vertex in INTERIOR:
        steps += [("cut", vertex, source) for source in range(1, vertex)]
        steps.append(("project", vertex, 0))
        steps += [("add", vertex, source) for source in (*range(2, vertex), 0) if vertex > 1]
        steps.append(("vertex", vertex, vertex))
    return (*steps, ("concat", OUTPUT, OUTPUT), ("project", OUTPUT, 0), ("add", OUTPUT, 0))


_STEPS = _steps()
_AT: Mapping[tuple[str, int, int], int] = MappingProxyType({step: at for at, step in enumerate(_STEPS)})
_PROJECTIONS = tuple(at for at, (kind, _, _) in enumerate(_STEPS) if kind == "project")
_VERTEX = {vertex: _AT["vertex", vertex, vertex] for vertex in INTERIOR}
_POOL = OPERATIONS.index(MAXPOOL3X3)
_ABSENT, _UNUSED, _ZERO = np.int16(ABSENT), np.int16(UNUSED), np.int16(0)

MODULE_KINDS = tuple(kind for kind, _, _ in _STEPS)
"""Kinds of the pieces of a module, in the order in which their layers execute."""


class ModulePieces:
    """The pieces of one module in many packed cells; positions are counted within the module.

    Single steps, so that many cells have the same few: ``cut`` (surplus channels of what another vertex hands
    on, the code says how many stay), ``project`` (the module's input, to as many channels as the code says),
    ``add``, ``vertex`` (code: channels times 3 plus operation; a pool's is its operation), ``concat``.

    Parameters
    ----------
    feeds : mapping
        Which cells have each edge.
    operations : ndarray of shape (5, n)
        Of the interior vertices.
    channels : int
        Output channels of the module.
    """

    def __init__(self, feeds: Feeds, operations: NDArray[np.int64], channels: int) -> None:
        count = operations.shape[1]
        self._feeds = feeds
        self._widths = channel_arrays(feeds, channels)
        self.codes: Small = np.full((len(_STEPS), count), _ABSENT)
        """Shape (n_positions, n)."""
        self._reads: Small = np.full((len(_STEPS), count), _UNUSED)
        """What the first port of each piece reads; projections read the module's input."""
        self._others: dict[tuple[int, int], Small] = {}
        """What further ports read, by position and port."""
        for vertex in INTERIOR:
            self._add_vertex(vertex, operations[vertex - 1].astype(np.int16))
        total = self._concat()
        at, is_edge = _AT["project", OUTPUT, 0], feeds[0, OUTPUT]
        self.codes[at] = np.where(is_edge, np.int16(channels), _ABSENT)
        self.end = self._add(OUTPUT, 0, is_edge, total, np.int16(at))
        """Position of the piece that gives the module's output, shape (n,)."""

    def connect(self, sources: NDArray[np.int64], before: NDArray[np.int64], first: int) -> None:
        """Write the sources, shape (n_positions, ports, n), of a module that starts at position ``first``.

        ``before`` is the position that gives the module's input, shape (n,).
        """
        sources[:, 0] = _shift(self._reads, first)
        for at in _PROJECTIONS:
            sources[at, 0] = np.where(self.codes[at] != ABSENT, before, UNUSED)
        for (at, port), reads in self._others.items():
            sources[at, port] = _shift(reads, first)

    def _add_vertex(self, vertex: int, operation: Small) -> None:
        """The pieces of one vertex: its inputs cut or projected, their sum, its operation."""
        width = self._widths[vertex]
        total: Small = np.full(len(width), _UNUSED)
        for source in range(1, vertex):
            is_edge = self._feeds[source, vertex]
            term = self._cut(vertex, source)
            first = source == 1
            total = (
                np.where(is_edge, term, _UNUSED) if first else self._add(vertex, source, is_edge, total, term)
            )
        is_edge, at = self._feeds[0, vertex], _AT["project", vertex, 0]
        self.codes[at] = np.where(is_edge, width, _ABSENT)
        projected = np.int16(at)
        if vertex == 1:
            total = np.where(is_edge, projected, _UNUSED)
        else:
            total = self._add(vertex, 0, is_edge, total, projected)
        code = np.where(operation == _POOL, operation, width * np.int16(len(OPERATIONS)) + operation)
        self.codes[_VERTEX[vertex]] = np.where(total != UNUSED, code, _ABSENT)
        self._reads[_VERTEX[vertex]] = total

    def _cut(self, vertex: int, source: int) -> Small:
        """What a vertex gets over an interior edge: the other's value, without its surplus channels."""
        width, at = self._widths[vertex], _AT["cut", vertex, source]
        is_cut = self._feeds[source, vertex] & (self._widths[source] != width)
        value = np.int16(_VERTEX[source])
        self.codes[at] = np.where(is_cut, width, _ABSENT)
        self._reads[at] = np.where(is_cut, value, _UNUSED)
        return np.where(is_cut, np.int16(at), value)

    def _add(self, vertex: int, source: int, is_edge: Bools, total: Small, term: Small | np.int16) -> Small:
        """The sum where there are both, the one that there is elsewhere."""
        at = _AT["add", vertex, source]
        both = is_edge & (total != UNUSED)
        self.codes[at] = np.where(both, _ZERO, _ABSENT)
        self._reads[at] = np.where(both, total, _UNUSED)
        self._others[at, 1] = np.where(both, term, _UNUSED)
        found: Small = np.where(both, np.int16(at), np.where(is_edge, term, total))
        return found

    def _concat(self) -> Small:
        """The vertices that feed the output, concatenated where they are several."""
        at = _AT["concat", OUTPUT, OUTPUT]
        ends: Small = np.zeros_like(self.codes[0])
        ports: Small = np.full((MOST_ENDS, len(ends)), _UNUSED)
        for vertex in INTERIOR:
            is_end = self._feeds[vertex, OUTPUT]
            for port in range(min(vertex, MOST_ENDS)):
                np.copyto(ports[port], np.int16(_VERTEX[vertex]), where=is_end & (ends == port))
            ends += is_end
        several = ends > 1
        self.codes[at] = np.where(several, _ZERO, _ABSENT)
        self._reads[at] = np.where(several, ports[0], _UNUSED)
        self._others.update({(at, port): ports[port] for port in range(1, MOST_ENDS)})
        return np.where(several, np.int16(at), ports[0])


def channel_arrays(feeds: Feeds, channels: int) -> dict[int, Small]:
    """Channels of each interior vertex of packed cells, shape (n,): the arrays of `vertex_channels`."""
    ends = np.zeros(len(feeds[0, OUTPUT]), dtype=np.int16)
    for vertex in INTERIOR:
        ends += feeds[vertex, OUTPUT]
    share, surplus = np.divmod(np.int16(channels), np.maximum(ends, np.int16(1)))
    widths: dict[int, Small] = {}
    place = np.zeros_like(ends)
    for vertex in INTERIOR:
        is_end = feeds[vertex, OUTPUT]
        widths[vertex] = np.where(is_end, share + (place < surplus), _ZERO)
        place += is_end
    for vertex in reversed(INTERIOR):
        largest = np.zeros_like(ends)
        for reader in range(vertex + 1, OUTPUT):
            largest = np.maximum(largest, np.where(feeds[vertex, reader], widths[reader], _ZERO))
        widths[vertex] = np.where(feeds[vertex, OUTPUT], widths[vertex], largest)
    return widths


def _shift(positions: Small, first: int) -> Small:
    return np.where(positions == UNUSED, _UNUSED, positions + np.int16(first))
