"""DARTS: networks of a normal and a reduction cell, each of four nodes with two operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, permutations

import numpy as np

from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.zoo.blocks import classify, conv_bn
from annette.zoo.spaces.notation import require_positive, space_name
from annette.zoo.spaces.space import UNUSED, Encoding, Encodings, Pieces, SearchSpace

__all__ = ["Darts"]

_OPERATIONS = (
    "max_pool_3x3", "avg_pool_3x3", "skip_connect",
    "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5",
)  # fmt: skip
_NODES = 4
_EDGES = 2 * _NODES
_PAIRS = tuple(tuple(combinations(range(node + 2), 2)) for node in range(_NODES))
"""The inputs that each node can have: two of the cell's own two inputs and the nodes before."""
_GENES_PER_NODE = 3
_CELL_CHOICES = tuple(
    values for pairs in _PAIRS for values in (len(pairs), len(_OPERATIONS), len(_OPERATIONS))
)
_CELL_GENES = len(_CELL_CHOICES)
_CELL_PIECES = 2 + _NODES + 1
"""Two preprocessings, the nodes, the concatenation."""
_NODE_CODES = (2, 2, len(_OPERATIONS), len(_OPERATIONS))
"""What a node's code packs: whether the first and the second operation have a stride, and which they are."""

_CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}
_DEFAULTS = {"dataset": "cifar10", "channels": 36, "layers": 20, "batch": 1}

_EDGE = r"\( '(\w+)' , ([0-9]) \)"
_CONCAT = r"(?:range \( 2 , 6 \)|\[ 2 , 3 , 4 , 5 \])"
_CELL = r"\[ " + " , ".join([_EDGE] * _EDGES) + r" \]"
_GENOTYPE = re.compile(
    rf" Genotype \( normal = {_CELL} , normal_concat = {_CONCAT} , "
    rf"reduce = {_CELL} , reduce_concat = {_CONCAT} \) ".replace(" ", r"\s*")
)

_Edge = tuple[int, int]
"""Input (0 and 1 are the cell's, 2 is the first node) and operation."""
_Node = tuple[_Edge, _Edge]


