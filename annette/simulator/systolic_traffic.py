"""What a systolic array asks of the memory behind its buffers: bytes by operand, and when they are due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BufferSizes", "SystolicTraffic", "count_traffic", "default_sum_bytes"]

_Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]
_ACCUMULATOR_BYTES = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferSizes:
    """Bytes of the three buffers of one array; each holds two tiles, the one at work and the next."""

    input_bytes: float | NDArray[np.float64]
    weight_bytes: float | NDArray[np.float64]
    output_bytes: float | NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SystolicTraffic:
    """Bytes between one array's buffers and the DRAM; arrays of shape (n_products,)."""

    input_bytes: NDArray[np.float64]
    """Of the left matrix, read as often as it has to be."""
    weight_bytes: NDArray[np.float64]
    """Of the right matrix likewise."""
    output_bytes: NDArray[np.float64]
    """Of results written, and of partial sums that are written and read again."""
    peak_bytes_per_fold: NDArray[np.float64]
    """The most that has to pass while one fold is at work, so that the next need not wait."""

    @property
    def total_bytes(self) -> NDArray[np.float64]:
        """All of them."""
        return self.input_bytes + self.weight_bytes + self.output_bytes

    def at(self, index: int) -> SystolicTraffic:
        """Of one product alone; arrays of shape (1,)."""
        one = slice(index, index + 1)
        return SystolicTraffic(
            input_bytes=self.input_bytes[one],
            weight_bytes=self.weight_bytes[one],
            output_bytes=self.output_bytes[one],
            peak_bytes_per_fold=self.peak_bytes_per_fold[one],
        )


def default_sum_bytes(element_bytes: float) -> float:
    """Bytes of a partial sum where nobody says: 4, or as many as an element that is wider.

    Arrays for 8-bit integers and for floats of 16 and 32 bits alike add up in 32 bits, as almost all presets
    do.

    Examples
    --------
    >>> default_sum_bytes(1.0), default_sum_bytes(8.0)
    (4.0, 8.0)
    """
    return max(_ACCUMULATOR_BYTES, element_bytes)


