"""Systolic arrays in closed form: cycles, efficiencies and accesses of products, as SCALE-Sim counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.errors import HardwareError
from annette.hardware.systolic_array import MOST_PRODUCT_MACS, SystolicArray

__all__ = [
    "AXES",
    "SystolicCounts",
    "count_systolic",
    "cycles_per_fold",
    "product_sizes",
]

AXES = {"OS": ("m", "n", "k"), "WS": ("k", "n", "m"), "IS": ("k", "m", "n")}
"""By dataflow: the size of M x K by K x N that lies along the rows of the array, that along its columns, and
that which streams through it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SystolicCounts:
    """What matrix products of M x K by K x N do on a systolic array; arrays of shape (n_products,)."""

    macs: NDArray[np.int64]
    """Multiply-accumulates."""
    folds: NDArray[np.int64]
    """How often the array is filled anew."""
    cycles: NDArray[np.int64]
    """Cycles from the first operand that enters to the last that leaves."""
    mapping_efficiency: NDArray[np.float64]
    """Share of the cells that a fold uses, mean over the folds; in (0, 1]."""
    compute_efficiency: NDArray[np.float64]
    """Share of the cells' cycles that do work within a fold, as SCALE-Sim defines it; in (0, 1]."""
    input_reads: NDArray[np.int64]
    """Elements of the left operand that the array reads from its buffer."""
    weight_reads: NDArray[np.int64]
    """Elements of the right operand likewise."""
    output_writes: NDArray[np.int64]
    """Elements of results and partial sums written."""

    @property
    def total_cycles(self) -> NDArray[np.int64]:
        """The index of the last cycle, which SCALE-Sim reports as Total Cycles."""
        return self.cycles - 1

    def overall_efficiency(self, array: SystolicArray) -> NDArray[np.float64]:
        """Multiply-accumulates over what the array could have done in `total_cycles`; at most 1 but for
        products of a few cycles."""
        return self.macs / (np.maximum(self.total_cycles, 1) * float(array.macs_per_cycle))


def count_systolic(m: ArrayLike, k: ArrayLike, n: ArrayLike, array: SystolicArray) -> SystolicCounts:
    """Cycles, efficiencies and accesses of products M x K by K x N, all at once.

    The array is filled ``ceil(Sr / R) * ceil(Sc / C)`` times; each fold streams T operands through it. Output
    stationary: (Sr, Sc, T) = (M, N, K) and ``R + C + T - 2`` cycles a fold; weight stationary (K, N, M) and
    input stationary (K, M, N), both ``2 R + C + T - 2``, since the stationary operand comes first.

    Parameters
    ----------
    m, k, n : array_like of shape (n_products,)
        Whole numbers >= 1.
    array : SystolicArray
        Rows, columns, dataflow.

    Raises
    ------
    HardwareError
        For sizes below 1, or a product of more than 2**44 multiply-accumulates.

    References
    ----------
    Samajdar et al., A systematic methodology for characterizing scalability of DNN accelerators using
    SCALE-Sim, ISPASS 2020. The counts are those of its version 3.0.0 without memory stalls, which leaves R of
    the paper's 2 R away where outputs are stationary.

    Examples
    --------
    >>> from annette.hardware.systolic_array import SystolicArray
    >>> counts = count_systolic([64], [64], [64], SystolicArray(rows=8, columns=8, dataflow="WS"))
    >>> counts.total_cycles.tolist(), counts.mapping_efficiency.tolist()
    ([5503], [1.0])
    """
    m, k, n = product_sizes(m, k, n)
    rows, columns = array.rows, array.columns
    sizes = {"m": m, "k": k, "n": n}
    down, across, through = (sizes[name] for name in AXES[array.dataflow])
    folds = -(-down // rows) * -(-across // columns)
    busy = rows + columns - 2 if array.dataflow == "OS" else 2 * rows + 2 * columns - 3
    mapping = down * across / (folds * float(rows * columns))
    over_m, over_n = -(-m // columns), -(-n // columns)
    if array.dataflow == "OS":
        reads, weights = m * k * over_n, k * n * -(-m // rows)
        writes = m * n + folds * (rows + columns)
    else:
        over_k = -(-k // rows)
        reads, weights = (m * k * over_n, k * n) if array.dataflow == "WS" else (m * k, k * n * over_m)
        writes = m * n * over_k
    return SystolicCounts(
        macs=m * k * n,
        folds=folds,
        cycles=folds * cycles_per_fold(array.dataflow, rows, columns, through),
        mapping_efficiency=mapping,
        compute_efficiency=mapping * through / (through + busy),
        input_reads=reads,
        weight_reads=weights,
        output_writes=writes,
    )


def cycles_per_fold(
    dataflow: str, rows: NDArray[np.int64] | int, columns: NDArray[np.int64] | int, through: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Cycles of one fold through which so many operands stream, as `count_systolic` has them."""
    filling = 0 if dataflow == "OS" else rows
    cycles: NDArray[np.int64] = filling + rows + columns + through - 2
    return cycles


def product_sizes(
    m: ArrayLike, k: ArrayLike, n: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The sizes as whole numbers of one shape.

    Raises
    ------
    HardwareError
        For sizes below 1, or a product of more than 2**44 multiply-accumulates.
    """
    found = []
    for name, values in (("M", m), ("K", k), ("N", n)):
        sizes = np.asarray(values)
        if sizes.size and (not np.issubdtype(sizes.dtype, np.integer) or int(sizes.min()) < 1):
            raise HardwareError(f"systolic array: {name}: found {sizes.min()}, expected whole numbers >= 1")
        found.append(sizes)
    m, k, n = np.broadcast_arrays(*found)
    if m.size and float((m.astype(np.float64) * k * n).max()) > MOST_PRODUCT_MACS:
        raise HardwareError(
            "systolic array: found a product of more than 2**44 multiply-accumulates, expected a smaller one"
        )
    return m.astype(np.int64), k.astype(np.int64), n.astype(np.int64)
