"""Geometry: the loop sizes of any layer under the same fourteen names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from annette.graph.network import Layer, Network
from annette.graph.operands import DOMAINS

__all__ = ["MATRIX_OPERATORS", "Geometry", "layer_geometry", "tensor_geometry"]

Shape = tuple[int, ...]

MATRIX_OPERATORS: Mapping[str, int] = MappingProxyType(
    {
        "DynamicQuantizeMatMul": 1,
        "FusedGemm": 1,
        "FusedMatMul": 1,
        "Gemm": 1,
        "MatMul": 1,
        "MatMulInteger": 1,
        "MatMulIntegerToFloat": 1,
        "MatMulNBits": 1,
        "QGemm": 3,
        "QLinearMatMul": 3,
    }
)
"""Matrix products, and the position of their right side among the inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Loop sizes of one layer; each an int >= 1. What a layer does not have is 1.

    A 1-D operator has its length on the w axis; the depth of a 3-D one is folded into h.
    """

    batch: int = 1
    """Images, sequences, or matrices of a batched product."""
    groups: int = 1
    """Groups of a convolution."""
    in_channels: int = 1
    """Channels of the first activation, over all groups; the inner size of a matrix product."""
    out_channels: int = 1
    """Channels of the first output, over all groups; the columns of a matrix product."""
    in_h: int = 1
    """Height of the first activation; the rows of a matrix product."""
    in_w: int = 1
    """Width of the first activation."""
    out_h: int = 1
    """Height of the first output; the rows of a matrix product."""
    out_w: int = 1
    """Width of the first output."""
    kernel_h: int = 1
    """Height of the window."""
    kernel_w: int = 1
    """Width of the window."""
    stride_h: int = 1
    """Step of the window along h."""
    stride_w: int = 1
    """Step of the window along w."""
    dilation_h: int = 1
    """Distance of the window's taps along h."""
    dilation_w: int = 1
    """Distance of the window's taps along w."""


def layer_geometry(network: Network, layer: Layer) -> Geometry:
    """The loop sizes of ``layer``; never fails for a layer of a valid network.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("one")
    >>> y = build.conv(build.input("x", (1, 3, 8, 8)), 16, kernel=3, stride=2, padding=1)
    >>> network = build.finish(y)
    >>> geometry = layer_geometry(network, network.layers[0])
    >>> geometry.in_channels, geometry.out_h, geometry.kernel_w
    (3, 4, 3)
    """
    rule = _RULES.get(layer.op_type, _plain) if layer.domain in DOMAINS else _plain
    try:
        return rule(network, layer)
    except (ArithmeticError, LookupError, TypeError, ValueError):  # its inputs are not those of its operator
        return _plain(network, layer)


def tensor_geometry(shape: Shape) -> Geometry:
    """The loop sizes of what hands a tensor of that shape on unchanged.

    Examples
    --------
    >>> geometry = tensor_geometry((1, 64, 28, 14))
    >>> geometry.in_channels, geometry.out_h, geometry.out_w
    (64, 28, 14)
    """
    n, c, h, w = _at_least_one(*_axes(shape))
    return Geometry(batch=n, in_channels=c, out_channels=c, in_h=h, in_w=w, out_h=h, out_w=w)


def _ends(network: Network, layer: Layer) -> tuple[Shape, Shape]:
    """Shapes of the first input that is an activation (else the first at all) and of the first output."""
    tensors = network.tensors
    source: Shape | None = None
    for name in layer.inputs:
        if name:
            tensor = tensors[name]
            if not tensor.is_constant:
                source = tensor.shape
                break
            source = tensor.shape if source is None else source
    result = next((tensors[name].shape for name in layer.outputs if name), ())
    return result if source is None else source, result


def _axes(shape: Shape) -> tuple[int, int, int, int]:
    """(batch, channels, h, w) of a tensor; axes between channels and the last two are folded into h."""
    rank = len(shape)
    if rank == 4:
        return shape[0], shape[1], shape[2], shape[3]
    if rank == 3:
        return shape[0], shape[1], 1, shape[2]
    if rank == 2:
        return shape[0], shape[1], 1, 1
    if rank < 2:
        return 1, *(shape or (1,)), 1, 1  # type: ignore[return-value]  # exactly one size
    return shape[0], shape[1], math.prod(shape[2:-1]), shape[-1]


