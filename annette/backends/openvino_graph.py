"""The graph that OpenVINO runs, traced back to the network: kernels, moves of tensors, vanished layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from annette.backends.openvino_groups import NodeGroups
from annette.backends.openvino_names import layer_of, tensor_of
from annette.backends.openvino_nodes import (
    INPUT,
    MATRIX_KINDS,
    OUTPUT,
    VIEW_KINDS,
    ExecutedNode,
    kernel_unit,
    move_unit,
)
from annette.backends.ort_original import primary_layer
from annette.graph.families import layer_family
from annette.graph.mapping import Kernel
from annette.graph.network import Layer, Network
from annette.graph.operators import MAC_OPERATORS, operator_key

__all__ = ["ExecutedKernel", "read_kernels"]

_LEAST_S = 0.5e-6
"""Seconds of a kernel that runs, but never showed on a counter of whole microseconds."""
_REPEATED = frozenset({"Cast", "DequantizeLinear"})
"""Operators that a runtime repeats in each reader rather than keep their output."""
_DONE_BY_MOVES = frozenset({"Cast", "Transpose"})
"""Operators whose whole work a node that changes layout or precision can do."""
_MOVED_UP = frozenset({"activation", "elementwise", "quantize"})
"""Families that the runtime computes before a transposition or view that comes before them."""


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

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("one")
    >>> network = build.finish(build.relu(build.conv(build.input("x", (1, 8, 6, 6)), 8)))
    >>> kernels, _ = read_kernels(network, (
    ...     ExecutedNode(name="annette_tensor_0", kind="Input", layout="abcd"),
    ...     ExecutedNode(name="move", kind="Reorder", layout="acdb", inputs=(("annette_tensor_0", 0),),
    ...                  run_s=1e-6),
    ...     ExecutedNode(name="Convolution_7", kind="Convolution", layout="acdb", inputs=(("move", 0),),
    ...                  originals=("Convolution_7", "annette_layer_1"), run_s=1e-5),
    ... ))
    >>> [(item.kernel.name, item.kernel.unit) for item in kernels]
    [('x to_blocked', 'to_blocked'), ('conv_1+relu_1', 'blocked')]
    """
    groups = NodeGroups(network, nodes)
    _name_groups(groups)
    _place_unnamed_nodes(groups)
    _place_unnamed_layers(groups)
    _place_moves(groups)
    _place_what_runs_too_early(groups)
    return _kernels(groups)


def _name_groups(groups: NodeGroups) -> None:
    """One group for each node that layers gave their name; nodes that are parts of one layer share it."""
    moved_up: list[tuple[str, Layer]] = []
    for name, layers in groups.named.items():
        is_view = groups.nodes[name].kind in VIEW_KINDS
        up = [item for item in layers if is_view and layer_family(groups.network, item) in _MOVED_UP]
        moved_up.extend((name, layer) for layer in up)
        named = [layer.name for layer in layers if layer not in up]
        new = [item for item in named if item not in groups.place]
        for item in new:
            groups.add_layer(item, groups.own_group(name))
        if (
            named and not new
        ):  # another part of a layer; one that was repeated in several nodes is the first's
            groups.add_node(name, groups.place[named[0]])
    for name, layer in moved_up:
        _place_moved_up(groups, name, layer)
    for node in groups.nodes.values():
        if node.kind == OUTPUT:
            _name_by_output(groups, node)


def _place_moved_up(groups: NodeGroups, name: str, layer: Layer) -> None:
    """A layer that the runtime computes before a view has given the view its name; it belongs further up."""
    node: ExecutedNode | None = groups.nodes[name]
    while node is not None and node.kind in VIEW_KINDS:
        node = groups.source(node)
    if layer.name in groups.place:
        return
    if node is None or node.kind in (INPUT, OUTPUT):
        groups.add_layer(layer.name, groups.own_group(name))
        return
    groups.add_layer(layer.name, groups.own_group(node.name))
    above: Layer | None = layer
    while above is not None and name not in groups.group_of:
        above = groups.network.producer(above.inputs[0]) if above.inputs else None
        if above is None or above.name in groups.place:
            return
        if layer_family(groups.network, above) == "copy":
            groups.add_layer(above.name, groups.own_group(name))


def _name_by_output(groups: NodeGroups, node: ExecutedNode) -> None:
    """What computes an output of the network computes the layer of that output."""
    layer = layer_of(groups.network, node.name)
    source = groups.source(node)
    if layer is None or layer.name in groups.place or groups.is_view(layer):
        return
    if source is not None and source.kind != INPUT:
        groups.add_layer(layer.name, groups.own_group(source.name))


def _place_unnamed_nodes(groups: NodeGroups) -> None:
    """Each goes to the group that reads it; one that several read is a layer which all of those read."""
    for name in reversed(groups.nodes):
        node = groups.nodes[name]
        if name in groups.group_of or name in groups.moves or node.kind in (INPUT, OUTPUT):
            continue
        reading = groups.reading_groups(name)
        layer = _read_by_all(groups, reading) if len(reading) > 1 else None
        source = groups.source(node)
        if layer is not None:
            groups.add_layer(layer.name, groups.own_group(name))
        elif reading:
            groups.add_node(name, min(reading, key=groups.last_position))
        elif source is not None and source.name in groups.group_of:
            groups.add_node(name, groups.group_of[source.name])
        else:
            groups.own_group(name)


def _read_by_all(groups: NodeGroups, reading: set[int]) -> Layer | None:
    """The last layer without a place that just these groups read."""
    for layer in reversed(groups.network.layers):
        is_open = layer.name not in groups.place and layer.name not in groups.original.folded
        if is_open and not groups.is_view(layer) and groups.layer_readers(layer) == reading:
            return layer
    return None


