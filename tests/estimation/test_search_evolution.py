"""Regularised evolution: the algorithm of the paper, in batches and under a constraint."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import UsageError
from annette.estimation.evolution import evolve
from annette.zoo.spaces.registry import open_space
from annette.zoo.spaces.space import Encodings

SPACE = open_space("nasbench201,dead_code=true")  # there every encoding is a network of its own
WEIGHTS = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])


def _fitness(cells: Encodings) -> np.ndarray:
    return cells @ WEIGHTS + (cells == 3) @ WEIGHTS[::-1]


def _excess(cells: Encodings) -> np.ndarray:
    return cells.sum(axis=1) - 12.0


@given(seed=st.integers(0, 1000), population=st.integers(2, 12), data=st.data())
@settings(max_examples=20)
def test_with_single_children_it_is_the_algorithm_of_the_paper(
    seed: int, population: int, data: st.DataObject
) -> None:
    sample = data.draw(st.integers(1, population))
    found = evolve(
        SPACE, _fitness, population=population, sample=sample, cycles=15, rng=np.random.default_rng(seed)
    )
    rng = np.random.default_rng(seed)
    history = SPACE.sample(population, seed=int(rng.integers(2**32))).tolist()
    living = deque((cell, float(_fitness(np.array([cell]))[0])) for cell in history)
    for _ in range(15):
        drawn = sorted(rng.integers(0, population, size=(1, sample))[0].tolist())
        parent, _ = max((living[place] for place in drawn), key=lambda item: item[1])
        child = SPACE.mutate(parent, rng=rng)
        living.append((list(child), float(_fitness(np.array([child]))[0])))
        living.popleft()
        history.append(list(child))
    assert found.encodings.tolist() == history
    assert found.fitness.tolist() == _fitness(np.array(history)).tolist()
    assert not found.violation.any()


@given(seed=st.integers(0, 1000), batch=st.integers(1, 8))
@settings(max_examples=20)
def test_each_architecture_is_asked_about_once_and_only_within_the_constraint(seed: int, batch: int) -> None:
    asked: list[tuple[int, ...]] = []
    checked: list[tuple[int, ...]] = []

    def fitness(cells: Encodings) -> Any:
        asked.extend(map(tuple, cells.tolist()))
        return _fitness(cells)

    def excess(cells: Encodings) -> Any:
        checked.extend(map(tuple, cells.tolist()))
        return _excess(cells)

    found = evolve(
        SPACE, fitness, population=8, sample=4, cycles=10, batch=batch, constraint=excess,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    born = list(map(tuple, found.encodings.tolist()))
    assert len(born) == 8 + 10 * batch
    assert len(checked) == len(set(checked))
    assert set(checked) == set(born)
    assert sorted(asked) == sorted(cell for cell in set(born) if sum(cell) <= 12)
    assert (np.isnan(found.fitness) == (found.violation > 0)).all()
    assert found.violation.tolist() == _excess(found.encodings).tolist()


@pytest.mark.parametrize("batch", [1, 10])
def test_it_finds_better_architectures_within_the_constraint_than_chance(batch: int) -> None:
    found = evolve(
        SPACE, _fitness, population=20, sample=8, cycles=300 // batch, batch=batch, constraint=_excess,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    every = np.array(list(SPACE.enumerate()))
    within = _fitness(every[_excess(every) <= 0])
    assert found.best is not None
    assert sum(found.best) <= 12
    assert found.best_fitness == _fitness(np.array([found.best]))[0]
    assert found.best_fitness >= np.quantile(within, 0.99)


def test_where_nothing_keeps_the_constraint_nothing_is_the_best() -> None:
    found = evolve(
        SPACE, _fitness, population=10, sample=5, cycles=40, batch=5, rng=np.random.default_rng(0),
        constraint=lambda cells: 1.0 + cells.sum(axis=1),
    )  # fmt: skip
    assert found.best_fitness is None
    assert np.isnan(found.fitness).all()
    assert found.best is None
    assert found.violation.min() == 1.0  # it was made smaller all the same


def test_what_has_no_quality_is_never_the_best() -> None:
    def quality(cells: Encodings) -> Any:
        return np.where(cells[:, 0] == 4, -np.inf, np.nan)

    usual: dict[str, Any] = {"population": 30, "sample": 2, "cycles": 0}
    found = evolve(SPACE, quality, rng=np.random.default_rng(0), **usual)
    assert found.best is not None
    assert found.best[0] == 4
    found = evolve(SPACE, lambda cells: np.full(len(cells), np.nan), rng=np.random.default_rng(0), **usual)
    assert found.best is found.best_fitness is None


def test_only_a_generator_makes_choices() -> None:
    for rng in (0, None, np.random.RandomState(0)):
        wrong: Any = rng
        with pytest.raises(UsageError, match="rng: found"):
            evolve(SPACE, _fitness, population=5, sample=2, cycles=1, rng=wrong)


def test_the_same_seed_gives_the_same_history() -> None:
    first, second = (
        evolve(SPACE, _fitness, population=5, sample=2, cycles=5, batch=3, rng=np.random.default_rng(4))
        for _ in range(2)
    )
    assert first.encodings.tolist() == second.encodings.tolist()
    assert not first.encodings.flags.writeable


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"population": 1}, "population: 1, expected 2 or more"),
        ({"sample": 0}, "sample: 0, expected 1 to 5"),
        ({"batch": 6}, "batch: 6, expected 1 to 5"),
        ({"cycles": -1}, "cycles: -1"),
        ({"fitness": lambda cells: cells}, r"fitness: gave shape \(5, 6\), expected \(5,\)"),
        ({"constraint": lambda cells: 0.0}, r"constraint: gave shape \(\), expected \(5,\)"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {"fitness": _fitness, "population": 5, "sample": 2, "cycles": 1}
    with pytest.raises(UsageError, match=message):
        evolve(SPACE, rng=np.random.default_rng(0), **{**usual, **change})
