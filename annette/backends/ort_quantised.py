"""Where the quantisations go that no node of an optimised graph does for itself: the same place every time.

ONNX Runtime turns DequantizeLinear, operator and QuantizeLinear into one node that calculates with integers.
Which names that node keeps depends on the order of its optimisers, the network does not: what dequantises
goes with the layer that reads it, what quantises with the layer that it comes after.
"""

from __future__ import annotations

from collections.abc import Container

from annette.backends.ort_trace import Claims
from annette.graph.network import Layer

__all__ = ["gather_quantisers"]

_OPERATORS = ("QuantizeLinear", "DequantizeLinear")


def gather_quantisers(claims: Claims) -> frozenset[str]:
    """Give each quantisation that is taken in by a node to the node of the layer beside it.

    Returns
    -------
    frozenset of str
        The layers that are taken in: quantisations and their reverses for which no node runs, without those
        that the optimiser has computed and those for which an equal one stands.
    """
    hidden = _hidden_quantisers(claims)
    taken_in = [layer for layer in _quantisers(claims) if layer.name in hidden]
    homes = {layer.name: _home(claims, layer, hidden) for layer in taken_in}
    for name, node in homes.items():
        old = claims.node_of.get(name)
        if node is None or node == old:
            continue
        if old is not None:
            if hidden.issuperset(claims.layers_of[old]):
                continue  # whatever the node does, it does no other layer
            claims.layers_of[old].remove(name)
        claims.claim(node, name)
    return hidden


def _quantisers(claims: Claims) -> list[Layer]:
    return [layer for layer in claims.view.network.layers if layer.op_type in _OPERATORS]


def _hidden_quantisers(claims: Claims) -> frozenset[str]:
    executed: dict[int, str] = {}
    for layer in _quantisers(claims):
        number = claims.node_of.get(layer.name)
        if number is not None and claims.view.nodes[number].stands_for(layer):
            owner = claims.view.owners.get(executed.get(number, ""))
            if owner is None or owner.number != number:
                executed[number] = layer.name
    known = {*executed.values(), *claims.original.folded, *claims.original.twins}
    return frozenset(layer.name for layer in _quantisers(claims)) - known


def _home(claims: Claims, layer: Layer, hidden: Container[str]) -> int | None:
    """The node of the nearest layer that a node does: before what quantises, behind what dequantises."""
    pending, seen = [layer], {layer.name}
    while pending:
        current = pending.pop(0)
        for item in _beside(claims, current, is_before=layer.op_type == "QuantizeLinear"):
            if item.name in seen:
                continue
            seen.add(item.name)
            if item.name in claims.node_of and item.name not in hidden:
                return claims.node_of[item.name]
            pending.append(item)
    return None


def _beside(claims: Claims, layer: Layer, *, is_before: bool) -> list[Layer]:
    if is_before:
        producer = claims.original.producer(layer.inputs[0]) if layer.inputs else None
        return [] if producer is None else [producer]
    return claims.original.consumers(layer.outputs[0])
