"""Multiply-accumulates of whole populations of a search space, without building their networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Tensor
from annette.graph.work import network_work
from annette.zoo.spaces.space import ABSENT, UNUSED, Encodings, SearchSpace

__all__ = ["count_macs"]

_CHUNK = 4096


def count_macs(space: SearchSpace, encodings: ArrayLike) -> NDArray[np.int64]:
    """Multiply-accumulates of each architecture's network, shape (n,).

    Pieces are built once for each kind, code and shapes of what they read.

    Raises
    ------
    UsageError
        If a row is no architecture of the space.

    Examples
    --------
    >>> from annette.zoo.spaces.registry import open_space
    >>> space = open_space("nasbench201")
    >>> count_macs(space, [(3, 3, 3, 3, 3, 3), (0, 0, 0, 1, 0, 0)]).tolist()
    [220119680, 7783040]
    """
    rows = space.check(encodings)
    known = _KnownPieces(space)
    parts = [known.count(rows[start : start + _CHUNK]) for start in range(0, len(rows), _CHUNK)]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


class _KnownPieces:
    """What the pieces met so far cost, and the tensors that they hand on, by number."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._tensors: list[Tensor] = []
        self._tensor_numbers: dict[tuple[tuple[int, ...], str], int] = {}
        self._pieces: dict[tuple[str, int, tuple[int, ...]], tuple[int, int]] = {}

    def count(self, rows: Encodings) -> NDArray[np.int64]:
        """The multiply-accumulates of checked encodings."""
        pieces = self._space.pieces(rows)
        macs = np.zeros(len(rows), dtype=np.int64)
        handed = np.full((len(rows), len(pieces.kinds)), UNUSED, dtype=np.int64)
        for position, kind in enumerate(pieces.kinds):
            present = np.flatnonzero(pieces.codes[:, position] != ABSENT)
            sources = pieces.sources[present, position]
            read = np.where(sources == UNUSED, UNUSED, handed[present[:, None], sources])
            keys = np.column_stack([pieces.codes[present, position], read])
            distinct, inverse = np.unique(keys, axis=0, return_inverse=True)
            found = [self._piece(kind, code, inputs) for code, *inputs in distinct.tolist()]
            table = np.array(found, dtype=np.int64).reshape(-1, 2)[inverse.reshape(-1)]
            macs[present] += table[:, 0]
            handed[present, position] = table[:, 1]
        return macs

    def _piece(self, kind: str, code: int, inputs: list[int]) -> tuple[int, int]:
        """Multiply-accumulates of a piece that reads these tensors, and the number of what it hands on."""
        read = tuple(number for number in inputs if number != UNUSED)
        found = self._pieces.get((kind, code, read))
        if found is None:
            found = self._pieces[kind, code, read] = self._build(kind, code, read)
        return found

    def _build(self, kind: str, code: int, read: tuple[int, ...]) -> tuple[int, int]:
        build = NetworkBuilder(kind)
        ports = []
        for place, number in enumerate(read):
            tensor = self._tensors[number]
            ports.append(build.input(f"port {place}", tensor.shape, dtype=tensor.dtype))
        network = build.finish(self._space.build_piece(build, kind, code, tuple(ports)))
        tensor = network.tensors[network.outputs[0]]
        number = self._tensor_numbers.setdefault((tensor.shape, tensor.dtype), len(self._tensors))
        if number == len(self._tensors):
            self._tensors.append(tensor)
        return network_work(network).macs, number
