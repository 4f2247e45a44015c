"""Shape rules of matrix products, einsum, recurrent layers and attention."""

from __future__ import annotations

from types import MappingProxyType

from annette.graph.shape_case import Case, Result, Rule, Shape, UnknownOperator, broadcast

__all__ = ["MATRIX_RULES", "MICROSOFT_MATRIX_RULES"]


def _swapped(shape: Shape, swap: int) -> Shape:
    return (*shape[:-2], shape[-1], shape[-2]) if swap and len(shape) > 1 else shape


def _product(case: Case, left: Shape, right: Shape) -> Shape:
    """The shape of a matrix product with NumPy's rules for vectors and batches."""
    if not left or not right:
        raise case.fail("matrices or vectors, not scalars")
    a = left if len(left) > 1 else (1, *left)
    b = right if len(right) > 1 else (*right, 1)
    if a[-1] != b[-2]:
        raise case.fail(f"equal inner sizes, not {a[-1]} and {b[-2]}")
    try:
        batch = broadcast([a[:-2], b[:-2]])
    except ValueError:
        raise case.fail("batch axes that broadcast together") from None
    rows = a[-2:-1] if len(left) > 1 else ()
    columns = b[-1:] if len(right) > 1 else ()
    return (*batch, *rows, *columns)


def _matmul(case: Case) -> tuple[Result, ...]:
    return ((_product(case, case.shape(0), case.shape(1)), case.dtype(0)),)


def _matmul_integer(case: Case) -> tuple[Result, ...]:
    return ((_product(case, case.shape(0), case.shape(1)), "int32"),)


def _matmul_to_float(case: Case) -> tuple[Result, ...]:
    return ((_product(case, case.shape(0), case.shape(1)), "float32"),)


def _qlinear_matmul(case: Case) -> tuple[Result, ...]:
    return ((_product(case, case.shape(0), case.shape(3)), case.dtype_or(7, case.dtype(0))),)


def _fused_matmul(case: Case) -> tuple[Result, ...]:
    if case.number("transBatchA", 0) or case.number("transBatchB", 0):
        raise UnknownOperator(f"{case.where}: no shape rule for transposed batch axes")
    left = _swapped(case.shape(0), case.number("transA", 0))
    right = _swapped(case.shape(1), case.number("transB", 0))
    return ((_product(case, left, right), case.dtype(0)),)


def _matmul_n_bits(case: Case) -> tuple[Result, ...]:
    shape = case.require_rank(0, 1)
    if shape[-1] != case.required_number("K"):
        raise case.fail(f"a last axis of K = {case.required_number('K')}")
    return (((*shape[:-1], case.required_number("N")), case.dtype(0)),)


def _gemm_shape(case: Case, left: int, right: int, addend: int) -> Shape:
    a = _swapped(case.require_rank(left, 2, 2), case.number("transA", 0))
    b = _swapped(case.require_rank(right, 2, 2), case.number("transB", 0))
    shape = _product(case, a, b)
    bias = case.optional(addend)
    if bias is not None:
        try:
            fits = broadcast([shape, bias.shape]) == shape
        except ValueError:
            fits = False
        if not fits:
            raise case.fail(f"an addend that broadcasts to {shape}")
    return shape


def _gemm(case: Case) -> tuple[Result, ...]:
    return ((_gemm_shape(case, 0, 1, 2), case.dtype(0)),)


def _qgemm(case: Case) -> tuple[Result, ...]:
    return ((_gemm_shape(case, 0, 3, 6), case.dtype_or(8, "float32")),)