def _plane(sizes: Shape) -> tuple[int, int]:
    """(h, w) of numbers given per spatial axis."""
    if len(sizes) == 2:
        return sizes[0], sizes[1]
    return (math.prod(sizes[:-1]), sizes[-1]) if sizes else (1, 1)


def _at_least_one(*sizes: int) -> tuple[int, ...]:
    return sizes if min(sizes) > 0 else tuple(max(size, 1) for size in sizes)


def _plain(network: Network, layer: Layer) -> Geometry:
    source, result = _ends(network, layer)
    n, c, h, w = _at_least_one(*_axes(source))
    _, out_c, out_h, out_w = _at_least_one(*_axes(result))
    return Geometry(
        batch=n, in_channels=c, out_channels=out_c, in_h=h, in_w=w, out_h=out_h, out_w=out_w
    )  # fmt: skip


def _window(network: Network, layer: Layer, kernel: Shape, groups: int) -> Geometry:
    source, result = _ends(network, layer)
    if layer.int_attribute("channels_last", 0):
        source, result = ((shape[0], shape[-1], *shape[1:-1]) for shape in (source, result))
    n, c, h, w = _at_least_one(*_axes(source))
    _, out_c, out_h, out_w = _at_least_one(*_axes(result))
    kernel_h, kernel_w = _at_least_one(*_plane(kernel))
    stride_h, stride_w = _plane(layer.ints_attribute("strides") or ())
    dilation_h, dilation_w = _plane(layer.ints_attribute("dilations") or ())
    return Geometry(
        batch=n, groups=groups, in_channels=c, out_channels=out_c,
        in_h=h, in_w=w, out_h=out_h, out_w=out_w, kernel_h=kernel_h, kernel_w=kernel_w,
        stride_h=stride_h, stride_w=stride_w, dilation_h=dilation_h, dilation_w=dilation_w,
    )  # fmt: skip


def _conv(network: Network, layer: Layer) -> Geometry:
    weight = layer.inputs[3 if layer.op_type == "QLinearConv" else 1]
    return _window(network, layer, network.tensors[weight].shape[2:], layer.int_attribute("group", 1))


def _pool(network: Network, layer: Layer) -> Geometry:
    return _window(network, layer, layer.ints_attribute("kernel_shape") or (), 1)


def _global_pool(network: Network, layer: Layer) -> Geometry:
    source, _ = _ends(network, layer)
    channels_last = layer.int_attribute("channels_last", 0)
    return _window(network, layer, source[1:-1] if channels_last else source[2:], 1)


def _matrix(network: Network, layer: Layer) -> Geometry:
    position = MATRIX_OPERATORS[layer.op_type]
    left = network.tensors[layer.inputs[0]].shape
    result = network.tensors[layer.outputs[0]].shape
    right = network.tensors[layer.inputs[position]].shape
    transposed = layer.int_attribute("transA", 0) and len(left) > 1
    inner = left[-2] if transposed else left[-1]
    columns = result[-1] if len(right) > 1 and result else 1
    rows = math.prod(result[:-1] if len(right) > 1 else result)
    matrices = 1
    if len(right) > 2 or layer.inputs[position] not in network.weights:
        height = (left[-1] if transposed else left[-2]) if len(left) > 1 else 1
        matrices, rows = rows // max(height, 1), height
    matrices, rows, inner, columns = _at_least_one(matrices, rows, inner, columns)
    return Geometry(batch=matrices, in_channels=inner, out_channels=columns, in_h=rows, out_h=rows)


_RULES: Mapping[str, Callable[[Network, Layer], Geometry]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("Conv", "ConvInteger", "ConvTranspose", "DeformConv", "FusedConv", "QLinearConv"), _conv
        ),
        **dict.fromkeys(("AveragePool", "LpPool", "MaxPool", "MaxUnpool", "QLinearAveragePool"), _pool),
        **dict.fromkeys(
            ("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "QLinearGlobalAveragePool"), _global_pool
        ),
        **dict.fromkeys(MATRIX_OPERATORS, _matrix),
    }
)
