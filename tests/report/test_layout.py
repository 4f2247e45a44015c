"""The layout of graphs: nothing overlaps, edges join what they belong to, any graph is drawn in time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from annette.report.layout import NODE_HEIGHT, NODE_WIDTH, ROW_PITCH, lay_out


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    count = draw(st.integers(1, 40))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(
        lambda pair: pair[0] < pair[1]
    )
    return count, sorted(set(draw(st.lists(pairs, max_size=80)))) if count > 1 else []


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_nodes_lie_apart_inside_the_drawing(graph: tuple[int, list[tuple[int, int]]]) -> None:
    count, edges = graph
    drawn = lay_out(count, edges)
    assert len(drawn.nodes) == count
    for number, (x, y) in enumerate(drawn.nodes):
        assert x >= NODE_WIDTH / 2 - 1e-6
        assert x <= drawn.width - NODE_WIDTH / 2 + 1e-6
        assert NODE_HEIGHT / 2 <= y <= drawn.height - NODE_HEIGHT / 2
        for other_x, other_y in drawn.nodes[:number]:
            assert abs(x - other_x) >= NODE_WIDTH - 1e-6 or abs(y - other_y) >= NODE_HEIGHT


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_edges_go_from_the_bottom_of_one_node_to_the_top_of_the_other(
    graph: tuple[int, list[tuple[int, int]]],
) -> None:
    count, edges = graph
    drawn = lay_out(count, edges)
    for (source, target), line in zip(edges, drawn.edges, strict=True):
        assert line[0] == (drawn.nodes[source][0], drawn.nodes[source][1] + NODE_HEIGHT / 2)
        assert line[-1] == (drawn.nodes[target][0], drawn.nodes[target][1] - NODE_HEIGHT / 2)


@given(graphs())
@settings(max_examples=20, deadline=None)
def test_the_same_graph_is_drawn_alike(graph: tuple[int, list[tuple[int, int]]]) -> None:
    assert lay_out(*graph) == lay_out(*graph)


def test_a_chain_of_a_thousand_is_folded_into_columns() -> None:
    drawn = lay_out(1000, [(place, place + 1) for place in range(999)])
    assert 1.0 < drawn.width / drawn.height < 3.0
    rows = {y for _, y in drawn.nodes}
    assert len(rows) * ROW_PITCH == drawn.height


def test_a_graph_of_very_many_long_edges_is_drawn_straight() -> None:
    count = 400
    chain = [(place, place + 1) for place in range(count - 1)]
    drawn = lay_out(count, sorted({*chain, *((place, count - 1) for place in range(count - 1))}))
    assert len(drawn.nodes) == count  # 80,000 lanes would be too many
    assert max(map(len, drawn.edges)) < 10


def test_nothing_is_drawn_of_nothing() -> None:
    assert lay_out(0, []).nodes == ()
