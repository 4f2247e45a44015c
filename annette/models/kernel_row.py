"""One kernel as a row of numbers: its primary layer's geometry, its work, its traffic, what is fused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as MappingType
from types import MappingProxyType
from typing import NamedTuple

from annette.graph.geometry import tensor_geometry
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network, Tensor
from annette.graph.work import Work
from annette.measurement import DeviceInfo
from annette.models.kernel_layout import layout_columns
from annette.models.mapping_walk import GraphView, Walk

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
_NOTHING_FUSED = (0.0,) * (len(_FUSED_COLUMNS) + 4)
_POOLS = frozenset({"MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"})


class _Traffic(NamedTuple):
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
        view = GraphView(network, frozenset())
        self._number_of = {layer.name: number for number, layer in enumerate(network.layers)}
        kernels = (list(map(self._number, kernel.layers)) for kernel in mapping.kernels)
        gone = [self._number_of[name] for name in mapping.eliminated_layers if name in self._number_of]
        # of a network that somebody wrote by hand a constant may be computed, and who reads it counts
        is_odd = True in [kind.makes_constants for kind in view.kinds]
        readers = _all_readers(network) if is_odd else view.readers_of
        self._begin(view, readers, device, gone, kernels)

    @classmethod
    def of_walk(cls, walk: Walk, device: DeviceInfo) -> KernelReader:
        """The reader of the kernels that a walk has led to, which `read` takes by the numbers of layers."""
        found = object.__new__(cls)
        kernels = (state.layers for state in walk.kernels)
        found._begin(walk.view, walk.view.readers_of, device, walk.vanished, kernels)
        return found

    def _begin(
        self,
        view: GraphView,
        readers_of: MappingType[str, Sequence[int]],
        device: DeviceInfo,
        vanished: Iterable[int],
        kernels: Iterable[Sequence[int]],
    ) -> None:
        self._view, self._network, self._readers_of = view, view.network, readers_of
        self._vanished = frozenset(vanished)
        self._activation_bytes = device.activation_bytes
        self._weight_bytes = device.weight_bytes
        self._is_processor = is_processor(device)
        self._inlined: frozenset[int] = frozenset()
        if device.activation_bytes is None:  # only then the tensors' dtypes count
            self._inlined = self._inlined_dequantizers(kernels)

    def family_key(self, kernel: Kernel) -> str:
        """The primary layer's family, with ``@unit`` where the unit is not the family's usual one.

        Families of multiply-accumulates and attention are usual on ``array``, all others on ``vector``. A
        move is of the family ``move`` and carries its unit always.
        """
        if kernel.is_move:
            return f"move@{kernel.unit}"
        layers, primary = self._numbers(kernel)
        gelu = self._gelu(layers)
        return self._family_key(primary if gelu is None else gelu, kernel.unit)

    def row(self, kernel: Kernel) -> tuple[float, ...]:
        """The kernel's numbers in the order of `COLUMNS`."""
        if kernel.tensor is not None:
            return self._move_row(self._network.tensors[kernel.tensor])
        layers, primary = self._numbers(kernel)
        return self._row(layers, primary, kernel.unit, self._gelu(layers))

    def read(self, layers: Sequence[int], primary: int, unit: str) -> tuple[str, tuple[float, ...]]:
        """Family key and row of a kernel that is no move, given its layers by their numbers."""
        gelu = self._gelu(layers)
        return self._family_key(primary if gelu is None else gelu, unit), self._row(
            layers, primary, unit, gelu
        )

    def _numbers(self, kernel: Kernel) -> tuple[list[int], int]:
        return list(map(self._number, kernel.layers)), self._number(kernel.primary)

    def _number(self, name: str) -> int:
        found = self._number_of.get(name)
        return self._number_of[self._network.layer(name).name] if found is None else found  # says the name

    def _family_key(self, primary: int, unit: str) -> str:
        view = self._view
        family = view.family(primary)
        if self._is_processor:
            family = _PROCESSOR_FAMILIES.get(view.layers[primary].op_type, family)
        usual = "array" if family in ARRAY_FAMILIES else "vector"
        return family if unit == usual else f"{family}@{unit}"

    def _row(self, layers: Sequence[int], primary: int, unit: str, gelu: int | None) -> tuple[float, ...]:
        network, view = self._network, self._view
        primary = primary if gelu is None else gelu
        traffic = self._alone(primary) if len(layers) == 1 else self._merged(layers, primary)
        if gelu is not None:  # counts as the one layer that it could be written as
            layers, traffic = (gelu,), traffic._replace(extra_elements=0)
        geometry = view.geometry(primary)
        works = [self._work(number) for number in layers]
        own = works[0] if len(works) == 1 else works[layers.index(primary)]
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
        code = _UNIT_CODE.get(unit, _OTHER_UNIT)
        layer = view.layers[primary]
        layout = layout_columns(network, layer, is_processor=self._is_processor, is_gelu=gelu is not None)
        signed = self._signed_input(primary) if self._is_processor else 0.0
        return (*values, *self._fused(layers, primary), *layout, signed, code, *_OF_THE_TABLE)

    def _work(self, number: int) -> Work:
        return self._view.kinds[number].work(self._network, self._view.layers[number])

    def _signed_input(self, primary: int) -> float:
        """1 where the first activation that ``primary`` reads is stored as int8, else 0."""
        reads = self._view.reads[primary]
        return float(bool(reads) and self._view.tensors[self.source(reads[0])].dtype == "int8")

    def _gelu(self, layers: Sequence[int]) -> int | None:
        """The layer Erf where a processor computes GELU at once, written as Div, Erf, Add, Mul, Mul."""
        if not self._is_processor or len(layers) < 4:
            return None
        items = [self._view.layers[number] for number in layers]
        op_types = [layer.op_type for layer in items]
        if op_types.count("Erf") != 1 or not _GELU_PARTS.issuperset(op_types):
            return None
        made = {name for layer in items for name in layer.outputs}
        read = {name for layer in items for name in layer.inputs if name} - made
        tensors = [self._network.tensors[name] for name in read]
        is_one = sum(not item.is_constant for item in tensors) == 1
        if not is_one or any(item.size != 1 for item in tensors if item.is_constant):
            return None
        return layers[op_types.index("Erf")]

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

    def _alone(self, number: int) -> _Traffic:
        """What a layer that is a kernel by itself reads and writes."""
        view, work = self._view, self._work(number)
        tensors, outputs = view.tensors, view.layers[number].outputs
        scale = self._activation_bytes
        read = {name: tensors[name] for name in view.reads[number]}
        skipped = sum([tensor.size for tensor in read.values()]) - work.input_elements
        input_bytes, output_bytes = 0.0, 0.0
        if scale is None:
            input_bytes, output_bytes = self._stored_bytes(work, outputs, read)
        per_element = scale if scale is not None else input_bytes / max(work.input_elements, 1)
        return _Traffic(
            work.input_elements,
            work.output_elements,
            max(skipped, 0) * per_element,
            input_bytes if scale is None else work.input_elements * scale,
            output_bytes if scale is None else work.output_elements * scale,
            0,
            len(read),
            sum(map(bool, outputs)),
        )

    def _stored_bytes(
        self, work: Work, outputs: tuple[str, ...], read: dict[str, Tensor]
    ) -> tuple[float, float]:
        """Bytes that a lone layer reads and writes, in the dtypes beyond quantisers that are no work."""
        tensors = self._network.tensors
        input_bytes, output_bytes = float(work.input_bytes), float(work.output_bytes)
        if self._vanished or self._inlined:
            whole = sum(tensor.size_bytes for tensor in read.values())
            stored = sum(tensors[self.source(name)].bytes_of(tensor.size) for name, tensor in read.items())
            input_bytes *= stored / max(whole, 1)
            written = [tensors[name] for name in outputs if name]
            output_bytes = float(sum(self._written(tensor).bytes_of(tensor.size) for tensor in written))
        return input_bytes, output_bytes

    def _written(self, tensor: Tensor) -> Tensor:
        """What is stored of a tensor: the quantised one where only a quantiser that is no work reads it."""
        readers = self._readers_of.get(tensor.name, ())
        if (
            len(readers) != 1
            or tensor.name in self._view.output_names
            or self._activation_bytes is not None
            or readers[0] not in self._vanished
        ):
            return tensor
        reader = self._view.layers[readers[0]]
        return self._network.tensors[reader.outputs[0]] if reader.op_type == "QuantizeLinear" else tensor

    def _inlined_dequantizers(self, kernels: Iterable[Sequence[int]]) -> frozenset[int]:
        """The dequantisers that other work has taken in: each of their readers does their work by itself."""
        items = self._view.layers
        found: set[int] = set()
        for layers in kernels:
            op_types = [items[number].op_type for number in layers] if len(layers) > 1 else []
            if not _QUANTIZERS.issuperset(op_types):
                pairs = zip(layers, op_types, strict=True)
                found.update(number for number, op_type in pairs if op_type == "DequantizeLinear")
        return frozenset(found)

    def _merged(self, layers: Sequence[int], primary: int) -> _Traffic:
        """What enters and leaves layers merged into one kernel; what stays inside does not count."""
        view = self._view
        tensors, reads = view.tensors, view.reads
        looks_through = bool(self._vanished or self._inlined)
        produced = {name: number for number in layers for name in view.layers[number].outputs if name}
        own: set[str] = set()
        found: dict[str, Tensor] = {}
        for number in layers:
            for name in reads[number]:
                source = self.source(name) if looks_through else name
                if source not in produced:
                    found[source] = tensors[source]
                    if number == primary:
                        own.add(source)
        leaving = [tensors[name] for name in produced if self._leaves(name, layers)]
        if self._inlined:
            leaving = [tensor for tensor in leaving if produced[tensor.name] not in self._inlined]
        scale = self._activation_bytes
        input_elements = sum([tensor.size for tensor in found.values()])
        output_elements = sum([tensor.size for tensor in leaving])
        if scale is None:
            input_bytes: float = sum([tensor.size_bytes for tensor in found.values()])
            output_bytes: float = sum([self._written(item).bytes_of(item.size) for item in leaving])
        else:
            input_bytes, output_bytes = input_elements * scale, output_elements * scale
        extra = sum([tensor.size for name, tensor in found.items() if name not in own])
        return _Traffic(
            input_elements, output_elements, 0.0, input_bytes, output_bytes, extra, len(found), len(leaving)
        )

    def source(self, name: str) -> str:
        """The tensor behind ``name`` when layers that vanish are looked through."""
        view = self._view
        while self._vanished or self._inlined:
            producer = view.producer_of.get(name)
            if producer is None or not (producer in self._vanished or producer in self._inlined):
                return name
            behind = view.reads[producer]
            if len(behind) != 1:
                return name
            name = behind[0]
        return name

    def _leaves(self, name: str, inside: Sequence[int]) -> bool:
        """Whether anything outside the kernel reads ``name``, also through layers that vanish."""
        view = self._view
        pending = [name]
        is_read = False
        while pending:
            tensor = pending.pop()
            if tensor in view.output_names:
                return True
            for reader in self._readers_of.get(tensor, ()):
                is_read = True
                if reader in self._vanished:
                    pending.extend(filter(None, view.layers[reader].outputs))
                elif reader not in inside:
                    return True
        return not is_read

    def _fused(self, layers: Sequence[int], primary: int) -> tuple[float, ...]:
        """Counts of fused layers by kind, and the fused pool's window."""
        if len(layers) == 1:
            return _NOTHING_FUSED
        view = self._view
        counts = dict.fromkeys(_FUSED_COLUMNS, 0.0)
        pool: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
        for number in layers:
            if number == primary:
                continue
            op_type = view.layers[number].op_type
            if op_type in _POOLS:
                geometry = view.geometry(number)
                pool = (geometry.kernel_h, geometry.kernel_w, geometry.stride_h, geometry.stride_w)
            else:
                counts[_FUSED.get(op_type, "fused_other")] += 1.0
        return (*counts.values(), *pool)


def _all_readers(network: Network) -> dict[str, list[int]]:
    """The layers that read a tensor in any way, ascending, each once."""
    found: dict[str, list[int]] = {}
    for number, layer in enumerate(network.layers):
        for name in dict.fromkeys(filter(None, layer.inputs)):
            found.setdefault(name, []).append(number)
    return found
