"""Micro-kernels of the layers that multiply and accumulate: convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from annette.benchmark.sampling import Draw
from annette.graph.builder import NetworkBuilder

__all__ = ["MATRIX_KERNELS", "Sampler", "draw_kernel", "draw_padding"]

Sampler = Callable[[Draw, NetworkBuilder], tuple[str, ...]]
"""Adds its layers to the builder and returns the names of the network's outputs."""

Pair = tuple[int, int]

# Shares follow the layers of published networks: mostly 3x3 and 1x1, a few large or asymmetric windows.
_KERNELS: Mapping[Pair, float] = MappingProxyType(
    {
        (1, 1): 0.33, (3, 3): 0.38, (5, 5): 0.09, (7, 7): 0.05, (11, 11): 0.01, (2, 2): 0.01, (9, 9): 0.01,
        (1, 7): 0.03, (7, 1): 0.03, (1, 3): 0.02, (3, 1): 0.02, (1, 5): 0.01, (5, 1): 0.01,
    }
)  # fmt: skip
_DEPTHWISE_KERNELS: Mapping[Pair, float] = MappingProxyType(
    {(3, 3): 0.55, (5, 5): 0.27, (7, 7): 0.14, (9, 9): 0.01, (1, 7): 0.01, (7, 1): 0.01, (2, 2): 0.01}
)
_STRIDES: Mapping[int, float] = MappingProxyType({1: 0.76, 2: 0.20, 4: 0.03, 3: 0.01})
_DILATIONS: Mapping[int, float] = MappingProxyType({2: 0.4, 4: 0.1, 6: 0.2, 12: 0.15, 18: 0.15})
_DILATED_SHARE = 0.07


def draw_kernel(draw: Draw, height: int, width: int, kernels: Mapping[Pair, float] = _KERNELS) -> Pair:
    """A window of at most twice the image; (1, 1) where the drawn one does not fit."""
    kernel_h, kernel_w = draw.weighted(kernels)
    return (kernel_h, kernel_w) if kernel_h <= 2 * height + 1 and kernel_w <= 2 * width + 1 else (1, 1)


