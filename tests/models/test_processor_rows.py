"""Rows of a processor's kernels: GELU as one operator, how a transposition moves, signed bytes."""

from __future__ import annotations

import pytest

from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network
from annette.measurement import DeviceInfo
from annette.models.kernel_layout import operator_code
from annette.models.kernel_row import COLUMNS
from annette.models.kernel_table import KernelTable, build_kernel_table

CPU = DeviceInfo(name="cpu", backend="test", cache_bytes=(32768,), vector_bytes=64)
ARRAY = DeviceInfo(name="array", backend="test")
PLACE = ("near_bytes", "far_bytes", "recent_bytes", "network_bytes")


def _written_out() -> Network:
    build = NetworkBuilder("gelu")
    x = build.input("x", (1, 12, 32))
    y = build.add("Erf", build.add("Div", x, build.constant((), value=(1.4142,)), name="div"), name="erf")
    y = build.add("Add", y, build.constant((), value=(1.0,)), name="one")
    y = build.add("Mul", build.add("Mul", x, y, name="gate"), build.constant((), value=(0.5,)), name="half")
    return build.finish(y)


def _table(network: Network, device: DeviceInfo, *names: str) -> KernelTable:
    names = names or tuple(layer.name for layer in network.layers)
    mapping = Mapping(kernels=(Kernel(layers=names, primary=names[0], unit="plain"),))
    return build_kernel_table([(network, mapping)], device)


def test_gelu_written_out_counts_as_the_operator_on_a_processor() -> None:
    build = NetworkBuilder("gelu")
    whole = build.finish(build.add("Gelu", build.input("x", (1, 12, 32))))
    parts = _table(_written_out(), CPU)
    one = _table(whole, CPU)
    assert parts.families == one.families == ("activation@plain",)
    differing = [
        name
        for name in COLUMNS
        if name not in ("contiguous_elements", *PLACE)
        and parts.column(name).tolist() != one.column(name).tolist()
    ]
    assert differing == []


def test_what_merely_looks_like_gelu_keeps_its_weights_and_operands() -> None:
    build = NetworkBuilder("lookalike")
    x, other = build.input("x", (1, 12, 32)), build.input("other", (1, 12, 32))
    y = build.add("Erf", build.add("Mul", x, build.constant((32,)), name="mul"), name="erf")
    y = build.add("Mul", build.add("Add", y, other, name="add"), build.constant((32,)), name="scale")
    table = _table(build.finish(y), CPU)
    assert table.families == ("elementwise@plain",)
    found = [table.column(name)[0] for name in ("n_inputs", "weight_elements", "n_layers")]
    assert found == [2.0, 64.0, 4.0]


def test_gelu_stays_what_was_written_elsewhere() -> None:
    table = _table(_written_out(), ARRAY)
    assert table.families == ("elementwise@plain",)
    assert table.column("operator").tolist() == [operator_code("Div")]


@pytest.mark.parametrize(
    ("shape", "perm", "groups"),
    [
        ((1, 8, 6), (0, 2, 1), 3),
        ((1, 8, 6, 4), (0, 3, 1, 2), 3),
        ((8, 6), (1, 0), 2),
        ((1, 8, 3, 4, 2), (2, 0, 3, 4, 1), 4),
        ((2, 3, 4), (0, 1, 2), 1),
        ((1, 1, 9, 4), (0, 2, 1, 3), 1),
        ((), (), 1),
    ],
)
def test_a_transposition_moves_groups_of_axes(
    shape: tuple[int, ...], perm: tuple[int, ...], groups: int
) -> None:
    build = NetworkBuilder("transpose")
    network = build.finish(build.transpose(build.input("x", shape), perm))
    assert _table(network, CPU).column("moved_axes").tolist() == [groups]


@pytest.mark.parametrize(
    ("shape", "perm", "outer", "turned", "run"),
    [
        ((2, 8, 6), (0, 2, 1), 2, 8, 1),
        ((3, 8, 6, 4), (0, 2, 1, 3), 3, 8, 4),
        ((1, 8, 3, 4, 2), (2, 0, 3, 4, 1), 1, 8, 1),
        ((5, 1, 6, 4), (1, 0, 3, 2), 5, 6, 1),
        ((1, 9, 1, 4), (0, 2, 1, 3), 1, 1, 36),
        ((2, 3, 4, 5), (0, 3, 1, 2), 2, 12, 1),
    ],
)
def test_a_transposition_turns_groups_of_elements(
    shape: tuple[int, ...], perm: tuple[int, ...], outer: int, turned: int, run: int
) -> None:
    build = NetworkBuilder("transpose")
    table = _table(build.finish(build.transpose(build.input("x", shape), perm)), CPU)
    assert table.families == ("transpose@plain",)
    names = ("outer_elements", "turned_elements", "contiguous_elements")
    assert [int(table.column(name)[0]) for name in names] == [outer, turned, run]


