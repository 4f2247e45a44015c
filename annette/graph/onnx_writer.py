"""Writes networks as ONNX models that runtimes can run, with zero or random weights."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy

from annette.errors import GraphError
from annette.graph.network import Layer, Network, Tensor
from annette.graph.onnx_opsets import (
    OFFICIAL_DOMAINS,
    WRITTEN_OPSET,
    Spelling,
    least_spelling,
    make_attribute,
)
from annette.graph.onnx_tensors import TensorTable
from annette.graph.onnx_upgrade import CURRENT_OPSET, Draft, upgrade_draft
from annette.graph.onnx_values import CONTENTS_KNOWN, CONTENTS_UNKNOWN, ONNX_NUMBERS, OPAQUE_DOMAIN, type_of
from annette.graph.onnx_weights import WeightFill, known_bytes, made_up_bytes, weight_fills
from annette.graph.shapes import UnknownOperator, infer_outputs

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

__all__ = ["MAX_MODEL_BYTES", "to_onnx_model", "write_onnx"]

MAX_MODEL_BYTES = (2 << 30) - (64 << 20)
"""Weights above this go into a file of their own: protobuf ends at 2 GiB."""
MAX_WEIGHT_BYTES = 64 << 30
"""Networks with more weights are not written."""
_CHUNK_ALIGNMENT = 4096
STORED_SCALE = 2.0**-12
"""Of quantised weights: random bytes then have a deviation of 0.018."""
_CONTROL_FLOW = frozenset(("If", "Loop", "Scan", "SequenceMap"))

Weights = Literal["zero", "random"]


def to_onnx_model(network: Network, *, weights: Weights = "zero", seed: int = 0) -> ModelProto:
    """The network as an ONNX model with its weights inside.

    The opset is 18, or the first later one that has all the operators in their form. Known constants keep
    their contents; others are made up and marked so, which keeps the content id when the model is read
    again. Layers that ONNX cannot express without what annette does not keep (bodies of loops, shapes that
    depend on data) become operators of the domain ``annette.opaque``, which the reader takes back.

    Parameters
    ----------
    network : Network
        What to write.
    weights : {"zero", "random"}
        Contents of weights; with ``random`` activations stay finite.
    seed : int
        Of the random weights.

    Raises
    ------
    GraphError
        If the weights do not fit a model (2 GiB); `write_onnx` can write those.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> from annette.graph.onnx_reader import network_from_onnx_bytes
    >>> build = NetworkBuilder("one")
    >>> network = build.finish(build.relu(build.input("x", (1, 3))))
    >>> data = to_onnx_model(network).SerializeToString()
    >>> network_from_onnx_bytes(data, "one").id == network.id
    True
    """
    total = _weight_bytes(network)
    if total > MAX_MODEL_BYTES:
        raise GraphError(
            f"network {network.name!r}: {total} bytes of weights, expected at most "
            f"{MAX_MODEL_BYTES} in one model; write it to a file with write_onnx instead"
        )
    model = _model_without_weights(network)
    for tensor, data in _weight_data(network, weights, seed):
        _fill_initializer(model.graph.initializer.add(), tensor, data)
    return model


def write_onnx(
    network: Network, path: str | os.PathLike[str], *, weights: Weights = "zero", seed: int = 0
) -> None:
    """Write the network as an ONNX file.

    Weights of more than 2 GiB go to a file beside it, called after it with ``.data`` at the end.

    Raises
    ------
    GraphError
        If the file cannot be written, or the weights exceed 64 GiB.
    """
    target = Path(path)
    total = _weight_bytes(network)
    if total > MAX_WEIGHT_BYTES:
        raise GraphError(
            f"network {network.name!r}: {total} bytes of weights, expected at most {MAX_WEIGHT_BYTES}"
        )
    try:
        if total > MAX_MODEL_BYTES:
            model = _write_external(network, target, weights, seed)
        else:
            model = to_onnx_model(network, weights=weights, seed=seed)
        partial = target.with_name(f"{target.name}.part")
        partial.write_bytes(model.SerializeToString())
        os.replace(partial, target)
    except OSError as err:
        raise GraphError(
            f"{target.name}: cannot be written ({err.strerror}), expected a writable path"
        ) from err


def _weight_bytes(network: Network) -> int:
    return sum(tensor.size_bytes for tensor in network.tensors.values() if tensor.is_constant)


def _weight_data(network: Network, weights: Weights, seed: int) -> Iterator[tuple[Tensor, bytes]]:
    if weights not in ("zero", "random"):
        raise GraphError(f"weights {weights!r}, expected 'zero' or 'random'")
    fills, biases = weight_fills(network), _quantised_biases(network)
    for index, (name, tensor) in enumerate(network.tensors.items()):
        if tensor.is_constant:
            if tensor.value is not None:
                data = b"" if tensor.dtype == "string" else known_bytes(tensor)
                yield tensor, data
            else:
                rng = numpy.random.default_rng([seed, index])
                stored = _as_stored(tensor)
                data = made_up_bytes(stored, fills.get(name, WeightFill()), weights, rng)
                yield stored, data
            for bias in (key for key, scale in biases.items() if scale == name):
                product = numpy.frombuffer(data, "<f4", count=1)[0] * numpy.float32(STORED_SCALE)
                yield _scale_of(bias), product.astype("<f4").tobytes()


def _fill_initializer(result: TensorProto, tensor: Tensor, data: bytes | None) -> None:
    result.name, result.data_type = tensor.name, ONNX_NUMBERS[tensor.dtype]
    result.dims.extend(tensor.shape)
    result.doc_string = CONTENTS_UNKNOWN if tensor.value is None else CONTENTS_KNOWN
    if tensor.dtype == "string":
        texts = [""] * tensor.size if tensor.value is None else tensor.value
        result.string_data.extend(str(item).encode("utf-8", "surrogateescape") for item in texts)
    elif data is not None:
        result.raw_data = data


def _write_external(network: Network, target: Path, weights: Weights, seed: int) -> ModelProto:
    """Write the weights beside ``target``; zeros become holes where the file system has them."""
    from onnx import TensorProto

    model = _model_without_weights(network)
    beside = target.with_name(f"{target.name}.data")
    with open(beside, "wb") as file:
        end = 0
        for tensor, data in _weight_data(network, weights, seed):
            proto = model.graph.initializer.add()
            _fill_initializer(proto, tensor, None)
            if len(data) > 1024:
                start = -(-end // _CHUNK_ALIGNMENT) * _CHUNK_ALIGNMENT
                end = start + len(data)
                if weights == "random" or any(data[:1024]):
                    file.seek(start)
                    file.write(data)
                proto.data_location = TensorProto.EXTERNAL
                for key, value in (("location", beside.name), ("offset", start), ("length", len(data))):
                    proto.external_data.add(key=key, value=str(value))
            elif tensor.dtype != "string":
                proto.raw_data = data
        file.truncate(end)
    return model


# The graph ---------------------------------------------------------------------------------------------


def _model_without_weights(network: Network) -> ModelProto:
    from onnx import ModelProto, helper

    table = TensorTable(network.tensors)
    table.tensors.update(network.tensors)
    model = ModelProto(producer_name="annette")
    graph = model.graph
    graph.name = network.name or "network"
    versions = {"": WRITTEN_OPSET}
    for draft in _dequantisations(network, table):
        graph.node.append(_node(draft, table.tensors, versions))
    for layer in network.layers:
        for draft in _drafts(layer, network, table):
            graph.node.append(_node(draft, table.tensors, versions))
    for name, tensor in table.tensors.items():
        if name not in network.tensors and tensor.is_constant and tensor.value is not None:
            _fill_initializer(graph.initializer.add(), tensor, known_bytes(tensor))
    _describe_tensors(network, graph)
    for domain, version in sorted(versions.items()):
        model.opset_import.add(domain=domain, version=version)
    model.ir_version = max(8, helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True))
    return model


def _as_stored(tensor: Tensor) -> Tensor:
    """The initialiser of a weight: under a name of its own where the weight is what dequantisation makes."""
    if tensor.stored_dtype is None:
        return tensor
    return replace(tensor, name=f"{tensor.name}:stored", dtype=tensor.stored_dtype, stored_dtype=None)


def _dequantisations(network: Network, table: TensorTable) -> Iterator[Draft]:
    """What makes the quantised weights of their initialisers; adds these to ``table``."""
    biases, looked_up = _quantised_biases(network), _quantised_tables(network)
    for name, tensor in network.tensors.items():
        if tensor.stored_dtype is not None:
            stored = _as_stored(tensor)
            table.define(stored)
            if name in looked_up:
                inputs = [stored.name, *looked_up[name]]
            elif name in biases:
                table.define(_scale_of(name))
                inputs = [stored.name, _scale_of(name).name]
            else:
                inputs = [stored.name, table.constant((STORED_SCALE,), tensor.dtype, ())]
            if name not in looked_up and stored.dtype == "uint8":  # random bytes are to have a mean of zero
                inputs.append(table.constant((128,), stored.dtype, ()))
            elif name not in looked_up and stored.dtype == "int8":  # its default; runtimes want to see it
                inputs.append(table.constant((0,), stored.dtype, ()))
            yield Draft(
                name=f"{name}:dequantise", op_type="DequantizeLinear", domain="",
                inputs=inputs, outputs=[name], attributes={},
            )  # fmt: skip


def _quantised_biases(network: Network) -> dict[str, str]:
    """Biases kept as int32, with the scale of the activations beside them.

    Such a bias has the scale of the activations times that of the weights, as it starts the accumulator of
    their products; runtimes compute with integers only where this is so.
    """
    found = {}
    for layer in network.layers:
        if layer.op_type in ("Conv", "ConvTranspose", "Gemm") and len(layer.inputs) > 2 and layer.inputs[2]:
            bias, producer = network.tensors[layer.inputs[2]], network.producer(layer.inputs[0])
            if bias.stored_dtype != "int32" or producer is None or producer.op_type != "DequantizeLinear":
                continue
            scale = network.tensors[producer.inputs[1]]
            if scale.is_constant and scale.size == 1 and scale.dtype == bias.dtype == "float32":
                found[bias.name] = scale.name
    return found


def _quantised_tables(network: Network) -> dict[str, tuple[str, ...]]:
    """Tables from which Gather reads what is quantised again, with scale and zero point of that.

    The rows of such a table keep their bytes: runtimes then look up integers instead of dequantising it all.
    """
    found: dict[str, tuple[str, ...]] = {}
    for layer in network.layers:
        table = network.tensors[layer.inputs[0]] if layer.op_type == "Gather" else None
        if table is None or table.stored_dtype is None or len(network.consumers(table.name)) > 1:
            continue
        for reader in network.successors(layer):
            if reader.op_type == "QuantizeLinear" and len(reader.inputs) == 3:
                scale, zero = (network.tensors[name] for name in reader.inputs[1:])
                is_alike = (scale.dtype, zero.dtype) == (table.dtype, table.stored_dtype)
                if is_alike and scale.is_constant and zero.is_constant and scale.size == zero.size == 1:
                    found[table.name] = reader.inputs[1:]
    return found


def _scale_of(bias: str) -> Tensor:
    return Tensor(name=f"{bias}:scale", shape=(), is_constant=True)


def _drafts(layer: Layer, network: Network, table: TensorTable) -> Sequence[Draft]:
    """The layer in today's form; in annette's own domain if its shapes do not follow from ONNX's rules."""
    draft = Draft(
        name=layer.name,
        op_type=layer.op_type,
        domain=layer.domain,
        inputs=list(layer.inputs),
        outputs=list(layer.outputs),
        attributes=dict(layer.attributes),
    )
    if layer.domain in OFFICIAL_DOMAINS and not _is_expressible(layer, network):
        draft.domain = f"{OPAQUE_DOMAIN}.{layer.domain}".rstrip(".")
        return (draft,)
    return upgrade_draft(draft, CURRENT_OPSET, table)