def draw_padding(draw: Draw, kernel: Pair, dilation: int, height: int, width: int) -> Pair | str:
    """Symmetric, mostly; otherwise one-sided (``same``) or, where the window fits, none."""
    style = draw.unit()
    reach_h, reach_w = ((size - 1) * dilation for size in kernel)
    if style < 0.10 and reach_h < height and reach_w < width:
        return (0, 0)
    if style < 0.22:
        return "same"
    return ((reach_h + 1) // 2, (reach_w + 1) // 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """How a convolution slides over its input."""

    kernel: Pair
    stride: int
    dilation: int
    padding: Pair | str

    def conv(
        self, build: NetworkBuilder, x: str, out_channels: int, *, groups: int = 1, bias: bool = True
    ) -> tuple[str, ...]:
        """Add the convolution; returns its output."""
        y = build.conv(
            x, out_channels, kernel=self.kernel, stride=self.stride, dilation=self.dilation,
            padding=self.padding, groups=groups, bias=bias,
        )  # fmt: skip
        return (y,)


def _window(draw: Draw, build: NetworkBuilder, x: str, kernels: Mapping[Pair, float]) -> _Window:
    """Kernel, stride, dilation and padding that fit the image ``x``."""
    height, width = build.shape(x)[2:]
    kernel = draw_kernel(draw, height, width, kernels)
    stride = draw.weighted(_STRIDES)
    dilation = 1
    if stride == 1 and kernel != (1, 1) and draw.chance(_DILATED_SHARE):
        dilation = draw.weighted(_DILATIONS)
    padding = draw_padding(draw, kernel, dilation, height, width)
    return _Window(kernel=kernel, stride=stride, dilation=dilation, padding=padding)


def _image(draw: Draw, build: NetworkBuilder, *, low: int = 1, max_channels: int = 2048) -> str:
    channels, height, width = draw.feature_map(low=low, max_channels=max_channels)
    return build.input("x", (draw.batch(), channels, height, width))


def _conv(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    x = _image(draw, build)
    out_channels = draw.channels_beside(build.channels(x))
    window = _window(draw, build, x, _KERNELS)
    return window.conv(build, x, out_channels, bias=draw.chance(0.7))


def _stem_conv(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """The first layer: one to four channels of a whole image."""
    height, width = draw.image(low=28)
    x = build.input("x", (draw.batch(), draw.pick((3, 3, 3, 1, 4)), height, width))
    window = _window(draw, build, x, {(3, 3): 0.5, (5, 5): 0.1, (7, 7): 0.2, (11, 11): 0.05, (4, 4): 0.1})
    window = replace(window, stride=draw.pick((1, 2, 2, 4)), dilation=1)
    return window.conv(build, x, draw.channels(8, 128))


def _patch_conv(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Windows that do not overlap: patch embeddings and down-sampling of vision transformers."""
    size = draw.pick((2, 2, 4, 4, 8, 14, 16, 32))
    channels = 3 if size >= 4 else draw.channels(16, 1024)
    rows, columns = draw.integer(4, 32), draw.integer(4, 32)
    columns = rows if draw.chance(0.7) else columns
    x = build.input("x", (draw.batch(), channels, rows * size, columns * size))
    return (build.conv(x, draw.channels(32, 1024), kernel=size, stride=size),)


def _depthwise(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    x = _image(draw, build, low=2)
    channels = build.channels(x)
    window = _window(draw, build, x, _DEPTHWISE_KERNELS)
    multiplier = 2 if draw.chance(0.03) else 1
    return window.conv(build, x, channels * multiplier, groups=channels, bias=draw.chance(0.7))


def _grouped_conv(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    groups = draw.pick((2, 2, 3, 4, 4, 6, 8, 8, 16, 32, 64))
    channels, height, width = draw.feature_map(low=2)
    per_group = max(round(channels / groups), 2)
    x = build.input("x", (draw.batch(), per_group * groups, height, width))
    out = max(round(draw.channels_beside(channels, factor=3.0) / groups), 1) * groups
    window = _window(draw, build, x, {(1, 1): 0.25, (3, 3): 0.6, (5, 5): 0.15})
    return window.conv(build, x, out, groups=groups, bias=draw.chance(0.7))


def _conv_1d(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    channels, length = draw.channels(1, 512), draw.spatial(4, 1024)
    x = build.input("x", (draw.batch(), channels, length))
    kernel = draw.pick((1, 3, 3, 5, 7, 9, 9, 15, 25))
    kernel = kernel if kernel <= length else 1
    groups = channels if draw.chance(0.12) else 1
    out = channels if groups > 1 else draw.channels_beside(channels, high=1024)
    padding = "same" if draw.chance(0.8) else 0
    return (
        build.conv(x, out, kernel=kernel, stride=draw.pick((1, 1, 1, 2)), padding=padding, groups=groups),
    )


def _conv_3d(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    depth, (height, width) = draw.pick((4, 8, 8, 16)), draw.image(4, 112)
    x = build.input("x", (1, draw.channels(1, 256), depth, height, width))
    kernel = draw.pick(((1, 1, 1), (3, 3, 3), (3, 3, 3), (1, 3, 3), (3, 1, 1)))
    stride = draw.pick((1, 1, 2))
    return (build.conv(x, draw.channels(8, 256), kernel=kernel, stride=stride, padding="same"),)


def _conv_transpose(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    channels, height, width = draw.feature_map(high=192, max_channels=1024)
    x = build.input("x", (draw.batch(), channels, height, width))
    kernel, stride, padding, extra = draw.pick(
        (
            (2, 2, 0, 0),
            (2, 2, 0, 0),
            (4, 2, 1, 0),
            (4, 2, 1, 0),
            (3, 2, 1, 1),
            (3, 1, 1, 0),
            (5, 2, 2, 1),
            (8, 4, 2, 0),
        )
    )
    out = draw.channels_beside(channels, factor=4.0, high=1024)
    return (
        build.conv_transpose(x, out, kernel=kernel, stride=stride, padding=padding, output_padding=extra),
    )


def _gemm(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    rows = 1 if draw.chance(0.6) else draw.log_int(2, 256)
    features = draw.pick((9216, 12544, 25088)) if draw.chance(0.08) else draw.channels(16, 8192)
    x = build.input("x", (rows, features))
    return (build.linear(x, draw.channels(2, 4096), bias=draw.chance(0.85)),)


def _tokens(draw: Draw) -> tuple[int, int]:
    """Tokens and features of a transformer's activations."""
    tokens = draw.pick((16, 49, 50, 64, 128, 144, 192, 196, 197, 256, 384, 512, 576, 784, 1024, 3136))
    if draw.chance(0.35):
        tokens = draw.log_int(1, 1024)
    features = draw.pick((96, 128, 192, 256, 320, 384, 512, 640, 768, 1024))
    return tokens, draw.channels(16, 1536) if draw.chance(0.35) else features


def _matmul_constant(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """A projection of tokens by a constant matrix."""
    tokens, features = _tokens(draw)
    windows = draw.pick((4, 16, 64)) if draw.chance(0.1) else draw.batch()
    x = build.input("x", (windows, max(tokens // windows, 1), features))
    ratio = draw.pick((0.25, 0.5, 1.0, 1.0, 2.0, 3.0, 3.0, 4.0, 4.0))
    out = draw.channels(16, 4096) if draw.chance(0.3) else max(round(features * ratio), 1)
    weight = build.constant((features, out))
    return (build.add("MatMul", x, weight),)


def _matmul(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Attention's two products: queries by keys, scores by values."""
    tokens, _ = _tokens(draw)
    tokens = min(tokens, 1024)
    heads = draw.pick((1, 2, 3, 4, 6, 8, 12, 16))
    size = draw.pick((16, 32, 32, 64, 64, 64, 80, 128)) if draw.chance(0.8) else draw.log_int(8, 256)
    batch = draw.pick((1, 1, 1, 1, 4, 16, 64)) if tokens <= 64 else 1
    others = tokens if draw.chance(0.75) else draw.log_int(1, 1024)
    tokens = draw.integer(1, 4) if draw.chance(0.08) else tokens
    inner = (tokens, size, others) if draw.chance(0.5) else (tokens, others, size)
    a = build.input("a", (batch, heads, inner[0], inner[1]))
    b = build.input("b", (batch, heads, inner[1], inner[2]))
    return (build.add("MatMul", a, b),)


def _attention(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    """Attention as one operator."""
    tokens = min(_tokens(draw)[0], 1024)
    heads, size = draw.pick((1, 3, 4, 6, 8, 12)), draw.pick((16, 32, 64, 64, 80, 128))
    others = tokens if draw.chance(0.75) else draw.log_int(1, 1024)
    query = build.input("query", (1, heads, tokens, size))
    key, value = (build.input(name, (1, heads, others, size)) for name in ("key", "value"))
    return (build.add("Attention", query, key, value),)


MATRIX_KERNELS: Mapping[str, Sampler] = MappingProxyType(
    {
        "conv": _conv,
        "stem_conv": _stem_conv,
        "patch_conv": _patch_conv,
        "depthwise_conv": _depthwise,
        "grouped_conv": _grouped_conv,
        "conv_1d": _conv_1d,
        "conv_3d": _conv_3d,
        "conv_transpose": _conv_transpose,
        "gemm": _gemm,
        "matmul_constant": _matmul_constant,
        "matmul": _matmul,
        "attention": _attention,
    }
)
"""Samplers by the name that plans use."""
