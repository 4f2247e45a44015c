"""What layer models predict: a kernel's latency, or its energy; all that tells the two apart stands here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from annette.errors import ModelError
from annette.store.strict_json import shorten

__all__ = ["ENERGY", "LATENCY", "TARGETS", "Target", "target_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A quantity that is predicted kernel by kernel and adds up to that of the network.

    The models are the same for every target. Their code names what it holds by latency, the first of them:
    where a name there says seconds, an energy model holds joules, so that a rate per second is one per joule.

    References
    ----------
    S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model", CACM 52, 2009:
    the longer of computing and moving decides the time. J. Choi, D. Bedard, R. Fowler, R. Vuduc, "A roofline
    model of energy", IPDPS 2013, equation 2: every operation and every byte costs its energy, whatever else
    goes on, so that the two are added. M. Horowitz, ISSCC 2014, and Y.-H. Chen et al., "Eyeriss", ISCA 2016,
    count energy access by access in this way.
    """

    name: str
    """``latency`` or ``energy``."""
    unit: str
    """Its unit as it stands in names: ``s`` or ``j``."""
    least: float
    """No kernel is predicted at less: bounds know no fixed costs, and a kernel may do nothing."""
    is_sum: bool
    """Whether computing and moving add up; else the one hides the other as far as it can."""

    def __reduce__(self) -> tuple[Callable[[object], Target], tuple[str]]:
        """In another process the same object again: there are two, and they are told apart by identity."""
        return target_of, (self.name,)

    def to_own_names(self, value: Any) -> Any:
        """JSON data of a latency model with the unit of this target in its keys.

        Examples
        --------
        >>> ENERGY.to_own_names({"peak_ops_per_s": 1e12, "families": [{"overhead_s": 1e-6}]})
        {'peak_ops_per_j': 1000000000000.0, 'families': [{'overhead_j': 1e-06}]}
        """
        return _renamed(value, LATENCY.unit, self.unit)

    def from_own_names(self, value: Any) -> Any:
        """What `to_own_names` was given."""
        return _renamed(value, self.unit, LATENCY.unit)


LATENCY = Target(name="latency", unit="s", least=1e-9, is_sum=False)
"""Seconds from launch to the end of a kernel."""
ENERGY = Target(name="energy", unit="j", least=1e-15, is_sum=True)
"""Joules of a kernel. A femtojoule is less than any operation takes."""
TARGETS: Mapping[str, Target] = MappingProxyType({item.name: item for item in (LATENCY, ENERGY)})
"""By name."""


def target_of(name: object) -> Target:
    """The target of that name.

    Raises
    ------
    ModelError
        If there is none.
    """
    if not isinstance(name, str) or name not in TARGETS:
        raise ModelError(f"target {shorten(repr(name))}, expected one of {', '.join(TARGETS)}")
    return TARGETS[name]


def _renamed(value: Any, unit: str, other: str) -> Any:
    if unit == other:
        return value
    if isinstance(value, dict):
        return {_with_unit(key, unit, other): _renamed(item, unit, other) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, unit, other) for item in value]
    return value


def _with_unit(name: str, unit: str, other: str) -> str:
    return "_".join(other if part == unit else part for part in name.split("_"))
