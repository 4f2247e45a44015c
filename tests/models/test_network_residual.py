"""A residual of networks: found where blocks have one, else not kept; small, and stored without loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import ModelError
from annette.estimation.platform import Platform
from annette.models.held_out_networks import HeldOutNetworks
from annette.models.kernel_table import COLUMN_INDEX, COLUMNS, build_kernel_table, concatenate_tables
from annette.models.layer_fit import HeldOut
from annette.models.network_residual import NetworkResidual, residual_quantities, residual_terms
from annette.models.residual_fit import (
    GREATEST,
    LEAST_GAIN,
    MIN_NETWORKS,
    ResidualDecision,
    decide_residual,
    judge_residual,
)
from annette.zoo.registry import zoo_network
from annette.zoo.spaces.registry import open_space

NETWORKS = tuple(zoo_network(name) for name in ("resnet18", "lenet5", "squeezenet1_1"))
N_TERMS = len(residual_terms(0))


def blocks(n_networks: int, seed: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantities of blocks, the sums of their kernels, and what each takes if that is its kernels."""
    rng = np.random.default_rng(seed)
    n_kernels = rng.integers(2, 40, n_networks).astype(np.float64)
    factors = [
        np.ones(n_networks),
        *(rng.lognormal(0.0, 1.0, n_networks) * scale for scale in (0.2, 1e6, 2e5)),
    ]
    quantities = np.stack([n_kernels * factor for factor in factors], axis=1)
    kernels_s = n_kernels * rng.lognormal(0.0, 0.5, n_networks) * 5e-5
    return quantities, kernels_s, kernels_s * np.exp(rng.laplace(scale=noise, size=n_networks))


def decide(
    quantities: np.ndarray, kernels_s: np.ndarray, additive_s: np.ndarray, beyond: np.ndarray
) -> ResidualDecision:
    groups, measured_s = np.arange(len(beyond)), additive_s * np.exp(beyond)
    found = decide_residual(quantities, kernels_s, measured_s, beyond, groups, cache_bytes=(), seed=0)
    assert found is not None
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_what_blocks_take_for_each_kernel_is_found_and_kept(seed: int) -> None:
    quantities, kernels_s, measured_s = blocks(300, seed, noise=0.02)
    found = decide(quantities, kernels_s, measured_s, np.log1p(5e-6 * quantities[:, 0] / kernels_s))
    assert found.residual is not None
    assert found.gain > 0.2
    assert found.residual.coefficients[0] == pytest.approx(5e-6, rel=0.4)
    assert found.residual.error == found.error < found.additive_error


def test_networks_that_are_the_sum_of_their_kernels_get_no_residual() -> None:
    decisions = [decide(*blocks(300, seed, noise=0.08), np.zeros(300)) for seed in range(10)]
    assert all(item.residual is None and item.error == item.additive_error for item in decisions)


def test_noise_of_clocks_is_no_residual() -> None:
    noise = [np.random.default_rng(seed).normal(0.0, 0.03, 300) for seed in range(40)]
    decisions = [decide(*blocks(300, seed, noise=0.08), noise[seed]) for seed in range(40)]
    assert sum(item.residual is not None for item in decisions) <= 1


def test_errors_of_layer_models_are_no_residual() -> None:
    quantities, kernels_s, measured_s = blocks(300, 1, noise=0.02)
    too_slow_s = measured_s + 5e-6 * quantities[:, 0]  # every kernel is priced too low, and none costs more
    assert decide(quantities, kernels_s, too_slow_s, np.zeros(300)).residual is None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(-3e-5, 3e-5), st.floats(0.01, 0.2))
def test_a_residual_is_kept_only_for_a_clear_gain(seed: int, per_kernel: float, noise: float) -> None:
    quantities, kernels_s, measured_s = blocks(80, seed, noise)
    beyond = np.clip(per_kernel * quantities[:, 0] / kernels_s, -0.5, 0.5)
    found = decide(quantities, kernels_s, measured_s, beyond)
    fall = found.additive_error - found.error
    is_clear = fall > found.standard_error and fall >= LEAST_GAIN * found.additive_error
    assert (found.residual is not None) == is_clear
    assert found.to_json()["kept"] == is_clear


def test_few_blocks_decide_nothing() -> None:
    quantities, kernels_s, measured_s = blocks(MIN_NETWORKS - 1, 0, noise=0.1)
    groups, beyond = np.arange(len(measured_s)), np.full(len(measured_s), 0.1)
    assert decide_residual(quantities, kernels_s, measured_s, beyond, groups, cache_bytes=(), seed=0) is None


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-6, 1e6))
def test_no_network_is_moved_further_than_blocks_were(seed: int, factor: float) -> None:
    quantities, kernels_s, measured_s = blocks(200, seed, noise=0.02)
    residual = decide(quantities, kernels_s, measured_s, 2e-5 * quantities[:, 0] / kernels_s).residual
    assert residual is not None
    moved = residual.log_ratio(quantities * factor, kernels_s)
    assert -GREATEST - 1e-12 <= residual.least <= residual.most <= GREATEST + 1e-12
    assert residual.least - 1e-12 <= moved.min() <= moved.max() <= residual.most + 1e-12


def test_quantities_count_kernels_joins_and_bytes_by_their_age() -> None:
    rows = np.zeros((3, len(COLUMNS)))
    for name, values in {
        "input_bytes": (1000.0, 2000.0, 4000.0),
        "n_inputs": (1, 1, 2),
        "near_bytes": (0.0, 0.0, 0.0),
        "far_bytes": (0.0, 0.0, 12000.0),
    }.items():
        rows[:, COLUMN_INDEX[name]] = values
    index = np.array([0, 1, 1])
    found = residual_quantities(rows, index, 3, (8000,))
    assert found[0].tolist() == [1, 0, 1000, 0, 0]
    assert found[1].tolist() == [2, 1, 6000, 4000, 2000]  # half of 16,000 bytes fit
    assert found[2].tolist() == [0] * len(residual_terms(1))


