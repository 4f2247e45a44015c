"""Matches equal items of two sequences in the order of both, in time that no input drives up."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate

__all__ = ["Edge", "Matcher"]

Edge = tuple[int, int]
"""Positions in the one sequence and in the other."""
_MOST_WORK = 4_000_000
"""About half a second."""


@dataclass(slots=True)
class Matcher:
    """Longest common runs first, as `difflib` finds them, as long as that is affordable.

    Finding a run costs as many steps as there are pairs of equal items: too many in long sequences of few
    different ones. When the steps are used up, what is still between runs is matched greedily: each item
    with the next equal one.
    """

    work_left: int = _MOST_WORK
    """Steps that may still be taken, by all calls together; never below 0."""

    def match(self, one: Sequence[Hashable], other: Sequence[Hashable]) -> list[Edge]:
        """Pairs of equal items, ascending on both sides.

        Examples
        --------
        >>> Matcher().match("abcd", "xbcad"), Matcher(work_left=0).match("abcd", "xbcad")
        ([(1, 1), (2, 2), (3, 4)], [(0, 3), (3, 4)])
        """
        codes: dict[Hashable, int] = {}
        here, there = ([codes.setdefault(item, len(codes)) for item in items] for items in (one, other))
        matcher = SequenceMatcher(None, here, there, autojunk=False)
        places: dict[int, list[int]] = {}
        for place, item in enumerate(there):
            places.setdefault(item, []).append(place)
        steps = [0, *accumulate(1 + len(places.get(item, ())) for item in here)]
        edges: list[Edge] = []
        waiting = deque([(0, len(here), 0, len(there))])
        while waiting:
            low, high, other_low, other_high = waiting.popleft()
            if low == high or other_low == other_high:
                continue
            work = steps[high] - steps[low]
            if work > self.work_left:
                edges += _greedy(here[low:high], low, places, other_low, other_high)
                continue
            self.work_left -= work
            run = matcher.find_longest_match(low, high, other_low, other_high)
            if run.size:
                edges += [(run.a + at, run.b + at) for at in range(run.size)]
                waiting.append((low, run.a, other_low, run.b))
                waiting.append((run.a + run.size, high, run.b + run.size, other_high))
        return sorted(edges)


def _greedy(
    items: Sequence[int], start: int, places: Mapping[int, Sequence[int]], low: int, high: int
) -> list[Edge]:
    """Each of ``items``, the first at ``start``, with the next equal one from ``low`` to below ``high``."""
    edges = []
    for i, item in enumerate(items, start):
        known = places.get(item, ())
        at = bisect_left(known, low)
        if at < len(known) and known[at] < high:
            edges.append((i, known[at]))
            low = known[at] + 1
    return edges
