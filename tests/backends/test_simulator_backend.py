"""The simulator as a backend: identity, noise, seeds, errors."""

from __future__ import annotations

import pickle
import re
import statistics
from dataclasses import replace

import numpy as np
import pytest

from annette.backends.protocol import Backend
from annette.backends.simulator import SimulatorBackend, open_simulator
from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.codec import load_accelerator
from annette.hardware.rules import PlacementRule


def small_network(name: str = "small", channels: int = 32) -> Network:
    """Three kernels."""
    build = NetworkBuilder(name)
    x = build.relu(build.conv(build.input("x", (1, 3, 64, 64)), channels, kernel=3, padding=1))
    x = build.max_pool(build.relu(build.conv(x, 64, kernel=3, padding=1)), kernel=3, stride=3)
    return build.finish(build.add("Sigmoid", x))


def test_it_is_a_backend_that_survives_pickling() -> None:
    backend = open_simulator("ncs2")
    assert isinstance(backend, Backend)
    again = pickle.loads(pickle.dumps(backend))  # noqa: S301 (our own bytes)
    assert again == backend
    assert again.measure(small_network(), seed=3) == backend.measure(small_network(), seed=3)


def test_without_noise_a_network_is_the_sum_of_its_kernels() -> None:
    found = open_simulator("zcu102-dpu", noise=False).measure(small_network())
    assert found.kernels is not None
    assert len(found.values_s) == 1
    assert found.latency_s == pytest.approx(sum(item.latency_s for item in found.kernels), rel=1e-12)
    assert [item.kernel.unit for item in found.kernels] == ["array", "array", "vector", "host"]


def test_with_noise_every_run_is_the_sum_of_its_kernels_in_whole_microseconds() -> None:
    found = open_simulator("zcu102-dpu", runs=7).measure(small_network(), seed=1)
    assert found.values_s is not None
    assert len(found.values_s) == 7
    for run, value in enumerate(found.values_s):
        assert value == pytest.approx(sum(item.values_s[run] for item in found.kernels), rel=1e-12)
        for item in found.kernels:
            assert item.values_s[run] * 1e6 == pytest.approx(round(item.values_s[run] * 1e6), abs=1e-6)


def test_noise_depends_on_the_seed_and_on_the_content_but_not_on_names() -> None:
    backend = open_simulator("ncs2")
    first = backend.measure(small_network(), seed=1)
    assert backend.measure(small_network("other name"), seed=1).values_s == first.values_s
    assert backend.measure(small_network(), seed=2).values_s != first.values_s
    assert backend.measure(small_network(), seed=-1).values_s != first.values_s


@pytest.mark.parametrize("name", ["zcu102-dpu", "ncs2"])
def test_the_median_over_many_runs_is_the_noise_free_time(name: str) -> None:
    network = small_network()
    truth = open_simulator(name, noise=False).measure(network)
    noisy = open_simulator(name, runs=2001).measure(network, seed=5)
    assert noisy.latency_s == pytest.approx(truth.latency_s, rel=0.01)
    spread = np.std(np.log(noisy.values_s))
    assert 0.001 < spread < 0.2


def test_few_runs_already_have_a_meaningful_median() -> None:
    network = small_network()
    truth = open_simulator("ncs2", noise=False).measure(network).latency_s
    backend = open_simulator("ncs2")
    errors = [abs(backend.measure(network, seed=seed).latency_s / truth - 1) for seed in range(100)]
    assert statistics.median(errors) < 0.02
    assert max(errors) < 0.1


def test_the_data_sheet_comes_from_the_description() -> None:
    accelerator = load_accelerator("zcu102-dpu")
    info = SimulatorBackend(accelerator).info
    assert (info.name, info.backend) == ("zcu102-dpu", "simulator")
    assert info.peak_ops_per_s == accelerator.peak_ops_per_s
    assert info.bandwidth_bytes_per_s == accelerator.external_memory.bandwidth_bytes_per_s
    assert (info.activation_bytes, info.weight_bytes) == (1.0, 1.0)


def test_another_description_or_setting_is_another_device() -> None:
    accelerator = load_accelerator("ncs2")
    base = SimulatorBackend(accelerator).info
    assert SimulatorBackend(accelerator, noise=False).info != base
    assert SimulatorBackend(accelerator, runs=9).info != base
    assert SimulatorBackend(replace(accelerator, clock_hz=8e8)).info != base
    assert SimulatorBackend(accelerator).info == base


def test_what_no_unit_can_run_becomes_an_error_of_the_measurement() -> None:
    accelerator = load_accelerator("zcu102-dpu")
    rules = replace(accelerator.compiler, placement=(PlacementRule(unit="array", layers=("Conv",)),))
    found = SimulatorBackend(replace(accelerator, compiler=rules)).measure(small_network())
    assert found.values_s is None
    assert "no unit runs layer 'maxpool_1' (MaxPool)" in (found.error or "")


def test_what_does_not_fit_on_chip_becomes_an_error_of_the_measurement() -> None:
    accelerator = load_accelerator("zcu102-dpu")
    memories = tuple(replace(item, size_bytes=64) for item in accelerator.memories)
    found = SimulatorBackend(replace(accelerator, memories=memories)).measure(small_network())
    assert re.match(r"accelerator 'zcu102-dpu': kernel 'conv_1.*': a window ", found.error or "")
    assert "smallest tile exceeds the on-chip memories, found 64 and 64 bytes" in (found.error or "")


def test_wrong_calls_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="did you mean 'ncs2'"):
        open_simulator("ncs")
    with pytest.raises(UsageError, match="runs 0, expected 1 to 10000"):
        open_simulator("ncs2", runs=0)