RESIDUAL = NetworkResidual(
    coefficients=(2e-6, -1e-6, 1e-11, 0.0),
    least=-0.1,
    most=0.2,
    cache_bytes=(),
    n_networks=60,
    additive_error=0.08,
    error=0.06,
)


def test_a_residual_is_kept_without_loss(small_platform: Platform, tmp_path: Path) -> None:
    assert NetworkResidual.from_json(RESIDUAL.to_json()) == RESIDUAL
    platform = replace(small_platform, overhead=RESIDUAL)
    platform.save(tmp_path / "kept")
    again = Platform.load(tmp_path / "kept")
    assert again.overhead == RESIDUAL
    assert again.estimate(NETWORKS[0]).latency_s == platform.estimate(NETWORKS[0]).latency_s


@pytest.mark.parametrize(
    "change",
    [
        {"coefficients": {}},
        {"log_ratio": [0.3, 0.2]},
        {"cache_bytes": [0]},
        {"error": float("nan")},
        {"cache_bytes": 3},
    ],
)
def test_a_damaged_residual_is_refused(change: Mapping[str, Any]) -> None:
    document = RESIDUAL.to_json()["residual"]
    with pytest.raises(ModelError, match="network residual"):
        NetworkResidual.from_json({"residual": {**document, **change}})


def test_estimates_tell_the_sum_beside_the_whole(small_platform: Platform) -> None:
    platform = replace(small_platform, overhead=RESIDUAL)
    for network in NETWORKS:
        alone, whole = small_platform.estimate(network), platform.estimate(network)
        assert alone.overhead_s is None
        assert whole.overhead_s is not None
        assert whole.overhead_s != 0
        assert whole.latency_s - whole.overhead_s == pytest.approx(alone.latency_s, rel=1e-12)
        assert -0.1 <= np.log(whole.latency_s / alone.latency_s) <= 0.2 + 1e-12
        assert whole.kernels[0].latency_s == alone.kernels[0].latency_s
        roofline = platform.estimate(network, model="roofline")
        assert roofline.overhead_s == 0
        assert roofline.latency_s == small_platform.estimate(network, model="roofline").latency_s


def test_many_networks_and_spaces_have_the_residuals_of_single_ones(small_platform: Platform) -> None:
    platform = replace(small_platform, overhead=RESIDUAL)
    singles = [platform.estimate(network).latency_s for network in NETWORKS]
    assert platform.estimate_many(NETWORKS).tolist() == singles
    space = open_space("nasbench201")
    rows = space.sample(12, seed=5)
    expected = [platform.estimate(space.network(row)).latency_s for row in rows.tolist()]
    assert platform.estimate_space(space, rows).tolist() == expected
    assert platform.estimate_space_intervals(space, rows).latency_s.tolist() == expected


def test_a_simulated_platform_has_no_residual(small_platform: Platform) -> None:
    assert small_platform.overhead is None
    assert "residual" not in small_platform.metrics


def held_out_blocks(platform: Platform, seed: int) -> tuple[HeldOutNetworks, HeldOut]:
    """Sixty blocks that take 3 us more a kernel from end to end, and others that take twice as long."""
    network = NETWORKS[0]
    mapping = platform.mapping_model.predict(network)
    table = build_kernel_table([(network, mapping)], platform.device)
    rng, n_networks = np.random.default_rng(seed), 120
    sizes = rng.integers(2, 12, n_networks)
    tables = concatenate_tables([table.take(rng.integers(0, len(table), size)) for size in sizes])
    predicted = platform.layer_models.predict_s(tables, "mixed")
    measured_s = np.bincount(tables.network_index, predicted, n_networks)
    are_blocks = np.arange(n_networks) < 60
    networks = HeldOutNetworks(
        table=tables,
        rows=np.arange(len(tables)),
        measured_s=measured_s,
        end_to_end_s=np.where(are_blocks, measured_s + 3e-6 * sizes, 2.0 * measured_s),
        n_kernels=sizes,
        groups=np.arange(n_networks),
        are_blocks=are_blocks,
    )
    return networks, HeldOut(predicted={"mixed": predicted}, unseen=0.4, per_octave=0.05)


def test_only_blocks_teach_a_residual_and_intervals_are_told(small_platform: Platform) -> None:
    networks, held_out = held_out_blocks(small_platform, seed=2)
    decision, told = judge_residual(
        networks, small_platform.layer_models, held_out, small_platform.device, seed=0
    )
    assert decision is not None
    assert decision.n_networks == 60
    assert decision.residual is not None
    expected = np.log1p(3e-6 * np.bincount(networks.table.network_index) / networks.measured_s)
    assert decision.residual.most <= max(expected[:60]) * 1.2  # what the others take is not seen
    own = networks.are_blocks
    expected_s = networks.measured_s * told.factors["mixed"]
    errors = np.abs(expected_s / networks.end_to_end_s - 1.0)[own]
    assert errors.mean() == pytest.approx(decision.error, rel=1e-6)
    assert told.measured_s is networks.end_to_end_s


def test_where_no_residual_is_kept_the_calibration_stays_as_it_was(small_platform: Platform) -> None:
    networks, held_out = held_out_blocks(small_platform, seed=2)
    additive = replace(networks, end_to_end_s=networks.measured_s)
    decision, told = judge_residual(
        additive, small_platform.layer_models, held_out, small_platform.device, seed=0
    )
    assert decision is not None
    assert decision.residual is None
    assert told is additive
