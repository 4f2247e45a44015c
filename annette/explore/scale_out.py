"""One large systolic array or many small ones: every partition of a budget, and the memory behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import UsageError
from annette.hardware.systolic_array import DATAFLOWS
from annette.simulator.products import MatrixProducts
from annette.simulator.systolic import AXES, cycles_per_fold, product_sizes
from annette.simulator.systolic_traffic import BufferSizes, count_traffic

__all__ = ["Partition", "ScaleStudy", "list_partitions", "study_scale"]

_MOST_MACS = 1 << 24
_MOST_SIDE = 1 << 16
_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Partition:
    """So many arrays of one size, side by side."""

    rows: int
    columns: int
    """Of each array."""
    partition_rows: int
    partition_columns: int
    """How the arrays share the work: the dimension along rows, and that along columns, are cut in so many."""

    @property
    def arrays(self) -> int:
        """How many arrays there are."""
        return self.partition_rows * self.partition_columns

    @property
    def macs_per_cycle(self) -> int:
        """Of all arrays."""
        return self.rows * self.columns * self.arrays

    @property
    def name(self) -> str:
        """For tables: ``2x4 of 32x16``, or ``128x128`` for a single array."""
        single = f"{self.rows}x{self.columns}"
        return single if self.arrays == 1 else f"{self.partition_rows}x{self.partition_columns} of {single}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScaleStudy:
    """Cycles and traffic of a network's layers on every partition of a budget, for several bandwidths."""

    dataflow: str
    layers: tuple[str, ...]
    partitions: tuple[Partition, ...]
    bandwidths_bytes_per_cycle: tuple[float, ...]
    """DRAM bandwidths; ``math.inf``: free, as in the paper."""
    compute_cycles: _Floats
    """Shape (n_layers, n_partitions)."""
    dram_bytes: _Floats
    """Shape (n_layers, n_partitions): of all arrays together."""
    stall_free_bytes_per_cycle: _Floats
    """Shape (n_layers, n_partitions): bandwidth at which no fold waits for its operands."""

    def cycles(self, bandwidth_bytes_per_cycle: float) -> _Floats:
        """Cycles of each layer on each partition, shape (n_layers, n_partitions): computing or moving,
        whichever takes longer."""
        if math.isinf(bandwidth_bytes_per_cycle):
            return self.compute_cycles
        return np.maximum(self.compute_cycles, self.dram_bytes / bandwidth_bytes_per_cycle)

    def best_per_layer(self, bandwidth_bytes_per_cycle: float) -> NDArray[np.int64]:
        """The fastest partition of each layer, as positions, shape (n_layers,); least bytes among equals."""
        return _best(self.cycles(bandwidth_bytes_per_cycle), self.dram_bytes)

    def best(self, bandwidth_bytes_per_cycle: float) -> int:
        """The partition on which the whole network is fastest, as a position."""
        cycles = self.cycles(bandwidth_bytes_per_cycle).sum(axis=0)[None, :]
        return int(_best(cycles, self.dram_bytes.sum(axis=0)[None, :])[0])

    def to_dict(self) -> dict[str, Any]:
        """The sweet spot over the bandwidths, and the best partition of each layer, as JSON types."""
        return {
            "dataflow": self.dataflow,
            "partitions": len(self.partitions),
            "bandwidths": [self._at(bandwidth) for bandwidth in self.bandwidths_bytes_per_cycle],
        }

    def _at(self, bandwidth: float) -> dict[str, Any]:
        cycles, best = self.cycles(bandwidth), self.best(bandwidth)
        by_arrays = self.fastest_by_arrays(bandwidth)
        single = by_arrays.get(1)
        waits = self.compute_cycles[:, best] < cycles[:, best]
        return {
            "bandwidth_bytes_per_cycle": None if math.isinf(bandwidth) else bandwidth,
            "best": _document(self.partitions[best]),
            "cycles": float(cycles[:, best].sum()),
            "dram_bytes": float(self.dram_bytes[:, best].sum()),
            "memory_bound_fraction": float(cycles[waits, best].sum() / cycles[:, best].sum()),
            "best_single_array": None if single is None else _document(self.partitions[single[0]]),
            "single_array_cycles": None if single is None else single[1],
            "fastest_by_arrays": [
                {"arrays": arrays, **_document(self.partitions[position]), "cycles": total}
                for arrays, (position, total) in by_arrays.items()
            ],
            "layers": [
                {
                    "layer": self.layers[row],
                    "best": _document(self.partitions[position]),
                    "cycles": float(cycles[row, position]),
                    "dram_bytes": float(self.dram_bytes[row, position]),
                    "stall_free_bytes_per_cycle": float(self.stall_free_bytes_per_cycle[row, position]),
                    "cycles_on_the_networks_best": float(cycles[row, best]),
                }
                for row, position in enumerate(self.best_per_layer(bandwidth))
            ],
        }

    def fastest_by_arrays(self, bandwidth_bytes_per_cycle: float) -> dict[int, tuple[int, float]]:
        """For each number of arrays the fastest partition, as a position, and the network's cycles on it."""
        total = self.cycles(bandwidth_bytes_per_cycle).sum(axis=0)
        found: dict[int, tuple[int, float]] = {}
        for position, partition in enumerate(self.partitions):
            known = found.get(partition.arrays)
            if known is None or total[position] < known[1]:
                found[partition.arrays] = position, float(total[position])
        return dict(sorted(found.items()))


def _document(partition: Partition) -> dict[str, Any]:
    return {"name": partition.name, **asdict(partition), "macs_per_cycle": partition.macs_per_cycle}


