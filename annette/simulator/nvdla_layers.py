"""A network as the rows of NVDLA's sheet: convolutions and matrix products, each with its pipeline.

Its AlexNet and ResNet-50 come out to the last digit, but for one row of ResNet-50 that the sheet counts with
other channels. Its GoogLeNet does not: 1.222 ms there, 1.664 ms from Caffe's network, a row a convolution.
The rows of that sheet are not at hand; branches that read their common input once (1.483 ms) do not explain
it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from annette.errors import UsageError
from annette.graph.network import Layer, Network
from annette.graph.operands import operands
from annette.simulator.facts import NetworkFacts
from annette.simulator.nvdla_description import SheetLayer

__all__ = ["SheetNetwork", "sheet_network"]

_CONVOLUTIONS = frozenset({"conv", "depthwise_conv", "grouped_conv"})
_FREE = frozenset({"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""What moves no data."""
_PASSES = frozenset({"Cast", "Dropout", "Identity"})
"""Of these, what leaves the shape as it is."""
_QUANTISERS = frozenset({"DequantizeLinear", "QuantizeLinear"})
_POINTWISE_FAMILIES = frozenset({"activation", "quantize"})
_SUMS = frozenset({"Add", "Div", "Max", "Min", "Mul", "QLinearAdd", "QLinearMul", "Sub", "Sum"})
_POOLS = frozenset(
    {
        "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "QLinearAveragePool",
        "QLinearGlobalAveragePool",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetNetwork:
    """Rows of the sheet and the layers of the network behind them."""

    layers: tuple[SheetLayer, ...]
    """In the order in which they can run; the groups of a convolution are rows of its name."""
    members: tuple[tuple[str, ...], ...]
    """Of each row, the network's layers in its pipeline; the convolution or matrix product first."""
    left_out: tuple[str, ...]
    """The network's layers that the sheet has no row for and no pipeline takes: they cost nothing in it."""


@dataclass(slots=True)
class _Pipeline:
    """One row while it grows: its head, and what streams behind."""

    members: list[Layer]
    """The head first; the output of the last leaves the pipeline."""
    has_sum: bool = False
    """Whether one of them meets a second tensor."""
    pool: Layer | None = None
    """The one that pools."""

    def take(self, facts: NetworkFacts, layer: Layer) -> None:
        """Let ``layer`` stream behind the others."""
        self.members.append(layer)
        if layer.op_type in _POOLS:
            self.pool = layer
        self.has_sum |= layer.op_type in _SUMS and len(operands(facts.network, layer)[0]) == 2


def sheet_network(network: Network) -> SheetNetwork:
    """The rows of NVDLA's sheet for ``network``.

    Behind a convolution stream, as long as nothing else reads what is between them: batch normalisation,
    activations, scaling by constants, one operation with a second tensor of the same shape, then one pooling;
    response normalisation at any place. Of two convolutions that feed a sum, the one deeper in the network
    takes it, as on the sheet: the other one must have finished. A fully connected layer behind a map is a
    convolution as large as the map; a matrix product of many rows is a 1x1 convolution over them. The sheet
    knows no dilation and no padding beyond that which keeps the size: a dilated convolution is one without
    Winograd, and a map that is padded further counts as that much larger.

    Raises
    ------
    UsageError
        For more than one image: the sheet knows single ones.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("one")
    >>> y = build.relu(build.conv(build.input("x", (1, 3, 8, 8)), 16, kernel=3, padding=1))
    >>> found = sheet_network(build.finish(build.softmax(build.max_pool(y, kernel=2, stride=2))))
    >>> found.members, found.left_out
    ((('conv_1', 'relu_1', 'maxpool_1'),), ('softmax_1',))
    >>> found.layers[0].out_h, found.layers[0].stored_h, found.layers[0].is_padded
    (8, 4, True)
    """
    facts, depths = NetworkFacts(network), _depths(network)
    position = {layer.name: index for index, layer in enumerate(network.layers)}
    heads = [layer for layer in network.layers if _is_head(facts, layer)]
    taken = {layer.name for layer in heads}
    pipelines = []
    for head in sorted(heads, key=lambda layer: (-depths[layer.name], -position[layer.name])):
        pipeline = _Pipeline(members=[head])
        while (layer := _next_layer(facts, pipeline)) is not None and layer.name not in taken:
            taken.add(layer.name)
            pipeline.take(facts, layer)
        pipelines.append(pipeline)
    pipelines.sort(key=lambda item: position[item.members[-1].name])
    rows = [(row, item) for item in pipelines for row in _rows(facts, item)]
    return SheetNetwork(
        layers=tuple(row for row, _ in rows),
        members=tuple(tuple(layer.name for layer in item.members) for _, item in rows),
        left_out=tuple(
            layer.name
            for layer in network.layers
            if layer.name not in taken and layer.op_type not in _FREE and not _is_constant(facts, layer)
        ),
    )


def _is_constant(facts: NetworkFacts, layer: Layer) -> bool:
    """Whether a layer's results are known before the network runs."""
    return layer.name in facts.static_layers or facts.network.weights.issuperset(filter(None, layer.outputs))


def _is_head(facts: NetworkFacts, layer: Layer) -> bool:
    """Whether the sheet has a row for ``layer``: convolutions on a plane, products with weights."""
    if _is_constant(facts, layer):
        return False
    family = facts.family(layer)
    if family in _CONVOLUTIONS:
        if len(facts.network.tensors[layer.outputs[0]].shape) > 4:
            return False
        images = facts.geometry(layer).batch
        if images != 1:
            raise UsageError(
                f"network {facts.network.name!r}: layer {layer.name!r}: found {images} images, expected one; "
                "build the network with batch 1"
            )
        return True
    return family == "gemm" and facts.geometry(layer).batch == 1


def _depths(network: Network) -> Mapping[str, int]:
    """Layers on the longest way from an input to each layer, itself included."""
    depths: dict[str, int] = {}
    for layer in network.layers:
        depths[layer.name] = 1 + max((depths[item.name] for item in network.predecessors(layer)), default=0)
    return depths


def _next_layer(facts: NetworkFacts, pipeline: _Pipeline) -> Layer | None:
    """The layer that can stream behind the pipeline; ``None`` if there is none."""
    network = facts.network
    results = [name for name in pipeline.members[-1].outputs if name]
    readers = network.consumers(results[0])
    if len(results) > 1 or len(readers) != 1 or results[0] in network.outputs:
        return None
    layer = readers[0]
    if layer.op_type in _PASSES or layer.op_type == "LRN":
        return layer
    if pipeline.pool is not None:
        return None
    if layer.op_type in _POOLS:
        return layer if facts.family(pipeline.members[0]) in _CONVOLUTIONS else None
    if facts.family(layer) in _POINTWISE_FAMILIES or layer.op_type == "BatchNormalization":
        return layer
    return layer if layer.op_type in _SUMS and _can_sum(facts, pipeline, layer) else None


def _can_sum(facts: NetworkFacts, pipeline: _Pipeline, layer: Layer) -> bool:
    """Whether an elementwise layer streams: with constants always, with one tensor as large once."""
    shape = facts.network.tensors[layer.outputs[0]].shape
    activations, _ = operands(facts.network, layer)
    if any(tensor.shape != shape for tensor in activations):
        return False
    if len(activations) == 1:
        return True
    is_fc = _row_kind(facts, pipeline.members[0]) == "fc"
    return len(activations) == 2 and not pipeline.has_sum and not is_fc


def _row_kind(facts: NetworkFacts, head: Layer) -> str:
    is_product = facts.family(head) not in _CONVOLUTIONS
    return "fc" if is_product and facts.geometry(head).out_h == 1 else "conv"


def _rows(facts: NetworkFacts, pipeline: _Pipeline) -> list[SheetLayer]:
    """The row of a pipeline, once for each group of its convolution."""
    head = pipeline.members[0]
    sizes, kind = facts.geometry(head), _row_kind(facts, head)
    channels, in_h, in_w, kernel_h, kernel_w = (
        sizes.in_channels // sizes.groups,
        sizes.in_h,
        sizes.in_w,
        sizes.kernel_h,
        sizes.kernel_w,
    )
    if kind == "fc":
        channels, in_h, in_w = _map_behind(facts, head)
        kernel_h, kernel_w = in_h, in_w
    in_h = sizes.out_h * sizes.stride_h if _is_wider(sizes.out_h, in_h, sizes.stride_h) else in_h
    in_w = sizes.out_w * sizes.stride_w if _is_wider(sizes.out_w, in_w, sizes.stride_w) else in_w
    is_dilated = sizes.dilation_h > 1 or sizes.dilation_w > 1
    stored = sizes if pipeline.pool is None else facts.geometry(pipeline.pool)
    row = SheetLayer(
        name=head.name,
        kind="conv + eltwise" if pipeline.has_sum else kind,
        in_channels=channels,
        in_h=in_h,
        in_w=in_w,
        out_channels=sizes.out_channels // sizes.groups,
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        stride_h=sizes.stride_h,
        stride_w=sizes.stride_w,
        is_padded=_exceeds(sizes.out_h, in_h, (kernel_h - 1) * sizes.dilation_h + 1, sizes.stride_h)
        or _exceeds(sizes.out_w, in_w, (kernel_w - 1) * sizes.dilation_w + 1, sizes.stride_w),
        out_h=sizes.out_h,
        out_w=sizes.out_w,
        stored_h=stored.out_h,
        stored_w=stored.out_w,
        winograd=False if is_dilated else None,
    )
    return [row] * sizes.groups


def _is_wider(windows: int, size: int, stride: int) -> bool:
    """Whether there are more windows than steps on the map: padding beyond that which keeps the size."""
    return windows > -(-size // stride)


def _exceeds(windows: int, size: int, extent: int, stride: int) -> bool:
    """Whether there are more windows than fit without padding."""
    return windows > (size - extent) // stride + 1


def _map_behind(facts: NetworkFacts, head: Layer) -> tuple[int, int, int]:
    """Channels, height and width of the map that a fully connected layer reads; flat ones are 1x1."""
    network, inner = facts.network, facts.geometry(head).in_channels
    tensor = network.activation_inputs(head)[0]
    while True:
        if len(tensor.shape) == 4 and tensor.shape[0] == 1 and math.prod(tensor.shape) == inner:
            return tensor.shape[1], tensor.shape[2], tensor.shape[3]
        source = network.producer(tensor.name)
        if (
            source is None
            or source.op_type not in _FREE | _QUANTISERS
            or not network.activation_inputs(source)
        ):
            return inner, 1, 1
        tensor = network.activation_inputs(source)[0]
