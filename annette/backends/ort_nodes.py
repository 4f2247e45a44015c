"""The nodes of an optimised graph as the tracing reads them: what they do, and what their names speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annette.backends.ort_names import Tags
from annette.backends.ort_original import VIEW_OPERATORS
from annette.graph.network import Layer, Network
from annette.graph.operators import operator_key

if TYPE_CHECKING:
    from onnx import AttributeProto, ModelProto

__all__ = ["BLOCKED_DOMAIN", "ExecutedGraphView", "TraceNode", "read_nodes"]

BLOCKED_DOMAIN = "com.microsoft.nchwc"
"""Domain of ONNX Runtime's kernels for the channel-blocked layout."""
_INLINED = "_inlfunc_"
_ONNX_DOMAINS = ("", "ai.onnx")
_INTEGER_OPERATORS = frozenset(
    {
        "ConvInteger", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulInteger",
        "MatMulIntegerToFloat", "NhwcMaxPool", "QAttention", "QEmbedLayerNormalization", "QGemm",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceNode:
    """One executed node; tensors under the names of the optimised graph."""

    number: int
    """Place in the order of the optimised model."""
    name: str
    """As the optimised model has it, with tags."""
    op_type: str
    domain: str
    reads: tuple[str, ...]
    """Inputs; empty where omitted or where the input is an initialiser."""
    writes: tuple[str, ...]
    """Outputs; empty where omitted."""
    inputs: int
    """Number of inputs that are not omitted."""
    settings: Mapping[str, int | float | str]
    """Attributes that are single numbers or strings."""
    layers: tuple[str, ...]
    """Layers that the node's name speaks of."""
    tensors: tuple[str, ...]
    """Tensors of the network that the node's name speaks of."""

    @property
    def key(self) -> str:
        """The operator type, preceded by its domain where that is not ONNX's own."""
        return self.op_type if self.domain in _ONNX_DOMAINS else f"{self.domain}::{self.op_type}"

    @property
    def data(self) -> tuple[str, ...]:
        """The tensors read at run time, each once."""
        return tuple(dict.fromkeys(filter(None, self.reads)))

    @property
    def is_reorder(self) -> bool:
        """Whether it only changes between plain and blocked layout."""
        return self.domain == BLOCKED_DOMAIN and self.op_type in ("ReorderInput", "ReorderOutput")

    @property
    def is_transposing(self) -> bool:
        """Whether it changes between blocked layout and channels last, which takes in a transposition."""
        return self.is_reorder and bool(self.settings.get("channels_last"))

    @property
    def is_view(self) -> bool:
        """Whether it moves no element."""
        return self.domain in _ONNX_DOMAINS and self.op_type in VIEW_OPERATORS

    @property
    def is_inlined(self) -> bool:
        """Whether it is a part of an operator that ONNX Runtime has spelled out with simpler ones."""
        return any(_INLINED in name for name in (*self.reads, *self.writes))

    @property
    def is_mover(self) -> bool:
        """Whether it hands on one tensor: in another layout, format or shape."""
        return not self.is_inlined and (self.is_reorder or self.is_view or self.key in ("Cast", "Transpose"))

    @property
    def is_quantiser(self) -> bool:
        """Whether it changes between numbers and quantised numbers."""
        return self.op_type in ("QuantizeLinear", "DequantizeLinear")

    @property
    def is_integer(self) -> bool:
        """Whether it calculates with quantised numbers, whatever it reads."""
        return self.op_type.startswith("QLinear") or self.op_type in _INTEGER_OPERATORS

    def stands_for(self, layer: Layer) -> bool:
        """Whether it does what that layer does, as far as the operator tells."""
        if self.is_view and layer.domain in _ONNX_DOMAINS:
            return layer.op_type in VIEW_OPERATORS
        return self.op_type == layer.op_type and self.key == operator_key(layer)

    def quantises(self, layer: Layer) -> bool:
        """Whether it does what that layer does with integers, as far as the operator tells."""
        return self.op_type == f"QLinear{layer.op_type}"


class ExecutedGraphView:
    """The executed nodes with their tensors' producers and consumers, and the tensors known by name."""

    def __init__(self, network: Network, nodes: tuple[TraceNode, ...], tags: Tags) -> None:
        self.network = network
        self.nodes = nodes
        self.tags = tags
        self.producer = {name: node for node in nodes for name in node.writes if name}
        self.consumers: dict[str, list[TraceNode]] = {}
        for node in nodes:
            for name in node.data:
                self.consumers.setdefault(name, []).append(node)
        self.blocked = self._blocked_tensors()
        self.owners = self._owners()
        self.integer_owners = {
            name: node for node in nodes for name in node.layers if node.quantises(network.layer(name))
        }
        """The node by the layer that it does with integers; their inputs are not in the layer's order."""
        computed = (tags.tensor(name) for name in self.producer)
        self.shown_tensors = {name for name in computed if name is not None}

    def shows(self, layer: Layer) -> bool:
        """Whether a node stands for the layer, or something that the layer computes is there by name."""
        is_named = layer.name in self.owners or layer.name in self.integer_owners
        return is_named or not self.shown_tensors.isdisjoint(filter(None, layer.outputs))

    def is_private(self, name: str) -> bool:
        """Whether ONNX Runtime made the tensor: no tensor of the network has the name."""
        return self.tags.tensor(name) is None

    def readers(self, name: str) -> list[TraceNode]:
        """The nodes that read a tensor."""
        return self.consumers.get(name, [])

    def _blocked_tensors(self) -> set[str]:
        blocked: set[str] = set()
        for node in self.nodes:
            if node.op_type != "ReorderOutput" and (
                node.domain == BLOCKED_DOMAIN or not blocked.isdisjoint(node.data)
            ):
                blocked.update(filter(None, node.writes))
        return blocked

    def _owners(self) -> dict[str, TraceNode]:
        """The node that stands for a layer, by the node's name or else by the tensor that it computes."""
        owners: dict[str, TraceNode] = {}
        for node in self.nodes:
            for name in node.layers:
                if node.stands_for(self.network.layer(name)):
                    owners.setdefault(name, node)
        taken = {node.number for node in owners.values()}
        for node in self.nodes:
            for written in filter(None, node.writes) if node.number not in taken else ():
                tensor = self.tags.tensor(written)
                layer = None if tensor is None else self.network.producer(tensor)
                if layer is not None and node.stands_for(layer):
                    owners.setdefault(layer.name, node)
        return owners


def read_nodes(model: ModelProto, tags: Tags) -> tuple[TraceNode, ...]:
    """The nodes of a tagged, optimised model, in its order."""
    constants = {item.name for item in model.graph.initializer}
    return tuple(
        TraceNode(
            number=number,
            name=node.name,
            op_type=node.op_type,
            domain=node.domain,
            reads=tuple("" if name in constants else name for name in node.input),
            writes=tuple(node.output),
            inputs=sum(1 for name in node.input if name),
            settings={item.name: value for item in node.attribute if (value := _setting(item)) is not None},
            layers=tags.layers_in(node.name),
            tensors=tags.tensors_in(node.name),
        )
        for number, node in enumerate(model.graph.node)
    )


def _setting(attribute: AttributeProto) -> int | float | str | None:
    if attribute.type == attribute.INT:
        return attribute.i
    if attribute.type == attribute.FLOAT:
        return attribute.f
    return attribute.s.decode("utf-8", "replace") if attribute.type == attribute.STRING else None