def _best(cycles: _Floats, dram_bytes: _Floats) -> NDArray[np.int64]:
    least = cycles.min(axis=1, keepdims=True)
    found: NDArray[np.int64] = np.where(cycles <= least, dram_bytes, np.inf).argmin(axis=1)
    return found


def list_partitions(macs: int, *, least_side: int = 8) -> tuple[Partition, ...]:
    """Every partition of at most ``macs`` multiply-accumulates a cycle with powers of two as sizes.

    Raises
    ------
    UsageError
        For a budget that is too small for one array of ``least_side`` on each side, or beyond 2**24.

    Examples
    --------
    >>> [item.name for item in list_partitions(128)]
    ['8x8', '8x16', '16x8', '1x2 of 8x8', '2x1 of 8x8']
    """
    sides = [1 << power for power in range(_MOST_SIDE.bit_length()) if least_side <= 1 << power]
    if least_side < 1 or not sides or not sides[0] ** 2 <= macs <= _MOST_MACS:
        least = sides[0] if sides else _MOST_SIDE
        raise UsageError(
            f"budget of {macs} MACs with arrays of at least {least_side} x {least_side}, as powers of two: "
            f"expected sides from 1 to {_MOST_SIDE} and {least**2} to {_MOST_MACS} MACs"
        )
    parts = [1 << power for power in range(_MOST_MACS.bit_length())]
    found: list[Partition] = []
    for rows in sides:
        for columns in sides:
            if rows * columns > macs:
                break
            for down in parts:
                if rows * columns * down > macs:
                    break
                rest = macs // (rows * columns * down)
                found.extend(
                    Partition(rows=rows, columns=columns, partition_rows=down, partition_columns=across)
                    for across in parts
                    if across <= rest
                )
    return tuple(sorted(found, key=lambda item: (item.arrays, item)))


def study_scale(
    products: MatrixProducts,
    partitions: Sequence[Partition],
    *,
    dataflow: str,
    buffer_bytes: float,
    bandwidths_bytes_per_cycle: Sequence[float],
    element_bytes: float = 1.0,
    like_paper: bool = False,
) -> ScaleStudy:
    """Cycles and DRAM traffic of every layer on every partition.

    An array gets ``ceil(Sr / P_R)`` of the dimension along rows and ``ceil(Sc / P_C)`` of that along columns.
    What several arrays need, each fetches for itself and keeps in its own share of the buffers: of an operand
    that streams, all arrays side by side need the same part. Where K is cut (weights or inputs stationary),
    arrays make partial sums of the same results, which are read back and added up. All arrays move as much as
    the one with the largest share: an upper bound where the shares are unequal.

    Parameters
    ----------
    products : MatrixProducts
        The network.
    partitions : sequence of Partition
        As `list_partitions` gives them.
    dataflow : {"OS", "WS", "IS"}
        Of all arrays.
    buffer_bytes : float
        Of all buffers of all arrays together; a third for each operand.
    bandwidths_bytes_per_cycle : sequence of float
        Of the DRAM, shared by all arrays; > 0.
    element_bytes : float
        Of every operand.
    like_paper : bool
        Cycles as in the paper's analytical model, ``2 R + C + T - 2`` a fold for every dataflow.

    References
    ----------
    Samajdar et al., ISPASS 2020, section III: scale-up and scale-out. Its model leaves the bandwidth out;
    here a layer takes as long as its cycles or its bytes ask for, whichever is longer.
    """
    if dataflow not in DATAFLOWS:
        raise UsageError(f"dataflow {dataflow!r}, expected one of {', '.join(DATAFLOWS)}")
    if not partitions:
        raise UsageError("scale: no partitions, expected those of a budget of MACs")
    if not len(products.m):
        raise UsageError("scale: nothing to study; expected a network with convolutions or matrix products")
    whole = dict(zip("mkn", product_sizes(products.m, products.k, products.n), strict=True))
    table = np.array(
        [(item.rows, item.columns, item.partition_rows, item.partition_columns) for item in partitions],
        dtype=np.int64,
    )
    rows, columns, down, across = (table[None, :, position] for position in range(4))
    sizes = {name: size[:, None] for name, size in whole.items()}
    along, across_name, through = AXES[dataflow]
    used = []
    for name, parts in ((along, down), (across_name, across)):
        share = -(-sizes[name] // parts)
        used.append(-(-sizes[name] // share))  # arrays that have work
        sizes[name] = share
    per_fold = cycles_per_fold(dataflow, rows, columns, sizes[through])
    if like_paper and dataflow == "OS":
        per_fold = per_fold + rows
    folds = -(-sizes[along] // rows) * -(-sizes[across_name] // columns)
    repeats = products.repeats[:, None]
    each = buffer_bytes / 3 / (down * across)
    m, k, n = np.broadcast_arrays(sizes["m"], sizes["k"], sizes["n"])
    traffic = count_traffic(
        m, k, n, rows=rows, columns=columns, dataflow=dataflow, element_bytes=element_bytes,
        input_share=products.input_share[:, None],
        buffers=BufferSizes(input_bytes=each, weight_bytes=each, output_bytes=each),
    )  # fmt: skip
    arrays, added = used[0] * used[1], np.zeros(())
    if dataflow != "OS":  # partial sums of the arrays along K
        added = element_bytes * (whole["m"] * whole["n"])[:, None] * (used[0] - 1.0)
    return ScaleStudy(
        dataflow=dataflow,
        layers=products.names,
        partitions=tuple(partitions),
        bandwidths_bytes_per_cycle=tuple(bandwidths_bytes_per_cycle),
        compute_cycles=(folds * per_fold * repeats).astype(np.float64),
        dram_bytes=(traffic.total_bytes * arrays + added) * repeats,
        stall_free_bytes_per_cycle=(traffic.peak_bytes_per_fold * arrays + added / folds) / per_fold,
    )
