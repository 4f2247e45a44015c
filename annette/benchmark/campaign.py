"""Runs a campaign: times what the store lacks, in one or more processes, and keeps each answer at once."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from annette.backends.protocol import Backend
from annette.errors import AnnetteError, DeviceLostError, MeasurementError, UsageError
from annette.graph.network import Network
from annette.measurement import DeviceInfo, Measurement
from annette.store.campaign import CampaignStore
from annette.store.codec import (
    measurement_from_json,
    measurement_to_json,
    network_from_bytes,
    network_to_bytes,
)
from annette.store.records import Task

__all__ = ["CampaignSummary", "measure_network", "run_campaign", "task_seed"]

_LOG = logging.getLogger(__name__)

_MAX_BATCH = 16  # tasks sent to a process at once: amortises pickling, yet little is lost when killed

_Answer = tuple[str, Measurement]
"""Id of the task and what the device said."""
_Question = tuple[str, str, bytes, int]
"""To a measuring process: ids of task and network, the network, the seed."""
_Reply = tuple[str, str | None, str | None, int | None]
"""From a measuring process: id of the task, values, error, seed."""


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
        If a measuring process dies, or the device is lost; what was measured is kept.
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


def measure_network(backend: Backend, network: Network, seed: int) -> Measurement:
    """The backend's answer; what it raises, save a lost device, or answers wrongly becomes its error."""
    try:
        measurement = backend.measure(network, seed=seed)
        fault = _fault(measurement, backend, network)
    except DeviceLostError:
        raise
    except Exception as err:  # noqa: BLE001  # one bad benchmark must not stop the rest
        text = " ".join(str(err).split()) or "no message"
        fault = text if isinstance(err, AnnetteError) else f"{type(err).__name__}: {text}"
    if fault:
        return Measurement(network_id=network.id, device=backend.info, error=fault, seed=seed)
    return measurement


def _fault(measurement: Measurement, backend: Backend, network: Network) -> str:
    """What is wrong with a backend's answer; empty if nothing is."""
    if measurement.network_id != network.id or measurement.device != backend.info:
        return "the backend answered for another network or device"
    counters = [value for item in measurement.kernels or () for value in item.counters.values()]
    if not all(math.isfinite(value) for value in counters):
        return "the backend answered a counter that is not a finite number"
    return ""


def _measure_all(todo: Sequence[tuple[Task, int]], backend: Backend, jobs: int) -> Iterator[_Answer]:
    """Answers as they come; in this process for ``jobs=1``."""
    if jobs == 1 or len(todo) <= 1:
        yield from ((task.id, measure_network(backend, task.network, seed)) for task, seed in todo)
        return
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    processes: int = joblib.effective_n_jobs(jobs)
    size = max(1, min(_MAX_BATCH, len(todo) // (4 * processes)))
    batches = (todo[start : start + size] for start in range(0, len(todo), size))
    calls = (
        joblib.delayed(_measure_batch)(backend, [_pack(*item) for item in batch], os.getpid())
        for batch in batches
    )
    networks = {task.id: task.network.id for task, _ in todo}
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    batches_done = parallel(calls)
    try:
        for answers in batches_done:
            for task_id, result, error, seed in answers:
                yield task_id, _unpack(result, error, networks[task_id], backend.info, seed)
    except TerminatedWorkerError as err:
        raise MeasurementError(
            "a measuring process died (out of memory?); what was measured is kept: run the same command "
            "again to continue, with fewer jobs"
        ) from err
    finally:
        with warnings.catch_warnings():  # of joblib's, that work is thrown away: nobody waits for it any more
            warnings.simplefilter("ignore")
            batches_done.close()


# Between processes go the same bytes and text that the store keeps: far quicker to make than pickled objects.


def _pack(task: Task, seed: int) -> _Question:
    return task.id, task.network.id, network_to_bytes(task.network), seed


def _unpack(
    result: str | None, error: str | None, network_id: str, device: DeviceInfo, seed: int | None
) -> Measurement:
    if result is None:
        return Measurement(network_id=network_id, device=device, error=error, seed=seed)
    return measurement_from_json(result, network_id=network_id, device=device, seed=seed)


def _measure_batch(backend: Backend, batch: Iterable[_Question], campaign_process: int) -> list[_Reply]:
    _end_with(campaign_process)
    replies = []
    for task_id, network_id, data, seed in batch:
        answer = measure_network(backend, network_from_bytes(data, network_id=network_id), seed)
        result = None if answer.error is not None else measurement_to_json(answer)
        replies.append((task_id, result, answer.error, answer.seed))
    return replies


@cache
def _end_with(campaign_process: int) -> None:
    """Let this measuring process end within a second or two of its parent, even if that was killed.

    Otherwise it would idle for minutes, and hold open the pipes that it shares with the parent. Nothing is
    done where the parent is another process: under another backend of joblib, or in the campaign's own. One
    that had no work yet when the campaign was killed idles until joblib's own limit (five minutes).
    """

    def watch() -> None:
        while os.getppid() == campaign_process:
            time.sleep(1.0)
        os._exit(1)

    if os.getppid() == campaign_process:
        threading.Thread(target=watch, daemon=True).start()
