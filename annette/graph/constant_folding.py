"""Computes layers whose inputs are known: what exporters write to work out shapes at run time.

The rules cover the operators of shape arithmetic, on small arrays; everything else keeps its shape and
loses its contents. Nothing here depends on ONNX's library.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy

from annette.errors import GraphError
from annette.graph.network import Layer
from annette.graph.onnx_values import NUMPY_DTYPES, Array

__all__ = ["FOLDING_RULES", "MAX_FOLDED_ELEMENTS", "fold_layer"]

MAX_FOLDED_ELEMENTS = 1 << 16
"""Contents are computed for arrays up to this size."""


class _NotCovered(Exception):
    """A rule meets a variant of its operator that it does not compute."""


Inputs = Sequence[Array | None]
Rule = Callable[[Layer, Inputs], Array | Sequence[Array]]


def fold_layer(
    layer: Layer, inputs: Inputs, results: Sequence[tuple[tuple[int, ...], str]] | None = None
) -> tuple[Array, ...] | None:
    """The contents of the layer's outputs, or ``None`` where there is no rule or they would be large.

    Parameters
    ----------
    layer : Layer
        Of the default domain.
    inputs : sequence of ndarray or None
        Contents of its inputs; ``None`` for an omitted one.
    results : sequence of (shape, dtype), optional
        What shape inference says of its outputs; not given where the shape depends on the contents.

    Raises
    ------
    GraphError
        If the operator cannot be computed on these inputs.

    Examples
    --------
    >>> layer = Layer(name="sum", op_type="Add", inputs=("a", "b"), outputs=("y",))
    >>> fold_layer(layer, [numpy.array([1, 2]), numpy.array([10])], [((2,), "int64")])[0].tolist()
    [11, 12]
    """
    rule = FOLDING_RULES.get(layer.op_type) if layer.domain == "" else None
    sizes = [item.size for item in inputs if item is not None]
    sizes += [int(numpy.prod(shape, dtype=float)) for shape, _ in results or ()]
    if rule is None or max(sizes, default=0) > MAX_FOLDED_ELEMENTS:
        return None
    try:
        with numpy.errstate(all="ignore"):
            found = rule(layer, inputs)
            arrays = [found] if isinstance(found, numpy.ndarray | numpy.generic) else list(found)
            arrays = [numpy.asarray(item) for item in arrays]
            if results is None:
                return tuple(arrays)
            if len(arrays) != len(results):
                return None
            return tuple(_fitted(item, *result) for item, result in zip(arrays, results, strict=True))
    except _NotCovered:
        return None
    except (ArithmeticError, LookupError, TypeError, ValueError) as err:
        raise GraphError(
            f"layer {layer.name!r} ({layer.op_type}): cannot be computed from its constant inputs ({err}), "
            "expected contents that fit the operator"
        ) from err


def _fitted(array: Array, shape: tuple[int, ...], dtype: str) -> Array:
    if array.shape != shape:
        raise ValueError(f"its result has shape {array.shape} and not {shape}")
    if (dtype == "string") != (array.dtype.kind == "O"):
        raise _NotCovered("texts are not made from numbers")
    wanted = NUMPY_DTYPES.get(dtype)
    return array if wanted is None else array.astype(wanted, copy=False)


def _given(inputs: Inputs, index: int) -> Array:
    found = inputs[index]
    if found is None:
        raise ValueError(f"input {index + 1} is missing")
    return found


def _optional(inputs: Inputs, index: int) -> Array | None:
    return inputs[index] if index < len(inputs) else None


def _ints(inputs: Inputs, index: int) -> tuple[int, ...] | None:
    found = _optional(inputs, index)
    return None if found is None else tuple(int(item) for item in found.ravel())


# Element by element ------------------------------------------------------------------------------------


def _unary(function: Callable[[Array], Any]) -> Rule:
    return lambda layer, inputs: numpy.asarray(function(_given(inputs, 0)))


def _binary(function: Callable[[Array, Array], Any]) -> Rule:
    return lambda layer, inputs: numpy.asarray(function(_given(inputs, 0), _given(inputs, 1)))


def _several(function: Callable[[Array, Array], Any]) -> Rule:
    return lambda layer, inputs: numpy.asarray(
        functools.reduce(function, [_given(inputs, index) for index in range(len(inputs))])
    )


def _divide(a: Array, b: Array) -> Array:
    """ONNX divides integers as C does: towards zero."""
    if a.dtype.kind not in "iu":
        return numpy.asarray(a / b)
    if not b.all():
        raise ValueError("a division of integers by zero")
    quotient, rest = numpy.divmod(a, b)
    return numpy.asarray(quotient + ((rest != 0) & ((a < 0) != (b < 0))))


def _mod(layer: Layer, inputs: Inputs) -> Array:
    a, b = _given(inputs, 0), _given(inputs, 1)
    if a.dtype.kind in "iu" and not b.all():
        raise ValueError("a division of integers by zero")
    return numpy.asarray((numpy.fmod if layer.int_attribute("fmod", 0) else numpy.mod)(a, b))


def _pow(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        return numpy.asarray(numpy.power(a.astype(float), b.astype(float)))
    return numpy.asarray(numpy.power(a, b))


def _clip(layer: Layer, inputs: Inputs) -> Array:
    result = _given(inputs, 0)
    low, high = _optional(inputs, 1), _optional(inputs, 2)
    result = result if low is None else numpy.maximum(result, low)
    return numpy.asarray(result if high is None else numpy.minimum(result, high))


def _same(layer: Layer, inputs: Inputs) -> Array:
    return _given(inputs, 0)


def _where(layer: Layer, inputs: Inputs) -> Array:
    return numpy.where(_given(inputs, 0), _given(inputs, 1), _given(inputs, 2))


# Moving elements ---------------------------------------------------------------------------------------


def _gather(layer: Layer, inputs: Inputs) -> Array:
    data, indices = _given(inputs, 0), _given(inputs, 1)
    return numpy.take(data, indices.astype(numpy.int64), axis=layer.int_attribute("axis", 0))


def _gather_elements(layer: Layer, inputs: Inputs) -> Array:
    data, indices = _given(inputs, 0), _given(inputs, 1).astype(numpy.int64)
    return numpy.take_along_axis(data, indices, axis=layer.int_attribute("axis", 0))


def _gather_nd(layer: Layer, inputs: Inputs) -> Array:
    data, indices = _given(inputs, 0), _given(inputs, 1).astype(numpy.int64)
    if layer.int_attribute("batch_dims", 0):
        raise _NotCovered("batch axes are not covered")
    return numpy.asarray(data[tuple(numpy.moveaxis(indices, -1, 0))])


def _scatter_nd(layer: Layer, inputs: Inputs) -> Array:
    if layer.attribute("reduction", "none") != "none":
        raise _NotCovered("a reduction is not covered")
    result, indices = _given(inputs, 0).copy(), _given(inputs, 1).astype(numpy.int64)
    result[tuple(numpy.moveaxis(indices, -1, 0))] = _given(inputs, 2)
    return result


def _concat(layer: Layer, inputs: Inputs) -> Array:
    parts = [_given(inputs, index) for index in range(len(inputs))]
    return numpy.concatenate(parts, axis=layer.int_attribute("axis", 1))


def _unsqueeze(layer: Layer, inputs: Inputs) -> Array:
    return numpy.expand_dims(_given(inputs, 0), _ints(inputs, 1) or ())


def _squeeze(layer: Layer, inputs: Inputs) -> Array:
    return numpy.squeeze(_given(inputs, 0), axis=_ints(inputs, 1))


def _slice(layer: Layer, inputs: Inputs) -> Array:
    data = _given(inputs, 0)
    starts, ends = _ints(inputs, 1) or (), _ints(inputs, 2) or ()
    axes, steps = _ints(inputs, 3) or tuple(range(len(starts))), _ints(inputs, 4) or (1,) * len(starts)
    index = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # An end below -size with a negative step means "down to the first": Python wants None there.
        stop = None if step < 0 and end < -data.shape[axis] else end
        index[axis] = slice(start, stop, step)
    return data[tuple(index)]


def _reshape(layer: Layer, inputs: Inputs) -> Array:
    data, wanted = _given(inputs, 0), list(_ints(inputs, 1) or ())
    if not layer.int_attribute("allowzero", 0):
        wanted = [data.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return data.reshape(wanted)


def _flatten(layer: Layer, inputs: Inputs) -> Array:
    data = _given(inputs, 0)
    axis = layer.int_attribute("axis", 1)
    rows = data.shape[: axis + data.ndim if axis < 0 else axis]
    return data.reshape(int(numpy.prod(rows)), -1)


def _transpose(layer: Layer, inputs: Inputs) -> Array:
    return numpy.transpose(_given(inputs, 0), layer.ints_attribute("perm"))


def _expand(layer: Layer, inputs: Inputs) -> Array:
    data, wanted = _given(inputs, 0), _ints(inputs, 1) or ()
    return numpy.broadcast_to(data, numpy.broadcast_shapes(data.shape, wanted))


def _tile(layer: Layer, inputs: Inputs) -> Array:
    return numpy.tile(_given(inputs, 0), _ints(inputs, 1) or ())


def _split(layer: Layer, inputs: Inputs) -> Sequence[Array]:
    data, sizes = _given(inputs, 0), _ints(inputs, 1)
    axis = layer.int_attribute("axis", 0)
    if sizes is None:
        count = layer.int_attribute("num_outputs", len(layer.outputs))
        chunk = -(-data.shape[axis] // count)
        sizes = (chunk,) * (count - 1)
    else:
        sizes = sizes[:-1]
    return numpy.split(data, numpy.cumsum(sizes), axis=axis)


def _range(layer: Layer, inputs: Inputs) -> Array:
    start, limit, delta = (_given(inputs, index).ravel()[0] for index in range(3))
    count = max(int(numpy.ceil((float(limit) - float(start)) / float(delta))), 0)
    if count > MAX_FOLDED_ELEMENTS:
        raise _NotCovered(f"{count} elements are too many")
    return numpy.asarray(start + numpy.arange(count) * delta)


def _trilu(layer: Layer, inputs: Inputs) -> Array:
    diagonal = (_ints(inputs, 1) or (0,))[0]
    return (numpy.triu if layer.int_attribute("upper", 1) else numpy.tril)(_given(inputs, 0), diagonal)


def _non_zero(layer: Layer, inputs: Inputs) -> Array:
    return numpy.asarray(numpy.nonzero(numpy.atleast_1d(_given(inputs, 0))), dtype=numpy.int64)


def _cum_sum(layer: Layer, inputs: Inputs) -> Array:
    if layer.int_attribute("exclusive", 0) or layer.int_attribute("reverse", 0):
        raise _NotCovered("exclusive and reverse are not covered")
    return numpy.cumsum(_given(inputs, 0), axis=(_ints(inputs, 1) or (0,))[0])


# Along axes --------------------------------------------------------------------------------------------


def _reduction(function: Callable[..., Any]) -> Rule:
    def reduce(layer: Layer, inputs: Inputs) -> Array:
        data, axes = _given(inputs, 0), _ints(inputs, 1)
        if not axes:
            if layer.int_attribute("noop_with_empty_axes", 0):
                return data
            axes = None
        keep = bool(layer.int_attribute("keepdims", 1))
        return numpy.asarray(function(data, axis=axes, keepdims=keep))

    return reduce


def _arg_reduction(function: Callable[..., Any]) -> Rule:
    def reduce(layer: Layer, inputs: Inputs) -> Array:
        axis, keep = layer.int_attribute("axis", 0), bool(layer.int_attribute("keepdims", 1))
        return numpy.asarray(function(_given(inputs, 0), axis=axis, keepdims=keep))

    return reduce


FOLDING_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **dict.fromkeys(("Identity", "Cast", "CastLike", "Dropout"), _same),
        "Abs": _unary(numpy.abs),
        "Add": _binary(numpy.add),
        "And": _binary(numpy.logical_and),
        "ArgMax": _arg_reduction(numpy.argmax),
        "ArgMin": _arg_reduction(numpy.argmin),
        "Ceil": _unary(numpy.ceil),
        "Clip": _clip,
        "Concat": _concat,
        "CumSum": _cum_sum,
        "Div": _binary(_divide),
        "Equal": _binary(numpy.equal),
        "Exp": _unary(numpy.exp),
        "Expand": _expand,
        "Flatten": _flatten,
        "Floor": _unary(numpy.floor),
        "Gather": _gather,
        "GatherElements": _gather_elements,
        "GatherND": _gather_nd,
        "Greater": _binary(numpy.greater),
        "GreaterOrEqual": _binary(numpy.greater_equal),
        "IsNaN": _unary(numpy.isnan),
        "Less": _binary(numpy.less),
        "LessOrEqual": _binary(numpy.less_equal),
        "Log": _unary(numpy.log),
        "Max": _several(numpy.maximum),
        "Min": _several(numpy.minimum),
        "Mod": _mod,
        "Mul": _binary(numpy.multiply),
        "Neg": _unary(numpy.negative),
        "NonZero": _non_zero,
        "Not": _unary(numpy.logical_not),
        "Or": _binary(numpy.logical_or),
        "Pow": _binary(_pow),
        "Range": _range,
        "Reciprocal": _unary(numpy.reciprocal),
        "ReduceMax": _reduction(numpy.max),
        "ReduceMean": _reduction(numpy.mean),
        "ReduceMin": _reduction(numpy.min),
        "ReduceProd": _reduction(numpy.prod),
        "ReduceSum": _reduction(numpy.sum),
        "Reshape": _reshape,
        "Round": _unary(numpy.round),
        "ScatterND": _scatter_nd,
        "Sign": _unary(numpy.sign),
        "Slice": _slice,
        "Split": _split,
        "Sqrt": _unary(numpy.sqrt),
        "Squeeze": _squeeze,
        "Sub": _binary(numpy.subtract),
        "Sum": _several(numpy.add),
        "Tile": _tile,
        "Transpose": _transpose,
        "Trilu": _trilu,
        "Unsqueeze": _unsqueeze,
        "Where": _where,
        "Xor": _binary(numpy.logical_xor),
    }
)
"""How each operator computes its outputs from the contents of its inputs."""
