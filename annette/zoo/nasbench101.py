"""NAS-Bench-101: its cells and the exact CIFAR network of each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.blocks import conv_bn

__all__ = [
    "CONV1X1",
    "CONV3X3",
    "INPUT",
    "MAXPOOL3X3",
    "MAX_EDGES",
    "MAX_VERTICES",
    "OPERATIONS",
    "OPERATION_CODES",
    "OUTPUT",
    "Matrix",
    "Nasbench101Cell",
    "nasbench101_network",
    "vertex_channels",
    "vertex_operation",
]

INPUT = "input"
OUTPUT = "output"
CONV3X3 = "conv3x3-bn-relu"
CONV1X1 = "conv1x1-bn-relu"
MAXPOOL3X3 = "maxpool3x3"

MAX_VERTICES = 7
MAX_EDGES = 9
OPERATIONS = (CONV1X1, CONV3X3, MAXPOOL3X3)
OPERATION_CODES = {INPUT: -1, OUTPUT: -2, CONV3X3: 0, CONV1X1: 1, MAXPOOL3X3: 2}
_MODULES_PER_STACK = 3
_STACKS = 3

Matrix = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Nasbench101Cell:
    """A cell: the adjacency matrix of a DAG and the operation at each vertex.

    Raises
    ------
    GraphError
        If the matrix is not square, upper triangular and of zeros and ones, has more than 7 vertices, or
        more than 9 edges without its dead vertices; if the operations do not fit it; or if no path leads from
        the input to the output.

    References
    ----------
    C. Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search", ICML 2019, section 3.

    Examples
    --------
    >>> cell = Nasbench101Cell(
    ...     matrix=((0, 1, 1), (0, 0, 0), (0, 0, 0)), ops=("input", "maxpool3x3", "output"))
    >>> cell.pruned.ops
    ('input', 'output')
    """

    matrix: Matrix
    """``matrix[i][j]`` is 1 where vertex i feeds vertex j; vertex 0 is the input, the last one the output."""
    ops: tuple[str, ...]
    """Operation at each vertex, in the same order."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", tuple(tuple(int(item) for item in row) for row in self.matrix))
        object.__setattr__(self, "ops", tuple(self.ops))
        self._check_matrix()
        self._check_ops()
        self._check_paths()

    def _check_matrix(self) -> None:
        size = len(self.matrix)
        if not 2 <= size <= MAX_VERTICES:
            raise GraphError(f"cell: {size} vertices, expected 2 to {MAX_VERTICES}")
        if any(len(row) != size for row in self.matrix):
            raise GraphError(
                f"cell: matrix rows of {[len(row) for row in self.matrix]}, expected {size} each"
            )
        if any(item not in (0, 1) for row in self.matrix for item in row):
            raise GraphError("cell: a matrix entry is neither 0 nor 1")
        if any(self.matrix[i][j] for i in range(size) for j in range(i + 1)):
            raise GraphError("cell: the matrix is not upper triangular; number vertices in topological order")

    def _check_paths(self) -> None:
        keep = _live_vertices(self.matrix)
        if not keep:
            raise GraphError("cell: no path leads from the input to the output, expected at least one")
        edges = _count_edges(_submatrix(self.matrix, keep))
        if edges > MAX_EDGES:
            raise GraphError(f"cell: {edges} edges without dead vertices, expected at most {MAX_EDGES}")

    def _check_ops(self) -> None:
        if len(self.ops) != len(self.matrix):
            raise GraphError(f"cell: {len(self.ops)} operations for {len(self.matrix)} vertices")
        if (self.ops[0], self.ops[-1]) != (INPUT, OUTPUT):
            raise GraphError(
                f"cell: first and last operation are {self.ops[0]!r} and {self.ops[-1]!r}, "
                f"expected {INPUT!r} and {OUTPUT!r}"
            )
        unknown = [item for item in self.ops[1:-1] if item not in OPERATIONS]
        if unknown:
            raise GraphError(f"cell: operation {unknown[0]!r}, expected one of {', '.join(OPERATIONS)}")

    @property
    def edges(self) -> int:
        """Number of edges, those of dead vertices included."""
        return _count_edges(self.matrix)

    @cached_property
    def pruned(self) -> Nasbench101Cell:
        """The cell without the vertices that lie on no path from the input to the output."""
        keep = _live_vertices(self.matrix)
        if len(keep) == len(self.ops):
            return self
        ops = tuple(self.ops[vertex] for vertex in keep)
        return Nasbench101Cell(matrix=_submatrix(self.matrix, keep), ops=ops)

    @cached_property
    def fingerprint(self) -> str:
        """MD5 that is equal for cells that differ only in dead vertices and the numbering of vertices.

        The iterated neighbourhood hash by which the data set defines its unique cells.

        References
        ----------
        C. Ying et al., "NAS-Bench-101", ICML 2019, section 3.1 and supplement S1.
        """
        cell = self.pruned
        size = range(len(cell.ops))
        out_degree = [sum(row) for row in cell.matrix]
        in_degree = [sum(row[vertex] for row in cell.matrix) for vertex in size]
        codes = [_md5(str((out_degree[v], in_degree[v], OPERATION_CODES[cell.ops[v]]))) for v in size]
        for _ in size:
            codes = [
                _md5(
                    "".join(sorted(codes[w] for w in size if cell.matrix[w][v]))
                    + "|"
                    + "".join(sorted(codes[w] for w in size if cell.matrix[v][w]))
                    + "|"
                    + codes[v]
                )
                for v in size
            ]
        return _md5(str(sorted(codes)))


