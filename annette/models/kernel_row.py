"""One kernel as a row of numbers: its primary layer's geometry, its work, its traffic, what is fused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

from annette.graph.geometry import tensor_geometry
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Layer, Network, Tensor
from annette.graph.work import Work
from annette.measurement import DeviceInfo
from annette.models.kernel_layout import layout_columns

__all__ = ["ARRAY_FAMILIES", "COLUMNS", "GEOMETRY_COLUMNS", "UNITS", "KernelReader", "is_processor"]

GEOMETRY_COLUMNS = (
    "batch", "groups", "in_channels", "out_channels", "in_h", "in_w", "out_h", "out_w",
    "kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w",
)  # fmt: skip
"""Of the primary layer, as `annette.graph.geometry.Geometry` names them."""

COLUMNS = (
    *GEOMETRY_COLUMNS,
    "macs", "ops", "primary_ops",  # of all layers (a GELU counts as one); of the primary layer alone
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
    "inner_elements",  # behind a reduced axis; 1 where that is the last
    "moved_axes",  # groups of axes that a transposition keeps together; 1 for other layers
    "outer_elements",  # before the axes that a processor reduces or turns; else 1
    "turned_elements",  # of the first group of axes that a transposition moves; else 1
    "signed_input",  # 1 where the primary layer reads int8, which takes longer than uint8 on some processors
    "unit",  # position in `UNITS`
    "network_bytes",  # weights read and results written by the whole network: what passes between two uses
    "near_bytes", "far_bytes",  # what passes since the newest and since the oldest input was written
    "recent_bytes",  # what the kernels just before move
)  # fmt: skip
"""The columns of a kernel table. Elements and bytes are counts; axes are sizes."""

UNITS = ("array", "vector", "host", "", "blocked", "plain", "integer", "move")
"""Units by their number; the empty one stands for any other word, ``move`` for all kinds of moves. Platforms
store the numbers: append here, never insert."""
_OF_THE_TABLE = (0.0, 0.0, 0.0, 0.0)
"""Columns that take more than one kernel to tell: `annette.models.kernel_table` fills them in."""
_OTHER_UNIT = float(UNITS.index(""))
_UNIT_CODE = MappingProxyType({name: float(number) for number, name in enumerate(UNITS)})

ARRAY_FAMILIES = frozenset(
    {"conv", "depthwise_conv", "grouped_conv", "conv_transpose", "gemm", "matmul", "attention"}
)
"""Families of multiply-accumulates, and attention."""

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
_PROCESSOR_FAMILIES = MappingProxyType({"Transpose": "transpose"})
"""Operators that processors run so unlike the rest of their family that they are one of their own."""
_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
_GELU_PARTS = frozenset({"Div", "Erf", "Add", "Mul"})
_FUSED_COLUMNS = ("fused_relu", "fused_smooth", "fused_add", "fused_mul", "fused_norm", "fused_other")
_POOLS = frozenset({"MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"})


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


def is_processor(device: DeviceInfo) -> bool:
    """Whether a device is a processor with caches or vector registers, as far as its data sheet tells."""
    return bool(device.cache_bytes) or device.vector_bytes is not None


class KernelReader:
    """Reads the kernels of one network under one mapping."""

    def __init__(self, network: Network, mapping: Mapping, device: DeviceInfo) -> None:
        self._network = network
        self._kinds = network.kinds
        self._eliminated = frozenset(mapping.eliminated_layers)
        self._activation_bytes = device.activation_bytes
        self._weight_bytes = device.weight_bytes
        self._is_processor = is_processor(device)
        self._inlined: frozenset[str] = frozenset()
        if device.activation_bytes is None:  # only then the tensors' dtypes count
            self._inlined = self._inlined_dequantizers(mapping)

    def family_key(self, kernel: Kernel) -> str:
        """The primary layer's family, with ``@unit`` where the unit is not the family's usual one.

        Families of multiply-accumulates and attention are usual on ``array``, all others on ``vector``. A
        move is of the family ``move`` and carries its unit always.
        """
        if kernel.is_move:
            return f"move@{kernel.unit}"
        primary = self._gelu(kernel) or self._network.layer(kernel.primary)
        family = self._kinds.of(primary).family(self._network, primary)
        if self._is_processor:
            family = _PROCESSOR_FAMILIES.get(primary.op_type, family)
        usual = "array" if family in ARRAY_FAMILIES else "vector"
        return family if kernel.unit == usual else f"{family}@{kernel.unit}"

    def row(self, kernel: Kernel) -> tuple[float, ...]:
        """The kernel's numbers in the order of `COLUMNS`."""
        network = self._network
        if kernel.tensor is not None:
            return self._move_row(network.tensors[kernel.tensor])
        gelu = self._gelu(kernel)
        primary = gelu or network.layer(kernel.primary)
        layers = (primary,) if len(kernel.layers) == 1 else tuple(map(network.layer, kernel.layers))
        geometry = self._kinds.of(primary).geometry(network, primary)
        works = [self._kinds.of(layer).work(network, layer) for layer in layers]
        traffic = self._alone(works[0], primary) if len(layers) == 1 else self._merged(layers, primary)
        if gelu is not None:  # counts as the one layer that it could be written as
            layers, works = (gelu,), [self._kinds.of(gelu).work(network, gelu)]
            traffic = replace(traffic, extra_elements=0)
        own = works[0] if len(works) == 1 else works[kernel.layers.index(primary.name)]
        weight_elements = sum([work.weight_elements for work in works])
        if self._weight_bytes is None:
            weight_bytes = float(sum([work.weight_bytes for work in works]))
        else:
            weight_bytes = weight_elements * self._weight_bytes
        values: tuple[float, ...] = (
            geometry.batch, geometry.groups, geometry.in_channels, geometry.out_channels,
            geometry.in_h, geometry.in_w, geometry.out_h, geometry.out_w,
            geometry.kernel_h, geometry.kernel_w, geometry.stride_h, geometry.stride_w,
            geometry.dilation_h, geometry.dilation_w,
            sum([work.macs for work in works]), sum([work.ops for work in works]), own.ops,
            traffic.input_elements, weight_elements, traffic.output_elements,
            traffic.input_bytes, weight_bytes, traffic.output_bytes,
            geometry.batch * geometry.out_channels * geometry.out_h * geometry.out_w,
            traffic.skipped_bytes, traffic.extra_elements, traffic.n_inputs, traffic.n_outputs, len(layers),
        )  # fmt: skip
        unit = _UNIT_CODE.get(kernel.unit, _OTHER_UNIT)
        layout = layout_columns(network, primary, is_processor=self._is_processor, is_gelu=gelu is not None)
        signed = self._signed_input(primary) if self._is_processor else 0.0
        return (*values, *self._fused(layers, primary), *layout, signed, unit, *_OF_THE_TABLE)

    def _signed_input(self, primary: Layer) -> float:
        """1 where the first activation that ``primary`` reads is stored as int8, else 0."""
        network = self._network
        first = next((item.name for item in network.activation_inputs(primary)), None)
        return float(first is not None and network.tensors[self.source(first)].dtype == "int8")

    def _gelu(self, kernel: Kernel) -> Layer | None:
        """The layer Erf where a processor computes GELU at once, written as Div, Erf, Add, Mul, Mul."""
        if not self._is_processor or len(kernel.layers) < 4:
            return None
        layers = [self._network.layer(name) for name in kernel.layers]
        found = [layer for layer in layers if layer.op_type == "Erf"]
        if len(found) != 1 or any(layer.op_type not in _GELU_PARTS for layer in layers):
            return None
        made = {name for layer in layers for name in layer.outputs}
        read = {name for layer in layers for name in layer.inputs if name} - made
        tensors = [self._network.tensors[name] for name in read]
        is_one = sum(not item.is_constant for item in tensors) == 1
        return found[0] if is_one and all(item.size == 1 for item in tensors if item.is_constant) else None

    def _move_row(self, tensor: Tensor) -> tuple[float, ...]:
        """The numbers of a move: the tensor enters and leaves, and no layer is at work."""
        geometry = tensor_geometry(tensor.shape)
        scale = self._activation_bytes
        size_bytes = tensor.size_bytes if scale is None else tensor.size * scale
        known: dict[str, float] = {name: float(getattr(geometry, name)) for name in GEOMETRY_COLUMNS}
        known.update(
            input_elements=tensor.size, output_elements=tensor.size, primary_output_elements=tensor.size,
            input_bytes=size_bytes, output_bytes=size_bytes, n_inputs=1, n_outputs=1,
            broadcast_fraction=1.0, reduction_size=1.0, contiguous_elements=tensor.size, inner_elements=1.0,
            moved_axes=1.0, outer_elements=1.0, turned_elements=1.0,
            last_axis=tensor.shape[-1] if tensor.shape else 1, rank=len(tensor.shape),
            unit=_UNIT_CODE["move"],
        )  # fmt: skip
        return tuple(float(known.get(name, 0.0)) for name in COLUMNS)

    def _alone(self, work: Work, layer: Layer) -> _Traffic:
        """What a layer that is a kernel by itself reads and writes."""
        tensors = self._network.tensors
        scale = self._activation_bytes
        read = {name: tensors[name] for name in layer.inputs if name and not tensors[name].is_constant}
        skipped = sum(tensor.size for tensor in read.values()) - work.input_elements
        input_bytes, output_bytes = self._stored_bytes(work, layer, read) if scale is None else (0.0, 0.0)
        per_element = scale if scale is not None else input_bytes / max(work.input_elements, 1)
        return _Traffic(
            input_elements=work.input_elements,
            skipped_bytes=max(skipped, 0) * per_element,
            output_elements=work.output_elements,
            input_bytes=input_bytes if scale is None else work.input_elements * scale,
            output_bytes=output_bytes if scale is None else work.output_elements * scale,
            extra_elements=0,
            n_inputs=len(read),
            n_outputs=sum(map(bool, layer.outputs)),
        )

    def _stored_bytes(self, work: Work, layer: Layer, read: dict[str, Tensor]) -> tuple[float, float]:
        """Bytes that a lone layer reads and writes, in the dtypes beyond quantisers that are no work."""
        tensors = self._network.tensors
        input_bytes, output_bytes = float(work.input_bytes), float(work.output_bytes)
        if self._eliminated or self._inlined:
            whole = sum(tensor.size_bytes for tensor in read.values())
            stored = sum(tensors[self.source(name)].bytes_of(tensor.size) for name, tensor in read.items())
            input_bytes *= stored / max(whole, 1)
            written = [tensors[name] for name in layer.outputs if name]
            output_bytes = float(sum(self._written(tensor).bytes_of(tensor.size) for tensor in written))
        return input_bytes, output_bytes

    def _written(self, tensor: Tensor) -> Tensor:
        """What is stored of a tensor: the quantised one where only a quantiser that is no work reads it."""
        network = self._network
        readers = network.consumers(tensor.name)
        if len(readers) != 1 or tensor.name in network.outputs or self._activation_bytes is not None:
            return tensor
        reader = readers[0]
        if reader.op_type != "QuantizeLinear" or reader.name not in self._eliminated:
            return tensor
        return network.tensors[reader.outputs[0]]

    def _inlined_dequantizers(self, mapping: Mapping) -> frozenset[str]:
        """The dequantisers that other work has taken in: each of their readers does their work by itself."""
        found = set()
        for kernel in mapping.kernels:
            if len(kernel.layers) > 1:
                layers = [self._network.layer(name) for name in kernel.layers]
                if any(layer.op_type not in _QUANTIZERS for layer in layers):
                    found |= {layer.name for layer in layers if layer.op_type == "DequantizeLinear"}
        return frozenset(found)

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
                source = self.source(name)
                if source not in produced:
                    found[source] = tensors[source]
                    if layer is primary:
                        own.add(source)
        leaving = [tensors[name] for name in sorted(produced) if self._leaves(name, inside)]
        if self._inlined:
            taken_in = {name for layer in layers if layer.name in self._inlined for name in layer.outputs}
            leaving = [tensor for tensor in leaving if tensor.name not in taken_in]
        scale = self._activation_bytes
        sizes = {name: tensor.size for name, tensor in found.items()}
        input_elements = sum(sizes.values())
        output_elements = sum([tensor.size for tensor in leaving])
        if scale is None:
            input_bytes: float = sum([tensor.size_bytes for tensor in found.values()])
            output_bytes: float = sum([self._written(item).bytes_of(item.size) for item in leaving])
        else:
            input_bytes, output_bytes = input_elements * scale, output_elements * scale
        return _Traffic(
            input_elements=input_elements,
            output_elements=output_elements,
            skipped_bytes=0.0,
            input_bytes=input_bytes,
            output_bytes=output_bytes,
            extra_elements=sum([size for name, size in sizes.items() if name not in own]),
            n_inputs=len(found),
            n_outputs=len(leaving),
        )

    def source(self, name: str) -> str:
        """The tensor behind ``name`` when layers that vanish are looked through."""
        network = self._network
        while self._eliminated or self._inlined:
            producer = network.producer(name)
            if producer is None or not (producer.name in self._eliminated or producer.name in self._inlined):
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
                geometry = self._kinds.of(layer).geometry(self._network, layer)
                pool = (geometry.kernel_h, geometry.kernel_w, geometry.stride_h, geometry.stride_w)
            else:
                counts[_FUSED.get(layer.op_type, "fused_other")] += 1.0
        return (*counts.values(), *pool)
