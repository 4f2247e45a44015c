"""What measurements tell of networks: greedy choices, diversity, and that nothing is told for free."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from annette.evaluation.information import KernelErrors, TargetErrors, choose_measurements, novelty
from annette.models.intervals import ErrorSpread

SPREAD = ErrorSpread(
    families={}, unseen=0.5, per_octave=0.1, same_family=0.4, other_family=0.1, whole=0.01,
    kernel_down=1.6, kernel_up=1.6, network_down=1.6, network_up=1.6,
)  # fmt: skip


def _kernels(places: list[float], families: list[int] | None = None, spread: float = 0.1) -> KernelErrors:
    count = len(places)
    return KernelErrors(
        spread=np.full(count, spread),
        family=np.array(families or [0] * count),
        operator=np.zeros(count),
        place=np.array(places).reshape(count, 1),
    )


def test_covariances_are_those_of_intervals_far_apart_and_whole_where_equal() -> None:
    kernels = _kernels([0.0, 0.0, 20.0, 0.0], [0, 0, 0, 1])
    correlation = kernels.covariance(kernels, SPREAD) / 0.1**2
    assert correlation[0, 1] == pytest.approx(1.0)
    assert correlation[0, 2] == pytest.approx(SPREAD.same_family)
    assert correlation[0, 3] == pytest.approx(SPREAD.other_family)
    assert np.linalg.eigvalsh(correlation).min() > -1e-12


def test_far_kernels_give_the_variance_of_the_networks_interval() -> None:
    kernels = _kernels([0.0, 20.0, 40.0], [0, 0, 1])
    share = np.array([0.5, 0.3, 0.2])
    found = TargetErrors.of([(kernels, share)], kernels, SPREAD).variance
    doubt = share * 0.1
    sums = np.array([[doubt[:2].sum(), doubt[2]]])
    spread = SPREAD.network_spread(np.array([1.0]), sums, np.array([(doubt**2).sum()]))
    assert np.sqrt(found) == pytest.approx(spread)


def test_choices_follow_the_share_of_the_time_and_pass_over_near_equal_ones() -> None:
    target = _kernels([0.0, 20.0])
    candidates = _kernels([0.0, 0.05, 20.0, 60.0])
    found = TargetErrors.of([(target, np.array([0.6, 0.4]))], candidates, SPREAD)
    chosen, left = choose_measurements(found, candidates.covariance(candidates, SPREAD), 4)
    assert chosen[:2] == [0, 2]  # not the twin of the first, and not what no network has
    assert sorted(chosen) == [0, 1, 2, 3]
    assert (np.diff(left[:, 0]) <= 0).all()
    assert 0 < left[-1, 0] < left[0, 0] < 1


def test_more_uncertain_kernels_come_first() -> None:
    target = replace(_kernels([0.0, 20.0]), spread=np.array([0.05, 0.3]))
    found = TargetErrors.of([(target, np.array([0.5, 0.5]))], target, SPREAD)
    assert choose_measurements(found, target.covariance(target, SPREAD), 1)[0] == [1]


def test_what_is_left_is_what_conditioning_all_at_once_leaves() -> None:
    rng = np.random.default_rng(1)
    target, candidates = _kernels(rng.uniform(0, 5, 6).tolist()), _kernels(rng.uniform(0, 5, 5).tolist())
    share = rng.dirichlet(np.ones(6))
    found = TargetErrors.of([(target, share)], candidates, SPREAD)
    covariance = candidates.covariance(candidates, SPREAD)
    left = choose_measurements(found, covariance, 5)[1]
    noisy = covariance + 0.5 * np.diag(np.diag(covariance))
    variance = found.variance[0] - found.shared[0] @ np.linalg.solve(noisy, found.shared[0])
    assert left[-1, 0] == pytest.approx(np.sqrt(variance / found.variance[0]))


def test_kernels_far_from_measured_ones_count_as_more_uncertain() -> None:
    measured = _kernels([0.0, 0.2, 0.4, 0.6])
    near, far = novelty(_kernels([0.3, 9.0]), measured)
    assert near < 1.1 < far
    assert novelty(_kernels([0.3], [7]), measured) == pytest.approx([1.0])
