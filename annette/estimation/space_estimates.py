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
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.estimation.network_estimates import estimate_many, models_of, require_model
from annette.estimation.population.contents import map_population
from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.folding import fold
from annette.estimation.population.layers import assemble
from annette.estimation.population.prices import KernelPrices, check_device
from annette.estimation.population.templates import Templates
from annette.parallel import run_in_order
from annette.zoo.spaces.space import Encodings, Pieces, SearchSpace

if TYPE_CHECKING:
    from annette.estimation.platform import Platform

__all__ = ["OnProgress", "estimate_space"]

_LOG = logging.getLogger(__name__)

OnProgress = Callable[[int, int], None]
"""Called with the architectures done and to do."""

CHUNK = 4096
"""Architectures at once: enough for arrays to pay, few enough for the memory of a small machine."""
TASK = 4 * CHUNK
"""Architectures that another process gets at once, to whom the platform travels with each task."""
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
    """Of small spaces the answers by rank, nan where none is known, by model and target."""
    reason: str | None = None
    """Why networks are built instead."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while something is learned: threads may share a space and a platform."""


_KNOWN: WeakKeyDictionary[SearchSpace, list[_Known]] = WeakKeyDictionary()


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
    rows = _rows(space, encodings)
    if n_jobs == 1 or len(rows) <= TASK:
        return _estimate_rows(platform, space, rows, model, target, on_progress)
    step = min(TASK, -(-len(rows) // max(2, n_jobs)))
    tasks = [(rows[start : start + step], model, target) for start in range(0, len(rows), step)]
    found: list[NDArray[np.float64]] = []
    done = 0
    for part in run_in_order(_estimate_rows, tasks, n_jobs, shared=(platform, space)):
        found.append(part)
        done += len(part)
        if on_progress is not None:
            on_progress(done, len(rows))
    return np.concatenate(found)


def _rows(space: SearchSpace, encodings: ArrayLike | Sequence[str]) -> Encodings:
    if isinstance(encodings, Sequence) and len(encodings) and isinstance(encodings[0], str):
        return space.check(space.parse_many([str(text) for text in encodings]))
    return space.check(encodings)


def _estimate_rows(
    platform: Platform,
    space: SearchSpace,
    rows: Encodings,
    model: str,
    target: str,
    on_progress: OnProgress | None = None,
) -> NDArray[np.float64]:
    """The answers for checked rows, in this process."""
    known = _known(platform, space)
    with known.lock:
        return _answers(platform, known, rows, model, target, on_progress)


def _answers(
    platform: Platform,
    known: _Known,
    rows: Encodings,
    model: str,
    target: str,
    on_progress: OnProgress | None,
) -> NDArray[np.float64]:
    """The answers for checked rows; those of a small space are looked up where they are known."""
    space = known.templates.space
    if space.size > SMALL_SPACE:
        return _estimate_distinct(platform, known, rows, model, target, on_progress)
    answers = known.answers.setdefault((model, target), np.full(space.size, np.nan))
    ranks = np.ravel_multi_index(tuple(rows.T), space.choices)
    asked = np.zeros(space.size, dtype=bool)
    asked[ranks] = True
    new = np.flatnonzero(asked & np.isnan(answers))
    if len(new):
        own = np.stack(np.unravel_index(new, space.choices), axis=1).astype(np.int64)
        same = np.ravel_multi_index(tuple(space.canonical(own).T), space.choices)
        distinct, places = np.unique(same, return_inverse=True)
        some = np.stack(np.unravel_index(distinct, space.choices), axis=1).astype(np.int64)
        answers[new] = _estimate_distinct(platform, known, some, model, target, on_progress)[places]
    found: NDArray[np.float64] = answers[ranks]
    if on_progress is not None:
        on_progress(len(rows), len(rows))
    return found


def _estimate_distinct(
    platform: Platform,
    known: _Known,
    rows: Encodings,
    model: str,
    target: str,
    on_progress: OnProgress | None,
) -> NDArray[np.float64]:
    space = known.templates.space
    found = np.empty(len(rows))
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        is_few = len(rows) <= FEW
        if known.reason is None and not is_few:
            try:
                found[start : start + len(chunk)] = _estimate_chunk(platform, known, chunk, model, target)
            except NotVectorisedError as err:
                known.reason = str(err)
                _LOG.info("%s on %s network by network: %s", space.name, platform.name, err)
        if known.reason is not None or is_few:
            networks = (space.network(row, name="architecture") for row in chunk.tolist())
            found[start : start + len(chunk)] = estimate_many(
                platform, networks, model=model, target=target, n_jobs=1, on_progress=None
            )
        if on_progress is not None and space.size > SMALL_SPACE:
            on_progress(start + len(chunk), len(rows))
    return found


def _estimate_chunk(
    platform: Platform, known: _Known, rows: Encodings, model: str, target: str
) -> NDArray[np.float64]:
    check_device(platform.device)
    if max(len(known.prices.rows), len(known.templates.signatures.items)) > MAX_KERNELS:
        known.templates, known.prices = Templates(known.templates.space), KernelPrices(platform.device)
    return _estimate_pieces(platform, known, known.templates.space.pieces(rows), model, target)


def _estimate_pieces(
    platform: Platform, known: _Known, pieces: Pieces, model: str, target: str
) -> NDArray[np.float64]:
    folded = fold(pieces)
    layers = assemble(pieces if folded is None else folded.pieces, known.templates)
    kernels = map_population(layers, known.templates.signatures, platform.mapping_model)
    numbers = known.prices.numbers(kernels)
    hi, lo = known.prices.parts(models_of(platform, target), model, target)
    coarse, fine, network = hi[numbers], lo[numbers], kernels.network
    if folded is not None:
        counts = folded.weights(layers, kernels)
        coarse, fine = coarse * counts, fine * counts
    n_networks = layers.n_networks
    found = np.bincount(network, coarse, n_networks) + np.bincount(network, fine, n_networks)
    unlike = folded.unlike(layers, kernels) if folded is not None else network[:0]
    if len(unlike):
        whole = replace(pieces, codes=pieces.codes[unlike], sources=pieces.sources[unlike], repeats=())
        found[unlike] = _estimate_pieces(platform, known, whole, model, target)
    return np.asarray(found)


def _known(platform: Platform, space: SearchSpace) -> _Known:
    """What is kept of a space on a platform."""
    items = _KNOWN.setdefault(space, [])
    items[:] = [item for item in items if item.platform() is not None]
    for item in items:
        if item.platform() is platform:
            return item
    found = _Known(ref(platform), Templates(space), KernelPrices(platform.device))
    items.append(found)
    return found