def count_traffic(
    m: _Ints, k: _Ints, n: _Ints, *, rows: _Ints | int, columns: _Ints | int, dataflow: str,
    buffers: BufferSizes, element_bytes: float, weight_bytes: float | None = None,
    sum_bytes: float | None = None, input_share: float | _Floats = 1.0,
) -> SystolicTraffic:  # fmt: skip
    """The least traffic of the two orders in which the folds can be done, row by row or column by column.

    Along a row of folds one operand's strip stays: if it fits into its buffer, it is read once. The other
    operand passes by once a strip, unless all of it fits. Where operands are stationary, partial sums of a
    strip wait in the output buffer; those that do not fit are written and read again by each fold.

    Parameters
    ----------
    m, k, n : ndarray of shape (n_products,)
        Sizes of the products; or of any shapes that broadcast with those of ``rows`` and ``columns``.
    rows, columns : int or ndarray
        Of the array.
    dataflow : str
        ``OS``, ``WS`` or ``IS``.
    buffers : BufferSizes
        Half of each holds what is at work.
    element_bytes : float
        Of an input and of a result; > 0.
    weight_bytes : float, optional
        Of an element of the right matrix; > 0. Default: as ``element_bytes``.
    sum_bytes : float, optional
        Of a partial sum; > 0. Default: as ``element_bytes``.
    input_share : float or ndarray of shape (n_products,)
        Elements of the left matrix that memory and buffer hold, over all of them; in (0, 1]. Below 1 for
        convolutions, whose windows share elements of the feature map.

    Examples
    --------
    >>> sizes = (np.array([size]) for size in (100, 64, 8))
    >>> small = BufferSizes(input_bytes=2.0, weight_bytes=2.0, output_bytes=2.0)
    >>> found = count_traffic(
    ...     *sizes, rows=8, columns=8, dataflow="WS", buffers=small, element_bytes=1.0, sum_bytes=4.0
    ... )
    >>> found.weight_bytes.tolist(), found.output_bytes.tolist()  # 800 results, 7 times 800 sums out and in
    ([512.0], [45600.0])
    """
    widths = _Widths(
        left=element_bytes * np.asarray(input_share, dtype=np.float64),
        right=element_bytes if weight_bytes is None else weight_bytes,
        result=element_bytes,
        partial=element_bytes if sum_bytes is None else sum_bytes,
    )
    halves = (buffers.input_bytes / 2, buffers.weight_bytes / 2, buffers.output_bytes / 2)
    if dataflow == "OS":
        return _output_stationary(m, k, n, rows, columns, widths, halves)
    if dataflow == "WS":
        streamed, sums, fold = _stationary(
            m, k, n, rows, columns, widths, (widths.left, widths.right), (halves[0], halves[2])
        )
        weights = np.asarray(widths.right * (k * n), dtype=np.float64)
        return SystolicTraffic(
            input_bytes=streamed, weight_bytes=weights, output_bytes=sums, peak_bytes_per_fold=fold
        )
    streamed, sums, fold = _stationary(
        n, k, m, rows, columns, widths, (widths.right, widths.left), (halves[1], halves[2])
    )
    inputs = np.asarray(widths.left * (m * k), dtype=np.float64)
    return SystolicTraffic(
        input_bytes=inputs, weight_bytes=streamed, output_bytes=sums, peak_bytes_per_fold=fold
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Widths:
    """Bytes of an element of each matrix."""

    left: _Floats
    right: float
    result: float
    partial: float


def _output_stationary(
    m: _Ints, k: _Ints, n: _Ints, rows: _Ints | int, columns: _Ints | int, widths: _Widths,
    halves: Sequence[float | _Floats],
) -> SystolicTraffic:  # fmt: skip
    """Results stay until they are complete: each is written once, operands pass by."""
    inputs, weights = widths.left * (m * k), widths.right * (k * n)
    down, across = -(-m // rows), -(-n // columns)
    row_strip = widths.left * (np.minimum(rows, m) * k)
    column_strip = widths.right * (np.minimum(columns, n) * k)
    strip_stays, all_weights_stay = row_strip <= halves[0], weights <= halves[1]
    by_row = (
        np.where(strip_stays, inputs, inputs * across),
        np.where(all_weights_stay, weights, weights * down),
    )
    column_stays, all_inputs_stay = column_strip <= halves[1], inputs <= halves[0]
    by_column = (
        np.where(all_inputs_stay, inputs, inputs * across),
        np.where(column_stays, weights, weights * down),
    )
    is_row = by_row[0] + by_row[1] <= by_column[0] + by_column[1]
    tile = widths.result * (np.minimum(rows, m) * np.minimum(columns, n))
    return SystolicTraffic(
        input_bytes=np.where(is_row, by_row[0], by_column[0]),
        weight_bytes=np.where(is_row, by_row[1], by_column[1]),
        output_bytes=np.asarray(widths.result * (m * n), dtype=np.float64),
        peak_bytes_per_fold=row_strip + column_strip + tile,
    )


def _stationary(
    through: _Ints, k: _Ints, across_size: _Ints, rows: _Ints | int, columns: _Ints | int,
    widths: _Widths, operands: tuple[float | _Floats, float | _Floats], halves: Sequence[float | _Floats],
) -> tuple[_Floats, _Floats, _Floats]:  # fmt: skip
    """Bytes of the operand that streams, of results and partial sums, and the most in one fold.

    The stationary operand (K down, ``across_size`` across) is read once whatever the order. ``operands`` are
    the widths of the one that streams and of the one that stays, ``halves`` those of the buffers of the one
    that streams and of the results.
    """
    down, across = -(-k // rows), -(-across_size // columns)
    streamed, results = operands[0] * (through * k), widths.result * (through * across_size)
    strip = operands[0] * (through * np.minimum(rows, k))  # what one row of folds streams
    strip_results = through * np.minimum(columns, across_size)
    spilled = results + 2.0 * (down - 1) * widths.partial * (through * across_size)
    waits_in_strips = widths.partial * strip_results <= halves[1]
    all_wait = widths.partial * (through * across_size) <= halves[1]
    by_column = (  # all of K for one strip of results, then the next
        np.where(streamed <= halves[0], streamed, streamed * across),
        np.where(waits_in_strips, results, spilled),
    )
    by_row = (
        np.where(strip <= halves[0], streamed, streamed * across),
        np.where(all_wait, results, spilled),
    )
    is_row = by_row[0] + by_row[1] < by_column[0] + by_column[1]
    tile = operands[1] * (np.minimum(rows, k) * np.minimum(columns, across_size))
    stays = np.where(is_row, all_wait, waits_in_strips)
    moved_results = np.where(
        stays | (down == 1),
        widths.result * strip_results / down,
        (widths.partial + max(widths.partial, widths.result)) * strip_results,
    )
    return (
        np.where(is_row, by_row[0], by_column[0]),
        np.where(is_row, by_row[1], by_column[1]),
        tile + strip + moved_results,
    )
