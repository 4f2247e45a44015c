"""Estimates of a search space's architectures: arrays in, an array out, no network built on the way.

A population goes from encodings to pieces (the space), to layers in slots, to kernels (the platform's mapping
model, over arrays), to prices: `annette.estimation.population`. Sums do not depend on their order
(`annette.estimation.exact_sum`), so that the numbers are those of one network at a time, to the last bit.
Where a platform or a space asks for what arrays do not carry, networks are built and estimated instead.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.errors import UsageError
from annette.estimation.population.contents import map_population
from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.layers import assemble
from annette.estimation.population.prices import KernelPrices, check_device
from annette.estimation.population.templates import Templates
from annette.zoo.spaces.space import Encodings, SearchSpace

if TYPE_CHECKING:
    from annette.estimation.platform import Platform

__all__ = ["estimate_space"]

_LOG = logging.getLogger(__name__)

OnProgress = Callable[[int, int], None]
"""Called with the architectures done and to do."""

CHUNK = 2048
"""Architectures at once: enough for arrays to pay, few enough for the memory of a small machine."""
_SMALL_SPACE = 1_000_000
"""Spaces with fewer rows keep every answer."""


@dataclass(slots=True, eq=False)
class _Known:
    """What is kept of one space on one platform."""

    platform: ref[Platform]
    templates: Templates
    prices: KernelPrices
    totals: dict[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict)
    """Of small spaces the answer by rank, nan where it is not known, by model and target."""


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
    """Seconds (or joules) of each architecture; see `Platform.estimate_space`."""
    rows = _rows(space, encodings)
    return _vector(platform, space, rows, model, target)


def _vector(platform: Platform, space: SearchSpace, rows: Encodings, model: str, target: str) -> NDArray[np.float64]:
    known = _known(platform, space)
    models = platform.layer_models if target == "latency" else platform.energy_models
    if models is None:
        raise UsageError("x")
    out = []
    for start in range(0, len(rows), CHUNK):
        out.append(_chunk(platform, known, models, rows[start : start + CHUNK], model, target))
    return np.concatenate([np.empty(0), *out])


def _chunk(platform, known, models, rows, model, target):
    check_device(platform.device)
    layers = assemble(known.templates.space.pieces(rows), known.templates)
    kernels = map_population(layers, known.templates.signatures, platform.mapping_model)
    numbers = known.prices.numbers(kernels)
    hi, lo = known.prices.parts(models, model, target)
    n = len(rows)
    return np.bincount(kernels.network, hi[numbers], n) + np.bincount(kernels.network, lo[numbers], n)


def _known(platform: Platform, space: SearchSpace) -> _Known:
    items = _KNOWN.setdefault(space, [])
    items[:] = [item for item in items if item.platform() is not None]
    for item in items:
        if item.platform() is platform:
            return item
    found = _Known(ref(platform), Templates(space), KernelPrices(platform.device))
    items.append(found)
    return found


def _rows(space: SearchSpace, encodings: ArrayLike | Sequence[str]) -> Encodings:
    return space.check(encodings)
