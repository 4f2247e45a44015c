"""Groups of executed nodes of OpenVINO on their way to kernels, and who reads whom."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from annette.backends.openvino_names import layer_of, tensor_of
from annette.backends.openvino_nodes import INPUT, OUTPUT, ExecutedNode, is_relayout
from annette.backends.ort_original import Original, is_idle
from annette.graph.network import Layer, Network

__all__ = ["NodeGroups"]

_MADE_OF_CONVERT = frozenset(
    {"Cast", "CastLike", "DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"}
)
"""Operators that the runtime takes apart into a conversion and more."""


class NodeGroups:
    """Nodes and the layers that they stand for; one by one they find their places in groups."""

    def __init__(self, network: Network, nodes: Sequence[ExecutedNode]) -> None:
        """``nodes`` in order of execution, from a model with names from `number_names`."""
        self.network = network
        self.nodes = {node.name: node for node in nodes}
        self.position = {node.name: position for position, node in enumerate(nodes)}
        self.number = {layer.name: number for number, layer in enumerate(network.layers)}
        self.readers: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in nodes:
            for source in dict.fromkeys(name for name, _ in node.inputs):
                self.readers[source].append(node.name)
        self.named = {node.name: self._layers_named(node) for node in nodes}
        self.moves = {node.name for node in nodes if self._is_move(node)}
        """Nodes that stand for no layer, and only change layout or precision."""
        shown = {layer.name for layers in self.named.values() for layer in layers}
        self.original = Original.of(network, shows=lambda layer: layer.name in shown)
        self.group_of: dict[str, int] = {}
        """Group of each node that has one."""
        self.members: dict[int, list[str]] = {}
        """Nodes of each group."""
        self.layers: dict[int, set[str]] = {}
        """Layers of each group."""
        self.place: dict[str, int] = {}
        """Group of each layer that has one."""
        self.vanished: set[str] = set()
        """Layers that no group computes."""

    def _layers_named(self, node: ExecutedNode) -> tuple[Layer, ...]:
        if node.kind in (INPUT, OUTPUT):
            return ()
        names = node.originals if node.kind == "Reorder" else (*node.originals, node.name)
        found = (layer_of(self.network, name) for name in names)
        return tuple({layer.name: layer for layer in found if layer is not None}.values())

    def _is_move(self, node: ExecutedNode) -> bool:
        if node.kind not in ("Reorder", "Convert") or self.named[node.name]:
            return False
        readers = [layer for name in self.readers[node.name] for layer in self.named[name]]
        return node.kind == "Reorder" or not any(layer.op_type in _MADE_OF_CONVERT for layer in readers)

    def is_idle(self, name: str) -> bool:
        """Whether the plug-in does not run that node, as it is a mere view of its input."""
        node = self.nodes[name]
        return node.is_idle and not (node.inputs and is_relayout(self.nodes[node.inputs[0][0]], node))

    def is_view(self, layer: Layer) -> bool:
        """Whether a layer moves no element."""
        return is_idle(self.network, layer)

    def in_order(self, layers: Iterable[str]) -> list[Layer]:
        """Layers by their names, in the network's order."""
        return [self.network.layers[number] for number in sorted(map(self.number.__getitem__, layers))]

    def new_group(self) -> int:
        """A group of nothing."""
        group = len(self.members)
        self.members[group], self.layers[group] = [], set()
        return group

    def own_group(self, name: str) -> int:
        """The group of that node; a new one if it has none."""
        if name not in self.group_of:
            self.add_node(name, self.new_group())
        return self.group_of[name]

    def add_node(self, name: str, group: int) -> None:
        """Give a node its group."""
        self.moves.discard(name)
        self.group_of[name] = group
        self.members[group].append(name)

    def add_layer(self, name: str, group: int) -> None:
        """Give a layer its group."""
        self.place[name] = group
        self.layers[group].add(name)

    def last_position(self, group: int) -> int:
        """Where the last node of a group stands in the order of execution: only then is the group done."""
        return max(self.position[name] for name in self.members[group])

    def sources(self, node: ExecutedNode) -> Iterable[tuple[ExecutedNode, int]]:
        """The nodes that a node reads, seen through moves, and the number of their output."""
        for name, port in node.inputs:
            source = self.nodes[name]
            if name in self.moves and source.inputs:
                yield from self.sources(source)
            else:
                yield source, port

    def source(self, node: ExecutedNode) -> ExecutedNode | None:
        """The first node that a node reads, seen through moves."""
        return next((source for source, _ in self.sources(node)), None)

    def reading_groups(self, name: str) -> set[int]:
        """Groups that read a node, seen through moves."""
        found: set[int] = set()
        waiting = list(self.readers[name])
        while waiting:
            reader = waiting.pop()
            if reader in self.moves:
                waiting.extend(self.readers[reader])
            elif reader in self.group_of:
                found.add(self.group_of[reader])
        return found

    def layer_readers(self, layer: Layer) -> set[int]:
        """Groups that read a layer's outputs, seen through layers that have no place."""
        found: set[int] = set()
        waiting, seen = [layer], {layer.name}
        while waiting:
            for tensor in filter(None, waiting.pop().outputs):
                for reader in self.network.consumers(tensor):
                    if reader.name in self.place:
                        found.add(self.place[reader.name])
                    elif reader.name not in seen:
                        seen.add(reader.name)
                        waiting.append(reader)
        return found

    def computing(self, tensors: Iterable[str], *, through: Container[str] = ()) -> set[str]:
        """The nearest layers with a place that compute these tensors, or inputs of the network.

        Layers ``through`` are looked through as if they had no place.
        """
        found: set[str] = set()
        waiting = [name for name in tensors if name]
        seen = set(waiting)
        while waiting:
            name = waiting.pop()
            producer = self.original.producer(name)
            if producer is None:
                found.update({name} & set(self.network.inputs))
            elif producer.name in self.place and producer.name not in through:
                found.add(producer.name)
            else:
                new = [item for item in producer.inputs if item and item not in seen]
                seen.update(new)
                waiting.extend(new)
        return found

    def common_source(self, groups: set[int]) -> int | None:
        """The one group that each of ``groups`` reads; ``None`` if there is none or there are several."""
        common: set[int] | None = None
        for group in groups:
            read = {
                self.group_of[source.name]
                for name in self.members[group]
                for source, _ in self.sources(self.nodes[name])
                if source.name in self.group_of
            }
            common = read if common is None else common & read
        left = (common or set()) - groups
        return next(iter(left)) if len(left) == 1 else None

    def moved_tensor(self, node: ExecutedNode) -> str:
        """The tensor of the network that a node reads which stands for no layer."""
        source, port = next(iter(self.sources(node)), (None, 0))
        if source is None or source.kind == INPUT:
            known = tensor_of(self.network, source.name) if source is not None else None
            return known or next(iter(self.network.inputs or self.network.tensors))
        layers = self.layers[self.group_of[source.name]] if source.name in self.group_of else set()
        if not layers:
            return self.moved_tensor(source)
        reading = self.reading_groups(node.name)
        for layer in reversed(self.in_order(layers)) if len(layers) > 1 else ():
            for tensor in filter(None, layer.outputs):
                if any(self.place.get(reader.name) in reading for reader in self.network.consumers(tensor)):
                    return tensor
        outputs = [name for name in self.in_order(layers)[-1].outputs if name]
        return outputs[min(port, len(outputs) - 1)]
