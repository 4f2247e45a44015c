"""Features of kernels for the boosted models: what is published, and with the analytic terms beside it."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from annette.models.data_sheet import DataSheet, inside_fraction, lane_padding
from annette.models.kernel_table import KernelTable
from annette.models.physics import PhysicalTerms
from annette.models.unroll import DIMENSIONS, padded_fraction

__all__ = ["FEATURE_NAMES", "feature_matrix", "feature_names"]

_STATISTICAL_LOG = (
    "ops", "input_elements", "output_elements", "weight_elements",
    "in_h", "in_w", "out_h", "out_w", "in_channels", "out_channels", "groups", "batch",
)  # fmt: skip
_STATISTICAL_PLAIN = ("kernel_h", "kernel_w", "stride_h", "stride_w", "n_inputs", "operator")

_GENERIC_LOG = ("ops", "input_bytes", "weight_bytes", "output_bytes", "reduction_size")
_GENERIC_PLAIN = ("n_inputs", "transcendental", "unit")

_MIXED_LOG = (
    "batch", "groups", "in_channels", "out_channels", "in_h", "in_w", "out_h", "out_w",
    "ops", "input_bytes", "weight_bytes", "output_bytes", "primary_output_elements", "extra_elements",
    "skipped_bytes", "reduction_size", "contiguous_elements", "run_elements", "last_axis",
)  # fmt: skip
_MIXED_PLAIN = (
    "kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w",
    "n_inputs", "n_outputs", "n_layers",
    "fused_relu", "fused_smooth", "fused_add", "fused_mul", "fused_norm", "fused_other",
    "pool_kernel_h", "pool_kernel_w", "pool_stride_h", "pool_stride_w",
    "broadcast_fraction", "operator", "transcendental", "mode", "rank",
)  # fmt: skip
_MIXED_TERMS = (
    "log2_compute_s", "log2_memory_s", "log2_total_s", "log2_compute_over_memory", "fixed_fraction",
    "input_fraction", "weight_fraction", "log2_weight_over_input", "input_padding", "output_padding",
    "efficiency",
    *(f"efficiency_{name}" for name in DIMENSIONS),
    *(f"log2_tiles_{name}" for name in DIMENSIONS),
    "log2_reduction_depth", "log2_pixels", "log2_row_elements", "log2_out_row_elements",
)  # fmt: skip

FEATURE_NAMES = MappingProxyType(
    {
        "statistical": (*(f"log2_{name}" for name in _STATISTICAL_LOG), *_STATISTICAL_PLAIN),
        "mixed": (*(f"log2_{name}" for name in _MIXED_LOG), *_MIXED_PLAIN, *_MIXED_TERMS),
        "generic": (*(f"log2_{name}" for name in _GENERIC_LOG), *_GENERIC_PLAIN, "log2_total_s"),
    }
)
"""The features by kind. ``statistical`` holds what is published and nothing of the staircase, ``mixed`` all,
``generic`` what any kernel has."""

_SHEET_TERMS = (
    "log2_working_set_over_cache", "log2_activations_over_cache", "log2_panel_over_cache",
    "log2_beyond_cache_s", "log2_m", "log2_n",
    "lane_fill_out_channels", "lane_fill_in_channels", "lane_fill_columns", "lane_fill_last_axis",
    "element_bytes", "inside_fraction", "log2_network_over_cache", "log2_inner_elements",
    "log2_near_over_cache", "log2_far_over_cache", "log2_recent_over_cache", "moved_axes", "signed_input",
    "log2_outer_elements", "log2_turned_elements", "row_alignment", "out_alignment",
)  # fmt: skip
"""What a data sheet adds to ``mixed``. One size stands for all caches: for trees the ratios to the others say
the same. ``panel`` is what one vector of results needs of the weights."""


_MOST_ALIGNED = 1024
"""Rows of a multiple of so many elements start in the same sets of any cache: walking down a column of them
pushes its own lines out."""


def feature_names(sheet: DataSheet) -> MappingProxyType[str, tuple[str, ...]]:
    """The features by kind for a device with this data sheet; `FEATURE_NAMES` for an empty one."""
    if sheet.is_empty:
        return FEATURE_NAMES
    return MappingProxyType({**FEATURE_NAMES, "mixed": (*FEATURE_NAMES["mixed"], *_SHEET_TERMS)})


def feature_matrix(
    kind: str, table: KernelTable, terms: PhysicalTerms, sheet: DataSheet | None = None
) -> NDArray[np.float32]:
    """The features of each kernel, shape (n_kernels, n_features), finite; columns as `feature_names`."""
    if kind == "statistical":
        columns = [_log2_columns(table, _STATISTICAL_LOG), _columns(table, _STATISTICAL_PLAIN)]
    elif kind == "generic":
        total = np.log2(terms.total_s)[:, None]
        columns = [_log2_columns(table, _GENERIC_LOG), _columns(table, _GENERIC_PLAIN), total]
    else:
        columns = [
            _log2_columns(table, _MIXED_LOG),
            _columns(table, _MIXED_PLAIN),
            _term_columns(table, terms),
        ]
        if sheet is not None and not sheet.is_empty:
            columns.append(_sheet_columns(table, terms, sheet))
    return np.concatenate(columns, axis=1, dtype=np.float32)


def _columns(table: KernelTable, names: tuple[str, ...]) -> NDArray[np.float64]:
    return np.stack([table.column(name) for name in names], axis=1)


def _log2_columns(table: KernelTable, names: tuple[str, ...]) -> NDArray[np.float64]:
    return np.log2(_columns(table, names) + 1.0)


def _term_columns(table: KernelTable, terms: PhysicalTerms) -> NDArray[np.float64]:
    """The analytic terms and the quantised sizes, shape (n_kernels, len(_MIXED_TERMS))."""
    refined = terms.refined
    least = refined.target.least
    compute, memory, total = terms.compute_s + least, terms.memory_s + least, terms.total_s
    log_compute, log_memory = np.log2(compute), np.log2(memory)
    input_bytes, weight_bytes = table.column("input_bytes"), table.column("weight_bytes")
    kernel_area = table.column("kernel_h") * table.column("kernel_w")
    depth = table.column("in_channels") / table.column("groups") * kernel_area
    single = (
        log_compute,
        log_memory,
        np.log2(total),
        log_compute - log_memory,
        terms.fixed_s / total,
        terms.transfers_s[:, 0] / memory,
        terms.transfers_s[:, 1] / memory,
        np.log2((weight_bytes + 1.0) / (input_bytes + 1.0)),
        terms.padding[:, 0],
        terms.padding[:, 1],
        refined.efficiency,
    )
    shape = (
        np.log2(depth + 1.0),
        np.log2(table.column("out_h") * table.column("out_w")),
        np.log2(table.column("in_channels") * table.column("in_w") + 1.0),
        np.log2(table.column("out_channels") * table.column("out_w") + 1.0),
    )
    return np.concatenate(
        [
            np.stack(single, axis=1),
            1.0 / padded_fraction(refined.sizes, refined.factors),
            np.log2(np.ceil(refined.sizes / refined.factors) + 1.0),
            np.stack(shape, axis=1),
        ],
        axis=1,
    )


def _sheet_columns(table: KernelTable, terms: PhysicalTerms, sheet: DataSheet) -> NDArray[np.float64]:
    """Kernels relative to caches and vectors, shape (n_kernels, len(_SHEET_TERMS))."""
    cache = float(sheet.cache_bytes[len(sheet.cache_bytes) // 2]) if sheet.cache_bytes else float(1 << 20)
    lanes, groups = sheet.lanes(table), table.column("groups")
    elements = np.maximum(table.column("input_elements"), 1.0)
    element_bytes = np.where(table.column("input_elements") > 0, table.column("input_bytes") / elements, 4.0)
    out_channels = np.maximum(table.column("out_channels") / groups, 1.0)
    in_channels = np.maximum(table.column("in_channels") / groups, 1.0)
    depth = in_channels * table.column("kernel_h") * table.column("kernel_w")
    activations = table.column("input_bytes") + table.column("output_bytes")
    is_depthwise = (groups > 1) & (in_channels == 1)
    columns = (
        np.log2((table.moved_bytes + 1.0) / cache),
        np.log2((activations + 1.0) / cache),
        np.log2((depth * np.minimum(lanes, out_channels) * element_bytes + 1.0) / cache),
        np.log2(terms.transfers_s[:, 4:].sum(axis=1) + terms.refined.target.least),
        np.log2(table.column("batch") * table.column("out_h") * table.column("out_w")),
        np.log2(out_channels),
        1.0 / lane_padding(np.where(is_depthwise, groups, out_channels), lanes),
        1.0 / lane_padding(np.where(is_depthwise, groups, in_channels), lanes),
        1.0 / lane_padding(table.column("out_w"), lanes),
        1.0 / lane_padding(table.column("last_axis"), lanes),
        element_bytes,
        inside_fraction(table),
        np.log2((table.column("network_bytes") + 1.0) / cache),
        np.log2(table.column("inner_elements") + 1.0),
        np.log2((table.column("near_bytes") + 1.0) / cache),
        np.log2((table.column("far_bytes") + 1.0) / cache),
        np.log2((table.column("recent_bytes") + 1.0) / cache),
        table.column("moved_axes"),
        table.column("signed_input"),
        np.log2(table.column("outer_elements") + 1.0),
        np.log2(table.column("turned_elements") + 1.0),
        np.log2(np.gcd(table.column("last_axis").astype(np.int64), _MOST_ALIGNED)),
        np.log2(np.gcd(table.column("out_channels").astype(np.int64), _MOST_ALIGNED)),
    )
    return np.stack(columns, axis=1)
