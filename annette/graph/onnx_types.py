"""What an ONNX file itself says of its tensors: the last resort for operators without a shape rule."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from annette.graph.onnx_inputs import BoundInputs
from annette.graph.onnx_values import type_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

__all__ = ["KnownTypes", "completed"]

_log = logging.getLogger(__name__)

Found = tuple[tuple[int, ...], str]
Partial = tuple[tuple[int | str | None, ...] | None, str]


MAX_LIST = 1 << 20
"""Where a list is longer ONNX's inference is not asked: Slice, Reshape and others make a shape of as many
axes of it, which takes minutes and all of the memory."""


def _longest_list(graph: GraphProto) -> int:
    """Elements of the longest tensor of one axis that the graph describes."""
    described = (*graph.input, *graph.value_info, *graph.output)
    dims = [[dim.dim_value for dim in item.type.tensor_type.shape.dim] for item in described]
    dims += [list(item.dims) for item in graph.initializer]
    dims += [list(item.t.dims) for node in graph.node for item in node.attribute if item.HasField("t")]
    return max((sizes[0] for sizes in dims if len(sizes) == 1), default=0)


def completed(dims: Sequence[int | str | None], like: tuple[int, ...]) -> tuple[int, ...]:
    """``dims`` with unknown ones guessed: those of ``like`` where it has as many, else as many elements.

    Examples
    --------
    >>> completed((None, 8, "w"), (2, 3, 4)), completed((None, 8, None), (4, 16))
    ((2, 8, 4), (8, 8, 1))
    """
    if len(dims) == len(like):
        return tuple(a if isinstance(a, int) else b for a, b in zip(dims, like, strict=True))
    known = math.prod(size for size in dims if isinstance(size, int))
    rest = iter([max(math.prod(like) // max(known, 1), 1)])
    return tuple(size if isinstance(size, int) else next(rest, 1) for size in dims)


class KnownTypes:
    """Shapes and dtypes from the file's descriptions, then from ONNX's own inference, made when first asked.

    Parameters
    ----------
    model : ModelProto
        Without weights; it is changed only in a copy.
    bound : BoundInputs
        What its inputs and their symbolic dimensions are bound to. If it overrides numbers in the file,
        the file's descriptions are no longer true and are not used.
    """

    def __init__(self, model: ModelProto, bound: BoundInputs) -> None:
        self._model = model
        self._bound = bound

    def lookup(self, name: str) -> Found | None:
        """Shape and dtype of a tensor of the main graph, if both are known."""
        for table in ("_described", "_inferred"):
            found: Partial | None = getattr(self, table).get(name)
            if found is not None and found[0] is not None:
                numbers = tuple(size for size in found[0] if isinstance(size, int))
                if len(numbers) == len(found[0]):
                    return numbers, found[1]
        return None

    def partly(self, name: str) -> Partial | None:
        """What is known of a tensor of the main graph: dimensions, of which some may not be, and dtype."""
        found = [table[name] for table in (self._described, self._inferred) if name in table]
        return next((item for item in found if item[0] is not None), found[0] if found else None)

    @cached_property
    def _described(self) -> Mapping[str, Partial]:
        return {} if self._bound.is_overridden else self._read(self._model.graph)

    @cached_property
    def _inferred(self) -> Mapping[str, Partial]:
        from onnx import ModelProto, checker, shape_inference

        model = ModelProto()
        model.CopyFrom(self._model)
        shapes = {tensor.name: tensor for tensor in self._bound.tensors}
        for item in model.graph.input:
            if item.name in shapes and item.type.WhichOneof("value") == "tensor_type":
                del item.type.tensor_type.shape.dim[:]
                for size in shapes[item.name].shape:
                    item.type.tensor_type.shape.dim.add().dim_value = size
        if self._bound.is_overridden:
            del model.graph.value_info[:]
            for item in model.graph.output:
                item.type.tensor_type.ClearField("shape")
        if _longest_list(model.graph) > MAX_LIST:
            _log.debug("onnx.shape_inference is not asked: it takes long lists for shapes of as many axes")
            return {}
        try:
            return self._read(shape_inference.infer_shapes(model, data_prop=True).graph)
        except (
            checker.ValidationError,
            shape_inference.InferenceError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as err:  # what ONNX's C++ code raises
            _log.debug("onnx.shape_inference gave up: %s", err)
            return {}

    def _read(self, graph: GraphProto) -> dict[str, Partial]:
        table: dict[str, Partial] = {}
        for item in (*graph.value_info, *graph.output):
            found = type_of(item.type, self._bound.symbols)
            if found is not None:
                table[item.name] = found
        return table
