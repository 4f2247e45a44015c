"""The extended roofline: named ceilings a layer, the one that binds, and what raising each would give."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.errors import HardwareError

__all__ = [
    "Ceilings",
    "RootCause",
    "WhatIf",
    "find_root_causes",
    "fuse_groups",
    "speed_up",
    "stack_ceilings",
    "study_what_if",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ceilings:
    """What each layer, or group of layers in a pipeline, would take on each unit and memory alone.

    All of them work at the same time: the slowest decides.
    """

    layers: tuple[str, ...]
    """Names of the rows; two may be equal."""
    names: tuple[str, ...]
    """Names of the columns: compute units, memory levels, ports; at least one, each once."""
    cycles: NDArray[np.float64]
    """Shape (n_layers, n_ceilings); finite and >= 0, in cycles of one clock. Zero: not used."""

    def __post_init__(self) -> None:
        cycles = np.array(self.cycles, dtype=np.float64)
        if not self.names or len(set(self.names)) < len(self.names):
            raise HardwareError(f"ceilings: names: found {self.names!r}, expected at least one, each once")
        expected = (len(self.layers), len(self.names))
        if cycles.shape != expected:
            raise HardwareError(f"ceilings: cycles: found shape {cycles.shape}, expected {expected}")
        wrong = np.argwhere(~(np.isfinite(cycles) & (cycles >= 0)))
        if len(wrong):
            row, column = wrong[0]
            raise HardwareError(
                f"ceilings: layer {self.layers[row]!r}: {self.names[column]}: found {cycles[row, column]}, "
                "expected a finite number of cycles >= 0"
            )
        cycles.setflags(write=False)
        object.__setattr__(self, "cycles", cycles)

    @property
    def layer_cycles(self) -> NDArray[np.float64]:
        """Cycles of each layer, shape (n_layers,): the highest of its ceilings."""
        found: NDArray[np.float64] = self.cycles.max(axis=1)
        return found

    @property
    def binding(self) -> NDArray[np.int64]:
        """Position in `names` of the ceiling that binds each layer; the first among equals."""
        found: NDArray[np.int64] = self.cycles.argmax(axis=1)
        return found

    @property
    def long_poles(self) -> tuple[str, ...]:
        """Name of the ceiling that binds each layer."""
        return tuple(self.names[index] for index in self.binding)

    @property
    def total_cycles(self) -> float:
        """Cycles of the network: its layers run one after another."""
        return float(self.layer_cycles.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class RootCause:
    """How much of a network's time one ceiling decides."""

    ceiling: str
    """Its name."""
    layers: int
    """How many layers it binds."""
    cycles: float
    """Cycles of those layers."""
    fraction: float
    """Share of the network's cycles; in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """How much faster a network would be if one ceiling were higher and all else the same."""

    ceiling: str
    """Its name."""
    doubled_speed_up: float
    """Old over new cycles of the network with the ceiling's cycles halved; in [1, 2]."""
    removed_speed_up: float
    """The same without the ceiling; not below `doubled_speed_up`, infinite if nothing else takes time."""


def stack_ceilings(layers: Sequence[str], columns: Mapping[str, ArrayLike]) -> Ceilings:
    """The ceilings of ``layers`` from named columns of cycles, each of shape (n_layers,) or a scalar.

    Raises
    ------
    HardwareError
        For no column, a column of another length, or cycles that are negative or not finite.

    Examples
    --------
    >>> found = stack_ceilings(["conv", "fc"], {"MAC": [900, 10], "DRAM": [100, 400]})
    >>> found.total_cycles, found.long_poles
    (1300.0, ('MAC', 'DRAM'))
    """
    count = len(layers)
    stacked = np.empty((count, len(columns)))
    for index, (name, column) in enumerate(columns.items()):
        values = np.asarray(column, dtype=np.float64)
        if values.shape not in ((), (count,)):
            raise HardwareError(f"ceilings: {name}: found shape {values.shape}, expected {(count,)}")
        stacked[:, index] = values
    return Ceilings(layers=tuple(layers), names=tuple(columns), cycles=stacked)


