"""Micro-kernels of the layers without multiply-accumulates: pools, element-wise, norms, data movement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from annette.benchmark.micro_matrix import Sampler
from annette.benchmark.sampling import Draw
from annette.graph.builder import NetworkBuilder

__all__ = ["ACTIVATIONS", "OTHER_KERNELS"]

ACTIVATIONS: Mapping[str, float] = MappingProxyType(
    {
        "Relu": 3.0, "Relu6": 2.0, "Sigmoid": 2.0, "HardSwish": 1.5, "HardSigmoid": 1.0, "LeakyRelu": 1.5,
        "PRelu": 1.0, "Tanh": 1.0, "Erf": 1.0, "Gelu": 1.0, "Elu": 0.5, "Softplus": 0.5, "Sqrt": 0.8,
        "Exp": 0.8, "Selu": 0.3, "Mish": 0.3, "Neg": 0.3, "Abs": 0.3, "Log": 0.3, "Reciprocal": 0.3,
        "Floor": 0.2,
    }
)  # fmt: skip
"""Unary layers and how often each is drawn; ``Relu6`` is ``Clip`` with constants."""

_QUANTISED = ("uint8", "int8")


def _any_tensor(draw: Draw, build: NetworkBuilder, name: str = "x") -> str:
    """Activations as they occur: images mostly, else tokens, vectors, sequences."""
    style = draw.unit()
    if style < 0.72:
        channels, height, width = draw.feature_map()
        shape: tuple[int, ...] = (draw.batch(), channels, height, width)
    elif style < 0.90:
        shape = (draw.batch(), draw.log_int(1, 1024), draw.channels(16, 3072))
    elif style < 0.96:
        shape = (draw.batch(), draw.channels(8, 4096))
    else:
        shape = (draw.batch(), draw.pick((1, 2, 4, 8, 12)), draw.log_int(4, 512), draw.log_int(4, 512))
    return build.input(name, shape)


def _image(draw: Draw, build: NetworkBuilder, *, low: int = 1, high: int = 513, name: str = "x") -> str:
    channels, height, width = draw.feature_map(low=low, high=high)
    return build.input(name, (draw.batch(), channels, height, width))


# Pools -----------------------------------------------------------------------------------------------


def _pool(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    x = _image(draw, build, low=4)
    height, width = build.shape(x)[2:]
    kernel = draw.pick((2, 2, 2, 3, 3, 3, 5, 7, 9, 13))
    kernel = min(kernel, height, width)
    stride = draw.pick((1, 2, 2, 2, 3))
    padding = 0 if draw.chance(0.45) else kernel // 2
    ceil_mode = draw.chance(0.15)
    kind = build.max_pool if draw.chance(0.55) else build.avg_pool
    return (kind(x, kernel=kernel, stride=stride, padding=padding, ceil_mode=ceil_mode),)


def _global_pool(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    x = _image(draw, build, low=2, high=128)
    return (build.add(draw.pick(("GlobalAveragePool",) * 4 + ("GlobalMaxPool",)), x),)


# Element-wise ----------------------------------------------------------------------------------------


def _activation(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    kind = draw.weighted(ACTIVATIONS)
    x = _any_tensor(draw, build)
    if kind == "PRelu":
        rank = len(build.shape(x))
        slope = (build.shape(x)[1], *(1,) * (rank - 2))
        return (build.add(kind, x, build.constant(slope)),)
    return (build.activation(x, kind),)


def _binary_kind(draw: Draw) -> str:
    return draw.weighted({"Add": 4.0, "Mul": 3.0, "Sub": 1.0, "Div": 1.0, "Max": 0.2, "Min": 0.2})


def _binary(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Two activations of one shape."""
    kind = _binary_kind(draw)
    a = _any_tensor(draw, build, "a")
    b = build.input("b", build.shape(a))
    return (build.add(kind, a, b),)


