"""Columns of a kernel's row that depend on its primary layer's operator: broadcasts, runs, reductions."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from annette.graph.network import Layer, Network, Tensor

__all__ = ["OPERATORS", "layout_columns", "operator_code"]

OPERATORS = (
    "Abs", "Add", "And", "ArgMax", "ArgMin", "Attention", "AveragePool", "BatchNormalization", "BitShift",
    "Cast", "CastLike", "Ceil", "Celu", "Clip", "Concat", "Conv", "ConvInteger", "ConvTranspose", "Cos",
    "CumSum", "DepthToSpace", "DequantizeLinear", "Div", "DynamicQuantizeLinear", "Einsum", "Elu", "Equal",
    "Erf", "Exp", "Expand", "Flatten", "Floor", "GRU", "Gather", "GatherElements", "GatherND", "Gelu",
    "Gemm", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "Greater", "GreaterOrEqual", "GridSample",
    "GroupNormalization", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LRN", "LSTM",
    "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "LpNormalization",
    "LpPool", "MatMul", "MatMulInteger", "Max", "MaxPool", "MaxUnpool", "Mean", "MeanVarianceNormalization",
    "Min", "Mish", "Mod", "Mul", "Neg", "NonMaxSuppression", "Not", "OneHot", "Or", "PRelu", "Pad", "Pow",
    "QLinearAdd", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "RMSNormalization", "RNN", "Reciprocal",
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Resize", "RoiAlign",
    "RotaryEmbedding", "Round", "ScatterElements", "ScatterND", "Selu", "Sigmoid", "Sign", "Sin", "Slice",
    "Softmax", "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Swish",
    "Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Unsqueeze", "Upsample", "Where", "Xor",
    "ReduceAcross", "SoftmaxAcross",  # on a processor, over an axis that is not the last
    "ResizeNearest", "ResizeCubic",  # on a processor
)  # fmt: skip
"""Operators by their code less one. Platforms store codes: append here, never insert."""
_OPERATOR_CODE = MappingProxyType({name: float(index + 1) for index, name in enumerate(OPERATORS)})
_SIMPLE_OPERATORS = frozenset(
    {"Abs", "Add", "And", "Ceil", "Clip", "Floor", "HardSigmoid", "HardSwish", "LeakyRelu", "Max", "Mean",
     "Min", "Mul", "Neg", "Not", "Or", "PRelu", "Relu", "Round", "Sign", "Sub", "Sum", "ThresholdedRelu",
     "Where", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Identity", "Cast"}
)  # fmt: skip
_SMALL_EXPONENTS = ((2,), (2.0,), (3,), (3.0,))
_RESIZE_MODES = MappingProxyType({"nearest": 0.0, "linear": 1.0, "cubic": 2.0})
_REDUCTIONS = frozenset({"Softmax", "LogSoftmax", "ArgMax", "ArgMin", "TopK", "LpNormalization", "CumSum"})
_FIRST_AXIS = frozenset({"ArgMax", "ArgMin"})
"""Reductions over the first axis where they name none."""
_JOINS = frozenset({"Concat", "Split", "Slice"})
_PLAIN = frozenset(
    {"Add", "AveragePool", "BatchNormalization", "Clip", "Conv", "Div", "Gelu", "Gemm", "HardSigmoid",
     "HardSwish", "MatMul", "MaxPool", "Mul", "Relu", "Sigmoid", "Sub"}
)  # fmt: skip
"""Operators whose columns say no more than sizes."""


def operator_code(op_type: str) -> float:
    """A number for an operator type; 0 for one that is not in `OPERATORS`."""
    return _OPERATOR_CODE.get(op_type, 0.0)


def layout_columns(
    network: Network, layer: Layer, *, is_processor: bool = False, is_gelu: bool = False
) -> tuple[float, ...]:
    """The columns from broadcast_fraction to turned_elements.

    On a processor the operator is the one that its kernels are written for: a power of 2 or 3 is a product,
    twenty times as fast as any other; a reduction or softmax over another axis than the last has a kernel of
    its own, or turns its input first; each way to interpolate has one; a transposition that only moves axes
    of size 1 is a copy.
    """
    tensors = network.tensors
    operands = [tensors[name] for name in layer.inputs if name]
    outputs = [tensors[name] for name in layer.outputs if name]
    first = next((item for item in operands if not item.is_constant), outputs[0] if outputs else None)
    op_type = "Gelu" if is_gelu else layer.op_type
    if first is None:
        return (1.0, operator_code(op_type), 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0)
    output_size = outputs[0].size if outputs else first.size
    smallest = min([item.size for item in operands], default=first.size)
    if op_type in _PLAIN:  # most layers by far: nothing is turned, cut or reduced
        whole, shape = float(first.size), first.shape
        return (
            smallest / max(output_size, 1) if len(operands) > 1 else 1.0,
            operator_code(op_type),
            0.0 if op_type in _SIMPLE_OPERATORS else 1.0,
            0.0, 1.0, whole, 0.0, float(shape[-1] if shape else 1), float(len(shape)), 1.0, 1.0, 1.0, 1.0,
        )  # fmt: skip
    mode = 0.0
    if op_type in ("Resize", "Upsample"):
        mode = _RESIZE_MODES.get(str(layer.attribute("mode", "nearest")), 0.0)
    activations = [item for item in (*operands, *outputs) if not item.is_constant]
    runs = _runs(layer, activations) or (_contiguous_elements(layer, first), 0)
    reduced = _reduced_axes(network, layer, first)
    inner = _product(first.shape[reduced[-1] + 1 :]) if reduced else 1
    moved = _moved_axes(layer, first)
    outer, turned = 1, 1
    if is_processor:
        outer, turned = _turned(layer, first, reduced)
        op_type = _kernel_operator(op_type, operands, inner, mode)
        if layer.op_type == "Transpose" and turned == 0:
            runs, moved, turned = (first.size, 0), 1, 1
    return (
        smallest / max(output_size, 1) if len(operands) > 1 else 1.0,
        operator_code(op_type),
        0.0 if op_type in _SIMPLE_OPERATORS else 1.0,
        mode,
        float(_reduction_size(layer, first, output_size)),
        float(runs[0]),
        float(runs[1]),
        float(first.shape[-1] if first.shape else 1),
        float(len(first.shape)),
        float(inner),
        float(moved),
        float(outer),
        float(turned),
    )


def _kernel_operator(op_type: str, operands: list[Tensor], inner: int, mode: float) -> str:
    """The operator as a processor's kernels know it."""
    if op_type in ("Resize", "Upsample"):
        return {0.0: "ResizeNearest", 2.0: "ResizeCubic"}.get(mode, "Resize")
    if op_type == "Pow" and operands[-1].value in _SMALL_EXPONENTS:
        return "Mul"
    if inner > 1 and op_type in ("Softmax", "LogSoftmax"):
        return "SoftmaxAcross"
    return "ReduceAcross" if inner > 1 and op_type.startswith("Reduce") else op_type


