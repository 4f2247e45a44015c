"""One kernel as a row of numbers: its primary layer's geometry, its work, its traffic, what is fused."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from annette.graph.families import layer_family
from annette.graph.geometry import layer_geometry
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Layer, Network, Tensor
from annette.graph.work import Work, layer_work
from annette.measurement import DeviceInfo

__all__ = ["COLUMNS", "GEOMETRY_COLUMNS", "OPERATORS", "UNITS", "KernelReader", "operator_code"]

GEOMETRY_COLUMNS = (
    "batch", "groups", "in_channels", "out_channels", "in_h", "in_w", "out_h", "out_w",
    "kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w",
)  # fmt: skip
"""Of the primary layer, as `annette.graph.geometry.Geometry` names them."""

COLUMNS = (
    *GEOMETRY_COLUMNS,
    "macs", "ops", "primary_ops",  # of all layers; of the primary layer alone
    "input_elements", "weight_elements", "output_elements",  # what enters and leaves the kernel as a whole
    "input_bytes", "weight_bytes", "output_bytes",
    "primary_output_elements",  # before a fused pool shrinks it
    "skipped_bytes",  # of inputs that the primary layer reads in part only (slices, look-ups)
    "extra_elements",  # activations entering that the primary layer does not read (a residual operand)
    "n_inputs", "n_outputs", "n_layers",
    "fused_relu", "fused_smooth", "fused_add", "fused_mul", "fused_norm", "fused_other",  # counts
    "pool_kernel_h", "pool_kernel_w", "pool_stride_h", "pool_stride_w",  # of a fused pool, else 0
    "broadcast_fraction",  # elements of the primary's smallest operand / elements of its output
    "operator",  # `operator_code` of the primary layer
    "transcendental",  # 1 where the operator is more than additions, products and comparisons
    "mode",  # of a Resize: 0 nearest, 1 linear, 2 cubic
    "reduction_size",  # elements that are reduced to one, else 1
    "contiguous_elements",  # the longest run of elements that stays in order, channels first in memory
    "run_elements",  # the same of joins and cuts with channels last in memory; 0 for other layers
    "last_axis",  # size of the first input's last axis
    "rank",  # of the first input
    "unit",  # position in `UNITS`
)  # fmt: skip
"""The columns of a kernel table. Elements and bytes are counts; axes are sizes."""

UNITS = ("array", "vector", "host", "")
"""Units by their number; the last stands for any other word."""

_ARRAY_FAMILIES = frozenset(
    {"conv", "depthwise_conv", "grouped_conv", "conv_transpose", "gemm", "matmul", "attention"}
)

_FUSED = MappingProxyType(
    {
        **dict.fromkeys(("Relu", "Clip", "LeakyRelu", "PRelu", "ThresholdedRelu"), "fused_relu"),
        **dict.fromkeys(
            ("Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Gelu", "Mish", "Elu", "Selu", "Celu", "Swish",
             "Softplus", "Softsign", "Erf", "Exp"),
            "fused_smooth",
        ),
        **dict.fromkeys(("Add", "Sub", "Sum"), "fused_add"),
        **dict.fromkeys(("Mul", "Div"), "fused_mul"),
        **dict.fromkeys(("BatchNormalization", "LayerNormalization", "InstanceNormalization"), "fused_norm"),
    }
)  # fmt: skip
_FUSED_COLUMNS = ("fused_relu", "fused_smooth", "fused_add", "fused_mul", "fused_norm", "fused_other")
_POOLS = frozenset({"MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"})

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
)  # fmt: skip
"""Operators by their code less one. Platforms store codes: append here, never insert."""
_OPERATOR_CODE = MappingProxyType({name: float(index + 1) for index, name in enumerate(OPERATORS)})
_SIMPLE_OPERATORS = frozenset(
    {"Abs", "Add", "And", "Ceil", "Clip", "Floor", "HardSigmoid", "HardSwish", "LeakyRelu", "Max", "Mean",
     "Min", "Mul", "Neg", "Not", "Or", "PRelu", "Relu", "Round", "Sign", "Sub", "Sum", "ThresholdedRelu",
     "Where", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Identity", "Cast"}
)  # fmt: skip
_RESIZE_MODES = MappingProxyType({"nearest": 0.0, "linear": 1.0, "cubic": 2.0})
_REDUCTIONS = frozenset({"Softmax", "LogSoftmax", "ArgMax", "ArgMin", "TopK", "LpNormalization", "CumSum"})
_JOINS = frozenset({"Concat", "Split", "Slice"})


def operator_code(op_type: str) -> float:
    """A number for an operator type; 0 for one that is not in `OPERATORS`."""
    return _OPERATOR_CODE.get(op_type, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traffic:
    """Activations that enter and leave a kernel."""

    input_elements: int
    output_elements: int
    skipped_bytes: float
    input_bytes: float
    output_bytes: float
    extra_elements: int
    n_inputs: int
    n_outputs: int


class KernelReader:
    """Reads the kernels of one network under one mapping."""

    def __init__(self, network: Network, mapping: Mapping, device: DeviceInfo) -> None:
        self._network = network
        self._eliminated = frozenset(mapping.eliminated_layers)
        self._activation_bytes = device.activation_bytes
        self._weight_bytes = device.weight_bytes

    def family_key(self, kernel: Kernel) -> str:
        """The primary layer's family, with ``@unit`` where the unit is not the family's usual one.

        Families of multiply-accumulates and attention are usual on ``array``, all others on ``vector``.
        """
        family = layer_family(self._network, self._network.layer(kernel.primary))
        usual = "array" if family in _ARRAY_FAMILIES else "vector"
        return family if kernel.unit == usual else f"{family}@{kernel.unit}"

    def row(self, kernel: Kernel) -> tuple[float, ...]:
        """The kernel's numbers in the order of `COLUMNS`."""
        network = self._network
        primary = network.layer(kernel.primary)
        layers = (primary,) if len(kernel.layers) == 1 else tuple(map(network.layer, kernel.layers))
        geometry = layer_geometry(network, primary)
        works = [layer_work(network, layer) for layer in layers]
        traffic = self._alone(works[0], primary) if len(layers) == 1 else self._merged(layers, primary)
        weight_elements = sum(work.weight_elements for work in works)
        if self._weight_bytes is None:
            weight_bytes = float(sum(work.weight_bytes for work in works))
        else:
            weight_bytes = weight_elements * self._weight_bytes
        values: tuple[float, ...] = (
            geometry.batch, geometry.groups, geometry.in_channels, geometry.out_channels,
            geometry.in_h, geometry.in_w, geometry.out_h, geometry.out_w,
            geometry.kernel_h, geometry.kernel_w, geometry.stride_h, geometry.stride_w,
            geometry.dilation_h, geometry.dilation_w,
            sum(work.macs for work in works), sum(work.ops for work in works),
            next(work.ops for work, layer in zip(works, layers, strict=True) if layer is primary),
            traffic.input_elements, weight_elements, traffic.output_elements,
            traffic.input_bytes, weight_bytes, traffic.output_bytes,
            geometry.batch * geometry.out_channels * geometry.out_h * geometry.out_w,
            traffic.skipped_bytes, traffic.extra_elements, traffic.n_inputs, traffic.n_outputs, len(layers),
        )  # fmt: skip
        unit = float(UNITS.index(kernel.unit) if kernel.unit in UNITS else len(UNITS) - 1)
        return (*values, *self._fused(layers, primary), *_layout(network, primary), unit)

    def _alone(self, work: Work, layer: Layer) -> _Traffic:
        """What a layer that is a kernel by itself reads and writes."""
        tensors = self._network.tensors
        scale = self._activation_bytes
        read = {name: tensors[name] for name in layer.inputs if name and not tensors[name].is_constant}
        skipped = sum(tensor.size for tensor in read.values()) - work.input_elements
        per_element = scale if scale is not None else work.input_bytes / max(work.input_elements, 1)
        return _Traffic(
            input_elements=work.input_elements,
            skipped_bytes=max(skipped, 0) * per_element,
            output_elements=work.output_elements,
            input_bytes=work.input_bytes if scale is None else work.input_elements * scale,
            output_bytes=work.output_bytes if scale is None else work.output_elements * scale,
            extra_elements=0,
            n_inputs=len(read),
            n_outputs=sum(map(bool, layer.outputs)),
        )

    def _merged(self, layers: tuple[Layer, ...], primary: Layer) -> _Traffic:
        """What enters and leaves layers merged into one kernel; what stays inside does not count."""
        network = self._network
        tensors = network.tensors
        produced = {name for layer in layers for name in layer.outputs if name}
        inside = {layer.name for layer in layers}
        own: set[str] = set()
        found: dict[str, Tensor] = {}
        for layer in layers:
            for name in layer.inputs:
                if not name or tensors[name].is_constant:
                    continue
                source = self._source(name)
                if source not in produced:
                    found[source] = tensors[source]
                    if layer is primary:
                        own.add(source)
        leaving = [tensors[name] for name in sorted(produced) if self._leaves(name, inside)]
        scale = self._activation_bytes
        input_elements = sum(tensor.size for tensor in found.values())
        output_elements = sum(tensor.size for tensor in leaving)
        input_bytes = sum(tensor.size_bytes for tensor in found.values())
        output_bytes = sum(tensor.size_bytes for tensor in leaving)
        return _Traffic(
            input_elements=input_elements,
            output_elements=output_elements,
            skipped_bytes=0.0,
            input_bytes=input_bytes if scale is None else input_elements * scale,
            output_bytes=output_bytes if scale is None else output_elements * scale,
            extra_elements=sum(tensor.size for name, tensor in found.items() if name not in own),
            n_inputs=len(found),
            n_outputs=len(leaving),
        )

    def _source(self, name: str) -> str:
        """The tensor behind ``name`` when layers that vanish are looked through."""
        network = self._network
        while self._eliminated:
            producer = network.producer(name)
            if producer is None or producer.name not in self._eliminated:
                return name
            behind = network.activation_inputs(producer)
            if len(behind) != 1:
                return name
            name = behind[0].name
        return name

    def _leaves(self, name: str, inside: set[str]) -> bool:
        """Whether anything outside the kernel reads ``name``, also through layers that vanish."""
        network = self._network
        open_names = [name]
        read = False
        while open_names:
            tensor = open_names.pop()
            if tensor in network.outputs:
                return True
            for consumer in network.consumers(tensor):
                read = True
                if consumer.name in self._eliminated:
                    open_names.extend(filter(None, consumer.outputs))
                elif consumer.name not in inside:
                    return True
        return not read

    def _fused(self, layers: tuple[Layer, ...], primary: Layer) -> tuple[float, ...]:
        """Counts of fused layers by kind, and the fused pool's window."""
        if len(layers) == 1:
            return (0.0,) * (len(_FUSED_COLUMNS) + 4)
        counts = dict.fromkeys(_FUSED_COLUMNS, 0.0)
        pool: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
        for layer in layers:
            if layer is primary:
                continue
            if layer.op_type in _POOLS:
                geometry = layer_geometry(self._network, layer)
                pool = (geometry.kernel_h, geometry.kernel_w, geometry.stride_h, geometry.stride_w)
            else:
                counts[_FUSED.get(layer.op_type, "fused_other")] += 1.0
        return (*counts.values(), *pool)