def fuse_groups(ceilings: Ceilings, group_index: ArrayLike) -> Ceilings:
    """The same work with the layers of each group in one pipeline: a row a group.

    A unit does the work of all layers of a group, so its cycles add up; the units work at the same time, so
    the slowest decides once for the group instead of once for each layer. Never slower than unfused.

    Parameters
    ----------
    ceilings : Ceilings
        Of the single layers.
    group_index : array_like of shape (n_layers,)
        The group of each layer, whole numbers from 0 on without a gap.

    Raises
    ------
    HardwareError
        For another shape, or groups without a layer.

    Examples
    --------
    >>> single = stack_ceilings(["conv", "pool"], {"MAC": [50, 0], "pool unit": [0, 40], "DRAM": [30, 30]})
    >>> fused = fuse_groups(single, [0, 0])
    >>> single.total_cycles, fused.total_cycles, fused.layers, fused.long_poles
    (90.0, 60.0, ('conv + pool',), ('DRAM',))
    """
    groups, count = np.asarray(group_index), len(ceilings.layers)
    if groups.shape != (count,) or (count and not np.issubdtype(groups.dtype, np.integer)):
        raise HardwareError(
            f"ceilings: group_index: found {group_index!r}, expected one whole number a layer ({count})"
        )
    used = np.unique(groups)
    if not np.array_equal(used, np.arange(len(used))):
        raise HardwareError(f"ceilings: group_index: found groups {used.tolist()}, expected 0, 1, 2, ...")
    groups = groups.astype(np.int64)
    members: list[list[str]] = [[] for _ in used]
    for name, group in zip(ceilings.layers, groups, strict=True):
        members[group].append(name)
    summed = [np.bincount(groups, weights=column, minlength=len(used)) for column in ceilings.cycles.T]
    return Ceilings(
        layers=tuple(" + ".join(names) for names in members),
        names=ceilings.names,
        cycles=np.stack(summed, axis=1),
    )


def find_root_causes(ceilings: Ceilings) -> tuple[RootCause, ...]:
    """The share of the network's time that each ceiling decides, the largest first.

    Examples
    --------
    >>> found = find_root_causes(stack_ceilings("abc", {"MAC": [6, 1, 1], "DRAM": [2, 2, 2]}))
    >>> [(cause.ceiling, cause.layers, cause.fraction) for cause in found]
    [('MAC', 1, 0.6), ('DRAM', 2, 0.4)]
    """
    binding, size = ceilings.binding, len(ceilings.names)
    layers = np.bincount(binding, minlength=size)
    cycles = np.bincount(binding, weights=ceilings.layer_cycles, minlength=size)
    whole = ceilings.total_cycles
    causes = [
        RootCause(
            ceiling=name,
            layers=int(layers[index]),
            cycles=float(cycles[index]),
            fraction=min(float(cycles[index]) / whole, 1.0) if whole else 0.0,
        )
        for index, name in enumerate(ceilings.names)
    ]
    return tuple(sorted(causes, key=lambda cause: -cause.cycles))


def speed_up(ceilings: Ceilings, names: Collection[str], factor: float) -> float:
    """How much faster the network would be with the ceilings ``names`` raised ``factor`` times; >= 1.

    Several names at once stand for what they share, for example the clock of all units. ``math.inf`` takes
    the ceilings away: they cost nothing.

    Raises
    ------
    HardwareError
        For a name that is none of the ceilings, or a factor below 1.

    Examples
    --------
    >>> found = stack_ceilings(["conv", "fc"], {"MAC": [900, 10], "DRAM": [100, 400]})
    >>> speed_up(found, ["DRAM"], 2.0), speed_up(found, ["MAC", "DRAM"], 2.0)
    (1.1818181818181819, 2.0)
    """
    unknown = [name for name in names if name not in ceilings.names]
    if unknown:
        raise HardwareError(
            f"ceilings: found no {unknown[0]!r} to raise, expected one of {', '.join(ceilings.names)}"
        )
    if not factor >= 1:
        raise HardwareError(f"ceilings: factor: found {factor!r}, expected a number >= 1")
    raised = np.array([factor if name in names else 1.0 for name in ceilings.names])
    after = float((ceilings.cycles / raised).max(axis=1).sum())
    before = ceilings.total_cycles
    if after == 0:
        return math.inf if before else 1.0
    return before / after


def study_what_if(ceilings: Ceilings) -> tuple[WhatIf, ...]:
    """What doubling and removing each ceiling would give, the most rewarding first.

    Examples
    --------
    >>> found = stack_ceilings(["conv", "fc"], {"MAC": [900, 10], "DRAM": [100, 400]})
    >>> [(item.ceiling, round(item.doubled_speed_up, 2), item.removed_speed_up)
    ...  for item in study_what_if(found)]
    [('MAC', 1.53, 2.6), ('DRAM', 1.18, 1.4285714285714286)]
    """
    found = [
        WhatIf(
            ceiling=name,
            doubled_speed_up=speed_up(ceilings, [name], 2.0),
            removed_speed_up=speed_up(ceilings, [name], math.inf),
        )
        for name in ceilings.names
    ]
    return tuple(sorted(found, key=lambda item: (-item.doubled_speed_up, -item.removed_speed_up)))
