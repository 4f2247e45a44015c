"""Runs a campaign: visits what the store lacks in interleaved rounds, and keeps each answer at once."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

from annette.backends.protocol import Backend
from annette.errors import AnnetteError, DeviceLostError, MeasurementError, UsageError, WorkerLostError
from annette.graph.network import Network
from annette.measurement import DeviceInfo, Measurement
from annette.parallel import require_jobs, run_as_done
from annette.store.campaign import CampaignStore
from annette.store.codec import (
    measurement_from_json,
    measurement_to_json,
    network_from_bytes,
    network_to_bytes,
)
from annette.store.records import Task
from annette.store.visits import UNSTABLE_FRACTION, most_visits

__all__ = [
    "CampaignSummary",
    "check_jobs",
    "measure_network",
    "measure_visits",
    "run_campaign",
    "task_seed",
    "visit_seed",
]

_LOG = logging.getLogger(__name__)

_MAX_BATCH = 16  # tasks sent to a process at once: amortises pickling, yet little is lost when killed

_Report = Callable[[int, int, int], None]
"""Takes visits done and to do, and tasks that failed."""
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
    """Tasks of the store: the plan's, and those appended."""
    done_before: int
    """Tasks measured, or failed, in earlier runs."""
    measured: int
    """Tasks that now got the last of their visits."""
    failed: int
    """Tasks that failed now."""
    failures: tuple[tuple[str, int], ...]
    """Reasons of the failures now and how often each, most frequent first."""
    visits: int
    """Visits taken now."""
    unstable: tuple[tuple[str, float], ...]
    """Networks whose visits still differ by more than 10 %, with their `spread_fraction`, the worst first."""
    elapsed_s: float
    """Wall time of this run in seconds."""


