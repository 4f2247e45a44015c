"""Which opset can express a layer, and how its attributes are typed there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from annette.errors import GraphError
from annette.graph.network import AttributeValue
from annette.graph.onnx_values import ONNX_NUMBERS

if TYPE_CHECKING:
    from onnx import AttributeProto, TensorProto

__all__ = ["OFFICIAL_DOMAINS", "WRITTEN_OPSET", "Spelling", "least_spelling", "make_attribute", "make_tensor"]

WRITTEN_OPSET = 18
"""Files are written for this opset, or for a later one where an operator needs it (Gelu 20, ...)."""
OFFICIAL_DOMAINS: Mapping[str, int] = MappingProxyType({"": WRITTEN_OPSET, "ai.onnx.ml": 3})
"""Domains whose operators ONNX checks, each with the oldest version that is written."""

_TEXTS_SINCE: Mapping[tuple[str, str, str], int] = MappingProxyType(
    {
        ("GridSample", "mode", "cubic"): 20,
        ("GridSample", "mode", "linear"): 20,
        ("Pad", "mode", "wrap"): 19,
        ("Resize", "coordinate_transformation_mode", "half_pixel_symmetric"): 19,
    }
)
"""Values of attributes that an operator knows since that opset only; schemas do not tell."""
_TYPE_NAMES = {"float32": "float", "float64": "double", "float8": "float8e4m3fn", "float4": "float4e2m1"}
_FLOAT, _INT, _STRING, _TENSOR, _FLOATS, _INTS, _STRINGS = 1, 2, 3, 4, 6, 7, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """How one operator is written."""

    version: int
    """The version of its domain that has it in this form."""
    attribute_kinds: Mapping[str, int]
    """ONNX's type of each attribute."""


@lru_cache(maxsize=4096)
def least_spelling(
    op_type: str,
    domain: str,
    settings: frozenset[tuple[str, str]],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
) -> Spelling | None:
    """The oldest version from the written one on that has the operator in this form; ``None`` if none has.

    Parameters
    ----------
    op_type, domain : str
        The operator.
    settings : frozenset of (str, str)
        Names of the attributes that the layer carries, each with its value if that is a text.
    inputs : tuple of str
        dtype of each input; empty for an omitted one.
    outputs : tuple of str
        dtype of each output; empty for an omitted one.
    """
    from onnx import defs

    latest = defs.onnx_opset_version() if domain == "" else defs.onnx_ml_opset_version()
    attributes = frozenset(name for name, _ in settings)
    oldest = max((_TEXTS_SINCE.get((op_type, *item), 0) for item in settings), default=0)
    for version in range(max(OFFICIAL_DOMAINS[domain], oldest), latest + 1):
        try:
            schema = defs.get_schema(op_type, version, domain)
        except defs.SchemaError:
            continue
        if not schema.deprecated and _fits(schema, attributes, inputs, outputs):
            kinds = {name: int(getattr(item.type, "value", 0)) for name, item in schema.attributes.items()}
            return Spelling(version=version, attribute_kinds=MappingProxyType(kinds))
    return None


def _fits(schema: Any, attributes: frozenset[str], inputs: tuple[str, ...], outputs: tuple[str, ...]) -> bool:
    if not attributes <= schema.attributes.keys():
        return False
    if any(item.required and name not in attributes for name, item in schema.attributes.items()):
        return False
    if not schema.min_input <= len(inputs) <= schema.max_input:
        return False
    if not schema.min_output <= len(outputs) <= schema.max_output:
        return False
    return _allows(schema.inputs, inputs) and _allows(schema.outputs, outputs)


def _allows(formal: Any, dtypes: tuple[str, ...]) -> bool:
    """Whether the operands of a schema, of which the last may stand for several, have these dtypes."""
    for index, dtype in enumerate(dtypes):
        types = formal[min(index, len(formal) - 1)].types
        if dtype and dtype != "opaque" and f"tensor({_TYPE_NAMES.get(dtype, dtype)})" not in types:
            return False
    return True


def make_attribute(
    name: str, value: AttributeValue, kind: int | None, tensor_dtype: str = "float32"
) -> AttributeProto:
    """An attribute of the given ONNX type, or of the type that the value suggests.

    Raises
    ------
    GraphError
        If the value does not fit the type.
    """
    from onnx import AttributeProto

    kind = _natural_kind(value) if kind is None else kind
    result = AttributeProto(name=name, type=kind)  # type: ignore[arg-type]
    items = value if isinstance(value, tuple) else (value,)
    try:
        if kind == _FLOAT:
            result.f = float(items[0])
        elif kind == _INT:
            result.i = int(items[0])
        elif kind == _STRING:
            result.s = _bytes(items[0])
        elif kind == _FLOATS:
            result.floats.extend(float(item) for item in items)
        elif kind == _INTS:
            result.ints.extend(int(item) for item in items)
        elif kind == _STRINGS:
            result.strings.extend(_bytes(item) for item in items)
        elif kind == _TENSOR:
            result.t.CopyFrom(make_tensor(items, tensor_dtype))
        else:
            raise ValueError("annette keeps no graphs and no types")
    except (IndexError, OverflowError, TypeError, ValueError) as err:
        raise GraphError(f"attribute {name!r} is {value!r}, which is not of its ONNX type {kind}") from err
    return result


def make_tensor(items: tuple[Any, ...], dtype: str) -> TensorProto:
    """A one-dimensional tensor for an attribute."""
    from onnx import helper

    dtype = "string" if items and all(isinstance(item, str) for item in items) else dtype
    return helper.make_tensor("value", ONNX_NUMBERS[dtype], [len(items)], list(items))


def _natural_kind(value: AttributeValue) -> int:
    if not isinstance(value, tuple):
        return _STRING if isinstance(value, str) else _FLOAT if isinstance(value, float) else _INT
    if value and all(isinstance(item, str) for item in value):
        return _STRINGS
    return _FLOATS if any(isinstance(item, float) for item in value) else _INTS


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value.encode("utf-8", "surrogateescape")
