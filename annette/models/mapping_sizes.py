"""Features of shapes and sizes that mapping decisions may look at, each a function of a `Site`."""

from __future__ import annotations

import math
from collections.abc import Callable

from annette.graph.geometry import Geometry
from annette.models.mapping_walk import Site

__all__ = [
    "alignment",
    "alignment_of",
    "all_pads",
    "axis",
    "axis_from_end",
    "channel_alignment",
    "constant_count",
    "constant_size",
    "edge_elements",
    "edge_keeps_shape",
    "edge_line",
    "edge_shape",
    "edge_window",
    "flag",
    "geometry",
    "group_alignment",
    "input_elements",
    "input_shape",
    "keeps_order",
    "keeps_shape",
    "kernel_geometry",
    "left_over",
    "operands_agree",
    "output_elements",
    "output_shape",
    "overlap",
    "padding",
    "producer_agrees",
    "rank_in",
    "rank_out",
    "scales_channels",
    "size_of",
    "uneven_padding",
    "weight_elements",
    "window_area",
]

Feature = Callable[[Site], float | frozenset[str]]


def output_shape(site: Site) -> tuple[int, ...]:
    """Shape of the layer's first output; ``()`` where it has none."""
    view = site.walk.view
    return next((view.tensors[name].shape for name in view.layers[site.layer].outputs if name), ())


def input_shape(site: Site) -> tuple[int, ...]:
    """Shape of the layer's first activation input; ``()`` where it has none."""
    operands = site.operands
    return site.walk.view.tensors[operands[0].tensor].shape if operands else ()


def edge_shape(site: Site) -> tuple[int, ...]:
    """Shape of the tensor that the decision is about."""
    return site.walk.view.tensors[site.operands[site.operand].tensor].shape


def keeps_shape(site: Site) -> float:
    """Whether input and output have the same shape."""
    return float(input_shape(site) == output_shape(site))


def edge_keeps_shape(site: Site) -> float:
    """Whether the edge's tensor has the shape of the output."""
    return float(edge_shape(site) == output_shape(site))


def operands_agree(site: Site) -> float:
    """Whether all activations have the shape of the output: no broadcasting."""
    tensors, shape = site.walk.view.tensors, output_shape(site)
    return float(all(tensors[operand.tensor].shape == shape for operand in site.operands))


def scales_channels(site: Site) -> float:
    """Whether some activations lack the output's shape, and each of those has one value a channel: a gate."""
    tensors, shape = site.walk.view.tensors, output_shape(site)
    others = [found for found in (tensors[item.tensor].shape for item in site.operands) if found != shape]
    if len(shape) < 3 or not others:
        return 0.0
    spots = (1,) * (len(shape) - 2)
    return float(all(found in ((shape[0], shape[1], *spots), (1, shape[1], *spots)) for found in others))


def producer_agrees(site: Site) -> float:
    """Whether all that the producer reads, constants too, has the shape of its result."""
    view = site.walk.view
    layer = view.layers[site.feeder]
    shape = next(view.tensors[name].shape for name in layer.outputs if name)
    return float(all(view.tensors[name].shape == shape for name in layer.inputs if name))


def keeps_order(site: Site) -> float:
    """Whether a permutation leaves the axes longer than 1 in their order, so that no element moves."""
    perm = site.walk.view.layers[site.layer].attribute("perm")
    shape = input_shape(site)
    if not isinstance(perm, tuple) or len(perm) != len(shape):
        return 0.0
    moved = [int(axis) for axis in perm if shape[int(axis)] > 1]
    return float(moved == sorted(moved))


def rank_in(site: Site) -> float:
    """Axes of the first activation input."""
    return float(len(input_shape(site)))


def rank_out(site: Site) -> float:
    """Axes of the first output."""
    return float(len(output_shape(site)))


def axis(site: Site) -> float:
    """The attribute ``axis`` counted from the front; 0 where there is none."""
    axis = site.walk.view.layers[site.layer].attribute("axis", 0)
    return float(axis + len(input_shape(site)) if axis < 0 else axis) if isinstance(axis, int) else 0.0


def axis_from_end(site: Site) -> float:
    """The attribute ``axis`` counted from the last axis."""
    return len(input_shape(site)) - axis(site)


def constant_count(site: Site) -> float:
    """Number of constant inputs."""
    view = site.walk.view
    names = view.layers[site.layer].inputs
    return float(sum(1 for name in names if name and view.tensors[name].is_constant))


