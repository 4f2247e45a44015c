"""Lowers kernels: from layers of a network to the loop nest or the stream that a unit runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from annette.errors import HardwareError
from annette.graph.network import Layer, Tensor
from annette.hardware.accelerator import ExternalMemory
from annette.simulator.facts import NetworkFacts, has_channel_factors
from annette.simulator.nests import ArrayNest, ChannelMaps, Stream

__all__ = ["MovedElements", "is_free_after_array", "lower_to_array", "lower_to_stream", "moved_elements"]

_NEST_FAMILIES = frozenset({"conv", "depthwise_conv", "grouped_conv", "conv_transpose", "gemm", "matmul"})

_FREE_AFTER_ARRAY = frozenset({"BatchNormalization", "Relu", "Clip", "LeakyRelu"})
"""Done while the accumulators are written back: scale, shift and clamp cost no extra cycle."""

_CHEAP = frozenset(
    {"Abs", "BitwiseNot", "Ceil", "Clip", "Floor", "HardSigmoid", "HardSwish", "IsInf", "IsNaN", "LeakyRelu",
     "Neg", "Not", "PRelu", "Relu", "Round", "Shrink", "Sign", "ThresholdedRelu", "QLinearLeakyRelu"}
)  # fmt: skip
"""Activations of compares, shifts and products; the others need tables, exponentials or divisions."""

_TRANSPOSE_RUN = 16
"""Elements a run where a transpose moves the last axis: blocks of 16 x 16 are turned in registers."""


def is_free_after_array(layer: Layer) -> bool:
    """Whether merging ``layer`` into a kernel of the array leaves the kernel's loop nest as it is."""
    return layer.op_type in _FREE_AFTER_ARRAY


def lower_to_array(facts: NetworkFacts, layers: Sequence[Layer]) -> ArrayNest:
    """The loop nest of a kernel of the array: its primary layer with the others merged in.

    Raises
    ------
    HardwareError
        If the primary layer is not made of multiply-accumulates.
    """
    primary, joined = layers[0], layers[1:]
    family = facts.family(primary)
    if family not in _NEST_FAMILIES:
        raise HardwareError(
            f"layer {primary.name!r} ({primary.op_type}): the array runs convolutions and matrix products, "
            "expected another unit in the placement rules"
        )
    sizes = facts.geometry(primary)
    transposed = family == "conv_transpose"
    position_h, position_w = (sizes.in_h, sizes.in_w) if transposed else (sizes.out_h, sizes.out_w)
    step_h, step_w = (1, 1) if transposed else (sizes.stride_h, sizes.stride_w)
    reach_h = 1 if transposed else (sizes.kernel_h - 1) * sizes.dilation_h + 1
    reach_w = 1 if transposed else (sizes.kernel_w - 1) * sizes.dilation_w + 1
    extra, extra_weights, post = _merged(facts, layers)
    last = facts.geometry(joined[-1]) if joined else sizes
    activations, weights = facts.operands(primary)
    other = sum(item.size for item in (*weights, *activations[1:]))
    # A product of stacks of matrices has a right side a matrix: to the array that is a group each.
    own_weights = family == "matmul" and other > sizes.in_channels * sizes.out_channels
    batch, groups = (1, sizes.batch) if own_weights else (sizes.batch, sizes.groups)
    return ArrayNest(
        batch=batch,
        groups=groups,
        out_channels=math.ceil(sizes.out_channels / sizes.groups),
        in_channels=math.ceil(sizes.in_channels / sizes.groups),
        positions_h=position_h,
        positions_w=position_w,
        kernel_h=sizes.kernel_h,
        kernel_w=sizes.kernel_w,
        in_h=sizes.in_h,
        in_w=sizes.in_w,
        halo_h=max(reach_h - step_h, 0),
        halo_w=max(reach_w - step_w, 0),
        step_h=step_h,
        step_w=step_w,
        is_transposed=transposed,
        store_h=last.out_h,
        store_w=last.out_w,
        weight_elements=other + extra_weights,
        has_computed_weights=len(activations) > 1,
        extra_elements=extra,
        store_elements=sum(item.size for item in facts.outputs(layers[-1])),
        post_elements=post,
    )


class MovedElements(NamedTuple):
    """What a kernel moves."""

    loads: int
    """Activations read."""
    weights: int
    """Constants read."""
    stores: int
    """Activations written."""


def moved_elements(facts: NetworkFacts, layers: Sequence[Layer]) -> MovedElements:
    """What a kernel of these layers moves, each tensor once."""
    return MovedElements(
        loads=sum(item.size for item in _outside(facts, layers)),
        weights=sum(
            facts.work(layer).weight_elements for layer in layers if layer.op_type not in ("Gather", "Slice")
        ),
        stores=sum(item.size for item in facts.outputs(layers[-1])),
    )


def lower_to_stream(facts: NetworkFacts, layers: Sequence[Layer], external: ExternalMemory) -> Stream:
    """The pass over tensors that a kernel of the vector unit or of the host makes."""
    work: dict[str, float] = {}
    for layer in layers:
        for kind, amount in _layer_work(facts, layer):
            work[kind] = work.get(kind, 0.0) + amount
    outputs, moved = facts.outputs(layers[-1]), moved_elements(facts, layers)
    return Stream(
        load_elements=moved.loads,
        weight_elements=moved.weights,
        store_elements=moved.stores,
        run_elements=min(_run_elements(facts, layer, external) for layer in layers),
        padding=_padding(outputs, external),
        work=tuple(sorted(work.items())),
        maps=_channel_maps(facts, layers[0]),
    )


