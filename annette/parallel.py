"""Runs one function on many tasks, here, in several processes or on a Dask cluster: each task exactly once.

Several jobs run wherever joblib is told to: in processes of this machine, or on the workers of a Dask cluster
under ``joblib.parallel_config(backend="dask")`` or `on_dask`. One job always runs in this process.
"""

from __future__ import annotations

import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from numbers import Integral
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4
from weakref import finalize

from annette.errors import UsageError, WorkerLostError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["on_dask", "require_jobs", "run_as_done", "run_in_order"]

_Answer = TypeVar("_Answer")

_FEWEST_AHEAD = 16
"""Tasks that are with a cluster at any time: workers that come later find some."""
_PATIENCE_S = 10.0
"""How long a scheduler may take to answer, and the first worker to appear."""


def require_jobs(jobs: object, name: str = "jobs") -> None:
    """Check a number of processes, which its caller knows by this name.

    Raises
    ------
    UsageError
        If it is no whole number, 0, or less than -1.

    Examples
    --------
    >>> require_jobs(4)
    >>> require_jobs(-1)
    """
    if not isinstance(jobs, Integral) or isinstance(jobs, bool) or jobs == 0 or jobs < -1:
        raise UsageError(f"{name}: {jobs!r}, expected a number of processes >= 1, or -1 for one a processor")


def run_in_order(
    function: Callable[..., _Answer],
    tasks: Sequence[tuple[Any, ...]],
    jobs: int,
    *,
    shared: tuple[Any, ...] = (),
) -> Iterator[_Answer]:
    """``function(*shared, *task)`` of each task, in order, each as soon as it and those before are done.

    Parameters
    ----------
    function : callable
        Of a module, so that other processes find it.
    tasks : sequence of tuple
        The arguments of each call.
    jobs : int
        Processes; >= 1, or -1 for one a processor. With 1, or a single task, everything runs in this one,
        task by task as asked for. On a Dask cluster any other number means all of its workers.
    shared : tuple
        Arguments that all tasks have in common. Another process has one copy of each, the same for all
        tasks and for later calls: what it remembers about them is worth something.

    Raises
    ------
    WorkerLostError
        If a process died; on a Dask cluster only if the tasks cannot be run by its other workers either.

    Examples
    --------
    >>> list(run_in_order(pow, [(2, 3), (3, 2)], 1))
    [8, 9]
    """
    if jobs == 1 or len(tasks) <= 1:
        yield from (function(*shared, *task) for task in tasks)
        return
    yield from _run(function, tasks, jobs, _share(shared), in_order=True)


def run_as_done(
    function: Callable[..., _Answer],
    tasks: Iterable[tuple[Any, ...]],
    jobs: int,
    *,
    shared: tuple[Any, ...] = (),
) -> Generator[_Answer, None, None]:
    """``function(*shared, *task)`` of each task in other processes, in the order in which they finish.

    Tasks are asked for while others run: they need not exist all at once.

    Parameters
    ----------
    function, tasks, jobs, shared
        As for `run_in_order`.

    Raises
    ------
    WorkerLostError
        As from `run_in_order`.
    """
    return _run(function, tasks, jobs, _share(shared), in_order=False)


def _run(
    function: Callable[..., _Answer],
    tasks: Iterable[tuple[Any, ...]],
    jobs: int,
    shared: _Shared,
    *,
    in_order: bool,
) -> Generator[_Answer, None, None]:
    client = _dask_client()
    if client is not None:
        return _run_on_dask(client, function, tasks, shared, in_order=in_order)
    return _run_in_processes(function, tasks, jobs, shared, in_order=in_order)


def _dask_client() -> Client | None:
    """Of the Dask cluster that joblib is told to use, if it is."""
    from joblib.parallel import get_active_backend

    client = getattr(get_active_backend()[0], "client", None)
    if client is None or "distributed" not in sys.modules:
        return None
    from distributed import Client

    return client if isinstance(client, Client) else None


def _run_in_processes(
    function: Callable[..., _Answer],
    tasks: Iterable[tuple[Any, ...]],
    jobs: int,
    shared: _Shared,
    *,
    in_order: bool,
) -> Generator[_Answer, None, None]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    if in_order:
        parallel = Parallel(n_jobs=jobs, return_as="generator")
    else:
        parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    answers = parallel(delayed(_call)(function, shared, task) for task in tasks)
    try:
        for answer in answers:  # noqa: UP028 - ``yield from`` would close them itself, with a warning
            yield answer
    except BrokenProcessPool as err:
        raise _lost(err) from err
    finally:
        with warnings.catch_warnings():  # whoever stops half-way knows that tasks are left
            warnings.simplefilter("ignore", UserWarning)
            answers.close()


