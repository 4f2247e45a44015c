"""Regularised evolution in batches: the oldest die, the best of a random sample have children."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.errors import UsageError
from annette.zoo.spaces.space import Encoding, Encodings, SearchSpace

__all__ = ["Evolution", "evolve"]

Column = NDArray[np.float64]
"""Of a population, shape (n,)."""
Ask = Callable[[Encodings], ArrayLike]
"""Of architectures of shape (n, n_genes) a number each, shape (n,)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evolution:
    """Every architecture that was born, in order; the first ones were drawn at random."""

    encodings: Encodings
    """Shape (n_born, n_genes)."""
    fitness: Column
    """Shape (n_born,); more is better. Not a number where the constraint was violated: nobody asked."""
    violation: Column
    """Shape (n_born,); kept where <= 0. All 0 without a constraint."""

    def __post_init__(self) -> None:
        for array in (self.encodings, self.fitness, self.violation):
            array.setflags(write=False)

    @property
    def best(self) -> Encoding | None:
        """The fittest that keeps the constraint, the first of equals; ``None`` if there is none.

        There is none where nothing keeps the constraint, or the fitness of all that do is not a number.
        """
        known = np.flatnonzero(~np.isnan(self.fitness))
        if not len(known):
            return None
        return tuple(self.encodings[known[self.fitness[known].argmax()]].tolist())

    @property
    def best_fitness(self) -> float | None:
        """Of `best`; ``None`` where that is."""
        known = self.fitness[~np.isnan(self.fitness)]
        return float(known.max()) if len(known) else None


def evolve(
    space: SearchSpace,
    fitness: Ask,
    *,
    population: int,
    sample: int,
    cycles: int,
    rng: np.random.Generator,
    batch: int = 1,
    constraint: Ask | None = None,
) -> Evolution:
    """Regularised evolution: each child is a mutation of the best of a random sample, and the oldest die.

    With ``batch=1`` the algorithm of the reference. Larger batches ask for many at once, which is what makes
    estimates fast: the parents of a batch are drawn from the same population. An architecture that is born
    again, or is canonically the same, is not asked about again.

    Parameters
    ----------
    space : SearchSpace
        Gives the first population and the mutations.
    fitness : callable
        Of architectures that keep the constraint and were not seen before; more is better.
    population : int
        Architectures that live at a time, >= 2. The reference had 100.
    sample : int
        Of which the best becomes a parent, drawn with replacement; 1 to ``population``. The reference: 25.
    cycles : int
        Batches of children, >= 0.
    rng : numpy.random.Generator
        Makes all choices.
    batch : int
        Children of a cycle, 1 to ``population``.
    constraint : callable, optional
        Kept where <= 0, as `LatencyConstraint.violation`. What keeps it is better than what does not, and a
        smaller violation is better than a larger one.

    Raises
    ------
    UsageError
        If a number is out of range, ``rng`` is no generator, or ``fitness`` or ``constraint`` gives another
        shape.

    References
    ----------
    E. Real, A. Aggarwal, Y. Huang, Q. V. Le: Regularized Evolution for Image Classifier Architecture Search,
    AAAI 2019, algorithm 1. The order under a constraint is that of K. Deb: An efficient constraint handling
    method for genetic algorithms, CMAME 186, 2000.

    Examples
    --------
    >>> from annette.zoo.spaces.registry import open_space
    >>> found = evolve(
    ...     open_space("nasbench201"), lambda cells: (cells == 3).sum(axis=1), population=10, sample=5,
    ...     cycles=60, batch=5, rng=np.random.default_rng(0),
    ... )
    >>> len(found.fitness), found.best
    (310, (3, 3, 3, 3, 3, 3))
    """
    _check(population=population, sample=sample, cycles=cycles, batch=batch)
    if not isinstance(rng, np.random.Generator):
        raise UsageError(
            f"rng: found {type(rng).__name__}, expected a numpy Generator, as numpy.random.default_rng(0)"
        )
    known = _Known(space, fitness, constraint)
    born = space.sample(population, seed=int(rng.integers(2**32)))
    values, violations = known.ask(born)
    for _ in range(cycles):
        living = slice(len(born) - population, len(born))
        ranks = _ranks(values[living], violations[living])
        drawn = rng.integers(0, population, size=(batch, sample))
        parents = born[living][drawn[np.arange(batch), ranks[drawn].argmax(axis=1)]]
        children = np.array([space.mutate(parent, rng=rng) for parent in parents.tolist()])
        more, worse = known.ask(children)
        born = np.concatenate([born, children])
        values, violations = np.concatenate([values, more]), np.concatenate([violations, worse])
    return Evolution(encodings=born, fitness=values, violation=violations)


def _check(*, population: int, sample: int, cycles: int, batch: int) -> None:
    if population < 2:
        raise UsageError(f"population: {population}, expected 2 or more")
    for name, value in (("sample", sample), ("batch", batch)):
        if not 1 <= value <= population:
            raise UsageError(f"{name}: {value}, expected 1 to {population}, the population")
    if cycles < 0:
        raise UsageError(f"cycles: {cycles}, expected 0 or more")


def _ranks(fitness: Column, violation: Column) -> NDArray[np.int64]:
    """Places from the worst to the best; of equals the first is better."""
    places = np.arange(len(fitness))[::-1]
    order = np.lexsort([places, np.nan_to_num(fitness, nan=-np.inf), -np.maximum(violation, 0.0)])
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


class _Known:
    """Asks about each architecture once."""

    def __init__(self, space: SearchSpace, fitness: Ask, constraint: Ask | None) -> None:
        self._space, self._fitness, self._constraint = space, fitness, constraint
        self._answers: dict[bytes, tuple[float, float]] = {}

    def ask(self, encodings: Encodings) -> tuple[Column, Column]:
        """Fitness and violation of each row."""
        keys = [row.tobytes() for row in np.ascontiguousarray(self._space.canonical(encodings))]
        new = {key: row for row, key in reversed(list(enumerate(keys))) if key not in self._answers}
        rows = encodings[sorted(new.values())]
        names = [keys[row] for row in sorted(new.values())]
        violation = np.zeros(len(rows))
        if self._constraint is not None and len(rows):
            violation = _column("constraint", self._constraint(rows), len(rows))
        fitness = np.full(len(rows), np.nan)
        kept = violation <= 0
        if kept.any():
            fitness[kept] = _column("fitness", self._fitness(rows[kept]), int(kept.sum()))
        self._answers.update(zip(names, zip(fitness.tolist(), violation.tolist(), strict=True), strict=True))
        answers = np.array([self._answers[key] for key in keys])
        return answers[:, 0], answers[:, 1]


def _column(name: str, values: ArrayLike, length: int) -> Column:
    column = np.asarray(values, dtype=np.float64)
    if column.shape != (length,):
        raise UsageError(f"{name}: gave shape {column.shape}, expected ({length},): a number for each row")
    return column
