"""The graph that OpenVINO runs, traced back to the network: kernels, moves of tensors, vanished layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from annette.backends.openvino_names import layer_of, tensor_of
from annette.backends.openvino_nodes import (
    INPUT,
    MATRIX_KINDS,
    OUTPUT,
    ExecutedNode,
    kernel_unit,
    move_unit,
)
from annette.backends.ort_original import Original, is_idle
from annette.graph.mapping import Kernel
from annette.graph.network import Layer, Network

__all__ = ["ExecutedKernel", "read_kernels"]

MAC_OPERATORS = frozenset(
    {
        "Conv", "ConvTranspose", "Gemm", "MatMul", "ConvInteger", "MatMulInteger", "QLinearConv",
        "QLinearMatMul", "DeformConv",
    }
)  # fmt: skip
"""Operators that give a kernel its family whichever place they hold in it."""

_LEAST_S = 0.5e-6
"""Seconds of a kernel that runs, but never showed on a counter of whole microseconds."""
_REPEATED = frozenset({"Cast", "DequantizeLinear"})
"""Operators that a runtime repeats in each reader rather than keep their output."""
_DONE_BY_MOVES = frozenset({"Cast", "Transpose"})
"""Operators whose whole work a node that changes layout or precision can do."""
_MADE_OF_CONVERT = frozenset(
    {"Cast", "CastLike", "DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"}
)
"""Operators that the runtime takes apart into a conversion and more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedKernel:
    """A kernel, and what the counters say of it."""

    kernel: Kernel
    """Its layers and unit, or the tensor that it moves."""
    run_s: float
    """Seconds of a run: the sum over the nodes that it stands for."""


def read_kernels(
    network: Network, nodes: Sequence[ExecutedNode]
) -> tuple[tuple[ExecutedKernel, ...], tuple[str, ...]]:
    """Kernels in order of execution and names of the layers that vanish, from the nodes that ran.

    The runtime names a node after the last layers that it computes, and forgets some of those before: what
    no node names belongs to the node that computes its readers. A node that no layer gave its name is part of
    what a layer was taken apart into, and belongs to its reader, too, since the last part keeps the name.

    Parameters
    ----------
    network
        The network; the model that ran had its names from `number_names`.
    nodes
        In order of execution.
    """
    trace = _Trace(network, nodes)
    trace.name_groups()
    trace.place_unnamed_nodes()
    trace.place_unnamed_layers()
    trace.place_moves()
    return trace.kernels()


