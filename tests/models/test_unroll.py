"""Unroll factors come back from sweeps: of formulas, and of simulated arrays that are not presets."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.backends.simulator import SimulatorBackend
from annette.benchmark.sweeps import Sweep as PlannedSweep
from annette.benchmark.sweeps import sweep_tasks
from annette.errors import ModelError
from annette.hardware.accelerator import Accelerator, Unroll
from annette.hardware.codec import load_accelerator
from annette.models.parameters import fit_parameters
from annette.models.training import training_data
from annette.models.unroll import Sweep, UnrollFit, fit_unroll, padded_fraction, softened_efficiency
from annette.store.campaign import Record

SIZES = np.concatenate([np.arange(1, 69), np.arange(72, 257, 8)]).astype(np.float64)


def sweep(
    factor: int, softness: float, *, slope: float = 1e-6, floor: float = 0.0, noise: float = 0.0
) -> Sweep:
    stairs = np.ceil(SIZES / factor) * factor
    latency = slope * ((1 - softness) * SIZES + softness * stairs)
    latency = 1e-5 + np.maximum(latency, floor + 0.2 * slope * SIZES)
    jitter = np.random.default_rng(factor).normal(scale=noise, size=len(SIZES)) if noise else 0.0
    return Sweep(sizes=SIZES.copy(), latency_s=latency * np.exp(jitter))


@settings(max_examples=30, deadline=None)
@given(factor=st.integers(2, 34), softness=st.floats(0.3, 1.0), slope=st.floats(1e-7, 1e-5))
def test_a_pure_staircase_gives_its_factor_and_softness(factor: int, softness: float, slope: float) -> None:
    """For factors of which the dense part of the sweep, up to 68, holds two whole periods."""
    fit = fit_unroll("out_channels", [sweep(factor, softness, slope=slope)])
    assert fit.factor == factor
    assert fit.softness == pytest.approx(softness, abs=0.02)
    assert fit.error < 0.01


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
def test_a_straight_line_has_no_unroll_factor(noise: float) -> None:
    sweeps = [sweep(1, 0.0, noise=noise), sweep(1, 0.0, slope=3e-6, noise=noise)]
    assert fit_unroll("out_w", sweeps).factor == 1


@pytest.mark.parametrize("factor", [8, 14, 16, 24, 32])
def test_a_memory_bound_sweep_beside_a_noisy_one_does_not_hide_the_factor(factor: int) -> None:
    flat = sweep(1, 0.0, floor=1e-2)
    fit = fit_unroll("in_channels", [flat, sweep(factor, 0.9, floor=2e-5, noise=0.01)])
    assert fit.factor == factor
    assert fit.n_sweeps == 2


@given(size=st.integers(1, 5000), factor=st.integers(1, 128), softness=st.floats(0, 1))
def test_efficiency_is_a_share_and_full_on_the_grid(size: int, factor: int, softness: float) -> None:
    sizes = np.array([float(size), float(size * factor)])
    assert (padded_fraction(sizes, factor) >= 1).all()
    efficiency = softened_efficiency(sizes, factor, softness)
    assert (efficiency > 0).all()
    assert (efficiency <= 1 + 1e-12).all()
    assert efficiency[1] == pytest.approx(1.0)


def test_too_few_sizes_say_what_to_do() -> None:
    few = Sweep(sizes=np.array([1.0, 2.0]), latency_s=np.array([1.0, 2.0]))
    with pytest.raises(ModelError, match="add sweeps"):
        fit_unroll("out_h", [few])
    with pytest.raises(ModelError, match="factor >= 1"):
        UnrollFit(dimension="out_h", factor=0, softness=0.0, error=0.0, n_sweeps=1)


def with_array(preset: str, **unroll: int) -> Accelerator:
    accelerator = load_accelerator(preset)
    return dataclasses.replace(
        accelerator, array=dataclasses.replace(accelerator.array, unroll=Unroll(**unroll))
    )


ARRAYS = {
    "dpu": load_accelerator("zcu102-dpu"),
    "ncs2": load_accelerator("ncs2"),
    "32x32": with_array("zcu102-dpu", in_channels=32, out_channels=32),
    "12x14": with_array("ncs2", in_channels=12, out_channels=14),
    "pixels": with_array("zcu102-dpu", out_w=8, in_channels=16, out_channels=24),
    "rows": with_array("zcu102-dpu", out_h=4, in_channels=8, out_channels=16),
    "block": with_array("ncs2", out_h=4, out_w=4, out_channels=16),
}
SWEEPS = tuple(
    PlannedSweep(
        name=name,
        layer="conv",
        base=(("in_channels", c), ("out_channels", f), ("out_h", h), ("out_w", h), ("kernel", k)),
        dimensions=("in_channels", "out_channels", "out_h", "out_w"),
        dense_to=72,
        up_to=256,
    )
    for name, c, f, h, k in (("a", 64, 64, 28, 3), ("b", 128, 96, 14, 5))
)


@pytest.mark.parametrize("name", list(ARRAYS))
def test_noise_free_sweeps_of_a_simulated_array_give_its_unroll_factors(name: str) -> None:
    backend = SimulatorBackend(ARRAYS[name], noise=False)
    records = [
        Record(task=task, measurement=backend.measure(task.network))
        for planned in SWEEPS
        for task in sweep_tasks(planned)
    ]
    unrolls = fit_parameters(training_data(records, backend.info)).family("conv").unrolls
    expected = ARRAYS[name].array.unroll
    assert {fit.dimension: fit.factor for fit in unrolls} == {
        dimension: getattr(expected, dimension)
        for dimension in ("out_h", "out_w", "in_channels", "out_channels")
    }
    for fit in unrolls:
        assert fit.error < 0.05
        assert fit.softness > 0.7 or fit.factor == 1
