"""Which tensor of the network each tensor of an optimised graph is, but for layout, shape or format."""

from __future__ import annotations

from annette.backends.ort_nodes import BLOCKED_DOMAIN, ExecutedGraphView, TraceNode
from annette.backends.ort_original import Original
from annette.graph.families import layer_family
from annette.graph.network import Layer

__all__ = ["find_aliases"]

_MOST_FUSED = 8
"""Layers that one fused activation may be spelled with."""
_BLOCKED_OPERATORS = {"Conv": {"Conv", "FusedConv"}, "Upsample": {"Resize", "Upsample"}}
_BLOCKED_SUFFIXES = {"_bn_nchwc": "BatchNormalization", "_mul_nchwc": "Mul"}
"""Layers that become blocked convolutions of one channel each, by the end of the node's name."""


def find_aliases(view: ExecutedGraphView, original: Original) -> dict[str, str]:
    """The network's tensor by the executed tensor, where it can be told.

    Names tell most; what has a private name is known from the layer that reads it, from the node that merely
    hands it on, or from the node that computes it.
    """
    aliases: dict[str, str] = {}
    for name in {item for node in view.nodes for item in (*node.reads, *node.writes) if item}:
        tensor = view.tags.tensor(name)
        if tensor is not None:
            aliases[name] = tensor
    standing: dict[int, list[Layer]] = {}
    for layer_name, owner in view.owners.items():
        standing.setdefault(owner.number, []).append(view.network.layer(layer_name))
    for node in reversed(view.nodes):
        _from_reader(view, original, node, standing.get(node.number, []), aliases)
    for node in view.nodes:
        _from_writer(view, original, node, standing.get(node.number, []), aliases)
    return aliases


def _from_reader(
    view: ExecutedGraphView,
    original: Original,
    node: TraceNode,
    standing: list[Layer],
    aliases: dict[str, str],
) -> None:
    """What a node reads is what its layer reads; what hands a tensor on reads that tensor."""
    layer = standing[0] if len(standing) == 1 else None
    if layer is not None:
        for name, tensor in zip(node.reads, layer.inputs, strict=False):
            if name and tensor and not view.network.tensors[tensor].is_constant:
                aliases.setdefault(name, tensor)
    elif standing or not node.reads or not node.reads[0]:
        return
    elif node.is_mover:
        if node.writes[0] in aliases:
            aliases.setdefault(node.reads[0], _before_move(view, node, aliases[node.writes[0]]))
    elif node.is_quantiser:
        done = view.network.producer(aliases.get(node.writes[0], ""))
        if done is not None and node.stands_for(done):
            aliases.setdefault(node.reads[0], done.inputs[0])
    elif node.domain == BLOCKED_DOMAIN and node.tensors:
        source = _source_of_blocked(view, original, node)
        if source is not None:
            aliases.setdefault(node.reads[0], source)


def _before_move(view: ExecutedGraphView, node: TraceNode, tensor: str) -> str:
    """What a node reads that hands on ``tensor``; a change to channels last may do a transposition, too."""
    layer = view.network.producer(tensor)
    if node.is_transposing and layer is not None and layer.op_type == "Transpose":
        return layer.inputs[0]
    return tensor


def _source_of_blocked(view: ExecutedGraphView, original: Original, node: TraceNode) -> str | None:
    """What the main layer of a blocked node reads; that layer is some way before the tensor of the name."""
    wanted = _BLOCKED_OPERATORS.get(node.op_type, {node.op_type})
    for suffix, op_type in _BLOCKED_SUFFIXES.items():
        if node.name.endswith(suffix):
            wanted = {op_type}
    layer = original.producer(node.tensors[0])
    for _ in range(_MOST_FUSED):
        if layer is None:
            return None
        data = [name for name in layer.inputs if name and name not in view.network.weights]
        if not data:
            return None
        if layer.op_type in wanted:
            before = view.network.producer(data[0])
            is_padded = before is not None and before.op_type == "Pad" and not view.shows(before)
            return before.inputs[0] if before is not None and is_padded else data[0]
        layer = original.producer(data[0])
    return None