def _live_vertices(matrix: Matrix) -> tuple[int, ...]:
    """The vertices on a path from the first to the last one; empty where there is no path."""
    size = len(matrix)
    from_input, to_output = {0}, {size - 1}
    for vertex in range(1, size):
        if any(matrix[other][vertex] for other in from_input):
            from_input.add(vertex)
    for vertex in range(size - 2, -1, -1):
        if any(matrix[vertex][other] for other in to_output):
            to_output.add(vertex)
    return tuple(sorted(from_input & to_output)) if 0 in to_output else ()


def _submatrix(matrix: Matrix, keep: tuple[int, ...]) -> Matrix:
    return tuple(tuple(matrix[i][j] for j in keep) for i in keep)


def _count_edges(matrix: Matrix) -> int:
    return sum(map(sum, matrix))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def vertex_channels(matrix: Matrix, in_channels: int, out_channels: int) -> tuple[int, ...]:
    """Output channels of each vertex of a pruned cell.

    Vertices that feed the output share its channels, the first ones taking the remainder; the others have
    the most channels of those that they feed.

    References
    ----------
    C. Ying et al., "NAS-Bench-101", ICML 2019, section 3.2.

    Examples
    --------
    >>> vertex_channels(((0, 1, 1, 0), (0, 0, 0, 1), (0, 0, 0, 1), (0, 0, 0, 0)), 8, 15)
    (8, 8, 7, 15)
    """
    last = len(matrix) - 1
    channels = [in_channels, *[0] * (last - 1), out_channels]
    direct = [vertex for vertex in range(1, last) if matrix[vertex][last]]
    for position, vertex in enumerate(direct):
        channels[vertex] = out_channels // len(direct) + (position < out_channels % len(direct))
    for vertex in range(last - 1, 0, -1):
        if vertex not in direct:
            channels[vertex] = max(channels[w] for w in range(vertex + 1, last) if matrix[vertex][w])
    return tuple(channels)


def nasbench101_network(
    cell: Nasbench101Cell,
    *,
    batch: int = 1,
    resolution: int = 32,
    channels: int = 128,
    classes: int = 10,
    name: str | None = None,
) -> Network:
    """The CIFAR network of a cell: a 3x3 stem, three stacks of three cells, global mean, dense layer.

    Before the second and the third stack a 2x2 max-pool halves the resolution and the channels double.

    Parameters
    ----------
    channels : int
        Output channels of the stem and the first stack; at least 6, so that no vertex is left without any.
    name : str or None
        Name of the network; by default ``nasbench101_`` and the start of the cell's fingerprint.

    Raises
    ------
    GraphError
        If a size is not positive or there are fewer than 6 channels.

    References
    ----------
    C. Ying et al., "NAS-Bench-101", ICML 2019, section 3 and figure 1.
    """
    if channels < MAX_VERTICES - 1:
        raise GraphError(f"nasbench101: {channels} channels, expected at least {MAX_VERTICES - 1}")
    cell = cell.pruned
    build = NetworkBuilder(name or f"nasbench101_{cell.fingerprint[:10]}")
    x = build.input("image", (batch, 3, resolution, resolution))
    x = conv_bn(build, x, channels, kernel=3)
    for stack in range(_STACKS):
        if stack:
            x = build.max_pool(x, kernel=2, stride=2, padding="same")
        for _ in range(_MODULES_PER_STACK):
            x = _module(build, x, cell, channels << stack)
    x = build.flatten(build.global_avg_pool(x))
    return build.finish(build.linear(x, classes))


def vertex_operation(build: NetworkBuilder, x: str, operation: str, channels: int) -> str:
    """The layers of a vertex's operation on the sum of what feeds it."""
    if operation == MAXPOOL3X3:
        return build.max_pool(x, kernel=3, stride=1, padding=1)
    return conv_bn(build, x, channels, kernel=3 if operation == CONV3X3 else 1)


def _module(build: NetworkBuilder, x: str, cell: Nasbench101Cell, out_channels: int) -> str:
    """One cell: interior edges are cut to size and added, edges from the input projected by a 1x1 conv."""
    matrix, last = cell.matrix, len(cell.ops) - 1
    channels = vertex_channels(matrix, build.channels(x), out_channels)
    values = [x]
    for vertex in range(1, last):
        inputs = [
            _truncate(build, values[source], channels[vertex])
            for source in range(1, vertex)
            if matrix[source][vertex]
        ]
        if matrix[0][vertex]:
            inputs.append(conv_bn(build, x, channels[vertex], kernel=1))
        values.append(vertex_operation(build, _sum(build, inputs), cell.ops[vertex], channels[vertex]))
    ends = [values[vertex] for vertex in range(1, last) if matrix[vertex][last]]
    parts = [ends[0] if len(ends) == 1 else build.concat(*ends)] if ends else []
    if matrix[0][last]:
        parts.append(conv_bn(build, x, out_channels, kernel=1))
    return _sum(build, parts)


def _truncate(build: NetworkBuilder, x: str, channels: int) -> str:
    return x if build.channels(x) == channels else build.slice(x, axis=1, start=0, end=channels)


def _sum(build: NetworkBuilder, inputs: list[str]) -> str:
    """The sum by a chain of ``Add``, as frameworks export it."""
    total = inputs[0]
    for item in inputs[1:]:
        total = build.add("Add", total, item)
    return total