class Darts(SearchSpace):
    """Networks of stacked cells as DARTS evaluates them: two kinds of cell of four nodes.

    Each node of a cell adds what two of the operations make of two different inputs; a cell hands on all
    its nodes side by side. The genes are, for the four nodes of the normal cell and then of the reduction
    cell: which pair of inputs, in order of the pairs, the operation on the earlier one, and the operation on
    the later one. Operations are max_pool_3x3, avg_pool_3x3, skip_connect, sep_conv_3x3, sep_conv_5x5,
    dil_conv_3x3 and dil_conv_5x5, from 0.

    The notation is the genotype of DARTS's code,
    ``Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), reduce=[...],
    reduce_concat=range(2, 6))``, printed with the earlier input first. Cells that differ in the order of
    their nodes only have the same fingerprint.

    Parameters
    ----------
    dataset : str
        ``cifar10``, ``cifar100`` (32x32) or ``imagenet`` (224x224).
    channels : int
        Channels of the first cell's nodes, >= 1 and for ImageNet even; DARTS has 36 for CIFAR and 48 for
        ImageNet.
    layers : int
        Cells, >= 3; DARTS has 20 for CIFAR and 14 for ImageNet. Those at one and two thirds reduce.
    batch : int
        Images at once, >= 1.

    Raises
    ------
    UsageError
        If there is no such data set or a number is too small.

    References
    ----------
    Liu, Simonyan, Yang: DARTS: Differentiable Architecture Search, ICLR 2019, and its code (`NetworkCIFAR`
    and `NetworkImageNet` without the auxiliary head that only training needs).

    Examples
    --------
    >>> space = Darts(channels=8, layers=5)
    >>> space.parse(space.format([0] * 24)) == (0,) * 24
    True
    """

    def __init__(
        self, *, dataset: str = "cifar10", channels: int = 36, layers: int = 20, batch: int = 1
    ) -> None:
        if dataset not in _CLASSES:
            raise UsageError(f"darts: dataset={dataset}, expected one of {', '.join(_CLASSES)}")
        require_positive("darts", channels=channels, batch=batch)
        if dataset == "imagenet" and channels % 2:
            raise UsageError(f"darts: channels={channels}, expected an even number for imagenet")
        if layers < 3:
            raise UsageError(f"darts: layers={layers}, expected 3 or more: one normal, two to reduce")
        given = {"dataset": dataset, "channels": channels, "layers": layers, "batch": batch}
        self.name = space_name("darts", given, _DEFAULTS)
        self.choices = _CELL_CHOICES * 2
        self._dataset = dataset
        self._channels = channels
        self._layers = layers
        self._batch = batch

    # Networks ---------------------------------------------------------------------------------------

    def pieces(self, encodings: Encodings) -> Pieces:
        """Input, one stem or two, seven pieces a cell, head."""
        local, node_codes = _cells(encodings)
        is_imagenet = self._dataset == "imagenet"
        start = 3 if is_imagenet else 2
        count = start + _CELL_PIECES * self._layers + 1
        codes = np.zeros((len(encodings), count), dtype=np.int64)
        sources = np.full((len(encodings), count, _NODES), UNUSED, dtype=np.int64)
        sources[:, 1:start, 0] = np.arange(start - 1)
        kinds = ["input", "stem", "stem2"][:start]
        before, last = (1, 2) if is_imagenet else (1, 1)
        reduced, level = is_imagenet, 0
        reductions = (self._layers // 3, 2 * self._layers // 3)
        for layer in range(self._layers):
            first = start + _CELL_PIECES * layer
            reduces = layer in reductions
            level += reduces
            kinds += ["preprocess"] * 2 + ["node"] * _NODES + ["concat"]
            codes[:, first] = 2 * level + reduced
            codes[:, first + 1] = 2 * level
            sources[:, first, 0], sources[:, first + 1, 0] = before, last
            nodes = slice(first + 2, first + 2 + _NODES)
            codes[:, nodes] = node_codes[:, int(reduces)]
            sources[:, nodes, :2] = local[:, int(reduces)] + first
            sources[:, first + 2 + _NODES] = np.arange(first + 2, first + 2 + _NODES)
            before, last, reduced = last, first + 2 + _NODES, reduces
        sources[:, -1, 0] = last
        return Pieces(kinds=(*kinds, "head"), codes=codes, sources=sources)

    def build_piece(self, build: NetworkBuilder, kind: str, code: int, inputs: tuple[str, ...]) -> str:
        """The layers of one piece."""
        if kind == "input":
            size = 224 if self._dataset == "imagenet" else 32
            return build.input("image", (self._batch, 3, size, size))
        if kind == "concat":
            return build.concat(*inputs)
        if kind == "node":
            return _node(build, code, inputs)
        (x,) = inputs
        if kind == "preprocess":
            level, is_reduced = divmod(code, 2)
            channels = self._channels << level
            return _factorized_reduce(build, x, channels) if is_reduced else _relu_conv_bn(build, x, channels)
        if kind == "head":
            return classify(build, x, _CLASSES[self._dataset])
        if kind == "stem2":
            return conv_bn(build, build.relu(x), self._channels, kernel=3, stride=2, activation=None)
        return self._stem(build, x)

    def _stem(self, build: NetworkBuilder, x: str) -> str:
        if self._dataset != "imagenet":
            return conv_bn(build, x, 3 * self._channels, kernel=3, activation=None)
        x = conv_bn(build, x, max(self._channels // 2, 1), kernel=3, stride=2)
        return conv_bn(build, x, self._channels, kernel=3, stride=2, activation=None)

    # Notation ---------------------------------------------------------------------------------------

    def fingerprint(self, encoding: Sequence[int]) -> str:
        """The genotype with the nodes of each cell in that order that gives the smallest numbers."""
        genes = self._encoding(encoding)
        return self.format(_smallest_order(genes[:_CELL_GENES]) + _smallest_order(genes[_CELL_GENES:]))

    def parse(self, text: str) -> Encoding:
        """The encoding of a genotype.

        Raises
        ------
        UsageError
            If the text is no genotype of the space.
        """
        match = _GENOTYPE.fullmatch(text.replace('"', "'"))
        if match is None:
            raise UsageError(
                f"{self.name}: {text[:80]!r} is no architecture, expected Genotype(normal=[8 edges as "
                "('sep_conv_3x3', 0)], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))"
            )
        edges = [self._edge(*match.group(2 * at + 1, 2 * at + 2)) for at in range(2 * _EDGES)]
        cells = (edges[:_EDGES], edges[_EDGES:])
        genes = [
            gene for cell in cells for node in range(_NODES)
            for gene in self._node_genes(node, cell[2 * node], cell[2 * node + 1])
        ]  # fmt: skip
        return self._encoding(genes)

    def _edge(self, operation: str, source: str) -> _Edge:
        if operation not in _OPERATIONS:
            raise UsageError(
                f"{self.name}: operation {operation[:80]!r}, expected one of {', '.join(_OPERATIONS)}"
            )
        return int(source), _OPERATIONS.index(operation)

    def _node_genes(self, node: int, one: _Edge, other: _Edge) -> tuple[int, int, int]:
        (first, first_op), (second, second_op) = sorted((one, other))
        if (first, second) not in _PAIRS[node]:
            raise UsageError(
                f"{self.name}: node {node + 2} reads {one[0]} and {other[0]}, "
                f"expected two different ones of 0 to {node + 1}"
            )
        return _PAIRS[node].index((first, second)), first_op, second_op

    def format(self, encoding: Sequence[int]) -> str:
        """The encoding as DARTS prints a genotype."""
        genes = self._encoding(encoding)
        normal, reduce = (
            [(_OPERATIONS[operation], source) for node in _nodes(cell) for source, operation in node]
            for cell in (genes[:_CELL_GENES], genes[_CELL_GENES:])
        )
        return (
            f"Genotype(normal={normal}, normal_concat=range(2, 6), "
            f"reduce={reduce}, reduce_concat=range(2, 6))"
        )


# Cells as arrays ------------------------------------------------------------------------------------


def _cells(encodings: Encodings) -> tuple[Encodings, Encodings]:
    """Inputs and codes of the nodes of both cells: shapes (n, 2, 4, 2) and (n, 2, 4)."""
    genes = encodings.reshape(len(encodings), 2, _NODES, _GENES_PER_NODE)
    table = np.zeros((_NODES, len(_PAIRS[-1]), 2), dtype=np.int64)
    for node, pairs in enumerate(_PAIRS):
        table[node, : len(pairs)] = pairs
    local = table[np.arange(_NODES), genes[..., 0]]
    has_stride = (local < 2) & np.array([False, True])[:, None, None]
    parts = (has_stride[..., 0], has_stride[..., 1], genes[..., 1], genes[..., 2])
    return local, np.ravel_multi_index(parts, _NODE_CODES)


def _nodes(genes: Sequence[int]) -> tuple[_Node, ...]:
    """The two edges of each node of one cell, the earlier input first."""
    nodes = []
    for node in range(_NODES):
        pair, first, second = genes[_GENES_PER_NODE * node : _GENES_PER_NODE * (node + 1)]
        inputs = _PAIRS[node][pair]
        nodes.append(((inputs[0], first), (inputs[1], second)))
    return tuple(nodes)


def _smallest_order(genes: Sequence[int]) -> Encoding:
    """The smallest genes of one cell that any order of its nodes has."""
    nodes = _nodes(genes)
    candidates = []
    for order in permutations(range(_NODES)):
        place = {0: 0, 1: 1, **{node + 2: index + 2 for index, node in enumerate(order)}}
        moved = [sorted((place[source], operation) for source, operation in nodes[node]) for node in order]
        if all(edges[1][0] < index + 2 for index, edges in enumerate(moved)):
            candidates.append(
                tuple(
                    gene for index, ((first, one), (second, other)) in enumerate(moved)
                    for gene in (_PAIRS[index].index((first, second)), one, other)
                )
            )  # fmt: skip
    return min(candidates)


# Layers ---------------------------------------------------------------------------------------------


def _node(build: NetworkBuilder, code: int, inputs: tuple[str, ...]) -> str:
    first_stride, second_stride, first, second = map(int, np.unravel_index(code, _NODE_CODES))
    return build.add(
        "Add",
        _operation(build, inputs[0], _OPERATIONS[first], first_stride + 1),
        _operation(build, inputs[1], _OPERATIONS[second], second_stride + 1),
    )


def _operation(build: NetworkBuilder, x: str, operation: str, stride: int) -> str:
    if operation == "skip_connect":
        return x if stride == 1 else _factorized_reduce(build, x, build.channels(x))
    if operation == "max_pool_3x3":
        return build.max_pool(x, kernel=3, stride=stride, padding=1)
    if operation == "avg_pool_3x3":
        return build.avg_pool(x, kernel=3, stride=stride, padding=1)
    kernel = 5 if operation.endswith("5x5") else 3
    if operation.startswith("dil_conv"):
        return _separable(build, x, kernel, stride, dilation=2)
    return _separable(build, _separable(build, x, kernel, stride, dilation=1), kernel, 1, dilation=1)


def _separable(build: NetworkBuilder, x: str, kernel: int, stride: int, *, dilation: int) -> str:
    """ReLU, depthwise and 1x1 convolution, normalisation."""
    channels = build.channels(x)
    y = build.conv(
        build.relu(x), channels, kernel=kernel, stride=stride, padding=dilation * (kernel - 1) // 2,
        dilation=dilation, groups=channels, bias=False,
    )  # fmt: skip
    return conv_bn(build, y, channels, activation=None)


def _relu_conv_bn(build: NetworkBuilder, x: str, channels: int) -> str:
    return conv_bn(build, build.relu(x), channels, activation=None)


def _factorized_reduce(build: NetworkBuilder, x: str, channels: int) -> str:
    """ReLU, two 1x1 convolutions of stride 2, one a position further, side by side, normalisation."""
    y = build.relu(x)
    _, _, height, width = build.shape(y)
    bounds = (build.int_constant(item) for item in ((1, 1), (height, width), (2, 3)))
    shifted = build.add("Slice", y, *bounds)
    halves = (build.conv(item, channels // 2, stride=2, bias=False) for item in (y, shifted))
    return build.batch_norm(build.concat(*halves))