def _broadcast_binary(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """An activation and one that is spread over its positions: gates of squeeze-and-excite, masks."""
    x = _image(draw, build, low=2, name="a")
    shape = build.shape(x)
    small = draw.pick(((*shape[:2], 1, 1), (*shape[:2], 1, 1), (shape[0], 1, *shape[2:]), (*shape[:3], 1)))
    y = build.input("b", small)
    a, b = (x, y) if draw.chance(0.5) else (y, x)
    return (build.add(draw.weighted({"Mul": 3.0, "Add": 1.0, "Sub": 0.5, "Div": 0.5}), a, b),)


def _constant_binary(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """An activation and a constant: biases of tokens, scales, means, single numbers."""
    x = _any_tensor(draw, build)
    shape = build.shape(x)
    style = draw.unit()
    if style < 0.4:
        constant = build.constant(shape[-1:])
    elif style < 0.65:
        constant = build.constant((), value=(0.5,))
    elif style < 0.85:
        constant = build.constant((shape[1], *(1,) * (len(shape) - 2)))
    else:
        constant = build.constant((1, *shape[1:]))
    return (build.add(_binary_kind(draw), x, constant),)


def _nary(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    kind = draw.pick(("Sum", "Sum", "Max", "Mean"))
    a = _any_tensor(draw, build, "a")
    others = [build.input(f"b{index}", build.shape(a)) for index in range(draw.integer(1, 3))]
    return (build.add(kind, a, *others),)


def _pow(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    exponent = build.constant((), value=(draw.pick((2.0, 2.0, 0.5, 3.0)),))
    return (build.add("Pow", _any_tensor(draw, build), exponent),)


def _where(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    heads, queries, keys = draw.pick((1, 4, 8, 12)), draw.log_int(16, 512), draw.log_int(16, 512)
    x = build.input("x", (1, heads, queries, keys))
    mask = build.input("mask", (1, 1, queries, keys), dtype="bool")
    return (build.add("Where", mask, x, build.constant((), value=(-1e9,))),)


# Normalisation, softmax, reductions --------------------------------------------------------------------


def _softmax(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    style = draw.unit()
    if style < 0.55:
        queries = draw.pick((16, 49, 64, 128, 144, 196, 197, 256, 384, 512))
        queries = draw.log_int(4, 768) if draw.chance(0.4) else queries
        keys = queries if draw.chance(0.8) else draw.log_int(4, 768)
        x = build.input("x", (draw.pick((1, 1, 1, 4, 16)), draw.pick((1, 3, 4, 8, 12)), queries, keys))
        return (build.softmax(x, axis=2 if draw.chance(0.15) else -1),)
    if style < 0.8:
        return (build.softmax(build.input("x", (draw.batch(), draw.channels(2, 4096)))),)
    return (build.softmax(_image(draw, build, high=129), axis=1),)


def _layer_norm(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    if draw.chance(0.2):
        height, width = draw.image(4, 112)
        x = build.input("x", (draw.batch(), height, width, draw.channels(32, 1024)))
    else:
        features = draw.pick((96, 128, 192, 256, 384, 512, 768, 1024))
        features = draw.channels(16, 2048) if draw.chance(0.4) else features
        x = build.input("x", (draw.batch(), draw.log_int(1, 3136), features))
    return (build.layer_norm(x),)


def _norm(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    kind = draw.weighted(
        {"BatchNormalization": 4.0, "InstanceNormalization": 1.5, "GroupNormalization": 1.0, "LRN": 1.0,
         "LpNormalization": 0.5}
    )  # fmt: skip
    x = _image(draw, build, low=2)
    channels = build.channels(x)
    if kind == "BatchNormalization":
        return (build.batch_norm(x),)
    if kind == "InstanceNormalization":
        return (build.add(kind, x, build.constant((channels,)), build.constant((channels,))),)
    if kind == "GroupNormalization":
        groups = draw.pick([item for item in (1, 2, 4, 8, 16, 32) if channels % item == 0])
        return (
            build.add(kind, x, build.constant((channels,)), build.constant((channels,)), num_groups=groups),
        )
    if kind == "LRN":
        return (build.add(kind, x, size=draw.pick((3, 5, 5))),)
    return (build.add(kind, x, axis=1, p=2),)


def _reduce(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    kind = draw.weighted({"ReduceMean": 5.0, "ReduceSum": 1.5, "ReduceMax": 1.0, "ReduceMin": 0.4})
    x = _any_tensor(draw, build)
    rank = len(build.shape(x))
    axes: tuple[int, ...] = (rank - 1,)
    if rank == 4:
        axes = draw.pick(((2, 3), (2, 3), (1,), (3,)))
    elif rank == 3:
        axes = draw.pick(((2,), (2,), (1,)))
    return (build.add(kind, x, build.int_constant(axes), keepdims=draw.integer(0, 1)),)


def _arg_max(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    return (build.add("ArgMax", _image(draw, build, high=257), axis=1, keepdims=1),)


# Data movement ---------------------------------------------------------------------------------------


def _concat(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    inputs = draw.weighted({2: 5.0, 3: 2.0, 4: 2.0, 5: 0.7, 6: 0.7, 8: 0.5})
    channels, height, width = draw.feature_map(max_channels=1024)
    if draw.chance(0.12):
        features = draw.channels(8, 1024)
        shapes: list[tuple[int, ...]] = [(1, draw.log_int(1, 1024), features) for _ in range(inputs)]
    else:
        counts = [channels if draw.chance(0.5) else draw.channels_beside(channels) for _ in range(inputs)]
        shapes = [(1, count, height, width) for count in counts]
    names = [build.input(f"x{index}", shape) for index, shape in enumerate(shapes)]
    return (build.concat(*names),)


def _split(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    parts = draw.pick((2, 2, 2, 3, 4))
    if draw.chance(0.75):
        channels, height, width = draw.feature_map(low=2)
        shape: tuple[int, ...] = (1, max(channels // parts, 1) * parts, height, width)
        axis = 1
    else:
        shape, axis = (1, draw.log_int(4, 512), draw.channels(16, 768) * parts), 2
    sizes = build.int_constant((shape[axis] // parts,) * parts)
    return build.add_many("Split", build.input("x", shape), sizes, outputs=parts, axis=axis)


def _slice(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    x = _any_tensor(draw, build)
    shape = build.shape(x)
    axis = draw.integer(1, len(shape) - 1)
    size = shape[axis]
    length = max(round(size * draw.pick((0.1, 0.25, 0.5, 0.5, 0.75))), 1)
    start = draw.integer(0, size - length)
    return (build.slice(x, axis=axis, start=start, end=start + length),)


def _strided_slice(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Every second position, as when space is folded into channels or patches are merged."""
    x = _image(draw, build, low=4, high=416)
    axis = draw.pick((2, 3))
    bounds = (build.int_constant((item,)) for item in (0, build.shape(x)[axis], axis, 2))
    return (build.add("Slice", x, *bounds),)


def _pad(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    x = _image(draw, build, low=2)
    if draw.chance(0.15):
        pads = (0, 0, 0, 0, 0, draw.channels(1, 128), 0, 0)
    else:
        begin, end = draw.pick(((1, 1), (0, 1), (2, 2), (3, 3), (1, 0)))
        pads = (0, 0, begin, begin, 0, 0, end, end)
    return (build.add("Pad", x, build.int_constant(pads), mode=draw.pick(("constant",) * 4 + ("reflect",)))
            if max(pads) < min(build.shape(x)[2:])
            else build.add("Pad", x, build.int_constant(pads), mode="constant"),)  # fmt: skip


def _resize(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    x = _image(draw, build, high=192)
    height, width = build.shape(x)[2:]
    factor = draw.pick((2, 2, 2, 2, 4, 8))
    spatial = (height * factor, width * factor)
    if draw.chance(0.2):
        spatial = draw.image(8, 257)
    return (build.resize(x, spatial, mode=draw.pick(("nearest", "nearest", "linear", "linear", "cubic"))),)


_PERMUTATIONS: Mapping[int, tuple[tuple[int, ...], ...]] = MappingProxyType(
    {
        3: ((0, 2, 1), (0, 2, 1), (1, 0, 2)),
        4: ((0, 2, 1, 3), (0, 2, 1, 3), (0, 1, 3, 2), (0, 2, 3, 1), (0, 2, 3, 1), (0, 3, 1, 2)),
        5: ((0, 2, 1, 3, 4), (2, 0, 3, 1, 4), (2, 0, 3, 4, 1), (0, 1, 3, 4, 2)),
        6: ((0, 1, 3, 2, 4, 5), (0, 1, 4, 2, 5, 3)),
    }
)


def _transpose(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Attention heads, layout changes, shuffled channels, windows."""
    rank = draw.weighted({3: 0.25, 4: 0.45, 5: 0.22, 6: 0.08})
    perm = draw.pick(_PERMUTATIONS[rank])
    if rank == 3:
        shape: tuple[int, ...] = (draw.batch(), draw.log_int(4, 1024), draw.channels(16, 1024))
    elif rank == 4 and draw.chance(0.5):
        shape = (1, draw.log_int(4, 512), draw.pick((2, 3, 4, 6, 8, 12)), draw.pick((16, 32, 32, 64, 64)))
    elif rank == 4:
        channels, height, width = draw.feature_map(low=2, high=257)
        shape = (draw.batch(), channels, height, width)
    elif rank == 5 and perm[:3] == (2, 0, 3):
        shape = (
            draw.pick((1, 4, 16, 64)),
            draw.log_int(4, 256),
            3,
            draw.pick((2, 3, 4, 8)),
            draw.pick((16, 32, 64)),
        )
    elif rank == 5:
        channels, height, width = draw.feature_map(low=4, high=128)
        groups = draw.pick((2, 2, 3, 4, 8))
        shape = (1, groups, max(channels // groups, 1), height, width)
    else:
        window = draw.pick((2, 4, 7, 8))
        shape = (1, draw.pick((1, 2, 4, 8)), window, draw.pick((1, 2, 4, 8)), window, draw.channels(16, 512))
    return (build.transpose(build.input("x", shape), perm),)


def _reshape(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    x = _any_tensor(draw, build)
    shape = build.shape(x)
    style = draw.unit()
    if style < 0.4:
        return (build.flatten(x),)
    if style < 0.7:
        return (build.reshape(x, (shape[0], math.prod(shape[1:-1]), shape[-1])),)
    if style < 0.85:
        return (build.add("Unsqueeze", x, build.int_constant((1,))),)
    return (build.add(draw.pick(("Identity", "Dropout")), x),)


def _gather(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Look-ups in a table of embeddings, and picking one position of many."""
    features = draw.channels(16, 1024)
    if draw.chance(0.75):
        table = build.constant((draw.log_int(64, 50_000), features))
        tokens = (
            draw.pick((8, 16, 64, 128, 128, 256, 384, 512)) if draw.chance(0.6) else draw.log_int(1, 1024)
        )
        return (build.add("Gather", table, build.input("ids", (1, tokens), dtype="int64"), axis=0),)
    x = build.input("x", (1, draw.log_int(4, 1024), features))
    return (build.add("Gather", x, build.constant((), dtype="int64", value=(0,)), axis=1),)


def _cast(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    onnx_float16, onnx_int32, onnx_int64 = 10, 6, 7
    return (
        build.add("Cast", _any_tensor(draw, build), to=draw.pick((onnx_float16, onnx_int32, onnx_int64))),
    )


def _quantize(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    dtype = draw.pick(_QUANTISED)
    scale, zero = build.constant((), value=(0.1,)), build.constant((), dtype=dtype, value=(0,))
    channels, height, width = draw.feature_map(high=257)
    shape = (1, channels, height, width)
    if draw.chance(0.5):
        return (build.add("QuantizeLinear", build.input("x", shape), scale, zero),)
    return (build.add("DequantizeLinear", build.input("x", shape, dtype=dtype), scale, zero),)


def _space_depth(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    block = draw.pick((2, 2, 2, 3, 4))
    channels, height, width = draw.feature_map(high=160)
    if draw.chance(0.6):
        x = build.input("x", (1, max(channels // block**2, 1) * block**2, height, width))
        return (build.add("DepthToSpace", x, blocksize=block, mode=draw.pick(("DCR", "CRD"))),)
    x = build.input("x", (1, max(channels // block, 1), height * block, width * block))
    return (build.add("SpaceToDepth", x, blocksize=block),)


def _expand(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    channels, height, width = draw.feature_map(low=2, high=257)
    x = build.input("x", (1, channels, 1, 1))
    if draw.chance(0.7):
        return (build.add("Expand", x, build.int_constant((1, channels, height, width))),)
    repeats = build.int_constant((1, 1, height, width))
    return (build.add("Tile", x, repeats),)


OTHER_KERNELS: Mapping[str, Sampler] = MappingProxyType(
    {
        "pool": _pool, "global_pool": _global_pool,
        "activation": _activation, "binary": _binary, "broadcast_binary": _broadcast_binary,
        "constant_binary": _constant_binary, "nary": _nary, "pow": _pow, "where": _where,
        "softmax": _softmax, "layer_norm": _layer_norm, "norm": _norm, "reduce": _reduce, "arg_max": _arg_max,
        "concat": _concat, "split": _split, "slice": _slice, "strided_slice": _strided_slice, "pad": _pad,
        "resize": _resize, "transpose": _transpose, "reshape": _reshape, "gather": _gather, "cast": _cast,
        "quantize": _quantize, "space_depth": _space_depth, "expand": _expand,
    }
)  # fmt: skip
"""Samplers by the name that plans use."""
