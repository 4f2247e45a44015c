"""Overhead of networks: found again where it is known, never negative, kept without loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import ModelError
from annette.models.network_overhead import TERMS, NetworkOverhead, fit_overhead


def terms(n_networks: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    columns = [rng.lognormal(0.0, 1.0, n_networks) * scale for scale in (50.0, 5e-3, 1e7, 1e7)]
    return np.stack([np.ones(n_networks), *columns], axis=1)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1e-2), st.floats(0, 1e-5), st.floats(0.5, 2.0), st.integers(0, 50))
def test_a_known_overhead_is_found_again(constant: float, per_kernel: float, share: float, seed: int) -> None:
    matrix = terms(60, seed)
    measured = matrix @ np.array([constant, per_kernel, share, 0.0, 0.0])
    found = fit_overhead({"mixed": matrix}, measured)
    assert found is not None
    assert found.network_s(matrix, "mixed") == pytest.approx(measured, rel=0.02)
    assert min(found.coefficients["mixed"]) >= 0


def test_too_few_networks_tell_nothing() -> None:
    assert fit_overhead({"mixed": terms(2)}, np.ones(2)) is None


def test_a_network_without_kernels_takes_nothing() -> None:
    overhead = NetworkOverhead(coefficients={"mixed": (1.0, 0.0, 1.0, 0.0, 0.0)}, n_networks=3, error={})
    assert overhead.network_s(np.array([[1.0, 0.0, 0.0, 0.0, 0.0]]), "mixed").tolist() == [0.0]


def test_it_lasts_as_json_and_damage_is_told() -> None:
    found = fit_overhead({"mixed": terms(20)}, terms(20)[:, 2] * 1.1)
    assert found is not None
    document = found.to_json()
    assert NetworkOverhead.from_json(document) == found
    for broken in (None, 3, {}, {**document, "coefficients": {"mixed": {TERMS[0]: -1.0}}}):
        with pytest.raises(ModelError):
            NetworkOverhead.from_json(broken)
    with pytest.raises(ModelError, match="expected"):
        NetworkOverhead(coefficients={"mixed": (-1.0, 0.0, 1.0, 0.0, 0.0)}, n_networks=3, error={})
