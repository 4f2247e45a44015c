"""Shape rules of operators that move, select or make elements without computing on them."""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy

from annette.graph.shape_case import Case, DataDependentShape, Result, Rule, Shape, UnknownOperator, broadcast

__all__ = ["MICROSOFT_MOVE_RULES", "MOVE_RULES"]


def _joined(case: Case, shapes: list[Shape]) -> Shape:
    first = shapes[0]
    axis = case.axis(case.number("axis", 1), len(first))
    for shape in shapes:
        if len(shape) != len(first) or (*shape[:axis], *shape[axis + 1 :]) != (
            *first[:axis],
            *first[axis + 1 :],
        ):
            raise case.fail(f"inputs that differ only along axis {axis}")
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def _concat(case: Case) -> tuple[Result, ...]:
    return ((_joined(case, [case.shape(index) for index in range(len(case.inputs))]), case.dtype(0)),)


def _qlinear_concat(case: Case) -> tuple[Result, ...]:
    return ((_joined(case, [case.shape(index) for index in range(2, len(case.inputs), 3)]), case.dtype(1)),)


def _split(case: Case) -> tuple[Result, ...]:
    shape = case.require_rank(0, 1)
    axis = case.axis(case.number("axis", 0), len(shape))
    sizes = case.setting("split", 1)
    if not sizes:
        count = case.number("num_outputs", 0) or len(case.layer.outputs)
        if count != len(case.layer.outputs):
            raise case.fail(f"as many outputs as num_outputs, {count}, says")
        uneven = shape[axis] % count
        if uneven and case.layer.attribute("num_outputs") is None:
            raise case.fail(f"an axis {axis} that splits into {count} equal parts")
        chunk = -(-shape[axis] // count)
        sizes = tuple(max(0, min(chunk, shape[axis] - index * chunk)) for index in range(count))
    if sum(sizes) != shape[axis] or min(sizes) < 0:
        raise case.fail(f"an axis {axis} of {sum(sizes)}, the sum of the parts {sizes}")
    return tuple(((*shape[:axis], size, *shape[axis + 1 :]), case.dtype(0)) for size in sizes)


def _slice(case: Case) -> tuple[Result, ...]:
    shape = list(case.shape(0))
    starts, ends = case.setting("starts", 1), case.setting("ends", 2)
    if starts is None or ends is None or len(starts) != len(ends):
        raise case.fail(f"starts and ends of equal length, not {starts} and {ends}")
    wanted = case.setting("axes", 3)
    axes = case.axes(range(len(starts)) if wanted is None else wanted, len(shape))
    steps = (1,) * len(starts) if case.optional(4) is None else case.ints(4)
    if not len(starts) == len(axes) == len(steps) or 0 in steps:
        raise case.fail(f"one start, end, axis and step != 0 each, not {starts}, {ends}, {axes}, {steps}")
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        shape[axis] = _slice_length(shape[axis], start, end, step)
    return ((tuple(shape), case.dtype(0)),)


def _slice_length(size: int, start: int, end: int, step: int) -> int:
    """Positions that a slice keeps; negative bounds count from the back, then both are clamped."""
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    if step > 0:
        first, last = min(max(start, 0), size), min(max(end, 0), size)
    else:
        first, last = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
    return max(-((first - last) // step), 0) if size else 0


def _pad(case: Case) -> tuple[Result, ...]:
    shape = case.shape(0)
    pads = case.setting("pads", 1)
    axes = range(len(shape)) if case.optional(3) is None else case.axes(case.ints(3), len(shape))
    if pads is None or len(pads) != 2 * len(axes):
        raise case.fail(f"{2 * len(axes)} pads, not {pads}")
    result = list(shape)
    for index, axis in enumerate(axes):
        result[axis] += pads[index] + pads[index + len(axes)]
    if min(result, default=0) < 0:
        raise case.fail(f"pads that leave at least nothing, not {pads}")
    return ((tuple(result), case.dtype(0)),)


def _resize(case: Case) -> tuple[Result, ...]:
    """Resize and Upsample; opset 10 has the scales as second input, later ones as third."""
    shape = case.shape(0)
    scales_at = 1 if len(case.inputs) <= 2 else 2
    scales = case.layer.attribute("scales") if len(case.inputs) < 2 else case.contents(scales_at)
    sizes = case.ints(3) if case.optional(3) is not None else ()
    wanted = case.numbers("axes")
    axes = tuple(range(len(shape))) if wanted is None else case.axes(wanted, len(shape))
    result = list(shape)
    if sizes:
        if len(sizes) != len(axes):
            raise case.fail(f"{len(axes)} sizes, not {sizes}")
        for axis, size in zip(axes, _keep_aspect(case, shape, axes, sizes), strict=True):
            result[axis] = size
    elif isinstance(scales, tuple) and len(scales) == len(axes):
        for axis, scale in zip(axes, scales, strict=True):  # float32, as runtimes multiply
            result[axis] = math.floor(numpy.float32(shape[axis]) * numpy.float32(scale))
    else:
        raise case.fail(f"{len(axes)} scales or sizes, not {scales}")
    return ((tuple(result), case.dtype(0)),)


def _keep_aspect(case: Case, shape: Shape, axes: Shape, sizes: Shape) -> Shape:
    policy = case.text("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return sizes
    choose = {"not_larger": min, "not_smaller": max}.get(policy)
    if choose is None:
        raise case.fail(f"keep_aspect_ratio_policy stretch, not_larger or not_smaller, not {policy!r}")
    scale = choose(size / shape[axis] for axis, size in zip(axes, sizes, strict=True))
    return tuple(math.floor(scale * shape[axis] + 0.5) for axis in axes)


def _transpose(case: Case) -> tuple[Result, ...]:
    shape = case.shape(0)
    perm = case.numbers("perm") or tuple(reversed(range(len(shape))))
    if sorted(perm) != list(range(len(shape))):
        raise case.fail(f"a permutation of {len(shape)} axes, not {perm}")
    return ((tuple(shape[axis] for axis in perm), case.dtype(0)),)


def _reshape(case: Case) -> tuple[Result, ...]:
    shape = case.shape(0)
    wanted = case.setting("shape", 1)
    if wanted is None:
        raise case.fail("a shape as second input or attribute")
    result = list(wanted)
    if not case.number("allowzero", 0):
        for axis, size in enumerate(wanted):
            if size == 0:
                if axis >= len(shape):
                    raise case.fail(f"an axis {axis} for the 0 in the shape {wanted}")
                result[axis] = shape[axis]
    total = math.prod(shape)
    known = math.prod(size for size in result if size != -1)
    if result.count(-1) == 1 and known and total % known == 0:
        result[result.index(-1)] = total // known
    if min(result, default=0) < 0 or math.prod(result) != total:
        raise case.fail(f"{total} elements for the shape {wanted}")
    return ((tuple(result), case.dtype(0)),)


def _flatten(case: Case) -> tuple[Result, ...]:
    shape = case.shape(0)
    axis = case.number("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise case.fail(f"an axis in [{-len(shape)}, {len(shape)}], not {axis}")
    axis = axis + len(shape) if axis < 0 else axis
    return (((math.prod(shape[:axis]), math.prod(shape[axis:])), case.dtype(0)),)


def _squeeze(case: Case) -> tuple[Result, ...]:
    shape = case.shape(0)
    wanted = case.setting("axes", 1)
    if wanted is None:
        return ((tuple(size for size in shape if size != 1), case.dtype(0)),)
    axes = case.axes(wanted, len(shape))
    if any(shape[axis] != 1 for axis in axes):
        raise case.fail(f"size 1 along the axes {axes}")
    return ((tuple(size for axis, size in enumerate(shape) if axis not in axes), case.dtype(0)),)


def _unsqueeze(case: Case) -> tuple[Result, ...]:
    shape = case.shape(0)
    wanted = case.setting("axes", 1)
    if wanted is None:
        raise case.fail("axes as second input or attribute")
    rank = len(shape) + len(wanted)
    axes = case.axes(wanted, rank)
    sizes = iter(shape)
    return ((tuple(1 if axis in axes else next(sizes) for axis in range(rank)), case.dtype(0)),)


def _expand(case: Case) -> tuple[Result, ...]:
    wanted = case.ints(1)
    try:
        return ((broadcast([case.shape(0), wanted]), case.dtype(0)),)
    except ValueError:
        raise case.fail(f"a shape that broadcasts with {wanted}") from None


def _tile(case: Case) -> tuple[Result, ...]:
    shape, repeats = case.shape(0), case.ints(1)
    if len(repeats) != len(shape) or min(repeats, default=0) < 0:
        raise case.fail(f"{len(shape)} repeats >= 0, not {repeats}")
    return ((tuple(a * b for a, b in zip(shape, repeats, strict=True)), case.dtype(0)),)


def _gather(case: Case) -> tuple[Result, ...]:
    shape = case.require_rank(0, 1)
    axis = case.axis(case.number("axis", 0), len(shape))
    return (((*shape[:axis], *case.shape(1), *shape[axis + 1 :]), case.dtype(0)),)


def _gather_elements(case: Case) -> tuple[Result, ...]:
    if len(case.shape(0)) != len(case.shape(1)):
        raise case.fail("indices of the same rank as the data")
    return ((case.shape(1), case.dtype(0)),)


def _gather_nd(case: Case) -> tuple[Result, ...]:
    data, indices = case.require_rank(0, 1), case.require_rank(1, 1)
    batch = case.number("batch_dims", 0)
    last = indices[-1] + batch
    if last > len(data) or data[:batch] != indices[:batch]:
        raise case.fail(f"indices into at most {len(data)} axes with equal {batch} batch axes")
    return (((*indices[:-1], *data[last:]), case.dtype(0)),)


def _space(case: Case, sign: int) -> tuple[Result, ...]:
    n, c, h, w = case.require_rank(0, 4, 4)
    block = case.required_number("blocksize")
    if block < 1 or (c % block**2 if sign > 0 else h % block or w % block):
        raise case.fail(f"sizes that are multiples of the block {block}")
    if sign > 0:
        return (((n, c // block**2, h * block, w * block), case.dtype(0)),)
    return (((n, c * block**2, h // block, w // block), case.dtype(0)),)


def _depth_to_space(case: Case) -> tuple[Result, ...]:
    return _space(case, 1)


def _space_to_depth(case: Case) -> tuple[Result, ...]:
    return _space(case, -1)


def _shape(case: Case) -> tuple[Result, ...]:
    rank = len(case.shape(0))
    start, end = case.number("start", 0), case.number("end", rank)
    return (((len(range(rank)[start:end]),), "int64"),)


def _size(case: Case) -> tuple[Result, ...]:
    case.tensor(0)
    return (((), "int64"),)


def _constant(case: Case) -> tuple[Result, ...]:
    for name, dtype in (("int", "int64"), ("float", "float32"), ("string", "string")):
        if case.layer.attribute(f"value_{name}") is not None:
            return (((), dtype),)
        found = case.layer.attribute(f"value_{name}s")
        if isinstance(found, tuple):
            return (((len(found),), dtype),)
    raise UnknownOperator(f"{case.where}: its contents are not known, expected an attribute value_...")


def _constant_of_shape(case: Case) -> tuple[Result, ...]:
    found = case.layer.attribute("value", 0.0)
    first = found[0] if isinstance(found, tuple) and found else found
    return ((case.ints(0), "int64" if isinstance(first, int) else "float32"),)


def _range(case: Case) -> tuple[Result, ...]:
    start, limit, delta = (float(item) for index in range(3) for item in (case.contents(index) or ()))
    if delta == 0:
        raise case.fail("a step that is not 0")
    return (((max(math.ceil((limit - start) / delta), 0),), case.dtype(0)),)


def _one_hot(case: Case) -> tuple[Result, ...]:
    indices, depth = case.shape(0), case.ints(1)[0]
    axis = case.axis(case.number("axis", -1), len(indices) + 1)
    return (((*indices[:axis], depth, *indices[axis:]), case.dtype(2)),)


def _eye_like(case: Case) -> tuple[Result, ...]:
    return ((case.shape(0), case.data_type("dtype", case.dtype(0))),)


def _random(case: Case) -> tuple[Result, ...]:
    shape = case.numbers("shape")
    if shape is None:
        raise case.fail("an attribute 'shape'")
    return ((shape, case.data_type("dtype", "float32")),)


def _center_crop_pad(case: Case) -> tuple[Result, ...]:
    result, sizes = list(case.shape(0)), case.ints(1)
    axes = case.axes(case.numbers("axes") or range(len(result)), len(result))
    for axis, size in zip(axes, sizes, strict=True):
        result[axis] = size
    return ((tuple(result), case.dtype(0)),)


# Operators that select by contents ---------------------------------------------------------------------


def _data_dependent(case: Case, *largest: Result) -> DataDependentShape:
    return DataDependentShape(
        f"{case.where}: its output shape depends on the contents of its inputs", largest
    )


def _non_zero(case: Case) -> tuple[Result, ...]:
    shape = case.shape(0)
    raise _data_dependent(case, ((max(len(shape), 1), math.prod(shape)), "int64"))


def _compress(case: Case) -> tuple[Result, ...]:
    shape, most = case.shape(0), math.prod(case.shape(1))
    if case.layer.attribute("axis") is None:
        raise _data_dependent(case, ((min(math.prod(shape), most),), case.dtype(0)))
    axis = case.axis(case.number("axis", 0), len(shape))
    result = (*shape[:axis], min(shape[axis], most), *shape[axis + 1 :])
    raise _data_dependent(case, (result, case.dtype(0)))


def _unique(case: Case) -> tuple[Result, ...]:
    shape = case.shape(0)
    result: Shape = (math.prod(shape),)
    count = result[0]
    if case.layer.attribute("axis") is not None:
        result, count = shape, shape[case.axis(case.number("axis", 0), len(shape))]
    raise _data_dependent(case, (result, case.dtype(0)), *[((count,), "int64")] * 3)


def _non_max_suppression(case: Case) -> tuple[Result, ...]:
    boxes, (batch, classes, _) = case.require_rank(0, 3, 3)[1], case.require_rank(1, 3, 3)
    wanted = case.optional(2)
    if wanted is not None and wanted.value:
        boxes = min(boxes, max(case.ints(2)[0], 0))
    raise _data_dependent(case, ((batch * classes * boxes, 3), "int64"))


MOVE_RULES: MappingProxyType[str, Rule] = MappingProxyType(
    {
        **dict.fromkeys(("Resize", "Upsample"), _resize),
        **dict.fromkeys(("Bernoulli", "EyeLike", "RandomNormalLike", "RandomUniformLike"), _eye_like),
        **dict.fromkeys(("RandomNormal", "RandomUniform"), _random),
        "CenterCropPad": _center_crop_pad,
        "Compress": _compress,
        "Concat": _concat,
        "Constant": _constant,
        "ConstantOfShape": _constant_of_shape,
        "DepthToSpace": _depth_to_space,
        "Expand": _expand,
        "Flatten": _flatten,
        "Gather": _gather,
        "GatherElements": _gather_elements,
        "GatherND": _gather_nd,
        "NonMaxSuppression": _non_max_suppression,
        "NonZero": _non_zero,
        "OneHot": _one_hot,
        "Pad": _pad,
        "Range": _range,
        "Reshape": _reshape,
        "Shape": _shape,
        "Size": _size,
        "Slice": _slice,
        "SpaceToDepth": _space_to_depth,
        "Split": _split,
        "Squeeze": _squeeze,
        "Tile": _tile,
        "Transpose": _transpose,
        "Unique": _unique,
        "Unsqueeze": _unsqueeze,
    }
)
"""Rules of the default domain."""

MICROSOFT_MOVE_RULES: MappingProxyType[str, Rule] = MappingProxyType({"QLinearConcat": _qlinear_concat})
"""Rules of the domain ``com.microsoft``."""
