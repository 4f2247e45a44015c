"""What ONNX Runtime executes is traced back to the layers of the network, each in exactly one kernel."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

from annette.backends.ort_cut import cut_kernel, profiled_types
from annette.backends.ort_graph import (
    ExecutedGraph,
    executed_graph,
    import_onnxruntime,
    session_options,
)
from annette.backends.runtime_options import Optimization, RuntimeOptions
from annette.errors import MeasurementError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import require_complete
from annette.graph.network import Layer, Network, Tensor
from annette.graph.operators import MAC_OPERATORS
from annette.zoo.registry import zoo_network

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


def built(draw: Callable[[NetworkBuilder], str], name: str = "small") -> Network:
    build = NetworkBuilder(name)
    return build.finish(draw(build))


def traced(network: Network, optimization: Optimization = "all") -> ExecutedGraph:
    graph = executed_graph(network, RuntimeOptions(optimization=optimization))
    require_complete(network, graph.mapping)
    names = [name for kernel in graph.kernels for name in kernel.nodes]
    assert sorted(names) == sorted(node.name for node in graph.nodes)
    return graph


def rows(graph: ExecutedGraph) -> list[tuple[str, str]]:
    return [(item.kernel.name, item.kernel.unit) for item in graph.kernels]


def test_convolution_takes_in_normalisation_and_activation() -> None:
    def draw(build: NetworkBuilder) -> str:
        return build.relu(build.batch_norm(build.conv(build.input("x", (1, 3, 16, 16)), 16)))

    graph = traced(built(draw))
    assert rows(graph) == [
        ("conv_1+batchnormalization_1+relu_1", "blocked"),
        ("relu_1:out to_plain", "to_plain"),
    ]
    assert graph.kernels[0].kernel.primary == "conv_1"
    assert graph.kernels[1].kernel.is_move


def test_a_residual_sum_goes_with_the_convolution_that_comes_last() -> None:
    def draw(build: NetworkBuilder) -> str:
        x = build.relu(build.conv(build.input("x", (1, 16, 16, 16)), 16))
        y = build.batch_norm(build.conv(x, 16, bias=False))
        return build.relu(build.add("Add", y, x))

    assert rows(traced(built(draw)))[1:] == [
        ("conv_1+relu_1", "blocked"),
        ("conv_2+batchnormalization_1+add_1+relu_2", "blocked"),
        ("relu_2:out to_plain", "to_plain"),
    ]


@pytest.mark.parametrize(("channels", "unit"), [(16, "blocked"), (20, "blocked"), (18, "plain")])
def test_channels_decide_about_the_layout(channels: int, unit: str) -> None:
    def draw(build: NetworkBuilder) -> str:
        return build.conv(build.input("x", (1, channels, 8, 8)), 32)

    graph = traced(built(draw))
    assert ("conv_1", unit) in rows(graph)
    assert any(item.kernel.unit == "to_blocked" for item in graph.kernels) == (unit == "blocked")


def test_blocked_tensors_that_the_runtime_names_itself_are_found() -> None:
    def draw(build: NetworkBuilder) -> str:
        x = build.conv(build.input("x", (1, 3, 16, 16)), 16)
        left = build.depthwise_conv(build.relu(x), name="left")
        right = build.max_pool(build.relu(x), kernel=3, stride=1, padding=1)
        joined = build.concat(left, right)
        return build.add("Sigmoid", build.conv(build.batch_norm(joined), 16))

    graph = traced(built(draw))
    units = {item.kernel.primary: item.kernel.unit for item in graph.kernels if not item.kernel.is_move}
    assert units["left"] == units["maxpool_1"] == units["concat_1"] == units["conv_2"] == "blocked"
    layers = {item.kernel.layers for item in graph.kernels}
    assert ("conv_2", "sigmoid_1") in layers


def test_an_activation_that_is_fused_after_naming_stays_with_its_convolution() -> None:
    def draw(build: NetworkBuilder) -> str:
        x = build.add("HardSwish", build.batch_norm(build.conv(build.input("x", (1, 3, 16, 16)), 16)))
        x = build.add("HardSwish", build.conv(x, 16))
        return build.conv(x, 16)

    layers = [item.kernel.layers for item in traced(built(draw)).kernels if not item.kernel.is_move]
    assert layers == [
        ("conv_1", "batchnormalization_1", "hardswish_1"),
        ("conv_2", "hardswish_2"),
        ("conv_3",),
    ]


def test_swish_between_blocked_convolutions_is_a_kernel_of_its_own() -> None:
    def draw(build: NetworkBuilder) -> str:
        x = build.conv(build.input("x", (1, 3, 16, 16)), 16)
        return build.conv(build.add("Mul", x, build.add("Sigmoid", x)), 16)

    layers = [item.kernel.layers for item in traced(built(draw)).kernels if not item.kernel.is_move]
    assert layers == [("conv_1",), ("sigmoid_1", "mul_1"), ("conv_2",)]


def test_helper_nodes_of_one_layer_form_one_kernel() -> None:
    def draw(build: NetworkBuilder) -> str:
        x = build.add("HardSwish", build.input("x", (1, 6, 8)))  # spelled with two operators
        return build.linear(x, 16)  # reshaped to a matrix and back

    graph = traced(built(draw))
    assert rows(graph) == [("hardswish_1", "plain"), ("matmul_1+add_1", "plain")]
    kinds = {node.name: node.op_type for node in graph.nodes}
    assert [sorted(kinds[name] for name in item.nodes) for item in graph.kernels] == [
        ["HardSigmoid", "Mul"],
        ["Gemm", "Reshape", "Reshape"],
    ]
    assert kinds[graph.kernels[1].nodes[0]] == "Gemm"


def test_attention_is_traced_through_fusions_and_moved_transpositions() -> None:
    graph = traced(zoo_network("bert_mini"))
    kernels = {item.kernel.name for item in graph.kernels}
    assert "matmul_4+div_1" in kernels  # FusedMatMul scales
    assert "div_2+erf_1+add_10+mul_2+mul_3" in kernels  # Gelu
    assert "add_8+layernormalization_2" in kernels  # SkipLayerNormalization
    assert "gemm_1+tanh_1" in kernels
    assert not any(item.kernel.is_move for item in graph.kernels)
    assert graph.eliminated_layers == ()


def test_transpositions_around_blocked_convolutions_go_with_the_moves() -> None:
    def draw(build: NetworkBuilder) -> str:
        x = build.transpose(build.conv(build.input("x", (1, 3, 16, 16)), 16), (0, 2, 3, 1))
        x = build.layer_norm(x)
        return build.conv(build.transpose(x, (0, 3, 1, 2)), 16)

    graph = traced(built(draw))
    assert graph.eliminated_layers == ("transpose_1", "transpose_2")
    assert [name for name, unit in rows(graph) if unit.startswith("to_")] == [
        "conv_1:out to_plain",
        "layernormalization_1:out to_blocked",
        "conv_2:out to_plain",
    ]


def test_equal_layers_become_one() -> None:
    def draw(build: NetworkBuilder) -> str:
        x = build.input("x", (1, 4, 8, 8))
        return build.concat(*(build.max_pool(x, kernel=2) for _ in range(2)), build.avg_pool(x, kernel=2))

    network = built(draw)
    graph = traced(network)
    assert graph.eliminated_layers == ("maxpool_2",)  # whichever of the two the runtime keeps
    assert traced(network, "none").eliminated_layers == ()


def test_what_does_nothing_and_what_folds_is_eliminated() -> None:
    layers = (
        Layer(name="same", op_type="Identity", inputs=("x",), outputs=("a",)),
        Layer(name="size", op_type="Shape", inputs=("a",), outputs=("s",)),
        Layer(name="act", op_type="Relu", inputs=("a",), outputs=("b",)),
        Layer(name="view", op_type="Reshape", inputs=("b", "s"), outputs=("c",)),
        Layer(name="end", op_type="Sigmoid", inputs=("c",), outputs=("y",)),
    )
    tensors = {name: Tensor(name=name, shape=(2, 8)) for name in "xabcy"}
    tensors["s"] = Tensor(name="s", shape=(2,), dtype="int64", value=(2, 8))
    network = Network(name="idle", inputs=("x",), outputs=("y",), layers=layers, tensors=tensors)
    graph = traced(network)
    assert {"same", "size"} <= set(graph.eliminated_layers)
    assert ("act", "plain") in rows(graph)


def quantised(build: NetworkBuilder, x: str, step: str, zero: str) -> str:
    return build.add("DequantizeLinear", build.add("QuantizeLinear", x, step, zero), step, zero)


def test_quantised_layers_run_as_integers() -> None:
    build = NetworkBuilder("quantised")
    step, zero = build.constant(()), build.constant((), dtype="uint8")
    weight_step = build.constant(())
    weight_zero = build.constant((), dtype="int8")
    x = quantised(build, build.input("x", (1, 16, 8, 8)), step, zero)
    for _ in range(2):
        weight = build.constant((16, 16, 3, 3), dtype="int8")
        weight = build.add("DequantizeLinear", weight, weight_step, weight_zero)
        x = quantised(build, build.add("Relu", build.add("Conv", x, weight)), step, zero)
    network = build.finish(x)
    graph = traced(network)
    integer = [item.kernel for item in graph.kernels if item.kernel.unit == "integer"]
    assert [kernel.primary for kernel in integer] == ["conv_1", "conv_2"]
    for kernel in integer:
        kinds = [network.layer(name).op_type for name in kernel.layers]
        assert kinds == ["DequantizeLinear", "Conv", "Relu", "QuantizeLinear"]
    weights = {name for name in network.weights if network.producer(name)}
    assert {network.producer(name).name for name in weights} == set(graph.eliminated_layers)  # type: ignore[union-attr]
    traced(network, "none")


def test_half_precision_gets_casts() -> None:
    build = NetworkBuilder("half")
    x = build.input("x", (1, 4, 8, 8), dtype="float16")
    network = build.finish(build.add("AveragePool", x, kernel_shape=(2, 2), strides=(2, 2)))
    moves = [item.kernel for item in traced(network).kernels if item.kernel.is_move]
    assert [(kernel.tensor, kernel.unit) for kernel in moves] == [
        ("x", "cast"),
        (network.outputs[0], "cast"),
    ]


@pytest.mark.parametrize("name", ["lenet5", "squeezenet1_1", "shufflenet_v2", "vit_tiny"])
def test_without_optimisation_each_layer_is_a_kernel(name: str) -> None:
    network = zoo_network(name)
    graph = traced(network, "none")
    assert Counter(item.kernel.layers for item in graph.kernels) == Counter(
        (layer.name,) for layer in network.layers
    )
    assert graph.eliminated_layers == ()


@pytest.mark.parametrize("optimization", ["basic", "extended", "all"])
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2", "efficientnet_b0", "vit_tiny"])
def test_networks_are_traced_at_every_level(name: str, optimization: Optimization) -> None:
    network = zoo_network(name)
    graph = traced(network, optimization)
    order = {layer.name: number for number, layer in enumerate(network.layers)}
    for item in graph.kernels:
        layers = [network.layer(name) for name in item.kernel.layers]
        macs = [layer for layer in layers if layer.op_type in MAC_OPERATORS]
        assert len(macs) <= 1
        if macs:
            assert item.kernel.primary == macs[0].name
            before = [layer for layer in layers if order[layer.name] < order[macs[0].name]]
            assert not any(layer.op_type in ("Relu", "HardSwish", "Sigmoid") for layer in before)


def test_names_that_look_like_the_runtimes_own_do_no_harm() -> None:
    names = ("ReorderOutput", "relu_1:out_nchwc", "gemm_input_reshape", "reorder", "@0L@")
    build = NetworkBuilder("names")
    x = build.conv(build.input("@1T@", (1, 3, 16, 16)), 16, name=names[0])
    x = build.conv(build.relu(x, name=names[1]), 16, name=names[2])
    x = build.add("HardSwish", x, name=names[3])
    network = build.finish(build.conv(x, 8, name=names[4]))
    layers = [item.kernel.layers for item in traced(network).kernels if not item.kernel.is_move]
    assert layers == [names[0:2], names[2:4], names[4:5]]


def profile(graph: ExecutedGraph, network: Network, folder: Path) -> list[dict[str, object]]:
    settings = session_options(RuntimeOptions(), is_optimised=True)
    settings.enable_profiling = True
    settings.profile_file_prefix = str(folder / "profile")
    session = import_onnxruntime().InferenceSession(
        graph.model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    feeds = {name: numpy.ones(network.tensors[name].shape, numpy.float32) for name in network.inputs}
    session.run(None, feeds)
    events: list[dict[str, object]] = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    return events


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "vit_tiny"])
def test_the_optimised_model_executes_just_its_nodes(name: str, tmp_path: Path) -> None:
    network = zoo_network(name)
    graph = traced(network)
    events = profile(graph, network, tmp_path)
    executed = [str(item["name"]) for item in events if str(item["name"]).endswith("_kernel_time")]
    executed = [item.removesuffix("_kernel_time") for item in executed if item != "model_run_kernel_time"]
    assert sorted(executed) == sorted(node.name for node in graph.nodes)
    assert [item.name for item in graph.model.graph.input] == list(network.inputs)
    assert [item.name for item in graph.model.graph.output] == list(network.outputs)


def test_each_kernel_can_be_cut_out_and_run_alone(tmp_path: Path) -> None:
    network = zoo_network("mobilenet_v3_small")
    graph = traced(network)
    types = profiled_types(graph, profile(graph, network, tmp_path))
    for kernel in graph.kernels:
        model = cut_kernel(graph, kernel, types)
        assert {node.name for node in model.graph.node} == set(kernel.nodes)
        session = import_onnxruntime().InferenceSession(
            model.SerializeToString(),
            session_options(RuntimeOptions(), is_optimised=True),
            providers=["CPUExecutionProvider"],
        )
        feeds = {
            item.name: numpy.ones(types[item.name].shape, types[item.name].dtype)
            for item in model.graph.input
        }
        results = session.run(None, feeds)
        expected = [types[item.name].shape for item in model.graph.output]
        assert [result.shape for result in results] == expected


def test_a_kernel_whose_tensors_are_not_known_is_not_cut() -> None:
    graph = traced(zoo_network("lenet5"))
    with pytest.raises(MeasurementError, match=r"type of tensor .* is not known"):
        cut_kernel(graph, graph.kernels[0], {})


def single(op_type: str, *, domain: str = "", dtype: str = "float32") -> Network:
    tensors = {name: Tensor(name=name, shape=(2, 8), dtype=dtype) for name in "xy"}
    layer = Layer(name="odd one", op_type=op_type, domain=domain, inputs=("x",), outputs=("y",))
    return Network(name="odd", inputs=("x",), outputs=("y",), layers=(layer,), tensors=tensors)


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (single("Sigmoid", dtype="bfloat16"), "no CPU kernel for operator Sigmoid of layer 'odd one'"),
        (single("Special", domain="my.domain"), "operator my.domain:Special is not known"),
        (single("Loop"), "operator Loop cannot be written as ONNX"),
    ],
)
def test_what_cannot_run_is_said_by_operator(network: Network, text: str) -> None:
    with pytest.raises(MeasurementError, match=text) as caught:
        executed_graph(network, RuntimeOptions())
    assert "\n" not in str(caught.value)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MeasurementError, match=r"pip install \"annette\[onnxruntime\]\""):
        import_onnxruntime()
