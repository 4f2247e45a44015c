"""Geometry: the same fourteen names for every layer."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.graph.builder import NetworkBuilder
from annette.graph.geometry import Geometry, layer_geometry
from annette.graph.network import Layer, Network, Tensor


def geometry_of(build: NetworkBuilder, output: str, index: int = -1) -> Geometry:
    network = build.finish(output)
    return layer_geometry(network, network.layers[index])


def sizes(geometry: Geometry, *names: str) -> tuple[int, ...]:
    return tuple(getattr(geometry, name) for name in names)


def test_a_convolution_gives_its_window_step_and_dilation() -> None:
    build = NetworkBuilder("g")
    x = build.input("x", (2, 6, 20, 30))
    y = build.conv(x, 8, kernel=(3, 5), stride=(1, 2), padding=(1, 2, 3, 4), dilation=(2, 1), groups=2)
    assert geometry_of(build, y) == Geometry(
        batch=2, groups=2, in_channels=6, out_channels=8, in_h=20, in_w=30, out_h=20, out_w=16,
        kernel_h=3, kernel_w=5, stride_h=1, stride_w=2, dilation_h=2, dilation_w=1,
    )  # fmt: skip


def test_a_one_dimensional_convolution_runs_along_the_width() -> None:
    build = NetworkBuilder("g")
    found = geometry_of(build, build.conv(build.input("x", (1, 40, 101)), 16, kernel=9, stride=2, padding=4))
    assert sizes(found, "in_h", "in_w", "out_h", "out_w") == (1, 101, 1, 51)
    assert sizes(found, "kernel_h", "kernel_w", "stride_h", "stride_w") == (1, 9, 1, 2)


def test_a_three_dimensional_convolution_folds_its_depth_into_the_height() -> None:
    build = NetworkBuilder("g")
    x = build.input("x", (1, 3, 4, 6, 8))
    found = geometry_of(build, build.conv(x, 5, kernel=(2, 3, 1), stride=(2, 1, 1), padding=(0, 1, 0)))
    assert sizes(found, "in_h", "in_w", "out_h", "out_w") == (24, 8, 12, 8)
    assert sizes(found, "kernel_h", "kernel_w", "stride_h", "stride_w") == (6, 1, 2, 1)


def test_a_transposed_convolution_grows() -> None:
    build = NetworkBuilder("g")
    found = geometry_of(build, build.conv_transpose(build.input("x", (1, 8, 5, 7)), 4, kernel=2, stride=2))
    names = ("in_channels", "out_channels", "in_h", "in_w", "out_h", "out_w", "stride_h")
    assert sizes(found, *names) == (8, 4, 5, 7, 10, 14, 2)


def test_pools_give_their_window_and_global_ones_their_input() -> None:
    build = NetworkBuilder("g")
    x = build.input("x", (1, 8, 12, 10))
    y = build.max_pool(x, kernel=(3, 2), stride=2)
    z = build.global_avg_pool(y)
    assert sizes(geometry_of(build, z, 0), "kernel_h", "kernel_w", "out_h", "out_w") == (3, 2, 5, 5)
    assert sizes(geometry_of(build, z), "kernel_h", "kernel_w", "out_h", "out_w") == (5, 5, 1, 1)


def test_a_gemm_has_its_rows_on_the_height() -> None:
    build = NetworkBuilder("g")
    found = geometry_of(build, build.linear(build.input("x", (4, 128)), 10))
    assert found == Geometry(in_channels=128, out_channels=10, in_h=4, out_h=4)


def test_a_product_with_a_weight_folds_all_leading_axes_into_rows() -> None:
    build = NetworkBuilder("g")
    found = geometry_of(build, build.linear(build.input("x", (2, 12, 7, 64)), 32, bias=False))
    assert found == Geometry(in_channels=64, out_channels=32, in_h=168, out_h=168)


def test_a_product_of_two_activations_is_a_batch_of_matrices() -> None:
    build = NetworkBuilder("g")
    q, k = build.input("q", (2, 12, 7, 64)), build.input("k", (2, 12, 64, 9))
    found = geometry_of(build, build.add("MatMul", q, k))
    assert found == Geometry(batch=24, in_channels=64, out_channels=9, in_h=7, out_h=7)


def test_a_transposed_left_side_keeps_rows_and_inner_size() -> None:
    build = NetworkBuilder("g")
    y = build.add("Gemm", build.input("x", (128, 4)), build.constant((128, 10)), transA=1)
    assert geometry_of(build, y) == Geometry(in_channels=128, out_channels=10, in_h=4, out_h=4)


def test_a_dequantised_weight_is_a_weight() -> None:
    build = NetworkBuilder("g")
    scale = build.constant((), value=(0.1,))
    weight = build.add("DequantizeLinear", build.constant((64, 32), dtype="int8"), scale)
    found = geometry_of(build, build.add("MatMul", build.input("x", (2, 7, 64)), weight))
    assert sizes(found, "batch", "in_h") == (1, 14)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((), (1, 1, 1, 1)),
        ((5,), (1, 5, 1, 1)),
        ((2, 5), (2, 5, 1, 1)),
        ((2, 5, 7), (2, 5, 1, 7)),
        ((2, 5, 7, 9), (2, 5, 7, 9)),
        ((2, 5, 3, 7, 9), (2, 5, 21, 9)),
        ((2, 0, 3), (2, 1, 1, 3)),
    ],
)
def test_other_layers_read_batch_channels_height_and_width(
    shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    build = NetworkBuilder("g")
    found = geometry_of(build, build.relu(build.input("x", shape)))
    assert sizes(found, "batch", "in_channels", "in_h", "in_w") == expected
    assert sizes(found, "batch", "out_channels", "out_h", "out_w") == expected


def test_the_first_activation_counts_even_behind_a_constant() -> None:
    build = NetworkBuilder("g")
    y = build.add("Sub", build.constant((1,)), build.input("x", (1, 4, 6, 8)))
    assert sizes(geometry_of(build, y), "in_channels", "in_h", "in_w") == (4, 6, 8)


@settings(max_examples=200, deadline=None)
@given(
    inputs=st.lists(st.lists(st.integers(0, 5), max_size=6).map(tuple), max_size=3),
    output=st.lists(st.integers(0, 5), max_size=6).map(tuple),
    domain=st.sampled_from(["", "org.example"]),
)
def test_any_layer_has_a_geometry_of_sizes_of_at_least_one(
    inputs: list[Any], output: tuple[int, ...], domain: str
) -> None:
    names = tuple(f"x{index}" for index in range(len(inputs)))
    layer = Layer(name="odd", op_type="Wobble", domain=domain, inputs=names, outputs=("y",))
    tensors = [Tensor(name=name, shape=shape) for name, shape in zip(names, inputs, strict=True)]
    network = Network(
        name="odd",
        inputs=names,
        outputs=("y",),
        layers=(layer,),
        tensors={item.name: item for item in (*tensors, Tensor(name="y", shape=output))},
    )
    assert min(dataclasses.astuple(layer_geometry(network, layer))) >= 1
