"""Lays the kernels of two sides beside each other: by the layers' names, else by order and shapes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from annette.evaluation.matching import Edge, Matcher
from annette.evaluation.sides import Side, SideKernel

__all__ = ["Alignment", "Group", "align"]

_NAMED_FRACTION = 0.9
"""Of the smaller network's kernels; numbered names of unlike networks lead two thirds to the same family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Kernels that do the same work on both sides: usually one and one."""

    a: tuple[int, ...]
    """Their positions in the first side, ascending; none: the work is done in the second alone."""
    b: tuple[int, ...]
    """The same of the second side."""

    @property
    def kind(self) -> str:
        """``same``, ``split`` (one becomes several), ``merged``, ``regrouped``, ``only_a`` or ``only_b``."""
        if not self.a or not self.b:
            return "only_a" if self.a else "only_b"
        if len(self.a) == 1:
            return "same" if len(self.b) == 1 else "split"
        return "merged" if len(self.b) == 1 else "regrouped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """All kernels of two sides, each in one group."""

    way: str
    """``names`` or ``shapes``: what told which kernels belong together."""
    groups: tuple[Group, ...]
    """In order of execution of the first side; what the second alone has stands behind its predecessor."""


def align(a: Side, b: Side) -> Alignment:
    """Which kernels of ``a`` do the work of which kernels of ``b``.

    Two sides with the same layers are aligned by the layers' names: kernels that share a layer belong
    together, so that one which another device splits stands beside its parts. Of different networks names
    decide where they lead nine tenths of the smaller side's kernels to one of the same family, unless order
    and shapes agree for half of them, and for more (numbered names mean something else once a layer was put
    in before them). Else order decides: equal kernels first, then between these layers that are equal in
    operator and shape, then kernels whose primary layers are of one family.

    Where layers are not known (two documents), kernels take their place, with family and size. Of sides of
    many thousands of equal kernels some are matched in order only, so that it takes seconds at most (see
    `annette.evaluation.matching.Matcher`).

    Examples
    --------
    >>> import annette
    >>> from annette.evaluation.sides import side_of_estimate
    >>> side = side_of_estimate(annette.load("zcu102-dpu").estimate("zoo:lenet5"))
    >>> alignment = align(side, side)
    >>> alignment.way, {group.kind for group in alignment.groups}
    ('names', {'same'})
    """
    first, second = a.kernels or (), b.kernels or ()
    if _layers(a) == _layers(b):
        edges = _by_names(first, second)
        return Alignment(way="names", groups=_groups(edges, len(first), len(second)))
    named = [
        (i, j) for i, j in _by_names(first, second, only_primary=True) if first[i].family == second[j].family
    ]
    filled = [*named, *_leftovers(named, first, second)]
    ordered = _by_order(first, second, Matcher(), has_layers=a.knows_layers and b.knows_layers)
    smaller = min(len(first), len(second))
    named_alike, ordered_alike = (_count_alike(edges, first, second) for edges in (filled, ordered))
    orders_better = ordered_alike > named_alike and 2 * ordered_alike >= smaller
    if orders_better or len({i for i, _ in named}) < _NAMED_FRACTION * smaller:
        return Alignment(way="shapes", groups=_groups(ordered, len(first), len(second)))
    return Alignment(way="names", groups=_groups(filled, len(first), len(second)))


def _layers(side: Side) -> frozenset[str]:
    """All that a network consists of, whatever becomes of it."""
    layers = (name for kernel in side.kernels or () for name in kernel.layers)
    return frozenset((*layers, *side.eliminated_layers))


def _count_alike(edges: Sequence[Edge], first: Sequence[SideKernel], second: Sequence[SideKernel]) -> int:
    """Kernels of the first side that are led to an equal one."""
    return len({i for i, j in edges if first[i].words == second[j].words})


# Edges -----------------------------------------------------------------------------------------------


def _by_names(
    first: Sequence[SideKernel], second: Sequence[SideKernel], *, only_primary: bool = False
) -> list[Edge]:
    """Kernels that share a layer's name, if wanted of a layer that is primary in one; moves by their own."""
    places = {
        name: (j, at == primary)
        for j, (kernel, primary) in enumerate((item, item.primary) for item in second)
        for at, name in _names(kernel)
    }
    edges = []
    for i, kernel in enumerate(first):
        primary = kernel.primary
        for at, name in _names(kernel):
            j, is_primary = places.get(name, (None, False))
            if j is None or (only_primary and at != primary and not is_primary):
                continue
            edges.append((i, j))
    return list(dict.fromkeys(edges))


def _names(kernel: SideKernel) -> Iterator[tuple[int, str]]:
    return enumerate(kernel.layers or (kernel.name,))


