"""NAS-Bench-201: cells of four nodes and six edges, and the CIFAR and ImageNet16-120 networks of each.

Encodings are the operations of the edges 0->1, 0->2, 1->2, 0->3, 1->3, 2->3, numbered as in the benchmark.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.zoo.blocks import classify, conv_bn
from annette.zoo.parameters import nearest
from annette.zoo.spaces.notation import require_positive, space_name
from annette.zoo.spaces.space import ABSENT, UNUSED, Encoding, Encodings, Pieces, SearchSpace

__all__ = ["DATASETS", "EDGES", "OPERATIONS", "Nasbench201"]

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""In the order of the benchmark: an encoding's genes are positions in it."""
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Source and destination node of each gene's edge; node 0 is the cell's input, node 3 its output."""
DATASETS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"cifar10": (32, 10), "cifar100": (32, 100), "imagenet16-120": (16, 120)}
)
"""Resolution and classes."""

_NONE, _SKIP, _CONV1X1, _CONV3X3, _POOL = range(len(OPERATIONS))
_STEM_CHANNELS = 16
_STAGES = 3
_CELLS = 5
_LAST_NODE = 3
_NO_PATH_EDGE = 3
"""The edge 0->3, which stands in where no path leads through a cell."""
_CELL_INPUT = -2
"""Source within a cell that stands for the cell's input."""
_CELL_KINDS = ("edge", "edge", "edge", "add", "edge", "edge", "add", "edge", "add")
"""Pieces of a cell: the edges in their order, and the addition behind each that is not a node's first."""
_FORM = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
_MOST_DIGITS = 5
"""Of an index."""
_SHUFFLE_SEED = 88
"""The seed by which the benchmark put its architectures in order (its script asks not to change it)."""

_DEFAULTS: Mapping[str, object] = MappingProxyType({"dataset": "cifar10", "dead_code": False, "batch": 1})

Ints = NDArray[np.int64]


