"""The distinct pieces of a space's populations, each built once: whoever counts or maps them asks here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network, Tensor
from annette.zoo.spaces.space import ABSENT, UNUSED, Pieces, SearchSpace

__all__ = ["BuiltPieces", "distinct_places", "distinct_values"]

Ints = NDArray[np.int64]
Item = TypeVar("Item")


class BuiltPieces(Generic[Item]):
    """The pieces of one space met so far, numbered, and what is kept of each; grows, and never forgets.

    A piece is its kind, its code and the shapes of what it reads. It does not keep the space alive: what is
    known of a space may be forgotten with it.
    """

    def __init__(self, space: SearchSpace, keep: Callable[[Network, int], Item]) -> None:
        """``keep`` says what is kept of a piece.

        It is given the piece as a network of its own, and how many of that network's inputs, from the first
        on, are ports; any other is an input that the piece declares.
        """
        self._space = ref(space)
        self._keep = keep
        self.items: list[Item] = []
        """What is kept of each piece, by number."""
        self.tensors: list[Tensor] = []
        """Distinct tensors that pieces hand on or declare, by number; names do not count."""
        self._tensor_numbers: dict[tuple[tuple[int, ...], str], int] = {}
        self._numbers: dict[tuple[str, int, tuple[int, ...]], int] = {}
        self._handed_on: list[int] = []
        self._handed_array: Ints = np.empty(0, dtype=np.int64)

    @property
    def handed_on(self) -> Ints:
        """Number of the tensor that each piece hands on, shape (n_pieces,)."""
        if len(self._handed_array) < len(self._handed_on):
            self._handed_array = np.array(self._handed_on, dtype=np.int64)
        return self._handed_array

    def number(self, kind: str, code: int, read: tuple[int, ...]) -> int:
        """The number of a piece that reads tensors with these numbers; built where it is new."""
        key = (kind, code, read)
        found = self._numbers.get(key)
        if found is None:
            network = self._build(kind, code, read)
            item = self._keep(network, len(read))
            found = self._numbers[key] = len(self.items)
            self.items.append(item)
            self._handed_on.append(self.tensor_number(network.tensors[network.outputs[0]]))
        return found

    def tensor_number(self, tensor: Tensor) -> int:
        """The number of a tensor's shape and dtype."""
        key = (tensor.shape, tensor.dtype)
        found = self._tensor_numbers.get(key)
        if found is None:
            found = self._tensor_numbers[key] = len(self.tensors)
            self.tensors.append(tensor)
        return found

    def at_position(self, kind: str, codes: Ints, read: list[Ints]) -> Ints:
        """The number of each network's piece at one position, shape (m,).

        Parameters
        ----------
        codes : ndarray of shape (m,)
            All of them present.
        read : list of ndarray of shape (m,)
            By port the numbers of the tensors that are read, or `UNUSED`.
        """
        first, inverse = distinct_places([codes, *read])
        numbers = []
        for at in first.tolist():
            inputs = tuple(number for number in (int(column[at]) for column in read) if number != UNUSED)
            numbers.append(self.number(kind, int(codes[at]), inputs))
        found: Ints = np.array(numbers, dtype=np.int64)[inverse]
        return found

    def numbers(self, pieces: Pieces) -> Ints:
        """The number of each piece of a population, shape (n_positions, n_networks); -1 where absent."""
        shape = (len(pieces.kinds), len(pieces.codes))
        found = np.full(shape, -1, dtype=np.int64)
        handed = np.full((shape[0] + 1, shape[1]), UNUSED, dtype=np.int64)  # the last: of ports without use
        for position, kind in enumerate(pieces.kinds):
            codes = pieces.codes[:, position]
            present = np.flatnonzero(codes != ABSENT)
            if len(present):
                read = [handed[source[present], present] for source in pieces.sources[:, position].T]
                numbers = self.at_position(kind, codes[present], read)
                found[position, present] = numbers
                handed[position, present] = self.handed_on[numbers]
        return found

    def _build(self, kind: str, code: int, read: tuple[int, ...]) -> Network:
        space = self._space()
        assert space is not None  # whoever asks about a space holds it
        build = NetworkBuilder(kind)
        ports = []
        for place, number in enumerate(read):
            tensor = self.tensors[number]
            ports.append(build.input(f"port {place}", tensor.shape, dtype=tensor.dtype))
        return build.finish(space.build_piece(build, kind, code, tuple(ports)))


def distinct_values(numbers: Ints) -> list[int]:
    """The distinct ones of numbers that lie close together, ascending.

    Examples
    --------
    >>> distinct_values(np.array([3, -1, 3]))
    [-1, 3]
    """
    if not numbers.size:
        return []
    low = int(numbers.min())
    found: list[int] = (np.flatnonzero(np.bincount(numbers.ravel() - low)) + low).tolist()
    return found


def distinct_places(keys: list[Ints]) -> tuple[Ints, Ints]:
    """Of rows of small numbers, given by columns: where each distinct one is first, and which each row is.

    Examples
    --------
    >>> first, places = distinct_places([np.array([3, 0, 3]), np.array([1, 1, 1])])
    >>> first.tolist(), places.tolist()
    ([1, 0], [1, 0, 1])
    """
    packed = np.zeros(len(keys[0]), dtype=np.int64)
    largest = 0
    for column in keys:
        low, high = int(column.min()), int(column.max())
        if low == high:
            continue
        span = high - low + 1
        if largest > (1 << 62) // span:
            packed = np.unique(packed, return_inverse=True)[1]
            largest = int(packed.max()) + 1
        packed = packed * span + (column - low) if largest else column - low
        largest = max(largest, 1) * span
    if not largest:
        return np.zeros(1, dtype=np.int64), packed
    if largest < 4 * len(packed) + 1024:  # counting is faster than sorting
        first = np.full(largest, -1, dtype=np.int64)
        first[packed[::-1]] = np.arange(len(packed) - 1, -1, -1)
        used = np.flatnonzero(first >= 0)
        place = np.empty(largest, dtype=np.int64)
        place[used] = np.arange(len(used))
        return first[used], place[packed]
    _, at, inverse = np.unique(packed, return_index=True, return_inverse=True)
    return at, inverse
