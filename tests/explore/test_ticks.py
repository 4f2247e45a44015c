"""Ticks of a logarithmic axis: labels within a decade are told apart, however narrow the range."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annette.explore.ticks import label_ticks, tick_digits


@given(st.floats(1e-12, 1e12), st.floats(1e-6, 8.0))
def test_a_hundredth_of_the_range_is_told_apart(least: float, share: float) -> None:
    most = least * (1 + share)
    digits = tick_digits(least, most)
    ticks = [least + (most - least) * step / 50 for step in range(51)]
    assert len({f"{tick:.{digits}g}" for tick in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("least", "most"), [(0.00776, 0.00777), (0.007760, 0.0077602), (1e9, 1.004e9), (2, 9)]
)
def test_no_two_ticks_of_an_axis_have_the_same_label(least: float, most: float) -> None:
    figure_module = pytest.importorskip("matplotlib.figure")
    figure = figure_module.Figure()
    axes = figure.add_subplot()
    axes.plot([1, 2], [least, most])
    axes.set_yscale("log")
    label_ticks(axes.yaxis, least, most)
    figure.draw_without_rendering()
    ticks = [*axes.yaxis.get_major_ticks(), *axes.yaxis.get_minor_ticks()]
    labels = {tick.get_loc(): tick.label1.get_text() for tick in ticks if tick.label1.get_text()}
    assert len(labels) > 2
    assert len(set(labels.values())) == len(labels)