class Nasbench201(SearchSpace):
    """NAS-Bench-201 with the networks of one of its data sets.

    A network has a stem of 16 channels and three stages of five equal cells; between the stages a residual
    block halves the resolution and doubles the channels. Of a cell only what has a path from its input and
    to its output is built, as an exported network has it; a cell without any path hands on its input times
    zero, which is what the benchmark's ``none`` computes.

    Parameters
    ----------
    dataset : str
        ``cifar10``, ``cifar100`` or ``imagenet16-120``.
    dead_code : bool
        Build all six edges of each cell, ``none`` as a product with zero: what the benchmark's training code
        runs, and what its published MACs and parameters count.

    batch : int
        Images at a time.

    Raises
    ------
    UsageError
        If there is no such data set, or ``batch`` is not positive.

    References
    ----------
    X. Dong and Y. Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search",
    ICLR 2020, section 2; the skeleton's details are those of the authors' code (AutoDL-Projects).

    Examples
    --------
    >>> space = Nasbench201()
    >>> text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|"
    >>> space.parse(text)
    (3, 0, 1, 0, 0, 4)
    >>> len(space.network(space.parse(text)).layers)
    85
    """

    choices = (len(OPERATIONS),) * len(EDGES)

    def __init__(self, *, dataset: str = "cifar10", dead_code: bool = False, batch: int = 1) -> None:
        if dataset not in DATASETS:
            raise UsageError(
                f"nasbench201: no data set {dataset!r}{nearest(dataset, DATASETS)}; "
                f"there are {', '.join(DATASETS)}"
            )
        require_positive("nasbench201", batch=batch)
        self.dataset = dataset
        self.dead_code = dead_code
        self.batch = batch
        given = {"dataset": dataset, "dead_code": dead_code, "batch": batch}
        self.name = space_name("nasbench201", given, _DEFAULTS)

    # Notation ----------------------------------------------------------------------------------------

    def parse(self, text: str) -> Encoding:
        """The encoding of an architecture string of the benchmark, or of the index it has there.

        Raises
        ------
        UsageError
            If the text is neither.
        """
        text = text.strip()
        rank = _ranks().get(text)
        if rank is None:
            if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
                raise self._unknown(text)
            return tuple(self.at_indices([int(text)])[0].tolist())
        return tuple(_encodings()[rank].tolist())

    def parse_many(self, texts: Iterable[str]) -> Encodings:
        """The encodings of many architecture strings or indices, shape (n, 6).

        Raises
        ------
        UsageError
            If a text is neither.
        """
        texts = list(texts)
        try:
            ranks = list(map(_ranks().__getitem__, texts))
        except KeyError:
            return super().parse_many(texts)
        return _encodings()[np.array(ranks, dtype=np.int64)]

    def format(self, encoding: Sequence[int]) -> str:
        """The architecture string, exactly as the benchmark writes it."""
        return _text([OPERATIONS[gene] for gene in self._encoding(encoding)])

    def at_indices(self, indices: ArrayLike) -> Encodings:
        """The encodings of architectures by the benchmark's index, shape (n, 6).

        The benchmark's order is that of `enumerate`, shuffled by Python's generator with a fixed seed.

        Raises
        ------
        UsageError
            If an index is not from 0 to 15,624.

        Examples
        --------
        >>> space = Nasbench201()
        >>> space.format(space.at_indices([9])[0])
        '|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|'
        """
        array = np.atleast_1d(np.asarray(indices))
        if (array.dtype.kind not in "iu" and array.size) or array.ndim != 1:
            raise UsageError(f"{self.name}: indices of {array.dtype}, expected whole numbers in a row")
        wrong = (array < 0) | (array >= self.size)
        if wrong.any():
            raise UsageError(f"{self.name}: no architecture {array[wrong][0]}, expected 0 to {self.size - 1}")
        return _encodings()[_benchmark_order()[array.astype(np.int64)]]

    def indices(self, encodings: ArrayLike) -> Ints:
        """The index that each architecture has in the benchmark, shape (n,).

        Raises
        ------
        UsageError
            If a row is no architecture.
        """
        rows = self.check(encodings)
        ranks = np.ravel_multi_index(tuple(rows.T), self.choices)
        found: Ints = np.argsort(_benchmark_order())[ranks]
        return found

    def _unknown(self, text: str) -> UsageError:
        where = f"{self.name}: {text[:120]!r} is no architecture"
        for operation in re.findall(r"([^|+~]+)~\d", text):
            if operation not in OPERATIONS:
                hint = nearest(operation, OPERATIONS)
                return UsageError(
                    f"{where}: operation {operation!r}{hint}; there are {', '.join(OPERATIONS)}"
                )
        return UsageError(f"{where}, expected {_FORM} or an index from 0 to {self.size - 1}")

    # Same and alike ----------------------------------------------------------------------------------

    def canonical(self, encodings: Encodings) -> Encodings:
        """Dead edges are ``none``; all edges are kept where dead code is built."""
        return encodings if self.dead_code else np.where(_live_edges(encodings), encodings, _NONE)

    def fingerprint(self, encoding: Sequence[int]) -> str:
        """What the output of a cell computes, as text; 6,466 differ among the 15,625.

        That is the benchmark's own count: ``skip_connect`` is the value itself, ``none`` and what follows
        from it alone a zero, and the terms of a sum are sorted; but a zero remains a term of its sum, and a
        sum of zeros is not a zero, so that cells may differ by it which compute the same. A value that is
        used twice is not told from one that is computed twice.

        References
        ----------
        Dong and Yang, ICLR 2020, section 2.1 ("unique"); ``to_unique_str`` of the authors' code.
        """
        zero = "#"
        nodes = ["0"]
        terms: list[list[str]] = [[] for _ in range(_LAST_NODE + 1)]
        row = self._encoding(encoding)
        for node in range(1, _LAST_NODE + 1):
            for gene, (source, destination) in zip(row, EDGES, strict=True):
                if destination == node:
                    value = nodes[source]
                    if gene == _NONE or value == zero:
                        terms[node].append(zero)
                    else:
                        terms[node].append(value if gene == _SKIP else f"({value})@{OPERATIONS[gene]}")
            nodes.append("+".join(sorted(terms[node])))
        return nodes[-1]

    # Networks ----------------------------------------------------------------------------------------

    def pieces(self, encodings: Encodings) -> Pieces:
        """Stem, five cells, residual block, five cells, residual block, five cells, head.

        In a cell each edge is a piece, and each addition to the sum of a node is one.
        """
        count, size = len(encodings), len(_CELL_KINDS)
        stage_size = 1 + _CELLS * size
        # Positions come first in memory: they are written, and read, one after another.
        codes = np.zeros((_STAGES * stage_size + 1, count), dtype=np.int64)
        sources = np.full((len(codes), 2, count), UNUSED, dtype=np.int64)
        cell_codes, cell_sources, end = self._cell(encodings)
        is_input, is_used = cell_sources == _CELL_INPUT, cell_sources != UNUSED
        before = np.full(count, UNUSED, dtype=np.int64)
        for start in range(0, len(codes) - 1, stage_size):
            sources[start, 0] = before
            before = np.full(count, start, dtype=np.int64)
            for first in range(start + 1, start + stage_size, size):
                codes[first : first + size] = cell_codes
                inner = sources[first : first + size]
                np.add(cell_sources, first, out=inner, where=is_used)
                np.copyto(inner, before, where=is_input)
                before = end + first
        sources[-1, 0] = before
        cells = _CELL_KINDS * _CELLS
        kinds = ("stem", *cells, *("reduction", *cells) * (_STAGES - 1), "head")
        repeats = tuple((stage * stage_size + 1, size, _CELLS) for stage in range(_STAGES))
        return Pieces(kinds=kinds, codes=codes.T, sources=sources.transpose(2, 0, 1), repeats=repeats)

    def _cell(self, encodings: Encodings) -> tuple[Ints, Ints, Ints]:
        """Codes, shape (9, n), and sources, (9, 2, n), of a cell's pieces, and the last of them, (n,).

        Positions are counted within the cell.
        """
        count = len(encodings)
        if self.dead_code:
            present = np.ones(encodings.shape, dtype=bool)
        else:
            present = _live_edges(encodings)
            present[:, _NO_PATH_EDGE] |= ~present.any(axis=1)
        codes = np.full((len(_CELL_KINDS), count), ABSENT, dtype=np.int64)
        sources = np.full((len(_CELL_KINDS), 2, count), UNUSED, dtype=np.int64)
        nodes = [np.full(count, _CELL_INPUT if node == 0 else UNUSED) for node in range(_LAST_NODE + 1)]
        position = 0
        for edge, (source, destination) in enumerate(EDGES):
            here, so_far = present[:, edge], nodes[destination]
            codes[position] = np.where(here, encodings[:, edge], ABSENT)
            sources[position, 0] = np.where(here, nodes[source], UNUSED)
            nodes[destination] = np.where(here, position, so_far)
            if source > 0:
                both = here & (so_far != UNUSED)
                codes[position + 1] = np.where(both, 0, ABSENT)
                sources[position + 1] = np.where(both, (so_far, np.full(count, position)), UNUSED)
                nodes[destination] = np.where(both, position + 1, nodes[destination])
            position += 1 + (source > 0)
        return codes, sources, nodes[_LAST_NODE]

    def build_piece(self, build: NetworkBuilder, kind: str, code: int, inputs: tuple[str, ...]) -> str:
        """The layers of one piece."""
        resolution, classes = DATASETS[self.dataset]
        if kind == "stem":
            x = build.input("image", (self.batch, 3, resolution, resolution))
            return conv_bn(build, x, _STEM_CHANNELS, kernel=3, activation=None)
        if kind == "reduction":
            return _reduction(build, inputs[0])
        if kind == "head":
            return classify(build, build.relu(build.batch_norm(inputs[0])), classes)
        if kind == "add":
            return build.add("Add", *inputs)
        return _operation(build, inputs[0], code)


