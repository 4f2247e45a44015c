"""Moves between kernels: which tensors a device brings elsewhere, learned from what it was seen to do.

Every tensor that one kernel makes and another one reads is an edge between two units; a network's input
comes from ``input``, and an output goes to ``output``. For each kind of move and each pair of units that it
was seen between, a tree says from the edge's features whether the tensor is moved. A tensor is moved once per
kind, before its first reader that asks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from annette.graph.mapping import Kernel
from annette.models.mapping_features import LAYER_FEATURES
from annette.models.mapping_sizes import alignment_of
from annette.models.mapping_walk import Site, Walk
from annette.models.rule_tree import Sample, Tree, Value, decide, fit_tree, leaf_of

__all__ = [
    "INPUT",
    "MOVED",
    "MOVE_FEATURES",
    "OUTPUT",
    "STAYS",
    "Edge",
    "MoveKey",
    "ObservedEdge",
    "all_edges",
    "edges_into",
    "edges_out",
    "fit_moves",
    "observe_edges",
    "plan_moves",
]

INPUT, OUTPUT = "input", "output"
"""Stand for the unit of who makes a network's input, and of who reads an output."""
MOVED, STAYS = "moved", "stays"

MoveKey = tuple[str, str, str]
"""What the move does, the unit that makes the tensor, and the unit that reads it."""

_MAX_SAMPLES = 2000
"""More observations under one key only cost time."""


@dataclass(slots=True, eq=False)
class Edge(Site):
    """A tensor on its way from ``kernel`` to ``layer``; where it leaves the network, the layer makes it."""

    tensor: str = ""
    """Name of the tensor, where its kernel (or the network's input) hands it out."""
    reader: int = -1
    """Number of the kernel that reads it; -1 where it leaves the network."""
    units: tuple[str, str] = ("", "")
    """The units that make and read it."""


Feature = Callable[[Edge], Value]


def edges_into(walk: Walk, reader: int) -> Iterator[Edge]:
    """The edges of all tensors that a kernel reads and others made, in order; constants have none."""
    inputs = frozenset(walk.view.network.inputs)
    unit = walk.unit(reader)
    for layer in walk.kernels[reader].layers:
        for place, operand in enumerate(walk.view.operands[layer]):
            for tensor in walk.origins(operand.tensor):
                maker = walk.view.producer_of.get(tensor, -1)
                kernel = -1 if maker < 0 else walk.kernel_of[maker]
                if kernel == reader or (maker < 0 and tensor not in inputs):
                    continue
                made_on = INPUT if maker < 0 else walk.unit(kernel)
                yield Edge(walk, layer, kernel, maker, place, tensor, reader, (made_on, unit))


def edges_out(walk: Walk) -> Iterator[Edge]:
    """The edges of all tensors that leave the network and that a kernel made."""
    for name in walk.view.network.outputs:
        for tensor in walk.origins(name):
            maker = walk.view.producer_of.get(tensor, -1)
            if maker >= 0:
                kernel = walk.kernel_of[maker]
                yield Edge(walk, maker, kernel, maker, -1, tensor, -1, (walk.unit(kernel), OUTPUT))


def all_edges(walk: Walk) -> list[Edge]:
    """Every edge of a walk, those of the first kernel first."""
    found = [edge for kernel in walk.order() for edge in edges_into(walk, kernel)]
    return [*found, *edges_out(walk)]


# Features ----------------------------------------------------------------------------------------


def _reader_operator(edge: Edge) -> frozenset[str]:
    walk = edge.walk
    return frozenset((walk.kernels[edge.reader].primary_op,)) if edge.reader >= 0 else frozenset()


def _reader_operators(edge: Edge) -> frozenset[str]:
    walk = edge.walk
    layers = walk.kernels[edge.reader].layers if edge.reader >= 0 else ()
    return frozenset(walk.view.op_types[number] for number in layers)


def _maker_operator(edge: Edge) -> frozenset[str]:
    return frozenset((edge.walk.view.op_types[edge.feeder] if edge.feeder >= 0 else "network input",))


def _maker_operators(edge: Edge) -> frozenset[str]:
    walk = edge.walk
    layers = walk.kernels[edge.kernel].layers if edge.kernel >= 0 else ()
    return frozenset(walk.view.op_types[number] for number in layers)


def _is_vanished_between(edge: Edge) -> float:
    operands = edge.operands
    return float(0 <= edge.operand < len(operands) and operands[edge.operand].tensor != edge.tensor)


def _shape(edge: Edge) -> tuple[int, ...]:
    return edge.walk.view.tensors[edge.tensor].shape


def _tensor_rank(edge: Edge) -> float:
    return float(len(_shape(edge)))


def _tensor_channels(edge: Edge) -> float:
    return float((_shape(edge)[1:2] or (1,))[0])


def _tensor_alignment(edge: Edge) -> float:
    return alignment_of(int(_tensor_channels(edge)))


def _tensor_elements(edge: Edge) -> float:
    return float(edge.walk.view.tensors[edge.tensor].size)


def _tensor_pixels(edge: Edge) -> float:
    pixels = 1
    for size in _shape(edge)[2:]:
        pixels *= size
    return float(pixels)


def _tensor_dtype(edge: Edge) -> frozenset[str]:
    return frozenset((edge.walk.view.tensors[edge.tensor].dtype,))


def _operand_place(edge: Edge) -> float:
    return float(edge.operand)


