"""What no tiling of a pair of tiles goes below, so that most tilings need not be worked out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from annette.simulator.tile_columns import PairColumns
from annette.simulator.tiling import Floats

if TYPE_CHECKING:
    from annette.simulator.array_engine import ArrayMachine

__all__ = ["ROUNDING", "SplitBounds", "least_split_s", "split_bounds"]

ROUNDING = 1 - 1e-9
"""So that a bound is none the last bits of which say otherwise."""


class SplitBounds(NamedTuple):
    """What a pair of tiles takes at least with any split of the sum over input channels; a row a pair."""

    n_stores: Floats
    """Tiles of results."""
    pass_cycles: Floats
    """Cycles of the array for each part of the input channels."""
    other_cycles: Floats
    """Cycles for all of them together."""
    post_cycles: Floats
    loads_s: Floats
    """Seconds on the bus to load all tiles, were all bursts full."""
    bus_s: Floats
    """Those to store all results besides."""
    last_s: Floats
    """Seconds of the first latency, the last one, and the last store."""


def split_bounds(pair: PairColumns, machine: ArrayMachine) -> SplitBounds:
    """The parts of `least_split_s` that do not depend on the split.

    A sum in parts loads each tile for itself, so that the order of the loops over tiles does not matter.
    """
    weights_s = pair.weights_s * pair.n_positions
    others_s = pair.input_bytes / machine.external.bandwidth_bytes_per_s * pair.n_out + pair.extra_s
    beside, together_s = pair.has_weight_port > 0, weights_s + others_s
    return SplitBounds(
        n_stores=pair.n_stores,
        pass_cycles=pair.pass_cycles + machine.tile_cycles * pair.n_stores,
        other_cycles=pair.switch_cycles
        + pair.wait_cycles
        + (1 + machine.stalls_per_cycle) * pair.useful_cycles,
        post_cycles=pair.post_cycles,
        loads_s=np.where(beside, np.maximum(weights_s, others_s), together_s),
        bus_s=np.where(beside, np.maximum(weights_s, others_s + pair.store_s), together_s + pair.store_s),
        last_s=pair.last_store_s + 2 * machine.external.latency_s,
    )


def least_split_s(bounds: SplitBounds, fewest: Floats | float, most: Floats, machine: ArrayMachine) -> Floats:
    """Seconds that no tiling goes below whose parts of the input channels are so many, launch not included.

    The array cannot start before the first tile is there, and then needs all its cycles; the bus moves all
    bytes, waits for the first byte of each tile, and rests while the array works on the last one. What is
    last stored comes behind.
    """
    n_fewest, n_most = bounds.n_stores * fewest, bounds.n_stores * most
    cycles = np.maximum(bounds.pass_cycles * fewest + bounds.other_cycles, bounds.post_cycles)
    compute_s = cycles / machine.clock_hz
    array_s = bounds.loads_s / n_most + compute_s + bounds.last_s
    bus_s = bounds.bus_s + compute_s / n_most + (n_fewest + 1) * machine.external.latency_s
    return ROUNDING * np.maximum(array_s, bus_s)