def constant_size(site: Site) -> float:
    """Elements of the largest constant input."""
    view = site.walk.view
    names = view.layers[site.layer].inputs
    return float(max((view.tensors[n].size for n in names if n and view.tensors[n].is_constant), default=0))


def all_pads(site: Site) -> tuple[int, ...]:
    """ONNX's pads of the layer; all begins, then all ends."""
    return site.walk.view.layers[site.layer].ints_attribute("pads", ()) or ()


def padding(site: Site) -> float:
    """The largest padding at any side, in positions."""
    return float(max(all_pads(site), default=0))


def uneven_padding(site: Site) -> float:
    """Whether begin and end are padded differently."""
    pads = all_pads(site)
    return float(pads[: len(pads) // 2] != pads[len(pads) // 2 :])


def channel_alignment(site: Site) -> float:
    """The greatest power of two, up to 1024, that divides the channels of every operand."""
    tensors = site.walk.view.tensors
    channels = (tensors[operand.tensor].shape[1:2] or (1,) for operand in site.operands)
    common = math.gcd(1024, *(size for sizes in channels for size in sizes))
    return float(common & -common)


def alignment_of(size: int) -> float:
    """The greatest power of two, up to 1024, that divides a size.

    Examples
    --------
    >>> alignment_of(24), alignment_of(1)
    (8.0, 1.0)
    """
    return float(math.gcd(1024, size))


def alignment(name: str) -> Feature:
    """The feature that tells the greatest power of two, up to 1024, that divides one size of the layer."""
    return lambda site: alignment_of(int(getattr(geometry(site), name)))


def group_alignment(name: str) -> Feature:
    """The same of one group's share of a size."""

    def aligned(site: Site) -> float:
        found = geometry(site)
        return alignment_of(int(getattr(found, name)) // found.groups)

    return aligned


def input_elements(site: Site) -> float:
    """Elements of all activation inputs."""
    tensors = site.walk.view.tensors
    return float(sum(tensors[operand.tensor].size for operand in site.operands))


def output_elements(site: Site) -> float:
    """Elements of the first output."""
    return float(math.prod(output_shape(site)))


def edge_elements(site: Site) -> float:
    """Elements of the edge's tensor."""
    return float(math.prod(edge_shape(site)))


def edge_line(site: Site) -> float:
    """Elements of one line of the edge's tensor over all channels."""
    shape = edge_shape(site)
    return float(shape[1] * shape[-1]) if len(shape) > 2 else float(math.prod(shape))


def edge_window(site: Site) -> float:
    """Elements of the lines that the layer's window spans."""
    return edge_line(site) * site.walk.view.geometry(site.layer).kernel_h


def geometry(site: Site) -> Geometry:
    """Geometry of the layer under decision."""
    return site.walk.view.geometry(site.layer)


def kernel_geometry(site: Site) -> Geometry:
    """Geometry of the primary layer of the kernel that the layer may join."""
    return site.walk.view.geometry(site.walk.kernels[site.kernel].primary)


def size_of(geometry: Callable[[Site], Geometry], name: str) -> Feature:
    """The feature that reads one size of a geometry."""
    return lambda site: float(getattr(geometry(site), name))


def window_area(geometry: Callable[[Site], Geometry]) -> Feature:
    """The feature that counts positions of a window."""

    def area(site: Site) -> float:
        found = geometry(site)
        return float(found.kernel_h * found.kernel_w)

    return area


def overlap(site: Site) -> float:
    """How far neighbouring windows overlap, in lines; 0 and less where they do not."""
    found = geometry(site)
    return float(found.kernel_h - found.stride_h)


def left_over(site: Site) -> float:
    """Input lines and columns that whole strides do not divide."""
    found = geometry(site)
    return float(found.in_h % found.stride_h + found.in_w % found.stride_w)


def weight_elements(geometry: Callable[[Site], Geometry]) -> Feature:
    """The feature that counts elements of the weights."""

    def elements(site: Site) -> float:
        found = geometry(site)
        return float(found.in_channels // found.groups * found.out_channels * found.kernel_h * found.kernel_w)

    return elements


def flag(name: str) -> Feature:
    """The feature that reads an integer attribute; 0 where there is none."""

    def flag(site: Site) -> float:
        value = site.walk.view.layers[site.layer].attribute(name, 0)
        return float(value) if isinstance(value, int | float) else 0.0

    return flag