def _is_expressible(layer: Layer, network: Network) -> bool:
    if layer.op_type in _CONTROL_FLOW:
        return False
    outputs = network.output_tensors(layer)
    try:
        found = infer_outputs(layer, network.tensors)
    except UnknownOperator:
        found = _onnx_outputs(layer, network)
    return [(item.shape, item.dtype) for item in found] == [(item.shape, item.dtype) for item in outputs]


def _onnx_outputs(layer: Layer, network: Network) -> tuple[Tensor, ...]:
    """What ONNX's own inference says of one layer that no rule of ours knows; empty if that is not all."""
    from onnx import checker, defs, shape_inference

    read = [network.tensors[name] for name in layer.inputs if name]
    if any(tensor.dtype == "opaque" for tensor in read):
        return ()
    types = {tensor.name: _value_info(tensor).type for tensor in read}
    draft = Draft(
        name=layer.name, op_type=layer.op_type, domain=layer.domain, inputs=list(layer.inputs),
        outputs=list(layer.outputs), attributes=dict(layer.attributes),
    )  # fmt: skip
    node = _node(draft, network.tensors, {})
    try:
        schema = defs.get_schema(layer.op_type, domain=layer.domain)
        inferred = shape_inference.infer_node_outputs(schema, node, types)
    except (
        checker.ValidationError, defs.SchemaError, shape_inference.InferenceError, RuntimeError, TypeError,
        ValueError,
    ):  # fmt: skip
        return ()
    found = []
    for name in filter(None, layer.outputs):
        known = type_of(inferred[name], {}) if name in inferred else None
        if known is None or known[0] is None or not all(isinstance(size, int) for size in known[0]):
            return ()
        found.append(
            Tensor(name=name, shape=tuple(size for size in known[0] if isinstance(size, int)), dtype=known[1])
        )
    return tuple(found)