def _one(
    op_type: str, shape: tuple[int, ...], axes: tuple[int, ...] | None = None, **options: object
) -> Network:
    build = NetworkBuilder(op_type)
    inputs = [build.input("x", shape)] + ([] if axes is None else [build.int_constant(axes)])
    return build.finish(build.add(op_type, *inputs, **options))


@pytest.mark.parametrize(
    ("network", "operator", "outer", "inner"),
    [
        (_one("Softmax", (2, 8, 6, 4), axis=-1), "Softmax", 2 * 8 * 6, 1),
        (_one("Softmax", (2, 8, 6, 4), axis=2), "SoftmaxAcross", 16, 4),
        (_one("LogSoftmax", (2, 8, 6), axis=1), "SoftmaxAcross", 2, 6),
        (_one("ReduceMean", (2, 8, 6), (1,), keepdims=0), "ReduceAcross", 2, 6),
        (_one("ReduceMean", (2, 8, 6), (2,), keepdims=0), "ReduceMean", 16, 1),
        (_one("ReduceMean", (2, 64, 64), (-1,), keepdims=0), "ReduceMean", 128, 1),
        (_one("ReduceMean", (2, 64, 64), (1,), keepdims=1), "ReduceAcross", 2, 64),
        (_one("ReduceMean", (1, 7, 7, 7), (2, 3), keepdims=0), "ReduceMean", 7, 1),
        (_one("ReduceMax", (8, 3, 6), (0,), keepdims=0), "ReduceAcross", 1, 18),
        (_one("ReduceSum", (2, 8, 6, 4), (0, 2), keepdims=1), "ReduceAcross", 1, 4),
        (_one("ReduceSum", (2, 8), keepdims=0), "ReduceSum", 1, 1),
        (_one("ArgMax", (4, 3, 5), keepdims=1), "ArgMax", 1, 15),
        (_one("Relu", (4, 3, 5)), "Relu", 1, 1),
    ],
)
def test_what_runs_across_the_last_axis_is_an_operator_of_its_own(
    network: Network, operator: str, outer: int, inner: int
) -> None:
    table = _table(network, CPU)
    assert table.column("operator").tolist() == [operator_code(operator)]
    assert table.column("inner_elements").tolist() == [inner]
    assert table.column("outer_elements").tolist() == [outer]
    assert _table(network, ARRAY).column("operator").tolist() == [operator_code(network.layers[0].op_type)]


@pytest.mark.parametrize(
    ("mode", "operator"), [("nearest", "ResizeNearest"), ("linear", "Resize"), ("cubic", "ResizeCubic")]
)
def test_each_way_to_interpolate_is_an_operator_of_its_own(mode: str, operator: str) -> None:
    build = NetworkBuilder("resize")
    network = build.finish(build.resize(build.input("x", (1, 4, 8, 8)), (16, 16), mode=mode))
    assert _table(network, CPU).column("operator").tolist() == [operator_code(operator)]
    assert _table(network, ARRAY).column("operator").tolist() == [operator_code("Resize")]


@pytest.mark.parametrize(("dtype", "signed"), [("int8", 1.0), ("uint8", 0.0)])
def test_signed_bytes_are_seen_through_dequantisers_in_the_kernel(dtype: str, signed: float) -> None:
    build = NetworkBuilder("quantised")
    scale, zero = build.constant(()), build.constant((), dtype=dtype)
    x = build.add("QuantizeLinear", build.input("x", (1, 4, 8, 8)), scale, zero, name="q")
    y = build.conv(build.add("DequantizeLinear", x, scale, zero, name="dq"), 8, name="conv")
    network = build.finish(build.add("QuantizeLinear", y, scale, zero, name="requantise"))
    kernels = (
        Kernel(layers=("q",), primary="q", unit="plain"),
        Kernel(layers=("dq", "conv", "requantise"), primary="conv", unit="integer"),
    )
    table = build_kernel_table([(network, Mapping(kernels=kernels))], CPU)
    assert table.column("signed_input").tolist() == [0.0, signed]
