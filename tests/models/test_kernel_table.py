"""The kernel table counts what enters and leaves a kernel, whatever is fused and whatever vanishes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import GraphError, ModelError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network
from annette.graph.work import network_work
from annette.measurement import DeviceInfo
from annette.models.kernel_layout import OPERATORS, operator_code
from annette.models.kernel_row import COLUMNS
from annette.models.kernel_table import KernelTable, build_kernel_table, concatenate_tables

BYTES = DeviceInfo(name="bytes", backend="test", activation_bytes=1.0, weight_bytes=0.5)
OWN = DeviceInfo(name="own", backend="test")


def kernel(*layers: str, primary: str | None = None, unit: str = "array") -> Kernel:
    return Kernel(layers=layers, primary=primary or layers[0], unit=unit)


def residual_block() -> Network:
    build = NetworkBuilder("residual")
    x = build.input("x", (1, 16, 8, 8))
    y = build.conv(x, 16, kernel=3, padding=1, name="conv")
    y = build.add("Identity", y, name="view")
    y = build.add("Add", y, x, name="add")
    y = build.relu(y, name="relu")
    return build.finish(build.max_pool(y, kernel=2, stride=2, name="pool"))


def one_layer_each(network: Network) -> Mapping:
    return Mapping(kernels=tuple(kernel(layer.name) for layer in network.layers))


def row(table: KernelTable, *names: str) -> list[float]:
    return [float(table.column(name)[0]) for name in names]


def test_a_fused_kernel_counts_only_what_enters_and_leaves() -> None:
    network = residual_block()
    fused = Mapping(kernels=(kernel("conv", "add", "relu", "pool"),), eliminated_layers=("view",))
    table = build_kernel_table([(network, fused)], BYTES)
    elements = 16 * 8 * 8
    assert row(table, "input_elements", "output_elements", "primary_output_elements") == [
        elements,
        elements / 4,
        elements,
    ]
    assert row(table, "input_bytes", "output_bytes") == [elements, elements / 4]
    assert row(table, "weight_bytes") == [(16 * 16 * 9 + 16) * 0.5]
    assert row(table, "n_layers", "n_inputs", "fused_add", "fused_relu", "fused_norm") == [4, 1, 1, 1, 0]
    assert row(table, "pool_kernel_h", "pool_stride_w") == [2, 2]


def test_a_residual_operand_from_elsewhere_is_an_extra_operand() -> None:
    build = NetworkBuilder("two")
    x, other = build.input("x", (1, 4, 8, 8)), build.input("other", (1, 8, 8, 8))
    y = build.add("Add", build.conv(x, 8, name="conv"), other, name="add")
    table = build_kernel_table([(build.finish(y), Mapping(kernels=(kernel("conv", "add"),)))], BYTES)
    assert row(table, "extra_elements", "n_inputs", "input_elements") == [8 * 64, 2, 12 * 64]


def test_a_tensor_that_is_read_elsewhere_too_leaves_the_kernel() -> None:
    build = NetworkBuilder("branch")
    y = build.conv(build.input("x", (1, 4, 8, 8)), 8, name="conv")
    z = build.relu(y, name="relu")
    network = build.finish(z, build.add("Sigmoid", y, name="side"))
    mapping = Mapping(kernels=(kernel("conv", "relu"), kernel("side", unit="vector")))
    table = build_kernel_table([(network, mapping)], BYTES)
    assert row(table, "n_outputs", "output_elements") == [2, 2 * 8 * 64]


def test_without_a_data_sheet_the_dtypes_count() -> None:
    table = build_kernel_table([(residual_block(), one_layer_each(residual_block()))], OWN)
    np.testing.assert_array_equal(table.column("input_bytes"), 4 * table.column("input_elements"))


def test_the_unit_is_part_of_the_family_only_where_it_is_unusual() -> None:
    network = residual_block()
    units = {"conv": "array", "view": "vector", "add": "host", "relu": "vector", "pool": "array"}
    mapping = Mapping(kernels=tuple(kernel(layer.name, unit=units[layer.name]) for layer in network.layers))
    table = build_kernel_table([(network, mapping)], BYTES)
    assert table.families == ("conv", "copy", "elementwise@host", "activation", "pool@array")


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 40),
    size=st.integers(4, 30),
    out_channels=st.integers(1, 40),
    kernel_size=st.integers(1, 4),
)
def test_macs_and_ops_survive_any_mapping(
    channels: int, size: int, out_channels: int, kernel_size: int
) -> None:
    build = NetworkBuilder("chain")
    y = build.conv(build.input("x", (1, channels, size, size)), out_channels, kernel=kernel_size, name="conv")
    network = build.finish(build.relu(y, name="relu"))
    fused = build_kernel_table([(network, Mapping(kernels=(kernel("conv", "relu"),)))], BYTES)
    apart = build_kernel_table([(network, one_layer_each(network))], BYTES)
    work = network_work(network)
    for table in (fused, apart):
        assert table.column("macs").sum() == work.macs
        assert table.column("ops").sum() == work.ops
    assert fused.moved_bytes.sum() < apart.moved_bytes.sum()


def test_many_networks_at_once_equal_one_after_the_other() -> None:
    networks = [residual_block(), residual_block()]
    items = [(network, one_layer_each(network)) for network in networks]
    together = build_kernel_table(items, BYTES)
    joined = concatenate_tables([build_kernel_table([item], BYTES) for item in items])
    np.testing.assert_array_equal(together.values, joined.values)
    np.testing.assert_array_equal(together.network_index, joined.network_index)
    assert together.families == joined.families
    assert joined.n_networks == 2
    assert together.take(np.array([3, 0])).families == (together.families[3], together.families[0])


def test_no_networks_make_an_empty_table() -> None:
    table = build_kernel_table([], BYTES)
    assert len(table) == 0
    assert table.values.shape == (0, len(COLUMNS))
    assert len(concatenate_tables([])) == 0


def test_all_numbers_are_finite_and_arrays_cannot_be_written() -> None:
    network = residual_block()
    table = build_kernel_table([(network, one_layer_each(network))], OWN)
    assert np.isfinite(table.values).all()
    with pytest.raises(ValueError, match="read-only"):
        table.values[0, 0] = 1.0


def test_unknown_columns_and_layers_are_named() -> None:
    network = residual_block()
    table = build_kernel_table([(network, one_layer_each(network))], OWN)
    with pytest.raises(ModelError, match="no column 'flops'"):
        table.column("flops")
    with pytest.raises(GraphError, match="'nobody'"):
        build_kernel_table([(network, Mapping(kernels=(kernel("nobody"),)))], OWN)


def test_operator_codes_are_unique_and_never_zero_for_known_operators() -> None:
    codes = [operator_code(name) for name in OPERATORS]
    assert len(set(codes)) == len(OPERATORS)
    assert min(codes) == 1
    assert operator_code("SomethingElse") == 0


def test_slices_skip_part_of_their_input_and_joins_move_in_runs() -> None:
    build = NetworkBuilder("cut")
    x = build.input("x", (1, 8, 6, 10))
    cut = build.slice(x, axis=1, start=0, end=2)
    network = build.finish(build.concat(cut, x, axis=1))
    table = build_kernel_table([(network, one_layer_each(network))], BYTES)
    assert table.column("skipped_bytes").tolist() == [6 * 60, 0]
    assert table.column("contiguous_elements").tolist() == [2 * 60, 2 * 60]
    assert table.column("run_elements").tolist() == [2, 2]
