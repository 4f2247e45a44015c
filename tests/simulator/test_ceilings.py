"""The extended roofline: sums and maxima by hand, raising a ceiling never harms, fusing never costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from annette.errors import HardwareError
from annette.simulator.ceilings import (
    Ceilings,
    find_root_causes,
    fuse_groups,
    speed_up,
    stack_ceilings,
    study_what_if,
)


@st.composite
def _ceilings(draw: st.DrawFn) -> Ceilings:
    shape = (draw(st.integers(0, 8)), draw(st.integers(1, 4)))
    values = st.floats(0, 1e9, allow_subnormal=False)
    cycles = draw(arrays.arrays(np.float64, shape, elements=values))
    return Ceilings(
        layers=tuple(f"layer {index}" for index in range(shape[0])),
        names=tuple("ABCD"[: shape[1]]),
        cycles=cycles,
    )


def test_each_layer_takes_as_long_as_its_highest_ceiling() -> None:
    found = stack_ceilings(["a", "b", "c"], {"MAC": [5, 1, 2], "DRAM": [3, 4, 2], "SRAM": 1.0})
    assert found.layer_cycles.tolist() == [5, 4, 2]
    assert found.long_poles == ("MAC", "DRAM", "MAC"), "the first among equals binds"
    assert found.total_cycles == 11


@given(_ceilings())
def test_the_shares_of_all_root_causes_make_the_whole(ceilings: Ceilings) -> None:
    causes = find_root_causes(ceilings)
    assert {cause.ceiling for cause in causes} == set(ceilings.names)
    assert sum(cause.layers for cause in causes) == len(ceilings.layers)
    assert sum(cause.cycles for cause in causes) == pytest.approx(ceilings.total_cycles)
    assert sum(cause.fraction for cause in causes) == pytest.approx(1.0 if ceilings.total_cycles else 0.0)
    assert [cause.cycles for cause in causes] == sorted((cause.cycles for cause in causes), reverse=True)


@given(_ceilings())
def test_removing_a_ceiling_gives_at_least_what_doubling_it_gives(ceilings: Ceilings) -> None:
    studied = study_what_if(ceilings)
    for item in studied:
        assert item.removed_speed_up >= item.doubled_speed_up >= 1
        assert item.doubled_speed_up <= 2
    doubled = [item.doubled_speed_up for item in studied]
    assert doubled == sorted(doubled, reverse=True)


@given(_ceilings(), st.floats(1, 100), st.floats(1, 100))
def test_a_higher_ceiling_is_never_slower(ceilings: Ceilings, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert speed_up(ceilings, ["A"], high) >= speed_up(ceilings, ["A"], low) >= 1


@given(_ceilings())
def test_all_ceilings_doubled_together_halve_the_time(ceilings: Ceilings) -> None:
    expected = 2.0 if ceilings.total_cycles else 1.0
    assert speed_up(ceilings, ceilings.names, 2.0) == pytest.approx(expected)


def test_what_if_agrees_with_the_cycles_counted_anew() -> None:
    columns = {"MAC": [5.0, 1, 2], "DRAM": [3.0, 4, 2]}
    found = {item.ceiling: item for item in study_what_if(stack_ceilings("abc", columns))}
    halved = stack_ceilings("abc", {**columns, "DRAM": [1.5, 2, 1]})
    alone = stack_ceilings("abc", {"MAC": columns["MAC"]})
    assert found["DRAM"].doubled_speed_up == 11 / halved.total_cycles
    assert found["DRAM"].removed_speed_up == 11 / alone.total_cycles


def test_without_its_only_ceiling_a_network_takes_no_time() -> None:
    assert study_what_if(stack_ceilings("a", {"MAC": [3]}))[0].removed_speed_up == math.inf
    assert study_what_if(stack_ceilings("a", {"MAC": [0]}))[0].removed_speed_up == 1


@given(_ceilings(), st.data())
def test_groups_are_never_slower_than_their_layers_one_after_another(
    ceilings: Ceilings, data: st.DataObject
) -> None:
    drawn = data.draw(
        st.lists(st.integers(0, 3), min_size=len(ceilings.layers), max_size=len(ceilings.layers))
    )
    groups = np.unique(drawn, return_inverse=True)[1].astype(int)
    fused = fuse_groups(ceilings, groups)
    assert fused.cycles.sum(axis=0) == pytest.approx(ceilings.cycles.sum(axis=0)), "the work stays"
    singly = np.bincount(groups, weights=ceilings.layer_cycles, minlength=len(fused.layers))
    slowest = ceilings.layer_cycles.max() if len(ceilings.layers) else 0
    assert (fused.layer_cycles <= singly * (1 + 1e-12)).all()
    assert fused.total_cycles >= slowest * (1 - 1e-12)


@given(_ceilings())
def test_a_batch_of_layers_equals_one_by_one(ceilings: Ceilings) -> None:
    for index, name in enumerate(ceilings.layers):
        alone = Ceilings(
            layers=(name,), names=ceilings.names, cycles=ceilings.cycles[index : index + 1].copy()
        )
        assert alone.layer_cycles[0] == ceilings.layer_cycles[index]
        assert alone.long_poles[0] == ceilings.long_poles[index]


def test_the_cycles_cannot_be_changed_afterwards() -> None:
    mine = np.ones((1, 1))
    found = Ceilings(layers=("a",), names=("MAC",), cycles=mine)
    mine[0, 0] = 7
    assert found.total_cycles == 1
    with pytest.raises(ValueError, match="read-only"):
        found.cycles[0, 0] = 7


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, r"names: found \(\), expected at least one"),
        ({"MAC": [1.0, -1.0]}, r"layer 'b': MAC: found -1\.0, expected a finite number of cycles >= 0"),
        ({"MAC": [1.0, math.nan]}, "layer 'b': MAC: found nan"),
        ({"MAC": [1.0, math.inf]}, "layer 'b': MAC: found inf"),
        ({"MAC": [1.0]}, r"MAC: found shape \(1,\), expected \(2,\)"),
    ],
)
def test_ceilings_that_cannot_be_are_refused(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(HardwareError, match=message):
        stack_ceilings("ab", columns)


def test_names_given_twice_and_tables_of_another_shape_are_refused() -> None:
    with pytest.raises(HardwareError, match="each once"):
        Ceilings(layers=("a",), names=("MAC", "MAC"), cycles=np.ones((1, 2)))
    with pytest.raises(HardwareError, match=r"found shape \(1, 1\), expected \(1, 2\)"):
        Ceilings(layers=("a",), names=("MAC", "DRAM"), cycles=np.ones((1, 1)))


@pytest.mark.parametrize("groups", [[0], [0, 2], [0.0, 1.0], [-1, 0]])
def test_groups_that_cannot_be_are_refused(groups: list[Any]) -> None:
    with pytest.raises(HardwareError, match="ceilings: group_index: found"):
        fuse_groups(stack_ceilings("ab", {"MAC": [1, 2]}), groups)


def test_what_cannot_be_raised_is_refused() -> None:
    found = stack_ceilings("ab", {"MAC": [1, 2]})
    with pytest.raises(HardwareError, match="found no 'mac' to raise, expected one of MAC"):
        speed_up(found, ["mac"], 2)
    with pytest.raises(HardwareError, match=r"factor: found 0\.5, expected a number >= 1"):
        speed_up(found, ["MAC"], 0.5)