def _live_edges(encodings: Encodings) -> NDArray[np.bool_]:
    """Which edges are on a path of operations other than ``none`` from input to output, shape (n, 6)."""
    carries = encodings != _NONE
    e01, e02, e12, _, e13, e23 = carries.T
    reached = (True, e01, e02 | (e12 & e01))
    needed = (e13 | (e12 & e23), e23, True)
    live = [
        carries[:, edge] & reached[source] & needed[destination - 1]
        for edge, (source, destination) in enumerate(EDGES)
    ]
    return np.stack(live, axis=1)


def _operation(build: NetworkBuilder, x: str, code: int) -> str:
    if code == _NONE:
        return build.add("Mul", x, build.constant((), value=(0.0,)))
    if code == _SKIP:
        return x
    if code == _POOL:
        return build.avg_pool(x, kernel=3, stride=1, padding=1)
    kernel = 3 if code == _CONV3X3 else 1
    return conv_bn(build, build.relu(x), build.channels(x), kernel=kernel, activation=None)


def _reduction(build: NetworkBuilder, x: str) -> str:
    """The residual block between two stages: half the resolution, twice the channels."""
    channels = 2 * build.channels(x)
    y = conv_bn(build, build.relu(x), channels, kernel=3, stride=2, activation=None)
    y = conv_bn(build, build.relu(y), channels, kernel=3, activation=None)
    shortcut = build.conv(build.avg_pool(x, kernel=2, stride=2), channels, bias=False)
    return build.add("Add", shortcut, y)


def _text(operations: Sequence[str]) -> str:
    first, *others = [f"{name}~{source}|" for name, (source, _) in zip(operations, EDGES, strict=True)]
    return f"|{first}+|{''.join(others[:2])}+|{''.join(others[2:])}"


@cache
def _encodings() -> Encodings:
    """All encodings in the order of `enumerate`."""
    rows = np.indices(Nasbench201.choices, dtype=np.int64).reshape(len(EDGES), -1).T.copy()
    rows.setflags(write=False)
    return rows


@cache
def _ranks() -> Mapping[str, int]:
    """The position of each architecture string in the order of `enumerate`."""
    groups = [
        ["|" + "".join(items) for items in itertools.product(*columns)]
        for columns in (
            [[f"{name}~{source}|" for name in OPERATIONS] for source in range(node)]
            for node in range(1, _LAST_NODE + 1)
        )
    ]
    return {"+".join(items): rank for rank, items in enumerate(itertools.product(*groups))}


@cache
def _benchmark_order() -> Ints:
    """The rank in the order of `enumerate` of the architecture at each of the benchmark's indices."""
    ranks = list(range(len(_encodings())))
    random.Random(_SHUFFLE_SEED).shuffle(ranks)
    order = np.array(ranks, dtype=np.int64)
    order.setflags(write=False)
    return order
