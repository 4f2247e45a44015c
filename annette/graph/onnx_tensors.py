"""The tensors of an ONNX graph while it is read: what is known of each, contents included where small."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Iterable, MutableMapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy

from annette.errors import GraphError
from annette.graph.network import Layer, Scalar, Tensor
from annette.graph.onnx_values import (
    CONTENTS_KNOWN,
    MAX_VALUE_ELEMENTS,
    NUMPY_DTYPES,
    Array,
    scalars,
    tensor_contents,
    tensor_shape,
)
from annette.graph.operators import WEIGHT_KEEPING

if TYPE_CHECKING:
    from onnx import SparseTensorProto, TensorProto

__all__ = ["TensorTable"]

_ALWAYS_VALUED = frozenset(("int64", "int32", "bool", "string"))
_FEW = 16
"""Floats of at most this many elements are at hand for shape rules (the scales of Resize)."""

_MOVING = WEIGHT_KEEPING - {"Cast", "QuantizeLinear"}


class TensorTable:
    """Tensors by name; contents are unpacked when first asked for.

    Parameters
    ----------
    reserved : iterable of str
        Names that the file gives to tensors; made-up names avoid them.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self.tensors: MutableMapping[str, Tensor] = {}
        self._reserved = set(reserved)
        self._counts: dict[str, int] = {}
        self._contents: MutableMapping[str, Array] = {}
        self._data: MutableMapping[str, TensorProto] = {}
        self._kept_contents: set[str] = set()

    def scratch(self) -> TensorTable:
        """A table that knows all of this one and keeps what is added to itself."""
        table = TensorTable()
        table.tensors = ChainMap({}, self.tensors)
        table._contents = ChainMap({}, self._contents)
        table._data = ChainMap({}, self._data)
        table._reserved, table._counts = self._reserved, self._counts
        return table

    def define(self, tensor: Tensor) -> None:
        """Add a tensor.

        Raises
        ------
        GraphError
            If the name is taken.
        """
        if tensor.name in self.tensors:
            raise GraphError(
                f"tensor {tensor.name!r} is defined twice, expected each name once; export again"
            )
        self.tensors[tensor.name] = tensor

    def add_weight(self, proto: TensorProto, name: str) -> None:
        """Add an initializer of the file."""
        shape, dtype = tensor_shape(proto, "the weights")
        tensor = Tensor(name=name, shape=shape, dtype=dtype, is_constant=True)
        if tensor.size <= MAX_VALUE_ELEMENTS:
            self._data[name] = proto
            if proto.doc_string == CONTENTS_KNOWN:
                self._kept_contents.add(name)
        self.define(self._with_useful_value(tensor))

    def add_sparse_weight(self, proto: SparseTensorProto, name: str) -> None:
        """Add a sparse initializer of the file; it counts as a dense one."""
        _, dtype = tensor_shape(proto.values, "the sparse weights")
        self.define(Tensor(name=name, shape=tuple(proto.dims), dtype=dtype, is_constant=True))

    def add_constant(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        contents: Array | None,
        stored_dtype: str | None = None,
    ) -> None:
        """Add a constant that was computed; ``stored_dtype`` where it is a dequantised weight."""
        if contents is not None:
            self._contents[name] = contents
        tensor = Tensor(name=name, shape=shape, dtype=dtype, is_constant=True, stored_dtype=stored_dtype)
        self.define(self._with_useful_value(tensor))

    def stored_dtype(self, layer: Layer) -> str | None:
        """The dtype in which a weight is stored that the layer dequantises, or moves once dequantised."""
        if layer.op_type == "DequantizeLinear":
            return self.tensors[layer.inputs[0]].dtype
        if layer.op_type in _MOVING:
            return self.tensors[layer.inputs[0]].stored_dtype
        return None

    def contents(self, name: str) -> Array | None:
        """The contents of a constant, where they are known."""
        found = self._contents.get(name)
        if found is None and name in self._data:
            found = tensor_contents(self._data[name])
            if found is not None:
                self._contents[name] = found
        return found

    def final(self, tensor: Tensor, wanted: Collection[str]) -> Tensor:
        """The tensor as the network keeps it: with its contents if they are wanted, without otherwise."""
        if not tensor.is_constant:
            return tensor
        if tensor.name in wanted or tensor.name in self._kept_contents:
            return self._with_value(tensor) if tensor.value is None else tensor
        return tensor if tensor.value is None else replace(tensor, value=None)

    def _with_useful_value(self, tensor: Tensor) -> Tensor:
        most = MAX_VALUE_ELEMENTS if tensor.dtype in _ALWAYS_VALUED else _FEW
        return self._with_value(tensor) if tensor.size <= most else tensor

    def _with_value(self, tensor: Tensor) -> Tensor:
        contents = self.contents(tensor.name) if tensor.size <= MAX_VALUE_ELEMENTS else None
        return tensor if contents is None else replace(tensor, value=scalars(contents))

    # What upgrades ask (onnx_upgrade.Surroundings) -----------------------------------------------------

    def constant(self, values: Sequence[Scalar], dtype: str, shape: tuple[int, ...]) -> str:
        """The name of a new constant."""
        name = self.fresh("constant")
        array = numpy.array(values, dtype=NUMPY_DTYPES.get(dtype, numpy.dtype("float32")))
        self.add_constant(name, shape, dtype, array.reshape(shape))
        return name

    def shape(self, tensor: str) -> tuple[int, ...]:
        """The shape of a tensor defined so far."""
        return self._known(tensor).shape

    def dtype(self, tensor: str) -> str:
        """The dtype of a tensor defined so far."""
        return self._known(tensor).dtype

    def resized(self, tensor: str, shape: tuple[int, ...]) -> str:
        """A constant like ``tensor`` with another shape; empty if ``tensor`` is no constant."""
        found = self._known(tensor)
        if not found.is_constant:
            return ""
        name = self.fresh(tensor)
        self.add_constant(name, shape, found.dtype, None)
        return name

    def fresh(self, stem: str) -> str:
        """A name that no tensor has."""
        name = stem
        while name in self.tensors or name in self._reserved:
            self._counts[stem] = self._counts.get(stem, 0) + 1
            name = f"{stem}_{self._counts[stem]}"
        self._reserved.add(name)
        return name

    def _known(self, name: str) -> Tensor:
        found = self.tensors.get(name)
        if found is None:
            raise GraphError(f"nothing is known of tensor {name!r}, expected an earlier node to compute it")
        return found
