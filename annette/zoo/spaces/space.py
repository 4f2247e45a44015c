"""A search space: encodings of fixed length, and the pieces that the network of each is put together from.

An encoding is a row of small whole numbers, one a gene. A space says which *pieces* (a stem, a block, an edge
of a cell, a head) the network of each encoding consists of, for a whole population at once as arrays, and how
one piece is built. Everything else follows: the network of one encoding, and the columns of a million.

A space of one's own is a class of some thirty lines; `tests/zoo/spaces/example_space.py` is one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network

__all__ = [
    "ABSENT",
    "UNUSED",
    "Encoding",
    "Encodings",
    "Pieces",
    "SearchSpace",
    "chain_sources",
    "require_space",
]

Encoding = tuple[int, ...]
"""One architecture: the chosen value of each gene, from 0."""
Encodings = NDArray[np.int64]
"""Many of them, shape (n_architectures, n_genes)."""

ABSENT = -1
"""Code of a piece that an architecture does not have."""
UNUSED = -1
"""Source of a port that a piece does not use."""

_MAX_TRIES = 10_000
_CHUNK = 4096
_LARGEST_DRAW = 1 << 16
"""Rows that are drawn at once: a million need no memory beside themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """The networks of a population, put together from pieces.

    Each position holds one piece of every network, or none. A piece has one output. A piece may be no layer
    at all (a skip): its output is then what it reads.

    Raises
    ------
    UsageError
        If the parts do not fit each other.
    """

    kinds: tuple[str, ...]
    """What kind of piece stands at each position, in the order in which layers execute. Positions of one
    kind are built alike."""
    codes: NDArray[np.int64]
    """Shape (n_networks, n_positions): which piece of its kind, >= 0, or `ABSENT`. Together with the shapes
    of what it reads it says all about the piece."""
    sources: NDArray[np.int64]
    """Shape (n_networks, n_positions, n_ports): the earlier position whose output each port reads, or
    `UNUSED`; the ports in use come first. A piece without any reads nothing: it declares the network's input.
    The last piece that is present gives the network's output."""
    repeats: tuple[tuple[int, int, int], ...] = ()
    """Where pieces repeat in every network: (first position, positions, times). A hint: answers are the same
    without, but take longer."""

    def __post_init__(self) -> None:
        expected = (len(self.codes), len(self.kinds))
        if self.codes.shape != expected or self.sources.shape[:2] != expected or self.sources.ndim != 3:
            raise UsageError(
                f"pieces: codes of shape {self.codes.shape} and sources of {self.sources.shape}, expected "
                f"(networks, {len(self.kinds)}) and (networks, {len(self.kinds)}, ports)"
            )
        for name, array in (("codes", self.codes), ("sources", self.sources)):
            if array.dtype.kind != "i":
                raise UsageError(f"pieces: {name} of {array.dtype}, expected whole numbers with a sign")
            array.setflags(write=False)
        if not self.sources.size:
            return
        latest = self.sources.max(axis=(0, 2))
        late = np.flatnonzero(latest >= np.arange(len(self.kinds)))
        if len(late) or int(self.sources.min()) < UNUSED or int(self.codes.min()) < ABSENT:
            where = (
                f"position {late[0]} reads position {latest[late[0]]}" if len(late) else "a number below -1"
            )
            raise UsageError(f"pieces: {where}, expected earlier positions, or -1 for none")


