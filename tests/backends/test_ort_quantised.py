"""What quantises and dequantises is always in the same kernel: in that of the layer which it serves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from annette.backends.ort_graph import ExecutedGraph, executed_graph
from annette.backends.runtime_options import RuntimeOptions
from annette.benchmark.networks import THEMES, Frame, synthetic_network
from annette.benchmark.quantised import halve, quantise
from annette.benchmark.sampling import draws
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

FRAME = Frame(batch=1, macs=3e6, weight_elements=5e5, kernels=60)


def traced(network: Network) -> ExecutedGraph:
    return executed_graph(network, RuntimeOptions())


def drawn(theme: str, variant: str, seed: int) -> Network:
    return synthetic_network(theme, next(draws(seed, f"traced/{theme}")), FRAME, variant=variant)


def integer_kernels(network: Network) -> Iterator[list[str]]:
    for item in traced(network).kernels:
        if item.kernel.unit == "integer":
            yield [network.layer(name).op_type for name in item.kernel.layers]


@pytest.mark.parametrize("theme", sorted(THEMES))
def test_no_kernel_is_made_of_quantisations_that_another_one_does(theme: str) -> None:
    network = drawn(theme, "int8", 3)
    for kinds in integer_kernels(network):
        assert set(kinds) - {"QuantizeLinear", "DequantizeLinear"}


@pytest.mark.parametrize("theme", ["channels_last", "enlarge", "vision_transformer"])
@pytest.mark.parametrize("variant", ["int8", "float16"])
def test_every_executed_node_has_its_kernel(theme: str, variant: str) -> None:
    for seed in range(4):
        graph = traced(drawn(theme, variant, seed))
        assert sum(len(item.nodes) for item in graph.kernels) == len(graph.nodes)


def test_views_between_integer_layers_have_what_quantises_them() -> None:
    build = NetworkBuilder("views")
    x = build.reshape(build.input("x", (2, 6, 16)), (12, 16))
    for _ in range(3):
        x = build.reshape(build.relu(build.linear(x, 16)), (3, 4, 16))
        x = build.reshape(x, (12, 16))
    found = list(integer_kernels(quantise(build.finish(x))))
    linear = [kinds for kinds in found if "Gemm" in kinds]
    views = [kinds for kinds in found if "Reshape" in kinds]
    assert linear == [["DequantizeLinear", "Gemm", "QuantizeLinear"]] * 3
    assert views == [["DequantizeLinear", "Reshape", "QuantizeLinear"]] * len(views)


def test_an_integer_layer_that_moves_nothing_is_not_lost() -> None:
    build = NetworkBuilder("one input")
    x = build.relu(build.conv(build.input("x", (1, 8, 12, 12)), 8))
    network = quantise(build.finish(build.conv(build.add("Concat", x, axis=1), 8)))
    assert traced(network).eliminated_layers == ()


def test_what_a_layer_is_spelled_with_belongs_to_it_in_half_precision() -> None:
    build = NetworkBuilder("rectified")
    x = build.conv(build.input("x", (1, 3, 24, 24)), 10, kernel=3)
    network = halve(build.finish(build.add("PRelu", x, build.constant((10, 1, 1)))))
    kernels = [item.kernel for item in traced(network).kernels]
    assert [kernel.primary for kernel in kernels if not kernel.is_move] == ["conv_1", "prelu_1"]
