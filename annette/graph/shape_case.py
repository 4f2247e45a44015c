"""What a shape rule sees of its layer: input shapes, known contents, axes, and the words for errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from annette.errors import GraphError
from annette.graph.network import Layer, Scalar, Tensor

__all__ = [
    "ONNX_DTYPES",
    "Case",
    "DataDependentShape",
    "Result",
    "Rule",
    "Shape",
    "UnknownOperator",
    "broadcast",
]

Shape = tuple[int, ...]
Result = tuple[Shape, str]
"""Shape and dtype of one output."""

ONNX_DTYPES: Mapping[int, str] = MappingProxyType(
    {
        1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string",
        9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64",
        15: "complex128", 16: "bfloat16", 17: "float8", 18: "float8", 19: "float8", 20: "float8",
        21: "uint4", 22: "int4", 23: "float4", 24: "float8", 25: "uint2", 26: "int2",
    }
)  # fmt: skip
"""annette's dtype for each number of ONNX's ``TensorProto.DataType``."""


class UnknownOperator(GraphError):
    """There is no shape rule for this operator."""


class DataDependentShape(UnknownOperator):
    """The operator is known, but the shape of its output depends on contents that are not.

    Parameters
    ----------
    message : str
        As of any `GraphError`.
    largest : sequence of (shape, dtype)
        The outputs with as many elements as they can have; empty where nothing bounds them.
    """

    def __init__(self, message: str, largest: Sequence[Result] = ()) -> None:
        super().__init__(message)
        self.largest = tuple(largest)


@dataclass(frozen=True, slots=True)
class Case:
    """One layer together with its input tensors, as shape rules want to see them."""

    layer: Layer
    """The layer whose outputs are asked for."""
    inputs: tuple[Tensor | None, ...]
    """Its inputs in ONNX's order; ``None`` for an omitted one."""

    def optional(self, index: int) -> Tensor | None:
        """Input ``index``, or ``None`` where it is omitted."""
        return self.inputs[index] if index < len(self.inputs) else None

    def tensor(self, index: int) -> Tensor:
        """Input ``index``.

        Raises
        ------
        GraphError
            If it is omitted.
        """
        found = self.optional(index)
        if found is None:
            raise self.fail(f"an input number {index + 1}")
        return found

    def shape(self, index: int) -> Shape:
        """The shape of input ``index``, which must be there."""
        return self.tensor(index).shape

    def dtype(self, index: int) -> str:
        """The dtype of input ``index``, which must be there."""
        return self.tensor(index).dtype

    def dtype_or(self, index: int, default: str) -> str:
        """The dtype of input ``index``, or ``default`` where it is omitted."""
        found = self.optional(index)
        return default if found is None else found.dtype

    def same(self, index: int = 0) -> Result:
        """Shape and dtype of input ``index``."""
        found = self.tensor(index)
        return found.shape, found.dtype

    def contents(self, index: int) -> tuple[Scalar, ...] | None:
        """The known contents of input ``index``; ``None`` where it is omitted.

        Raises
        ------
        DataDependentShape
            If the input is there but its contents are not known.
        """
        found = self.optional(index)
        if found is None:
            return None
        if found.value is not None:
            return found.value
        if found.size == 0:
            return ()
        raise DataDependentShape(
            f"{self.where}: its output shape depends on the contents of input {found.name!r}, "
            "which are not known; expected a constant"
        )

    def ints(self, index: int) -> tuple[int, ...]:
        """The known integer contents of input ``index``, which must be there."""
        found = self.contents(index)
        if found is None:
            raise self.fail(f"an input number {index + 1}")
        return tuple(int(item) for item in found)

    def setting(self, attribute: str, index: int) -> tuple[int, ...] | None:
        """Integers that older opsets give as an attribute and newer ones as input ``index``."""
        found = self.layer.ints_attribute(attribute)
        if found is None and self.optional(index) is not None:
            return self.ints(index)
        return found

    def number(self, name: str, default: int) -> int:
        """The integer attribute ``name``."""
        return self.layer.int_attribute(name, default)

    def required_number(self, name: str) -> int:
        """The integer attribute ``name``, which must be there."""
        if self.layer.attribute(name) is None:
            raise self.fail(f"an attribute {name!r}")
        return self.layer.int_attribute(name, 0)

    def numbers(self, name: str, default: Shape | None = None) -> Shape | None:
        """The integers of attribute ``name``."""
        return self.layer.ints_attribute(name, default)

    def text(self, name: str, default: str) -> str:
        """The attribute ``name``, which is a string."""
        found = self.layer.attribute(name, default)
        if not isinstance(found, str):
            raise self.fail(f"a string as attribute {name!r}, not {found!r}")
        return found

    def data_type(self, name: str, default: str) -> str:
        """The dtype whose ONNX number is the attribute ``name``; 0 or no attribute means ``default``."""
        code = self.number(name, 0)
        if code == 0:
            return default
        if code not in ONNX_DTYPES:
            raise self.fail(f"a data type of ONNX as attribute {name!r}, not {code}")
        return ONNX_DTYPES[code]

    def axis(self, value: int, rank: int) -> int:
        """The axis counted from the front.

        Raises
        ------
        GraphError
            If a tensor of that rank has no such axis.
        """
        if not -rank <= value < rank:
            raise self.fail(f"an axis in [{-rank}, {rank}), not {value}")
        return value % rank

    def axes(self, values: Iterable[int], rank: int) -> Shape:
        """The axes counted from the front, each once."""
        found = tuple(self.axis(value, rank) for value in values)
        if len(set(found)) != len(found):
            raise self.fail(f"each axis once, not {found}")
        return found

    def require_rank(self, index: int, least: int, most: int | None = None) -> Shape:
        """The shape of input ``index``, whose rank must lie in ``[least, most]``."""
        shape = self.shape(index)
        if len(shape) < least or (most is not None and len(shape) > most):
            limits = f"at least {least}" if most is None else f"{least} to {most}"
            raise self.fail(f"{least if least == most else limits} axes in input {index + 1}")
        return shape

    @property
    def where(self) -> str:
        """The layer as errors call it."""
        return f"layer {self.layer.name!r} ({self.layer.op_type})"

    def fail(self, expected: str) -> GraphError:
        """The error that names the layer, the shapes found and what was expected."""
        shapes = ", ".join("none" if item is None else str(item.shape) for item in self.inputs)
        return GraphError(f"{self.where}: input shapes {shapes or 'none'}, expected {expected}")

    def broadcast(self, *indices: int) -> Shape:
        """The shape that these inputs broadcast to, as in NumPy.

        Raises
        ------
        GraphError
            If they do not.
        """
        try:
            return broadcast([self.shape(index) for index in indices])
        except ValueError:
            raise self.fail("shapes that broadcast together") from None


Rule = Callable[[Case], Sequence[Result]]


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape that ``shapes`` broadcast to, as in NumPy; ValueError if they do not."""
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    rank = max(map(len, shapes))
    result = [1] * rank
    for shape in shapes:
        offset = rank - len(shape)
        for axis, size in enumerate(shape, offset):
            if size != 1:
                if result[axis] not in (1, size):
                    raise ValueError(f"{shapes} do not broadcast")
                result[axis] = size
    return tuple(result)