def _from_writer(
    view: ExecutedGraphView,
    original: Original,
    node: TraceNode,
    standing: list[Layer],
    aliases: dict[str, str],
) -> None:
    missing = [(place, name) for place, name in enumerate(node.writes) if name and name not in aliases]
    for place, name in missing:
        found: str | None = None
        if node.domain == BLOCKED_DOMAIN and node.tensors:
            found = _after_fusion(view, original, node, aliases)
        elif view.tags.tensors_in(name):
            found = view.tags.tensors_in(name)[0]
        elif len(standing) == 1 and place < len(standing[0].outputs):
            found = standing[0].outputs[place]
        elif view.tags.layers_in(name) and node.data:
            found = view.network.layer(view.tags.layers_in(name)[0]).outputs[0]
        elif node.is_quantiser and not standing:
            found = _after_own_kind(original, node, aliases.get(node.reads[0]))
        elif node.is_mover and not standing and node.reads:
            found = aliases.get(node.reads[0])
        elif node.layers and node.data and len(node.writes) == 1 and node.layers[-1] not in view.owners:
            found = view.network.layer(node.layers[-1]).outputs[0]
        if found and node.is_integer and place == 0:
            found = _after_quantiser(view, original, found) or found
        if found:
            aliases[name] = found


def _after_own_kind(original: Original, node: TraceNode, tensor: str | None) -> str | None:
    """What a node without a name makes of a tensor: what the one layer of its kind does, or a mere move."""
    layers = [layer for layer in original.consumers(tensor) if node.stands_for(layer)] if tensor else []
    return layers[0].outputs[0] if len(layers) == 1 else tensor


# What a blocked convolution has taken in after it got its name -------------------------------------------


def _after_fusion(
    view: ExecutedGraphView, original: Original, node: TraceNode, aliases: dict[str, str]
) -> str:
    """The tensor that a blocked node computes: that of its name, plus a sum and an activation added later."""
    tensor = original.tensor(node.tensors[0])
    if len(node.reads) > 3 and node.reads[3]:
        other = aliases.get(node.reads[3])
        tensor = _after_sum(view, original, tensor, other) or tensor
    elif "activation" not in node.settings or _ends_in_activation(view, original, tensor, node, aliases):
        return tensor
    if "activation" in node.settings:
        tensor = _after_region(view, original, tensor) or tensor
    return tensor


def _ends_in_activation(
    view: ExecutedGraphView, original: Original, tensor: str, node: TraceNode, aliases: dict[str, str]
) -> bool:
    """Whether there is an activation between the node's inputs and the tensor."""
    stops = {original.tensor(aliases[name]) for name in node.data if name in aliases}
    pending, seen = [tensor], {tensor}
    while pending and len(seen) < 4 * _MOST_FUSED:
        current = pending.pop()
        layer = None if current in stops else original.producer(current)
        if layer is None:
            continue
        family = layer_family(view.network, layer)
        if family == "activation":
            return True
        if family.endswith("conv"):
            continue
        for name in layer.inputs:
            if name and original.tensor(name) not in seen:
                seen.add(original.tensor(name))
                pending.append(original.tensor(name))
    return False


def _after_quantiser(view: ExecutedGraphView, original: Original, tensor: str) -> str | None:
    """The quantised form of a tensor, if only hidden layers lie between."""
    for _ in range(_MOST_FUSED):
        readers = original.consumers(tensor)
        if len(readers) != 1 or view.shows(readers[0]):
            return None
        tensor = readers[0].outputs[0]
        if readers[0].op_type == "QuantizeLinear":
            return tensor
    return None


def _after_sum(view: ExecutedGraphView, original: Original, tensor: str, other: str | None) -> str | None:
    """What comes out of the sum of two tensors, if a layer adds them and no node stands for it."""
    sums = [
        layer
        for layer in original.consumers(tensor)
        if layer.op_type in ("Add", "Sum") and layer.name not in view.owners
    ]
    for layer in sums:
        if other is not None and original.tensor(other) in map(original.tensor, layer.inputs):
            return layer.outputs[0]
    return sums[0].outputs[0] if len(sums) == 1 else None


def _after_region(view: ExecutedGraphView, original: Original, tensor: str) -> str | None:
    """What comes out of the smallest group of hidden layers that all readers of the tensor belong to."""
    network = original.network
    group: dict[str, Layer] = {}
    pending = original.consumers(tensor)
    while pending:
        group.update((layer.name, layer) for layer in pending)
        if len(group) > _MOST_FUSED or any(layer.name in view.owners for layer in pending):
            return None
        ends = [
            name
            for layer in group.values()
            for name in filter(None, layer.outputs)
            if name in network.outputs or any(item.name not in group for item in original.consumers(name))
        ]
        if len(ends) == 1:
            return ends[0]
        pending = [item for name in ends for item in original.consumers(name) if item.name not in group]
    return None
