"""Lays out a directed acyclic graph in layers, top to bottom, folded into columns like a newspaper's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["COLUMN_GAP", "NODE_HEIGHT", "NODE_WIDTH", "ROW_PITCH", "GraphLayout", "lay_out"]

NODE_WIDTH, NODE_HEIGHT = 168.0, 42.0
"""Of a node's box, in the units of the drawing."""
ROW_PITCH = 66.0
"""From one row to the next."""
COLUMN_GAP = 56.0
"""Between two columns; edges to the next column run there."""
_NODE_GAP, _LANE_GAP = 22.0, 16.0
_SWEEPS = 6
_MOST_LANES = 20_000
"""Places for edges beside nodes; of a graph that asks for more, long edges are drawn straight."""
_ASPECT = 1.8
"""Width over height that the folding aims at."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphLayout:
    """Where nodes and edges are drawn."""

    width: float
    height: float
    nodes: tuple[Point, ...]
    """Centre of each node."""
    edges: tuple[tuple[Point, ...], ...]
    """Corners of each edge, from the bottom of its source to the top of its target."""


@dataclass(slots=True)
class _Place:
    """A node, or a lane that a long edge takes past the nodes of a row."""

    node: int | None
    row: int
    x: float = 0.0

    @property
    def width(self) -> float:
        return _LANE_GAP if self.node is None else NODE_WIDTH + _NODE_GAP


def lay_out(n_nodes: int, edges: Sequence[tuple[int, int]]) -> GraphLayout:
    """Positions of ``n_nodes`` nodes and the ways of ``edges``; the same for the same graph.

    Rows are longest paths from the sources. Long edges get a lane in each row that they pass, neighbours are
    sorted by the mean place of what they are connected to, and each row is set as near as it can to that
    (Sugiyama's method). What would be one long strip is folded into columns where few edges cross.

    Parameters
    ----------
    n_nodes : int
        Nodes are numbered from 0 in a topological order.
    edges : sequence of pairs of int
        Source and target, the source smaller.

    References
    ----------
    Sugiyama, Tagawa, Toda, Methods for visual understanding of hierarchical system structures, IEEE
    Transactions on Systems, Man, and Cybernetics 11 (2), 1981.

    Examples
    --------
    >>> layout = lay_out(3, [(0, 1), (1, 2)])
    >>> [y for _, y in layout.nodes] == sorted(y for _, y in layout.nodes)
    True
    """
    if not n_nodes:
        return GraphLayout(width=0.0, height=0.0, nodes=(), edges=())
    rows_of = _rows(n_nodes, edges)
    places = [_Place(node, row) for node, row in enumerate(rows_of)]
    reach = [0] * n_nodes
    for source, target in edges:
        reach[source] = max(reach[source], rows_of[target] - rows_of[source] - 1)
    lanes: dict[tuple[int, int], int] = {}
    has_lanes = sum(reach) <= _MOST_LANES
    ways = [_way(places, lanes, edge, has_lanes=has_lanes) for edge in edges]
    rows: list[list[int]] = [[] for _ in range(max(rows_of) + 1)]
    for number, place in enumerate(places):
        rows[place.row].append(number)
    above, below = _neighbours(len(places), ways)
    _order(rows, places, above, below)
    return _fold(places, rows, ways, n_nodes)


def _rows(n_nodes: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    rows = [0] * n_nodes
    sources: list[list[int]] = [[] for _ in range(n_nodes)]
    for source, target in edges:
        sources[target].append(source)
    for node in range(n_nodes):
        rows[node] = max((rows[source] + 1 for source in sources[node]), default=0)
    return rows


def _way(
    places: list[_Place], lanes: dict[tuple[int, int], int], edge: tuple[int, int], *, has_lanes: bool
) -> list[int]:
    """The places that an edge passes; edges of one source share its lane."""
    source, target = edge
    way = [source]
    for row in range(places[source].row + 1, places[target].row) if has_lanes else ():
        if (source, row) not in lanes:
            lanes[source, row] = len(places)
            places.append(_Place(None, row))
        way.append(lanes[source, row])
    return [*way, target]


def _neighbours(count: int, ways: Sequence[Sequence[int]]) -> tuple[list[list[int]], list[list[int]]]:
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for first, second in dict.fromkeys(pair for way in ways for pair in pairwise(way)):
        above[second].append(first)
        below[first].append(second)
    return above, below


# Order and positions within rows ---------------------------------------------------------------------


def _order(
    rows: list[list[int]], places: list[_Place], above: list[list[int]], below: list[list[int]]
) -> None:
    for row in rows:
        _set(row, places, [0.0] * len(row))
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        may_swap = sweep < _SWEEPS - 2
        for row in rows if down else rows[::-1]:
            wanted = {number: _mean(above if down else below, number, places) for number in row}
            if may_swap:
                row.sort(key=lambda number: wanted[number])
            _set(row, places, [wanted[number] for number in row])


def _mean(neighbours: list[list[int]], number: int, places: list[_Place]) -> float:
    found = [places[other].x for other in neighbours[number]]
    return sum(found) / len(found) if found else places[number].x


def _set(row: Sequence[int], places: list[_Place], wanted: Sequence[float]) -> None:
    """Set a row as near to where it wants to be as its order and widths allow (least squares).

    Distances being fixed, this is isotonic regression: neighbours that want to pass each other are pooled.
    """
    offsets, at = [], 0.0
    for left, right in pairwise(row):
        offsets.append(at)
        at += (places[left].width + places[right].width) / 2
    offsets.append(at)
    pools: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        total, count = want - offset, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / count:
            before = pools.pop()
            total, count = total + before[0], count + before[1]
        pools.append((total, count))
    shifts = [total / count for total, count in pools for _ in range(count)]
    for number, shift, offset in zip(row, shifts, offsets, strict=True):
        places[number].x = shift + offset


# Folding into columns --------------------------------------------------------------------------------


def _fold(
    places: list[_Place], rows: list[list[int]], ways: Sequence[Sequence[int]], n_nodes: int
) -> GraphLayout:
    starts = _column_starts(places, rows, ways)
    column_of, left, shift = [0] * len(rows), 0.0, []
    for column, (start, end) in enumerate(pairwise([*starts, len(rows)])):
        inside = [places[number] for row in rows[start:end] for number in row]
        low = min(item.x - item.width / 2 for item in inside)
        high = max(item.x + item.width / 2 for item in inside)
        shift.append(left - low)
        left += high - low + COLUMN_GAP
        column_of[start:end] = [column] * (end - start)
    gutters = [value - COLUMN_GAP / 2 for value in _lefts(places, rows, starts, shift)]
    height = max(end - start for start, end in pairwise([*starts, len(rows)])) * ROW_PITCH

    def at(number: int) -> Point:
        place = places[number]
        column = column_of[place.row]
        return place.x + shift[column], (place.row - starts[column] + 0.5) * ROW_PITCH

    drawn = []
    for way in ways:
        points = [_edge_end(at(way[0]), +1)]
        for first, second in pairwise(way):
            columns = column_of[places[first].row], column_of[places[second].row]
            x, y = at(second)
            if columns[0] != columns[1]:
                points += _across(at(first), (x, y), gutters[columns[1]])
            points.append((x, y) if places[second].node is None else _edge_end((x, y), -1))
        drawn.append(tuple(points))
    return GraphLayout(
        width=left - COLUMN_GAP,
        height=height,
        nodes=tuple(at(number) for number in range(n_nodes)),
        edges=tuple(drawn),
    )


def _lefts(
    places: list[_Place], rows: list[list[int]], starts: Sequence[int], shift: Sequence[float]
) -> list[float]:
    """The left border of each column."""
    return [
        min(places[number].x - places[number].width / 2 for row in rows[start:end] for number in row)
        + shift[column]
        for column, (start, end) in enumerate(pairwise([*starts, len(rows)]))
    ]


def _edge_end(centre: Point, side: int) -> Point:
    return centre[0], centre[1] + side * NODE_HEIGHT / 2


def _across(first: Point, second: Point, gutter: float) -> list[Point]:
    """Corners of an edge into another column: below, up in the gap before that column, and over."""
    low, high = first[1] + ROW_PITCH / 2, second[1] - ROW_PITCH / 2
    return [(first[0], low), (gutter, low), (gutter, high), (second[0], high)]


def _column_starts(places: list[_Place], rows: list[list[int]], ways: Sequence[Sequence[int]]) -> list[int]:
    """The first row of each column: about equally many rows, cut where few edges cross."""
    crossing = [0] * (len(rows) + 1)  # edges that pass from the row before into this one
    for first, second in dict.fromkeys(pair for way in ways for pair in pairwise(way)):
        for row in range(places[first].row + 1, places[second].row + 1):
            crossing[row] += 1
    reach = [(places[row[0]].x, places[row[-1]].x) for row in rows]
    width = NODE_WIDTH + max(max(high for _, high in reach) - min(low for low, _ in reach), 0.0) / 2
    count = max(1, round(math.sqrt(_ASPECT * len(rows) * ROW_PITCH / (width + COLUMN_GAP))))
    length = math.ceil(len(rows) / count)
    starts, at = [0], 0
    while at + length * 1.3 < len(rows):
        first, last = at + max(1, round(0.8 * length)), min(at + round(1.2 * length), len(rows) - 1)
        at = min(range(first, last + 1), key=lambda row: (crossing[row], abs(row - at - length)))
        starts.append(at)
    return starts
