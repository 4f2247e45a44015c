"""The graph that ONNX Runtime really executes, and the kernels of a network in it."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from annette.backends.ort_groups import form_kernels
from annette.backends.ort_names import Tags, tag_model, untag_model
from annette.backends.ort_nodes import ExecutedGraphView, read_nodes
from annette.backends.ort_trace import claim_layers
from annette.backends.runtime_options import RuntimeOptions
from annette.backends.visit_care import require_expressed
from annette.errors import AnnetteError, MeasurementError
from annette.graph.mapping import Kernel, Mapping, require_complete
from annette.graph.network import Network
from annette.graph.onnx_writer import MAX_MODEL_BYTES, to_onnx_model

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = [
    "ExecutedGraph",
    "ExecutedKernel",
    "ExecutedNode",
    "executed_graph",
    "import_onnxruntime",
    "session_options",
]

_LEVELS = MappingProxyType(
    {
        "none": "ORT_DISABLE_ALL",
        "basic": "ORT_ENABLE_BASIC",
        "extended": "ORT_ENABLE_EXTENDED",
        "all": "ORT_ENABLE_ALL",
    }
)
_FATAL_ONLY = 4
"""Of the log: what fails is raised and said by us."""
_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_NO_KERNEL = re.compile(
    r"Could not find an implementation for ([^\s(]+)\(\d+\)(?: node with name '([^']*)')?"
)
_NOT_KNOWN = re.compile(r"([\w.]+):(\w+)\(-?\d+\) is not a registered function/op")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedNode:
    """One node that ONNX Runtime runs."""

    name: str
    """Unique in the executed graph; profiles show it."""
    op_type: str
    domain: str
    """Empty for ONNX's own operators."""
    inputs: tuple[str, ...]
    """Tensors of the executed graph; the empty string stands for an omitted one."""
    outputs: tuple[str, ...]
    """Tensors of the executed graph; the empty string stands for an omitted one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedKernel:
    """A kernel of the network, and the executed nodes that do it."""

    kernel: Kernel
    nodes: tuple[str, ...]
    """Names of the executed nodes, the main one first; one, but where the runtime makes helper nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedGraph:
    """What ONNX Runtime makes of a network."""

    model: ModelProto
    """The optimised model; loaded without optimisation it executes just these nodes. Tensors of the network
    have their names, its inputs and outputs are the network's."""
    nodes: tuple[ExecutedNode, ...]
    """In the order of the model."""
    kernels: tuple[ExecutedKernel, ...]
    """In order of execution; each node is in exactly one."""
    eliminated_layers: tuple[str, ...]
    """Layers that no node does: folded, removed, equal to another one, or a mere change of view."""

    @property
    def mapping(self) -> Mapping:
        """Which layers form which kernels."""
        return Mapping(
            kernels=tuple(item.kernel for item in self.kernels), eliminated_layers=self.eliminated_layers
        )


def import_onnxruntime() -> Any:
    """The package ``onnxruntime``.

    Raises
    ------
    MeasurementError
        If it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as err:
        raise MeasurementError(
            f"onnxruntime: cannot be imported ({err}), expected the package; "
            'install it with pip install "annette[onnxruntime]"'
        ) from err
    return onnxruntime


def session_options(options: RuntimeOptions, *, is_optimised: bool = False) -> Any:
    """Options of an ONNX Runtime session; for a model that is optimised already, no further optimisation.

    Raises
    ------
    MeasurementError
        If onnxruntime is not installed.
    """
    runtime = import_onnxruntime()
    result = runtime.SessionOptions()
    result.log_severity_level = _FATAL_ONLY
    result.intra_op_num_threads = options.threads
    result.inter_op_num_threads = 1
    level = "none" if is_optimised else options.optimization
    result.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, _LEVELS[level])
    return result


def executed_graph(network: Network, options: RuntimeOptions, *, seed: int = 0) -> ExecutedGraph:
    """The graph that ONNX Runtime executes for ``network`` on the CPU, traced back to the network's layers.

    Parameters
    ----------
    network : Network
        What to run; its weights are made up.
    options : RuntimeOptions
        Threads and how far the runtime may optimise.
    seed : int
        Of the random weights.

    Raises
    ------
    MeasurementError
        If onnxruntime is missing, has no kernel for an operator, or the network is too big.
    """
    tags = Tags(network)
    try:
        model = to_onnx_model(network, weights="random", seed=seed)
        require_expressed(model)
    except AnnetteError as err:
        raise MeasurementError(f"onnxruntime: {err}") from err
    tag_model(model, tags)
    optimised = _optimise(model, options, tags, network)
    view = ExecutedGraphView(network, read_nodes(optimised, tags), tags)
    claims = claim_layers(view)
    traced = form_kernels(claims)
    untag_model(optimised, tags)
    nodes = tuple(
        ExecutedNode(
            name=node.name,
            op_type=node.op_type,
            domain=node.domain,
            inputs=tuple(node.input),
            outputs=tuple(node.output),
        )
        for node in optimised.graph.node
    )
    kernels = tuple(
        ExecutedKernel(kernel=item.kernel, nodes=tuple(nodes[number].name for number in item.nodes))
        for item in traced
    )
    done = {name for item in kernels for name in item.kernel.layers}
    gone = tuple(layer.name for layer in network.layers if layer.name not in done)
    graph = ExecutedGraph(model=optimised, nodes=nodes, kernels=kernels, eliminated_layers=gone)
    require_complete(network, graph.mapping)
    return graph


def _optimise(model: ModelProto, options: RuntimeOptions, tags: Tags, network: Network) -> ModelProto:
    import onnx

    runtime = import_onnxruntime()
    data = model.SerializeToString()
    if len(data) > MAX_MODEL_BYTES:
        raise MeasurementError(
            f"onnxruntime: network {network.name!r} has {len(data)} bytes, expected at most "
            f"{MAX_MODEL_BYTES}; measure a part of it"
        )
    with tempfile.TemporaryDirectory(prefix="annette-") as folder:
        path = Path(folder) / "optimised.onnx"
        settings = session_options(options)
        settings.optimized_model_filepath = str(path)
        try:
            runtime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
        except Exception as err:  # onnxruntime raises classes of its own for anything
            raise MeasurementError(
                f"onnxruntime: network {network.name!r} cannot run: "
                f"{_reason(tags.readable(str(err)), network)}"
            ) from err
        return onnx.load(str(path))


def _reason(text: str, network: Network) -> str:
    """What to tell the user, from a message of ONNX Runtime: the operator that is missing, if it is that."""
    found = _NO_KERNEL.search(text)
    if found:
        layer = f" of layer {found[2]!r}" if found[2] else ""
        if found[1] not in {layer.op_type for layer in network.layers}:
            layer = ", with which ONNX Runtime spells out one of the network's,"
        return (
            f"no CPU kernel for operator {found[1]}{layer} at its dtypes, expected one that ONNX Runtime "
            "has; leave the layer out or change its dtype"
        )
    found = _NOT_KNOWN.search(text)
    if found:
        return f"operator {found[1]}:{found[2]} is not known to ONNX Runtime, expected operators that it has"
    return " ".join(_PREFIX.sub("", text).split())[:400]
