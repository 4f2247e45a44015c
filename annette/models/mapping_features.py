"""What mapping decisions may look at: named features of a layer, of the kernel it may join, and of the graph.

Each feature is a function of a `Site`; numbers are compared with thresholds, sets of words asked for
membership. The order of the tables is the order of preference between equally good conditions: the graph
before the operators, the operators before sizes, plain sizes before products.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from annette.models.mapping_sizes import (
    alignment,
    axis,
    axis_from_end,
    channel_alignment,
    constant_count,
    constant_size,
    edge_elements,
    edge_keeps_shape,
    edge_line,
    edge_window,
    flag,
    geometry,
    group_alignment,
    input_elements,
    keeps_order,
    keeps_shape,
    kernel_geometry,
    left_over,
    operands_agree,
    output_elements,
    overlap,
    padding,
    producer_agrees,
    rank_in,
    rank_out,
    scales_channels,
    size_of,
    uneven_padding,
    weight_elements,
    window_area,
)
from annette.models.mapping_walk import Site
from annette.models.mapping_words import (
    direct_producers,
    dtype,
    earlier_unshared,
    family,
    feeder_operator,
    input_dtype,
    input_units,
    kernel_family,
    kernel_operators,
    kernel_unit,
    next_families,
    next_operators,
    only,
    operator,
    options,
    other_kernels,
    other_operators,
    other_units,
    others,
    producer_content,
    producer_dtype,
    producer_families,
    producer_kernels,
    producer_operators,
    producer_units,
    sibling_operators,
)

__all__ = [
    "FEATURES",
    "FEEDER_FEATURES",
    "LAYER_FEATURES",
    "MERGE_FEATURES",
    "PLACEMENT_FEATURES",
    "PRIMARY_FEATURES",
    "VANISH_FEATURES",
    "Feature",
    "sample_of",
]

Feature = Callable[[Site], float | frozenset[str]]

_SIZES = (
    "kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w", "in_channels", "out_channels",
    "groups", "in_h", "in_w", "out_h", "out_w", "batch",
)  # fmt: skip


# The graph around --------------------------------------------------------------------------------


def _layer_readers(site: Site) -> float:
    return float(len(site.walk.view.readers(site.layer)))


def _feeds_output(site: Site) -> float:
    return float(site.walk.view.feeds_output(site.layer))


def _feeder_readers(site: Site) -> float:
    return float(len(site.walk.view.readers(site.feeder)))


def _feeder_feeds_output(site: Site) -> float:
    return float(site.walk.view.feeds_output(site.feeder))


def _is_latest(site: Site) -> float:
    """Whether this operand is computed after all others: the rest waits in memory by then."""
    return float(site.feeder == max(feeder for _, feeder in site.walk.layer_sources(site.layer)))


def _is_latest_kernel(site: Site) -> float:
    """Whether this operand's kernel starts after the others'."""
    kernels = site.walk.kernels
    starts = (kernels[kernel].primary for kernel, _ in site.walk.layer_sources(site.layer))
    return float(kernels[site.kernel].primary == max(starts))


def _all_from_kernel(site: Site) -> float:
    sources = site.walk.layer_sources(site.layer)
    return float(
        all(kernel == site.kernel for kernel, _ in sources)
        and all(site.walk.sources(operand) for operand in site.operands)
    )


def _reads_input(site: Site) -> float:
    return float(any(not site.walk.sources(operand) for operand in site.operands))


def _other_is_input(site: Site) -> float:
    return float(any(not site.walk.sources(operand) for operand in others(site)))


def _is_direct(site: Site) -> float:
    """Whether the layer reads the kernel's tensor itself, with no vanished layer between."""
    operand = site.operands[site.operand]
    return float(operand.tensor in site.walk.view.layers[site.feeder].outputs)


def _joined_sources(site: Site) -> float:
    """How many kernels' outputs the operand is made of (more than one behind a vanished join)."""
    return float(len(site.walk.sources(site.operands[site.operand])))


def _rejoins(site: Site) -> float:
    """Whether a reader of this layer also reads what this layer reads (x * sigmoid(x))."""
    view = site.walk.view
    own = set(view.readers(site.layer))
    feeders = [feeder for _, feeder in site.walk.layer_sources(site.layer)]
    return float(any(own.intersection(view.readers(feeder)) for feeder in feeders))


def _source_count(site: Site) -> float:
    return float(len({kernel for kernel, _ in site.walk.layer_sources(site.layer)}))


def _has_shared_operand(site: Site) -> float:
    """Whether a layer that feeds this one is also read by others."""
    view = site.walk.view
    sources = site.walk.layer_sources(site.layer)
    return float(any(len(view.readers(feeder)) > 1 or view.feeds_output(feeder) for _, feeder in sources))


def _reads_twice(site: Site) -> float:
    names = [operand.tensor for operand in site.operands]
    return float(len(set(names)) < len(names))


def _operand_count(site: Site) -> float:
    return float(len(site.operands))


def _kernel_size(site: Site) -> float:
    return float(len(site.walk.kernels[site.kernel].layers))


# Tables ------------------------------------------------------------------------------------------

