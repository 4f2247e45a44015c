"""What-if grids against the simulator: exact where it was asked, near it between."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from annette.hardware.accelerator import Accelerator
from annette.hardware.codec import load_accelerator
from annette.report.what_if import FACTORS, interpolate_s, simulate_grid
from annette.simulator.run import simulate
from annette.zoo.registry import zoo_network

BETWEEN = (0.31, 0.7, 1.4, 2.9)
NEAR = 0.05
"""Of a network's latency, anywhere in the grid; on the mean it is a third of that."""


def changed(accelerator: Accelerator, clock: float, bandwidth: float) -> Accelerator:
    memory, vector = accelerator.external_memory, accelerator.vector
    return replace(
        accelerator,
        clock_hz=accelerator.clock_hz * clock,
        vector=None if vector is None else replace(vector, clock_hz=vector.clock_hz * clock),
        external_memory=replace(memory, bandwidth_bytes_per_s=memory.bandwidth_bytes_per_s * bandwidth),
    )


@dataclass(frozen=True)
class Case:
    accelerator: Accelerator
    grid: dict[str, Any]


NETWORK = zoo_network("squeezenet1_1")


@pytest.fixture(scope="module", params=["ncs2", "gemmini-16x16"])
def case(request: pytest.FixtureRequest) -> Case:
    accelerator = load_accelerator(request.param)
    return Case(accelerator, simulate_grid(NETWORK, accelerator))


def test_the_grid_is_the_simulators(case: Case) -> None:
    assert case.grid["base_s"] == simulate(NETWORK, case.accelerator).latency_s
    for clock, bandwidth in ((1.0, 1.0), (FACTORS[0], FACTORS[-1])):
        run = simulate(NETWORK, changed(case.accelerator, clock, bandwidth))
        found = interpolate_s(case.grid, clock=clock, bandwidth=bandwidth)
        assert found == pytest.approx([item.latency_s for item in run.kernels], rel=1e-4)


def test_between_its_factors_the_grid_is_near_the_simulator(case: Case) -> None:
    errors = []
    for clock in BETWEEN:
        for bandwidth in BETWEEN:
            truth_s = simulate(NETWORK, changed(case.accelerator, clock, bandwidth)).latency_s
            found_s = sum(interpolate_s(case.grid, clock=clock, bandwidth=bandwidth))
            errors.append(abs(found_s / truth_s - 1))
    assert max(errors) < NEAR
    assert sum(errors) / len(errors) < NEAR / 3


def test_another_array_is_simulated_as_described(case: Case) -> None:
    twice = next(item for item in case.grid["arrays"] if item["factor"] == 2.0)
    _, part, name = twice["change"].split(".")
    array = case.accelerator.array
    shape = getattr(array, part)
    wider = replace(array, **{part: replace(shape, **{name: 2 * getattr(shape, name)})})
    if array.depthwise_unroll is not None:
        depthwise = array.depthwise_unroll
        loop = "groups" if name in ("out_channels", "in_channels") else name
        wider = replace(wider, depthwise_unroll=replace(depthwise, **{loop: 2 * getattr(depthwise, loop)}))
    run = simulate(NETWORK, replace(case.accelerator, array=wider))
    found = interpolate_s(case.grid, clock=1.0, bandwidth=1.0, array=2.0)
    assert sum(found) == pytest.approx(run.latency_s, rel=1e-4)


def test_more_is_never_slower_on_the_grid(case: Case) -> None:
    for other in FACTORS:
        clocks = [sum(interpolate_s(case.grid, clock=clock, bandwidth=other)) for clock in FACTORS]
        rates = [sum(interpolate_s(case.grid, clock=other, bandwidth=rate)) for rate in FACTORS]
        assert clocks == sorted(clocks, reverse=True)
        assert rates == sorted(rates, reverse=True)
