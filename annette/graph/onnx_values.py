"""Between ONNX's protobuf messages and annette's values: element types, small contents, attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy

from annette.errors import GraphError
from annette.graph.network import AttributeValue, Layer, Scalar, Tensor
from annette.graph.shapes import ONNX_DTYPES

if TYPE_CHECKING:
    from onnx import AttributeProto, NodeProto, TensorProto, TypeProto

__all__ = [
    "CONTENTS_KNOWN",
    "CONTENTS_UNKNOWN",
    "MAX_RANK",
    "MAX_VALUE_ELEMENTS",
    "NUMPY_DTYPES",
    "ONNX_NUMBERS",
    "OPAQUE_DOMAIN",
    "Array",
    "is_value_wanted",
    "node_attributes",
    "scalars",
    "tensor_contents",
    "tensor_shape",
    "type_of",
]

Array = numpy.ndarray[Any, Any]

CONTENTS_KNOWN = "annette: contents known"
CONTENTS_UNKNOWN = "annette: contents not known"
"""Doc strings of the weights in files that annette wrote: whether the data mean something."""
OPAQUE_DOMAIN = "annette.opaque"
"""Domain of written layers that ONNX cannot express without what annette does not keep."""
MAX_VALUE_ELEMENTS = 1024
"""Contents of larger constants are not kept in a network."""

ONNX_NUMBERS: Mapping[str, int] = MappingProxyType(
    {dtype: number for number, dtype in sorted(ONNX_DTYPES.items(), reverse=True)}
)
"""ONNX's number for each of annette's dtypes (the first of the float8 kinds)."""
MAX_RANK = 32
"""Contents of constants with more axes are not kept either."""
NUMPY_DTYPES: Mapping[str, numpy.dtype[Any]] = MappingProxyType(
    {
        name: numpy.dtype(name)
        for name in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "bool",
                     "uint8", "uint16", "uint32", "uint64")
    }
)  # fmt: skip
"""dtypes that folding computes with; bfloat16 is read as float32."""

_TYPED_FIELDS = {
    "float32": "float_data",
    "float64": "double_data",
    "int64": "int64_data",
    "uint32": "uint64_data",
    "uint64": "uint64_data",
}
_VALUED_DTYPES = frozenset(("int64", "int32", "bool", "string"))
_SIZES_OF_RESIZE = frozenset((1, 2))
_WEIGHT_OPERATORS = frozenset(
    (
        "BatchNormalization", "Conv", "ConvInteger", "ConvTranspose", "DeformConv",
        "DequantizeLinear", "FusedConv", "FusedGemm", "FusedMatMul", "GRU", "Gemm",
        "GroupNormalization", "InstanceNormalization", "LSTM", "LayerNormalization", "MatMul",
        "MatMulInteger", "PRelu", "QGemm", "QLinearAdd", "QLinearConv", "QLinearMatMul",
        "QLinearMul", "QuantizeLinear", "RMSNormalization", "RNN",
    )
)  # fmt: skip


def is_value_wanted(tensor: Tensor, layer: Layer, position: int) -> bool:
    """Whether a constant's contents belong to the network, seen from one use.

    They do where shapes or the meaning of a layer depend on them: integers and booleans (axes, shapes,
    indices), the scales of Resize, and single numbers (bounds of Clip, exponents, factors). Weights of
    layers never do, however small: two networks that differ in trained numbers only are the same network.
    """
    if tensor.size > MAX_VALUE_ELEMENTS or layer.op_type in _WEIGHT_OPERATORS:
        return False
    if tensor.dtype in _VALUED_DTYPES or tensor.size <= 1:
        return True
    return layer.op_type in ("Resize", "Upsample") and position in _SIZES_OF_RESIZE


def tensor_shape(proto: TensorProto, where: str) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of an ONNX tensor.

    Raises
    ------
    GraphError
        For an element type that ONNX does not define or a negative dimension.
    """
    shape = tuple(proto.dims)
    dtype = ONNX_DTYPES.get(proto.data_type)
    if dtype is None:
        raise GraphError(f"{where}: tensor {proto.name!r} has data type {proto.data_type}, expected ONNX's")
    if any(size < 0 for size in shape):
        raise GraphError(f"{where}: tensor {proto.name!r} has shape {shape}, expected dimensions >= 0")
    return shape, dtype


