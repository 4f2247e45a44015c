"""What the words in printed mapping rules mean, one line each, for people who do not know the code.

In a rule ``A + B`` a kernel whose main layer is an A takes in a layer B.
"The layer" is B, "the kernel" is A's.
In other rules "the layer" is the one that the rule names.
"""

from __future__ import annotations

from types import MappingProxyType

__all__ = ["MEANINGS", "meaning_of"]

_SIZES = "size of the layer (the window of a global pool is its whole input)"

MEANINGS = MappingProxyType(
    {
        **dict.fromkeys(
            ("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w", "in_channels",
             "out_channels", "groups", "in_h", "in_w", "out_h", "out_w", "batch"),
            _SIZES,
        ),
        "alpha": "the layer's attribute alpha",
        "axis": "the layer's axis, counted from the front",
        "axis_from_end": "the layer's axis, counted from the back (1: the last)",
        "ceil_mode": "whether a pool rounds its output size up",
        "channel_alignment": "the greatest power of two that divides the channels of every operand",
        "constant_count": "constant inputs of the layer",
        "constant_size": "elements of the layer's largest constant input",
        "count_include_pad": "whether an average pool counts the padding",
        "direct_producers": "operators that compute the layer's operands, vanished layers included",
        "dtype": "type of the layer's output elements",
        "input_dtype": "type of the elements that the layer reads first",
        "earlier_unshared": "operators that compute operands at earlier places which nobody else reads",
        "edge_elements": "elements of the tensor that the kernel hands to the layer",
        "edge_keeps_shape": "the layer's output has the shape of what the kernel hands it",
        "edge_line": "elements of one line, over all channels, of the tensor handed to the layer",
        "edge_window": "elements of the lines that the layer's window spans in the tensor handed to it",
        "family": "kind of the layer: conv, gemm (constant right side), matmul (two activations), ...",
        "input_elements": "elements that the layer reads",
        "behind_vanished": "a vanished layer lies between the moved tensor and its reader",
        "group_in_alignment": "the greatest power of two that divides the input channels of one group",
        "group_out_alignment": "the greatest power of two that divides the output channels of one group",
        "in_alignment": "the greatest power of two that divides the layer's input channels",
        "out_alignment": "the greatest power of two that divides the layer's output channels",
        "maker": "operator that makes the moved tensor",
        "maker_content": "operators in the kernel that makes the moved tensor",
        "operand_place": "place of the moved tensor among the activations that the layer reads, from 0",
        "reader": "main operator of the kernel that reads the moved tensor",
        "reader_content": "operators in the kernel that reads the moved tensor",
        "tensor_alignment": "the greatest power of two that divides the moved tensor's channels",
        "tensor_channels": "channels of the moved tensor",
        "tensor_dtype": "type of the moved tensor's elements",
        "tensor_elements": "elements of the moved tensor",
        "tensor_pixels": "elements of one channel of the moved tensor",
        "tensor_rank": "number of axes of the moved tensor",
        "input_units": "where the kernels run that this kernel reads from; input: an input of the network",
        "is_direct": "no vanished layer lies between kernel and layer",
        "is_latest": "of the layer's operands this kernel's is computed last",
        "is_latest_kernel": "of the kernels that feed the layer this one starts last",
        "is_output": "the layer's output leaves the network",
        "joined_sources": "kernels whose outputs make up the operand (several behind a vanished Concat)",
        "keeps_order": "a transposition that moves no element",
        "keeps_shape": "the layer's output has the shape of its input",
        "kernel": "operators that are in the kernel already",
        "kernel_layers": "layers that are in the kernel already",
        "layer": "the layer's operator",
        "left_over": "input lines and columns that whole strides do not divide",
        "next": "operators that read the layer's output",
        "next_families": "kinds of the layers that read the layer's output",
        "only_from_kernel": "all operands come from this kernel",
        "only_next": "the operator that reads the layer's output, if it is one only",
        "only_producer_families": "kind of the kernel that computes the operands, if it is one only",
        "only_producer_kernels": "main operator of the kernel that computes the operands, if it is one only",
        "operand_count": "activations that the layer reads",
        "operands_agree": "all activations have the output's shape (no broadcasting)",
        "options": "attributes whose values are words or orders",
        "other_is_input": "another operand is an input of the network",
        "other_kernels": "main operators of the kernels that compute the other operands",
        "other_units": "where the kernels that compute the other operands run",
        "others": "operators that compute the other operands",
        "output_elements": "elements that the layer writes",
        "overlap": "lines that neighbouring windows share: kernel_h - stride_h",
        "padding": "the layer's largest padding",
        "producer": "operator in the kernel that hands its output to the layer",
        "producer_content": "all operators in the kernels that compute the operands",
        "producer_families": "kinds of the kernels that compute the operands",
        "producer_agrees": "all that the producer reads, constants too, has the shape of its result",
        "producer_dtype": "type of the elements that the producer reads: of a dequantiser the quantised one",
        "producer_is_output": "what the kernel hands over leaves the network, too",
        "producer_kernels": "main operators of the kernels that compute the operands",
        "producer_readers": "layers that read what the kernel hands over",
        "producer_units": "where the kernels that compute the operands run",
        "producers": "operators that compute the operands",
        "rank_in": "number of axes of the layer's input",
        "rank_out": "number of axes of the layer's output",
        "readers": "layers that read the layer's output",
        "reads_input": "the layer reads an input of the network",
        "scales_channels": "activations without the output's shape have one value a channel",
        "reads_twice": "the layer reads one tensor twice",
        "rejoins": "a reader of the layer also reads what the layer reads, as in x * sigmoid(x)",
        "shared_operand": "an operand is also read by others",
        "siblings": "operators that read the same output of the kernel as the layer",
        "source_count": "kernels that compute the operands",
        "uneven_padding": "padding differs between the two ends of an axis",
        "unit": "where the kernel runs",
        "weight_elements": "elements of the layer's weights",
        "window_area": "kernel_h * kernel_w",
    }
)  # fmt: skip
"""Meaning by feature of `mapping_features` and `mapping_moves`, without the prefixes ``primary.`` and
``reader.``."""


def meaning_of(feature: str) -> str:
    """What a feature means; ``primary.NAME`` and ``reader.NAME`` are of the main layers of two kernels.

    Examples
    --------
    >>> meaning_of("primary.window_area")
    "kernel_h * kernel_w, of the kernel's main layer"
    """
    if feature.startswith("reader."):
        return f"{MEANINGS[feature.removeprefix('reader.')]}, of the main layer of the kernel that reads"
    plain = feature.removeprefix("primary.")
    meaning = MEANINGS[plain]
    return meaning if plain == feature else f"{meaning}, of the kernel's main layer"
