"""Synthetic networks of random cells: small directed graphs of convolutions and pools, stacked."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from annette.benchmark.growing import GrowingBuilder
from annette.benchmark.network_images import Frame, Theme, draw_side, draw_width
from annette.benchmark.pieces import Style, unit
from annette.benchmark.sampling import Draw

__all__ = ["CELL_THEMES"]

_STYLE = Style(norm=True, activation="Relu")
_OPERATIONS = ("conv3", "conv3", "conv1", "conv1", "max", "avg", "skip")

Edge = tuple[int, int, str]
"""From vertex, to vertex, what is done on the way."""


def _draw_cell(draw: Draw) -> tuple[int, tuple[Edge, ...]]:
    """A random graph: every inner vertex has at least one input; the number of vertices, then its edges."""
    vertices = draw.integer(3, 7)
    edges: list[Edge] = []
    for target in range(1, vertices):
        chosen = [source for source in range(target) if draw.chance(0.4)] or [draw.integer(0, target - 1)]
        edges.extend((source, target, draw.pick(_OPERATIONS)) for source in chosen)
    return vertices, tuple(edges)


def _apply(build: GrowingBuilder, x: str, operation: str, out: int) -> str:
    if operation in ("max", "avg"):
        pool = build.max_pool if operation == "max" else build.avg_pool
        x = pool(x, kernel=3, stride=1, padding=1)
    if operation.startswith("conv"):
        return unit(build, x, out, _STYLE, kernel=int(operation[-1]))
    return x if build.channels(x) == out else unit(build, x, out, _STYLE, kernel=1)


def _cell(build: GrowingBuilder, x: str, out: int, cell: tuple[int, tuple[Edge, ...]], joined: bool) -> str:
    """One cell; vertices that nobody reads are its results: concatenated, or added."""
    vertices, edges = cell
    sources = {source for source, _, _ in edges}
    ends = [vertex for vertex in range(1, vertices) if vertex not in sources]
    share = max(out // len(ends), 4) if joined else out
    made = {0: x}
    for vertex in range(1, vertices):
        parts = [_apply(build, made[a], operation, share) for a, b, operation in edges if b == vertex]
        total = parts[0]
        for part in parts[1:]:
            total = build.add("Add", total, part)
        made[vertex] = total
    results = [made[vertex] for vertex in ends]
    if joined:
        return build.concat(*results) if len(results) > 1 else results[0]
    total = results[0]
    for item in results[1:]:
        total = build.add("Add", total, item)
    return total


def _cells(draw: Draw, build: GrowingBuilder, frame: Frame) -> tuple[str, ...]:
    """A stem, stacks of one cell with pools or steps between, a linear layer."""
    side, width = draw_side(draw, 24, 64), draw_width(draw, frame.width_scale * draw.log_float(14, 110))
    x = build.input("image", (frame.batch, 3, side, side))
    x = unit(build, x, width, _STYLE, kernel=3, stride=2 if side > 48 and draw.chance(0.5) else 1)
    cell, joined = _draw_cell(draw), draw.chance(0.6)
    for stack in range(draw.integer(2, 4)):
        if stack and min(build.shape(x)[2:]) >= 8:
            width = draw_width(draw, width * draw.pick((1.5, 2.0, 2.0)))
            if draw.chance(0.6):
                x = build.max_pool(x, kernel=2, stride=2)
            else:
                x = unit(build, x, width, _STYLE, kernel=3, stride=2)
        for _ in range(draw.integer(1, 3)):
            if not frame.has_room(build, 0.9):
                break
            x = _cell(build, x, width, cell, joined)
    if draw.chance(0.4):
        y = build.add("ReduceMean", x, build.int_constant((2, 3)), keepdims=0)
    else:
        y = build.flatten(build.global_avg_pool(x))
    return (build.linear(y, draw.pick((10, 16, 100, 120))),)


def _small_residual_cells(draw: Draw, build: GrowingBuilder, frame: Frame) -> tuple[str, ...]:
    """Cells whose operations normalise last and whose sums are rectified first, on small images."""
    side, width = draw_side(draw, 24, 48), draw_width(draw, frame.width_scale * draw.log_float(10, 40))
    x = build.input("image", (frame.batch, 3, side, side))
    x = build.batch_norm(build.conv(x, width, kernel=3, padding=1, bias=False))
    choice = [draw.pick(("conv3", "conv1", "avg", "skip", "none")) for _ in range(6)]
    choice[draw.integer(3, 5)] = draw.pick(("conv3", "conv1"))
    for stage in range(3):
        if stage:
            width *= 2
            y = build.conv(build.relu(x), width, kernel=3, stride=2, padding=1, bias=False)
            y = build.conv(build.relu(build.batch_norm(y)), width, kernel=3, padding=1, bias=False)
            side_way = build.conv(build.avg_pool(x, kernel=2, stride=2, ceil_mode=True), width, bias=False)
            x = build.add("Add", build.batch_norm(y), side_way)
        for _ in range(draw.integer(1, 3)):
            x = _complete_cell(build, x, choice) if frame.has_room(build, 0.9) else x
    x = build.relu(build.batch_norm(x))
    return (build.linear(build.flatten(build.global_avg_pool(x)), draw.pick((10, 100, 120))),)


def _complete_cell(build: GrowingBuilder, x: str, choice: list[str]) -> str:
    """Four vertices, an operation on each of six edges; a vertex is the sum of what comes in."""
    made: list[str | None] = [x, None, None, None]
    for (source, target), operation in zip(
        ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)), choice, strict=True
    ):
        value = made[source]
        if operation == "none" or value is None:
            continue
        if operation == "avg":
            value = build.avg_pool(value, kernel=3, stride=1, padding=1)
        elif operation != "skip":
            kernel = int(operation[-1])
            value = build.conv(
                build.relu(value), build.channels(x), kernel=kernel, padding=kernel // 2, bias=False
            )
            value = build.batch_norm(value)
        before = made[target]
        made[target] = value if before is None else build.add("Add", before, value)
    return made[3] or x


CELL_THEMES: Mapping[str, Theme] = MappingProxyType(
    {"cells": _cells, "small_residual_cells": _small_residual_cells}
)
"""Themes by the name that plans use."""
