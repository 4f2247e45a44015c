"""Shape rules of operators with a sliding window: convolutions, pools, and sampling on a grid."""

from __future__ import annotations

import math
from types import MappingProxyType

from annette.graph.shape_case import Case, Result, Rule, Shape

__all__ = ["MICROSOFT_WINDOW_RULES", "WINDOW_RULES"]


def _per_axis(case: Case, name: str, rank: int, default: int) -> Shape:
    found = case.numbers(name)
    if not found:
        return (default,) * rank
    if len(found) != rank:
        raise case.fail(f"{rank} numbers as attribute {name!r}, not {found}")
    return found


def _explicit_pads(case: Case, rank: int) -> Shape:
    pads = _per_axis(case, "pads", 2 * rank, 0)
    return tuple(pads[axis] + pads[axis + rank] for axis in range(rank))


def _windows(case: Case, spatial: Shape, kernel: Shape, *, ceil_mode: bool = False) -> Shape:
    """Positions of the window along each spatial axis.

    References
    ----------
    ONNX operators Conv and MaxPool. With ``ceil_mode`` a last window that would start in the padding at
    the end is dropped.
    """
    rank = len(spatial)
    strides = _per_axis(case, "strides", rank, 1)
    dilations = _per_axis(case, "dilations", rank, 1)
    if min((*strides, *dilations, *kernel), default=1) < 1:
        raise case.fail("kernel, strides and dilations >= 1")
    auto_pad = case.text("auto_pad", "NOTSET")
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        return tuple(-(-size // step) for size, step in zip(spatial, strides, strict=True))
    pads = (0,) * rank if auto_pad == "VALID" else _explicit_pads(case, rank)
    begins = (0,) * rank if auto_pad == "VALID" else _per_axis(case, "pads", 2 * rank, 0)[:rank]
    result = []
    for axis, size in enumerate(spatial):
        room = size + pads[axis] - (kernel[axis] - 1) * dilations[axis] - 1
        if room < 0:
            raise case.fail(f"an input of at least the dilated kernel {kernel} after padding {pads}")
        step = strides[axis]
        count = (-(-room // step) if ceil_mode else room // step) + 1
        if ceil_mode and (count - 1) * step >= size + begins[axis]:
            count -= 1
        result.append(count)
    return tuple(result)


def _conv_shape(case: Case, x: Shape, weight: Shape) -> Shape:
    if len(x) < 3 or len(weight) != len(x):
        raise case.fail("an input (N, C, spatial...) and a weight (M, C / group, kernel...) of equal rank")
    kernel = case.numbers("kernel_shape") or weight[2:]
    groups = case.number("group", 1)
    if kernel != weight[2:]:
        raise case.fail(f"a weight with the kernel {kernel} of attribute 'kernel_shape'")
    if groups < 1 or x[1] != weight[1] * groups or weight[0] % groups:
        raise case.fail(f"in-channels = weight's axis 1 * {groups} groups, out-channels a multiple of groups")
    return (x[0], weight[0], *_windows(case, x[2:], kernel))


def _conv(case: Case) -> tuple[Result, ...]:
    return ((_conv_shape(case, case.shape(0), case.shape(1)), case.dtype(0)),)


def _conv_integer(case: Case) -> tuple[Result, ...]:
    return ((_conv_shape(case, case.shape(0), case.shape(1)), "int32"),)


def _qlinear_conv(case: Case) -> tuple[Result, ...]:
    x, channels_last = case.shape(0), case.number("channels_last", 0)
    if channels_last:
        x = (x[0], x[-1], *x[1:-1])
    shape = _conv_shape(case, x, case.shape(3))
    if channels_last:
        shape = (shape[0], *shape[2:], shape[1])
    return ((shape, case.dtype_or(7, case.dtype(0))),)


def _conv_transpose(case: Case) -> tuple[Result, ...]:
    x, weight = case.require_rank(0, 3), case.shape(1)
    rank = len(x) - 2
    groups = case.number("group", 1)
    if len(weight) != len(x) or x[1] != weight[0] or groups < 1 or x[1] % groups:
        raise case.fail("an input (N, C, spatial...) and a weight (C, M / group, kernel...)")
    kernel = case.numbers("kernel_shape") or weight[2:]
    if kernel != weight[2:]:
        raise case.fail(f"a weight with the kernel {kernel} of attribute 'kernel_shape'")
    head = (x[0], weight[1] * groups)
    wanted = case.numbers("output_shape")
    if wanted:
        return (((*head, *wanted[-rank:]), case.dtype(0)),)
    strides = _per_axis(case, "strides", rank, 1)
    auto_pad = case.text("auto_pad", "NOTSET")
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        return (((*head, *(a * b for a, b in zip(x[2:], strides, strict=True))), case.dtype(0)),)
    dilations = _per_axis(case, "dilations", rank, 1)
    extra = _per_axis(case, "output_padding", rank, 0)
    pads = (0,) * rank if auto_pad == "VALID" else _explicit_pads(case, rank)
    spatial = tuple(
        strides[i] * (x[2 + i] - 1) + extra[i] + (kernel[i] - 1) * dilations[i] + 1 - pads[i]
        for i in range(rank)
    )
    if min(spatial) < 1:
        raise case.fail(f"an output of at least one position, not {spatial}")
    return (((*head, *spatial), case.dtype(0)),)


def _pool_shape(case: Case, x: Shape) -> Shape:
    if len(x) < 3:
        raise case.fail("an input (N, C, spatial...)")
    kernel = case.numbers("kernel_shape")
    if kernel is None or len(kernel) != len(x) - 2:
        raise case.fail(f"an attribute 'kernel_shape' with {len(x) - 2} numbers, not {kernel}")
    return (*x[:2], *_windows(case, x[2:], kernel, ceil_mode=bool(case.number("ceil_mode", 0))))


def _pool(case: Case) -> tuple[Result, ...]:
    return ((_pool_shape(case, case.shape(0)), case.dtype(0)),)


def _max_pool(case: Case) -> tuple[Result, ...]:
    shape = _pool_shape(case, case.shape(0))
    return (shape, case.dtype(0)), (shape, "int64")


def _qlinear_pool(case: Case) -> tuple[Result, ...]:
    x = case.shape(0)
    if not case.number("channels_last", 0):
        return ((_pool_shape(case, x), case.dtype(0)),)
    shape = _pool_shape(case, (x[0], x[-1], *x[1:-1]))
    return (((shape[0], *shape[2:], shape[1]), case.dtype(0)),)


def _global_pool(case: Case) -> tuple[Result, ...]:
    x = case.require_rank(0, 2)
    if case.number("channels_last", 0):
        return (((x[0], *(1 for _ in x[1:-1]), x[-1]), case.dtype(0)),)
    return (((*x[:2], *(1 for _ in x[2:])), case.dtype(0)),)


def _max_unpool(case: Case) -> tuple[Result, ...]:
    x = case.require_rank(0, 3)
    if case.optional(2) is not None:
        return ((case.ints(2), case.dtype(0)),)
    rank = len(x) - 2
    kernel = case.numbers("kernel_shape") or (1,) * rank
    strides, pads = _per_axis(case, "strides", rank, 1), _explicit_pads(case, rank)
    spatial = tuple((x[2 + i] - 1) * strides[i] - pads[i] + kernel[i] for i in range(rank))
    return (((*x[:2], *spatial), case.dtype(0)),)


def _roi_align(case: Case) -> tuple[Result, ...]:
    x, rois = case.require_rank(0, 4, 4), case.require_rank(1, 2, 2)
    window = case.number("output_height", 1), case.number("output_width", 1)
    return (((rois[0], x[1], *window), case.dtype(0)),)


def _max_roi_pool(case: Case) -> tuple[Result, ...]:
    x, rois = case.require_rank(0, 4, 4), case.require_rank(1, 2, 2)
    return (((rois[0], x[1], *_per_axis(case, "pooled_shape", 2, 1)), case.dtype(0)),)


def _grid_sample(case: Case) -> tuple[Result, ...]:
    x, grid = case.require_rank(0, 3), case.require_rank(1, 3)
    if len(grid) != len(x) or grid[0] != x[0] or grid[-1] != len(x) - 2:
        raise case.fail("an input (N, C, spatial...) and a grid (N, spatial..., number of spatial axes)")
    return (((*x[:2], *grid[1:-1]), case.dtype(0)),)


def _affine_grid(case: Case) -> tuple[Result, ...]:
    size = case.ints(1)
    return (((size[0], *size[2:], len(size) - 2), case.dtype(0)),)


def _col2im(case: Case) -> tuple[Result, ...]:
    x, image, block = case.require_rank(0, 3, 3), case.ints(1), case.ints(2)
    area = math.prod(block)
    if area < 1 or x[1] % area:
        raise case.fail(f"an axis 1 that is a multiple of the block {block}")
    return (((x[0], x[1] // area, *image), case.dtype(0)),)


WINDOW_RULES: MappingProxyType[str, Rule] = MappingProxyType(
    {
        "AffineGrid": _affine_grid,
        "AveragePool": _pool,
        "Col2Im": _col2im,
        "Conv": _conv,
        "ConvInteger": _conv_integer,
        "ConvTranspose": _conv_transpose,
        "DeformConv": _conv,
        "GlobalAveragePool": _global_pool,
        "GlobalLpPool": _global_pool,
        "GlobalMaxPool": _global_pool,
        "GridSample": _grid_sample,
        "LpPool": _pool,
        "MaxPool": _max_pool,
        "MaxRoiPool": _max_roi_pool,
        "MaxUnpool": _max_unpool,
        "QLinearConv": _qlinear_conv,
        "RoiAlign": _roi_align,
    }
)
"""Rules of the default domain."""

MICROSOFT_WINDOW_RULES: MappingProxyType[str, Rule] = MappingProxyType(
    {
        "FusedConv": _conv,
        "QLinearAveragePool": _qlinear_pool,
        "QLinearConv": _qlinear_conv,
        "QLinearGlobalAveragePool": _global_pool,
    }
)
"""Rules of the domain ``com.microsoft``."""
