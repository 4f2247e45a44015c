"""Names that ONNX Runtime cannot confuse: tags of layers and tensors, found again in the names it makes.

When ONNX Runtime rewrites a graph it makes names from names (``matmul_1/MatMulAddFusion``,
``relu_2:out_nchwc``, ``fused gemm_3``). A model whose nodes and tensors carry tags as names tells, whatever
the layers are called, which layers and tensors a made name speaks of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from annette.graph.network import Network

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["Tags", "tag_model", "untag_model"]

_LAYER_TAG = re.compile(r"@(\d+)L@")
_TENSOR_TAG = re.compile(r"@(\d+)T@")


class Tags:
    """Two-way table between a network's names and the tags that stand for them."""

    def __init__(self, network: Network) -> None:
        self.layers = tuple(layer.name for layer in network.layers)
        self.tensors = tuple(network.tensors)
        self.layer_tags = {name: f"@{number}L@" for number, name in enumerate(self.layers)}
        self.tensor_tags = {name: f"@{number}T@" for number, name in enumerate(self.tensors)}
        self._exact = {tag: name for name, tag in self.tensor_tags.items()}

    def layers_in(self, text: str) -> tuple[str, ...]:
        """The layers that a name speaks of, in the order of their mention."""
        return tuple(self.layers[int(number)] for number in _LAYER_TAG.findall(text))

    def tensors_in(self, text: str) -> tuple[str, ...]:
        """The tensors that a name speaks of, in the order of their mention."""
        return tuple(self.tensors[int(number)] for number in _TENSOR_TAG.findall(text))

    def tensor(self, text: str) -> str | None:
        """The tensor whose tag the name is; ``None`` if it is more or less than a tag."""
        return self._exact.get(text)

    def readable(self, text: str) -> str:
        """The name with names in the place of tags."""
        if "@" not in text:
            return text
        text = _LAYER_TAG.sub(lambda found: self.layers[int(found[1])], text)
        return _TENSOR_TAG.sub(lambda found: self.tensors[int(found[1])], text)


def tag_model(model: ModelProto, tags: Tags) -> None:
    """Give the nodes and tensors of an exported network their tags as names, in place.

    Nodes that the writer needs beside a layer's own carry the layer's tag at the start.
    """
    graph = model.graph
    for node in graph.node:
        layer, _, rest = node.name.rpartition(":")
        tag = tags.layer_tags.get(node.name)
        if tag is None and layer in tags.layer_tags:
            tag = f"{tags.layer_tags[layer]}:{rest}"
        if tag is not None:
            node.name = tag
        node.input[:] = [tags.tensor_tags.get(name, name) for name in node.input]
        node.output[:] = [tags.tensor_tags.get(name, name) for name in node.output]
    for items in (graph.initializer, graph.input, graph.output, graph.value_info):
        for item in items:
            item.name = tags.tensor_tags.get(item.name, item.name)


def untag_model(model: ModelProto, tags: Tags) -> dict[str, str]:
    """Give an optimised model readable names, in place; every node gets one of its own.

    Tensors of the network get back their names; what ONNX Runtime made keeps its name, with readable parts.

    Returns
    -------
    dict of str
        The new name of every tensor by its tagged name.
    """
    graph = model.graph
    used = [name for node in graph.node for name in (*node.input, *node.output)]
    names = _unique((item.name for item in (*graph.input, *graph.output, *graph.initializer)), used, tags)
    for node, name in zip(graph.node, _node_names(model, tags), strict=True):
        node.name = name
        node.input[:] = [names[item] if item else "" for item in node.input]
        node.output[:] = [names[item] if item else "" for item in node.output]
    for items in (graph.initializer, graph.input, graph.output, graph.value_info):
        for item in items:
            item.name = names.get(item.name, item.name)
    return names


def _unique(first: Iterable[str], then: Sequence[str], tags: Tags) -> dict[str, str]:
    tagged = [name for name in dict.fromkeys((*first, *then)) if name]
    names = {name: tags.readable(name) for name in tagged if tags.tensor(name) is not None}
    taken = set(names.values())
    for name in tagged:
        if name not in names:
            names[name] = _free(tags.readable(name), taken)
    return names


def _node_names(model: ModelProto, tags: Tags) -> list[str]:
    taken: set[str] = set()
    return [_free(tags.readable(node.name) or node.op_type, taken) for node in model.graph.node]


def _free(name: str, taken: set[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}#{number}"
    taken.add(candidate)
    return candidate
