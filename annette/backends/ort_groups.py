"""Forms kernels of executed nodes: helpers join the node they help, the others without layers are moves."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from annette.backends.ort_nodes import BLOCKED_DOMAIN, TraceNode
from annette.backends.ort_original import primary_layer
from annette.backends.ort_quantised import gather_quantisers
from annette.backends.ort_trace import Claims
from annette.errors import MeasurementError
from annette.graph.mapping import Kernel
from annette.graph.network import Layer

__all__ = ["TracedKernel", "form_kernels"]

_EIGHT_BITS = frozenset({"int8", "uint8"})
_SEARCHED = 200
"""Layers looked at in search of a transposition that was moved along the graph."""


@dataclass(frozen=True, slots=True)
class TracedKernel:
    """A kernel and the numbers of the executed nodes that do it, the main one first."""

    kernel: Kernel
    nodes: tuple[int, ...]


def form_kernels(claims: Claims) -> tuple[TracedKernel, ...]:
    """The kernels in order of execution: each node is in one of them."""
    groups = _Groups(claims)
    groups.settle()
    taken_in = gather_quantisers(claims)
    firsts = claims.original.first_twins()
    found = [
        _kernel(claims, *firsts, taken_in, leader, members) for leader, members in groups.members().items()
    ]
    return tuple(sorted(found, key=lambda item: item.nodes[0]))


class _Groups:
    """Nodes joined to leaders, until each node leads or follows."""

    def __init__(self, claims: Claims) -> None:
        self.claims = claims
        self.view = claims.view
        self.leader = {node.number: node.number for node in self.view.nodes}
        self.moved: dict[str, int] = {}

    def find(self, node: int) -> int:
        """The leader of the node's group."""
        while self.leader[node] != node:
            node = self.leader[node]
        return node

    def join(self, node: int, other: int) -> None:
        """Let the group of ``node`` follow that of ``other``."""
        self.leader[self.find(node)] = self.find(other)

    def members(self) -> dict[int, list[TraceNode]]:
        """The nodes of each group."""
        found: dict[int, list[TraceNode]] = {}
        for node in self.view.nodes:
            found.setdefault(self.find(node.number), []).append(node)
        return found

    def has_layers(self, node: TraceNode) -> bool:
        """Whether a node does layers of its own."""
        return node.number in self.claims.layers_of

    def settle(self) -> None:
        """Take the nodes without layers from the last to the first, so that readers are settled before."""
        for node in reversed(self.view.nodes):
            if not self.has_layers(node) and not node.is_reorder:
                self._settle_one(node)
        for node in reversed(self.view.nodes):
            if self._is_move(node) and _moved_tensor(self.claims, node) is None:
                self._settle_part(node)

    def _settle_one(self, node: TraceNode) -> None:
        readers = [item for name in node.writes for item in self.view.readers(name)]
        if not node.data and readers:  # made of constants alone: a weight, for whoever reads it first
            self.join(node.number, readers[0].number)
        elif self._changes_format(node):
            return
        elif node.key == "Transpose" and self._take_passed(node, self._transposition(node)):
            return  # one of those into which a transposition was moved
        elif node.is_view:
            self._settle_view(node)
        else:
            self._settle_helper(node)

    def _settle_view(self, node: TraceNode) -> None:
        """A change of shape, which costs nothing, goes with what it serves, be that a move."""
        readers, writers = self._neighbours(node)
        writer = self.view.producer.get(node.data[0])
        if len(readers) == 1 or (readers and not writers):
            self.join(node.number, readers[0])
        elif writers:
            self.join(node.number, writers[0])
        elif writer is not None and self.view.is_private(node.data[0]):
            self.join(node.number, writer.number)
        elif self.view.is_private(node.writes[0]) and self.view.readers(node.writes[0]):
            self.join(node.number, self.view.readers(node.writes[0])[0].number)

    def _settle_helper(self, node: TraceNode) -> None:
        readers, writers = self._neighbours(node)
        if len(readers) == 1:
            self.join(node.number, readers[0])
        elif node.key == "Transpose" or self._take_passed(node, self._passed_after(node)):
            return
        elif readers and all(self._is_of_views(reader) for reader in readers):
            for reader in readers:
                self.join(reader, node.number)
        elif (readers or writers) and not any(name in self.claims.aliases for name in node.data):
            self.join(node.number, (writers or readers)[0])

    def _settle_part(self, node: TraceNode) -> None:
        """A move of nothing that the network has happens within a layer: it goes with what reads it."""
        readers = [item.number for name in node.writes for item in self.view.readers(name)]
        writers = [self.view.producer[name].number for name in node.data if name in self.view.producer]
        for other in (*readers, *writers):
            if self.find(other) != node.number:
                self.join(node.number, other)
                return

    def _neighbours(self, node: TraceNode) -> tuple[list[int], list[int]]:
        """Groups that read the node's private results, and groups whose private results it reads.

        No readers are named if a result is one of the network's tensors, or of transpositions, which move.
        """
        readers: dict[int, None] = {}
        is_helper = node.key != "Transpose"
        for name in filter(None, node.writes):
            is_helper = is_helper and self.view.is_private(name)
            for reader in self.view.readers(name):
                is_helper = is_helper and not self._is_move(reader)
                readers[self.find(reader.number)] = None
        writers = {
            self.find(writer.number): None
            for name in node.data
            if self.view.is_private(name)
            and (writer := self.view.producer.get(name)) is not None
            and not self._is_move(writer)
        }
        return (list(readers) if is_helper else []), list(writers)

    def _is_move(self, node: TraceNode) -> bool:
        mover = node.is_reorder or self._changes_format(node) or node.key == "Transpose"
        return mover and not self.has_layers(node) and self.find(node.number) == node.number

    @staticmethod
    def _changes_format(node: TraceNode) -> bool:
        return not node.is_inlined and (node.key == "Cast" or node.is_quantiser)

    def _is_of_views(self, leader: int) -> bool:
        return all(node.is_view for node in self.view.nodes if self.find(node.number) == leader)

    # Layers that were moved along the graph ----------------------------------------------------------

    def _take_passed(self, node: TraceNode, layer: str | None) -> bool:
        if layer is None:
            return False
        if layer in self.moved:
            self.join(node.number, self.moved[layer])
        else:
            self.moved[layer] = node.number
            self.claims.claim(node.number, layer)
        return True

    def _transposition(self, node: TraceNode) -> str | None:
        """The nearest transposition without a node, before the tensor or behind it."""
        network, passed = self.view.network, self.claims.passed | self.moved.keys()
        for name in (*node.writes, *node.data):
            tensor = self.claims.alias(name)
            for before in (True, False) if tensor else ():
                for layer in self._around(tensor or "", before=before):
                    if layer.name in passed and network.layer(layer.name).op_type == "Transpose":
                        return layer.name
        return None

    def _around(self, tensor: str, *, before: bool) -> Iterable[Layer]:
        network, original = self.view.network, self.claims.original
        pending, seen = deque([tensor]), {tensor}
        while pending and len(seen) < _SEARCHED:
            current = pending.popleft()
            producer = original.producer(current)
            layers = ([producer] if producer else []) if before else list(network.consumers(current))
            for layer in layers:
                yield layer
                for name in filter(None, layer.inputs if before else layer.outputs):
                    if name not in seen:
                        seen.add(name)
                        pending.append(name)

    def _passed_after(self, node: TraceNode) -> str | None:
        """A transposition without a node right behind a tensor that the node reads."""
        for name in node.data:
            tensor = self.claims.alias(name)
            for layer in self.view.network.consumers(tensor) if tensor else ():
                if layer.name in self.claims.passed and layer.op_type == "Transpose":
                    return layer.name
        return None


