"""Which networks to time: those that tell the most about the costs of the terms, before anything is timed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.calibration.features import Contents, count_networks
from annette.calibration.graphs import graph_views
from annette.calibration.residual import USUAL_SPREAD, kernel_factor
from annette.calibration.terms import terms_of
from annette.errors import UsageError
from annette.graph.network import Network
from annette.zoo.spaces.space import Encodings, SearchSpace

__all__ = [
    "candidate_rows",
    "choose_rows",
    "design_of",
    "information_rows",
    "suggest_architectures",
    "suggest_networks",
]

CANDIDATES = 1500
"""Architectures that are looked at: of more, designs of ten are no better."""
_SMALL_SPACE = 20_000
"""Of spaces with at most so many rows the candidates are drawn out of all architectures, each once."""
_PRIOR = 1e-3
"""Variance of the noise over that of costs before anything is measured: 3 %, costs of the latency's size."""
_RANK = 30
"""Directions in which kinds of kernels may differ; the others tell next to nothing."""
_ROUNDS = 2
_LEAST_KERNELS = 0.1
"""Architectures with fewer kernels than this share of the mean in one of the graphs are not suggested: a
compiler may fold them to nothing, and then their latency tells nothing of others."""
_LEAST_SIZE = 0.3
"""Networks smaller than this share of the mean one tell no more than one of this size: of networks that
take no time at all only the fixed term is seen."""

Floats = NDArray[np.float64]


def information_rows(contents: Contents) -> Floats:
    """What the latency of each network tells of: costs of terms, and kinds of kernels beside these.

    Shape (n_networks, n_terms + rank), relative to the size of each network, so that latencies count by their
    relative error.
    """
    terms = terms_of(contents)
    columns = terms.columns(contents)
    equal_share = contents.times * (terms.per_kind(contents.kinds).sum(axis=1) / max(len(terms.names) - 1, 1))
    kinds = USUAL_SPREAD * equal_share @ kernel_factor(contents.kinds, rank=_RANK)
    size = np.maximum(columns.mean(axis=1, keepdims=True), _LEAST_SIZE)
    found: Floats = np.hstack([columns, kinds]) / size
    return found


def design_of(graphs: Sequence[Contents]) -> list[Floats]:
    """The designs for `choose_rows` of networks as graphs of each sort."""
    designs = [information_rows(contents) for contents in graphs]
    if len(designs) > 1:
        designs.append(np.hstack(designs))  # tells which of the graphs the device runs
    return designs


def choose_rows(designs: Sequence[Floats], count: int, measured: Sequence[int] = ()) -> list[int]:
    """Rows that together have the greatest determinant of information, for several designs at once.

    Rows are added one by one, each the best beside those that are there, and then exchanged.

    Parameters
    ----------
    designs : sequence of ndarray of shape (n_rows, n_unknowns)
        `information_rows` of each candidate, one array for each graph that a device may run.
    count : int
        Rows to choose.
    measured : sequence of int
        Rows that are known already: they are not chosen again.

    References
    ----------
    Fedorov: Theory of Optimal Experiments, 1972, chapter 3 (D-optimal designs by exchange).

    Examples
    --------
    >>> import numpy as np
    >>> choose_rows([np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])], 2)
    [1, 2]
    """
    inverses = [np.eye(rows.shape[1]) / _PRIOR for rows in designs]

    def change(row: int, sign: float) -> None:
        for place, rows in enumerate(designs):
            step = inverses[place] @ rows[row]
            inverses[place] = inverses[place] - sign * np.outer(step, step) / (1 + sign * (rows[row] @ step))

    def best(taken: Sequence[int]) -> int:
        gains = np.zeros(len(designs[0]))
        for rows, inverse in zip(designs, inverses, strict=True):
            gains += np.log1p(np.maximum(((rows @ inverse) * rows).sum(axis=1), 0.0))
        gains[list(taken)] = -np.inf
        return int(gains.argmax())

    for row in measured:
        change(row, 1.0)
    chosen: list[int] = []
    for _ in range(count):
        chosen.append(best([*measured, *chosen]))
        change(chosen[-1], 1.0)
    for _ in range(_ROUNDS):
        for place, row in enumerate(chosen):
            change(row, -1.0)
            chosen[place] = best([*measured, *chosen[:place], *chosen[place + 1 :]])
            change(chosen[place], 1.0)
    return chosen


def candidate_rows(space: SearchSpace, *, seed: int, count: int = CANDIDATES) -> Encodings:
    """Architectures of a space drawn at random, all different."""
    if space.size <= _SMALL_SPACE:
        every = np.array(list(space.enumerate()), dtype=np.int64)
        order = np.random.default_rng(seed).permutation(len(every))[:count]
        return every[np.sort(order)]
    return np.unique(space.sample(count, seed=seed), axis=0)


def suggest_architectures(
    space: SearchSpace, count: int, *, measured: ArrayLike | None = None, seed: int = 0
) -> Encodings:
    """The architectures of a space to time, shape (count, n_genes); no latency is needed.

    They tell the most about the costs of the physical terms, whichever graph the device runs.

    Parameters
    ----------
    space : SearchSpace
        Where they come from.
    count : int
        How many, >= 1.
    measured : array_like of shape (n, n_genes), optional
        Architectures that are timed already; what is suggested goes with them.
    seed : int
        Of the candidates.

    Raises
    ------
    UsageError
        If there are fewer candidates, or ``count`` is not positive.

    Examples
    --------
    >>> from annette.zoo.spaces.registry import open_space
    >>> suggest_architectures(open_space("nasbench201"), 10).shape
    (10, 6)
    """
    candidates = candidate_rows(space, seed=seed)
    known = space.check(np.empty((0, len(space.choices))) if measured is None else measured)
    rows = np.concatenate([known, candidates[~_are_in(candidates, known)]])
    _require_enough(space.name, len(rows) - len(known), count)
    populations = [view.contents(rows) for view in graph_views(space)]
    kernels = np.array([contents.times.sum(axis=1) for contents in populations])
    is_empty = (kernels < _LEAST_KERNELS * kernels.mean(axis=1, keepdims=True)).any(axis=0)
    is_empty[: len(known)] = False
    if (~is_empty).sum() >= len(known) + count:
        rows, populations = rows[~is_empty], [contents.rows(~is_empty) for contents in populations]
    found: Encodings = rows[choose_rows(design_of(populations), count, range(len(known)))]
    return found


def suggest_networks(networks: Sequence[Network], count: int, *, measured: Sequence[int] = ()) -> list[int]:
    """Positions of the networks to time.

    Raises
    ------
    UsageError
        If there are fewer, or ``count`` is not positive.
    """
    _require_enough("networks", len(networks) - len(measured), count)
    contents: Contents = count_networks(networks)
    return choose_rows(design_of([contents]), count, measured)


def _are_in(rows: Encodings, others: Encodings) -> NDArray[np.bool_]:
    known = set(map(tuple, others.tolist()))
    return np.array([tuple(row) in known for row in rows.tolist()], dtype=bool)


def _require_enough(where: str, found: int, count: int) -> None:
    if count < 1:
        raise UsageError(f"{where}: {count} networks asked for, expected 1 or more")
    if found < count:
        raise UsageError(f"{where}: {count} networks asked for, found {found} that are not timed yet")
