"""NAS-Bench-101: cells of up to seven vertices and nine edges, and the CIFAR-10 network of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np

from annette.errors import GraphError, UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import classify, conv_bn
from annette.zoo.nasbench101 import (
    INPUT,
    MAX_VERTICES,
    OPERATIONS,
    Nasbench101Cell,
    vertex_operation,
)
from annette.zoo.nasbench101 import OUTPUT as OUTPUT_NAME
from annette.zoo.spaces.nasbench101_cells import (
    EDGES,
    INTERIOR,
    OUTPUT,
    Bools,
    edge_columns,
    is_cell,
    pack,
    unique_cells,
)
from annette.zoo.spaces.nasbench101_modules import MODULE_KINDS, MOST_ENDS, ModulePieces
from annette.zoo.spaces.notation import require_positive, space_name
from annette.zoo.spaces.space import UNUSED, Encoding, Encodings, Pieces, SearchSpace

__all__ = ["Nasbench101"]

_CHANNELS = 128
_CLASSES = 10
_RESOLUTION = 32
_STACKS = 3
_MODULES = 3


class Nasbench101(SearchSpace):
    """NAS-Bench-101 with its networks for CIFAR-10, exactly as `nasbench101_network` builds them.

    Every row whose cell has a path and at most nine edges, dead vertices not counted, is an architecture;
    many rows mean the same one of the 423,624 cells. `sample` and `enumerate` give each of these by one row.

    Parameters
    ----------
    batch : int
        Images at a time.

    Raises
    ------
    UsageError
        If ``batch`` is not positive.

    References
    ----------
    C. Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search", ICML 2019, section 3.

    Examples
    --------
    >>> space = Nasbench101()
    >>> encoding = space.parse("[[0,1,1],[0,0,1],[0,0,0]];input,conv3x3-bn-relu,output")
    >>> space.network(encoding).name
    'nasbench101_d32d0b26d5'
    """

    choices = (2,) * len(EDGES) + (len(OPERATIONS),) * len(INTERIOR)

    def __init__(self, *, batch: int = 1) -> None:
        require_positive("nasbench101", batch=batch)
        self.batch = batch
        self.name = space_name("nasbench101", {"batch": batch}, {"batch": 1})

    # Cells and notation ------------------------------------------------------------------------------

    def from_cell(self, cell: Nasbench101Cell) -> Encoding:
        """The row of a cell: its vertices in front, its output as vertex 6."""
        last = len(cell.ops) - 1
        place = [*range(last), OUTPUT]
        edges = {(place[i], place[j]) for i in range(last) for j in range(last + 1) if cell.matrix[i][j]}
        operations = [OPERATIONS.index(name) for name in cell.ops[1:-1]]
        padding = [0] * (len(INTERIOR) - len(operations))
        return tuple([int(edge in edges) for edge in EDGES] + operations + padding)

    def cell(self, encoding: Sequence[int]) -> Nasbench101Cell:
        """The cell of seven vertices that a row means; its ``pruned`` is without the dead ones.

        Raises
        ------
        UsageError
            If the row is no architecture.
        """
        row = self._encoding(encoding)
        edges = dict(zip(EDGES, row, strict=False))
        size = range(MAX_VERTICES)
        operations = [OPERATIONS[gene] for gene in row[len(EDGES) :]]
        return Nasbench101Cell(
            matrix=tuple(tuple(edges.get((i, j), 0) for j in size) for i in size),
            ops=(INPUT, *operations, OUTPUT_NAME),
        )

    def parse(self, text: str) -> Encoding:
        """The row of a cell given as adjacency matrix and operations, as the benchmark writes both.

        The matrix is a JSON list of rows, 2 to 7 of them; a semicolon; the operations with commas, input and
        output among them, with or without brackets and quotes.

        Raises
        ------
        UsageError
            If the text is no cell of the benchmark.
        """
        matrix_text, semicolon, operations_text = text.partition(";")
        try:
            matrix = json.loads(matrix_text)
        except (ValueError, RecursionError):
            matrix = None
        if not semicolon or not _is_matrix(matrix):
            raise UsageError(
                f"{self.name}: {text[:120]!r} is no cell, expected matrix and operations as in "
                "[[0,1,0],[0,0,1],[0,0,0]];input,conv3x3-bn-relu,output"
            )
        operations = [item.strip().strip("\"'") for item in operations_text.strip().strip("[]").split(",")]
        try:
            return self.from_cell(Nasbench101Cell(matrix=matrix, ops=tuple(operations)))
        except GraphError as error:
            raise UsageError(f"{self.name}: {error}") from error

    def format(self, encoding: Sequence[int]) -> str:
        """Matrix and operations of all seven vertices, as `parse` takes them."""
        cell = self.cell(encoding)
        return json.dumps(cell.matrix, separators=(",", ":")) + ";" + ",".join(cell.ops)

    def fingerprint(self, encoding: Sequence[int]) -> str:
        """The hash by which the benchmark tells its cells apart, `Nasbench101Cell.fingerprint`."""
        return self.cell(encoding).fingerprint

    # Which architectures -----------------------------------------------------------------------------

    def valid_mask(self, encodings: Encodings) -> Bools:
        """Which rows have a path from input to output and at most 9 edges without dead vertices."""
        return is_cell(encodings)

    def canonical(self, encodings: Encodings) -> Encodings:
        """Live vertices in front, in their order; dead ones without edges and with operation 0."""
        return pack(encodings)

    def sample(self, count: int, *, seed: int) -> Encodings:
        """Random cells, each of the 423,624 unique ones as likely, drawn independently: some may recur.

        A longer sample begins with every shorter one. `annette.zoo.nasbench101_sampling.sample_cells` draws
        without repetition, one by one.

        Raises
        ------
        UsageError
            If ``count`` or ``seed`` is no whole number >= 0.
        """
        self._check_draw(count, seed)
        cells = unique_cells()
        drawn = np.random.default_rng(seed).random(count) * len(cells)
        return cells[drawn.astype(np.int64)].astype(np.int64)

    def enumerate(self) -> Iterator[Encoding]:
        """Every unique cell once, small ones first."""
        return (tuple(row.tolist()) for row in unique_cells())

    # Networks ----------------------------------------------------------------------------------------

    def network(self, encoding: Sequence[int], *, name: str | None = None) -> Network:
        """The network of one row, by default named after its fingerprint as `nasbench101_network` does.

        Raises
        ------
        UsageError
            If the row is no architecture.
        """
        return super().network(encoding, name=name or f"nasbench101_{self.fingerprint(encoding)[:10]}")

    def pieces(self, encodings: Encodings) -> Pieces:
        """Stem, three modules, pool, three modules, pool, three modules, head; see `ModulePieces`."""
        count, size = len(encodings), len(MODULE_KINDS)
        stack_size = 1 + _MODULES * size
        # Positions come first in memory: they are written, and read, one after another.
        codes = np.zeros((_STACKS * stack_size + 1, count), dtype=np.int64)
        sources = np.full((len(codes), MOST_ENDS, count), UNUSED, dtype=np.int64)
        rows = pack(encodings)
        feeds, operations = edge_columns(rows), np.ascontiguousarray(rows[:, len(EDGES) :].T)
        before = np.full(count, UNUSED, dtype=np.int64)
        for stack in range(_STACKS):
            module = ModulePieces(feeds, operations, _CHANNELS << stack)
            start = stack * stack_size
            sources[start, 0] = before
            before = np.full(count, start, dtype=np.int64)
            for first in range(start + 1, start + stack_size, size):
                codes[first : first + size] = module.codes
                module.connect(sources[first : first + size], before, first)
                before = module.end + np.int64(first)
        sources[-1, 0] = before
        modules = MODULE_KINDS * _MODULES
        kinds = ("stem", *modules, *("pool", *modules) * (_STACKS - 1), "head")
        return Pieces(kinds=kinds, codes=codes.T, sources=sources.transpose(2, 0, 1))

    def build_piece(self, build: NetworkBuilder, kind: str, code: int, inputs: tuple[str, ...]) -> str:
        """The layers of one piece."""
        if kind == "stem":
            x = build.input("image", (self.batch, 3, _RESOLUTION, _RESOLUTION))
            return conv_bn(build, x, _CHANNELS, kernel=3)
        if kind == "pool":
            return build.max_pool(inputs[0], kernel=2, stride=2, padding="same")
        if kind == "head":
            return classify(build, inputs[0], _CLASSES)
        if kind == "cut":
            return build.slice(inputs[0], axis=1, start=0, end=code)
        if kind == "project":
            return conv_bn(build, inputs[0], code, kernel=1)
        if kind == "concat":
            return build.concat(*inputs)
        if kind == "add":
            return build.add("Add", *inputs)
        channels, operation = divmod(code, len(OPERATIONS))
        return vertex_operation(build, inputs[0], OPERATIONS[operation], channels)


def _is_matrix(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, list) and all(type(item) is int for item in row) for row in value
    )
