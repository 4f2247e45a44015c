"""Layer signatures: everything about a layer but its name and its place in a network, each kept once.

A population has many layers and few signatures. What depends on a layer alone (its operator, its family, a
feature that mapping rules look at) is worked out once a signature, by the code that serves single networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.errors import NotVectorisedError
from annette.graph.network import Layer, Network, Tensor
from annette.graph.operators import operator_key
from annette.models.mapping_features import FEATURES
from annette.models.mapping_walk import GraphView, Site, Walk
from annette.models.rule_tree import Node

__all__ = ["Signature", "Signatures"]

TensorKey = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """One layer by itself: a layer that reads ``in0``, ``in1``, ... and constants, and makes ``out``."""

    layer: Layer
    tensors: tuple[Tensor, ...]
    """The tensors that it names."""
    operands: tuple[str, ...]
    """Names of the activations that it reads, in the order of its inputs; one tensor read twice is there
    twice, under two names."""

    @property
    def output(self) -> Tensor:
        """What it makes."""
        return self.tensors[-1]


def _signature(layer: Layer, tensors: Mapping[str, Tensor]) -> Signature:
    inputs, operands, kept = [], [], []
    for place, name in enumerate(layer.inputs):
        if not name:
            inputs.append("")
            continue
        constant = tensors[name].is_constant
        new = f"{'constant' if constant else 'in'}{place}"
        inputs.append(new)
        kept.append(tensors[name].renamed(new))
        if not constant:
            operands.append(new)
    kept.append(tensors[layer.outputs[0]].renamed("out"))
    return Signature(layer.rewired("layer", tuple(inputs), ("out",)), tuple(kept), tuple(operands))


@dataclass(slots=True)
class Signatures:
    """All signatures met so far, numbered; grows, and never forgets."""

    items: list[Signature] = field(default_factory=list)
    """By number."""
    operators: list[str] = field(default_factory=list)
    """Operator keys by number, as mapping rules name them."""
    _numbers: dict[tuple[object, ...], int] = field(default_factory=dict)
    _sites: dict[int, Site] = field(default_factory=dict)
    _holds: dict[tuple[str, float, str | None, int], list[bool]] = field(default_factory=dict)
    _families: list[str] = field(default_factory=list)
    _kinds: list[int] = field(default_factory=list)
    _kind_numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    _shapes: dict[TensorKey, int] = field(default_factory=dict)
    _output_shapes: list[int] = field(default_factory=list)

    def number(self, layer: Layer, tensors: Mapping[str, Tensor]) -> tuple[int, tuple[str, ...]]:
        """The number of a layer's signature, and the tensors of its network that it reads as activations.

        A new number where it is met for the first time.

        Raises
        ------
        NotVectorisedError
            If the layer has not one output.
        """
        if len(layer.outputs) != 1:
            raise NotVectorisedError(f"{layer.op_type} has {len(layer.outputs)} outputs")
        read = tuple([name for name in layer.inputs if name and not tensors[name].is_constant])
        kinds = [tensors[name].kind if name else -1 for name in layer.inputs]
        key = layer.signature, *kinds, tensors[layer.outputs[0]].kind
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.items)
            signature = _signature(layer, tensors)
            self.items.append(signature)
            self.operators.append(operator_key(layer))
            self._output_shapes.append(self.shape_number(signature.output))
        return found, read

    def shape_number(self, tensor: Tensor) -> int:
        """The number of a tensor's shape and dtype."""
        return self._shapes.setdefault((tensor.shape, tensor.dtype), len(self._shapes))

    def output_shapes(self) -> NDArray[np.int64]:
        """Shape number of each signature's output, shape (n_signatures,)."""
        return np.array(self._output_shapes, dtype=np.int64)

    def site(self, number: int) -> Site:
        """The layer at a site of its own: alone in a network, and alone in its kernel."""
        found = self._sites.get(number)
        if found is None:
            item = self.items[number]
            network = Network(
                name="layer", inputs=item.operands, outputs=("out",), layers=(item.layer,),
                tensors={tensor.name: tensor for tensor in item.tensors},
            )  # fmt: skip
            walk = Walk(GraphView(network, frozenset()), frozenset(), lambda walk, kernel: "")
            walk.open(0)
            found = self._sites[number] = Site(walk, 0, 0, 0, 0 if item.operands else -1)
        return found

    def families(self) -> list[str]:
        """By signature the family whose rules stand in for the operator."""
        for number in range(len(self._families), len(self.items)):
            self._families.append(self.site(number).walk.view.rule_family(0))
        return self._families

    def kinds(self) -> NDArray[np.int64]:
        """By signature the number of its kind: operator and rule family, which say which rules apply."""
        families = self.families()
        for number in range(len(self._kinds), len(self.items)):
            pair = self.operators[number], families[number]
            self._kinds.append(self._kind_numbers.setdefault(pair, len(self._kind_numbers)))
        return np.array(self._kinds, dtype=np.int64)

    @property
    def kind_names(self) -> list[tuple[str, str]]:
        """Operator and rule family by kind."""
        return list(self._kind_numbers)

    def holds(self, node: Node, operand: int) -> NDArray[np.bool_]:
        """Whether a condition on the layer alone holds, by signature, shape (n_signatures,).

        ``operand`` is the place of the operand that the decision is about.
        """
        known = self._holds.setdefault((node.feature, node.threshold, node.word, operand), [])
        for number in range(len(known), len(self.items)):
            site = self.site(number)
            if operand and operand >= len(site.operands):  # asked of another layer's signature by the way
                known.append(False)
                continue
            value = FEATURES[node.feature](replace(site, operand=operand) if operand else site)
            if isinstance(value, frozenset):
                known.append(node.word in value)
            else:
                known.append(node.word is None and value <= node.threshold)
        return np.array(known, dtype=bool)
