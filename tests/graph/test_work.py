"""Work: closed forms against counting one by one, and what every count must obey."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Layer, Network, Tensor
from annette.graph.work import Work, layer_work, network_work

SIZE = st.integers(1, 3)


def last_work(build: NetworkBuilder, *outputs: str) -> Work:
    network = build.finish(*outputs)
    return layer_work(network, network.layers[-1])


def positions(*sizes: int) -> Any:
    return itertools.product(*(range(size) for size in sizes))


# Multiply-accumulates, counted one by one --------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(batch=SIZE, groups=SIZE, c=SIZE, m=SIZE, h=SIZE, w=SIZE, kh=SIZE, kw=SIZE)
def test_a_convolution_multiplies_each_tap_of_each_output(
    batch: int, groups: int, c: int, m: int, h: int, w: int, kh: int, kw: int
) -> None:
    build = NetworkBuilder("w")
    x = build.input("x", (batch, groups * c, h, w))
    y = build.conv(x, groups * m, kernel=(kh, kw), padding=(kh - 1, kw - 1), groups=groups)
    _, _, out_h, out_w = build.shape(y)
    taps = sum(1 for _ in positions(batch, groups, m, out_h, out_w, c, kh, kw))
    work = last_work(build, y)
    assert (work.macs, work.ops) == (taps, 2 * taps)
    assert work.params == groups * m * (c * kh * kw + 1)


@settings(max_examples=60, deadline=None)
@given(batch=SIZE, groups=SIZE, c=SIZE, m=SIZE, h=SIZE, w=SIZE, k=SIZE)
def test_a_transposed_convolution_scatters_each_input(
    batch: int, groups: int, c: int, m: int, h: int, w: int, k: int
) -> None:
    build = NetworkBuilder("w")
    x = build.input("x", (batch, groups * c, h, w))
    y = build.conv_transpose(x, groups * m, kernel=k, stride=2, groups=groups, bias=False)
    taps = sum(1 for _ in positions(batch, groups, c, h, w, m, k, k))
    assert last_work(build, y).macs == taps


@settings(max_examples=60, deadline=None)
@given(batch=st.lists(SIZE, max_size=2), shared=st.booleans(), m=SIZE, k=SIZE, n=SIZE)
def test_a_batched_product_multiplies_each_row_with_each_column(
    batch: list[int], shared: bool, m: int, k: int, n: int
) -> None:
    build = NetworkBuilder("w")
    x = build.input("x", (*batch, m, k))
    y = build.input("y", (k, n) if shared else (*batch, k, n))
    work = last_work(build, build.add("MatMul", x, y))
    assert work.macs == sum(1 for _ in positions(*batch, m, n, k))
    assert work.params == work.weight_elements == 0


@pytest.mark.parametrize(("trans_a", "trans_b"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_gemm_counts_the_same_however_its_operands_lie(trans_a: int, trans_b: int) -> None:
    build = NetworkBuilder("w")
    x = build.input("x", (7, 3) if trans_a else (3, 7))
    weight = build.constant((5, 7) if trans_b else (7, 5))
    y = build.add("Gemm", x, weight, build.constant((5,)), transA=trans_a, transB=trans_b)
    work = last_work(build, y)
    assert (work.macs, work.ops, work.params) == (105, 210, 40)


def test_splitting_a_convolution_into_groups_divides_its_macs() -> None:
    macs = []
    for groups in (1, 2, 4, 8):
        build = NetworkBuilder("w")
        x = build.input("x", (1, 8, 6, 6))
        macs.append(last_work(build, build.conv(x, 16, kernel=3, groups=groups)).macs)
    assert [macs[0] // item for item in macs] == [1, 2, 4, 8]


def test_one_and_three_dimensional_convolutions_count_alike() -> None:
    build = NetworkBuilder("w")
    assert last_work(build, build.conv(build.input("x", (1, 4, 10)), 6, kernel=3)).macs == 8 * 6 * 4 * 3
    build = NetworkBuilder("w")
    y = build.conv(build.input("x", (1, 4, 3, 4, 5)), 6, kernel=(1, 2, 3))
    assert last_work(build, y).macs == (3 * 3 * 3) * 6 * 4 * (1 * 2 * 3)


@pytest.mark.parametrize(
    ("equation", "shapes", "macs", "ops"),
    [
        ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)], 2 * 3 * 4 * 6 * 5, 2 * 720),
        ("...ij,jk->...ik", [(7, 2, 3), (3, 4)], 7 * 2 * 3 * 4, 2 * 168),
        ("i,j->ij", [(3,), (4,)], 0, 12),
        ("ij->j", [(3, 4)], 0, 12),
        ("ij->ji", [(3, 4)], 0, 0),
    ],
)
def test_einsum_counts_products_only_where_something_is_summed(
    equation: str, shapes: list[tuple[int, ...]], macs: int, ops: int
) -> None:
    build = NetworkBuilder("w")
    inputs = [build.input(f"x{index}", shape) for index, shape in enumerate(shapes)]
    work = last_work(build, build.add("Einsum", *inputs, equation=equation))
    assert (work.macs, work.ops) == (macs, ops)


@pytest.mark.parametrize("folded", [False, True])
def test_attention_in_one_operator_counts_as_its_parts(folded: bool) -> None:
    batch, heads, length, total, size = 2, 4, 5, 7, 8
    build = NetworkBuilder("parts")
    q = build.input("q", (batch, heads, length, size))
    k = build.input("k", (batch, heads, size, total))
    v = build.input("v", (batch, heads, total, size))
    scores = build.add("Mul", build.add("MatMul", q, k), build.constant((), value=(0.125,)))
    parts = network_work(build.finish(build.add("MatMul", build.softmax(scores), v)))

    build = NetworkBuilder("whole")
    if folded:
        q = build.input("q", (batch, length, heads * size))
        k, v = (build.input(name, (batch, total, heads * size)) for name in "kv")
        whole = build.add("Attention", q, k, v, q_num_heads=heads, kv_num_heads=heads)
    else:
        q = build.input("q", (batch, heads, length, size))
        k, v = (build.input(name, (batch, heads, total, size)) for name in "kv")
        whole = build.add("Attention", q, k, v)
    work = last_work(build, whole)
    assert (work.macs, work.ops) == (parts.macs, parts.ops)


def test_attention_with_packed_weights_counts_its_projection() -> None:
    build = NetworkBuilder("w")
    x = build.input("x", (2, 5, 64))
    weight, bias = build.constant((64, 192)), build.constant((192,))
    y = build.add("Attention", x, weight, bias, domain="com.microsoft", num_heads=4)
    work = last_work(build, y)
    assert work.macs == 2 * 5 * 64 * 192 + 2 * (2 * 5 * 5 * 64)
    assert work.params == 64 * 192 + 192


@pytest.mark.parametrize(("op_type", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_layers_multiply_every_gate_at_every_step(op_type: str, gates: int) -> None:
    build = NetworkBuilder("w")
    x = build.input("x", (7, 2, 5))
    weights = build.constant((1, gates * 6, 5)), build.constant((1, gates * 6, 6))
    y = build.add(op_type, x, *weights, hidden_size=6)
    assert last_work(build, y).macs == 7 * 2 * gates * 6 * (5 + 6)


# Operations without multiply-accumulates ---------------------------------------------------------------


def ops_of(op_type: str, *shapes: tuple[int, ...], **attributes: Any) -> int:
    build = NetworkBuilder("w")
    inputs = [build.input(f"x{index}", shape) for index, shape in enumerate(shapes)]
    work = last_work(build, build.add(op_type, *inputs, **attributes))
    assert work.macs == 0
    return work.ops


@pytest.mark.parametrize(
    ("op_type", "shapes", "attributes", "ops"),
    [
        ("MaxPool", [(1, 4, 6, 6)], {"kernel_shape": (3, 2), "strides": (3, 2)}, 4 * 2 * 3 * 6),
        ("GlobalAveragePool", [(1, 4, 6, 6)], {}, 144),
        ("Add", [(2, 3), (3,)], {}, 6),
        ("Sum", [(2, 3), (3,), (2, 1)], {}, 12),
        ("Mean", [(2, 3), (3,), (2, 1)], {}, 18),
        ("Greater", [(2, 3), (3,)], {}, 6),
        ("Relu", [(2, 3)], {}, 6),
        ("Gelu", [(2, 3)], {}, 6),
        ("Softmax", [(2, 3)], {}, 30),
        ("BatchNormalization", [(1, 4, 5), (4,), (4,), (4,), (4,)], {}, 40),
        ("LayerNormalization", [(2, 8), (8,), (8,)], {}, 112),
        ("LRN", [(1, 4, 5)], {"size": 3}, 140),
        ("ReduceMean", [(2, 8)], {"axes": (1,)}, 16),
        ("ReduceL2", [(2, 8)], {"axes": (1,)}, 32),
        ("ArgMax", [(2, 8)], {"axis": 1}, 16),
        ("TopK", [(2, 8)], {"k": 4}, 32),
        ("Transpose", [(2, 8)], {}, 0),
        ("Concat", [(2, 8), (2, 8)], {"axis": 0}, 0),
        ("Identity", [(2, 8)], {}, 0),
        ("Flatten", [(2, 8)], {}, 0),
        ("Cast", [(2, 8)], {"to": 10}, 0),
        ("QuantizeLinear", [(2, 8), ()], {}, 32),
        ("GridSample", [(1, 3, 4, 4), (1, 2, 5, 2)], {}, 30 * 8),
    ],
)
def test_ops_follow_the_stated_convention(
    op_type: str, shapes: list[tuple[int, ...]], attributes: dict[str, Any], ops: int
) -> None:
    assert ops_of(op_type, *shapes, **attributes) == ops


@pytest.mark.parametrize(("mode", "ops"), [("nearest", 0), ("linear", 2 * 4), ("cubic", 2 * 16)])
def test_resizing_costs_its_taps(mode: str, ops: int) -> None:
    build = NetworkBuilder("w")
    y = build.resize(build.input("x", (1, 3, 4, 4)), (8, 8), mode=mode)
    assert last_work(build, y).ops == ops * 192


# Reads and writes --------------------------------------------------------------------------------------


def test_a_lookup_reads_its_rows_and_owns_its_table() -> None:
    build = NetworkBuilder("w")
    tokens = build.input("tokens", (1, 16), dtype="int64")
    work = last_work(build, build.add("Gather", build.constant((30522, 64)), tokens))
    assert work.params == 30522 * 64
    assert work.weight_elements == work.output_elements == 16 * 64
    assert (work.input_elements, work.input_bytes) == (16, 128)


def test_a_slice_reads_what_it_keeps() -> None:
    build = NetworkBuilder("w")
    work = last_work(build, build.slice(build.input("x", (1, 8, 4)), axis=1, start=0, end=2))
    assert (work.input_elements, work.output_elements, work.weight_elements) == (8, 8, 0)


def test_settings_are_neither_weights_nor_parameters() -> None:
    build = NetworkBuilder("w")
    x = build.input("x", (1, 8, 4, 4))
    for y in (build.reshape(x, (8, 16)), build.relu6(x), build.resize(x, (8, 8))):
        network = build.finish(y)
        work = layer_work(network, network.producer(y))  # type: ignore[arg-type]
        assert (work.params, work.weight_elements, work.input_elements) == (0, 0, 128)


def test_a_tensor_read_twice_by_one_layer_counts_once() -> None:
    build = NetworkBuilder("w")
    x = build.input("x", (2, 8))
    assert last_work(build, build.add("Mul", x, x)).input_elements == 16


def test_bytes_follow_the_dtype() -> None:
    build = NetworkBuilder("w")
    half = build.add("Cast", build.input("x", (2, 8)), to=10)
    work = last_work(build, half)
    assert (work.input_bytes, work.output_bytes) == (64, 32)
    assert work.arithmetic_intensity_ops_per_byte == 0.0


def test_arithmetic_intensity_is_ops_over_all_bytes() -> None:
    build = NetworkBuilder("w")
    work = last_work(build, build.relu(build.input("x", (4, 4))))
    assert work.arithmetic_intensity_ops_per_byte == pytest.approx(16 / 128)
    assert Work().arithmetic_intensity_ops_per_byte == 0.0


def test_a_dequantised_weight_is_a_weight_owned_by_its_dequantisation() -> None:
    build = NetworkBuilder("w")
    table, scale = build.constant((64, 32), dtype="int8"), build.constant((), value=(0.1,))
    y = build.add("MatMul", build.input("x", (1, 64)), build.add("DequantizeLinear", table, scale))
    network = build.finish(y)
    dequantise, product = (layer_work(network, layer) for layer in network.layers)
    assert (dequantise.params, product.params) == (2048, 0)
    assert (product.input_elements, product.weight_elements) == (64, 2048)


def test_a_batch_norm_has_two_learned_vectors_and_reads_four() -> None:
    build = NetworkBuilder("w")
    work = last_work(build, build.batch_norm(build.input("x", (1, 16, 4, 4))))
    assert (work.params, work.weight_elements) == (32, 64)


def test_a_layer_without_rule_costs_its_bytes_and_no_ops() -> None:
    layer = Layer(name="odd", op_type="Conv", domain="org.example", inputs=("x", "c"), outputs=("y",))
    network = Network(
        name="odd",
        inputs=("x",),
        outputs=("y",),
        layers=(layer,),
        tensors={
            "x": Tensor(name="x", shape=(4,)),
            "c": Tensor(name="c", shape=(8,), is_constant=True),
            "y": Tensor(name="y", shape=(2,)),
        },
    )
    work = layer_work(network, layer)
    assert (work.macs, work.ops) == (0, 0)
    assert (work.input_bytes, work.weight_bytes, work.output_bytes) == (16, 32, 8)


# Networks ----------------------------------------------------------------------------------------------


def test_a_network_sums_its_layers_and_counts_shared_weights_once() -> None:
    build = NetworkBuilder("w")
    x = build.input("x", (1, 8))
    weight = build.constant((8, 8))
    for _ in range(3):
        x = build.add("MatMul", x, weight)
    network = build.finish(x)
    work = network_work(network)
    layers = [layer_work(network, layer) for layer in network.layers]
    assert work.macs == sum(item.macs for item in layers) == 192
    assert work.weight_bytes == sum(item.weight_bytes for item in layers) == 3 * 256
    assert (work.params, sum(item.params for item in layers)) == (64, 192)


@settings(max_examples=100, deadline=None)
@given(batch=SIZE, c=st.integers(1, 6), m=st.integers(1, 6), size=st.integers(4, 8), axis=st.integers(0, 3))
def test_no_count_shrinks_when_a_size_grows(batch: int, c: int, m: int, size: int, axis: int) -> None:
    def work(batch: int, c: int, m: int, size: int) -> Work:
        build = NetworkBuilder("w")
        x = build.conv(build.input("x", (batch, c, size, size)), m, kernel=3, padding=1)
        x = build.max_pool(build.activation(build.batch_norm(x), "HardSwish"), kernel=2, stride=2)
        return network_work(build.finish(build.softmax(build.linear(build.flatten(x), 5))))

    sizes = [batch, c, m, size]
    small = work(*sizes)
    sizes[axis] += 1
    large = work(*sizes)
    names = ("macs", "ops", "params", "input_elements", "weight_elements", "output_elements", "input_bytes")
    assert all(getattr(small, name) <= getattr(large, name) for name in names)
    assert small.macs < large.macs or axis == 3  # an odd size may pool to the same


def test_counts_are_exact_ints_however_large() -> None:
    build = NetworkBuilder("w")
    x = build.input("x", (512, 4096, 224, 224))
    work = last_work(build, build.conv(x, 4096, kernel=7, padding=3))
    assert work.macs == math.prod((512, 4096, 224, 224, 4096, 49))
