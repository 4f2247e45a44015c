"""The order of an ONNX graph's nodes, and which names its subgraphs read and define."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from annette.errors import GraphError

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

__all__ = ["captured_names", "defined_names", "in_order", "require_texts"]

_GRAPH, _GRAPHS = 5, 10


def _subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for item in node.attribute:
        if item.type == _GRAPH:
            yield item.g
        elif item.type == _GRAPHS:
            yield from item.graphs


def require_texts(graph: GraphProto) -> None:
    """Check that all names in the graph and in its subgraphs are texts: protobuf hands out bytes otherwise.

    Raises
    ------
    GraphError
        If one is not UTF-8.
    """
    texts = [item.name for item in (*graph.initializer, *graph.input, *graph.output, *graph.value_info)]
    texts += [item.values.name for item in graph.sparse_initializer]
    for node in graph.node:
        texts += (node.name, node.op_type, node.domain, *node.input, *node.output)
        texts += [item.name for item in node.attribute]
        for inner in _subgraphs(node):
            require_texts(inner)
    if set(map(type, texts)) - {str}:
        wrong = next(item for item in texts if not isinstance(item, str))
        raise GraphError(f"the name {wrong!r} is not UTF-8, expected text; export or copy the file again")


def captured_names(node: NodeProto) -> tuple[str, ...]:
    """The tensors of outer graphs that the node's subgraphs read and it does not, in order of first use."""
    if not any(item.type in (_GRAPH, _GRAPHS) for item in node.attribute):
        return ()
    found: dict[str, None] = {}
    for graph in _subgraphs(node):
        defined = {*defined_names(graph), *(item.name for item in graph.input)}
        for inner in graph.node:
            for name in (*inner.input, *captured_names(inner)):
                if name and name not in defined:
                    found[name] = None
        for item in graph.output:
            if item.name not in defined:
                found[item.name] = None
    for name in node.input:
        found.pop(name, None)
    return tuple(found)


def defined_names(graph: GraphProto) -> list[str]:
    """The tensors that the graph's weights and nodes define."""
    names = [item.name for item in graph.initializer]
    names += [item.values.name for item in graph.sparse_initializer]
    names += [name for node in graph.node for name in node.output if name]
    return names


def in_order(nodes: Sequence[NodeProto], is_known: Callable[[str], bool]) -> list[NodeProto]:
    """The nodes in a topological order, the given one wherever it is one.

    Raises
    ------
    GraphError
        For cycles, and for names that nobody defines.
    """
    reads = [[name for name in (*node.input, *captured_names(node)) if name] for node in nodes]
    producer = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    needs = []
    for index, names in enumerate(reads):
        sources = {producer[name] for name in names if name in producer}
        missing = next((name for name in names if name not in producer and not is_known(name)), None)
        if missing is not None:
            raise GraphError(
                f"node {nodes[index].name!r} ({nodes[index].op_type!r}) reads {missing!r}, which is neither "
                "an input, nor a weight, nor computed by a node; export again"
            )
        needs.append(sources)
    if all(source < index for index, sources in enumerate(needs) for source in sources):
        return list(nodes)
    followers: dict[int, list[int]] = {}
    for index, sources in enumerate(needs):
        for source in sources:
            followers.setdefault(source, []).append(index)
    waiting = [len(sources) for sources in needs]
    ready = [index for index, count in enumerate(waiting) if count == 0]
    order: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for follower in followers.get(index, ()):
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heapq.heappush(ready, follower)
    if len(order) < len(nodes):
        stuck = next(index for index, count in enumerate(waiting) if count)
        raise GraphError(
            f"the graph has a cycle through node {nodes[stuck].name!r} ({nodes[stuck].op_type!r}), "
            "expected a directed acyclic graph"
        )
    return [nodes[index] for index in order]
