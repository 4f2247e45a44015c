"""Visits become one measurement: noise of one visit does not matter, drift cancels, order never counts."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import MeasurementError
from annette.graph.mapping import Kernel
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.store.visits import check_stability, combine_visits, most_visits

DEVICE = DeviceInfo(name="cpu", backend="test", visits=4, is_exclusive=True)
REFERENCE_S = 1e-3
CONV = Kernel(layers=("conv", "relu"), primary="conv", unit="blocked")
POOL = Kernel(layers=("pool",), primary="pool", unit="plain")
MOVE = Kernel(tensor="x", unit="to_plain")
APART = Kernel(layers=("conv",), primary="conv", unit="plain")
RELU = Kernel(layers=("relu",), primary="relu", unit="plain")

seconds = st.floats(min_value=1e-6, max_value=10.0)
factors = st.floats(min_value=0.3, max_value=3.0)


def visit(
    total_s: float,
    *,
    reference_s: float | None = REFERENCE_S,
    shares: tuple[float, ...] = (0.6, 0.1, 0.3),
    kernels: tuple[Kernel, ...] = (CONV, MOVE, POOL),
) -> Measurement:
    """One visit whose kernels take the given shares of its total."""
    return Measurement(
        network_id="0" * 32,
        device=DEVICE,
        values_s=(total_s * 1.02, total_s, total_s * 1.01),
        kernels=tuple(
            KernelMeasurement(kernel=kernel, values_s=(total_s * share,))
            for kernel, share in zip(kernels, shares, strict=True)
        ),
        conditions={} if reference_s is None else {"reference_s": reference_s, "load_fraction": 0.5},
        seed=7,
    )


def drifted(measurement: Measurement, factor: float) -> Measurement:
    """The same visit on a machine that is slower by ``factor``."""
    assert measurement.values_s is not None
    return dataclasses.replace(
        measurement,
        values_s=tuple(value * factor for value in measurement.values_s),
        kernels=tuple(
            dataclasses.replace(item, values_s=tuple(value * factor for value in item.values_s))
            for item in measurement.kernels or ()
        ),
        conditions={**measurement.conditions, "reference_s": measurement.conditions["reference_s"] * factor},
    )


def kernel_times(measurement: Measurement) -> list[float]:
    return [item.latency_s for item in measurement.kernels or ()]


@given(total_s=seconds, reference_s=st.one_of(st.none(), seconds))
def test_one_visit_stays_as_it_is(total_s: float, reference_s: float | None) -> None:
    only = visit(total_s)
    assert combine_visits([only], reference_s=reference_s) is only


@given(totals=st.lists(seconds, min_size=2, max_size=6), slow=st.floats(min_value=1.01, max_value=100))
def test_one_slow_visit_moves_nothing_but_the_spread(totals: list[float], slow: float) -> None:
    visits = [visit(total_s) for total_s in totals]
    disturbed = [*visits, visit(max(totals) * slow)]
    before, after = (combine_visits(items, reference_s=REFERENCE_S) for items in (visits, disturbed))
    assert after.values_s == pytest.approx((min(totals),))
    assert kernel_times(after) == pytest.approx(kernel_times(before))
    assert after.mapping == before.mapping


@given(
    totals=st.lists(seconds, min_size=2, max_size=6),
    drifts=st.lists(factors, min_size=6, max_size=6),
)
def test_a_drift_that_the_reference_saw_cancels(totals: list[float], drifts: list[float]) -> None:
    total_s = min(totals)
    visits = [drifted(visit(total_s), drift) for drift in drifts]
    combined = combine_visits(visits, reference_s=REFERENCE_S)
    assert combined.latency_s == pytest.approx(total_s)
    assert kernel_times(combined) == pytest.approx([0.6 * total_s, 0.1 * total_s, 0.3 * total_s])
    assert combined.spread_fraction == pytest.approx(0.0, abs=1e-9)
    assert combined.conditions["reference_s"] == REFERENCE_S


@pytest.mark.parametrize("wrong", [0.1, 0.5, 0.8, 1.2, 3.0, 10.0])
def test_one_wrong_timing_of_the_reference_moves_nothing(wrong: float) -> None:
    visits = [visit(total_s) for total_s in (1.0, 1.01, 1.02)]
    visits.append(visit(1.0, reference_s=REFERENCE_S * wrong))
    combined = combine_visits(visits, reference_s=REFERENCE_S)
    assert combined.latency_s == pytest.approx(1.0)


def test_a_machine_that_changed_for_good_is_followed() -> None:
    visits = [drifted(visit(1.0), factor) for factor in (1.0, 1.5, 1.5, 1.5)]
    assert combine_visits(visits, reference_s=1.5 * REFERENCE_S).latency_s == pytest.approx(1.5)
    assert combine_visits(visits, reference_s=REFERENCE_S).latency_s == pytest.approx(1.0)


@given(
    data=st.lists(st.tuples(seconds, factors, st.booleans()), min_size=2, max_size=6),
    seed=st.integers(0, 99),
    reference_s=st.one_of(st.none(), seconds),
)
@settings(max_examples=60)
def test_the_order_of_visits_does_not_matter(
    data: list[tuple[float, float, bool]], seed: int, reference_s: float | None
) -> None:
    visits = [
        drifted(visit(total_s, kernels=(CONV, MOVE, POOL) if merged else (APART, RELU, POOL)), drift)
        for total_s, drift, merged in data
    ]
    shuffled = random.Random(seed).sample(visits, len(visits))
    assert combine_visits(visits, reference_s=reference_s) == combine_visits(
        shuffled, reference_s=reference_s
    )


@given(
    totals=st.lists(seconds, min_size=2, max_size=5),
    shares=st.lists(st.tuples(*[st.floats(0.01, 1.0)] * 3), min_size=5, max_size=5),
)
def test_kernels_add_up_to_the_share_of_the_total_that_they_had(
    totals: list[float], shares: list[tuple[float, float, float]]
) -> None:
    scaled = [tuple(0.95 * part / sum(parts) for part in parts) for parts in shares]
    visits = [visit(total_s, shares=parts) for total_s, parts in zip(totals, scaled, strict=False)]
    combined = combine_visits(visits, reference_s=None)
    assert sum(kernel_times(combined)) == pytest.approx(0.95 * min(totals))


def test_the_most_frequent_mapping_holds() -> None:
    odd = visit(0.5, kernels=(APART, RELU, POOL))
    combined = combine_visits([odd, visit(1.0), visit(1.1)], reference_s=None)
    assert combined.mapping == visit(1.0).mapping
    assert combined.latency_s == 0.5
    assert sum(kernel_times(combined)) == pytest.approx(0.5)


def test_a_failed_visit_is_the_answer() -> None:
    failed = Measurement(network_id="0" * 32, device=DEVICE, error="no room")
    assert combine_visits([visit(1.0), failed], reference_s=None) is failed


def test_conditions_are_summed_up_and_seeds_kept_if_common() -> None:
    visits = [visit(1.0), visit(1.1)]
    visits = [
        dataclasses.replace(item, conditions={**item.conditions, "started_s": start})
        for item, start in zip(visits, (20.0, 10.0), strict=True)
    ]
    combined = combine_visits(visits, reference_s=REFERENCE_S)
    assert combined.conditions == {"load_fraction": 0.5, "reference_s": REFERENCE_S, "started_s": 10.0}
    assert combined.seed == 7
    other = dataclasses.replace(visits[1], seed=8)
    assert combine_visits([visits[0], other], reference_s=None).seed is None


def test_visits_of_two_networks_or_devices_are_refused() -> None:
    other = dataclasses.replace(visit(1.0), network_id="1" * 32)
    with pytest.raises(MeasurementError, match="several networks"):
        combine_visits([visit(1.0), other], reference_s=None)
    with pytest.raises(MeasurementError, match="no visits"):
        combine_visits([], reference_s=None)


def test_devices_without_kernels_and_times_of_zero_combine_too() -> None:
    bare = [Measurement(network_id="0" * 32, device=DEVICE, values_s=(value,)) for value in (2.0, 1.0)]
    assert combine_visits(bare, reference_s=None).kernels is None
    nothing = [visit(0.0), dataclasses.replace(visit(0.0), seed=8)]
    combined = combine_visits(nothing, reference_s=REFERENCE_S)
    assert (combined.latency_s, combined.spread_fraction) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("totals", "verdict"),
    [
        ((1.0, 1.01, 1.02, 1.03), "steady"),
        ((1.0, 1.06, 1.07, 1.5), "unsteady"),
        ((1.0, 1.2, 1.3, 1.4), "unstable"),
    ],
)
def test_stability_is_told_in_a_word_and_with_what_to_do(totals: tuple[float, ...], verdict: str) -> None:
    combined = combine_visits([visit(total_s) for total_s in totals], reference_s=REFERENCE_S)
    found = check_stability(combined)
    assert found.verdict == verdict
    assert found.visits_known
    assert "\n" not in found.text
    assert ("programs" in found.text) is (verdict != "steady")


def test_a_clean_visit_among_disturbed_ones_is_kept_whatever_its_reference_says() -> None:
    for factor in (0.9, 1.0, 1.1):
        clean = drifted(visit(1.0), factor)
        combined = combine_visits([clean, visit(1.5), visit(1.5)], reference_s=REFERENCE_S)
        assert combined.latency_s == pytest.approx(1.0, rel=0.11)
        assert check_stability(combined).verdict == "unstable"


def test_the_stability_of_one_visit_is_that_of_its_runs() -> None:
    found = check_stability(visit(1.0))
    assert (found.verdict, found.visits_known) == ("steady", False)
    with pytest.raises(MeasurementError, match="failed: no room"):
        check_stability(Measurement(network_id="0" * 32, device=DEVICE, error="no room"))


def test_combined_visits_keep_their_spread_when_combined_again() -> None:
    combined = combine_visits([visit(1.0), visit(1.3)], reference_s=REFERENCE_S)
    again = combine_visits([combined, combined, combined], reference_s=REFERENCE_S)
    assert again == combined
    assert combine_visits([combined, visit(1.0)], reference_s=REFERENCE_S).spread_fraction == pytest.approx(
        0.15
    )


def test_unstable_networks_get_up_to_twice_as_many_visits_more() -> None:
    assert most_visits(DEVICE) == 12
    assert most_visits(DeviceInfo(name="npu", backend="test")) == 1