def _kernel(
    claims: Claims,
    first_layers: Mapping[str, str],
    first_tensors: Mapping[str, str],
    taken_in: Container[str],
    leader: int,
    members: list[TraceNode],
) -> TracedKernel:
    names = {
        first_layers.get(name, name) for node in members for name in claims.layers_of.get(node.number, ())
    }
    main = claims.view.nodes[leader] if not names else min(members, key=lambda node: _rank(claims, node))
    order = (main.number, *(node.number for node in members if node is not main))
    if not names:
        return TracedKernel(_move(claims, first_tensors, main), order)
    layers = [layer for layer in claims.view.network.layers if layer.name in names]
    is_quantised = not main.is_quantiser and any(layer.name in taken_in for layer in layers)
    kernel = Kernel(
        layers=tuple(layer.name for layer in layers),
        primary=primary_layer(layers).name,
        unit="integer" if is_quantised else _unit(claims, members),
    )
    return TracedKernel(kernel, order)


def _rank(claims: Claims, node: TraceNode) -> tuple[bool, bool, bool, int]:
    """The main node of a kernel has the least: it works, and has layers of its own."""
    is_helper = node.is_mover or node.is_view or not node.data
    return is_helper, node.number not in claims.layers_of, node.is_view, node.number


def _unit(claims: Claims, members: list[TraceNode]) -> str:
    if any(node.is_integer for node in members):
        return "integer"
    blocked = claims.view.blocked
    if any(
        node.op_type != "ReorderOutput"
        and (node.domain == BLOCKED_DOMAIN or not blocked.isdisjoint(node.data))
        for node in members
    ):
        return "blocked"
    return "integer" if any(_moves_eight_bits(claims, node) for node in members) else "plain"


def _moves_eight_bits(claims: Claims, node: TraceNode) -> bool:
    """Whether a node reads and writes quantised tensors only."""
    tags, tensors = claims.view.tags, claims.view.network.tensors
    known = [tags.tensor(name) for name in (*node.data[:1], *filter(None, node.writes[:1]))]
    return len(known) == 2 and all(name and tensors[name].dtype in _EIGHT_BITS for name in known)


def _moved_tensor(claims: Claims, node: TraceNode) -> str | None:
    """The tensor of the network that a node without layers reads or computes."""
    names = (*node.data, *node.writes)
    return next((claims.aliases[name] for name in names if name in claims.aliases), None)


def _move(claims: Claims, first_tensors: Mapping[str, str], node: TraceNode) -> Kernel:
    tensor = _moved_tensor(claims, node)
    if tensor is None:
        raise MeasurementError(
            f"onnxruntime: executed node {claims.view.tags.readable(node.name)!r} ({node.op_type}) belongs "
            "to no layer of the network; please report the network"
        )
    if node.is_reorder:
        unit = "to_blocked" if node.op_type == "ReorderInput" else "to_plain"
    else:
        unit = "cast" if node.key == "Cast" or node.is_quantiser else "copy"
    return Kernel(tensor=first_tensors.get(tensor, tensor), unit=unit)
