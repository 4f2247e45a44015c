"""One large systolic array or many small ones: every partition of a budget, and the memory behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import UsageError
from annette.explore.partitions import Partition, Partitions
from annette.hardware.systolic_array import DATAFLOWS
from annette.simulator.products import MatrixProducts
from annette.simulator.systolic import AXES, cycles_per_fold, product_sizes
from annette.simulator.systolic_traffic import BufferSizes, count_traffic, default_sum_bytes

__all__ = ["ScaleStudy", "study_scale"]

_MOST_CELLS = 1 << 25
_CHUNK_CELLS = 1 << 19
_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScaleStudy:
    """Cycles and traffic of a network's layers on every candidate: a partition of a budget with a dataflow.

    Layers of the same sizes are one kind. Candidates are the partitions with the first dataflow, then those
    with the second, and so on.
    """

    dataflows: tuple[str, ...]
    layers: tuple[str, ...]
    kind_of_layer: _Ints
    """Shape (n_layers,): the kind of each, as a row of what follows."""
    partitions: Partitions
    bandwidths_bytes_per_cycle: tuple[float, ...]
    """DRAM bandwidths; ``math.inf``: free, as in the paper."""
    compute_cycles: _Floats
    """Shape (n_kinds, n_candidates)."""
    dram_bytes: _Floats
    """Shape (n_kinds, n_candidates): of all arrays together."""
    stall_free_bytes_per_cycle: _Floats
    """Shape (n_kinds, n_candidates): bandwidth at which no fold waits for its operands."""

    def candidate(self, position: int) -> tuple[Partition, str]:
        """Partition and dataflow of a candidate."""
        dataflow, partition = divmod(position, len(self.partitions))
        return self.partitions[partition], self.dataflows[dataflow]

    def cycles(self, bandwidth_bytes_per_cycle: float) -> _Floats:
        """Cycles of each kind of layer on each candidate, shape (n_kinds, n_candidates): computing or moving,
        whichever takes longer."""
        if math.isinf(bandwidth_bytes_per_cycle):
            return self.compute_cycles
        return np.maximum(self.compute_cycles, self.dram_bytes / bandwidth_bytes_per_cycle)

    def total_cycles(self, bandwidth_bytes_per_cycle: float) -> _Floats:
        """Cycles of the network on each candidate, shape (n_candidates,)."""
        return self._sum(self.cycles(bandwidth_bytes_per_cycle))

    def best_per_layer(self, bandwidth_bytes_per_cycle: float) -> _Ints:
        """The fastest candidate of each layer, as positions, shape (n_layers,); least bytes among equals."""
        return _best(self.cycles(bandwidth_bytes_per_cycle), self.dram_bytes)[self.kind_of_layer]

    def best(self, bandwidth_bytes_per_cycle: float) -> int:
        """The candidate on which the whole network is fastest, as a position."""
        cycles = self.total_cycles(bandwidth_bytes_per_cycle)
        return int(_best(cycles[None, :], self._sum(self.dram_bytes)[None, :])[0])

    def fastest_by_arrays(self, bandwidth_bytes_per_cycle: float) -> dict[int, tuple[int, float]]:
        """For each number of arrays the fastest candidate, as a position, and the network's cycles on it."""
        total = self.total_cycles(bandwidth_bytes_per_cycle)
        arrays = np.tile(self.partitions.arrays, len(self.dataflows))
        order = np.lexsort((total, arrays))
        numbers, firsts = np.unique(arrays[order], return_index=True)
        return {
            int(number): (int(order[first]), float(total[order[first]]))
            for number, first in zip(numbers, firsts, strict=True)
        }

    def to_dict(self) -> dict[str, Any]:
        """The sweet spot over the bandwidths, and the best candidate of each layer, as JSON types."""
        return {
            "dataflow": self.dataflows[0] if len(self.dataflows) == 1 else "all",
            "partitions": len(self.partitions),
            "bandwidths": [self._at(bandwidth) for bandwidth in self.bandwidths_bytes_per_cycle],
        }

    def _sum(self, values: _Floats) -> _Floats:
        """Over the layers of the network."""
        total: _Floats = np.bincount(self.kind_of_layer, minlength=len(values)) @ values
        return total

    def _at(self, bandwidth: float) -> dict[str, Any]:
        best = self.best(bandwidth)
        by_arrays = self.fastest_by_arrays(bandwidth)
        single = by_arrays.get(1)
        kinds = self.kind_of_layer
        compute, moved = self.compute_cycles[:, best][kinds], self.dram_bytes[:, best][kinds]
        cycles = compute if math.isinf(bandwidth) else np.maximum(compute, moved / bandwidth)
        layers = self._layers_at(bandwidth, cycles)
        return {
            "bandwidth_bytes_per_cycle": None if math.isinf(bandwidth) else bandwidth,
            "best": self._document(best),
            "cycles": float(cycles.sum()),
            "dram_bytes": float(moved.sum()),
            "memory_bound_fraction": float(cycles[compute < cycles].sum() / cycles.sum()),
            "best_single_array": None if single is None else self._document(single[0]),
            "single_array_cycles": None if single is None else single[1],
            "cycles_with_the_best_of_each_layer": sum(item["cycles"] for item in layers),
            "fastest_by_arrays": [
                {"arrays": arrays, **self._document(position), "cycles": total}
                for arrays, (position, total) in by_arrays.items()
            ],
            "layers": layers,
        }

    def _layers_at(self, bandwidth: float, on_the_networks_best: _Floats) -> list[dict[str, Any]]:
        cycles = self.cycles(bandwidth)
        return [
            {
                "layer": self.layers[row],
                "best": self._document(position),
                "cycles": float(cycles[kind, position]),
                "dram_bytes": float(self.dram_bytes[kind, position]),
                "stall_free_bytes_per_cycle": float(self.stall_free_bytes_per_cycle[kind, position]),
                "cycles_on_the_networks_best": float(on_the_networks_best[row]),
            }
            for row, (kind, position) in enumerate(
                zip(self.kind_of_layer.tolist(), self.best_per_layer(bandwidth).tolist(), strict=True)
            )
        ]

    def _document(self, position: int) -> dict[str, Any]:
        partition, dataflow = self.candidate(position)
        document = {"name": partition.name, "dataflow": dataflow, **asdict(partition)}
        return {**document, "macs_per_cycle": partition.macs_per_cycle}


