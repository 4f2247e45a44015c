"""Cuts single kernels out of the graph that ONNX Runtime executes, as models that can be timed alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from annette.backends.ort_graph import ExecutedGraph, ExecutedKernel
from annette.errors import MeasurementError
from annette.graph.onnx_values import ONNX_NUMBERS

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

__all__ = ["TensorType", "cut_kernel", "profiled_types"]

_DTYPES = MappingProxyType({"float": "float32", "double": "float64"})
"""Names of dtypes in profiles, where they differ from ours."""
_SUFFIX = "_kernel_time"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorType:
    """What a tensor of the executed graph holds; in blocked layout the channels are padded."""

    dtype: str
    shape: tuple[int, ...]


def profiled_types(graph: ExecutedGraph, events: Iterable[Mapping[str, Any]]) -> dict[str, TensorType]:
    """The types of all tensors that the nodes of ``graph`` read and write, from a profile of one run.

    Parameters
    ----------
    graph : ExecutedGraph
        What was profiled.
    events : iterable of dict
        The events of ONNX Runtime's profile (a JSON list).
    """
    nodes = {node.name: node for node in graph.nodes}
    types: dict[str, TensorType] = {}
    for event in events:
        name = str(event.get("name", ""))
        node = nodes.get(name.removesuffix(_SUFFIX)) if name.endswith(_SUFFIX) else None
        if node is None:
            continue
        args = event.get("args", {})
        for tensors, key in ((node.inputs, "input_type_shape"), (node.outputs, "output_type_shape")):
            for tensor, entry in zip(filter(None, tensors), args.get(key, ()), strict=False):
                for dtype, shape in entry.items():
                    types[tensor] = TensorType(
                        dtype=_DTYPES.get(dtype, dtype), shape=tuple(int(size) for size in shape)
                    )
    return types


def cut_kernel(graph: ExecutedGraph, kernel: ExecutedKernel, types: Mapping[str, TensorType]) -> ModelProto:
    """One kernel of ``graph`` as a model of its own, with its weights, to be loaded without optimisation.

    Parameters
    ----------
    graph : ExecutedGraph
        Where the kernel is.
    kernel : ExecutedKernel
        One of ``graph.kernels``.
    types : mapping of TensorType
        The types of what the kernel reads and writes; see `profiled_types`.

    Raises
    ------
    MeasurementError
        If the type of a tensor at its border is not known.
    """
    from onnx import ModelProto

    wanted = set(kernel.nodes)
    nodes: list[NodeProto] = [node for node in graph.model.graph.node if node.name in wanted]
    constants = {item.name: item for item in graph.model.graph.initializer}
    written = {name: None for node in nodes for name in node.output if name}
    read = dict.fromkeys(name for node in nodes for name in node.input if name and name not in written)
    kept = {item.name for item in graph.model.graph.output}
    kept.update(name for node in graph.nodes if node.name not in wanted for name in node.inputs)
    model = ModelProto(
        producer_name="annette", ir_version=graph.model.ir_version, opset_import=graph.model.opset_import
    )
    model.graph.name = kernel.kernel.name
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants[name] for name in read if name in constants)
    where = kernel.kernel.name
    model.graph.input.extend(_described(name, types, where) for name in read if name not in constants)
    outputs = [name for name in written if name in kept] or list(written)[-1:]
    model.graph.output.extend(_described(name, types, where) for name in outputs)
    return model


def _described(name: str, types: Mapping[str, TensorType], where: str) -> ValueInfoProto:
    from onnx import helper

    found = types.get(name)
    if found is None or found.dtype not in ONNX_NUMBERS:
        raise MeasurementError(
            f"onnxruntime: kernel {where!r}: the type of tensor {name!r} is not known, expected it in the "
            "profile; profile the whole network first"
        )
    return helper.make_tensor_value_info(name, ONNX_NUMBERS[found.dtype], found.shape)
