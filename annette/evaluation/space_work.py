"""Multiply-accumulates of whole populations of a search space, without building their networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.graph.work import network_work
from annette.zoo.spaces.built_pieces import BuiltPieces
from annette.zoo.spaces.space import SearchSpace

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
    built = BuiltPieces(space, lambda network, n_ports: network_work(network).macs)
    parts = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(rows), _CHUNK):
        numbers = built.numbers(space.pieces(rows[start : start + _CHUNK]))
        parts.append(np.array([*built.items, 0])[numbers].sum(axis=0))  # the last: of absent pieces
    return np.concatenate(parts)
