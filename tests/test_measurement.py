"""Measurements: values or an error, never both, never a sentinel."""

from __future__ import annotations

import math
import pickle
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annette.errors import MeasurementError
from annette.graph.mapping import Kernel
from annette.measurement import ENERGY_COUNTER, DeviceInfo, KernelMeasurement, Measurement

DEVICE = DeviceInfo(name="bench", backend="simulator")
KERNEL = Kernel(layers=("a", "b"), primary="a", unit="array")
SECONDS = st.lists(st.floats(0, 1e3), min_size=1, max_size=9).map(tuple)


def measurement(**fields: Any) -> Measurement:
    return Measurement(network_id="0" * 32, device=DEVICE, **fields)


@given(values=SECONDS)
def test_the_latency_is_the_median_of_the_runs(values: tuple[float, ...]) -> None:
    assert measurement(values_s=values).latency_s == statistics.median(values)
    assert KernelMeasurement(kernel=KERNEL, values_s=values).latency_s == statistics.median(values)


@pytest.mark.parametrize("fields", [{}, {"values_s": (1.0,), "error": "too large"}])
def test_a_measurement_holds_values_or_an_error(fields: dict[str, Any]) -> None:
    with pytest.raises(MeasurementError, match="both or neither"):
        measurement(**fields)


@pytest.mark.parametrize("values", [(), (math.nan,), (1.0, math.inf), (-1e-9,), (0.5, -1.0)])
def test_values_that_are_no_seconds_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(MeasurementError, match="expected finite seconds"):
        measurement(values_s=values)
    with pytest.raises(MeasurementError, match=r"kernel 'a\+b'"):
        KernelMeasurement(kernel=KERNEL, values_s=values)


def test_a_failed_measurement_tells_why_instead_of_a_latency() -> None:
    failed = measurement(error="out of memory")
    with pytest.raises(MeasurementError, match="out of memory"):
        _ = failed.latency_s
    assert failed.mapping is None


def test_the_mapping_is_what_the_kernels_say() -> None:
    kernels = (KernelMeasurement(kernel=KERNEL, values_s=(1e-3,)),)
    found = measurement(values_s=(1e-3,), kernels=kernels, eliminated_layers=("c",)).mapping
    assert found is not None
    assert found.kernels == (KERNEL,)
    assert found.eliminated_layers == ("c",)
    assert measurement(values_s=(1e-3,)).mapping is None


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=9))
def test_the_energy_is_the_sum_over_the_kernels(joules: list[float]) -> None:
    kernels = tuple(
        KernelMeasurement(kernel=KERNEL, values_s=(1.0,), counters={ENERGY_COUNTER: value})
        for value in joules
    )
    assert [item.energy_j for item in kernels] == joules
    assert measurement(values_s=(1.0,), kernels=kernels).energy_j == pytest.approx(sum(joules))
    silent = KernelMeasurement(kernel=KERNEL, values_s=(1.0,), counters={"cycles": 5.0})
    assert silent.energy_j is None
    assert measurement(values_s=(1.0,), kernels=(*kernels, silent)).energy_j is None
    assert measurement(values_s=(1.0,), kernels=()).energy_j is None
    assert measurement(values_s=(1.0,), conditions={ENERGY_COUNTER: 1.0}).energy_j is None


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
def test_energies_that_are_no_joules_are_refused(value: float) -> None:
    with pytest.raises(MeasurementError, match=r"energy_j .* expected finite joules >= 0"):
        KernelMeasurement(kernel=KERNEL, values_s=(1.0,), counters={ENERGY_COUNTER: value})


def test_measurements_survive_pickling() -> None:
    kernels = (KernelMeasurement(kernel=KERNEL, values_s=(1e-3,), bound="memory", counters={"cycles": 12.0}),)
    original = measurement(values_s=(1e-3, 2e-3), kernels=kernels, seed=7)
    assert pickle.loads(pickle.dumps(original)) == original  # noqa: S301


def test_devices_of_different_environments_differ() -> None:
    other = DeviceInfo(name="bench", backend="simulator", environment=(("noise", "off"),))
    assert other != DEVICE
    assert hash(other) != hash(DEVICE)