def _node(draft: Draft, tensors: Mapping[str, Tensor], versions: dict[str, int]) -> NodeProto:
    from onnx import NodeProto

    domain = draft.domain
    spelling: Spelling | None = None
    if domain in OFFICIAL_DOMAINS:
        inputs, outputs = (
            tuple(tensors[name].dtype if name in tensors else "" for name in names)
            for names in (draft.inputs, draft.outputs)
        )
        settings = frozenset(
            (name, value if isinstance(value, str) else "") for name, value in draft.attributes.items()
        )
        spelling = least_spelling(draft.op_type, domain, settings, inputs, outputs)
        if spelling is None:
            domain = f"{OPAQUE_DOMAIN}.{domain}".rstrip(".")
    versions[domain] = max(versions.get(domain, 1), 1 if spelling is None else spelling.version)
    kinds = {} if spelling is None else spelling.attribute_kinds
    first = next((tensors[name] for name in draft.outputs if name in tensors), None)
    dtype = first.dtype if first is not None and first.dtype in ONNX_NUMBERS else "float32"
    node = NodeProto(
        name=draft.name, op_type=draft.op_type, domain=domain, input=draft.inputs, output=draft.outputs
    )
    for name, value in sorted(draft.attributes.items()):
        node.attribute.append(make_attribute(name, value, kinds.get(name), dtype))
    return node


def _describe_tensors(network: Network, graph: GraphProto) -> None:
    ends = set(network.inputs)
    for name in network.inputs:
        graph.input.append(_value_info(network.tensors[name]))
    for name in network.outputs:
        graph.output.append(_value_info(network.tensors[name]))
        ends.add(name)
    for name, tensor in network.tensors.items():
        if name not in ends and not tensor.is_constant and tensor.dtype != "opaque":
            graph.value_info.append(_value_info(tensor))


def _value_info(tensor: Tensor) -> ValueInfoProto:
    from onnx import ValueInfoProto

    result = ValueInfoProto(name=tensor.name)
    if tensor.dtype == "opaque":  # a sequence of tensors: that is what they mostly are
        result.type.sequence_type.elem_type.tensor_type.elem_type = ONNX_NUMBERS["float32"]
        return result
    result.type.tensor_type.elem_type = ONNX_NUMBERS[tensor.dtype]
    result.type.tensor_type.shape.SetInParent()
    for size in tensor.shape:
        result.type.tensor_type.shape.dim.add().dim_value = size
    return result
