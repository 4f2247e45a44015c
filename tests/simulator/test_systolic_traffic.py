"""Bytes behind a systolic array: floors, bandwidth without stalls, widths of sums, shared windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annette.hardware.systolic_array import DATAFLOWS, SystolicArray
from annette.simulator.systolic import count_systolic
from annette.simulator.systolic_traffic import BufferSizes, SystolicTraffic, count_traffic

SIZES = st.integers(1, 300)
SIDES = st.integers(1, 40)
BYTES = st.floats(1.0, 1e6)


def _traffic(
    sizes: tuple[int, int, int], array: SystolicArray, buffer: float, **more: float
) -> SystolicTraffic:
    m, k, n = (np.array([size]) for size in sizes)
    buffers = BufferSizes(input_bytes=buffer, weight_bytes=buffer, output_bytes=buffer)
    return count_traffic(
        m, k, n, rows=array.rows, columns=array.columns, dataflow=array.dataflow, buffers=buffers,
        element_bytes=1.0, **more,
    )  # fmt: skip


@st.composite
def arrays(draw: st.DrawFn) -> SystolicArray:
    return SystolicArray(rows=draw(SIDES), columns=draw(SIDES), dataflow=draw(st.sampled_from(DATAFLOWS)))


@given(sizes=st.tuples(SIZES, SIZES, SIZES), array=arrays(), buffer=BYTES, sum_bytes=st.floats(0.5, 8.0))
def test_at_the_peak_of_every_fold_all_bytes_have_passed(
    sizes: tuple[int, int, int], array: SystolicArray, buffer: float, sum_bytes: float
) -> None:
    found = _traffic(sizes, array, buffer, sum_bytes=sum_bytes)
    folds = count_systolic([sizes[0]], [sizes[1]], [sizes[2]], array).folds
    assert found.peak_bytes_per_fold[0] * folds[0] >= found.total_bytes[0] * (1 - 1e-12)


@given(sizes=st.tuples(SIZES, SIZES, SIZES), array=arrays(), buffer=BYTES)
def test_only_partial_sums_depend_on_their_width(
    sizes: tuple[int, int, int], array: SystolicArray, buffer: float
) -> None:
    plain, same, wide = (
        _traffic(sizes, array, buffer, **more) for more in ({}, {"sum_bytes": 1.0}, {"sum_bytes": 4.0})
    )
    m, k, n = sizes
    assert plain.total_bytes[0] == same.total_bytes[0] <= wide.total_bytes[0]
    assert wide.output_bytes[0] >= m * n
    if array.dataflow == "OS" or k <= array.rows:
        assert wide.output_bytes[0] == m * n


def test_sums_that_do_not_fit_are_written_and_read_at_their_own_width() -> None:
    array = SystolicArray(rows=8, columns=8, dataflow="WS")
    found = _traffic((100, 64, 8), array, 1.0, sum_bytes=4.0)
    assert found.output_bytes[0] == 100 * 8 * (1 + 4 * 2 * 7)
    fits = _traffic((100, 64, 8), array, 2 * 100 * 8 * 4.0, sum_bytes=4.0)
    assert fits.output_bytes[0] == 100 * 8


@given(sizes=st.tuples(SIZES, SIZES, SIZES), array=arrays(), buffer=BYTES, share=st.floats(0.05, 1.0))
def test_windows_that_share_their_elements_never_move_more(
    sizes: tuple[int, int, int], array: SystolicArray, buffer: float, share: float
) -> None:
    part, whole = _traffic(sizes, array, buffer, input_share=share), _traffic(sizes, array, buffer)
    assert part.total_bytes[0] <= whole.total_bytes[0]
    assert part.input_bytes[0] >= sizes[0] * sizes[1] * share * (1 - 1e-12)
    free = _traffic(sizes, array, 1e9, input_share=share)
    assert free.input_bytes[0] == pytest.approx(sizes[0] * sizes[1] * share)
