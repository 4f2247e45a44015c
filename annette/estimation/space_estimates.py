"""Estimates of a search space's architectures: arrays in, an array out, no network built on the way.

A population goes from encodings to pieces (the space), to layers in slots, to kernels (the platform's mapping
model, over arrays), to prices: `annette.estimation.population`. Sums do not depend on their order
(`annette.estimation.exact_sum`), so that the numbers are those of one network at a time, to the last bit.
Where a platform or a space asks for what arrays do not carry, networks are built and estimated instead.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from weakref import finalize, ref

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.errors import UsageError
from annette.estimation.bounds import LatencyIntervals, bounds_of_sums, require_spread
from annette.estimation.many_networks import INTERVALS, answer_many, models_of, needs_networks
from annette.estimation.network_estimates import require_model
from annette.estimation.population.contents import map_population
from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.folding import fold
from annette.estimation.population.layers import assemble
from annette.estimation.population.prices import KernelPrices, check_device
from annette.estimation.population.templates import Templates
from annette.parallel import require_jobs, run_in_order
from annette.zoo.spaces.space import Encodings, Pieces, SearchSpace, require_space

if TYPE_CHECKING:
    from annette.estimation.platform import Platform

__all__ = [
    "OnProgress",
    "count_space_kernels",
    "estimate_space",
    "estimate_space_intervals",
    "forget_spaces",
]

_LOG = logging.getLogger(__name__)

OnProgress = Callable[[int, int], None]
"""Called with the architectures done and to do."""

CHUNK = 4096
"""Architectures at once, about: enough for arrays to pay, few enough for the memory of a small machine."""
TASK = 4 * CHUNK
"""Architectures that another process gets at once; so few are not worth another process."""
FEW = 8
"""For so few architectures building their networks is quicker than arrays."""
SMALL_SPACE = 1_000_000
"""Of spaces with at most so many rows every answer is kept."""
MAX_KERNELS = 1 << 18
"""Kernels, and layers by themselves, kept of one space on one platform; beyond that all are forgotten."""


@dataclass(slots=True, eq=False)
class _Known:
    """What is kept of one space on one platform, while both live."""

    platform: ref[Platform]
    templates: Templates
    prices: KernelPrices
    answers: dict[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict)
    """Of small spaces the answers by rank, shape (n_answers, space.size), nan where none is known, by model
    and target."""
    reason: str | None = None
    """Why networks are built instead."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while a chunk is worked out: threads may share a space and a platform."""


_KNOWN: dict[int, list[_Known]] = {}
"""By identity of the space; forgotten with it."""
_KNOWN_LOCK = threading.Lock()


def forget_spaces(platform: Platform) -> None:
    """Forget what is kept of search spaces on a platform; no answer depends on it."""
    with _KNOWN_LOCK:
        for items in _KNOWN.values():
            items[:] = [item for item in items if item.platform() not in (None, platform)]


def count_space_kernels(platform: Platform) -> int:
    """How many kernels of search spaces are kept for a platform."""
    with _KNOWN_LOCK:
        items = [item for known in _KNOWN.values() for item in known if item.platform() is platform]
    return sum(len(item.prices) for item in items)


