"""Matrix products, einsum, recurrence and attention: the shape rules agree with ONNX and with NumPy."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.graph.network import Tensor

SIZE = st.integers(1, 5)


def tensor(name: str, *shape: int, dtype: str = "float32") -> Tensor:
    return Tensor(name=name, shape=shape, dtype=dtype)


@settings(max_examples=300, deadline=None)
@given(
    left=st.lists(SIZE, min_size=1, max_size=4),
    right=st.lists(SIZE, min_size=1, max_size=4),
    same=st.booleans(),
)
def test_matrix_products_follow_numpy(
    left: list[int], right: list[int], same: bool, onnx_outputs: Any, rule_outputs: Any
) -> None:
    if same:
        right[max(len(right) - 2, 0)] = left[-1]
    inputs = [tensor("a", *left), tensor("b", *right)]
    found = rule_outputs("MatMul", inputs, {})
    try:
        expected = numpy.matmul(numpy.zeros(left), numpy.zeros(right)).shape
    except ValueError:
        assert found is None
        return
    assert found == [(expected, "float32")]
    assert found == onnx_outputs("MatMul", inputs, {})
    integers = [tensor("a", *left, dtype="uint8"), tensor("b", *right, dtype="int8")]
    assert rule_outputs("MatMulInteger", integers, {}) == [(expected, "int32")]


@settings(max_examples=100, deadline=None)
@given(m=SIZE, k=SIZE, n=SIZE, trans_a=st.booleans(), trans_b=st.booleans(), bias=st.integers(0, 4))
def test_gemm_agrees_with_onnx(
    m: int, k: int, n: int, trans_a: bool, trans_b: bool, bias: int, onnx_outputs: Any, rule_outputs: Any
) -> None:
    inputs = [
        tensor("a", *((k, m) if trans_a else (m, k))),
        tensor("b", *((n, k) if trans_b else (k, n))),
    ]
    if bias:
        inputs.append(tensor("c", *[(n,), (m, n), (1, n), (m, 1)][bias - 1]))
    attributes = {"transA": int(trans_a), "transB": int(trans_b)}
    found = rule_outputs("Gemm", inputs, attributes)
    assert found == onnx_outputs("Gemm", inputs, attributes) == [((m, n), "float32")]
    assert rule_outputs("FusedGemm", inputs, attributes, domain="com.microsoft") == found


def test_products_that_do_not_fit_are_refused(rule_outputs: Any) -> None:
    assert rule_outputs("Gemm", [tensor("a", 2, 3), tensor("b", 4, 5)], {}) is None
    assert rule_outputs("Gemm", [tensor("a", 2, 3), tensor("b", 3, 5), tensor("c", 2)], {}) is None
    assert rule_outputs("Gemm", [tensor("a", 1, 2, 3), tensor("b", 3, 5)], {}) is None
    assert rule_outputs("MatMul", [tensor("a", 2, 3, 4), tensor("b", 3, 4, 5)], {}) is None


def test_quantised_products_take_the_dtype_of_their_zero_point(onnx_outputs: Any, rule_outputs: Any) -> None:
    a, b = tensor("a", 2, 3, 4, dtype="uint8"), tensor("b", 4, 5, dtype="int8")
    inputs = [
        a, tensor("s1"), tensor("z1", dtype="uint8"), b, tensor("s2"), tensor("z2", dtype="int8"),
        tensor("s3"), tensor("z3", dtype="uint8"),
    ]  # fmt: skip
    found = rule_outputs("QLinearMatMul", inputs, {})
    assert found == onnx_outputs("QLinearMatMul", inputs, {}) == [((2, 3, 5), "uint8")]


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        ("ba,c", [(2, 3), (4,)]),
        ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 6)]),
        ("ii->i", [(3, 3)]),
        ("ij->", [(3, 4)]),
        ("i,j->ij", [(3,), (4,)]),
        ("b...c->c...b", [(2, 3, 4, 5)]),
        (" ij , kj -> ik", [(2, 3), (4, 3)]),
        ("abc,cd,de->abe", [(2, 3, 4), (4, 5), (5, 6)]),
    ],
)
def test_einsum_follows_numpy(equation: str, shapes: list[tuple[int, ...]], rule_outputs: Any) -> None:
    inputs = [tensor(f"x{index}", *shape) for index, shape in enumerate(shapes)]
    expected = numpy.einsum(equation, *(numpy.ones(shape) for shape in shapes)).shape
    assert rule_outputs("Einsum", inputs, {"equation": equation}) == [(expected, "float32")]


@pytest.mark.parametrize("equation", ["ij,jk->im", "ijk,jk->i", "ij->i"])
def test_einsums_that_do_not_fit_are_refused(equation: str, rule_outputs: Any) -> None:
    inputs = [tensor("a", 2, 3), tensor("b", 4, 5)]
    assert rule_outputs("Einsum", inputs, {"equation": equation}) is None


@pytest.mark.parametrize(("op_type", "gates", "outputs"), [("LSTM", 4, 3), ("GRU", 3, 2), ("RNN", 1, 2)])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("layout", [0, 1])
def test_recurrent_layers_agree_with_onnx(
    op_type: str, gates: int, outputs: int, direction: str, layout: int, onnx_outputs: Any, rule_outputs: Any
) -> None:
    directions = 2 if direction == "bidirectional" else 1
    inputs = [
        tensor("x", 7, 2, 5),
        tensor("w", directions, gates * 6, 5),
        tensor("r", directions, gates * 6, 6),
    ]
    case = (op_type, inputs, {"hidden_size": 6, "direction": direction, "layout": layout})
    assert rule_outputs(*case, outputs=outputs) == onnx_outputs(*case, outputs=outputs)


@pytest.mark.parametrize("past", [0, 3])
def test_attention_with_heads_apart_agrees_with_onnx(past: int, onnx_outputs: Any, rule_outputs: Any) -> None:
    inputs: list[Tensor | None] = [
        tensor("q", 2, 8, 5, 16), tensor("k", 2, 4, 6, 16), tensor("v", 2, 4, 6, 12),
    ]  # fmt: skip
    outputs = 1
    if past:
        inputs += [None, tensor("pk", 2, 4, past, 16), tensor("pv", 2, 4, past, 12)]
        outputs = 3
    found = rule_outputs("Attention", inputs, {}, outputs=outputs)
    assert found[0] == onnx_outputs("Attention", inputs, {}, outputs=outputs, opset=23)[0]
    assert found[0] == ((2, 8, 5, 12), "float32")
    if past:
        assert [shape for shape, _ in found[1:]] == [(2, 4, 9, 16), (2, 4, 9, 12)]


def test_attention_with_heads_folded_agrees_with_onnx(onnx_outputs: Any, rule_outputs: Any) -> None:
    inputs = [tensor("q", 2, 5, 128), tensor("k", 2, 6, 64), tensor("v", 2, 6, 48)]
    attributes = {"q_num_heads": 8, "kv_num_heads": 4}
    found = rule_outputs("Attention", inputs, attributes)
    assert found == onnx_outputs("Attention", inputs, attributes, opset=23)
    assert rule_outputs("Attention", inputs, {"q_num_heads": 7, "kv_num_heads": 4}) is None


def test_fused_attention_of_onnx_runtime_keeps_its_sequence(rule_outputs: Any) -> None:
    q, k, v = (tensor(name, 2, length, 64) for name, length in (("q", 5), ("k", 9), ("v", 9)))
    cases: list[tuple[str, list[Tensor], dict[str, Any]]] = [
        ("MultiHeadAttention", [q, k, v], {"num_heads": 4}),
        ("MultiHeadAttention", [tensor("qkv", 2, 5, 4, 3, 16)], {"num_heads": 4}),
        ("Attention", [q, tensor("w", 64, 192), tensor("b", 192)], {"num_heads": 4}),
        ("GroupQueryAttention", [q, tensor("k", 2, 5, 32), tensor("v", 2, 5, 32)],
         {"num_heads": 4, "kv_num_heads": 2}),
        ("GroupQueryAttention", [tensor("qkv", 2, 5, 128)], {"num_heads": 4, "kv_num_heads": 2}),
    ]  # fmt: skip
    for op_type, inputs, attributes in cases:
        found = rule_outputs(op_type, inputs, attributes, domain="com.microsoft")
        assert found == [((2, 5, 64), "float32")], op_type


def test_fused_matmul_transposes_its_operands(rule_outputs: Any) -> None:
    inputs = [tensor("a", 2, 4, 3), tensor("b", 2, 5, 4)]
    attributes = {"transA": 1, "transB": 1}
    found = rule_outputs("FusedMatMul", inputs, attributes, domain="com.microsoft")
    assert found == [((2, 3, 5), "float32")]