def chain_sources(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sources of a chain: each piece reads the one before it that is present; the first reads nothing.

    Examples
    --------
    >>> chain_sources(np.array([[0, 5, ABSENT, 2]]))[0, :, 0].tolist()
    [-1, 0, 1, 1]
    """
    present = np.where(codes != ABSENT, np.arange(codes.shape[1]), -1)
    last = np.maximum.accumulate(present, axis=1)
    sources = np.full((*codes.shape, 1), UNUSED, dtype=np.int64)
    sources[:, 1:, 0] = last[:, :-1]
    return sources


class SearchSpace(ABC):
    """A set of architectures, each an encoding; the base of all spaces.

    A space gives `name`, `choices`, `pieces` and `build_piece`; where not every row of choices is an
    architecture `valid_mask`, where several rows mean the same network `canonical`, where it has a notation
    of its own `parse` and `format`, where architectures that differ may be isomorphic `fingerprint`.
    What a space says must not change while it lives: platforms remember their answers.
    """

    name: str
    """Short name, as in ``nasbench201``; with parameters where it has any, as `open_space` takes them."""
    choices: tuple[int, ...]
    """How many values each gene takes; its length is that of an encoding."""

    # What a space says -------------------------------------------------------------------------------

    @abstractmethod
    def pieces(self, encodings: Encodings) -> Pieces:
        """The networks of checked encodings as pieces; no loop over encodings.

        Rows that differ in genes without effect only (of blocks that a depth leaves out) give equal pieces.
        """

    @abstractmethod
    def build_piece(self, build: NetworkBuilder, kind: str, code: int, inputs: tuple[str, ...]) -> str:
        """Add the layers of one piece and give back the tensor that it hands on.

        The layers may depend on the kind, the code and the shapes of ``inputs``, and on nothing else.
        """

    def valid_mask(self, encodings: Encodings) -> NDArray[np.bool_]:
        """Which rows are architectures of the space, shape (n,); all unless a space says otherwise."""
        return np.ones(len(encodings), dtype=bool)

    def canonical(self, encodings: Encodings) -> Encodings:
        """Of all encodings of the same network one; the encodings themselves unless a space knows better."""
        return encodings

    def fingerprint(self, encoding: Sequence[int]) -> str:
        """Text that is equal for architectures that the space takes for the same one."""
        return self.format(tuple(self.canonical(self.check([encoding]))[0].tolist()))

    def parse(self, text: str) -> Encoding:
        """The encoding in the space's own notation; by default its numbers with commas.

        Raises
        ------
        UsageError
            If the text is no architecture of the space.
        """
        try:
            numbers = tuple(int(item) for item in text.split(","))
        except ValueError:
            raise UsageError(
                f"{self.name}: {text[:80]!r} is no architecture, "
                f"expected {len(self.choices)} numbers with commas"
            ) from None
        return self._encoding(numbers)

    def parse_many(self, texts: Iterable[str]) -> Encodings:
        """The encodings of many texts, shape (n, n_genes): `parse` of each, which a space may do faster.

        Raises
        ------
        UsageError
            If a text is no architecture of the space.
        """
        rows = [self.parse(text) for text in texts]
        return np.array(rows, dtype=np.int64).reshape(-1, len(self.choices))

    def format(self, encoding: Sequence[int]) -> str:
        """The encoding in the space's own notation: what `parse` takes."""
        return ",".join(map(str, self._encoding(encoding)))

    # What follows ------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Rows of choices: at least as many as there are architectures."""
        return math.prod(self.choices)

    def check(self, encodings: ArrayLike) -> Encodings:
        """The encodings as an array of whole numbers, shape (n, n_genes).

        Raises
        ------
        UsageError
            If they have another shape or a row is no architecture; the message names the first such row.
        """
        rows = self.check_choices(encodings)
        invalid = ~self.valid_mask(rows)
        if invalid.any():
            row = int(np.flatnonzero(invalid)[0])
            raise UsageError(
                f"{self.name}: encoding {row}, {rows[row].tolist()}, is no architecture of the space"
            )
        return rows

    def check_choices(self, encodings: ArrayLike) -> Encodings:
        """The same for rows of choices, whether or not they are architectures."""
        array = np.asarray(encodings)
        if array.shape in ((0,), (0, len(self.choices))):
            return np.empty((0, len(self.choices)), dtype=np.int64)
        if array.ndim != 2 or array.shape[1] != len(self.choices):
            raise UsageError(
                f"{self.name}: encodings of shape {array.shape}, expected (n, {len(self.choices)}); "
                "parse() makes an encoding of text"
            )
        if array.dtype.kind not in "iub":
            raise UsageError(f"{self.name}: encodings of {array.dtype}, expected whole numbers")
        rows = array.astype(np.int64, copy=False)
        bad = ~((rows >= 0) & (rows < np.array(self.choices))).all(axis=1)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            gene = int(np.flatnonzero((rows[row] < 0) | (rows[row] >= np.array(self.choices)))[0])
            raise UsageError(
                f"{self.name}: encoding {row} has {rows[row, gene]} for gene {gene}, "
                f"expected 0 to {self.choices[gene] - 1}"
            )
        return rows

    def _encoding(self, encoding: Sequence[int]) -> Encoding:
        return tuple(self.check([tuple(encoding)])[0].tolist())

    def network(self, encoding: Sequence[int], *, name: str | None = None) -> Network:
        """The network of one encoding, by default named after the space and its notation.

        Raises
        ------
        UsageError
            If the encoding is no architecture of the space.
        """
        rows = self.check([tuple(encoding)])
        pieces = self.checked_pieces(rows)
        build = NetworkBuilder(name or f"{self.name}:{self.format(rows[0].tolist())}")
        outputs: list[str] = []
        last = ""
        codes, sources = pieces.codes[0].tolist(), pieces.sources[0].tolist()
        for kind, code, ports in zip(pieces.kinds, codes, sources, strict=True):
            if code != ABSENT:
                inputs = tuple(outputs[source] for source in ports if source != UNUSED)
                last = self.build_piece(build, kind, code, inputs)
            outputs.append(last if code != ABSENT else "")
        return build.finish(last)

    def checked_pieces(self, encodings: Encodings) -> Pieces:
        """What `pieces` says of checked encodings.

        Raises
        ------
        UsageError
            If that is something else than the pieces of so many networks.
        """
        pieces = self.pieces(encodings)
        if not isinstance(pieces, Pieces) or len(pieces.codes) != len(encodings):
            found = f"{len(pieces.codes)} networks" if isinstance(pieces, Pieces) else type(pieces).__name__
            raise UsageError(
                f"{self.name}: pieces() gave {found}, expected Pieces of {len(encodings)} networks"
            )
        return pieces

    def sample(self, count: int, *, seed: int) -> Encodings:
        """Random architectures, each row of choices being as likely; duplicates may occur.

        A longer sample begins with every shorter one only if the space says so.

        Raises
        ------
        UsageError
            If ``count`` or ``seed`` is no whole number >= 0, or architectures are too rare among the rows to
            be found.
        """
        self._check_draw(count, seed)
        rng = np.random.default_rng(seed)
        found = np.empty((count, len(self.choices)), dtype=np.int64)
        known, tries = 0, 0
        while known < count:
            size = min(max(_CHUNK, count - known), _LARGEST_DRAW)
            rows = rng.integers(0, self.choices, size=(size, len(self.choices)))
            rows = rows[self.valid_mask(rows)][: count - known]
            found[known : known + len(rows)] = rows
            known += len(rows)
            tries = 0 if len(rows) else tries + 1
            if tries * _CHUNK > _MAX_TRIES * 100:
                raise UsageError(f"{self.name}: no architecture among {tries * _CHUNK} random rows")
        return found

    def _check_draw(self, count: int, seed: int) -> None:
        for name, value in (("count", count), ("seed", seed)):
            if not isinstance(value, Integral) or value < 0:
                raise UsageError(f"{self.name}: {name} {value!r}, expected a whole number, 0 or more")

    def enumerate(self) -> Iterator[Encoding]:
        """Every architecture once as a row of choices, in order of the rows."""
        for start in range(0, self.size, _CHUNK):
            ranks = np.arange(start, min(start + _CHUNK, self.size))
            rows = np.stack(np.unravel_index(ranks, self.choices), axis=1).astype(np.int64)
            yield from map(tuple, rows[self.valid_mask(rows)].tolist())

    def mutate(self, encoding: Sequence[int], *, rng: np.random.Generator, genes: int = 1) -> Encoding:
        """A valid neighbour: ``genes`` genes that have a choice drawn anew, each to another value.

        Raises
        ------
        UsageError
            If ``genes`` is not positive or more than can change, or no neighbour is found.
        """
        row = self._encoding(encoding)
        free = [gene for gene, values in enumerate(self.choices) if values > 1]
        if not 1 <= genes <= len(free):
            raise UsageError(f"{self.name}: {genes} genes to change, expected 1 to {len(free)}")
        for _ in range(_MAX_TRIES):
            changed = list(row)
            for gene in rng.choice(free, size=genes, replace=False).tolist():
                step = int(rng.integers(1, self.choices[gene]))
                changed[gene] = (changed[gene] + step) % self.choices[gene]
            if self.valid_mask(np.array([changed]))[0]:
                return tuple(changed)
        raise UsageError(f"{self.name}: no architecture found beside {self.format(row)}")

    def crossover(self, first: Sequence[int], second: Sequence[int], *, rng: np.random.Generator) -> Encoding:
        """A valid child: each gene from one of the parents; the first parent where no child is found."""
        parents = np.array([self._encoding(first), self._encoding(second)])
        for _ in range(100):
            child = parents[rng.integers(0, 2, size=len(self.choices)), np.arange(len(self.choices))]
            if self.valid_mask(child[None])[0]:
                return tuple(child.tolist())
        return tuple(parents[0].tolist())

    def neighbours(self, encoding: Sequence[int]) -> tuple[Encoding, ...]:
        """All architectures that differ in one gene, in order of the genes and their values."""
        row = self._encoding(encoding)
        rows = [
            (*row[:gene], value, *row[gene + 1 :])
            for gene, values in enumerate(self.choices)
            for value in range(values)
            if value != row[gene]
        ]
        if not rows:
            return ()
        mask = self.valid_mask(np.array(rows)).tolist()
        return tuple(item for item, valid in zip(rows, mask, strict=True) if valid)


def require_space(space: object) -> None:
    """Check that something is a search space.

    Raises
    ------
    UsageError
        If it is something else.
    """
    if not isinstance(space, SearchSpace):
        raise UsageError(
            f"space: found {type(space).__name__}, expected a SearchSpace; "
            "annette.zoo.spaces.registry.open_space opens one by its name"
        )
