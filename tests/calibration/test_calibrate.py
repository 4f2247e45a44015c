"""Calibrated models of made-up devices: what they recover, when sources count, what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import nnls

from annette.calibration.calibrate import calibrate_networks, calibrate_space, unidentified_terms
from annette.calibration.design import suggest_architectures
from annette.calibration.features import COUNTS, count_networks
from annette.calibration.graphs import open_view
from annette.calibration.member import fit_member, population_of
from annette.calibration.terms import FIXED, Terms, fit_costs, least_above_zero, terms_of
from annette.calibration.validation import held_out_log_errors
from annette.errors import ModelError, UsageError
from annette.evaluation.metrics import mape, spearman
from annette.zoo.registry import open_network
from annette.zoo.spaces.registry import open_space

SPACE = open_space("nasbench201")
TEN = suggest_architectures(SPACE, 10, seed=0)
OTHERS = SPACE.sample(400, seed=9)
Rows = NDArray[np.int64]


def device(graph: str, *, noise: float = 0.0, seed: int = 0) -> Callable[[Rows], NDArray[np.float64]]:
    """A device that pays for kernels, multiply-accumulates and bytes of these graphs."""
    rng = np.random.default_rng(seed)

    def time_s(rows: Rows) -> NDArray[np.float64]:
        counts = open_view(SPACE, graph).contents(rows).counts.reshape(len(rows), -1, 4)
        exact = (
            1e-3 + counts[:, :, 0].sum(1) * 2e-5 + counts[:, 0, 1] * 5e-11 + counts[:, :, 2].sum(1) * 1e-10
        )
        return np.asarray(exact * np.exp(noise * rng.standard_normal(len(rows))))

    return time_s


@pytest.mark.parametrize("graph", ["all", "folded", "needed"])
def test_the_graphs_that_a_device_runs_are_found(graph: str) -> None:
    time_s = device(graph)
    model = calibrate_space(SPACE, TEN, time_s(TEN), device="toy")
    assert model.graph == graph
    predicted = model.predict_space(SPACE, OTHERS).latency_s
    assert mape(time_s(OTHERS), predicted) < 0.05
    rank = spearman(time_s(OTHERS), predicted)
    assert rank is not None
    assert rank > 0.99


def test_latencies_in_other_units_give_the_same_model_in_these() -> None:
    latency_s = device("all", noise=0.02)(TEN)
    slow, fast = (
        calibrate_space(SPACE, TEN, latency_s * factor, device="toy").predict_space(SPACE, OTHERS[:50])
        for factor in (1.0, 1e-3)
    )
    np.testing.assert_allclose(fast.latency_s, slow.latency_s * 1e-3, rtol=1e-6)
    np.testing.assert_allclose(fast.high_s, slow.high_s * 1e-3, rtol=1e-6)


def coverage(rows: Rows, seed: int) -> float:
    time_s = device("all", noise=0.05, seed=seed)
    model = calibrate_space(SPACE, rows, time_s(rows), device="toy")
    found, truth = model.predict_space(SPACE, OTHERS), time_s(OTHERS)
    return float(((found.low_s <= truth) & (truth <= found.high_s)).mean())


@pytest.mark.parametrize("count", [10, 20])
def test_intervals_of_random_samples_hold_for_nine_in_ten_networks(count: int) -> None:
    covered = [coverage(SPACE.sample(count, seed=seed), seed) for seed in range(4)]
    assert 0.85 <= np.mean(covered) <= 0.98


def test_intervals_of_designed_samples_are_not_too_narrow() -> None:
    assert min(coverage(TEN, seed) for seed in range(2)) >= 0.9


def test_a_source_that_is_alike_helps_and_one_that_is_not_is_left_out() -> None:
    time_s = device("all", noise=0.0)
    quirk = 1 + 0.3 * ((OTHERS[:, 0] == 3) & (OTHERS[:, 5] == 3))
    twin = calibrate_space(SPACE, OTHERS[:200], (time_s(OTHERS) * quirk)[:200], device="twin")
    rng = np.random.default_rng(0)
    stranger = calibrate_space(SPACE, OTHERS[:30], rng.uniform(1, 2, 30), device="stranger")
    latency_s = time_s(TEN) * (1 + 0.3 * ((TEN[:, 0] == 3) & (TEN[:, 5] == 3)))
    plain = calibrate_space(SPACE, TEN, latency_s, device="toy")
    for source in (twin, stranger):
        model = calibrate_space(SPACE, TEN, latency_s, device="toy", sources=[source])
        assert model.held_out_error <= plain.held_out_error
        assert source.device in model.notes[-1]
        assert np.isclose(sum(model.weights), 1.0)
        if not model.sources:
            np.testing.assert_array_equal(
                model.predict_space(SPACE, OTHERS).latency_s, plain.predict_space(SPACE, OTHERS).latency_s
            )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_costs_are_never_negative_and_fit_what_has_no_noise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns, costs = rng.random((40, 5)) + 0.1, rng.random(5)
    found = fit_costs(columns, columns @ costs, ridge=1e-9)
    assert (found >= 0).all()
    np.testing.assert_allclose(columns @ found, columns @ costs, rtol=1e-3)
    assert (fit_costs(columns, rng.random(40) + 0.1) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 40))
def test_costs_are_those_of_scipy(seed: int, n_samples: int, n_terms: int) -> None:
    rng = np.random.default_rng(seed)
    columns, latency_s = rng.random((n_samples, n_terms)), rng.random(n_samples) - 0.2
    columns[:, n_terms // 2 :] = columns[:, : n_terms - n_terms // 2]  # terms that cannot be told apart
    found = least_above_zero(columns.T @ columns + 1e-2 * np.eye(n_terms), columns.T @ latency_s)
    expected, _ = nnls(
        np.vstack([columns, 0.1 * np.eye(n_terms)]), np.concatenate([latency_s, np.zeros(n_terms)])
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_errors_left_out_are_those_of_models_fitted_without() -> None:
    contents, latency_s = open_view(SPACE, "all").contents(TEN), device("all", noise=0.1)(TEN)
    samples = population_of(contents, terms_of(contents))
    errors = held_out_log_errors(samples, latency_s)
    for row in (0, 7):
        others = np.arange(len(TEN)) != row
        member = fit_member(samples.some(others), latency_s[others])
        predicted_s = member.predict_s(samples.some(~others))
        np.testing.assert_allclose(errors[row], np.log(predicted_s[0] / latency_s[row]), atol=1e-9)


def test_terms_that_samples_do_not_tell_apart_are_named() -> None:
    terms = Terms(names=(FIXED, COUNTS[0], COUNTS[1], COUNTS[2]), means=np.ones(4))
    columns = np.array([[1, 1, 2, 1], [1, 2, 4, 1], [1, 3, 6, 1]], dtype=float)
    found = unidentified_terms(columns, terms)
    assert found == {COUNTS[0]: (COUNTS[1],), COUNTS[1]: (COUNTS[0],), COUNTS[2]: (FIXED,)}


def test_samples_without_a_kind_of_layer_are_noted() -> None:
    rows = OTHERS[(OTHERS != 4).all(axis=1)][:8]
    model = calibrate_space(SPACE, rows, device("all")(rows), device="toy")
    assert any("pool_kernels" in note for note in model.notes)


def test_of_very_many_latencies_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annette.calibration.calibrate.MOST_SAMPLES", 20)
    model = calibrate_space(SPACE, OTHERS, device("all")(OTHERS), device="toy")
    assert model.samples == 20
    assert model.notes[0] == "fitted to 20 of 400 latencies, drawn at random"


def test_shares_of_terms_add_up_to_one() -> None:
    shares = calibrate_space(SPACE, TEN, device("needed")(TEN), device="toy").term_shares()
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_networks_out_of_no_space_can_be_calibrated() -> None:
    names = ("alexnet", "squeezenet1_0", "mobilenet_v2", "resnet18", "lenet5", "mnasnet")
    networks = [open_network(f"zoo:{name}") for name in names]
    counts = count_networks(networks).counts
    latency_s = 1e-4 + counts[:, 1::4].sum(axis=1) * 1e-11 + counts[:, 0::4].sum(axis=1) * 1e-5
    model = calibrate_networks(networks, latency_s, device="toy")
    assert mape(latency_s, model.predict_networks(networks).latency_s) < 0.1
    with pytest.raises(UsageError, match="found architectures of nasbench201"):
        model.predict_space(SPACE, OTHERS)


@pytest.mark.parametrize(
    ("latency_s", "message"),
    [
        ([1.0, 2.0], "found 2 latencies, expected 4 or more"),
        ([1.0, 2.0, 3.0, 0.0], "not a number above 0"),
        ([1.0, 2.0, 3.0, float("nan")], "not a number above 0"),
    ],
)
def test_what_is_no_table_of_latencies_is_refused(latency_s: list[float], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        calibrate_space(SPACE, TEN[: len(latency_s)], latency_s, device="toy")


def test_a_model_of_a_space_does_not_predict_networks() -> None:
    model = calibrate_space(SPACE, TEN, device("all")(TEN), device="toy")
    with pytest.raises(UsageError, match="calibrated on nasbench201"):
        model.predict_networks([open_network("zoo:lenet5")])
    assert model.open_space().name == "nasbench201"


def test_a_network_whose_terms_cost_nothing_gets_a_small_latency_and_not_none() -> None:
    rows = SPACE.sample(12, seed=0)
    model = calibrate_space(SPACE, rows, (rows == 3).sum(1) * 1e-3 + 1e-3, device="toy")
    contents = open_view(SPACE, model.graph).contents(rows[:2])
    networks = population_of(contents, model.terms)
    empty = replace(networks, columns=np.zeros_like(networks.columns))
    member = model.members[0]
    found = member.predict_s(empty)
    assert np.isfinite(found).all()
    assert (found > 1e-5 * member.costs.sum()).all()
