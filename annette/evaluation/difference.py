"""Two estimates or measurements compared: what changed in all, kernel by kernel, and by family."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from annette.evaluation.alignment import Group, align
from annette.evaluation.sides import Side, SideKernel

if TYPE_CHECKING:
    import pandas

__all__ = ["COMPARISON_SCHEMA_VERSION", "Change", "Comparison", "FamilyChange", "compare"]

COMPARISON_SCHEMA_VERSION = 1
"""Version of `Comparison.to_dict`."""
_LEAST_S = 1e-15
"""Nothing takes less: it is not divided by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Kernels that do the same work on both sides, and what that takes there."""

    kind: str
    """As `annette.evaluation.alignment.Group.kind`."""
    a: tuple[SideKernel, ...]
    """Of the first side; none: it does not do that work in a kernel."""
    b: tuple[SideKernel, ...]
    """Of the second."""
    remark: str = ""
    """Why there are none, where it is known."""

    @property
    def name(self) -> str:
        """The name of the first of the kernels."""
        return (self.a or self.b)[0].name

    @property
    def family(self) -> str:
        """The families, those of the first side before new ones of the second."""
        return ", ".join(dict.fromkeys(item.family for item in (*self.a, *self.b)))

    @property
    def units(self) -> tuple[str, ...]:
        """The units of one kernel on each side, where they are not called alike; else none."""
        if self.kind != "same" or self.a[0].unit == self.b[0].unit:
            return ()
        return self.a[0].unit, self.b[0].unit

    @property
    def a_s(self) -> float:
        """Seconds in the first side; 0 where it has none."""
        return math.fsum(item.latency_s for item in self.a)

    @property
    def b_s(self) -> float:
        """Seconds in the second side."""
        return math.fsum(item.latency_s for item in self.b)

    @property
    def difference_s(self) -> float:
        """Seconds that the second side takes more; < 0: less."""
        return self.b_s - self.a_s

    @property
    def ratio(self) -> float | None:
        """Seconds of the second side over those of the first; ``None`` if these are next to 0."""
        return self.b_s / self.a_s if self.a and self.b and self.a_s > _LEAST_S else None

    def to_dict(self) -> dict[str, object]:
        """The change as JSON types."""
        return {
            "kind": self.kind,
            "family": self.family,
            "a": [_kernel(item) for item in self.a],
            "b": [_kernel(item) for item in self.b],
            "a_s": self.a_s,
            "b_s": self.b_s,
            "difference_s": self.difference_s,
            "remark": self.remark,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyChange:
    """What all kernels of a family take on both sides."""

    family: str
    a_kernels: int
    b_kernels: int
    a_s: float
    b_s: float

    @property
    def difference_s(self) -> float:
        """Seconds that the second side takes more."""
        return self.b_s - self.a_s

    def to_dict(self) -> dict[str, object]:
        """The change as JSON types."""
        return {
            "family": self.family,
            "a_kernels": self.a_kernels,
            "b_kernels": self.b_kernels,
            "a_s": self.a_s,
            "b_s": self.b_s,
            "difference_s": self.difference_s,
        }


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sides, kernel by kernel.

    The changes and the seconds beyond the kernels add up to the difference of the latencies.
    """

    a: Side
    b: Side
    way: str | None
    """What aligned the kernels: ``names`` or ``shapes``; ``None``: a side does not tell its kernels."""
    changes: tuple[Change, ...]
    """In order of execution of the first side; none where a side does not tell its kernels."""

    @property
    def difference_s(self) -> float:
        """Seconds that the second side takes more from end to end; < 0: less."""
        return self.b.latency_s - self.a.latency_s

    @property
    def ratio(self) -> float | None:
        """The second side's latency over the first's; ``None`` if that is next to 0."""
        return self.b.latency_s / self.a.latency_s if self.a.latency_s > _LEAST_S else None

    @property
    def beyond_s(self) -> float | None:
        """Seconds of the difference that lie outside of kernels; ``None`` where kernels are not known."""
        if self.way is None:
            return None
        return self.difference_s - math.fsum(item.difference_s for item in self.changes)

    @property
    def is_apart(self) -> bool | None:
        """Whether the ranges of both do not overlap; ``None``: one is not known.

        The range of an estimate is its 90 % interval, that of a measurement what it takes when repeated. Both
        are exceeded now and then: ranges that lie apart are likely to be in the right order, no more.
        """
        ends = [side.interval_s or side.repeats_s for side in (self.a, self.b)]
        if None in ends:
            return None
        (low, high), (other_low, other_high) = (item for item in ends if item is not None)
        return high < other_low or other_high < low

    @cached_property
    def largest(self) -> tuple[Change, ...]:
        """The changes, the largest first."""
        return tuple(sorted(self.changes, key=lambda item: -abs(item.difference_s)))

    @cached_property
    def families(self) -> tuple[FamilyChange, ...]:
        """By family, the largest change first; each kernel counts in its own family."""
        times_s: dict[str, tuple[list[float], list[float]]] = {}
        for change in self.changes:
            for place, side in enumerate((change.a, change.b)):
                for item in side:
                    times_s.setdefault(item.family, ([], []))[place].append(item.latency_s)
        found = [
            FamilyChange(family=name, a_kernels=len(a), b_kernels=len(b), a_s=math.fsum(a), b_s=math.fsum(b))
            for name, (a, b) in times_s.items()
        ]
        return tuple(sorted(found, key=lambda item: (-abs(item.difference_s), item.family)))

    def count(self, kind: str) -> int:
        """How many changes are of that kind."""
        return sum(item.kind == kind for item in self.changes)

    def to_dict(self) -> dict[str, object]:
        """The comparison as JSON types; seconds everywhere."""
        return {
            "schema_version": COMPARISON_SCHEMA_VERSION,
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
            "difference_s": self.difference_s,
            "ratio": self.ratio,
            "ranges_apart": self.is_apart,
            "aligned_by": self.way,
            "beyond_kernels_s": self.beyond_s,
            "families": [item.to_dict() for item in self.families],
            "changes": [item.to_dict() for item in self.changes],
        }

    def to_frame(self) -> pandas.DataFrame:
        """One row a change, in order of execution: kind, family, kernels, seconds of both, difference."""
        import pandas

        rows = [
            {
                "kind": item.kind,
                "family": item.family,
                "a": " | ".join(kernel.name for kernel in item.a),
                "b": " | ".join(kernel.name for kernel in item.b),
                "a_s": item.a_s,
                "b_s": item.b_s,
                "difference_s": item.difference_s,
            }
            for item in self.changes
        ]
        columns = ["kind", "family", "a", "b", "a_s", "b_s", "difference_s"]
        return pandas.DataFrame(rows, columns=columns)