def _layout(network: Network, layer: Layer) -> tuple[float, ...]:
    """The columns from broadcast_fraction to rank."""
    tensors = network.tensors
    operands = [tensors[name] for name in layer.inputs if name]
    outputs = [tensors[name] for name in layer.outputs if name]
    first = next((item for item in operands if not item.is_constant), outputs[0] if outputs else None)
    if first is None:
        return (1.0, operator_code(layer.op_type), 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0)
    op_type = layer.op_type
    output_size = outputs[0].size if outputs else first.size
    smallest = min((item.size for item in operands), default=first.size)
    mode = 0.0
    if op_type in ("Resize", "Upsample"):
        mode = _RESIZE_MODES.get(str(layer.attribute("mode", "nearest")), 0.0)
    activations = [item for item in (*operands, *outputs) if not item.is_constant]
    runs = _runs(layer, activations) or (_contiguous_elements(layer, first), 0)
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
    )


def _product(shape: tuple[int, ...]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result


def _reduction_size(layer: Layer, first: Tensor, output_size: int) -> float:
    op_type = layer.op_type
    if op_type in _REDUCTIONS and first.shape:
        axis = layer.int_attribute("axis", -1)
        return first.shape[axis] if -len(first.shape) <= axis < len(first.shape) else 1
    if op_type in ("LayerNormalization", "RMSNormalization"):
        return _product(first.shape[layer.int_attribute("axis", -1) :])
    if op_type in ("InstanceNormalization", "GroupNormalization"):
        return _product(first.shape[2:])
    if op_type.startswith("Reduce") or op_type.startswith("Global"):
        return first.size / max(output_size, 1)
    return 1


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