def _turned(layer: Layer, first: Tensor, reduced: tuple[int, ...]) -> tuple[int, int]:
    """Elements before what is turned or reduced, and of the first of the groups that change places.

    Axes of size 1 do not count here, neighbours that stay neighbours are one group. 0 elements change places
    where a transposition is a copy; of layers that neither turn nor reduce (1, 1).
    """
    if layer.op_type != "Transpose":
        return (_product(first.shape[: reduced[0]]) if reduced else 1), 1
    order = layer.ints_attribute("perm") or tuple(reversed(range(len(first.shape))))
    kept = [axis for axis in order if first.shape[axis] != 1]
    if kept == sorted(kept):
        return 1, 0
    place = next(index for index, axis in enumerate(sorted(kept)) if kept[index] != axis)
    axes = sorted(kept)
    start, end = axes[place], place + 1
    while end < len(axes) and kept.index(axes[end]) == kept.index(axes[end - 1]) + 1:
        end += 1
    outer = _product(tuple(first.shape[axis] for axis in axes if axis < start))
    return outer, _product(tuple(first.shape[axis] for axis in axes[place:end]))


def _product(shape: tuple[int, ...]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result


def _reduction_size(layer: Layer, first: Tensor, output_size: int) -> float:
    op_type = layer.op_type
    if op_type in _REDUCTIONS and first.shape:
        axis = layer.int_attribute("axis", 0 if op_type in _FIRST_AXIS else -1)
        return first.shape[axis] if -len(first.shape) <= axis < len(first.shape) else 1
    if op_type in ("LayerNormalization", "RMSNormalization"):
        return _product(first.shape[layer.int_attribute("axis", -1) :])
    if op_type in ("InstanceNormalization", "GroupNormalization"):
        return _product(first.shape[2:])
    if op_type.startswith("Reduce") or op_type.startswith("Global"):
        return first.size / max(output_size, 1)
    return 1


def _reduced_axes(network: Network, layer: Layer, first: Tensor) -> tuple[int, ...]:
    """The axes of the first input that a layer reduces or normalises along, ascending; none of other layers.

    Where they are not known before the network runs, all of them count.
    """
    rank = len(first.shape)
    if layer.op_type in _REDUCTIONS:
        axes: tuple[Any, ...] = (layer.int_attribute("axis", 0 if layer.op_type in _FIRST_AXIS else -1),)
        if layer.op_type == "CumSum" and len(layer.inputs) > 1:
            axes = network.tensors[layer.inputs[1]].value or axes
    elif layer.op_type.startswith("Reduce"):
        axes = layer.ints_attribute("axes") or ()
        if not axes and len(layer.inputs) > 1 and layer.inputs[1]:
            axes = network.tensors[layer.inputs[1]].value or ()
        axes = axes or tuple(range(rank))
    else:
        return ()
    return tuple(sorted({int(axis) % rank for axis in axes if -rank <= axis < rank})) if rank else ()


def _contiguous_elements(layer: Layer, first: Tensor) -> int:
    """The run that a transposition keeps in order; of other layers the whole tensor."""
    if layer.op_type != "Transpose":
        return first.size
    order = layer.ints_attribute("perm") or tuple(reversed(range(len(first.shape))))
    kept = 1
    for axis in reversed(range(len(order))):
        if order[axis] != axis:
            break
        kept *= first.shape[axis]
    return kept


def _moved_axes(layer: Layer, first: Tensor) -> int:
    """Groups of axes that a transposition keeps side by side: the more, the less it can copy at once.

    Two for a matrix, three for a stack of matrices or for rows that swap places. Axes of size 1 count:
    runtimes choose by the order alone, once something has to move. 1 for other layers.
    """
    if layer.op_type != "Transpose":
        return 1
    order = layer.ints_attribute("perm") or tuple(reversed(range(len(first.shape))))
    return sum(axis != before + 1 for before, axis in zip((-2, *order), order, strict=False))


def _runs(layer: Layer, tensors: list[Tensor]) -> tuple[int, int] | None:
    """Runs that a join or cut moves at once, with channels first and last; ``None`` for other layers."""
    if layer.op_type not in _JOINS or not tensors:
        return None
    whole = max(tensors, key=lambda tensor: tensor.size).shape
    part = min(tensors, key=lambda tensor: tensor.size).shape
    if len(whole) != len(part):
        return None
    axes = tuple(range(len(whole)))
    channels_last = (*axes[:1], *axes[2:], *axes[1:2]) if len(axes) > 3 else axes
    return _run(whole, part, axes), _run(whole, part, channels_last)


def _run(whole: tuple[int, ...], part: tuple[int, ...], axes: tuple[int, ...]) -> int:
    """Elements of ``part`` that lie side by side in ``whole`` when its axes are stored in this order."""
    run = 1
    for axis in reversed(axes):
        run *= part[axis]
        if whole[axis] != part[axis]:
            break
    return run