def run_campaign(
    tasks: Sequence[Task],
    backend: Backend,
    store: CampaignStore,
    *,
    jobs: int = 1,
    max_rounds: int | None = None,
    on_progress: Callable[[int, int, int], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> CampaignSummary:
    """Time every task that the store lacks; what is measured depends on neither ``jobs`` nor the order.

    A device that wants several visits of a network gets them in rounds over the whole campaign, so that the
    visits of one network are minutes apart. Networks whose visits then differ by more than 10 % are visited
    again, in rounds too, up to twice as often as all were. A network that failed is not visited again.

    Parameters
    ----------
    tasks
        Those of the plan; the ones that were appended to the store are measured too.
    jobs
        Processes that measure; -1 for one a processor. On a Dask cluster (`annette.parallel.on_dask`) any
        number but 1 means all of its workers. This process alone writes the store.
    max_rounds
        Stop after so many rounds, so that other measurements can be taken in between; each visits the tasks
        that were visited least. Unstable networks are visited again once nothing waits any more.
    on_progress
        Called with (done, total, failed) at the start and after each visit, over this and earlier runs:
        visits done and to do, and tasks that failed.

    Raises
    ------
    UsageError
        If ``jobs`` is 0 or less than -1, or not 1 for a device that times one network at a time; or if
        ``max_rounds`` is less than 1.
    StoreError
        If the store holds another plan's tasks or another device's measurements, or cannot be written.
    MeasurementError
        If a measuring process dies, or the device is lost; what was measured is kept.
    """
    check_jobs(jobs, backend.info)
    if max_rounds is not None and max_rounds < 1:
        raise UsageError(f"max_rounds: {max_rounds}, expected a number of rounds >= 1")
    start = clock()
    store.add_tasks(tasks)
    run = _Run(tasks, backend, store, jobs, on_progress or _ignore)
    run.visit_all(max_rounds)
    unstable = run.settle() if backend.info.visits > 1 and run.is_complete else ()
    return CampaignSummary(
        planned=run.planned,
        done_before=run.planned - run.pending,
        measured=run.measured,
        failed=run.errors.total(),
        failures=tuple(sorted(run.errors.items(), key=lambda item: (-item[1], item[0]))),
        visits=run.taken,
        unstable=unstable,
        elapsed_s=clock() - start,
    )


class _Run:
    """One run of a campaign: which tasks wait, and what was counted so far."""

    def __init__(
        self, tasks: Sequence[Task], backend: Backend, store: CampaignStore, jobs: int, report: _Report
    ) -> None:
        self.backend, self.store, self.jobs, self.report = backend, store, jobs, report
        self.errors: Counter[str] = Counter()
        self.taken = 0
        self._counts = store.visit_counts()
        self._tasks = {task.id: task for task in tasks}
        waiting = store.pending()
        self._load(waiting)
        self._waiting = dict.fromkeys(waiting)
        self.planned, self.pending = len(self._counts), len(waiting)
        self._failed = store.summary().failed
        needed = backend.info.visits
        self._total = self.planned * needed
        self._done = self._total - sum(needed - self._counts[task_id] for task_id in waiting)
        self._tell()

    @property
    def measured(self) -> int:
        """Tasks that waited and have all their visits."""
        return len(self._waiting) - len(self._lacking(self.backend.info.visits))

    @property
    def is_complete(self) -> bool:
        """Whether no task waits for a visit."""
        return not self._lacking(self.backend.info.visits)

    def visit_all(self, max_rounds: int | None) -> None:
        """Visit every waiting task as often as the device wants, one round after the other."""
        rounds = (self._lacking(visits) for visits in range(1, self.backend.info.visits + 1))
        for task_ids in islice(filter(None, rounds), max_rounds):
            self._round(task_ids)

    def _lacking(self, visits: int) -> list[str]:
        """The waiting tasks with fewer visits than that."""
        return [task_id for task_id in self._waiting if self._counts[task_id] < visits]

    def settle(self) -> tuple[tuple[str, float], ...]:
        """Visit unstable tasks again, up to the limit; returns the names and spreads that stay unstable."""
        most = most_visits(self.backend.info)
        unstable = _unstable(self.store, None)
        while True:
            again = [task_id for task_id in unstable if self._counts[task_id] < most]
            if not again:
                break
            _LOG.info("%d networks are unstable: visiting them again", len(again))
            self._load(again)
            self._total += len(again)
            self._round(again)
            unstable = _unstable(self.store, set(unstable))
        return tuple(sorted(unstable.values(), key=lambda item: (-item[1], item[0])))

    def _load(self, task_ids: Iterable[str]) -> None:
        lacking = {task_id for task_id in task_ids if task_id not in self._tasks}
        if lacking:
            self._tasks.update((task.id, task) for task in self.store.tasks(lacking))

    def _round(self, task_ids: Sequence[str]) -> None:
        plan_seed = self.store.plan.seed
        todo = [
            (self._tasks[task_id], task_seed(plan_seed, self._tasks[task_id], self._counts[task_id]))
            for task_id in task_ids
        ]
        for task_id, measurement in _measure_all(todo, self.backend, self.jobs):
            self.store.record(task_id, measurement)
            self.taken += 1
            self._done += 1
            self._counts[task_id] += 1
            if measurement.error is not None:
                self._fail(task_id, measurement.error)
            self._tell()

    def _fail(self, task_id: str, error: str) -> None:
        self.errors[error] += 1
        self._failed += 1
        self._done += max(0, self.backend.info.visits - self._counts[task_id])  # not asked for any more
        self._waiting.pop(task_id, None)
        _LOG.info("task %s failed: %s", task_id, error)

    def _tell(self) -> None:
        self.report(self._done, self._total, self._failed)


def _ignore(done: int, total: int, failed: int) -> None:
    """No one listens."""


def check_jobs(jobs: int, device: DeviceInfo) -> None:
    """Refuse a number of processes that the device cannot be measured with.

    Raises
    ------
    UsageError
        If ``jobs`` is 0 or less than -1, or not 1 for a device that times one network at a time.
    """
    require_jobs(jobs)
    if device.is_exclusive and jobs != 1:
        raise UsageError(
            f"jobs: {jobs}, but {device.name} times one network at a time: networks side by side slow each "
            "other down, and every time would be wrong; leave jobs at 1"
        )


def _unstable(store: CampaignStore, task_ids: Collection[str] | None) -> dict[str, tuple[str, float]]:
    """Name and spread of the tasks whose visits differ too much, by the task's id."""
    found = {}
    for record in store.records(task_ids):
        spread = record.measurement.spread_fraction
        if spread is not None and spread > UNSTABLE_FRACTION:
            found[record.task.id] = record.task.network.name, spread
    return found


def task_seed(plan_seed: int, task: Task, visit: int = 0) -> int:
    """Seed of a visit's measurement, in [0, 2**48): the same wherever and whenever it is measured."""
    return _seed(plan_seed, task.id, visit)


def visit_seed(seed: int, network: Network, visit: int) -> int:
    """Seed of a further visit of a network that was first measured with ``seed``; that one's for visit 0."""
    return _seed(seed, network.id, visit) if visit else seed


def _seed(first: int, what: str, visit: int) -> int:
    text = f"{first}:{what}:{visit}" if visit else f"{first}:{what}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def measure_visits(
    backend: Backend, network: Network, seed: int, on_progress: Callable[[int, int], None] | None = None
) -> tuple[Measurement, ...]:
    """As many visits of one network as its device wants, one right after the other; a failed one is the last.

    Parameters
    ----------
    on_progress
        Called with (done, total) visits at the start and after each.
    """
    total = backend.info.visits
    visits: list[Measurement] = []
    if on_progress is not None:
        on_progress(0, total)
    while len(visits) < total and not (visits and visits[-1].error is not None):
        visits.append(measure_network(backend, network, visit_seed(seed, network, len(visits))))
        if on_progress is not None:
            on_progress(len(visits), total)
    return tuple(visits)


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

    processes: int = joblib.effective_n_jobs(jobs)
    size = max(1, min(_MAX_BATCH, len(todo) // (4 * processes)))
    batches = (todo[start : start + size] for start in range(0, len(todo), size))
    questions = ((backend, [_pack(*item) for item in batch], os.getpid()) for batch in batches)
    networks = {task.id: task.network.id for task, _ in todo}
    batches_done = run_as_done(_measure_batch, questions, jobs)
    try:
        for answers in batches_done:
            for task_id, result, error, seed in answers:
                yield task_id, _unpack(result, error, networks[task_id], backend.info, seed)
    except WorkerLostError as err:
        raise MeasurementError(
            "a measuring process died or cannot be reached (out of memory?); what was measured is kept: run "
            "the same command again to continue, with fewer jobs"
        ) from err
    finally:
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
