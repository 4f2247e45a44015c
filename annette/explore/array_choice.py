"""Systolic arrays of one budget: every shape, dataflow and split of buffers, and which a network prefers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from annette.errors import UsageError
from annette.explore.tradeoff import COSTS, TradeoffPoint
from annette.hardware.accelerator import Accelerator
from annette.hardware.codec import load_accelerator
from annette.hardware.energy import sram_j_per_byte, sram_mm2
from annette.hardware.systolic_array import DATAFLOWS

__all__ = ["SPLITS", "ArrayChoice", "ArrayPreferences", "array_preferences", "list_arrays"]

SPLITS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {"even": (1, 1, 1), "inputs": (2, 1, 1), "weights": (1, 2, 1), "outputs": (1, 1, 2)}
)
"""Shares of inputs, weights and outputs in all buffers together, by the operand that has most."""

_LEAST_SIDE = 8
_MOST_MACS = 1 << 20
_MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayChoice:
    """One way to spend the budget."""

    shape: str
    """Rows x columns."""
    dataflow: str
    """``OS``, ``WS`` or ``IS``."""
    split: str
    """One of `SPLITS`."""
    accelerator: Accelerator

    @property
    def name(self) -> str:
        """All three, the accelerator's name too."""
        return f"{self.shape} {self.dataflow} {self.split}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayPreferences:
    """Which choice is best, by one cost."""

    cost: str
    """One of `annette.explore.tradeoff.COSTS`."""
    best: tuple[tuple[str, ArrayChoice, float], ...]
    """By network: its best choice, and how much more the common one costs it; >= 1."""
    common: ArrayChoice
    """The one choice that costs least for all networks together, each in proportion to its own best."""
    common_loss: float
    """Geometric mean over the networks of what it costs over the network's own best; >= 1."""

    def counts(self, field: str) -> dict[str, int]:
        """How many networks prefer which ``shape``, ``dataflow`` or ``split``, the most first."""
        return dict(Counter(getattr(choice, field) for _, choice, _ in self.best).most_common())


def list_arrays(macs: int, buffer_bytes: int) -> tuple[ArrayChoice, ...]:
    """All shapes of ``macs`` cells with sides that are powers of two, dataflows and splits of the buffers.

    Everything else is as in the preset ``systolic-32x32-ws``: clock, memory behind it, vector unit. Buffers
    cost the energy and area of their size by the rule of `annette.hardware.energy`.

    Parameters
    ----------
    macs : int
        Cells; a power of two from 64 to 2**20, so that several shapes are possible.
    buffer_bytes : int
        Of the three buffers together; 3072 to 2**30.

    Raises
    ------
    UsageError
        If a budget is outside its range.

    Examples
    --------
    >>> [choice.name for choice in list_arrays(64, 1 << 20)][:2]
    ['8x8 OS even', '8x8 OS inputs']
    """
    if not (64 <= macs <= _MOST_MACS and macs & (macs - 1) == 0):
        raise UsageError(f"{macs} MACs, expected a power of two from 64 to {_MOST_MACS}")
    if not 3072 <= buffer_bytes <= _MOST_BYTES:
        raise UsageError(f"buffers of {buffer_bytes} bytes, expected 3072 to {_MOST_BYTES}")
    sides = [1 << power for power in range(macs.bit_length())]
    shapes = [(rows, macs // rows) for rows in sides if min(rows, macs // rows) >= _LEAST_SIDE]
    return tuple(
        _choice(rows, columns, dataflow, split, buffer_bytes)
        for rows, columns in shapes
        for dataflow in DATAFLOWS
        for split in SPLITS
    )


def _choice(rows: int, columns: int, dataflow: str, split: str, buffer_bytes: int) -> ArrayChoice:
    preset = load_accelerator(f"systolic-{rows}x{columns}-{dataflow.lower()}")
    shape, shares = f"{rows}x{columns}", SPLITS[split]
    memories = []
    for memory, share in zip(preset.memories, shares, strict=True):
        size = buffer_bytes * share // sum(shares)
        cost = sram_j_per_byte(size)
        memories.append(
            replace(
                memory, size_bytes=size, read_j_per_byte=cost, write_j_per_byte=cost, area_mm2=sram_mm2(size)
            )
        )
    accelerator = replace(preset, name=f"{shape} {dataflow} {split}", memories=tuple(memories))
    return ArrayChoice(shape=shape, dataflow=dataflow, split=split, accelerator=accelerator)


def array_preferences(
    points: Sequence[TradeoffPoint], choices: Sequence[ArrayChoice], cost: str
) -> ArrayPreferences:
    """What each network prefers among ``choices``, and the one that serves all best.

    Only networks that run on every choice count.

    Parameters
    ----------
    points : sequence of TradeoffPoint
        Of `annette.explore.tradeoff.study_tradeoff` on the accelerators of ``choices``.
    cost : str
        One of `annette.explore.tradeoff.COSTS`.

    Raises
    ------
    UsageError
        If no network runs on every choice.
    """
    costs: dict[str, dict[str, float]] = {}
    for point in points:
        costs.setdefault(point.network, {})[point.device] = float(getattr(point, COSTS[cost]))
    complete = {name: row for name, row in costs.items() if all(item.name in row for item in choices)}
    if not complete:
        raise UsageError("no network runs on every array of the study, expected one at least")
    best = {
        name: min(choices, key=lambda item, row=row: row[item.name])  # type: ignore[misc]
        for name, row in complete.items()
    }
    losses = {
        item.name: math.exp(
            math.fsum(math.log(row[item.name] / row[best[name].name]) for name, row in complete.items())
            / len(complete)
        )
        for item in choices
    }
    common = min(choices, key=lambda item: losses[item.name])
    return ArrayPreferences(
        cost=cost,
        best=tuple(
            (name, best[name], row[common.name] / row[best[name].name]) for name, row in complete.items()
        ),
        common=common,
        common_loss=losses[common.name],
    )
