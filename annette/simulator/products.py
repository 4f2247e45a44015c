"""A network as matrix products: what a systolic array is given, by ONNX's rules or by SCALE-Sim's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.errors import UsageError
from annette.graph.families import layer_family
from annette.graph.geometry import Geometry, layer_geometry
from annette.graph.network import Layer, Network
from annette.graph.operands import operands
from annette.hardware.scalesim_files import ScaleSimLayer

__all__ = ["CONVENTIONS", "MatrixProducts", "network_products", "topology_products"]

CONVENTIONS = ("onnx", "scalesim")
"""``onnx``: padding, groups and batch as the network has them. ``scalesim``: one image without padding or
dilation, windows counted as ``ceil((H - R + s) / s)``; a depthwise convolution is a layer a channel."""

_WINDOWED = frozenset({"conv", "depthwise_conv", "grouped_conv"})
_MATRIX = frozenset({"gemm", "matmul"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatrixProducts:
    """Products of M x K by K x N, each done so many times over; arrays of shape (n_layers,)."""

    names: tuple[str, ...]
    """Of the layers that they come from."""
    m: NDArray[np.int64]
    """Output positions, of all images where these share their weights; rows of the left matrix."""
    k: NDArray[np.int64]
    """Taps of a window over the channels of a group; the inner size of a product."""
    n: NDArray[np.int64]
    """Filters of a group; columns of the right matrix."""
    repeats: NDArray[np.int64]
    """Groups, or matrices of a stack: products of the same size with operands of their own."""
    input_elements: NDArray[np.int64]
    """Elements of the left matrix of one product that memory holds: windows of a feature map share theirs."""

    @property
    def input_share(self) -> NDArray[np.float64]:
        """These over all elements of the left matrix; in (0, 1]."""
        return self.input_elements / (self.m * self.k)

    @property
    def macs(self) -> NDArray[np.int64]:
        """Multiply-accumulates of each layer."""
        return self.m * self.k * self.n * self.repeats


def network_products(network: Network, convention: str = "onnx") -> MatrixProducts:
    """The layers of ``network`` that are made of multiply-accumulates, as matrix products, in its order.

    Others (pools, activations, attention as one operator) are left out: SCALE-Sim does not model them.

    Raises
    ------
    UsageError
        For another convention than those of `CONVENTIONS`.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("one")
    >>> y = build.conv(build.input("x", (1, 3, 8, 8)), 16, kernel=3, padding=1)
    >>> products = network_products(build.finish(y))
    >>> int(products.m[0]), int(products.k[0]), int(products.n[0])
    (64, 27, 16)
    >>> int(network_products(build.finish(y), "scalesim").m[0])
    36
    """
    if convention not in CONVENTIONS:
        raise UsageError(f"convention {convention!r}, expected one of {', '.join(CONVENTIONS)}")
    names, rows = [], []
    for layer in network.layers:
        sizes = _product(network, layer, convention)
        if sizes is not None:
            names.append(layer.name)
            rows.append(sizes)
    return _table(names, rows)


def topology_products(layers: Sequence[ScaleSimLayer]) -> MatrixProducts:
    """The layers of one of SCALE-Sim's topologies as they are, one product each."""
    return _table(
        [item.name for item in layers],
        [(item.m, item.k, item.n, 1, item.input_elements) for item in layers],
    )


def _table(names: Sequence[str], rows: Sequence[tuple[int, int, int, int, int]]) -> MatrixProducts:
    m, k, n, repeats, elements = np.array(rows, dtype=np.int64).reshape(len(rows), 5).T
    return MatrixProducts(
        names=tuple(names), m=m, k=k, n=n, repeats=repeats, input_elements=np.minimum(elements, m * k)
    )


def _product(network: Network, layer: Layer, convention: str) -> tuple[int, int, int, int, int] | None:
    """M, K, N, repeats and elements of the input of one layer; ``None`` where it is no product."""
    family, sizes = layer_family(network, layer), layer_geometry(network, layer)
    inputs = math.ceil(sizes.in_channels / sizes.groups)
    filters = math.ceil(sizes.out_channels / sizes.groups)
    taps = sizes.kernel_h * sizes.kernel_w
    if family in _WINDOWED:
        pixels, positions = sizes.in_h * sizes.in_w, sizes.out_h * sizes.out_w
        if convention == "scalesim":
            positions = _windows(sizes.in_h, sizes.kernel_h, sizes.stride_h) * _windows(
                sizes.in_w, sizes.kernel_w, sizes.stride_w
            )
        images = sizes.batch if convention == "onnx" else 1
        return images * positions, inputs * taps, filters, sizes.groups, images * pixels * inputs
    if family == "conv_transpose":  # every input position meets every tap; the results are added up behind
        pixels = sizes.batch * sizes.in_h * sizes.in_w
        return pixels, inputs, filters * taps, sizes.groups, pixels * inputs
    if family in _MATRIX:
        stacked = sizes.batch if _has_own_weights(network, layer, sizes) else 1
        rows = sizes.batch // stacked * sizes.out_h * sizes.out_w
        return rows, inputs, filters, stacked, rows * inputs
    return None


def _windows(size: int, kernel: int, stride: int) -> int:
    """Positions of a window without padding, at least one; a part that is left over counts."""
    return max(math.ceil((size - kernel + stride) / stride), 1)


def _has_own_weights(network: Network, layer: Layer, sizes: Geometry) -> bool:
    """Whether each matrix of a stack meets a right side of its own."""
    activations, weights = operands(network, layer)
    right = sum(item.size for item in (*weights, *activations[1:]))
    return right > sizes.in_channels * sizes.out_channels and layer.op_type != "Gemm"
