"""Layers that cut one tensor into pieces, each by itself, and that a device may join into one kernel.

A runtime makes one Split of three slices. None of them computes an operand of another, so the walk that grows
kernels along the edges of the graph does not see them together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from annette.graph.mapping import Mapping
from annette.graph.network import Layer, Network
from annette.models.mapping_walk import GraphView, Walk

__all__ = ["learn_siblings", "unite_siblings"]


def learn_siblings(observations: Iterable[tuple[Network, Mapping]]) -> frozenset[str]:
    """The operators whose layers mostly become one kernel where together they take all of a tensor."""
    votes: Counter[str] = Counter()
    for network, mapping in observations:
        view = GraphView(network, frozenset())
        kernel_of = {name: number for number, item in enumerate(mapping.kernels) for name in item.layers}
        names = [layer.name for layer in view.layers]

        def vanished(number: int, names: list[str] = names, known: dict[str, int] = kernel_of) -> bool:
            return names[number] not in known

        for op_type, numbers in _siblings(view, vanished):
            n_kernels = len({kernel_of[names[number]] for number in numbers})
            votes[op_type] += 1 if n_kernels == 1 else -1
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
    """Layers of one operator and axis that read one tensor alone, and whose results are as large as it is."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    for number, layer in enumerate(view.layers):
        is_single = len(view.operands[number]) == 1 and len(list(filter(None, layer.outputs))) == 1
        if is_single and not vanished(number) and not _leaves_gaps(view, layer):
            source = _source(view, view.operands[number][0].tensor, vanished)
            key = (view.op_types[number], source, layer.int_attribute("axis", 0))
            groups.setdefault(key, []).append(number)
    for (op_type, source, _), numbers in groups.items():
        made = (name for number in numbers for name in view.layers[number].outputs if name)
        sizes = [view.tensors[name].size for name in made]
        if len(numbers) > 1 and sum(sizes) == view.tensors[source].size:
            yield op_type, numbers


def _leaves_gaps(view: GraphView, layer: Layer) -> bool:
    """Whether a slice takes every other element only, or may do so."""
    if layer.op_type != "Slice" or len(layer.inputs) < 5 or not layer.inputs[4]:
        return False
    steps = view.tensors[layer.inputs[4]].value
    return steps is None or any(step != 1 for step in steps)


def _source(view: GraphView, tensor: str, vanished: Callable[[int], bool]) -> str:
    """The tensor behind ``tensor`` when layers that vanish are looked through."""
    while True:
        producer = view.producer_of.get(tensor)
        if producer is None or not vanished(producer) or len(view.operands[producer]) != 1:
            return tensor
        tensor = view.operands[producer][0].tensor
