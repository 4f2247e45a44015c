"""The compiler on the presets: what vanishes, what is merged, where it runs, and on what conditions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from annette.graph.builder import NetworkBuilder
from annette.hardware.codec import load_accelerator
from annette.simulator.compiler import compile_network
from annette.simulator.run import simulate

Body = Callable[[NetworkBuilder, str], str]


def kernels(preset: str, body: Body, shape: tuple[int, ...] = (1, 32, 28, 28)) -> list[str]:
    """``unit: operators`` of every kernel of a small network."""
    build = NetworkBuilder("small")
    network = build.finish(body(build, build.input("x", shape)))
    mapping = compile_network(network, load_accelerator(preset))
    return [
        f"{kernel.unit}: {'+'.join(network.layer(name).op_type for name in kernel.layers)}"
        for kernel in mapping.kernels
    ]


def residual(b: NetworkBuilder, x: str) -> str:
    y = b.relu(b.batch_norm(b.conv(x, 32, kernel=3, padding=1, bias=False)))
    y = b.batch_norm(b.conv(y, 32, kernel=3, padding=1, bias=False))
    return b.relu(b.add("Add", y, x))


def test_a_residual_block_is_two_kernels_where_adds_are_merged_and_three_elsewhere() -> None:
    assert kernels("zcu102-dpu", residual) == [
        "array: Conv+BatchNormalization+Relu",
        "array: Conv+BatchNormalization+Add+Relu",
    ]
    assert kernels("ncs2", residual) == [
        "array: Conv+BatchNormalization+Relu",
        "array: Conv+BatchNormalization",
        "vector: Add+Relu",
    ]


def test_a_residual_add_joins_the_branch_that_finishes_last() -> None:
    def two_branches(b: NetworkBuilder, x: str) -> str:
        first = b.conv(x, 32, name="first")
        second = b.conv(b.relu(b.conv(x, 32)), 32, name="second")
        return b.add("Add", second, first)

    assert kernels("zcu102-dpu", two_branches) == ["array: Conv", "array: Conv+Relu", "array: Conv+Add"]


@pytest.mark.parametrize(
    ("preset", "size", "kernel", "stride", "expected"),
    [
        ("zcu102-dpu", 56, 3, 2, ["array: Conv+Relu+MaxPool"]),
        ("zcu102-dpu", 56, 2, 2, ["array: Conv+Relu+MaxPool"]),
        ("zcu102-dpu", 56, 3, 1, ["array: Conv+Relu", "vector: MaxPool"]),
        ("zcu102-dpu", 160, 2, 2, ["array: Conv+Relu", "vector: MaxPool"]),
        ("ncs2", 160, 2, 2, ["array: Conv+Relu+MaxPool"]),
        ("ncs2", 56, 3, 2, ["array: Conv+Relu", "vector: MaxPool"]),
    ],
)
def test_a_pool_is_merged_on_conditions(
    preset: str, size: int, kernel: int, stride: int, expected: list[str]
) -> None:
    def body(b: NetworkBuilder, x: str) -> str:
        return b.max_pool(b.relu(b.conv(x, 32, kernel=3, padding=1)), kernel=kernel, stride=stride)

    assert kernels(preset, body, (1, 16, size, size)) == expected


def test_a_layer_with_two_readers_or_that_is_an_output_is_not_merged_over() -> None:
    def two_readers(b: NetworkBuilder, x: str) -> str:
        y = b.conv(x, 32)
        return b.add("Add", b.relu(y), b.relu6(y))

    assert kernels("zcu102-dpu", two_readers) == [
        "array: Conv",
        "vector: Relu",
        "vector: Clip",
        "vector: Add",
    ]
    build = NetworkBuilder("outputs")
    y = build.conv(build.input("x", (1, 8, 8, 8)), 8)
    network = build.finish(y, build.relu(y))
    assert len(compile_network(network, load_accelerator("zcu102-dpu")).kernels) == 2


def test_merging_sees_through_views() -> None:
    def body(b: NetworkBuilder, x: str) -> str:
        return b.relu(b.add("Dropout", b.add("Identity", b.conv(x, 32))))

    assert kernels("zcu102-dpu", body) == ["array: Conv+Relu"]


@pytest.mark.parametrize(
    ("channels", "from_input", "vanishes"), [(32, False, True), (24, False, False), (32, True, False)]
)
def test_a_concat_vanishes_if_kernels_write_its_aligned_inputs(
    channels: int, from_input: bool, vanishes: bool
) -> None:
    def body(b: NetworkBuilder, x: str) -> str:
        return b.concat(x if from_input else b.conv(x, 32), b.conv(x, channels))

    assert ("vector: Concat" in kernels("zcu102-dpu", body)) != vanishes


def test_what_depends_on_constants_alone_vanishes() -> None:
    build = NetworkBuilder("constants")
    x = build.input("x", (1, 8, 4, 4))
    scale = build.add("Exp", build.constant((8, 1, 1)))
    network = build.finish(build.add("Mul", x, scale))
    mapping = compile_network(network, load_accelerator("ncs2"))
    assert mapping.eliminated_layers == ("exp_1",)


def test_what_is_drawn_anew_each_time_or_unknown_costs_something_though_it_reads_constants() -> None:
    build = NetworkBuilder("noisy")
    x = build.input("x", (1, 8, 4, 4))
    noise = build.add("RandomNormal", shape=(1, 8, 4, 4))
    for name in ("ncs2", "zcu102-dpu"):
        run = simulate(build.finish(build.add("Add", x, noise)), load_accelerator(name))
        assert run.eliminated_layers == ()
        assert all(item.latency_s > 0 for item in run.kernels)


def test_unsupported_layers_run_on_the_host_or_on_the_vector_cores() -> None:
    def body(b: NetworkBuilder, x: str) -> str:
        return b.add("Mul", x, b.add("Sigmoid", x))

    assert kernels("zcu102-dpu", body) == ["host: Sigmoid", "vector: Mul"]
    assert kernels("ncs2", body) == ["vector: Sigmoid", "vector: Mul"]


@pytest.mark.parametrize("gate", ["Sigmoid", "HardSigmoid"])
def test_a_squeeze_and_excitation_stays_on_the_device(gate: str) -> None:
    def body(b: NetworkBuilder, x: str) -> str:
        return b.add("Mul", x, b.add(gate, b.conv(b.global_avg_pool(x), 32)))

    assert kernels("zcu102-dpu", body, (1, 32, 112, 112)) == [
        "vector: GlobalAveragePool", f"array: Conv+{gate}", "vector: Mul",
    ]  # fmt: skip
    assert kernels("ncs2", body) == [
        "vector: GlobalAveragePool", "array: Conv", f"vector: {gate}", "vector: Mul",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "unit"),
    [((1, 32, 1, 1), "vector"), ((1, 1, 28, 28), "host"), ((1, 1, 1, 1), "host"), ((1, 32, 28, 1), "host")],
)
def test_of_products_that_broadcast_those_with_one_factor_a_channel_run_on_the_device(
    shape: tuple[int, ...], unit: str
) -> None:
    for order in (1, -1):
        build = NetworkBuilder("product")
        inputs = build.input("x", (1, 32, 28, 28)), build.input("y", shape)
        network = build.finish(build.add("Mul", *inputs[::order]))
        (kernel,) = compile_network(network, load_accelerator("zcu102-dpu")).kernels
        assert kernel.unit == unit


def test_matrix_products_of_two_activations_do_not_run_on_the_array() -> None:
    def body(b: NetworkBuilder, x: str) -> str:
        y = b.linear(x, 64)
        return b.add("MatMul", y, b.transpose(y, (0, 2, 1)))

    assert kernels("zcu102-dpu", body, (1, 50, 64)) == [
        "array: MatMul+Add",
        "host: Transpose",
        "host: MatMul",
    ]
    assert kernels("ncs2", body, (1, 50, 64)) == ["array: MatMul+Add", "vector: Transpose", "vector: MatMul"]
