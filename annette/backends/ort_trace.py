"""Traces each executed node of an optimised graph back to the layers of the network that it does.

Anchors come first: nodes whose names speak of a layer, and tensors that kept their names. A node then does
the layers on the paths from the tensors it reads to those it computes, as far as no other node does them.

What remains is settled in `annette.backends.ort_groups`: nodes without a layer of their own, which are moves
of a tensor or helpers of another node, and layers without a node, which have vanished.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from annette.backends.ort_alias import find_aliases
from annette.backends.ort_nodes import ExecutedGraphView, TraceNode
from annette.backends.ort_original import Original, is_idle
from annette.graph.network import Layer

__all__ = ["Claims", "claim_layers"]

_ABSORB_ALL = frozenset({"Attention", "DecoderMaskedMultiHeadAttention", "GroupQueryAttention",
                         "MultiHeadAttention", "QAttention"})  # fmt: skip
_TRANSPOSE_SETTINGS = ("transA", "transB", "transBatchA", "transBatchB")


@dataclass(slots=True)
class Claims:
    """Which layers each node does, while the tracing goes on."""

    view: ExecutedGraphView
    original: Original
    aliases: dict[str, str]
    """The network's tensor by the executed tensor."""
    layers_of: dict[int, list[str]] = field(default_factory=dict)
    """Layers by the number of the node that does them; nodes that do none are missing."""
    node_of: dict[str, int] = field(default_factory=dict)
    """The node by its layer."""
    passed: set[str] = field(default_factory=set)
    """Layers on the way of a node that are no work of it: views, and transpositions moved elsewhere."""

    def claim(self, node: int, layer: str) -> None:
        """Note that the node does the layer."""
        self.layers_of.setdefault(node, []).append(layer)
        self.node_of[layer] = node
        self.passed.discard(layer)

    def alias(self, name: str) -> str | None:
        """The network's tensor that an executed tensor is, that of an equal layer for equal layers."""
        tensor = self.aliases.get(name)
        return None if tensor is None else self.original.tensor(tensor)


def claim_layers(view: ExecutedGraphView) -> Claims:
    """Give the layers on the paths from the inputs of each node to its outputs to that node."""
    original = Original.of(view.network, shows=view.shows)
    claims = Claims(view, original, find_aliases(view, original))
    for name, owner in (*view.owners.items(), *view.integer_owners.items()):
        if name not in claims.node_of and name not in original.folded and name not in original.twins:
            claims.claim(owner.number, name)
    for node in view.nodes:
        _claim_paths(claims, node)
    for node in view.nodes:
        if node.is_transposing:
            claims.passed.difference_update(_taken_in(claims, node))
    return claims


def _taken_in(claims: Claims, node: TraceNode) -> set[str]:
    """The transposition that a change of layout does, too."""
    read, written = claims.alias(node.reads[0]), claims.alias(node.writes[0])
    layers = claims.view.network.consumers(read) if read else ()
    if node.op_type == "ReorderOutput":
        producer = claims.original.producer(written) if written else None
        layers = (producer,) if producer else ()
    return {layer.name for layer in layers if layer.op_type == "Transpose"}


def _claim_paths(claims: Claims, node: TraceNode) -> None:
    if node.is_reorder:
        return
    original = claims.original
    stops = {claims.alias(name) for name in node.data}
    ends = [claims.alias(name) for name in node.writes if name]
    if node.number in claims.layers_of:
        for name in claims.layers_of[node.number]:
            ends += [original.tensor(item) for item in claims.view.network.layer(name).outputs if item]
    elif node.is_mover and not ends.count(None) and stops.issuperset(ends):
        return
    pending = [name for name in ends if name is not None]
    seen: set[str | None] = set(stops)
    passed: list[str] = []
    while pending:
        tensor = pending.pop()
        layer = None if tensor in seen else original.producer(tensor)
        seen.add(tensor)
        if layer is None or layer.name in original.folded:
            continue
        if claims.node_of.get(layer.name, node.number) != node.number:
            continue
        if layer.name not in claims.node_of:
            if _is_passed(claims, node, layer):
                passed.append(layer.name)
            else:
                claims.claim(node.number, layer.name)
        pending += [original.tensor(name) for name in layer.inputs if name]
    claims.passed.update(name for name in passed if name not in claims.node_of)


def _is_passed(claims: Claims, node: TraceNode, layer: Layer) -> bool:
    """Whether a layer on a node's way is not its work: a view, or a transposition that it cannot take in."""
    if is_idle(claims.view.network, layer):
        return True
    if layer.op_type != "Transpose" or node.op_type in _ABSORB_ALL or node.stands_for(layer):
        return False
    return not any(node.settings.get(name) for name in _TRANSPOSE_SETTINGS)
