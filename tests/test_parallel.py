"""Tasks in one process or several: the same answers in the same order, and a quiet end half-way."""

from __future__ import annotations

import operator
import os
import warnings

import pytest

from annette.errors import UsageError
from annette.parallel import require_jobs, run_as_done, run_in_order

TASKS = [(number, 7) for number in range(20)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_answers_come_in_the_order_of_the_tasks(jobs: int) -> None:
    assert list(run_in_order(divmod, TASKS, jobs)) == [divmod(number, 7) for number, _ in TASKS]
    assert list(run_in_order(os.getpid, [], jobs)) == []


def test_several_jobs_run_in_other_processes_and_one_in_this() -> None:
    assert set(run_in_order(os.getpid, [(), ()], 1)) == {os.getpid()}
    assert os.getpid() not in set(run_in_order(os.getpid, [(), ()], 2))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_that_fails_says_so(jobs: int) -> None:
    with pytest.raises(ZeroDivisionError):
        list(run_in_order(operator.truediv, [(1, 1), (1, 0)], jobs))


@pytest.mark.parametrize("jobs", [1, 2])
def test_whoever_stops_half_way_is_not_warned(jobs: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = run_in_order(divmod, TASKS, jobs)
        assert next(answers) == (0, 0)
        answers.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_tasks_share_is_one_object_in_each_process_also_in_later_calls(jobs: int) -> None:
    class Box:  # local, so that it travels by value
        def __init__(self) -> None:
            self.met: list[int] = []

    def meet(box: Box, text: str, number: int) -> tuple[int, int, str]:
        box.met.append(number)
        return os.getpid(), len(box.met), text

    box, seen = Box(), []
    for _ in range(2):
        seen += run_in_order(meet, [(number,) for number in range(20)], jobs, shared=(box, "same"))
        seen += run_as_done(meet, [(number,) for number in range(20)], 2, shared=(box, "same"))
    for process in {process for process, _, _ in seen}:
        counts = sorted(count for other, count, _ in seen if other == process)
        assert counts == list(range(counts[0], counts[0] + len(counts)))
    assert {text for _, _, text in seen} == {"same"}
    assert bool(box.met) == (jobs == 1)


@pytest.mark.parametrize("jobs", [0, -2, 1.5, 2.0, "2", None, True])
def test_a_number_of_processes_that_is_none_is_refused(jobs: object) -> None:
    with pytest.raises(UsageError, match="expected a number of processes >= 1, or -1") as caught:
        require_jobs(jobs)
    assert "\n" not in str(caught.value)
