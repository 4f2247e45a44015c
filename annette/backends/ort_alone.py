"""Kernels of ONNX Runtime's executed graph as small models of their own, ready to be timed alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annette.backends.ort_cut import TensorType, cut_kernel, profiled_types
from annette.backends.ort_graph import ExecutedGraph
from annette.graph.mapping import Kernel
from annette.graph.network import Layer, Network, Tensor
from annette.graph.shapes import ONNX_DTYPES

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["LoneKernel", "cut_kernels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoneKernel:
    """One kernel as a model."""

    kernel: Kernel
    """Which of the network's."""
    model: bytes
    """To be loaded without optimisation."""
    network: Network
    """The model as far as making up its inputs needs it: operators, their inputs, types."""


def cut_kernels(graph: ExecutedGraph, events: Iterable[Mapping[str, Any]]) -> tuple[LoneKernel, ...]:
    """Each kernel of ``graph`` as a model.

    Parameters
    ----------
    graph
        What the runtime executes.
    events
        Of the runtime's profile of at least one run: types and shapes of what kernels hand on stand there.

    Raises
    ------
    MeasurementError
        If the type of a tensor at a kernel's border is not known.
    """
    types = profiled_types(graph, events)
    found = []
    for item in graph.kernels:
        model = cut_kernel(graph, item, types)
        network = _as_network(model, types)
        found.append(LoneKernel(kernel=item.kernel, model=model.SerializeToString(), network=network))
    return tuple(found)


def _as_network(model: ModelProto, types: Mapping[str, TensorType]) -> Network:
    tensors = {
        item.name: Tensor(
            name=item.name, shape=tuple(item.dims), dtype=ONNX_DTYPES[item.data_type], is_constant=True
        )
        for item in model.graph.initializer
    }
    layers = []
    for index, node in enumerate(model.graph.node):
        axes = tuple((item.name, item.i) for item in node.attribute if item.name in ("axis", "batch_dims"))
        layers.append(
            Layer(
                name=f"{index}",
                op_type=node.op_type,
                domain=node.domain,
                inputs=tuple(node.input),
                outputs=tuple(node.output),
                attributes=axes,
            )
        )
        for name in filter(None, (*node.input, *node.output)):
            known = types.get(name, TensorType(dtype="opaque", shape=()))  # within a kernel: never fed
            tensors.setdefault(name, Tensor(name=name, shape=known.shape, dtype=known.dtype))
    return Network(
        name=model.graph.name,
        inputs=tuple(item.name for item in model.graph.input),
        outputs=tuple(item.name for item in model.graph.output),
        layers=tuple(layers),
        tensors=tensors,
    )
