"""The verdict on an estimate: one rule, and never `solid` for what was never measured."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annette.estimation.catalogue import load_platform
from annette.estimation.estimate import Coverage, Interval
from annette.estimation.verdict import LEVELS, judge, judge_whole
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network

PLATFORMS = ("zcu102-dpu", "ncs2", "onnxruntime-epyc")
FULL = Coverage(
    modelled_fraction=1.0,
    generic_fraction=0.0,
    out_of_range_fraction=0.0,
    generic_operators=(),
    unseen_fraction=0.0,
    unseen_operators=(),
    host_fraction=0.0,
    host_layers=(),
)
SHARES = ("generic_fraction", "out_of_range_fraction", "unseen_fraction")
fractions = st.floats(0.0, 1.0)


def rank(coverage: Coverage, half_width: float | None) -> int:
    interval = None if half_width is None else Interval(low_s=1.0 - half_width, high_s=1.0 + half_width)
    verdict = judge(coverage, latency_s=1.0, n_kernels=3, interval=interval)
    assert (verdict.level == "solid") == (not verdict.reasons)
    assert all(reason[0].isupper() or reason[0].isdigit() for reason in verdict.reasons)
    assert all(reason.endswith(".") for reason in verdict.reasons)
    return LEVELS.index(verdict.level)


@given(
    shares=st.tuples(fractions, fractions, fractions),
    other=st.tuples(fractions, fractions, fractions),
    half=st.none() | st.floats(0.0, 0.9),
)
def test_less_that_was_measured_is_never_a_better_verdict(
    shares: tuple[float, ...], other: tuple[float, ...], half: float | None
) -> None:
    less = replace(FULL, **dict(zip(SHARES, map(min, shares, other), strict=True)))
    more = replace(FULL, **dict(zip(SHARES, map(max, shares, other), strict=True)))
    assert rank(less, half) <= rank(more, half)
    assert rank(less, None) <= rank(less, half) <= rank(less, 0.9)


def test_the_documented_limits_are_those_of_the_rule() -> None:
    limits = {
        "unseen_fraction": (0.01, 0.25),
        "generic_fraction": (0.1, 0.5),
        "out_of_range_fraction": (0.1, 0.5),
    }
    for (name, (some, much)), shift in itertools.product(limits.items(), (0.0, 1e-6)):
        assert rank(replace(FULL, **{name: some + shift}), None) == (shift > 0)
        assert rank(replace(FULL, **{name: much + shift}), None) == 1 + (shift > 0)
    assert [rank(FULL, half) for half in (0.1, 0.19, 0.21, 0.49, 0.51)] == [0, 0, 1, 1, 2]


def test_the_host_is_no_reason_by_itself() -> None:
    assert rank(replace(FULL, host_fraction=1.0, host_layers=("a", "b")), None) == 0


def test_a_network_of_which_nothing_runs_is_to_be_checked() -> None:
    assert judge(FULL, latency_s=0.0, n_kernels=0, interval=None).level == "check"


def stack_of(operator: str) -> Network:
    build = NetworkBuilder(f"stack of {operator}")
    x = build.input("x", (1, 16, 56, 56))
    for _ in range(4):
        x = build.add(operator, x)
    return build.finish(x)


@pytest.mark.parametrize("name", PLATFORMS)
@pytest.mark.parametrize("operator", ["Cos", "Tan", "Not"])
def test_operators_that_were_never_measured_are_not_solid(name: str, operator: str) -> None:
    estimate = load_platform(name).estimate(stack_of(operator))
    assert estimate.coverage.unseen_fraction == 1.0
    assert estimate.coverage.unseen_operators == (operator,)
    assert estimate.verdict.level == "unreliable"
    assert operator in estimate.verdict.reasons[0]
    assert estimate.to_dict()["verdict"] == {
        "level": "unreliable",
        "reasons": list(estimate.verdict.reasons),
    }


def test_one_unseen_operator_among_many_is_named_and_is_not_solid() -> None:
    build = NetworkBuilder("mostly known")
    x = build.input("x", (1, 32, 56, 56))
    for _ in range(6):
        x = build.relu(build.conv(x, 32, kernel=3, padding=1))
    estimate = load_platform("zcu102-dpu").estimate(build.finish(build.add("Tan", x)))
    assert estimate.coverage.unseen_operators == ("Tan",)
    assert estimate.verdict.level != "solid"
    assert "Tan" in " ".join(estimate.verdict.reasons)


def test_layers_on_the_host_are_counted_with_their_share() -> None:
    estimate = load_platform("zcu102-dpu").estimate("zoo:vit_tiny")
    on_host = [kernel for kernel in estimate.kernels if kernel.unit == "host"]
    assert estimate.coverage.host_layers == tuple(name for kernel in on_host for name in kernel.layers)
    share = sum(kernel.latency_s for kernel in on_host) / estimate.latency_s
    assert 0.0 < share == pytest.approx(estimate.coverage.host_fraction)


def test_kernels_tell_their_work_and_traffic() -> None:
    build = NetworkBuilder("one convolution")
    x = build.conv(build.input("x", (1, 16, 8, 8)), 32, kernel=1, bias=False)
    (kernel,) = load_platform("zcu102-dpu").estimate(build.finish(x)).kernels
    assert kernel.ops == 2 * 8 * 8 * 16 * 32
    assert kernel.memory_bytes == 8 * 8 * (16 + 32) + 16 * 32  # int8
    assert kernel.to_dict()["ops"] == kernel.ops


@given(half=st.floats(0.0, 0.9), unseen=fractions)
def test_of_whole_networks_the_worse_of_interval_and_unseen_operators_decides(
    half: float, unseen: float
) -> None:
    verdict = judge_whole(
        latency_s=1.0, interval=(1.0 - half, 1.0 + half), unseen=("Softmax",), unseen_fraction=unseen
    )
    width = judge(FULL, latency_s=1.0, n_kernels=3, interval=Interval(low_s=1.0 - half, high_s=1.0 + half))
    expected = max(LEVELS.index(width.level), (unseen > 0.01) + (unseen > 0.25))
    assert LEVELS.index(verdict.level) == expected
    assert any("Softmax" in reason for reason in verdict.reasons) == (unseen > 0.01)


def test_of_whole_networks_an_interval_of_any_width_is_told_in_few_letters() -> None:
    verdict = judge_whole(latency_s=1.0, interval=(1e-9, 1e9), unseen=(), unseen_fraction=0.0)
    assert verdict.level == "unreliable"
    assert verdict.reasons == ("The 90 % interval is so wide that it says nothing.",)
