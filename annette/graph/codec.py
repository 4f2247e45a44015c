"""Writes networks as JSON text and reads them back; used by the store, and safe to read from strangers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, cast

from annette.errors import GraphError
from annette.graph.network import AttributeValue, Layer, Network, Scalar, Tensor
from annette.graph.shapes import DataDependentShape, UnknownOperator, infer_outputs

__all__ = ["SCHEMA_VERSION", "network_from_json", "network_to_json"]

SCHEMA_VERSION = 1
_KEYS = frozenset(("schema_version", "name", "inputs", "outputs", "tensors", "layers"))
_NON_FINITE = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


def network_to_json(network: Network) -> str:
    """The network as compact JSON of one line.

    Tensors are ``[name, shape, dtype, is_constant, value]``, with the stored dtype behind where there is
    one; layers ``[name, op_type, domain, inputs,
    outputs, {attribute: value}]``. Floats that JSON does not have are ``{"float": "Infinity"}``.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("one")
    >>> network = build.finish(build.relu(build.input("x", (1, 3))))
    >>> network_from_json(network_to_json(network)).id == network.id
    True
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "name": network.name,
        "inputs": network.inputs,
        "outputs": network.outputs,
        "tensors": [
            [
                tensor.name,
                tensor.shape,
                tensor.dtype,
                int(tensor.is_constant),
                None if tensor.value is None else [_number(item) for item in tensor.value],
                *(() if tensor.stored_dtype is None else (tensor.stored_dtype,)),
            ]
            for tensor in network.tensors.values()
        ],
        "layers": [
            [
                layer.name,
                layer.op_type,
                layer.domain,
                layer.inputs,
                layer.outputs,
                {key: _attribute(value) for key, value in layer.attributes},
            ]
            for layer in network.layers
        ],
    }
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def network_from_json(text: str) -> Network:
    """The network that `network_to_json` wrote.

    Raises
    ------
    GraphError
        If the text is no such JSON, its schema version is unknown, or the network is not sound: each layer
        must be able to compute its outputs from its inputs, as a network that is read from ONNX can.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise GraphError(f"network: no JSON ({err}), expected what network_to_json writes") from err
    network = _network(document)
    for layer in network.layers:
        _require_sound(layer, network.tensors)
    return network


def _network(document: Any) -> Network:
    if not isinstance(document, dict) or "schema_version" not in document:
        raise GraphError("network: a JSON text without schema_version, expected what network_to_json writes")
    version = document["schema_version"]
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise GraphError(
            f"network: schema version {version!r}, expected {SCHEMA_VERSION}; "
            "a newer annette wrote it: update annette"
        )
    if document.keys() != _KEYS:
        raise GraphError(f"network: keys {sorted(document)}, expected {sorted(_KEYS)}")
    tensors = [_tensor(item, index) for index, item in enumerate(_list(document["tensors"], "tensors"))]
    by_name = {tensor.name: tensor for tensor in tensors}
    if len(by_name) != len(tensors):
        raise GraphError("network: two tensors have the same name, expected each name once")
    return Network(
        name=_text(document["name"], "name"),
        inputs=_texts(document["inputs"], "inputs"),
        outputs=_texts(document["outputs"], "outputs"),
        layers=tuple(_layer(item, index) for index, item in enumerate(_list(document["layers"], "layers"))),
        tensors=by_name,
    )


def _require_sound(layer: Layer, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a layer whose shape rule does not lead from its inputs to its outputs."""
    try:
        inferred = infer_outputs(layer, tensors)
    except (DataDependentShape, UnknownOperator):
        return
    except (ArithmeticError, LookupError, TypeError, ValueError) as err:
        if isinstance(err, GraphError):
            raise
        raise GraphError(
            f"network: layer {layer.name!r}: its inputs or attributes make no sense ({err!r})"
        ) from err
    for tensor in inferred:
        found = tensors[tensor.name]
        if found.shape != tensor.shape:
            raise GraphError(
                f"network: layer {layer.name!r}: output {tensor.name!r} of shape {found.shape}, "
                f"expected {tensor.shape}"
            )


def _number(value: Scalar) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    return value


def _attribute(value: AttributeValue) -> Any:
    return [_number(item) for item in value] if isinstance(value, tuple) else _number(value)


def _tensor(item: Any, index: int) -> Tensor:
    where = f"tensors[{index}]"
    is_short = isinstance(item, list) and len(item) == 5  # nothing is stored otherwise
    name, shape, dtype, constant, value, stored = _row([*item, None] if is_short else item, 6, where)
    sizes = _list(shape, f"{where}.shape")
    if not all(isinstance(size, int) and not isinstance(size, bool) for size in sizes):
        raise GraphError(f"network: {where}.shape is {shape!r}, expected integers")
    if constant not in (0, 1):
        raise GraphError(f"network: {where}.is_constant is {constant!r}, expected 0 or 1")
    return Tensor(
        name=_text(name, f"{where}.name"),
        shape=tuple(sizes),
        dtype=_text(dtype, f"{where}.dtype"),
        is_constant=bool(constant),
        value=None if value is None else _scalars(value, f"{where}.value"),
        stored_dtype=None if stored is None else _text(stored, f"{where}.stored_dtype"),
    )


def _layer(item: Any, index: int) -> Layer:
    where = f"layers[{index}]"
    name, op_type, domain, inputs, outputs, attributes = _row(item, 6, where)
    if not isinstance(attributes, dict):
        raise GraphError(f"network: {where}.attributes is {attributes!r}, expected an object")
    return Layer(
        name=_text(name, f"{where}.name"),
        op_type=_text(op_type, f"{where}.op_type"),
        domain=_text(domain, f"{where}.domain"),
        inputs=_texts(inputs, f"{where}.inputs"),
        outputs=_texts(outputs, f"{where}.outputs"),
        attributes=tuple(
            (
                _encodable(key, where, "strict"),
                cast(AttributeValue, _scalars(value, f"{where}.{key}"))
                if isinstance(value, list)
                else _scalar(value, f"{where}.{key}"),
            )
            for key, value in attributes.items()
        ),
    )


def _scalars(value: Any, where: str) -> tuple[Scalar, ...]:
    return tuple(_scalar(item, where) for item in _list(value, where))


def _scalar(value: Any, where: str) -> Scalar:
    if isinstance(value, dict) and value.keys() == {"float"} and str(value["float"]) in _NON_FINITE:
        return _NON_FINITE[str(value["float"])]
    if isinstance(value, int | float):
        if isinstance(value, int) and abs(value) >= 1 << 64:
            raise GraphError(f"network: {where} holds a number beyond 64 bits, expected a smaller one")
        return value
    if isinstance(value, str):
        return _encodable(
            value, where, "surrogateescape"
        )  # bytes that are not UTF-8 in an attribute of a file
    raise GraphError(f"network: {where} holds {value!r}, expected a number or a text")


def _row(item: Any, length: int, where: str) -> list[Any]:
    found = _list(item, where)
    if len(found) != length:
        raise GraphError(f"network: {where} has {len(found)} entries, expected {length}")
    return found


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise GraphError(f"network: {where} is {value!r:.80}, expected a list")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise GraphError(f"network: {where} is {value!r:.80}, expected a text")
    return _encodable(value, where, "strict")


def _encodable(value: str, where: str, errors: str) -> str:
    if not value.isascii():
        try:
            value.encode("utf-8", errors)
        except UnicodeEncodeError as err:
            raise GraphError(f"network: {where} is {value!a:.80}, expected a text in Unicode") from err
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    return tuple(_text(item, where) for item in _list(value, where))
