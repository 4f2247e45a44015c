"""One kernel of a table as a small network: its operator on tensors of its shapes, and what is fused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel

__all__ = ["FUSED_OPERATORS", "OPERATORS", "TableKernel", "add_kernel"]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableKernel:
    """A row that could be read: what ran, on which shapes, how long."""

    row: int
    """Of the table, from 1 on, the header not counted."""
    network: str
    """Name of the network that it belongs to."""
    operator: str
    """A key of `OPERATORS`."""
    input_shape: Shape
    """Of the first activation: batch, channels, spatial axes."""
    output_shape: Shape | None = None
    """Of the operator's result; ``None``: as the operator says."""
    kernel: tuple[int, int] | None = (1, 1)
    """Window (h, w); ``None``: the smallest that leads from the input's size to the output's."""
    stride: tuple[int, int] | None = None
    """(h, w); ``None``: what the shapes say."""
    groups: int = 1
    """Groups of a convolution."""
    n_inputs: int = 1
    """Activations that are joined."""
    fused: tuple[str, ...] = ()
    """Operators merged behind the first, in order; of `FUSED_OPERATORS`."""
    unit: str = "device"
    """The kernel that ran."""
    latency_s: float | None = None
    """Seconds, > 0; ``None``: not timed."""


def add_kernel(build: NetworkBuilder, kernel: TableKernel) -> tuple[Kernel, str]:
    """Add the kernel's layers with inputs of their own; how they map, and the name of the result.

    Raises
    ------
    GraphError
        If its shapes do not fit its operator.

    Examples
    --------
    >>> conv = TableKernel(row=1, network="a", operator="Conv", input_shape=(1, 8, 6, 6), fused=("Relu",),
    ...                    output_shape=(1, 4, 3, 3), kernel=(3, 3), stride=(2, 2))
    >>> mapped, result = add_kernel(NetworkBuilder("a"), conv)
    >>> mapped.name
    'conv_r1+relu_r1_1'
    """
    stem = f"{kernel.operator.lower()}_r{kernel.row}"
    inputs = [build.input(f"in_r{kernel.row}", kernel.input_shape)]
    result = OPERATORS[kernel.operator](build, kernel, inputs[0], stem)
    layers = [stem]
    for number, operator in enumerate(kernel.fused, 1):
        name = f"{operator.lower()}_r{kernel.row}_{number}"
        result = _add_fused(build, kernel, number, result, name)
        layers.append(name)
    return Kernel(layers=tuple(layers), primary=stem, unit=kernel.unit), result


def _add_fused(build: NetworkBuilder, kernel: TableKernel, number: int, x: str, name: str) -> str:
    """One fused layer; a sum reads another activation, unless it is the second half of a normalisation."""
    operator, shape = kernel.fused[number - 1], build.shape(x)
    if operator == "Clip":
        return build.relu6(x, name=name)
    if operator not in ("Add", "Sub", "Mul", "Div"):
        return build.add(operator, x, name=name)
    is_constant = operator in ("Mul", "Div") or (number > 1 and kernel.fused[number - 2] == "Mul")
    if is_constant:
        return build.add(operator, x, build.constant((1, shape[1], *(1,) * (len(shape) - 2))), name=name)
    return build.add(operator, x, build.input(f"in_r{kernel.row}_{number}", shape), name=name)


