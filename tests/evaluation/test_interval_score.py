"""What intervals hold: counted as they are, for suites, recorded networks and kernels alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annette.backends.simulator import open_simulator
from annette.cli.evaluate import print_evaluation
from annette.errors import ModelError
from annette.estimation.platform import Platform
from annette.evaluation.interval_score import score_intervals
from annette.evaluation.score import score_records
from annette.evaluation.suite import Evaluation, evaluate_suite
from annette.store.records import Record, Task
from annette.zoo.registry import zoo_network

NETWORKS = tuple(zoo_network(name) for name in ("lenet5", "tc_resnet8", "squeezenet1_1"))


@pytest.fixture(scope="module")
def evaluation(small_platform: Platform) -> Evaluation:
    return evaluate_suite(small_platform, NETWORKS, device="zcu102-dpu")


@given(values=st.lists(st.tuples(st.floats(0.5, 2), st.floats(0, 0.5), st.floats(0, 0.5)), min_size=1))
def test_a_wider_interval_covers_no_less(values: list[tuple[float, float, float]]) -> None:
    measured, down, up = (np.array(column) for column in zip(*values, strict=True))
    predicted = np.ones(len(measured))
    narrow = score_intervals(measured, predicted, predicted - down, predicted + up)
    wide = score_intervals(measured, predicted, predicted - 2 * down, predicted + 2 * up)
    assert narrow.coverage <= wide.coverage
    assert narrow.median_half_width <= wide.median_half_width
    assert score_intervals(measured, predicted, 0 * predicted, 9 * predicted).coverage == 1.0


def test_nothing_has_no_score() -> None:
    with pytest.raises(ModelError, match="expected equal rows of values"):
        score_intervals([], [], [], [])


def test_suites_are_scored_by_the_intervals_of_estimates(
    evaluation: Evaluation, small_platform: Platform
) -> None:
    inside, kernels_inside = 0, 0
    for network, item in zip(NETWORKS, evaluation.networks, strict=True):
        estimate = small_platform.estimate(network)
        assert estimate.interval is not None
        ends = {model: (low, high) for model, low, high in item.intervals_s}
        assert ends["mixed"] == (estimate.interval.low_s, estimate.interval.high_s)
        inside += estimate.interval.low_s <= item.measured_s <= estimate.interval.high_s
        kernels_inside += dict(item.covered_kernels)["mixed"]
    score = evaluation.interval_score("mixed")
    assert score is not None
    assert score.coverage == pytest.approx(inside / len(NETWORKS))
    compared = sum(item.compared_kernels for item in evaluation.networks)
    assert evaluation.kernel_coverage("mixed") == pytest.approx(kernels_inside / compared)


def test_recorded_networks_have_the_same_score(evaluation: Evaluation, small_platform: Platform) -> None:
    device = open_simulator("zcu102-dpu")
    records = [
        Record(
            task=Task(network=network, category="block", group="all"),
            measurement=device.measure(network, seed=number),
        )
        for number, network in enumerate(NETWORKS)
    ]
    found = score_records(small_platform, records)
    score = found.interval_score("all")
    assert score is not None
    known = evaluation.interval_score("mixed")
    assert known is not None
    assert score.median_half_width == known.median_half_width
    assert 0.0 <= (found.kernel_coverage() or 0.0) <= 1.0
    assert found.to_dict()["groups"]["all"]["intervals"]["mixed"] == score.to_dict()  # type: ignore[index]


def test_people_see_what_the_intervals_hold(
    evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    print_evaluation(evaluation.to_dict())
    text = capsys.readouterr().out
    assert "90 % intervals" in text
    assert "networks inside" in text


def test_a_platform_without_intervals_has_no_score(
    small_platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = evaluate_suite(replace(small_platform, intervals=None), NETWORKS[:1], device="zcu102-dpu")
    assert answer.interval_score("mixed") is None
    assert answer.kernel_coverage("mixed") is None
    assert answer.to_dict()["models"]["mixed"]["interval"] is None  # type: ignore[index]
    print_evaluation(answer.to_dict())
    assert "90 % intervals" not in capsys.readouterr().out
