"""Networks as matrix products: all work kept by ONNX's rules, SCALE-Sim's rules as it has them."""

from __future__ import annotations

import numpy as np
import pytest

from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.families import layer_family
from annette.graph.network import Network
from annette.graph.work import layer_work
from annette.simulator.products import network_products
from annette.zoo.registry import open_network

PRODUCT_FAMILIES = {"conv", "depthwise_conv", "grouped_conv", "conv_transpose", "gemm", "matmul"}


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "unet", "vit_tiny", "bert_mini", "alexnet"])
def test_products_keep_all_multiply_accumulates(name: str) -> None:
    network = open_network(f"zoo:{name}")
    products = network_products(network)
    expected = {
        layer.name: layer_work(network, layer).macs
        for layer in network.layers
        if layer_family(network, layer) in PRODUCT_FAMILIES
    }
    assert dict(zip(products.names, products.macs.tolist(), strict=True)) == expected


def _one(op: str) -> Network:
    build = NetworkBuilder(op)
    x = build.input("x", (2, 8, 14, 10))
    if op == "conv":
        return build.finish(build.conv(x, 16, kernel=3, stride=2, padding=1))
    if op == "depthwise":
        return build.finish(build.depthwise_conv(x, kernel=3, padding=1))
    if op == "transposed":
        return build.finish(build.conv_transpose(x, 4, kernel=2, stride=2))
    return build.finish(build.add("MatMul", x, build.input("y", (2, 8, 10, 6))))


@pytest.mark.parametrize(
    ("op", "convention", "sizes"),
    [
        ("conv", "onnx", (2 * 7 * 5, 8 * 9, 16, 1)),
        ("conv", "scalesim", (7 * 5, 8 * 9, 16, 1)),
        ("depthwise", "onnx", (2 * 14 * 10, 9, 1, 8)),
        ("depthwise", "scalesim", (12 * 8, 9, 1, 8)),
        ("transposed", "onnx", (2 * 14 * 10, 8, 4 * 4, 1)),
        ("stack", "onnx", (14, 10, 6, 16)),
    ],
)
def test_layers_become_products_of_known_sizes(op: str, convention: str, sizes: tuple[int, ...]) -> None:
    products = network_products(_one(op), convention)
    table = np.stack([products.m, products.k, products.n, products.repeats])[:, 0]
    assert tuple(table.tolist()) == sizes


def test_layers_without_multiply_accumulates_are_left_out() -> None:
    build = NetworkBuilder("none")
    products = network_products(build.finish(build.relu(build.input("x", (1, 8)))))
    assert products.names == ()
    assert products.macs.shape == (0,)


def test_another_convention_is_refused() -> None:
    with pytest.raises(UsageError, match="convention 'same', expected one of onnx, scalesim"):
        network_products(_one("conv"), "same")


def test_windows_share_the_elements_of_a_feature_map() -> None:
    build = NetworkBuilder("one")
    x = build.input("x", (2, 6, 9, 9))
    y = build.conv(x, 4, kernel=3, padding=1, groups=2)
    y = build.conv(y, 8, kernel=1, stride=4)
    network = build.finish(y)
    products = network_products(network)
    assert products.input_elements.tolist() == [2 * 9 * 9 * 3, 2 * 3 * 3 * 4]
    assert ((products.input_share > 0) & (products.input_share <= 1)).all()
    assert network_products(network, "scalesim").input_elements.tolist() == [9 * 9 * 3, 3 * 3 * 4]