def _window(kernel: TableKernel) -> tuple[tuple[int, int], tuple[int, int], Shape]:
    """Window, strides, and the padding that leads from input to output sizes: begins, then ends."""
    sizes = kernel.input_shape[2:]
    if len(sizes) != 2:
        raise GraphError(f"input shape {kernel.input_shape}: expected batch, channels, height and width")
    out = kernel.output_shape[2:] if kernel.output_shape is not None else None
    if out is not None and len(out) != 2:
        raise GraphError(f"output shape {kernel.output_shape}: expected batch, channels, height and width")
    stride = kernel.stride
    if stride is None:
        stride = (
            (1, 1) if out is None else (max(round(sizes[0] / out[0]), 1), max(round(sizes[1] / out[1]), 1))
        )
    window = kernel.kernel
    if window is None:
        found = [1, 1] if out is None else [sizes[axis] - (out[axis] - 1) * stride[axis] for axis in (0, 1)]
        window = (_least_window(found[0], stride[0]), _least_window(found[1], stride[1]))
    pads = [0, 0]
    for axis, (size, width, step) in enumerate(zip(sizes, window, stride, strict=True)):
        pads[axis] = max((out[axis] - 1) * step + width - size, 0) if out is not None else 0
        reached = (size + pads[axis] - width) // step + 1
        if pads[axis] >= 2 * width or (out is not None and reached != out[axis]):
            raise GraphError(
                f"output size {out[axis] if out else reached}: a window of {width} in steps of {step} over "
                f"{size} gives {reached}"
            )
    return window, stride, (pads[0] // 2, pads[1] // 2, pads[0] - pads[0] // 2, pads[1] - pads[1] // 2)


def _least_window(size: int, stride: int) -> int:
    """A window of a pool that nothing else is known of: 3 where the steps are 1, since 1 would do nothing."""
    return max(size, stride, 3 if stride == 1 else 1)


def _conv(build: NetworkBuilder, kernel: TableKernel, x: str, name: str) -> str:
    window, stride, pads = _window(kernel)
    channels = kernel.input_shape[1]
    out_channels = kernel.output_shape[1] if kernel.output_shape is not None else channels
    if channels % kernel.groups or out_channels % kernel.groups:
        raise GraphError(
            f"{kernel.groups} groups: {channels} and {out_channels} channels are no multiples of it"
        )
    weight = build.constant((out_channels, channels // kernel.groups, *window))
    return build.add(
        "Conv", x, weight, build.constant((out_channels,)), name=name, dilations=(1, 1), group=kernel.groups,
        kernel_shape=window, pads=pads, strides=stride,
    )  # fmt: skip


def _pool(operator: str) -> Callable[[NetworkBuilder, TableKernel, str, str], str]:
    def add(build: NetworkBuilder, kernel: TableKernel, x: str, name: str) -> str:
        window, stride, pads = _window(kernel)
        return build.add(operator, x, name=name, ceil_mode=0, kernel_shape=window, pads=pads, strides=stride)

    return add


def _gemm(build: NetworkBuilder, kernel: TableKernel, x: str, name: str) -> str:
    depth = 1
    for size in kernel.input_shape[1:]:
        depth *= size
    if len(kernel.input_shape) != 2 and depth != kernel.input_shape[1]:
        raise GraphError(f"input shape {kernel.input_shape}: expected a matrix")
    if kernel.output_shape is None:
        raise GraphError("output channels are not known: expected them for a product with a weight")
    if len(kernel.input_shape) == 2:
        weight = build.constant((kernel.output_shape[1], depth))
        return build.add("Gemm", x, weight, build.constant((kernel.output_shape[1],)), name=name, transB=1)
    return _conv(build, kernel, x, name)


def _matmul(build: NetworkBuilder, kernel: TableKernel, x: str, name: str) -> str:
    if kernel.output_shape is None or len(kernel.input_shape) < 2:
        raise GraphError("the output shape is not known: expected it for a product of matrices")
    weight = (kernel.input_shape[-1], kernel.output_shape[-1])
    return build.add("MatMul", x, build.constant(weight), name=name)


def _concat(build: NetworkBuilder, kernel: TableKernel, x: str, name: str) -> str:
    """Joins channels; what the first input does not bring, the others share."""
    first = kernel.input_shape[1]
    if kernel.output_shape is None or kernel.n_inputs < 2:
        raise GraphError(f"{kernel.n_inputs} inputs: expected at least 2 and the output's channels")
    others, rest = kernel.n_inputs - 1, kernel.output_shape[1] - first
    if not others <= rest or others > 64:
        raise GraphError(f"{rest} channels for {others} more inputs: expected one each at least")
    parts = [x]
    for number in range(others):
        size = rest // others + (number < rest % others)
        shape = (kernel.input_shape[0], size, *kernel.input_shape[2:])
        parts.append(build.input(f"in_r{kernel.row}_c{number}", shape))
    return build.concat(*parts, name=name)


def _unary(operator: str) -> Callable[[NetworkBuilder, TableKernel, str, str], str]:
    def add(build: NetworkBuilder, kernel: TableKernel, x: str, name: str) -> str:
        return build.relu6(x, name=name) if operator == "Clip" else build.add(operator, x, name=name)

    return add


def _binary(operator: str) -> Callable[[NetworkBuilder, TableKernel, str, str], str]:
    def add(build: NetworkBuilder, kernel: TableKernel, x: str, name: str) -> str:
        return build.add(operator, x, build.input(f"in_r{kernel.row}_2", kernel.input_shape), name=name)

    return add


_UNARY = (
    "Clip", "Elu", "Gelu", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish", "LeakyRelu",
    "Mish", "Relu", "Sigmoid", "Softmax", "Softplus", "Tanh",
)  # fmt: skip
_BINARY = ("Add", "Div", "Mul", "Sub")

OPERATORS: Mapping[str, Callable[[NetworkBuilder, TableKernel, str, str], str]] = MappingProxyType(
    {
        "Conv": _conv,
        "DepthwiseConv": _conv,
        "Gemm": _gemm,
        "MatMul": _matmul,
        "Concat": _concat,
        **{operator: _pool(operator) for operator in ("MaxPool", "AveragePool")},
        **{operator: _unary(operator) for operator in _UNARY},
        **{operator: _binary(operator) for operator in _BINARY},
    }
)
"""How each operator that a table may name is built. ``DepthwiseConv`` is a Conv with a group a channel."""

FUSED_OPERATORS = frozenset({*_UNARY, *_BINARY} - {"GlobalAveragePool", "GlobalMaxPool", "Softmax"})
"""What may be fused behind another operator."""