def _channel_maps(facts: NetworkFacts, layer: Layer) -> ChannelMaps | None:
    """The maps that a global pool reads, or that a product with one factor a channel goes through."""
    inputs, outputs = facts.operands(layer)[0], facts.outputs(layer)
    are_whole = facts.family(layer) == "global_pool"
    if not outputs or not inputs:
        return None
    if not are_whole and not (layer.op_type == "Mul" and has_channel_factors(inputs, outputs[0])):
        return None
    shape = (inputs[0] if are_whole else outputs[0]).shape
    return ChannelMaps(images=shape[0], channels=shape[1], elements=math.prod(shape[2:]), are_whole=are_whole)


def _outside(facts: NetworkFacts, layers: Sequence[Layer]) -> tuple[Tensor, ...]:
    """What the layers read that none of them computes; tables only as far as they are looked up."""
    inside = {name for layer in layers for name in layer.outputs}
    found: dict[str, Tensor] = {}
    for layer in layers:
        for tensor in facts.operands(layer)[0]:
            if tensor.name not in inside and not facts.is_view_of(tensor.name, inside):
                found[tensor.name] = tensor
    return tuple(found.values())


def _merged(facts: NetworkFacts, layers: Sequence[Layer]) -> tuple[int, int, int]:
    """Extra elements read, extra weights, and elements through the post-processor, of merged layers."""
    own = {item.name for item in facts.operands(layers[0])[0]}
    extra = sum(item.size for item in _outside(facts, layers) if item.name not in own)
    weights = post = 0
    for layer in layers[1:]:
        if is_free_after_array(layer):
            continue  # a BatchNormalization is folded into the weights
        weights += facts.work(layer).weight_elements
        is_bias = layer.op_type == "Add" and facts.activation_count(layer) == 1
        if layer.op_type != "PRelu" and not is_bias:
            post += max(facts.work(layer).ops, facts.work(layer).output_elements)
    return extra, weights, post


def _layer_work(facts: NetworkFacts, layer: Layer) -> tuple[tuple[str, float], ...]:
    """Kinds and amounts of the work of one layer on a vector unit or a host."""
    family, done = facts.family(layer), facts.work(layer)
    elements = float(done.output_elements)
    if family in _NEST_FAMILIES:
        return (("macs", float(done.macs)),)
    if family in ("attention", "opaque"):
        rest = max(done.ops - 2 * done.macs, 0)
        kind = "elementwise" if family == "attention" else "opaque"
        return (("macs", float(done.macs)), (kind, max(rest, elements, float(done.input_elements))))
    if family == "activation":
        return (("activation" if layer.op_type in _CHEAP else "transcendental", elements),)
    if family in ("pool", "global_pool"):
        return (("pool", max(float(done.ops), elements)),)
    if family == "elementwise":
        return (("elementwise", max(float(done.ops), elements)),)
    if family == "resize":
        return (("resize", max(done.ops / 2, elements)),)
    if family == "reduce":
        return (("reduce", float(max(done.input_elements, done.output_elements))),)
    if layer.op_type == "BatchNormalization" or family == "quantize":
        return (("elementwise", elements),)
    return (("copy" if family == "concat" else family, elements),)


def _run_elements(facts: NetworkFacts, layer: Layer, external: ExternalMemory) -> int:
    """Elements side by side in memory that the layer moves at once, at the worse end."""
    outputs = facts.outputs(layer)
    activations = facts.operands(layer)[0]
    whole = max([item.size for item in (*outputs, *activations)], default=1)
    if not outputs or not outputs[0].shape:
        return max(whole, 1)
    shape = outputs[0].shape
    if layer.op_type == "Transpose":
        perm = layer.ints_attribute("perm") or tuple(reversed(range(len(shape))))
        return shape[-1] if perm[-1] == len(shape) - 1 else _TRANSPOSE_RUN
    if layer.op_type in ("Gather", "GatherND"):
        axis = layer.int_attribute("axis", 0)
        return max(math.prod(shape[axis + 1 :] if axis >= 0 else shape[axis:][1:]), 1)
    if layer.op_type in ("Concat", "Split", "Slice"):
        parts = activations if layer.op_type == "Concat" else outputs
        return max(min(_inner_run(item.shape, external) for item in parts), 1) if parts else 1
    if layer.op_type in ("Pad", "Resize", "Upsample", "DepthToSpace", "SpaceToDepth"):
        return max(shape[-1] * (shape[1] if _is_channels_last(shape, external) else 1), 1)
    return max(whole, 1)


def _inner_run(shape: tuple[int, ...], external: ExternalMemory) -> int:
    """Contiguous elements of a part that was cut along the channels."""
    if len(shape) < 2:
        return shape[0] if shape else 1
    return shape[1] if _is_channels_last(shape, external) else math.prod(shape[1:])


def _padding(outputs: Sequence[Tensor], external: ExternalMemory) -> float:
    """Stored elements an element: channels are kept in multiples of the alignment."""
    if not outputs or not _is_channels_last(outputs[0].shape, external) or not outputs[0].shape[1]:
        return 1.0
    channels, step = outputs[0].shape[1], external.channel_alignment
    return math.ceil(channels / step) * step / channels


def _is_channels_last(shape: tuple[int, ...], external: ExternalMemory) -> bool:
    return external.layout == "channels_last" and len(shape) > 3