def estimate_space(
    platform: Platform,
    space: SearchSpace,
    encodings: ArrayLike | Sequence[str],
    *,
    model: str = "mixed",
    target: str = "latency",
    n_jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> NDArray[np.float64]:
    """`annette.estimation.platform.Platform.estimate_space`."""
    require_model(model)
    models_of(platform, target)
    found: NDArray[np.float64] = _estimate(platform, space, encodings, model, target, n_jobs, on_progress)[0]
    return found


def estimate_space_intervals(
    platform: Platform,
    space: SearchSpace,
    encodings: ArrayLike | Sequence[str],
    *,
    model: str = "mixed",
    n_jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> LatencyIntervals:
    """`annette.estimation.platform.Platform.estimate_space_intervals`."""
    require_model(model)
    require_spread(platform, model)
    found = _estimate(platform, space, encodings, model, INTERVALS, n_jobs, on_progress)
    return LatencyIntervals(latency_s=found[0], low_s=found[1], high_s=found[2])


def _estimate(
    platform: Platform,
    space: SearchSpace,
    encodings: ArrayLike | Sequence[str],
    model: str,
    target: str,
    n_jobs: int,
    on_progress: OnProgress | None,
) -> NDArray[np.float64]:
    """What is asked of the architectures, shape (n_answers, n)."""
    require_space(space)
    require_jobs(n_jobs, "n_jobs")
    rows = _rows(space, encodings)
    asked = _Asked(platform, space, model, target, n_jobs, on_progress)
    known = _known(platform, space)
    return (_estimate_rows if space.size > SMALL_SPACE else _look_up)(asked, known, rows)


def _rows(space: SearchSpace, encodings: ArrayLike | Sequence[str]) -> Encodings:
    if isinstance(encodings, str):
        raise UsageError(f"{space.name}: one text, expected a sequence of texts, as in [text]")
    if isinstance(encodings, list) and set(map(type, encodings)) == {str}:
        return space.check(space.parse_many(encodings))
    array = np.asarray(encodings)
    if (
        array.ndim == 1
        and array.dtype.kind in "UOT"
        and all(isinstance(item, str) for item in array.tolist())
    ):
        return space.check(space.parse_many(array.tolist()))
    return space.check(array)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of a platform about a space."""

    platform: Platform
    space: SearchSpace
    model: str
    target: str
    n_jobs: int = 1
    on_progress: OnProgress | None = None

    @property
    def n_answers(self) -> int:
        """Numbers that are asked of each architecture: a price, or a latency and the ends of its interval."""
        return 3 if self.target == INTERVALS else 1

    def report(self, done: int, to_do: int) -> None:
        """Tell how far it is."""
        if self.on_progress is not None:
            self.on_progress(done, to_do)


def _look_up(asked: _Asked, known: _Known, rows: Encodings) -> NDArray[np.float64]:
    """The answers for checked rows of a small space; those that are new are worked out once."""
    space = asked.space
    nothing = np.full((asked.n_answers, space.size), np.nan)
    answers = known.answers.setdefault((asked.model, asked.target), nothing)
    ranks = np.ravel_multi_index(tuple(rows.T), space.choices)
    wanted = np.zeros(space.size, dtype=bool)
    wanted[ranks] = True
    new = np.flatnonzero(wanted & np.isnan(answers[0]))
    if len(new):
        own = np.stack(np.unravel_index(new, space.choices), axis=1).astype(np.int64)
        same = np.ravel_multi_index(tuple(space.canonical(own).T), space.choices)
        distinct, places = np.unique(same, return_inverse=True)
        some = np.stack(np.unravel_index(distinct, space.choices), axis=1).astype(np.int64)
        # Of the rows asked about as many are done as of those that have to be worked out.
        inner = replace(
            asked, on_progress=lambda done, to_do: asked.report(len(rows) * done // to_do, len(rows))
        )
        answers[:, new] = _estimate_rows(inner, known, some)[:, places]
    else:
        asked.report(len(rows), len(rows))
    found: NDArray[np.float64] = answers[:, ranks]
    return found


def _estimate_rows(asked: _Asked, known: _Known, rows: Encodings) -> NDArray[np.float64]:
    """The answers for checked rows, here or by several processes."""
    if asked.n_jobs == 1 or len(rows) <= TASK:
        return _estimate_here(asked, known, rows)
    from joblib import effective_n_jobs

    step = min(TASK, max(CHUNK, -(-len(rows) // (2 * effective_n_jobs(asked.n_jobs)))))
    tasks = [(rows[start : start + step],) for start in range(0, len(rows), step)]
    found: list[NDArray[np.float64]] = []
    done = 0
    shared = (asked.platform, asked.space, asked.model, asked.target)
    for part in run_in_order(_estimate_task, tasks, asked.n_jobs, shared=shared):
        found.append(part)
        done += part.shape[1]
        asked.report(done, len(rows))
    return np.concatenate(found, axis=1)


def _estimate_task(
    platform: Platform, space: SearchSpace, model: str, target: str, rows: Encodings
) -> NDArray[np.float64]:
    """What another process does."""
    return _estimate_here(_Asked(platform, space, model, target), _known(platform, space), rows)


def _estimate_here(asked: _Asked, known: _Known, rows: Encodings) -> NDArray[np.float64]:
    found = np.empty((asked.n_answers, len(rows)))
    is_few = len(rows) <= FEW or needs_networks(asked.platform, asked.target)
    step = -(-len(rows) // max(round(len(rows) / CHUNK), 1))  # even ones: each has its costs
    for start in range(0, len(rows), max(step, 1)):
        own = slice(start, min(start + step, len(rows)))
        if known.reason is None and not is_few:
            try:
                with known.lock:
                    found[:, own] = _estimate_chunk(asked, known, rows[own])
            except NotVectorisedError as err:
                known.reason = str(err)
                _LOG.info("%s on %s network by network: %s", asked.space.name, asked.platform.name, err)
        if known.reason is not None or is_few:
            networks = (asked.space.network(row, name="architecture") for row in rows[own].tolist())
            found[:, own] = answer_many(asked.platform, networks, asked.model, asked.target)
        asked.report(own.stop, len(rows))
    return found


def _estimate_chunk(asked: _Asked, known: _Known, rows: Encodings) -> NDArray[np.float64]:
    check_device(asked.platform.device)
    if max(len(known.prices), len(known.templates.signatures.items)) > MAX_KERNELS:
        known.templates, known.prices = Templates(asked.space), KernelPrices(asked.platform.device)
    return _estimate_pieces(asked, known, asked.space.checked_pieces(rows))


def _estimate_pieces(asked: _Asked, known: _Known, pieces: Pieces) -> NDArray[np.float64]:
    folded = fold(pieces)
    layers = assemble(pieces if folded is None else folded.pieces, known.templates)
    if not layers.slots:
        return np.zeros((asked.n_answers, layers.n_networks))
    kernels = map_population(layers, known.templates.signatures, asked.platform.mapping_model)
    numbers = known.prices.numbers(kernels)
    counts = None if folded is None else folded.weights(layers, kernels)
    found = _sums(asked, known, _Counted(numbers, kernels.network, counts, layers.n_networks))
    unlike = folded.unlike(layers, kernels) if folded is not None else kernels.network[:0]
    if len(unlike):
        whole = replace(pieces, codes=pieces.codes[unlike], sources=pieces.sources[unlike], repeats=())
        found[:, unlike] = _estimate_pieces(asked, known, whole)
    return found


@dataclass(frozen=True, slots=True)
class _Counted:
    """Kernels of a population by number."""

    numbers: NDArray[np.int64]
    network: NDArray[np.int64]
    """Which network a kernel belongs to."""
    counts: NDArray[np.int64] | None
    """How often each is there; ``None``: once."""
    n_networks: int

    def sum(
        self, parts: tuple[NDArray[np.float64], NDArray[np.float64]], column: NDArray[np.int64], n: int
    ) -> NDArray[np.float64]:
        """Sums of kernels' numbers, given in two exact parts, by network and by column of ``n``."""
        place = self.network * n + column if n > 1 else self.network
        coarse, fine = (part[self.numbers] for part in parts)
        if self.counts is not None:
            coarse, fine = coarse * self.counts, fine * self.counts
        size = self.n_networks * n
        return np.asarray(np.bincount(place, coarse, size) + np.bincount(place, fine, size))


def _sums(asked: _Asked, known: _Known, kernels: _Counted) -> NDArray[np.float64]:
    """What is asked of networks, from the numbers of their kernels, shape (n_answers, n_networks)."""
    platform, model = asked.platform, asked.model
    models = platform.layer_models if asked.target == INTERVALS else models_of(platform, asked.target)
    whole = kernels.numbers[:0]
    found = kernels.sum(known.prices.parts(models, model), whole, 1)
    if asked.target != INTERVALS:
        return found[None]
    spread = require_spread(platform, model)
    doubts = known.prices.doubts(models, model, spread)
    family, n = doubts.family[kernels.numbers], doubts.n_families
    family_s = kernels.sum(doubts.doubt_s, family, n).reshape(-1, n)
    squares = kernels.sum(doubts.square_s2, whole, 1)
    return np.stack([found, *bounds_of_sums(spread, found, family_s, squares)])


def _known(platform: Platform, space: SearchSpace) -> _Known:
    """What is kept of a space on a platform."""
    with _KNOWN_LOCK:
        items = _KNOWN.get(id(space))
        if items is None:
            items = _KNOWN[id(space)] = []
            finalize(space, _KNOWN.pop, id(space), None)
        items[:] = [item for item in items if item.platform() is not None]
        for item in items:
            if item.platform() is platform:
                return item
        found = _Known(ref(platform), Templates(space), KernelPrices(platform.device))
        items.append(found)
        return found
