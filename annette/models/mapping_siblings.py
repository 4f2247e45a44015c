"""Layers that cut one tensor into pieces, each by itself, and that a device may join into one kernel.

A runtime makes one Split of three slices. None of them computes an operand of another, so the walk that grows
kernels along the edges of the graph does not see them together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from annette.graph.mapping import Mapping as LayerMapping
from annette.graph.network import Layer, Network
from annette.models.mapping_walk import GraphView, Walk

__all__ = ["learn_siblings", "unite_siblings"]


def learn_siblings(observations: Iterable[tuple[Network, LayerMapping]]) -> frozenset[str]:
    """The operators whose layers mostly become one kernel where together they take all of a tensor."""
    votes: Counter[str] = Counter()
    for network, mapping in observations:
        view = GraphView(network, frozenset())
        kernel_of = {name: number for number, item in enumerate(mapping.kernels) for name in item.layers}
        names = [layer.name for layer in view.layers]

        def vanished(number: int, names: list[str] = names, known: dict[str, int] = kernel_of) -> bool:
            return names[number] not in known

        for op_type, numbers in _siblings(view, vanished):
            found = {kernel_of[names[number]] for number in numbers}
            is_one = len(found) == 1 and len(mapping.kernels[found.pop()].layers) == len(numbers)
            votes[op_type] += 1 if is_one else -1
    return frozenset(op_type for op_type, balance in votes.items() if balance > 0)


def unite_siblings(walk: Walk, joining: frozenset[str]) -> None:
    """Make one kernel of siblings with these operators, where each is still a kernel by itself."""
    if not joining.intersection(walk.view.op_types):
        return
    groups = list(_siblings(walk.view, lambda number: walk.kernel_of[number] < 0))
    for op_type, numbers in groups:
        kernels = [walk.kernel_of[number] for number in numbers]
        if op_type in joining and all(len(walk.kernels[kernel].layers) == 1 for kernel in kernels):
            for other in kernels[1:]:
                walk.unite(kernels[0], other)


def _siblings(view: GraphView, vanished: Callable[[int], bool]) -> Iterator[tuple[str, list[int]]]:
    """Cuts of one tensor along one axis that together take all of it, none of it twice."""
    groups: dict[tuple[str, str, tuple[int, ...], int], list[tuple[range, int]]] = {}
    for number, op_type in enumerate(view.op_types):
        if op_type not in _CUTS or vanished(number) or len(view.operands[number]) != 1:
            continue
        cut = _CUTS[op_type](view, view.layers[number])
        if cut is not None:
            axis, taken = cut
            tensor = view.operands[number][0].tensor
            source = _source(view, tensor, vanished)
            key = (op_type, source, view.tensors[tensor].shape, axis)
            groups.setdefault(key, []).append((taken, number))
    for (op_type, _, shape, axis), cuts in groups.items():
        parts = sorted((part.start, part.stop) for part, _ in cuts)
        starts, stops = zip(*parts, strict=True)
        if len(cuts) > 1 and (0, *stops) == (*starts, shape[axis]):
            yield op_type, [number for _, number in cuts]


def _slice_cut(view: GraphView, layer: Layer) -> tuple[int, range] | None:
    """The axis of a slice and the positions that it takes; ``None`` unless these are known, and in a row."""
    values = [view.tensors[name].value if name else None for name in layer.inputs[1:]]
    shape = view.tensors[layer.inputs[0]].shape
    if len(values) < 3 or any(value is None or len(value) != 1 for value in values if value != ()):
        return None
    start, end, axis, *step = (int(value[0]) for value in values if value)
    if not -len(shape) <= axis < len(shape) or step not in ([], [1]):
        return None
    size = shape[axis]
    return axis % len(shape), range(*slice(start, end).indices(size))


def _gather_cut(view: GraphView, layer: Layer) -> tuple[int, range] | None:
    """The axis of a look-up of one position and that position; ``None`` unless it is known."""
    axis, shape = layer.attribute("axis", 0), view.tensors[layer.inputs[0]].shape
    index = view.tensors[layer.inputs[1]].value
    if not isinstance(axis, int) or not -len(shape) <= axis < len(shape) or index is None or len(index) != 1:
        return None
    position, size = int(index[0]), shape[axis]
    if not -size <= position < size:
        return None
    return axis % len(shape), range(position % size, position % size + 1)


_CUTS: Mapping[str, Callable[[GraphView, Layer], tuple[int, range] | None]] = MappingProxyType(
    {"Slice": _slice_cut, "Gather": _gather_cut}
)
"""What a cut takes of a tensor, by its operator."""


def _source(view: GraphView, tensor: str, vanished: Callable[[int], bool]) -> str:
    """The tensor behind ``tensor`` when layers that vanish are looked through."""
    while True:
        producer = view.producer_of.get(tensor)
        if producer is None or not vanished(producer) or len(view.operands[producer]) != 1:
            return tensor
        tensor = view.operands[producer][0].tensor
