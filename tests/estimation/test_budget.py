"""Budgets: kept, passed over, asked of a platform that cannot say, and not sure enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import annette
from annette.errors import UsageError
from annette.estimation.budget import AT_LEAST, Budget, check_budget
from annette.estimation.estimate import Coverage, Estimate, Interval


@pytest.fixture(scope="module")
def found() -> Estimate:
    answer = annette.load("ncs2").estimate("zoo:lenet5")
    interval = Interval(low_s=0.9 * answer.latency_s, high_s=1.1 * answer.latency_s)
    coverage = Coverage(**_solid(answer.coverage))
    return replace(answer, interval=interval, energy_j=0.002, coverage=coverage)


def _solid(coverage: Coverage, **shares: float) -> dict[str, Any]:
    known = {name: getattr(coverage, name) for name in coverage.__dataclass_fields__}
    zero = {name: 0.0 for name in known if name.endswith("_fraction")}
    return {**known, **zero, **shares}


@given(factor=st.floats(min_value=0.01, max_value=100))
def test_a_latency_passes_exactly_up_to_its_limit(found: Estimate, factor: float) -> None:
    answer = check_budget(found, Budget(max_latency_s=factor * found.latency_s))
    assert answer.passed == (found.latency_s <= factor * found.latency_s)
    assert answer.to_dict()["passed"] is answer.passed


def test_the_upper_end_is_what_is_compared_where_it_is_wanted(found: Estimate) -> None:
    between_s = 1.05 * found.latency_s
    assert check_budget(found, Budget(max_latency_s=between_s)).passed
    strict = check_budget(found, Budget(max_latency_s=between_s, upper_end=True))
    assert not strict.passed
    assert "upper end" in strict.failures[0]


def test_every_limit_that_is_passed_over_is_said(found: Estimate) -> None:
    answer = check_budget(found, Budget(max_latency_s=1e-9, max_energy_j=0.001))
    assert [text.split(" is ")[0] for text in answer.failures] == ["the latency", "the energy"]
    assert "2.00 mJ, more than 1.00 mJ" in answer.failures[1]


def test_two_numbers_that_look_alike_are_not_said_to_differ(found: Estimate) -> None:
    (text,) = check_budget(found, Budget(max_energy_j=0.002 * (1 - 1e-9))).failures
    assert text == "the energy is 2.00 mJ, just above 2.00 mJ"


@pytest.mark.parametrize(
    ("unseen", "passes"),
    [(0.0, ("solid", "check")), (0.1, ("check",)), (0.9, ())],
    ids=["solid", "check", "no"],
)
def test_the_verdict_has_to_be_good_enough(found: Estimate, unseen: float, passes: tuple[str, ...]) -> None:
    coverage = Coverage(**_solid(found.coverage, unseen_fraction=unseen))
    doubtful = replace(found, coverage=coverage)
    for level in AT_LEAST:
        answer = check_budget(doubtful, Budget(max_latency_s=10.0, at_least=level))
        assert answer.passed == (level in passes)
        assert all("never measured" in text for text in answer.failures)


def test_what_the_platform_does_not_know_is_a_wrong_call(found: Estimate) -> None:
    with pytest.raises(UsageError, match="no energy"):
        check_budget(replace(found, energy_j=None), Budget(max_energy_j=1.0))
    with pytest.raises(UsageError, match="no intervals"):
        check_budget(replace(found, interval=None), Budget(max_latency_s=1.0, upper_end=True))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_latency_s": 0.0},
        {"max_latency_s": float("nan")},
        {"max_energy_j": -1.0},
        {"max_latency_s": 1.0, "at_least": "unreliable"},
        {"max_energy_j": 1.0, "upper_end": True},
    ],
)
def test_a_budget_that_means_nothing_cannot_exist(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="budget: "):
        Budget(**options)
