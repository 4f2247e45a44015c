"""Overhead of networks: found again where it is known, never negative, kept without loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import ModelError
from annette.models.network_overhead import TERMS, NetworkOverhead, OverheadTerms, fit_overhead

FAMILIES = ("conv@a", "pool@a")


def terms(n_networks: int, seed: int = 0) -> OverheadTerms:
    rng = np.random.default_rng(seed)
    fixed = [rng.lognormal(0.0, 1.0, n_networks) * scale for scale in (50.0, 1e7, 1e7)]
    family_s = [rng.lognormal(0.0, 1.0, n_networks) * scale for scale in (5e-3, 1e-3)]
    return OverheadTerms(
        fixed=np.stack([np.ones(n_networks), *fixed], axis=1),
        families=FAMILIES,
        family_s=np.stack(family_s, axis=1),
    )


def of_part(whole: OverheadTerms, rows: np.ndarray) -> OverheadTerms:
    return OverheadTerms(fixed=whole.fixed[rows], families=whole.families, family_s=whole.family_s[rows])


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1e-2), st.floats(0, 1e-5), st.floats(0.5, 2.0), st.integers(0, 50))
def test_a_known_overhead_is_found_again(constant: float, per_kernel: float, share: float, seed: int) -> None:
    made = terms(60, seed)
    measured = made.fixed @ np.array([constant, per_kernel, 0.0, 0.0]) + made.family_s.sum(axis=1) * share
    found = fit_overhead({"mixed": made}, measured)
    assert found is not None
    assert found.network_s(made, "mixed") == pytest.approx(measured, rel=0.02)
    assert min(found.coefficients["mixed"]) >= 0


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 1.0), st.floats(1.3, 2.0), st.integers(0, 50))
def test_families_with_different_shares_are_told_apart(share: float, other: float, seed: int) -> None:
    made = terms(60, seed)
    measured = made.family_s @ [share, other]
    found = fit_overhead({"mixed": made}, measured)
    together = OverheadTerms(
        fixed=made.fixed, families=("any@a",), family_s=made.family_s.sum(axis=1, keepdims=True)
    )
    alike = fit_overhead({"mixed": together}, measured)
    assert found is not None
    assert alike is not None
    assert 0 <= found.shares["mixed"]["conv@a"] < found.shares["mixed"]["pool@a"]
    assert found.error["mixed"] < 0.5 * alike.error["mixed"]


def test_a_family_that_no_network_has_takes_the_common_share() -> None:
    made = terms(40)
    absent = np.column_stack([made.family_s, np.zeros(40)])
    wider = OverheadTerms(fixed=made.fixed, families=(*FAMILIES, "gemm@a"), family_s=absent)
    found = fit_overhead({"mixed": wider}, made.family_s.sum(axis=1) * 1.3)
    assert found is not None
    common = found.coefficients["mixed"][-1]
    assert 1.0 < common < 1.3  # held near 1
    assert found.shares["mixed"]["conv@a"] == pytest.approx(1.3, rel=0.02)
    assert found.shares["mixed"]["gemm@a"] == pytest.approx(common, rel=1e-6)
    unknown = OverheadTerms(fixed=made.fixed[:1], families=("odd@a",), family_s=np.array([[1.0]]))
    known = OverheadTerms(fixed=made.fixed[:1], families=("gemm@a",), family_s=np.array([[1.0]]))
    assert found.network_s(unknown, "mixed") == pytest.approx(found.network_s(known, "mixed"))


def test_few_networks_keep_shares_near_the_common_one() -> None:
    made, few = terms(60), np.arange(4)
    measured = made.family_s @ [1.0, 2.0]
    all_of_them = fit_overhead({"mixed": made}, measured)
    some = fit_overhead({"mixed": of_part(made, few)}, measured[few])
    assert all_of_them is not None
    assert some is not None

    def spread(shares: dict[str, float]) -> float:
        return shares["pool@a"] - shares["conv@a"]

    assert 0 < spread(dict(some.shares["mixed"])) < spread(dict(all_of_them.shares["mixed"])) < 1.0


def test_too_few_networks_tell_nothing() -> None:
    assert fit_overhead({"mixed": terms(2)}, np.ones(2)) is None


def test_a_network_without_kernels_takes_nothing() -> None:
    overhead = NetworkOverhead(coefficients={"mixed": (1.0, 0.0, 0.0, 0.0, 1.0)}, n_networks=3, error={})
    nothing = OverheadTerms(fixed=np.array([[1.0, 0.0, 0.0, 0.0]]), families=(), family_s=np.zeros((1, 0)))
    assert overhead.network_s(nothing, "mixed").tolist() == [0.0]


def test_it_lasts_as_json_and_damage_is_told() -> None:
    found = fit_overhead({"mixed": terms(20)}, terms(20).family_s.sum(axis=1) * 1.1)
    assert found is not None
    document = found.to_json()
    assert NetworkOverhead.from_json(document) == found
    shares = "s_per_kernel_s_by_family"
    for broken in (
        None,
        3,
        {},
        {**document, "coefficients": {"mixed": {TERMS[0]: -1.0}}},
        {**document, shares: {"mixed": {"conv@a": -1.0}}},
        {**document, shares: {"mixed": {"conv@a": "x"}}},
        {**document, shares: 3},
    ):
        with pytest.raises(ModelError):
            NetworkOverhead.from_json(broken)
    with pytest.raises(ModelError, match="expected"):
        NetworkOverhead(coefficients={"mixed": (-1.0, 0.0, 0.0, 0.0, 1.0)}, n_networks=3, error={})
