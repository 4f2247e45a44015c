"""Runs one function on many tasks, here or in several processes, and gives the answers in order."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

__all__ = ["run_in_order"]

_Answer = TypeVar("_Answer")


def run_in_order(
    function: Callable[..., _Answer], tasks: Sequence[tuple[Any, ...]], jobs: int
) -> Iterator[_Answer]:
    """``function(*task)`` of each task, in their order, each as soon as it and those before are done.

    Parameters
    ----------
    function : callable
        Of a module, so that other processes find it.
    tasks : sequence of tuple
        The arguments of each call.
    jobs : int
        Processes; >= 1. With 1, or a single task, everything runs in this one, task by task as asked for.

    Examples
    --------
    >>> list(run_in_order(pow, [(2, 3), (3, 2)], 1))
    [8, 9]
    """
    if jobs == 1 or len(tasks) <= 1:
        yield from (function(*task) for task in tasks)
        return
    from joblib import Parallel, delayed

    answers = Parallel(n_jobs=jobs, return_as="generator")(delayed(function)(*task) for task in tasks)
    try:
        for answer in answers:  # noqa: UP028 - ``yield from`` would close them itself, with a warning
            yield answer
    finally:
        with warnings.catch_warnings():  # whoever stops half-way knows that tasks are left
            warnings.simplefilter("ignore", UserWarning)
            answers.close()