def compare(a: Side, b: Side) -> Comparison:
    """What changes from ``a`` to ``b``.

    Parameters
    ----------
    a, b : Side
        Two estimates or measurements: of two networks, on two devices, or both; see
        `annette.evaluation.sides`, and `annette.evaluation.side_source.open_side` for files and names.

    Examples
    --------
    >>> import annette
    >>> from annette.evaluation.sides import side_of_estimate
    >>> from annette.zoo.registry import zoo_network
    >>> platform = annette.load("zcu102-dpu")
    >>> networks = [zoo_network("resnet18"), zoo_network("resnet34")]
    >>> found = compare(*[side_of_estimate(platform.estimate(item), item) for item in networks])
    >>> found.way, found.count("only_a"), found.count("only_b") > 10
    ('shapes', 0, True)
    """
    if a.kernels is None or b.kernels is None:
        return Comparison(a=a, b=b, way=None, changes=())
    alignment = align(a, b)
    gone = frozenset(a.eliminated_layers), frozenset(b.eliminated_layers)
    changes = tuple(_change(group, a.kernels, b.kernels, gone) for group in alignment.groups)
    return Comparison(a=a, b=b, way=alignment.way, changes=changes)


def _change(
    group: Group,
    first: tuple[SideKernel, ...],
    second: tuple[SideKernel, ...],
    gone: tuple[frozenset[str], frozenset[str]],
) -> Change:
    a, b = tuple(first[i] for i in group.a), tuple(second[j] for j in group.b)
    remark = ""
    if group.kind == "only_a" and _vanish(a, gone[1]):
        remark = "vanishes in B"
    elif group.kind == "only_b" and _vanish(b, gone[0]):
        remark = "vanishes in A"
    return Change(kind=group.kind, a=a, b=b, remark=remark)


def _vanish(kernels: Iterable[SideKernel], gone: frozenset[str]) -> bool:
    layers = [name for item in kernels for name in item.layers]
    return bool(layers) and gone.issuperset(layers)


def _kernel(item: SideKernel) -> dict[str, object]:
    return {
        "name": item.name,
        "family": item.family,
        "unit": item.unit,
        "bound": item.bound,
        "layers": list(item.layers),
        "latency_s": item.latency_s,
    }