def _place_unnamed_layers(groups: NodeGroups) -> None:
    """Each layer that no node names vanishes, or goes where its readers are computed."""
    original = groups.original
    for layer in reversed(groups.network.layers):
        name = layer.name
        if name in groups.place:
            continue
        if name in original.folded or name in original.twins or groups.is_view(layer):
            groups.vanished.add(name)
            continue
        reading = groups.layer_readers(layer)
        move = _move_that_does(groups, layer, reading)
        group = groups.new_group() if move is not None else _best_group(groups, layer, reading)
        if move is not None and group is not None:
            groups.add_node(move, group)
        if group is None:
            groups.vanished.add(name)
        else:
            groups.add_layer(name, group)


def _move_that_does(groups: NodeGroups, layer: Layer, reading: set[int]) -> str | None:
    """The move that does the whole work of a layer which no node names; ``None`` if there is none."""
    if layer.op_type not in _DONE_BY_MOVES:
        return None
    computed = groups.computing(layer.inputs[:1])
    places = {groups.place[item] for item in computed if item in groups.place}
    for name in groups.nodes:
        if name not in groups.moves or groups.reading_groups(name) != reading:
            continue
        source = groups.source(groups.nodes[name])
        if source is not None and (
            groups.group_of.get(source.name) in places
            or (source.kind == INPUT and tensor_of(groups.network, source.name) in computed)
        ):
            return name
    return None


def _best_group(groups: NodeGroups, layer: Layer, reading: set[int]) -> int | None:
    """Where a layer goes that ``reading`` groups read: to one they all read, or to the first of them."""
    above = {groups.place[item] for item in groups.computing(layer.inputs) if item in groups.place}
    if len(reading) > 1 and layer.op_type not in _REPEATED:
        common = groups.common_source(reading)
        if common is not None and common in above:
            return common
    if reading:
        return min(reading, key=groups.last_position)
    return max(above, key=groups.last_position) if above else None


def _place_moves(groups: NodeGroups) -> None:
    """A move between nodes of one group is part of that group."""
    for name in reversed(groups.nodes):
        source = groups.source(groups.nodes[name]) if name in groups.moves else None
        if source is not None and groups.reading_groups(name) == {groups.group_of.get(source.name)}:
            groups.add_node(name, groups.group_of[source.name])


def _place_what_runs_too_early(groups: NodeGroups) -> None:
    """A layer that runs before what it reads by the network, such as before a copy, goes with what it reads.

    So kernels never wait for each other in a circle.
    """
    idle = {name for name, group in groups.place.items() if all(map(groups.is_idle, groups.members[group]))}
    for layer in groups.network.layers:
        group = groups.place.get(layer.name)
        if group is None or len(groups.layers[group]) == 1:
            continue
        read = {groups.place.get(name, group) for name in groups.computing(layer.inputs, through=idle)}
        last = groups.last_position(group)
        later = [item for item in read if groups.last_position(item) > last]
        if later:
            groups.layers[group].discard(layer.name)
            groups.add_layer(layer.name, max(later, key=groups.last_position))


def _kernels(groups: NodeGroups) -> tuple[tuple[ExecutedKernel, ...], tuple[str, ...]]:
    """What groups and left over moves are, in order of execution, and the layers that vanish."""
    found: dict[int, ExecutedKernel] = {}
    for name in groups.moves:
        node = groups.nodes[name]
        if not groups.is_idle(name):
            parent = groups.nodes[node.inputs[0][0]] if node.inputs else node
            kernel = Kernel(tensor=groups.moved_tensor(node), unit=move_unit(parent, node))
            found[groups.position[name]] = ExecutedKernel(kernel=kernel, run_s=max(node.run_s, _LEAST_S))
    for group, members in groups.members.items():
        if all(map(groups.is_idle, members)):
            groups.vanished.update(groups.layers[group])
        else:
            found[groups.last_position(group)] = _group_kernel(groups, group)
    in_order = tuple(found[position] for position in sorted(found))
    return in_order, tuple(layer.name for layer in groups.in_order(groups.vanished))


def _group_kernel(groups: NodeGroups, group: int) -> ExecutedKernel:
    members = [groups.nodes[name] for name in sorted(groups.members[group], key=groups.position.__getitem__)]
    run_s = max(sum(node.run_s for node in members), _LEAST_S)
    layers = groups.in_order(groups.layers[group])
    if not layers:
        kernel = Kernel(tensor=groups.moved_tensor(members[0]), unit="copy")
        return ExecutedKernel(kernel=kernel, run_s=run_s)
    working = [layer for layer in layers if not groups.is_view(layer)] or layers[-1:]
    groups.vanished.update({layer.name for layer in layers} - {layer.name for layer in working})
    primary = primary_layer(working)
    running = [node for node in members if not groups.is_idle(node.name)]
    kernel = Kernel(
        layers=tuple(layer.name for layer in working),
        primary=primary.name,
        unit=kernel_unit(_main_node(groups, running, primary)),
    )
    return ExecutedKernel(kernel=kernel, run_s=run_s)


def _main_node(groups: NodeGroups, running: Sequence[ExecutedNode], primary: Layer) -> ExecutedNode:
    """The node that computes the primary layer, as far as kinds and names tell; else the last."""
    matrix = [node for node in running if node.kind in MATRIX_KINDS]
    if operator_key(primary) in MAC_OPERATORS and matrix:
        return matrix[0]
    return next((node for node in running if primary in groups.named[node.name]), running[-1])