def tensor_contents(proto: TensorProto) -> Array | None:
    """The contents of a small tensor; ``None`` where they are not in the message."""
    dtype = ONNX_DTYPES.get(proto.data_type, "opaque")
    size = math.prod(proto.dims)
    if (
        len(proto.dims) > MAX_RANK
        or proto.data_location
        or proto.doc_string == CONTENTS_UNKNOWN
        or not 0 <= size <= MAX_VALUE_ELEMENTS
    ):
        return None
    flat: Array | None
    if dtype == "string":
        flat = numpy.array([_text(item) for item in proto.string_data], dtype=object)
    elif proto.HasField("raw_data"):
        flat = _from_raw(proto.raw_data, dtype)
    else:
        fields = getattr(proto, _TYPED_FIELDS.get(dtype, "int32_data"))
        if dtype in ("float16", "bfloat16"):
            flat = _from_raw(numpy.array(fields).astype("<u2").tobytes(), dtype)
        elif dtype in NUMPY_DTYPES:
            flat = numpy.array(fields).astype(NUMPY_DTYPES[dtype])
        else:
            return None
    return flat.reshape(tuple(proto.dims)) if flat is not None and flat.size == size else None


def _from_raw(data: bytes, dtype: str) -> Array | None:
    if dtype == "bfloat16":
        if len(data) % 2:
            return None
        return (numpy.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    found = NUMPY_DTYPES.get(dtype)
    if found is None or len(data) % found.itemsize:
        return None
    return numpy.frombuffer(data, found.newbyteorder("<")).astype(found)


def scalars(array: Array) -> tuple[Scalar, ...]:
    """The elements in row-major order as Python's numbers."""
    return tuple(array.ravel().tolist())


def node_attributes(node: NodeProto) -> dict[str, AttributeValue]:
    """The attributes of a node without graphs, types, references and large tensors.

    Raises
    ------
    GraphError
        If one is given twice.
    """
    found: dict[str, AttributeValue] = {}
    names: set[str] = set()
    for item in node.attribute:
        if item.name in names:
            raise GraphError(f"node {node.name!r}: attribute {item.name!r} is given twice, expected once")
        names.add(item.name)
        value = _attribute_value(item)
        if value is not None:
            found[item.name] = value
    return found


def _attribute_value(proto: AttributeProto) -> AttributeValue | None:
    """The value of an attribute; ``None`` for graphs, types, references and large tensors."""
    kind = proto.type or _guess_kind(proto)
    if proto.ref_attr_name:
        return None
    if kind == 1 and proto.HasField("f"):
        return float(proto.f)
    if kind == 2 and proto.HasField("i"):
        return int(proto.i)
    if kind == 3 and proto.HasField("s"):
        return _text(proto.s)
    if kind == 4 and proto.HasField("t"):
        contents = tensor_contents(proto.t)
        return None if contents is None else scalars(contents)  # type: ignore[return-value]
    if kind == 6:
        return tuple(proto.floats)
    if kind == 7:
        return tuple(proto.ints)
    if kind == 8:
        return tuple(_text(item) for item in proto.strings)
    return None


def _guess_kind(proto: AttributeProto) -> int:
    """The type of an attribute that does not say it, as in the first files of ONNX."""
    for kind, field in ((1, "f"), (2, "i"), (3, "s"), (4, "t"), (5, "g")):
        if proto.HasField(field):
            return kind
    for kind, field in ((6, "floats"), (7, "ints"), (8, "strings")):
        if getattr(proto, field):
            return kind
    return 0


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def type_of(
    proto: TypeProto, symbols: Mapping[str, int]
) -> tuple[tuple[int | str | None, ...] | None, str] | None:
    """Dimensions and dtype that a type says: symbols that are bound are numbers, others stay.

    ``None`` if nothing is said; dimensions ``None`` if only the dtype is known. Sequences, maps and
    optionals are ``((), "opaque")``.
    """
    kind = proto.WhichOneof("value")
    if kind is None:
        return None
    if kind not in ("tensor_type", "sparse_tensor_type"):
        return (), "opaque"
    tensor = getattr(proto, kind)
    dtype = ONNX_DTYPES.get(tensor.elem_type)
    if dtype is None:
        return None
    if not tensor.HasField("shape"):
        return None, dtype
    dims: list[int | str | None] = []
    for dim in tensor.shape.dim:
        if dim.HasField("dim_value") and dim.dim_value >= 0:
            dims.append(dim.dim_value)
        else:
            dims.append(symbols.get(dim.dim_param, dim.dim_param) if dim.dim_param else None)
    return tuple(dims), dtype