def _best(cycles: _Floats, dram_bytes: _Floats) -> _Ints:
    least = cycles.min(axis=1, keepdims=True)
    found: _Ints = np.where(cycles <= least, dram_bytes, np.inf).argmin(axis=1)
    return found


def study_scale(
    products: MatrixProducts,
    partitions: Partitions,
    *,
    dataflows: Sequence[str],
    buffer_bytes: float,
    bandwidths_bytes_per_cycle: Sequence[float],
    element_bytes: float = 1.0,
    sum_bytes: float | None = None,
    like_paper: bool = False,
) -> ScaleStudy:
    """Cycles and DRAM traffic of every layer on every partition, with each of the dataflows.

    An array gets ``ceil(Sr / P_R)`` of the dimension along rows and ``ceil(Sc / P_C)`` of that along columns.
    What several arrays need, each fetches for itself and keeps in its own share of the buffers: of an operand
    that streams, all arrays side by side need the same part. Where K is cut (weights or inputs stationary),
    arrays make partial sums of the same results: all arrays along K but one write theirs, each is read once
    and added, and the last writes the results. All arrays move as much as the one with the largest share: an
    upper bound where the shares are unequal.

    Parameters
    ----------
    products : MatrixProducts
        The network.
    partitions : Partitions
        As `annette.explore.partitions.list_partitions` gives them.
    dataflows : sequence of {"OS", "WS", "IS"}
        Of all arrays; each is tried.
    buffer_bytes : float
        Of all buffers of all arrays together; a third for each operand.
    bandwidths_bytes_per_cycle : sequence of float
        Of the DRAM, shared by all arrays; > 0.
    element_bytes : float
        Of every operand and of a result; > 0.
    sum_bytes : float, optional
        Of a partial sum that waits in a buffer, is written and read again, or goes to another array; > 0.
        Default: that of `annette.simulator.systolic_traffic.default_sum_bytes`, 4 for elements up to 4.
    like_paper : bool
        Cycles as in the paper's analytical model, ``2 R + C + T - 2`` a fold for every dataflow.

    Raises
    ------
    UsageError
        For an unknown dataflow, nothing to study, or more than 2**25 pairs of a kind of layer and a
        candidate.

    References
    ----------
    Samajdar et al., ISPASS 2020, section III: scale-up and scale-out. Its model leaves the bandwidth out;
    here a layer takes as long as its cycles or its bytes ask for, whichever is longer.
    """
    _check_study(products, partitions, dataflows)
    product_sizes(products.m, products.k, products.n)
    columns = (products.m, products.k, products.n, products.repeats, products.input_elements)
    kinds, kind_of_layer = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    candidates = len(partitions) * len(dataflows)
    if len(kinds) * candidates > _MOST_CELLS:
        raise UsageError(
            f"scale: {len(kinds)} kinds of layers on {candidates} candidates, expected at most {_MOST_CELLS} "
            "pairs: a smaller budget, a larger least side, powers of two as sides, or one dataflow"
        )
    cells = np.empty((3, len(kinds), candidates))
    widths = (element_bytes, default_sum_bytes(element_bytes) if sum_bytes is None else sum_bytes)
    step = max(_CHUNK_CELLS // len(kinds), 1)
    for number, dataflow in enumerate(dataflows):
        for start in range(0, len(partitions), step):
            chunk = partitions[start : start + step]
            left = number * len(partitions) + start
            cells[:, :, left : left + len(chunk)] = _count(
                kinds, chunk, dataflow, buffer_bytes, widths, like_paper
            )
    return ScaleStudy(
        dataflows=tuple(dataflows),
        layers=products.names,
        kind_of_layer=kind_of_layer.reshape(-1),
        partitions=partitions,
        bandwidths_bytes_per_cycle=tuple(bandwidths_bytes_per_cycle),
        compute_cycles=cells[0],
        dram_bytes=cells[1],
        stall_free_bytes_per_cycle=cells[2],
    )


def _check_study(products: MatrixProducts, partitions: Partitions, dataflows: Sequence[str]) -> None:
    for dataflow in dataflows:
        if dataflow not in DATAFLOWS:
            raise UsageError(f"dataflow {dataflow!r}, expected one of {', '.join(DATAFLOWS)}")
    if not len(partitions) or not dataflows:
        raise UsageError("scale: no partitions, expected those of a budget of MACs and a dataflow")
    if not len(products.m):
        raise UsageError("scale: nothing to study; expected a network with convolutions or matrix products")


def _count(
    kinds: _Ints, partitions: Partitions, dataflow: str, buffer_bytes: float, widths: tuple[float, float],
    like_paper: bool,
) -> tuple[_Floats, _Floats, _Floats]:  # fmt: skip
    """Cycles, bytes and bandwidth without stalls, of kinds of layers (down) on partitions (across).

    ``widths`` are bytes of an element and of a partial sum.
    """
    element_bytes, sum_bytes = widths
    m, k, n, repeats, input_elements = (column[:, None] for column in kinds.T)
    rows, columns = partitions.rows[None, :], partitions.columns[None, :]
    sizes = {"m": m, "k": k, "n": n}
    along, across, through = AXES[dataflow]
    used = []  # arrays that have work, along rows and along columns
    for name, parts in ((along, partitions.partition_rows), (across, partitions.partition_columns)):
        share = -(-sizes[name] // parts)
        used.append(-(-sizes[name] // share))
        sizes[name] = share
    per_fold = cycles_per_fold(dataflow, rows, columns, sizes[through])
    if like_paper and dataflow == "OS":
        per_fold = per_fold + rows
    folds = -(-sizes[along] // rows) * -(-sizes[across] // columns)
    each = buffer_bytes / 3 / partitions.arrays
    traffic = count_traffic(
        *np.broadcast_arrays(sizes["m"], sizes["k"], sizes["n"]), rows=rows, columns=columns,
        dataflow=dataflow, element_bytes=element_bytes, sum_bytes=sum_bytes,
        input_share=input_elements / (m * k),
        buffers=BufferSizes(input_bytes=each, weight_bytes=each, output_bytes=each),
    )  # fmt: skip
    arrays, added = used[0] * used[1], np.zeros(())
    if dataflow != "OS":  # sums of all arrays along K but one: read, and written wider than counted so far
        results = sizes[through] * sizes[across] * used[1]
        added = (2.0 * sum_bytes - element_bytes) * results * (used[0] - 1)
    return (
        (folds * per_fold * repeats).astype(np.float64),
        (traffic.total_bytes * arrays + added) * repeats,
        (traffic.peak_bytes_per_fold * arrays + added / folds) / per_fold,
    )