class _Trace:
    """Groups of nodes that become kernels, while layers and nodes find their place."""

    def __init__(self, network: Network, nodes: Sequence[ExecutedNode]) -> None:
        self.network = network
        self.nodes = {node.name: node for node in nodes}
        self.readers: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in nodes:
            for source, _ in node.inputs:
                if source in self.readers and node.name not in self.readers[source]:
                    self.readers[source].append(node.name)
        self.named = {node.name: self._layers_named(node) for node in nodes}
        self.moves = {node.name for node in nodes if self._is_move(node)}
        shown = {layer.name for layers in self.named.values() for layer in layers}
        self.original = Original.of(network, shows=lambda layer: layer.name in shown)
        self.number = {layer.name: number for number, layer in enumerate(network.layers)}
        self.group_of: dict[str, int] = {}  # of nodes
        self.members: dict[int, list[str]] = {}
        self.layers: dict[int, set[str]] = {}
        self.place: dict[str, int] = {}  # of layers
        self.vanished: set[str] = set()

    def _layers_named(self, node: ExecutedNode) -> tuple[Layer, ...]:
        if node.kind in (INPUT, OUTPUT):
            return ()
        found = (layer_of(self.network, name) for name in (*node.originals, node.name))
        if node.kind == "Reorder":  # its name is made of those of its neighbours
            found = (layer_of(self.network, name) for name in node.originals)
        return tuple({layer.name: layer for layer in found if layer is not None}.values())

    def _is_move(self, node: ExecutedNode) -> bool:
        if node.kind not in ("Reorder", "Convert") or self.named[node.name]:
            return False
        if node.kind == "Reorder":
            return True
        readers = [layer for name in self.readers[node.name] for layer in self.named[name]]
        return not any(layer.op_type in _MADE_OF_CONVERT for layer in readers)

    def name_groups(self) -> None:
        """One group for each node that layers gave their name, and one for all nodes of a layer."""
        for name, layers in self.named.items():
            for layer in layers:
                if layer.name in self.place and name in self.group_of:
                    self._merge(self.place[layer.name], self.group_of[name])
                elif layer.name in self.place:
                    self._add_node(name, self.place[layer.name])
                else:
                    if name not in self.group_of:
                        self._add_node(name, self._new_group())
                    self._add_layer(layer.name, self.group_of[name])
        for node in self.nodes.values():
            if node.kind == OUTPUT:
                self._name_by_output(node)

    def _name_by_output(self, node: ExecutedNode) -> None:
        layer = layer_of(self.network, node.name)
        if layer is None or layer.name in self.place or is_idle(self.network, layer):
            return
        source = self._source(node)
        if source is not None and source.kind != INPUT:
            if source.name not in self.group_of:
                self._add_node(source.name, self._new_group())
            self._add_layer(layer.name, self.group_of[source.name])

    def place_unnamed_nodes(self) -> None:
        """Each goes to the group that reads it; one that several read is a layer which all of those read."""
        for name in reversed(self.nodes):
            node = self.nodes[name]
            if name in self.group_of or name in self.moves or node.kind in (INPUT, OUTPUT):
                continue
            groups = self._reading_groups(name)
            layer = self._read_by_all(groups) if len(groups) > 1 else None
            if layer is not None:
                self._add_node(name, self._new_group())
                self._add_layer(layer.name, self.group_of[name])
            elif groups:
                self._add_node(name, self._earliest(groups))
            else:
                source = self._source(node)
                known = source is not None and source.name in self.group_of
                self._add_node(
                    name, self.group_of[source.name] if source is not None and known else self._new_group()
                )

    def place_unnamed_layers(self) -> None:
        """Each layer that no node names vanishes, or goes where its readers are computed."""
        for layer in reversed(self.network.layers):
            name = layer.name
            if name in self.place:
                continue
            if name in self.original.folded or name in self.original.twins or is_idle(self.network, layer):
                self.vanished.add(name)
                continue
            groups = self._layer_readers(layer)
            move = self._move_that_does(layer, groups)
            if move is not None:
                self.moves.discard(move)
                self._add_node(move, self._new_group())
                self._add_layer(name, self.group_of[move])
                continue
            group = self._best_group(layer, groups)
            if group is None:
                self.vanished.add(name)
            else:
                self._add_layer(name, group)

    def place_moves(self) -> None:
        """A move between nodes of one group is part of that group."""
        for name in reversed(self.nodes):
            if name in self.moves:
                source = self._source(self.nodes[name])
                groups = self._reading_groups(name)
                if source is not None and groups == {self.group_of.get(source.name)}:
                    self.moves.discard(name)
                    self._add_node(name, self.group_of[source.name])

    def kernels(self) -> tuple[tuple[ExecutedKernel, ...], tuple[str, ...]]:
        """What the groups and the moves left over are, in order of execution, and the layers that vanish."""
        found: list[ExecutedKernel] = []
        done: set[int] = set()
        for name, node in self.nodes.items():
            if name in self.moves:
                if not node.is_idle:
                    found.append(self._move_kernel(node))
            elif name in self.group_of and self.group_of[name] not in done:
                group = self.group_of[name]
                if all(self.nodes[member].is_idle for member in self.members[group]):
                    done.add(group)
                    self.vanished.update(self.layers[group])
                elif not node.is_idle:
                    done.add(group)
                    found.append(self._group_kernel(group))
        vanished = sorted(self.vanished, key=self.number.__getitem__)
        return tuple(found), tuple(vanished)

    def _group_kernel(self, group: int) -> ExecutedKernel:
        order = {name: position for position, name in enumerate(self.nodes)}
        members = [self.nodes[name] for name in sorted(self.members[group], key=order.__getitem__)]
        run_s = max(sum(node.run_s for node in members), _LEAST_S)
        layers = [
            self.network.layers[number] for number in sorted(map(self.number.__getitem__, self.layers[group]))
        ]
        working = [layer for layer in layers if not is_idle(self.network, layer)] or layers[-1:]
        if not layers:
            node = members[-1]
            tensor = self._moved_tensor(node)
            return ExecutedKernel(kernel=Kernel(tensor=tensor, unit="copy"), run_s=run_s)
        self.vanished.update({layer.name for layer in layers} - {layer.name for layer in working})
        primary = next((layer for layer in working if layer.op_type in MAC_OPERATORS), working[0])
        kernel = Kernel(
            layers=tuple(layer.name for layer in working),
            primary=primary.name,
            unit=kernel_unit(self._main_node(members, primary)),
        )
        return ExecutedKernel(kernel=kernel, run_s=run_s)

    def _main_node(self, members: Sequence[ExecutedNode], primary: Layer) -> ExecutedNode:
        """The node that computes the primary layer, as far as kinds and names tell; else the last."""
        running = [node for node in members if not node.is_idle]
        matrix = [node for node in running if node.kind in MATRIX_KINDS]
        if primary.op_type in MAC_OPERATORS and matrix:
            return matrix[0]
        return next((node for node in running if primary in self.named[node.name]), running[-1])

    def _move_kernel(self, node: ExecutedNode) -> ExecutedKernel:
        parent = self.nodes[node.inputs[0][0]] if node.inputs else node
        kernel = Kernel(tensor=self._moved_tensor(node), unit=move_unit(parent, node))
        return ExecutedKernel(kernel=kernel, run_s=max(node.run_s, _LEAST_S))

    def _moved_tensor(self, node: ExecutedNode) -> str:
        """The tensor of the network that a node of no layer reads."""
        source, port = self._source_port(node)
        if source is None or source.kind == INPUT:
            known = tensor_of(self.network, source.name) if source is not None else None
            return known or next(iter(self.network.inputs), next(iter(self.network.tensors)))
        layers = self.layers[self.group_of[source.name]] if source.name in self.group_of else set()
        if not layers:
            return self._moved_tensor(source) if source.inputs else next(iter(self.network.tensors))
        last = self.network.layer(max(layers, key=self.number.__getitem__))
        outputs = [name for name in last.outputs if name]
        if len(layers) > 1:
            reading = self._reading_groups(node.name)
            for name in sorted(layers, key=self.number.__getitem__, reverse=True):
                for tensor in filter(None, self.network.layer(name).outputs):
                    if any(
                        self.place.get(reader.name) in reading for reader in self.network.consumers(tensor)
                    ):
                        return tensor
        return outputs[min(port, len(outputs) - 1)]

    def _move_that_does(self, layer: Layer, groups: set[int]) -> str | None:
        """The move that does the whole work of a layer which no node names; ``None`` if there is none."""
        if layer.op_type not in _DONE_BY_MOVES or not layer.inputs:
            return None
        computed = self._computing(layer.inputs[0])
        for name in self.nodes:
            if name in self.moves and self._reading_groups(name) == groups:
                source = self._source(self.nodes[name])
                if source is None:
                    continue
                if source.kind == INPUT and tensor_of(self.network, source.name) in computed:
                    return name
                group = self.group_of.get(source.name)
                if group is not None and any(self.place.get(item) == group for item in computed):
                    return name
        return None

    def _computing(self, tensor: str) -> set[str]:
        """The nearest layers with a place above a tensor, or the network's input, seen through all others."""
        found: set[str] = set()
        waiting, seen = [tensor], {tensor}
        while waiting:
            name = waiting.pop()
            producer = self.original.producer(name)
            if producer is None:
                found.update({name} & set(self.network.inputs))
            elif producer.name in self.place:
                found.add(producer.name)
            else:
                new = [item for item in producer.inputs if item and item not in seen]
                seen.update(new)
                waiting.extend(new)
        return found

    def _best_group(self, layer: Layer, groups: set[int]) -> int | None:
        if len(groups) > 1 and layer.op_type not in _REPEATED:
            common = self._common_source(groups)
            above = {self.place.get(item) for name in layer.inputs if name for item in self._computing(name)}
            if common is not None and common in above:
                return common
        if groups:
            return self._earliest(groups)
        known = {
            self.place[item]
            for name in layer.inputs
            if name
            for item in self._computing(name)
            if item in self.place
        }
        return self._latest(known) if known else None

    def _common_source(self, groups: set[int]) -> int | None:
        """The one group that each of ``groups`` reads; ``None`` if there is none or there are several."""
        common: set[int] | None = None
        for group in groups:
            sources = {
                self.group_of[source.name]
                for name in self.members[group]
                for source in self._sources(self.nodes[name])
                if source.name in self.group_of
            }
            common = sources if common is None else common & sources
        common = (common or set()) - groups
        return next(iter(common)) if len(common) == 1 else None

    def _read_by_all(self, groups: set[int]) -> Layer | None:
        """The last layer without a place that just these groups read."""
        for layer in reversed(self.network.layers):
            is_open = layer.name not in self.place and layer.name not in self.original.folded
            if is_open and not is_idle(self.network, layer) and self._layer_readers(layer) == groups:
                return layer
        return None

    def _layer_readers(self, layer: Layer) -> set[int]:
        """Groups that read a layer's outputs, seen through layers that have no place."""
        found: set[int] = set()
        waiting, seen = [layer], {layer.name}
        while waiting:
            current = waiting.pop()
            for tensor in filter(None, current.outputs):
                for reader in self.network.consumers(tensor):
                    if reader.name in self.place:
                        found.add(self.place[reader.name])
                    elif reader.name not in seen:
                        seen.add(reader.name)
                        waiting.append(reader)
        return found

    def _reading_groups(self, name: str) -> set[int]:
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

    def _sources(self, node: ExecutedNode) -> Iterable[ExecutedNode]:
        """The nodes that a node reads, seen through moves."""
        for name, _ in node.inputs:
            source = self.nodes[name]
            if name in self.moves and source.inputs:
                yield from self._sources(source)
            else:
                yield source

    def _source(self, node: ExecutedNode) -> ExecutedNode | None:
        return next(iter(self._sources(node)), None)

    def _source_port(self, node: ExecutedNode) -> tuple[ExecutedNode | None, int]:
        while node.inputs:
            name, port = node.inputs[0]
            if name not in self.moves:
                return self.nodes[name], port
            node = self.nodes[name]
        return None, 0

    def _first_member(self, group: int) -> int:
        order = {name: position for position, name in enumerate(self.nodes)}
        return min(order[name] for name in self.members[group])

    def _earliest(self, groups: set[int]) -> int:
        return min(groups, key=self._first_member)

    def _latest(self, groups: set[int]) -> int:
        return max(groups, key=self._first_member)

    def _new_group(self) -> int:
        group = len(self.members)
        self.members[group], self.layers[group] = [], set()
        return group

    def _add_node(self, name: str, group: int) -> None:
        self.group_of[name] = group
        self.members[group].append(name)

    def _add_layer(self, name: str, group: int) -> None:
        self.place[name] = group
        self.layers[group].add(name)

    def _merge(self, kept: int, other: int) -> None:
        if kept == other:
            return
        for name in self.members[other]:
            self._add_node(name, kept)
        for name in self.layers[other]:
            self._add_layer(name, kept)
        self.members[other], self.layers[other] = [], set()