def _reader_size(name: str) -> Feature:
    def size(edge: Edge) -> float:
        if edge.reader < 0:
            return 0.0
        return float(getattr(edge.walk.view.geometry(edge.walk.kernels[edge.reader].primary), name))

    return size


MOVE_FEATURES: Mapping[str, Feature] = MappingProxyType(
    {
        "tensor_rank": _tensor_rank,
        "tensor_dtype": _tensor_dtype,
        "tensor_channels": _tensor_channels,
        "tensor_alignment": _tensor_alignment,
        "layer": LAYER_FEATURES["layer"],
        "reader": _reader_operator,
        "maker": _maker_operator,
        "operand_place": _operand_place,
        "family": LAYER_FEATURES["family"],
        "reader_content": _reader_operators,
        "maker_content": _maker_operators,
        "behind_vanished": _is_vanished_between,
        **{
            f"reader.{name}": _reader_size(name)
            for name in (
                "in_channels",
                "out_channels",
                "groups",
                "kernel_h",
                "kernel_w",
                "stride_h",
                "stride_w",
            )
        },
        **{name: feature for name, feature in LAYER_FEATURES.items() if name not in ("layer", "family")},
        "tensor_pixels": _tensor_pixels,
        "tensor_elements": _tensor_elements,
    }
)
"""What conditions of moves may look at by name, most telling first."""


# Learning ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ObservedEdge:
    """One edge of an observed mapping, and the moves that its tensor was seen to take."""

    edge: Edge
    moves: frozenset[str]
    group: str
    network: int
    """Number of the observation."""


@dataclass(slots=True)
class _Decisions:
    labels: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)


def observe_edges(walk: Walk, kernels: Sequence[Kernel], group: str, network: int) -> list[ObservedEdge]:
    """The edges of an observed mapping with the moves of their tensors.

    A move may name any tensor of the kernel that makes it: where no edge has that name, all edges from that
    kernel are meant.
    """
    edges = all_edges(walk)
    by_name: dict[str, list[Edge]] = {}
    by_kernel: dict[int, list[Edge]] = {}
    for edge in edges:
        by_name.setdefault(edge.tensor, []).append(edge)
        by_kernel.setdefault(edge.kernel, []).append(edge)
    moves: dict[str, set[str]] = {}
    for kernel in kernels:
        if kernel.tensor is None:
            continue
        for name in walk.origins(kernel.tensor):
            maker = walk.view.producer_of.get(name, -1)
            named = by_name.get(name)
            if named is None and maker >= 0:
                named = by_kernel.get(walk.kernel_of[maker])
            for edge in named or ():
                moves.setdefault(edge.tensor, set()).add(kernel.unit)
    return [ObservedEdge(edge, frozenset(moves.get(edge.tensor, ())), group, network) for edge in edges]


def fit_moves(observed: Sequence[ObservedEdge]) -> dict[MoveKey, Tree]:
    """The rules for moves by kind and units; none where no move was seen.

    That a tensor is moved does not tell for which of its readers. It is put down to those whose pair of units
    sees such moves most often; of the others nothing is learned from that tensor.
    """
    kinds = sorted({unit for item in observed for unit in item.moves})
    seen: Counter[tuple[str, str]] = Counter(item.edge.units for item in observed)
    moved: Counter[MoveKey] = Counter((kind, *item.edge.units) for item in observed for kind in item.moves)
    share = {key: count / seen[key[1:]] for key, count in moved.items()}
    most: dict[tuple[str, int, str], float] = {}
    for item in observed:
        for kind in item.moves:
            place = (kind, item.network, item.edge.tensor)
            most[place] = max(most.get(place, 0.0), share[kind, *item.edge.units])
    found: dict[MoveKey, _Decisions] = {}
    for item in observed:
        for kind in kinds:
            key = (kind, *item.edge.units)
            is_moved = kind in item.moves
            if key not in share or (is_moved and share[key] < most[kind, item.network, item.edge.tensor]):
                continue
            decisions = found.setdefault(key, _Decisions())
            decisions.labels.append(MOVED if is_moved else STAYS)
            decisions.groups.append(item.group)
            decisions.edges.append(item.edge)
    return {key: _fit(found[key]) for key in sorted(found) if MOVED in found[key].labels}


def _fit(item: _Decisions) -> Tree:
    if len(set(item.labels)) == 1:
        return leaf_of(item.labels)
    step = -(-len(item.labels) // _MAX_SAMPLES)
    samples: list[Sample] = [
        {name: feature(edge) for name, feature in MOVE_FEATURES.items()} for edge in item.edges[::step]
    ]
    return fit_tree(samples, item.labels[::step], item.groups[::step], features=tuple(MOVE_FEATURES))


# Predicting --------------------------------------------------------------------------------------


def plan_moves(rules: Mapping[MoveKey, Tree], walk: Walk) -> Iterator[tuple[int, Kernel]]:
    """The moves expected, each with the number of the kernel before which it happens; -1: at the end."""
    kinds: dict[tuple[str, str], list[tuple[str, Tree]]] = {}
    for (kind, maker, reader), tree in rules.items():
        kinds.setdefault((maker, reader), []).append((kind, tree))
    done: set[tuple[str, str]] = set()
    for edge in all_edges(walk):
        for kind, tree in kinds.get(edge.units, ()):
            if (kind, edge.tensor) in done:
                continue
            leaf = decide(tree, lambda name, edge=edge: MOVE_FEATURES[name](edge))  # type: ignore[misc]
            if leaf.label == MOVED:
                done.add((kind, edge.tensor))
                yield edge.reader, Kernel(tensor=edge.tensor, unit=kind)
