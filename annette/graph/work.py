"""Work: multiply-accumulates, operations, parameters, elements and bytes of layers and networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from annette.graph.network import Layer, Network, Tensor
from annette.graph.operands import DOMAINS, parameter_tensors, roles
from annette.graph.work_matrices import MATRIX_COUNTS
from annette.graph.work_rules import COUNTS, Count

__all__ = ["WORK_RULES", "Work", "layer_work", "network_work"]

WORK_RULES: Mapping[str, Count] = MappingProxyType({**COUNTS, **MATRIX_COUNTS})
"""MACs and ops by operator type; an operator that is not here moves data (or is opaque) and counts 0."""

_ROW_READERS = frozenset({"EmbedLayerNormalization", "Gather", "GatherElements", "GatherND", "Slice"})
"""Operators that read no more of a table than they hand out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a layer or network computes, reads and writes; every field an int >= 0.

    ``ops`` is 2 a MAC; a bias adds nothing, since it starts the accumulator. Beside MACs: a pool's window
    costs its area an output, element-wise operators one op an output and operand beyond the first (one at
    least), an activation one op whatever its function; softmax, norms and resizes as `work_rules` lists.
    Moving data costs 0 ops. Each tensor that a layer reads or writes counts once in that layer.
    """

    macs: int = 0
    """Multiply-accumulates; padding counts like data, as is usual in the field."""
    ops: int = 0
    """Operations: 2 a MAC, plus those that are not part of a MAC."""
    params: int = 0
    """Learned parameters, as publications count them (no running statistics)."""
    input_elements: int = 0
    """Elements of activations read."""
    weight_elements: int = 0
    """Elements of weights read; only the rows that are used of a table."""
    output_elements: int = 0
    """Elements written."""
    input_bytes: int = 0
    """Bytes of activations read, at the tensors' own dtypes."""
    weight_bytes: int = 0
    """Bytes of weights read, at the dtypes they are stored in: 1 an element for weights of QDQ models."""
    output_bytes: int = 0
    """Bytes written, at the tensors' own dtypes."""

    @property
    def arithmetic_intensity_ops_per_byte(self) -> float:
        """Ops over all bytes read and written; 0.0 where nothing moves."""
        moved = self.input_bytes + self.weight_bytes + self.output_bytes
        return self.ops / moved if moved else 0.0


def layer_work(network: Network, layer: Layer) -> Work:
    """The work of one layer; an operator without a rule has 0 ops and the bytes of its tensors.

    So has a layer whose inputs are not those of its operator, as files of others can hold where there is no
    shape rule for it.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("one")
    >>> network = build.finish(build.linear(build.input("x", (1, 128)), 10))
    >>> work = layer_work(network, network.layers[0])
    >>> work.macs, work.params
    (1280, 1290)
    """
    tensors = network.tensors
    outputs = [tensors[name] for name in layer.outputs if name]
    known = layer.domain in DOMAINS
    rule = WORK_RULES.get(layer.op_type) if known else None
    macs = ops = 0
    if rule is not None and outputs:
        try:
            macs, ops = rule(layer, [tensors[name] if name else None for name in layer.inputs], outputs)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            macs = ops = 0
    limit = outputs[0].size if known and layer.op_type in _ROW_READERS and outputs else None
    activations, weights, learned = roles(network, layer)
    input_elements, input_bytes = _traffic(activations, limit)
    weight_elements, weight_bytes = _traffic(weights, limit)
    output_elements, output_bytes = _traffic(outputs, None)
    return Work(
        macs=macs,
        ops=ops,
        params=sum([tensor.size for tensor in learned]),
        input_elements=input_elements,
        weight_elements=weight_elements,
        output_elements=output_elements,
        input_bytes=input_bytes,
        weight_bytes=weight_bytes,
        output_bytes=output_bytes,
    )


def network_work(network: Network) -> Work:
    """The sum over all layers, with the parameters of shared weights counted once."""
    works = [layer_work(network, layer) for layer in network.layers]
    shared = {
        tensor.name: tensor.size for layer in network.layers for tensor in parameter_tensors(network, layer)
    }
    return Work(
        macs=sum(work.macs for work in works),
        ops=sum(work.ops for work in works),
        params=sum(shared.values()),
        input_elements=sum(work.input_elements for work in works),
        weight_elements=sum(work.weight_elements for work in works),
        output_elements=sum(work.output_elements for work in works),
        input_bytes=sum(work.input_bytes for work in works),
        weight_bytes=sum(work.weight_bytes for work in works),
        output_bytes=sum(work.output_bytes for work in works),
    )


def _traffic(tensors: Sequence[Tensor], limit: int | None) -> tuple[int, int]:
    """Elements and bytes of ``tensors``, of each at most ``limit`` elements."""
    elements = size_bytes = 0
    for tensor in tensors:
        size = tensor.size
        if limit is not None and size > limit:
            size = limit
        elements += size
        size_bytes += tensor.bytes_of(size)
    return elements, size_bytes
