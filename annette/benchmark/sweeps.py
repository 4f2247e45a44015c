"""One-dimensional sweeps: one layer, one size varied densely around unroll boundaries, all else fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.store.records import Task

__all__ = ["SWEPT_LAYERS", "Sweep", "SweptLayer", "sweep_tasks", "sweep_values"]

Sizes = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Sweeps of one layer around one base point, one dimension after the other."""

    name: str
    """Unique in its plan."""
    layer: str
    """A key of `SWEPT_LAYERS`."""
    base: tuple[tuple[str, int], ...]
    """The base point: every size of that layer, by name."""
    dimensions: tuple[str, ...]
    """The sizes to vary."""
    dense_to: int
    """Every value from 1 to this one is measured."""
    up_to: int
    """Beyond `dense_to`, growing steps (multiples of eight) lead up to this value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptLayer:
    """A layer that can be swept."""

    sizes: tuple[str, ...]
    """Names of its sizes; a base point gives them all."""
    dimensions: tuple[str, ...]
    """Those that may be varied."""
    build: Callable[[NetworkBuilder, Sizes], str]
    """Adds the layer; returns its output."""
    fewest_channels: int = 1
    """Where sweeps of ``out_channels`` start: a depthwise convolution of one channel is a plain one."""


def _conv(build: NetworkBuilder, sizes: Sizes) -> str:
    x = build.input("x", (1, sizes["in_channels"], sizes["out_h"], sizes["out_w"]))
    return build.conv(x, sizes["out_channels"], kernel=sizes["kernel"], padding=sizes["kernel"] // 2)


def _depthwise_conv(build: NetworkBuilder, sizes: Sizes) -> str:
    x = build.input("x", (1, sizes["out_channels"], sizes["out_h"], sizes["out_w"]))
    return build.depthwise_conv(x, kernel=sizes["kernel"], padding=sizes["kernel"] // 2)


def _gemm(build: NetworkBuilder, sizes: Sizes) -> str:
    return build.linear(build.input("x", (sizes["out_h"], sizes["in_channels"])), sizes["out_channels"])


def _matmul(build: NetworkBuilder, sizes: Sizes) -> str:
    x = build.input("x", (1, sizes["out_h"], sizes["in_channels"]))
    return build.add("MatMul", x, build.constant((sizes["in_channels"], sizes["out_channels"])))


_IMAGE = ("in_channels", "out_channels", "out_h", "out_w")
_MATRIX = ("in_channels", "out_channels", "out_h")

SWEPT_LAYERS: Mapping[str, SweptLayer] = MappingProxyType(
    {
        "conv": SweptLayer(sizes=(*_IMAGE, "kernel"), dimensions=_IMAGE, build=_conv),
        "depthwise_conv": SweptLayer(
            sizes=(*_IMAGE[1:], "kernel"), dimensions=_IMAGE[1:], build=_depthwise_conv, fewest_channels=2
        ),
        "gemm": SweptLayer(sizes=_MATRIX, dimensions=_MATRIX, build=_gemm),
        "matmul": SweptLayer(sizes=_MATRIX, dimensions=_MATRIX, build=_matmul),
    }
)
"""By the name that plans use. ``gemm`` and ``matmul`` have their rows in ``out_h``."""


def sweep_values(dense_to: int, up_to: int) -> tuple[int, ...]:
    """Every integer to ``dense_to``, then the multiples of sixteen, each with the size after it.

    A staircase whose step is a multiple of sixteen rises between such a pair; one of eight shows in it too.

    Examples
    --------
    >>> sweep_values(4, 40)
    (1, 2, 3, 4, 16, 17, 32, 33)
    """
    pairs = range((dense_to // 16 + 1) * 16, up_to + 1, 16)
    beyond = (size for multiple in pairs for size in (multiple, multiple + 1) if size <= up_to)
    return (*range(1, dense_to + 1), *beyond)


def sweep_tasks(sweep: Sweep) -> Iterator[Task]:
    """The tasks of one sweep plan; tags say which sweep, which dimension and which value."""
    kind = SWEPT_LAYERS[sweep.layer]
    for dimension in sweep.dimensions:
        identity = f"{sweep.name}/{dimension}"
        first = kind.fewest_channels if dimension == "out_channels" else 1
        for value in sweep_values(sweep.dense_to, sweep.up_to)[first - 1 :]:
            yield Task(
                network=_network(kind, {**dict(sweep.base), dimension: value}, f"{identity}={value}"),
                category="sweep",
                group=f"sweep/{identity}",
                tags=(("sweep", identity), ("dimension", dimension), ("value", str(value))),
            )


def _network(kind: SweptLayer, sizes: Sizes, name: str) -> Network:
    build = NetworkBuilder(name)
    return build.finish(kind.build(build, sizes))