def _run_on_dask(
    client: Client,
    function: Callable[..., _Answer],
    tasks: Iterable[tuple[Any, ...]],
    shared: _Shared,
    *,
    in_order: bool,
) -> Generator[_Answer, None, None]:
    """The tasks as futures of the cluster, some of them ahead.

    Not by `joblib.Parallel`: that scatters each array to a single worker, and loses the tasks that wait for
    it if that one dies; and it waits forever for a task that Dask gave up (joblib 1.6).
    """
    from concurrent.futures import CancelledError

    from distributed import as_completed
    from distributed.comm.core import CommClosedError
    from distributed.scheduler import KilledWorker

    source = enumerate(tasks)
    ahead = max(_FEWEST_AHEAD, 2 * sum(client.nthreads().values()))
    if shared.items:
        client.run(_call, _nothing, shared, (), on_error="ignore")
    finished = as_completed(loop=client.loop)
    running: dict[Any, tuple[int, tuple[Any, ...]]] = {}

    def submit(number: int, task: tuple[Any, ...], given: _Shared) -> None:
        future = client.submit(_call, function, given, task, pure=False)
        running[future] = number, task
        finished.add(future)

    for number, task in islice(source, ahead):
        submit(number, task, shared.by_name())
    kept: dict[int, _Answer] = {}
    due = 0
    try:
        for future in finished:
            answer: _Answer | _Lacking = future.result()
            number, task = running.pop(future)
            if isinstance(answer, _Lacking):  # a worker that came later
                submit(number, task, shared)
                continue
            kept[number] = answer
            for number, task in islice(source, 1):
                submit(number, task, shared.by_name())
            while kept and (not in_order or due in kept):
                yield kept.pop(due if in_order else next(iter(kept)))
                due += 1
    except (CancelledError, CommClosedError, KilledWorker) as err:
        raise _lost(err) from err
    finally:
        client.cancel(list(running))


class _NotSent:
    """In place of an object that the other process has."""


class _Lacking:
    """The answer of a process that does not have what the tasks share."""


@dataclass(frozen=True, slots=True)
class _Shared:
    """Objects that become, in each other process, one and the same object however often they are sent."""

    items: tuple[Any, ...]
    tokens: tuple[str | None, ...]

    def by_name(self) -> _Shared:
        """What is sent to processes that have the objects already."""
        pairs = zip(self.items, self.tokens, strict=True)
        return _Shared(tuple(item if token is None else _NotSent() for item, token in pairs), self.tokens)

    def here(self) -> tuple[Any, ...] | _Lacking:
        """The objects of this process. Not as they are unpickled: Dask's scheduler does that too."""
        with _HOLDING:
            found = list(self.items)
            for place, token in enumerate(self.tokens):
                if token is not None and token not in _HELD:
                    if isinstance(found[place], _NotSent):
                        return _Lacking()
                    _HELD[token] = found[place]
                if token is not None:
                    found[place] = _HELD[token]
                    _HELD.move_to_end(token)
            while len(_HELD) > _MOST_HELD:
                _HELD.popitem(last=False)
        return tuple(found)


_TOKENS: dict[int, str] = {}
"""Of objects that were shared and still live, by their id."""
_HELD: OrderedDict[str, Any] = OrderedDict()
"""Here, the objects that came from another process, by its token; the last few."""
_MOST_HELD = 8
_HOLDING = Lock()


def _share(items: tuple[Any, ...]) -> _Shared:
    return _Shared(items, tuple(map(_token, items)))


def _token(item: Any) -> str | None:
    """Of an object that can be told from others for as long as it lives."""
    token = _TOKENS.get(id(item))
    if token is None:
        with suppress(TypeError):  # of what has no weak references
            finalize(item, _TOKENS.pop, id(item), None)
            token = _TOKENS[id(item)] = uuid4().hex
    return token


def _call(function: Callable[..., _Answer], shared: _Shared, task: tuple[Any, ...]) -> _Answer | _Lacking:
    items = shared.here()
    return items if isinstance(items, _Lacking) else function(*items, *task)


def _nothing(*shared: Any) -> None:
    """Asked of each worker at first, so that it has what the tasks share."""


def _lost(err: Exception) -> WorkerLostError:
    text = " ".join(str(err).split())[:200] or type(err).__name__
    return WorkerLostError(f"a working process died or cannot be reached (out of memory?): {text}")


@contextmanager
def on_dask(scheduler: str) -> Iterator[int]:
    """Everything with several jobs runs on a Dask cluster while this lasts; gives its number of threads.

    A task whose worker dies is run by another one. Workers of one thread (``dask worker --nthreads 1``) are
    best: most of annette holds Python's lock. A program that has a client of a cluster already may say
    ``with joblib.parallel_config(backend="dask")`` instead.

    Parameters
    ----------
    scheduler : str
        Where the cluster's scheduler listens, as in ``tcp://10.0.0.1:8786``.

    Raises
    ------
    UsageError
        If Dask is not installed, no scheduler answers there, it has no workers, or a worker has no annette or
        another version than this one.
    """
    try:
        from distributed import Client
    except ImportError as err:
        raise UsageError('a Dask cluster needs Dask: pip install "annette[dask]"') from err
    from joblib import parallel_config

    try:
        client = Client(scheduler, timeout=_PATIENCE_S, set_as_default=False)
    except (OSError, ValueError) as err:
        raise UsageError(
            f"Dask scheduler {scheduler}: no answer ({' '.join(str(err).split())[:120]}); "
            "expected the address of one that runs, as in tcp://10.0.0.1:8786"
        ) from err
    with client:
        _require_workers(client, scheduler)
        with parallel_config(backend="dask", client=client):
            yield sum(client.ncores().values())


def _require_workers(client: Client, scheduler: str) -> None:
    import annette

    try:
        client.wait_for_workers(1, timeout=_PATIENCE_S)
    except TimeoutError:
        raise UsageError(
            f"Dask scheduler {scheduler}: no worker; start some with: dask worker {scheduler} --nthreads 1"
        ) from None
    answers = client.run(_annette_version, on_error="return")
    for worker, answer in answers.items():
        if answer != annette.__version__:
            found = f"annette {answer}" if isinstance(answer, str) else f"no annette ({answer})"
            raise UsageError(
                f"Dask worker {worker}: {found}, expected annette {annette.__version__} as here; "
                "install the same everywhere"
            )


def _annette_version() -> str:
    import annette

    return annette.__version__
