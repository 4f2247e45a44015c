"""Reads ONNX files as networks, without ever loading their weights."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from annette.errors import GraphError, one_line
from annette.graph.network import Network
from annette.graph.onnx_graph import GraphReader
from annette.graph.onnx_inputs import bind_inputs
from annette.graph.onnx_order import require_texts
from annette.graph.onnx_tensors import TensorTable
from annette.graph.onnx_types import KnownTypes
from annette.graph.onnx_upgrade import OLDEST_OPSET
from annette.graph.wire import MAX_NODES, read_without_weights, strip_weights

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

__all__ = ["network_from_onnx_bytes", "read_onnx"]

_GRAPH, _GRAPHS = 5, 10


def read_onnx(
    path: str | os.PathLike[str],
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    batch: int | None = None,
) -> Network:
    """The network in an ONNX file of opset 9 or later.

    The data of weights are never read, and files of external data never opened. What can be computed
    without the network's inputs is folded into constants, an If whose condition is known becomes its branch,
    local functions are inlined, and layers of old opsets are brought into today's form. Weights behind
    DequantizeLinear count as what it makes of them, and remember the dtype in which they are stored.
    Operators that annette has no rule for are kept.

    Parameters
    ----------
    path : str or PathLike
        The file.
    shapes : mapping of str to sequence of int, optional
        Shapes of inputs by name. Dynamic dimensions must be bound here or by ``batch``; numbers in the file
        may be overridden as long as the layers still fit together.
    batch : int, optional
        First dimension of every input where that is dynamic.

    Raises
    ------
    GraphError
        If the file is no sound ONNX model, or dimensions stay unbound; the message names them.
    """
    where = Path(path).name or str(path)
    data = read_without_weights(path)
    return _network(data, Path(path).stem, one_line(where), shapes, batch)


def network_from_onnx_bytes(
    data: bytes,
    name: str,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    batch: int | None = None,
) -> Network:
    """The network in a serialized ``ModelProto``; otherwise like `read_onnx`.

    Raises
    ------
    GraphError
        If the bytes are no sound ONNX model, or dimensions stay unbound.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> from annette.graph.onnx_writer import to_onnx_model
    >>> build = NetworkBuilder("one")
    >>> network = build.finish(build.relu(build.input("x", (1, 3))))
    >>> data = to_onnx_model(network).SerializeToString()
    >>> network_from_onnx_bytes(data, "one").id == network.id
    True
    """
    where = one_line(name)
    return _network(strip_weights(data, where), name, where, shapes, batch)


def _network(
    data: bytes, name: str, where: str, shapes: Mapping[str, Sequence[int]] | None, batch: int | None
) -> Network:
    try:
        return _read_model(_parse(data, where), name, where, shapes, batch)
    except GraphError as err:
        text = one_line(str(err))
        raise GraphError(text if text.startswith(where) else f"{where}: {text}") from err
    except UnicodeDecodeError as err:
        raise GraphError(
            f"{where}: a name in it is not UTF-8 ({err.reason}); export or copy it again"
        ) from err
    except RecursionError as err:
        raise GraphError(f"{where}: it is nested too deeply, expected graphs at most 24 deep") from err


def _parse(data: bytes, where: str) -> ModelProto:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as err:
        raise GraphError(
            f"{where}: does not read as an ONNX model ({err}); it is damaged or something else; "
            "export or copy it again"
        ) from err
    return model


def _read_model(
    model: ModelProto, name: str, where: str, shapes: Mapping[str, Sequence[int]] | None, batch: int | None
) -> Network:
    opset = _opset(model, where)
    if model.functions:
        model = _inline_functions(model, where)
    graph = model.graph
    require_texts(graph)
    weights = {item.name for item in graph.initializer}
    weights.update(item.values.name for item in graph.sparse_initializer)
    inputs = [item for item in graph.input if item.name not in weights]
    bound = bind_inputs(inputs, shapes, batch, where)
    table = TensorTable(_names(graph))
    for tensor in bound.tensors:
        table.define(tensor)
    reader = GraphReader(opset, KnownTypes(model, bound), table)
    scope = reader.add_graph(graph, {})
    outputs = [scope.get(item.name, item.name) for item in graph.output]
    return reader.finish(name, [tensor.name for tensor in bound.tensors], outputs)


def _opset(model: ModelProto, where: str) -> int:
    versions = [item.version for item in model.opset_import if item.domain in ("", "ai.onnx")]
    if not versions:
        if model.opset_import or not model.graph.node:
            return OLDEST_OPSET if not model.graph.node else max(OLDEST_OPSET, 18)
        raise GraphError(f"{where}: it names no operator set, expected an opset of {OLDEST_OPSET} or later")
    opset = int(max(versions))
    if opset < OLDEST_OPSET:
        raise GraphError(
            f"{where}: opset {opset}, expected {OLDEST_OPSET} or later; "
            "convert it with onnx.version_converter.convert_version(model, 13)"
        )
    return opset


def _names(graph: GraphProto) -> Iterable[str]:
    for item in graph.initializer:
        yield item.name
    for node in graph.node:
        yield from node.output


def _inline_functions(model: ModelProto, where: str) -> ModelProto:
    _require_bounded_functions(model, where)
    from onnx import checker, inliner

    try:
        return inliner.inline_local_functions(model)
    except (
        checker.ValidationError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as err:  # what ONNX's C++ code raises
        raise GraphError(f"{where}: its local functions cannot be inlined ({err})") from err


def _require_bounded_functions(model: ModelProto, where: str) -> None:
    """Refuse functions that call themselves or that multiply beyond the bound on nodes."""
    functions = {(item.domain, item.name): item for item in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    open_calls: set[tuple[str, str]] = set()

    def count(nodes: Iterable[NodeProto], depth: int) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            total += size(key, depth) if key in functions else 1
            for item in node.attribute:
                inner = (item.g,) if item.type == _GRAPH else item.graphs if item.type == _GRAPHS else ()
                total += sum(count(graph.node, depth + 1) for graph in inner)
        return total

    def size(key: tuple[str, str], depth: int) -> int:
        if key in open_calls or depth > 200:
            raise GraphError(f"{where}: function {key[1]!r} calls itself, expected functions that do not")
        if key not in sizes:
            open_calls.add(key)
            sizes[key] = count(functions[key].node, depth + 1)
            open_calls.discard(key)
        return sizes[key]

    if count(model.graph.node, 0) > MAX_NODES:
        raise GraphError(f"{where}: its functions unfold to more than {MAX_NODES} nodes, expected fewer")
    for key in functions:
        size(key, 0)
