"""The graph that OpenVINO runs, as made up nodes, traced back to layers."""

from __future__ import annotations

from annette.backends.openvino_graph import ExecutedKernel, read_kernels
from annette.backends.openvino_nodes import ExecutedNode, kernel_unit, move_unit
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Mapping, require_complete
from annette.graph.network import Network

US = 1e-6


def layer(network: Network, name: str) -> str:
    """The runtime's name of a layer."""
    return f"annette_layer_{[item.name for item in network.layers].index(name)}"


def tensor(network: Network, name: str) -> str:
    """The runtime's name of a tensor."""
    return f"annette_tensor_{list(network.tensors).index(name)}"


def node(name: str, kind: str, *inputs: str, run: float = 5.0, **fields: object) -> ExecutedNode:
    """A node that reads the first outputs of others."""
    originals = fields.pop("originals", (name,) if kind != "Reorder" else ())
    return ExecutedNode(
        name=name,
        kind=kind,
        inputs=tuple((source, 0) for source in inputs),
        run_s=run * US,
        originals=originals,  # type: ignore[arg-type]
        **fields,  # type: ignore[arg-type]
    )


def read(network: Network, *nodes: ExecutedNode) -> tuple[dict[str, ExecutedKernel], tuple[str, ...]]:
    """Kernels by name and what vanished, checked to hold every layer once."""
    kernels, vanished = read_kernels(network, nodes)
    mapping = Mapping(kernels=tuple(item.kernel for item in kernels), eliminated_layers=vanished)
    require_complete(network, mapping)
    return {item.kernel.name: item for item in kernels}, vanished


def test_a_forgotten_convolution_belongs_to_the_normalization_that_it_was_folded_into() -> None:
    build = NetworkBuilder("one")
    x = build.conv(build.input("x", (1, 8, 6, 6)), 8, name="conv")
    network = build.finish(build.relu(build.batch_norm(x, name="norm"), name="act"))
    image = tensor(network, "x")
    kernels, vanished = read(
        network,
        node(image, "Input", run=0.0, layout="abcd"),
        node("r1", "Reorder", image, layout="acdb"),
        node("Multiply_5", "Convolution", "r1", layout="acdb",
             originals=("Multiply_5", layer(network, "norm"), layer(network, "act"))),
        node("r2", "Reorder", "Multiply_5", layout="abcd"),
        node(f"{tensor(network, network.outputs[0])}/sink_port_0", "Output", "r2", run=0.0),
    )  # fmt: skip
    assert list(kernels) == ["x to_blocked", "conv+norm+act", f"{network.outputs[0]} to_plain"]
    assert kernels["conv+norm+act"].kernel.primary == "conv"
    assert kernels["conv+norm+act"].kernel.unit == "blocked"
    assert vanished == ()


def test_unnamed_parts_of_a_layer_and_moves_between_them_are_one_kernel() -> None:
    build = NetworkBuilder("one")
    network = build.finish(build.layer_norm(build.input("x", (1, 4, 8)), name="norm"))
    image = tensor(network, "x")
    kernels, _ = read(
        network,
        node(image, "Input", run=0.0),
        node("ReduceMean_1", "Reduce", image, run=2.0),
        node("Subtract_2", "Subgraph", image, "ReduceMean_1", run=3.0),
        node("move", "Reorder", "Subtract_2", run=4.0),
        node(layer(network, "norm"), "Subgraph", "move", run=6.0),
    )
    assert list(kernels) == ["norm"]
    assert kernels["norm"].run_s == 15 * US


def test_views_that_never_showed_vanish_and_those_that_were_copied_do_not() -> None:
    build = NetworkBuilder("one")
    x = build.relu(build.input("x", (1, 4, 8)), name="act")
    network = build.finish(
        build.relu(build.reshape(x, (1, 32), name="view"), name="last"),
        build.transpose(x, (0, 2, 1), name="turn"),
    )
    image, act, view, turn = tensor(network, "x"), *(layer(network, name) for name in ("act", "view", "turn"))
    nodes = (
        node(image, "Input", run=0.0),
        node(act, "Eltwise", image),
        node(view, "Reshape", act, run=0.0, primitive="unknown_f32"),
        node(layer(network, "last"), "Eltwise", view),
    )
    kernels, vanished = read(network, *nodes, node(turn, "Transpose", act, run=1.0))
    assert list(kernels) == ["act", "last", "turn"]
    assert vanished == ("view",)


def test_a_transposition_that_a_reorder_does_is_the_kernel_of_that_reorder() -> None:
    build = NetworkBuilder("one")
    x = build.conv(build.input("x", (1, 3, 6, 6)), 8, name="conv")
    network = build.finish(build.softmax(build.transpose(x, (0, 2, 3, 1), name="turn"), name="soft"))
    image, conv = tensor(network, "x"), layer(network, "conv")
    kernels, vanished = read(
        network,
        node(image, "Input", run=0.0, layout="abcd"),
        node(conv, "Convolution", image, layout="acdb"),
        node("r", "Reorder", conv, layout="abcd", primitive="jit_uni_f32"),
        node(layer(network, "soft"), "Softmax", "r", layout="abcd"),
    )
    assert list(kernels) == ["conv", "turn", "soft"]
    assert vanished == ()


