"""Runs a campaign: times what the store lacks, in one or more processes, and keeps each answer at once."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from annette.backends.protocol import Backend
from annette.errors import AnnetteError, MeasurementError, UsageError
from annette.measurement import Measurement
from annette.store.campaign import CampaignStore, Task

__all__ = ["CampaignSummary", "measure_task", "run_campaign", "task_seed"]

_LOG = logging.getLogger(__name__)

_MAX_BATCH = 16  # tasks sent to a process at once: amortises pickling, yet little is lost when killed

Answer = tuple[str, Measurement]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignSummary:
    """What one run of a campaign did."""

    planned: int
    """Tasks of the plan."""
    done_before: int
    """Tasks measured, or failed, in earlier runs."""
    measured: int
    """Tasks measured now."""
    failed: int
    """Tasks that failed now."""
    failures: tuple[tuple[str, int], ...]
    """Reasons of the failures now and how often each, most frequent first."""
    elapsed_s: float
    """Wall time of this run in seconds."""


def run_campaign(
    tasks: Sequence[Task],
    backend: Backend,
    store: CampaignStore,
    *,
    jobs: int = 1,
    on_progress: Callable[[int, int, int], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> CampaignSummary:
    """Time every task that the store has no answer for; the values depend on neither ``jobs`` nor the order.

    Parameters
    ----------
    jobs
        Processes that measure; -1 for one a processor. This process alone writes the store.
    on_progress
        Called with (done, total, failed) at the start and after each task, over this and earlier runs.

    Raises
    ------
    UsageError
        If ``jobs`` is 0 or less than -1.
    StoreError
        If the store holds another plan's tasks or another device's measurements, or cannot be written.
    MeasurementError
        If a measuring process dies.
    """
    if jobs == 0 or jobs < -1:
        raise UsageError(f"jobs: {jobs}, expected a number of processes >= 1, or -1 for one a processor")
    start = clock()
    store.add_tasks(tasks)
    waiting = set(store.pending())
    todo = [(task, task_seed(store.plan.seed, task)) for task in tasks if task.id in waiting]
    earlier = store.summary()
    done_before = earlier.planned - len(todo)
    report = on_progress or (lambda done, total, failed: None)
    report(done_before, len(tasks), earlier.failed)
    errors: Counter[str] = Counter()
    for done, (task_id, measurement) in enumerate(_measure_all(todo, backend, jobs), start=done_before + 1):
        store.record(task_id, measurement)
        if measurement.error is not None:
            errors[measurement.error] += 1
            _LOG.info("task %s failed: %s", task_id, measurement.error)
        report(done, len(tasks), earlier.failed + errors.total())
    return CampaignSummary(
        planned=len(tasks),
        done_before=done_before,
        measured=len(todo) - errors.total(),
        failed=errors.total(),
        failures=tuple(sorted(errors.items(), key=lambda item: (-item[1], item[0]))),
        elapsed_s=clock() - start,
    )


def task_seed(plan_seed: int, task: Task) -> int:
    """Seed of the task's measurement, in [0, 2**48): the same wherever and whenever it is measured."""
    return int.from_bytes(hashlib.sha256(f"{plan_seed}:{task.id}".encode()).digest()[:6], "big")


def measure_task(backend: Backend, task: Task, seed: int) -> Measurement:
    """The backend's answer for one task; whatever it raises becomes the measurement's error, in one line."""
    try:
        measurement = backend.measure(task.network, seed=seed)
    except Exception as err:  # noqa: BLE001  # one bad benchmark must not stop the rest
        text = " ".join(str(err).split()) or "no message"
        reason = text if isinstance(err, AnnetteError) else f"{type(err).__name__}: {text}"
        return Measurement(network_id=task.network.id, device=backend.info, error=reason, seed=seed)
    if measurement.error is not None:
        return measurement
    counters = [value for item in measurement.kernels or () for value in item.counters.values()]
    if not all(math.isfinite(value) for value in counters):
        reason = "the backend answered a counter that is not a finite number"
        return Measurement(network_id=task.network.id, device=backend.info, error=reason, seed=seed)
    return measurement


def _measure_all(todo: Sequence[tuple[Task, int]], backend: Backend, jobs: int) -> Iterator[Answer]:
    """Answers as they come; in this process for ``jobs=1``."""
    if jobs == 1 or len(todo) <= 1:
        yield from ((task.id, measure_task(backend, task, seed)) for task, seed in todo)
        return
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    processes: int = joblib.effective_n_jobs(jobs)
    size = max(1, min(_MAX_BATCH, len(todo) // (4 * processes)))
    batches = (todo[start : start + size] for start in range(0, len(todo), size))
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    try:
        for answers in parallel(joblib.delayed(_measure_batch)(backend, batch) for batch in batches):
            yield from answers
    except TerminatedWorkerError as err:
        raise MeasurementError(
            "a measuring process died (out of memory?); what was measured is kept: run the same command "
            "again to continue, with fewer jobs"
        ) from err


def _measure_batch(backend: Backend, batch: Iterable[tuple[Task, int]]) -> list[Answer]:
    return [(task.id, measure_task(backend, task, seed)) for task, seed in batch]
