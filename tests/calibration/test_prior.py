"""A platform as prior: what its kernels take, other kinds beside these, and how few latencies rescale it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import annette
from annette.calibration.calibrate import calibrate_space
from annette.calibration.codec import load_calibrated, save_calibrated
from annette.calibration.design import suggest_architectures
from annette.calibration.features import GROUPS, count_space
from annette.calibration.prior import PRIOR_COLUMNS, Prior, prior_from_networks
from annette.estimation.catalogue import load_platform
from annette.evaluation.metrics import mape
from annette.zoo.spaces.registry import open_space

SPACE = open_space("fbnet")
OTHERS = SPACE.sample(100, seed=9)


@pytest.fixture(scope="module")
def prior() -> Prior:
    networks = [SPACE.network(row) for row in SPACE.sample(25, seed=0).tolist()]
    return prior_from_networks(load_platform("ncs2"), networks)


def test_kernels_add_up_to_what_the_platform_says(prior: Prior) -> None:
    whole_s = prior.columns(count_space(SPACE, OTHERS))[:, 0] * prior.mean_s
    assert mape(annette.load("ncs2").estimate_space(SPACE, OTHERS), whole_s) < 0.03


def test_kinds_that_were_not_seen_cost_as_the_nearest_scaled_by_their_work(prior: Prior) -> None:
    place = int(prior.seconds.argmax())
    known = prior.kinds.some([place])
    double = type(known)(groups=known.groups, amounts=known.amounts * 2, traits=known.traits)
    assert prior.price_s(known)[0] == prior.seconds[place]
    assert prior.price_s(double)[0] == pytest.approx(2 * prior.seconds[place])


def test_few_latencies_rescale_the_groups_of_a_prior(prior: Prior, tmp_path: Path) -> None:
    factors = np.ones(PRIOR_COLUMNS - 1)
    factors[GROUPS.index("pointwise")], factors[GROUPS.index("depthwise")] = 0.5, 3.0

    def time_s(rows: np.ndarray) -> np.ndarray:
        columns = prior.columns(count_space(SPACE, rows))
        groups = columns[:, 1:]
        return np.asarray(groups @ factors)

    rows = suggest_architectures(SPACE, 10)
    alone, helped = (
        calibrate_space(SPACE, rows, time_s(rows), device="toy", sources=sources)
        for sources in ((), (prior,))
    )
    errors = [mape(time_s(OTHERS), model.predict_space(SPACE, OTHERS).latency_s) for model in (alone, helped)]
    assert errors[1] < 0.8 * errors[0]
    assert helped.held_out_error <= alone.held_out_error
    assert "ncs2 counts" in helped.notes[-1]
    save_calibrated(helped, tmp_path)
    np.testing.assert_array_equal(
        load_calibrated(tmp_path).predict_space(SPACE, OTHERS).latency_s,
        helped.predict_space(SPACE, OTHERS).latency_s,
    )


def test_five_latencies_tell_the_factor_and_the_constant_of_a_prior_that_is_right(prior: Prior) -> None:
    def time_s(rows: np.ndarray) -> np.ndarray:
        return np.asarray(1e-3 + 1.7 * prior.columns(count_space(SPACE, rows))[:, 0] * prior.mean_s)

    rows = suggest_architectures(SPACE, 5)
    model = calibrate_space(SPACE, rows, time_s(rows), device="toy", sources=[prior])
    assert model.weights[2] == max(model.weights)
    assert mape(time_s(OTHERS), model.predict_space(SPACE, OTHERS).latency_s) < 0.01
