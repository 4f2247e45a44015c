"""Turns the nodes of an ONNX graph into layers: scopes, upgrades, shapes, and what folds away."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy

from annette.errors import GraphError
from annette.graph.constant_folding import fold_layer
from annette.graph.network import Layer, Network, Tensor
from annette.graph.onnx_order import captured_names, defined_names, in_order
from annette.graph.onnx_tensors import TensorTable
from annette.graph.onnx_types import KnownTypes, completed
from annette.graph.onnx_upgrade import Draft, upgrade_draft
from annette.graph.onnx_values import (
    MAX_RANK,
    NUMPY_DTYPES,
    OPAQUE_DOMAIN,
    Array,
    is_value_wanted,
    node_attributes,
    tensor_contents,
    tensor_shape,
)
from annette.graph.shapes import DataDependentShape, UnknownOperator, infer_outputs

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

__all__ = ["GraphReader"]

_log = logging.getLogger(__name__)

MAX_BRANCH_DEPTH = 24
"""Branches of If inside branches."""
_NEVER_FOLDED = frozenset(
    (
        "Bernoulli", "If", "Loop", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
        "RandomUniformLike", "Scan",
    )
)  # fmt: skip
_GRAPH = 5

Names = Mapping[str, str]


class GraphReader:
    """Collects the layers of one graph, node by node, over a table of its tensors.

    Parameters
    ----------
    opset : int
        Version of the default domain.
    types : KnownTypes or None
        Asked where no shape rule knows the operator; ``None`` inside branches.
    table : TensorTable
        Holds the inputs already; gets everything else.
    """

    def __init__(self, opset: int, types: KnownTypes | None, table: TensorTable) -> None:
        self._opset = opset
        self._types = types
        self._table = table
        self._layers: list[Layer] = []
        self._layer_names: set[str] = set()
        self._name_counts: dict[str, int] = {}
        self._read: set[str] = set()
        self._guesses: list[str] = []

    def add_graph(self, graph: GraphProto, names: Names, depth: int = 0) -> dict[str, str]:
        """Read weights and nodes; ``names`` says what tensors are called here where the graph says otherwise.

        Returns ``names`` with what the nodes added.

        Raises
        ------
        GraphError
            For cycles, names defined twice or never, and shapes that do not fit.
        """
        scope = dict(names)
        for proto in graph.initializer:
            self._table.add_weight(proto, scope.get(proto.name, proto.name))
        for sparse in graph.sparse_initializer:
            self._table.add_sparse_weight(sparse, scope.get(sparse.values.name, sparse.values.name))
        tensors = self._table.tensors
        for node in in_order(graph.node, lambda name: scope.get(name, name) in tensors):
            self._add_node(node, scope, depth)
        return scope

    def finish(self, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> Network:
        """The network, without the layers that served only what was folded away.

        Raises
        ------
        GraphError
            If nothing computes an output.
        """
        tensors = self._table.tensors
        missing = [item for item in outputs if item not in tensors]
        if missing:
            raise GraphError(
                f"output {missing[0]!r} is computed by no node, expected that one does; export again"
            )
        needed = set(outputs)
        kept: list[Layer] = []
        for layer in reversed(self._layers):
            if not needed.isdisjoint(layer.outputs) or self._read.isdisjoint(layer.outputs):
                kept.append(layer)
                needed.update(layer.inputs)
        kept.reverse()
        if self._guesses:
            more = f" (and {len(self._guesses) - 1} more such layers)" if len(self._guesses) > 1 else ""
            _log.warning("network %r: %s%s", name, self._guesses[0], more)
        wanted: set[str] = set()
        used = {*inputs, *outputs}
        for layer in kept:
            used.update(layer.inputs, layer.outputs)
            for position, item in enumerate(layer.inputs):
                if item and tensors[item].is_constant and is_value_wanted(tensors[item], layer, position):
                    wanted.add(item)
        return Network(
            name=name,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            layers=tuple(kept),
            tensors={
                item: self._table.final(tensor, wanted) for item, tensor in tensors.items() if item in used
            },
        )

    # Nodes -----------------------------------------------------------------------------------------

    def _add_node(self, node: NodeProto, scope: dict[str, str], depth: int) -> None:
        inputs = [scope.get(item, item) for item in (*node.input, *captured_names(node))]
        outputs = [scope.get(item, item) for item in node.output]
        self._read.update(inputs)
        domain = "" if node.domain == "ai.onnx" else node.domain
        branches = [item.g for item in node.attribute if item.type == _GRAPH] if domain == "" else []
        if node.op_type == "If" and len(branches) == 2 and self._inline_branch(node, inputs, scope, depth):
            return
        if (
            node.op_type in ("Constant", "ConstantOfShape")
            and domain == ""
            and self._add_constant(node, inputs, outputs)
        ):
            return
        draft = Draft(
            name=node.name or node.op_type,
            op_type=node.op_type,
            domain=domain,
            inputs=inputs,
            outputs=outputs,
            attributes=node_attributes(node),
        )
        for item in upgrade_draft(draft, self._opset, self._table):
            self._read.update(item.inputs)
            self._add_draft(item, node, scope, depth)

    def _add_draft(self, draft: Draft, node: NodeProto, scope: Names, depth: int) -> None:
        domain = draft.domain
        is_opaque = domain == OPAQUE_DOMAIN or domain.startswith(f"{OPAQUE_DOMAIN}.")
        layer = Layer(
            name=self._unique(draft.name),
            op_type=draft.op_type,
            domain=domain[len(OPAQUE_DOMAIN) + 1 :] if is_opaque else domain,
            inputs=tuple(draft.inputs),
            outputs=tuple(draft.outputs),
            attributes=tuple(draft.attributes.items()),
        )
        if not is_opaque and self._fold(layer):
            return
        tensors: Sequence[Tensor] | None = None
        if not is_opaque:
            try:
                tensors = self._infer(layer)
            except DataDependentShape as err:
                tensors = self._bounded(layer, err)
            except UnknownOperator as err:
                _log.debug("%s", err)
        if tensors is None:
            tensors = self._describe(layer, node, scope, depth, is_opaque)
        for tensor in tensors:
            self._table.define(tensor)
        self._layer_names.add(layer.name)
        self._layers.append(layer)

    def _unique(self, name: str) -> str:
        """``name``, or with a running number where a layer has it: many files name no node at all."""
        result = name
        while result in self._layer_names:
            self._name_counts[name] = self._name_counts.get(name, 1) + 1
            result = f"{name}_{self._name_counts[name]}"
        return result

    def _infer(self, layer: Layer) -> tuple[Tensor, ...]:
        try:
            return infer_outputs(layer, self._table.tensors)
        except GraphError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as err:
            raise GraphError(
                f"layer {layer.name!r}: its attributes or inputs make no sense ({err!r}), "
                "expected what the operator defines; export again"
            ) from err

    # Constants ---------------------------------------------------------------------------------------

    def _add_constant(self, node: NodeProto, inputs: Sequence[str], outputs: Sequence[str]) -> bool:
        """Make a constant of a node that holds one, or that fills a known shape."""
        if len(outputs) != 1 or not outputs[0]:
            return False
        held: TensorProto | None = None
        for item in node.attribute:
            if item.HasField("t"):
                held = item.t
            elif item.HasField("sparse_tensor"):
                shape, dtype = tuple(item.sparse_tensor.dims), tensor_shape(item.sparse_tensor.values, "")[1]
                self._table.add_constant(outputs[0], shape, dtype, None)
                return True
        if node.op_type == "ConstantOfShape":
            return self._fill(held, inputs, outputs[0])
        if held is not None:
            shape, dtype = tensor_shape(held, f"node {node.name!r}")
            self._table.add_constant(outputs[0], shape, dtype, tensor_contents(held))
            return True
        for name, dtype in (("float", "float32"), ("int", "int64"), ("string", "string")):
            attributes = node_attributes(node)
            for key in (f"value_{name}", f"value_{name}s"):
                if key in attributes:
                    try:
                        array = numpy.array(attributes[key], dtype=NUMPY_DTYPES.get(dtype, object))
                    except (OverflowError, TypeError, ValueError) as err:
                        raise GraphError(
                            f"node {node.name!r}: {key} is {attributes[key]!r:.80}, expected {dtype}"
                        ) from err
                    self._table.add_constant(outputs[0], array.shape, dtype, array)
                    return True
        return False

    def _fill(self, held: TensorProto | None, inputs: Sequence[str], output: str) -> bool:
        """ConstantOfShape: it is how some model zoos write their weights."""
        sizes = self._table.contents(inputs[0]) if len(inputs) == 1 else None
        if sizes is None:
            return False
        shape = tuple(int(item) for item in sizes.ravel())
        dtype = "float32" if held is None else tensor_shape(held, "a filler")[1]
        filler = numpy.zeros(1, numpy.float32) if held is None else tensor_contents(held)
        tensor = Tensor(name=output, shape=shape, dtype=dtype)
        contents: Array | None = None
        if filler is not None and filler.size == 1 and tensor.size <= 1 << 16 and len(shape) <= MAX_RANK:
            contents = numpy.full(shape, filler.ravel()[0], dtype=filler.dtype)
        self._table.add_constant(output, shape, dtype, contents)
        return True

    def _fold(self, layer: Layer) -> bool:
        """Make constants of the layer's outputs if they do not depend on the network's inputs."""
        tensors = [self._table.tensors.get(item) for item in layer.inputs if item]
        if layer.op_type in ("Shape", "Size") and layer.domain == "" and tensors and tensors[0] is not None:
            return self._fold_shape(layer, tensors[0])
        is_constant = bool(tensors) and all(item is not None and item.is_constant for item in tensors)
        if not is_constant or layer.domain != "" or layer.op_type in _NEVER_FOLDED:
            return False
        try:
            results: tuple[Tensor, ...] | None = self._infer(layer)
        except DataDependentShape:
            results = None
        except UnknownOperator:
            return False
        contents = [self._table.contents(item) if item else None for item in layer.inputs]
        is_known = all(array is not None for item, array in zip(layer.inputs, contents, strict=True) if item)
        expected = None if results is None else [(item.shape, item.dtype) for item in results]
        arrays = fold_layer(layer, contents, expected) if is_known else None
        if results is None:
            if arrays is None:
                return False
            dtypes = [item.dtype.name if item.dtype.name in NUMPY_DTYPES else "string" for item in arrays]
            for name, array, dtype in zip(layer.outputs, arrays, dtypes, strict=False):
                self._table.add_constant(name, array.shape, dtype, array)
            return True
        stored = self._table.stored_dtype(layer)
        for index, tensor in enumerate(results):
            found = None if arrays is None else arrays[index]
            self._table.add_constant(tensor.name, tensor.shape, tensor.dtype, found, stored)
        return True

    def _fold_shape(self, layer: Layer, tensor: Tensor) -> bool:
        if tensor.dtype == "opaque":
            return False
        results = self._infer(layer)
        if layer.op_type == "Size":
            array = numpy.array(tensor.size, dtype=numpy.int64)
        else:
            start, end = layer.int_attribute("start", 0), layer.int_attribute("end", len(tensor.shape))
            array = numpy.array(tensor.shape[start:end], dtype=numpy.int64)
        for result in results:
            self._table.add_constant(result.name, array.shape, "int64", array)
        return True

    # What no rule knows --------------------------------------------------------------------------------

    def _describe(
        self, layer: Layer, node: NodeProto, scope: Names, depth: int, is_opaque: bool
    ) -> list[Tensor]:
        """The outputs of a layer without a shape rule: from its branch, from the file, or a guess."""
        unknown = [item for item in layer.inputs if item and item not in self._table.tensors]
        if unknown:
            raise GraphError(f"layer {layer.name!r}: nothing is known of its input {unknown[0]!r}")
        branch = self._branch_outputs(node, scope, depth) if layer.op_type == "If" and not is_opaque else {}
        read = [self._table.tensors[item] for item in layer.inputs if item]
        like = next((item for item in read if not item.is_constant), read[0] if read else None)
        found: list[Tensor] = []
        for index, name in enumerate(layer.outputs):
            if not name:
                continue
            known = branch.get(index) or (self._types.lookup(name) if self._types else None)
            if known is None:
                known = self._guess(layer, name, self._carried(layer, node, index) or like, is_opaque)
            found.append(Tensor(name=name, shape=known[0], dtype=known[1]))
        return found

    def _bounded(self, layer: Layer, err: DataDependentShape) -> list[Tensor] | None:
        """The largest outputs that contents can lead to; ``None`` where none are or the file knows better."""
        if len(err.largest) < len(layer.outputs) or any(
            self._types and self._types.lookup(name) for name in layer.outputs if name
        ):
            return None
        shapes = ", ".join(str(shape) for shape, _ in err.largest[: len(layer.outputs)])
        self._guesses.append(f"{err}; taken to be the largest possible, {shapes}")
        return [
            Tensor(name=name, shape=shape, dtype=dtype)
            for name, (shape, dtype) in zip(layer.outputs, err.largest, strict=False)
            if name
        ]

    def _carried(self, layer: Layer, node: NodeProto, index: int) -> Tensor | None:
        """The first value of the state that output ``index`` of a loop hands out."""
        first = {"Loop": 2, "Scan": 0}.get(layer.op_type)
        if first is None or layer.domain != "":
            return None
        states = len(node.input) - first - max(layer.int_attribute("num_scan_inputs", 0), 0)
        return self._table.tensors.get(layer.inputs[first + index]) if index < states else None

    def _guess(
        self, layer: Layer, name: str, like: Tensor | None, is_opaque: bool
    ) -> tuple[tuple[int, ...], str]:
        """The shape of the input ``like``, as far as the file does not know better."""
        if is_opaque:
            return (), "opaque"
        shape, dtype = (like.shape, like.dtype) if like else ((), "float32")
        known = self._types.partly(name) if self._types else None
        if known is not None:
            shape, dtype = shape if known[0] is None else completed(known[0], shape), known[1]
        self._guesses.append(
            f"layer {layer.name!r} ({layer.op_type}): the shape of its output is not known; "
            f"taken to be {shape}, after that of its input"
        )
        return shape, dtype

    def _branch_outputs(
        self, node: NodeProto, scope: Names, depth: int
    ) -> dict[int, tuple[tuple[int, ...], str]]:
        """Shapes of an If with an unknown condition: those of its then-branch, where that can be told."""
        branch = next((item.g for item in node.attribute if item.name == "then_branch"), None)
        if branch is None or depth >= MAX_BRANCH_DEPTH:
            return {}
        scratch = GraphReader(self._opset, None, self._table.scratch())
        try:
            inner = scratch.add_graph(branch, scratch.local_names(branch, scope, "then"), depth + 1)
        except GraphError as err:
            _log.debug("%s", err)
            return {}
        found = {}
        for index, item in enumerate(branch.output):
            tensor = scratch._table.tensors.get(inner.get(item.name, item.name))
            if tensor is not None:
                found[index] = (tensor.shape, tensor.dtype)
        return found

    def _inline_branch(
        self, node: NodeProto, inputs: Sequence[str], scope: dict[str, str], depth: int
    ) -> bool:
        """Put the branch that a known condition chooses in the place of an If."""
        condition = self._table.contents(inputs[0]) if node.input else None
        if condition is None or condition.size != 1 or depth >= MAX_BRANCH_DEPTH:
            return False
        wanted = "then_branch" if condition.ravel()[0] else "else_branch"
        branch = next((item.g for item in node.attribute if item.name == wanted), None)
        if branch is None or len(branch.output) < len(node.output):
            return False
        inner = self.add_graph(branch, self.local_names(branch, scope, node.name or "if"), depth + 1)
        for name, result in zip(node.output, branch.output, strict=False):
            source = inner.get(result.name, result.name)
            self._read.add(source)
            scope[name] = source
        return True

    def local_names(self, graph: GraphProto, scope: Names, prefix: str) -> dict[str, str]:
        """``scope`` with a new name for everything that ``graph`` defines itself."""
        defined = defined_names(graph)
        return {**scope, **{name: self._table.fresh(f"{prefix}/{name}") for name in defined}}