_LAYER_SIZES: dict[str, Feature] = {name: size_of(geometry, name) for name in _SIZES}
_KERNEL_SIZES: dict[str, Feature] = {f"primary.{name}": size_of(kernel_geometry, name) for name in _SIZES}
_LAYER: dict[str, Feature] = {
    "padding": padding,
    "uneven_padding": uneven_padding,
    "ceil_mode": flag("ceil_mode"),
    "count_include_pad": flag("count_include_pad"),
    "alpha": flag("alpha"),
    "options": options,
    "rank_in": rank_in,
    "rank_out": rank_out,
    "axis": axis,
    "axis_from_end": axis_from_end,
    "dtype": dtype,
    "input_dtype": input_dtype,
    **_LAYER_SIZES,
    "window_area": window_area(geometry),
    "overlap": overlap,
    "left_over": left_over,
    "constant_size": constant_size,
    "weight_elements": weight_elements(geometry),
    "channel_alignment": channel_alignment,
    "output_elements": output_elements,
    "input_elements": input_elements,
}
_AROUND: dict[str, Feature] = {
    "operand_count": _operand_count,
    "constant_count": constant_count,
    "operands_agree": operands_agree,
    "scales_channels": scales_channels,
}
_MERGE: dict[str, Feature] = {
    "producer_readers": _feeder_readers,
    "producer_is_output": _feeder_feeds_output,
    "is_latest": _is_latest,
    "is_latest_kernel": _is_latest_kernel,
    "only_from_kernel": _all_from_kernel,
    "other_is_input": _other_is_input,
    "edge_keeps_shape": edge_keeps_shape,
    "producer_agrees": producer_agrees,
    **_AROUND,
    "is_direct": _is_direct,
    "joined_sources": _joined_sources,
    "rejoins": _rejoins,
    "unit": kernel_unit,
    "other_units": other_units,
    "kernel": kernel_operators,
    "primary.family": kernel_family,
    "producer": feeder_operator,
    "producer_dtype": producer_dtype,
    "layer": operator,
    "family": family,
    "next": next_operators,
    "others": other_operators,
    "earlier_unshared": earlier_unshared,
    "other_kernels": other_kernels,
    "direct_producers": direct_producers,
    "siblings": sibling_operators,
    "readers": _layer_readers,
    "is_output": _feeds_output,
    "kernel_layers": _kernel_size,
    **_LAYER,
    **_KERNEL_SIZES,
    "primary.window_area": window_area(kernel_geometry),
    "primary.weight_elements": weight_elements(kernel_geometry),
    "edge_elements": edge_elements,
    "edge_line": edge_line,
    "edge_window": edge_window,
}
_VANISH: dict[str, Feature] = {
    "keeps_shape": keeps_shape,
    "keeps_order": keeps_order,
    "reads_input": _reads_input,
    "is_output": _feeds_output,
    "producer_units": producer_units,
    "only_producer_kernels": only(producer_kernels),
    "only_producer_families": only(producer_families),
    "only_next": only(next_operators),
    "producer_kernels": producer_kernels,
    "producers": producer_operators,
    "direct_producers": direct_producers,
    "producer_families": producer_families,
    "producer_content": producer_content,
    "next": next_operators,
    "next_families": next_families,
    "shared_operand": _has_shared_operand,
    "reads_twice": _reads_twice,
    "source_count": _source_count,
    "readers": _layer_readers,
    "layer": operator,
    **_AROUND,
    **_LAYER,
}
_ALIGNMENTS: dict[str, Feature] = {
    "in_alignment": alignment("in_channels"),
    "out_alignment": alignment("out_channels"),
    "group_in_alignment": group_alignment("in_channels"),
    "group_out_alignment": group_alignment("out_channels"),
}
_PLACEMENT: dict[str, Feature] = {
    "kernel": kernel_operators,
    "layer": operator,
    "family": family,
    "keeps_shape": keeps_shape,
    "input_units": input_units,
    **_AROUND,
    **_LAYER,
    **_ALIGNMENTS,
    "producer_kernels": producer_kernels,
    "producers": producer_operators,
    "next": next_operators,
    "is_output": _feeds_output,
    "reads_input": _reads_input,
}

FEATURES: Mapping[str, Feature] = MappingProxyType({**_PLACEMENT, **_VANISH, **_MERGE})
"""Every feature by its name."""
LAYER_FEATURES: Mapping[str, Feature] = MappingProxyType(
    {"layer": operator, "family": family, **_AROUND, **_LAYER, **_ALIGNMENTS}
)
"""Features of a layer by itself, by name."""
FEEDER_FEATURES: Mapping[str, Feature] = MappingProxyType(
    {"producer_agrees": producer_agrees, "producer": feeder_operator, "producer_dtype": producer_dtype}
)
"""Features of the layer that feeds the one under decision by itself, by name."""
PRIMARY_FEATURES: Mapping[str, Feature] = MappingProxyType(
    {name: item for name, item in _MERGE.items() if name.startswith("primary.")}
)
"""Features of the kernel's primary layer by itself, by name."""
MERGE_FEATURES = tuple(_MERGE)
"""Names that merges may look at, most telling first."""
VANISH_FEATURES = tuple(_VANISH)
"""Names that vanishing may look at, most telling first."""
PLACEMENT_FEATURES = tuple(_PLACEMENT)
"""Names that placement may look at, most telling first."""


def sample_of(site: Site, names: tuple[str, ...]) -> dict[str, float | frozenset[str]]:
    """The values of these features at one site."""
    return {name: FEATURES[name](site) for name in names}