def _einsum(case: Case) -> tuple[Result, ...]:
    equation = case.text("equation", "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(case.inputs):
        raise case.fail(f"{len(terms)} inputs for the equation {equation!r}")
    sizes: dict[str, int] = {}
    ellipses: list[Shape] = [()]
    for index, term in enumerate(terms):
        shape = case.shape(index)
        head, dots, tail = term.partition("...")
        middle = len(shape) - len(head) - len(tail)
        if middle < 0 or (middle and not dots):
            raise case.fail(f"a rank that fits the term {term!r} of {equation!r}")
        ellipses.append(shape[len(head) : len(head) + middle])
        rest = (*shape[: len(head)], *shape[len(head) + middle :])
        for letter, size in zip(head + tail, rest, strict=True):
            known = sizes.setdefault(letter, size)
            if known != size and 1 not in (known, size):
                raise case.fail(f"one size for {letter!r} of {equation!r}")
            sizes[letter] = max(known, size)
    if not arrow:
        once = sorted(letter for letter in sizes if left.count(letter) == 1)
        right = ("..." if "..." in left else "") + "".join(once)
    head, dots, tail = right.partition("...")
    if set(head + tail) - sizes.keys():
        raise case.fail(f"only letters of the inputs in the output of {equation!r}")
    middle_shape = broadcast(ellipses) if dots else ()
    shape = (*(sizes[letter] for letter in head), *middle_shape, *(sizes[letter] for letter in tail))
    return ((shape, case.dtype(0)),)


def _recurrent(case: Case) -> tuple[Result, ...]:
    x, _, recurrence = (case.require_rank(index, 3, 3) for index in range(3))
    hidden = case.number("hidden_size", recurrence[-1])
    directions = 2 if case.text("direction", "forward") == "bidirectional" else 1
    dtype = case.dtype(0)
    if case.number("layout", 0):
        batch, steps = x[:2]
        state = (batch, directions, hidden)
        return ((batch, steps, directions, hidden), dtype), (state, dtype), (state, dtype)
    steps, batch = x[:2]
    state = (directions, batch, hidden)
    return ((steps, directions, batch, hidden), dtype), (state, dtype), (state, dtype)


def _attention(case: Case) -> tuple[Result, ...]:
    """ONNX's Attention (opset 23): 4-D with heads on axis 1, or 3-D with heads folded into the last axis."""
    query, key, value = (case.require_rank(index, 3, 4) for index in range(3))
    past = case.optional(4)
    past_length = 0 if past is None else past.shape[2]
    dtype = case.dtype(0)
    if len(query) == 4:
        heads, kv_heads = query[1], key[1]
        length, total = query[2], key[2] + past_length
        key_size, value_size = key[3], value[3]
        result: Shape = (query[0], heads, length, value_size)
    else:
        heads = case.required_number("q_num_heads")
        kv_heads = case.required_number("kv_num_heads")
        if min(heads, kv_heads) < 1 or query[2] % heads or key[2] % kv_heads or value[2] % kv_heads:
            raise case.fail(f"last axes that are multiples of {heads} and {kv_heads} heads")
        length, total = query[1], key[1] + past_length
        key_size, value_size = key[2] // kv_heads, value[2] // kv_heads
        result = (query[0], length, heads * value_size)
    present_key = (key[0], kv_heads, total, key_size)
    present_value = (key[0], kv_heads, total, value_size)
    scores = (query[0], heads, length, total)
    return (result, dtype), (present_key, dtype), (present_value, dtype), (scores, dtype)


def _multi_head_attention(case: Case) -> tuple[Result, ...]:
    """MultiHeadAttention of com.microsoft: (batch, length, hidden), or packed with the heads apart."""
    query = case.require_rank(0, 3, 5)
    heads = case.required_number("num_heads")
    key, value, past = case.optional(1), case.optional(2), case.optional(6)
    dtype = case.dtype(0)
    past_length = 0 if past is None else past.shape[2]
    if len(query) == 5:  # (batch, length, heads, 3, head size)
        head_size = value_size = query[4]
        length = query[1]
    else:
        if heads < 1 or query[2] % heads or key is None:
            raise case.fail(f"a key, and a last axis that is a multiple of {heads} heads")
        head_size = query[2] // heads
        length = key.shape[2] if len(key.shape) == 4 else key.shape[1]
        if value is None:  # key packs both: (batch, length, heads, 2, head size)
            value_size = key.shape[-1]
        else:
            value_size = value.shape[3] if len(value.shape) == 4 else value.shape[2] // heads
    total = length + past_length
    present_key, present_value = (
        (query[0], heads, total, head_size),
        (query[0], heads, total, value_size),
    )
    return ((*query[:2], heads * value_size), dtype), (present_key, dtype), (present_value, dtype)


def _microsoft_attention(case: Case) -> tuple[Result, ...]:
    """Attention of com.microsoft: one input and packed weights for query, key and value."""
    x, weight = case.require_rank(0, 3, 3), case.require_rank(1, 2, 2)
    heads = case.required_number("num_heads")
    sizes = case.numbers("qkv_hidden_sizes")
    hidden = sizes[2] if sizes else weight[1] // 3
    if x[2] != weight[0] or heads < 1 or hidden % heads:
        raise case.fail(f"a weight ({x[2]}, 3 * hidden) with hidden a multiple of {heads} heads")
    past = case.optional(4)
    total = x[1] + (0 if past is None else past.shape[3])
    dtype = case.dtype(0)
    return ((*x[:2], hidden), dtype), ((2, x[0], heads, total, hidden // heads), dtype)


def _group_query_attention(case: Case) -> tuple[Result, ...]:
    query, past = case.require_rank(0, 3, 3), case.optional(3)
    heads, kv_heads = case.required_number("num_heads"), case.required_number("kv_num_heads")
    packed = case.optional(1) is None
    if min(heads, kv_heads) < 1 or query[2] % (heads + 2 * kv_heads if packed else heads):
        raise case.fail(f"a last axis that is a multiple of {heads} heads")
    head_size = query[2] // (heads + 2 * kv_heads if packed else heads)
    # Runtimes write the new keys into the past's buffer where that is long enough.
    length = query[1] if past is None else max(past.shape[2], query[1])
    present = (query[0], kv_heads, length, head_size)
    dtype = case.dtype(0)
    return ((*query[:2], heads * head_size), dtype), (present, dtype), (present, dtype)


def _determinant(case: Case) -> tuple[Result, ...]:
    return ((case.require_rank(0, 2)[:-2], case.dtype(0)),)


MATRIX_RULES: MappingProxyType[str, Rule] = MappingProxyType(
    {
        **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
        "Attention": _attention,
        "Det": _determinant,
        "Einsum": _einsum,
        "Gemm": _gemm,
        "MatMul": _matmul,
        "MatMulInteger": _matmul_integer,
        "QLinearMatMul": _qlinear_matmul,
    }
)
"""Rules of the default domain."""

MICROSOFT_MATRIX_RULES: MappingProxyType[str, Rule] = MappingProxyType(
    {
        "Attention": _microsoft_attention,
        "DynamicQuantizeMatMul": _matmul_to_float,
        "FusedGemm": _gemm,
        "FusedMatMul": _fused_matmul,
        "GroupQueryAttention": _group_query_attention,
        "MatMulIntegerToFloat": _matmul_to_float,
        "MatMulNBits": _matmul_n_bits,
        "MultiHeadAttention": _multi_head_attention,
        "QGemm": _qgemm,
    }
)
"""Rules of the domain ``com.microsoft``."""
