"""The graphs that a device may run for one architecture: what is needed, or all that a framework executes."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from annette.calibration.features import Contents, count_space
from annette.errors import UsageError
from annette.zoo.spaces.registry import open_space, space_parameters
from annette.zoo.spaces.space import SearchSpace

__all__ = ["GRAPHS", "GraphView", "graph_views", "open_view"]

GRAPHS = {
    "needed": "what lies on a path from input to output, as an exported network has it",
    "all": "every operation of the training code, dead ones too, as an eager framework runs them",
    "folded": "all that the output depends on; what is multiplied by zero is folded away",
}
"""Which graphs there may be of an architecture. Only of spaces that can build dead code do they differ."""
_DEAD_CODE = "dead_code"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GraphView:
    """A search space seen as the graphs of one sort."""

    name: str
    """A key of `GRAPHS`."""
    space: SearchSpace
    pruned: bool = False

    def contents(self, encodings: ArrayLike) -> Contents:
        """What the networks of architectures are made of."""
        return count_space(self.space, encodings, pruned=self.pruned)


def graph_views(space: SearchSpace) -> tuple[GraphView, ...]:
    """The graphs that a device may run for a space's architectures, the likeliest first.

    Examples
    --------
    >>> [view.name for view in graph_views(open_space("nasbench201"))]
    ['all', 'folded', 'needed']
    >>> [view.name for view in graph_views(open_space("fbnet"))]
    ['needed']
    """
    name, _, items = space.name.partition(",")
    try:
        has_dead_code = _DEAD_CODE in space_parameters(name)
    except UsageError:  # a space of the user's own
        has_dead_code = False
    if not has_dead_code:
        return (GraphView(name="needed", space=space),)
    others = [item for item in items.split(",") if item and not item.startswith(f"{_DEAD_CODE}=")]
    needed = open_space(",".join([name, *others]))
    everything = open_space(",".join([name, *others, f"{_DEAD_CODE}=true"]))
    return (
        GraphView(name="all", space=everything),
        GraphView(name="folded", space=everything, pruned=True),
        GraphView(name="needed", space=needed),
    )


def open_view(space: SearchSpace, graph: str) -> GraphView:
    """The view of that name.

    Raises
    ------
    UsageError
        If the space has none.
    """
    for view in graph_views(space):
        if view.name == graph:
            return view
    raise UsageError(f"{space.name}: has no graphs {graph!r}, expected one of {', '.join(GRAPHS)}")