def _by_order(
    first: Sequence[SideKernel], second: Sequence[SideKernel], matcher: Matcher, *, has_layers: bool
) -> list[Edge]:
    """Kernels in the same order on both sides: equal ones, and between these those with equal layers."""
    exact = matcher.match(
        *([_exact(item, has_layers=has_layers) for item in side] for side in (first, second))
    )
    edges = list(exact)
    for (i, j), (next_i, next_j) in _gaps(exact, len(first), len(second)):
        parts = (
            _items(first, i, next_i, has_layers=has_layers),
            _items(second, j, next_j, has_layers=has_layers),
        )
        edges += _layer_edges(*parts, matcher)
    return list(dict.fromkeys(edges))


def _exact(kernel: SideKernel, *, has_layers: bool) -> Hashable:
    return (kernel.unit if kernel.family == "move" else "", kernel.words) if has_layers else _sized(kernel)


def _sized(kernel: SideKernel) -> Hashable:
    return kernel.family, kernel.words[0].shape if len(kernel.words) == 1 else ""


@dataclass(frozen=True, slots=True)
class _Item:
    """What is put in order: a layer, or a kernel whose layers are not known."""

    kernel: int
    exact: Hashable
    loose: Hashable
    is_primary: bool


def _items(kernels: Sequence[SideKernel], start: int, stop: int, *, has_layers: bool) -> list[_Item]:
    if not has_layers:
        return [_Item(i, _sized(kernels[i]), kernels[i].family, is_primary=True) for i in range(start, stop)]
    return [
        _Item(i, word, (word.operator, kernels[i].family), is_primary=place == primary)
        for i, primary in ((i, kernels[i].primary) for i in range(start, stop))
        for place, word in enumerate(kernels[i].words)
    ]


def _layer_edges(one: Sequence[_Item], other: Sequence[_Item], matcher: Matcher) -> Iterator[Edge]:
    """Layers equal in operator and shape, then between these primary layers of equal operator and family.

    Layers that are secondary on both sides, an activation behind another convolution, tie no kernels.
    """
    exact = matcher.match([item.exact for item in one], [item.exact for item in other])
    for i, j in exact:
        if one[i].is_primary or other[j].is_primary:
            yield one[i].kernel, other[j].kernel
    for (i, j), (next_i, next_j) in _gaps(exact, len(one), len(other)):
        here = [item for item in one[i:next_i] if item.is_primary]
        there = [item for item in other[j:next_j] if item.is_primary]
        for at, to in matcher.match([item.loose for item in here], [item.loose for item in there]):
            yield here[at].kernel, there[to].kernel


def _gaps(pairs: Sequence[Edge], n_one: int, n_other: int) -> Iterator[tuple[Edge, Edge]]:
    """What lies between matched pairs on both sides."""
    i = j = 0
    for next_i, next_j in (*pairs, (n_one, n_other)):
        if i < next_i and j < next_j:
            yield (i, j), (next_i, next_j)
        i, j = next_i + 1, next_j + 1


def _leftovers(
    edges: Sequence[Edge], first: Sequence[SideKernel], second: Sequence[SideKernel]
) -> list[Edge]:
    """Kernels that no name leads anywhere, where they are the same in all but names."""
    seen = {i for i, _ in edges}, {j for _, j in edges}
    rest = [
        [place for place in range(len(kernels)) if place not in taken]
        for kernels, taken in zip((first, second), seen, strict=True)
    ]
    pairs = Matcher().match([first[i].words for i in rest[0]], [second[j].words for j in rest[1]])
    return [(rest[0][here], rest[1][there]) for here, there in pairs]


# Groups ----------------------------------------------------------------------------------------------


def _groups(edges: Sequence[Edge], n_first: int, n_second: int) -> tuple[Group, ...]:
    """What hangs together by edges, in order."""
    parents = list(range(n_first + n_second))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    for i, j in edges:
        parents[root(n_first + j)] = root(i)
    members: dict[int, tuple[list[int], list[int]]] = {}
    for place in range(n_first + n_second):
        sides = members.setdefault(root(place), ([], []))
        sides[place >= n_first].append(place if place < n_first else place - n_first)
    groups = [Group(a=tuple(a), b=tuple(b)) for a, b in members.values()]
    before = {j: group.a[0] for group in groups if group.a for j in group.b}
    last, places = -1, []
    for j in range(n_second):
        last = before.get(j, last)
        places.append(last)
    return tuple(
        sorted(
            groups, key=lambda group: (group.a[0], 0, 0) if group.a else (places[group.b[0]], 1, group.b[0])
        )
    )
