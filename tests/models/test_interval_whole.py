"""Intervals of networks that take more than their kernels: calibrated with each one's overhead left out."""

from __future__ import annotations

import numpy as np
import pytest

from annette.estimation.platform import Platform
from annette.models.interval_whole import WholeNetworks, fit_whole_networks
from annette.models.kernel_table import build_kernel_table, concatenate_tables
from annette.models.network_overhead import fit_overhead, overhead_terms
from annette.zoo.registry import zoo_network


def whole_networks(platform: Platform, n_networks: int, error: float, seed: int) -> WholeNetworks:
    """Networks of some kernels of a real one that take 30 % more than these, and half a millisecond."""
    rng, network = np.random.default_rng(seed), zoo_network("resnet18")
    kernels = build_kernel_table([(network, platform.mapping_model.predict(network))], platform.device)
    picks = [rng.integers(0, len(kernels), rng.integers(5, 30)) for _ in range(n_networks)]
    table = concatenate_tables([kernels.take(pick) for pick in picks])
    kernels_s = {"mixed": platform.layer_models.predict_s(table, "mixed")}
    sums = np.bincount(table.network_index, kernels_s["mixed"], n_networks)
    family_s = table.sums_by_family(kernels_s["mixed"])
    terms = overhead_terms(family_s, table.family_names, table.values, table.network_index)
    measured = (1.3 * sums + 5e-4) * np.exp(rng.laplace(scale=error, size=n_networks))
    return WholeNetworks(table=table, kernels_s=kernels_s, terms={"mixed": terms}, measured_s=measured)


def coverage(platform: Platform, whole: WholeNetworks, others: WholeNetworks) -> float:
    assert platform.intervals is not None
    spread = fit_whole_networks(platform.intervals, platform.layer_models, whole).models["mixed"]
    overhead = fit_overhead(whole.terms, whole.measured_s)
    assert overhead is not None
    latency_s = overhead.network_s(others.terms["mixed"], "mixed")
    doubt = others.kernels_s["mixed"] * spread.kernel_spread(
        others.table, others.kernels_s["mixed"], platform.layer_models
    )
    width = spread.network_spread(
        latency_s, others.table.sums_by_family(doubt), np.bincount(others.table.network_index, doubt**2)
    )
    low, high = spread.network_factors(width)
    ratio = others.measured_s / latency_s
    return float(np.mean((low <= ratio) & (ratio <= high)))


@pytest.mark.parametrize("error", [0.02, 0.2])
def test_intervals_hold_other_networks_whatever_the_overhead_leaves(
    small_platform: Platform, error: float
) -> None:
    whole = whole_networks(small_platform, 60, error, seed=1)
    assert 0.8 < coverage(small_platform, whole, whole_networks(small_platform, 400, error, seed=2)) <= 0.98


def test_few_networks_never_narrow_an_interval(small_platform: Platform) -> None:
    assert small_platform.intervals is not None
    before = small_platform.intervals.models["mixed"]
    for error in (1e-6, 0.5):
        whole = whole_networks(small_platform, 6, error, seed=3)
        after = fit_whole_networks(small_platform.intervals, small_platform.layer_models, whole).models
        assert after["mixed"].network_up >= before.network_up
        assert after["mixed"].network_down >= before.network_down
    assert after["mixed"].network_down > before.network_down
    three = whole_networks(small_platform, 3, 0.1, seed=4)
    same = fit_whole_networks(small_platform.intervals, small_platform.layer_models, three)
    assert same.to_bytes() == small_platform.intervals.to_bytes()


def test_models_without_networks_stay_and_the_notes_say_how_many(small_platform: Platform) -> None:
    assert small_platform.intervals is not None
    only = type(small_platform.intervals)(
        models={"mixed": small_platform.intervals.models["mixed"]}, calibration={}
    )
    found = fit_whole_networks(
        only, small_platform.layer_models, whole_networks(small_platform, 30, 0.1, seed=5)
    )
    assert found.calibration["mixed"]["whole_networks"] == 30
    assert 0.02 < found.calibration["mixed"]["whole_mape"] < 0.3