def test_an_activation_computed_before_a_view_that_bears_its_name_belongs_to_what_computes_it() -> None:
    build = NetworkBuilder("one")
    x = build.conv(build.input("x", (1, 3, 6, 6)), 8, name="conv")
    x = build.reshape(build.transpose(x, (0, 2, 3, 1), name="turn"), (1, 36, 8), name="view")
    network = build.finish(build.add("Sigmoid", x, name="act"))
    conv, output = layer(network, "conv"), tensor(network, network.outputs[0])
    kernels, vanished = read(
        network,
        node(tensor(network, "x"), "Input", run=0.0),
        node(conv, "Convolution", tensor(network, "x"), layout="acdb", originals=(conv, "Sigmoid_41")),
        node(f"{conv}_acdb_abcd_fake", "Reorder", conv, layout="abcd", primitive="reorder_f32", run=0.0),
        node(output, "Reshape", f"{conv}_acdb_abcd_fake", run=0.0),
        node(f"{output}/sink_port_0", "Output", output, run=0.0),
    )
    assert list(kernels) == ["conv+act"]
    assert vanished == ("turn", "view")


def test_a_layer_that_runs_before_a_copy_goes_with_the_copy_that_the_network_has_it_read() -> None:
    build = NetworkBuilder("one")
    image = build.input("x", (1, 8, 6, 6))
    both = build.concat(build.conv(image, 8, name="left"), build.conv(image, 8, name="right"), name="join")
    network = build.finish(build.softmax(build.add("Sigmoid", both, name="act"), name="last"))
    x, act = tensor(network, "x"), layer(network, "act")
    left, right, join = (layer(network, name) for name in ("left", "right", "join"))
    kernels, vanished = read(
        network,
        node(x, "Input", run=0.0),
        node(left, "Convolution", x, originals=(left, act)),
        node(right, "Convolution", x, originals=(right, act)),
        node(join, "Concatenation", left, right, primitive="ref_f32"),
        node(layer(network, "last"), "Softmax", join),
    )
    assert list(kernels) == ["left", "right", "join+act", "last"]
    assert vanished == ()


def test_a_small_kernel_that_never_showed_still_takes_some_time() -> None:
    build = NetworkBuilder("one")
    network = build.finish(build.add("Sigmoid", build.input("x", (1, 2)), name="act"))
    image = tensor(network, "x")
    kernels, _ = read(
        network, node(image, "Input", run=0.0), node(layer(network, "act"), "Math", image, run=0.0)
    )
    assert kernels["act"].run_s > 0


def test_a_reorder_of_another_order_runs_even_if_it_never_showed() -> None:
    build = NetworkBuilder("one")
    network = build.finish(build.conv(build.input("x", (1, 3, 2, 2)), 8, name="conv"))
    image, shape = tensor(network, "x"), (1, 3, 2, 2)
    kernels, _ = read(
        network,
        node(image, "Input", run=0.0, layout="abcd", shape=shape),
        node("r", "Reorder", image, layout="acdb", shape=shape, primitive="reorder_f32", run=0.0),
        node(layer(network, "conv"), "Convolution", "r", layout="acdb"),
    )
    assert list(kernels) == ["x to_blocked", "conv"]


def test_a_node_that_several_kernels_read_is_the_layer_that_they_all_read() -> None:
    build = NetworkBuilder("one")
    x = build.add("Sigmoid", build.relu(build.input("x", (1, 2)), name="first"), name="shared")
    network = build.finish(build.softmax(x, name="a"), build.layer_norm(x, name="b"))
    first = layer(network, "first")
    kernels, _ = read(
        network,
        node(tensor(network, "x"), "Input", run=0.0),
        node(first, "Eltwise", tensor(network, "x")),
        node("Sigmoid_9", "Eltwise", first),
        node(layer(network, "a"), "Softmax", "Sigmoid_9"),
        node(layer(network, "b"), "MVN", "Sigmoid_9"),
    )
    assert list(kernels) == ["first", "shared", "a", "b"]


def test_conversions_that_the_runtime_inserts_are_casts() -> None:
    build = NetworkBuilder("one")
    ids = build.input("ids", (1, 4), dtype="int64")
    network = build.finish(build.add("Gather", build.constant((10, 8)), ids, name="look_up"))
    ids_name = tensor(network, "ids")
    kernels, _ = read(
        network,
        node(ids_name, "Input", run=0.0, layout="ab", precision="i64"),
        node("Convert_3", "Convert", ids_name, layout="ab", precision="i32"),
        node(layer(network, "look_up"), "Gather", "Convert_3", primitive="ref_any_f32"),
    )
    assert list(kernels) == ["ids cast", "look_up"]


def test_bytes_compute_as_integers_unless_they_are_a_condition() -> None:
    assert kernel_unit(node("a", "Convolution", primitive="brgconv_avx512_I8", layout="acdb")) == "integer"
    assert kernel_unit(node("a", "Select", primitive="ref_any_I8", layout="abcd")) == "plain"
    assert kernel_unit(node("a", "Convolution", primitive="jit_avx512_f32", layout="aBcd16b")) == "blocked"


def test_moves_are_called_by_what_they_change() -> None:
    plain, blocked = node("a", "Input", layout="abcd"), node("b", "Input", layout="acdb")
    assert move_unit(blocked, node("r", "Reorder", layout="abcd")) == "to_plain"
    assert move_unit(plain, node("r", "Reorder", layout="abcd", precision="bf16")) == "cast"
    assert move_unit(plain, node("r", "Reorder", layout="abcd")) == "copy"
