"""How well predictions choose among architectures: the fastest ones, the best under a budget, the front.

A correlation over a wide range of latencies hides errors among neighbours; a search meets neighbours.
Hence ranks within each quartile of the measured latencies, and what a search would have chosen.

Quality is any number of which more is better: an accuracy, or the multiply-accumulates where no accuracy is
known. The figures of the fastest k and of the front depend on the order of the predictions alone; those under
a budget need predictions in seconds of the measured device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.errors import ModelError
from annette.evaluation.metrics import kendall_tau, mape, spearman

__all__ = [
    "BUDGET_QUANTILES",
    "LEAST_RANKED",
    "BudgetChoice",
    "QuartileFigures",
    "Ranking",
    "TopOverlap",
    "choose_under_budget",
    "front_excess",
    "front_recall",
    "latency_quality_front",
    "latency_quartiles",
    "rank_architectures",
    "top_overlap",
]

LEAST_RANKED = 40
"""Networks from which on quartiles and choices say something: ten in each quartile."""
BUDGET_QUANTILES = (0.25, 0.5, 0.75)
"""Of the measured latencies: the budgets for which a network is chosen."""
_TOP_COUNT = 10
_TOP_FRACTIONS = (0.01, 0.05)
_QUARTERS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopOverlap:
    """How many of the fastest networks are among those predicted to be the fastest."""

    k: int
    """How many are taken from both orders; >= 1."""
    fraction_of_all: float
    """k over the number of networks: the overlap that a random order has on average."""
    overlap: float
    """Share of the k that both orders have, in [0, 1]."""

    def to_dict(self) -> dict[str, object]:
        """The figures as JSON types."""
        return {"k": self.k, "fraction_of_all": self.fraction_of_all, "overlap": self.overlap}


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetChoice:
    """The best network that is predicted to keep a budget, beside the best that keeps it."""

    budget_s: float
    """Seconds; > 0."""
    best: int
    """Position of the best network that was measured within the budget."""
    chosen: int
    """Position of the chosen one; of the network predicted to be the fastest where none seems to fit."""
    best_quality: float
    chosen_quality: float
    regret_fraction: float | None
    """What the chosen one lacks in quality, over the best one's; 0 where it lacks nothing, ``None`` where it
    lacks some and the best one's is not above 0: then it is a part of nothing."""
    excess_fraction: float
    """By how much the chosen one was measured above the budget, over the budget; 0 where it keeps it."""

    def to_dict(self) -> dict[str, object]:
        """The figures as JSON types."""
        return {
            "budget_s": self.budget_s,
            "best": self.best,
            "chosen": self.chosen,
            "best_quality": self.best_quality,
            "chosen_quality": self.chosen_quality,
            "regret_fraction": self.regret_fraction,
            "excess_fraction": self.excess_fraction,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class QuartileFigures:
    """How predictions do among networks of similar latency."""

    networks: int
    from_s: float
    """The least measured seconds among them."""
    to_s: float
    """The most."""
    mape: float
    """Mean absolute relative error, as a fraction."""
    spearman: float | None
    """Rank correlation; ``None`` where there is nothing to rank."""
    kendall_tau: float | None
    """Kendall's tau-b; ``None`` where there is nothing to rank."""

    def to_dict(self) -> dict[str, object]:
        """The figures as JSON types."""
        return {
            "networks": self.networks,
            "from_s": self.from_s,
            "to_s": self.to_s,
            "mape": self.mape,
            "spearman": self.spearman,
            "kendall_tau": self.kendall_tau,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """All figures of choice of one way to predict."""

    top: tuple[TopOverlap, ...]
    """Of the fastest ten, of the fastest 1 % and 5 %; each k once."""
    quartiles: tuple[QuartileFigures, ...]
    """From the fastest to the slowest quarter of the measured networks; empty ones are left out."""
    budgets: tuple[BudgetChoice, ...]
    """One for each of `BUDGET_QUANTILES`."""
    front_recall: float
    """Share of the measured front of quality and latency that is on the predicted front, in [0, 1]."""
    front_excess: float
    """How much slower than the measured front the predicted one is at the same quality, as a fraction."""
    front_networks: int
    """Networks on the measured front."""

    def to_dict(self) -> dict[str, object]:
        """The figures as JSON types."""
        return {
            "top": [item.to_dict() for item in self.top],
            "quartiles": [item.to_dict() for item in self.quartiles],
            "budgets": [item.to_dict() for item in self.budgets],
            "front_recall": self.front_recall,
            "front_excess_fraction": self.front_excess,
            "front_networks": self.front_networks,
        }


def rank_architectures(measured_s: ArrayLike, predicted_s: ArrayLike, quality: ArrayLike) -> Ranking:
    """All figures of choice of these predictions.

    Parameters
    ----------
    measured_s, predicted_s : array_like of shape (n,)
        Seconds; > 0.
    quality : array_like of shape (n,)
        More is better.

    Raises
    ------
    ModelError
        For shapes that differ, without values, for values that are not finite, or latencies not > 0.

    Examples
    --------
    >>> seconds = [float(item) for item in range(1, 41)]
    >>> figures = rank_architectures(seconds, seconds, seconds)
    >>> figures.top[0].overlap, figures.front_recall, figures.budgets[0].regret_fraction
    (1.0, 1.0, 0.0)
    """
    measured, predicted, value = _columns(measured_s, predicted_s, quality)
    for title, seconds in (("measured", measured), ("predicted", predicted)):
        if (seconds <= 0).any():
            raise ModelError(f"ranking: a {title} latency of {seconds.min()} s, expected all above 0")
    counts = (_TOP_COUNT, *(math.ceil(part * len(measured)) for part in _TOP_FRACTIONS))
    sizes = sorted({min(count, len(measured)) for count in counts})
    front = latency_quality_front(measured, value)
    return Ranking(
        top=tuple(
            TopOverlap(k=k, fraction_of_all=k / len(measured), overlap=top_overlap(measured, predicted, k))
            for k in sizes
        ),
        quartiles=latency_quartiles(measured, predicted),
        budgets=tuple(
            choose_under_budget(measured, predicted, value, float(np.quantile(measured, part)))
            for part in BUDGET_QUANTILES
        ),
        front_recall=front_recall(measured, predicted, value),
        front_excess=front_excess(measured, predicted, value),
        front_networks=int(front.sum()),
    )


def top_overlap(measured: ArrayLike, predicted: ArrayLike, k: int) -> float:
    """Share of the ``k`` least measured values whose predictions are among the ``k`` least, in [0, 1].

    Of equal values at the border each counts with the same weight, so that their order does not matter; an
    element counts with the lesser of its two weights.

    Raises
    ------
    ModelError
        For shapes that differ, values that are not finite, or a ``k`` that is not from 1 to their number.

    Examples
    --------
    >>> top_overlap([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0], 2)
    0.5
    """
    first, second = _columns(measured, predicted)
    if not 1 <= k <= len(first):
        raise ModelError(f"top overlap: k {k}, expected 1 to {len(first)}, the number of values")
    return float(np.minimum(_top_weights(first, k), _top_weights(second, k)).sum() / k)


def latency_quartiles(measured_s: ArrayLike, predicted_s: ArrayLike) -> tuple[QuartileFigures, ...]:
    """The figures within each quarter of the measured latencies, from the fastest; empty ones left out.

    Equal latencies are in the same quarter, so quarters may differ in size.

    Examples
    --------
    >>> [item.networks for item in latency_quartiles([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0])]
    [1, 1, 1, 1]
    """
    measured, predicted = _columns(measured_s, predicted_s)
    quarter = np.searchsorted(np.quantile(measured, _QUARTERS), measured, side="left")
    found = []
    for number in range(len(_QUARTERS) + 1):
        truth, guess = measured[quarter == number], predicted[quarter == number]
        if len(truth):
            found.append(
                QuartileFigures(
                    networks=len(truth),
                    from_s=float(truth.min()),
                    to_s=float(truth.max()),
                    mape=mape(truth, guess),
                    spearman=spearman(truth, guess),
                    kendall_tau=kendall_tau(truth, guess),
                )
            )
    return tuple(found)


def choose_under_budget(
    measured_s: ArrayLike, predicted_s: ArrayLike, quality: ArrayLike, budget_s: float
) -> BudgetChoice:
    """What a search that trusts the predictions would choose under a budget, and what it would miss.

    Of networks of equal quality the one with the least latency is taken, predicted or measured.

    Raises
    ------
    ModelError
        As `rank_architectures`, and if no network was measured within the budget.

    Examples
    --------
    >>> choice = choose_under_budget([1.0, 2.0, 3.0], [1.0, 2.2, 1.9], [5.0, 8.0, 9.0], 2.0)
    >>> choice.chosen, choice.regret_fraction, choice.excess_fraction
    (2, 0.0, 0.5)
    """
    measured, predicted, value = _columns(measured_s, predicted_s, quality)
    if not (measured <= budget_s).any():
        raise ModelError(f"budget: {budget_s} s, expected at least {measured.min()} s, the fastest network")
    best = _best_within(measured, value, budget_s)
    chosen = _best_within(predicted, value, budget_s)
    lack = max(0.0, float(value[best] - value[chosen]))
    return BudgetChoice(
        budget_s=budget_s,
        best=best,
        chosen=chosen,
        best_quality=float(value[best]),
        chosen_quality=float(value[chosen]),
        regret_fraction=_part(lack, of=float(value[best])),
        excess_fraction=max(0.0, float(measured[chosen]) / budget_s - 1.0),
    )


def latency_quality_front(latency: ArrayLike, quality: ArrayLike) -> NDArray[np.bool_]:
    """Which networks no other one beats in one respect without losing in the other, shape (n,).

    Equal ones are on the front together. O(n log n).

    Examples
    --------
    >>> latency_quality_front([1.0, 2.0, 3.0, 2.0], [5.0, 7.0, 6.0, 7.0]).tolist()
    [True, True, False, True]
    """
    seconds, value = _columns(latency, quality)
    order = np.lexsort((-value, seconds))
    ordered_s, ordered = seconds[order], value[order]
    most = np.maximum.accumulate(ordered)
    before = np.concatenate([[-np.inf], most[:-1]])
    leads = ordered > before
    leader = np.maximum.accumulate(np.where(leads, np.arange(len(order)), 0))
    equal = (ordered == ordered[leader]) & (ordered_s == ordered_s[leader])
    is_front = np.zeros(len(order), dtype=bool)
    is_front[order] = leads | equal
    return is_front


def front_recall(measured_s: ArrayLike, predicted_s: ArrayLike, quality: ArrayLike) -> float:
    """Share of the networks on the measured front that are on the predicted one, in [0, 1].

    Examples
    --------
    >>> front_recall([1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [5.0, 6.0, 7.0])
    0.6666666666666666
    """
    measured, predicted, value = _columns(measured_s, predicted_s, quality)
    front = latency_quality_front(measured, value)
    return float(latency_quality_front(predicted, value)[front].mean())


def front_excess(measured_s: ArrayLike, predicted_s: ArrayLike, quality: ArrayLike) -> float:
    """How much slower the predicted front is than the measured one, as a fraction; >= 0.

    For each network on the measured front the fastest of the predicted front, as measured, that is at least
    as good; the mean of how much slower that is. The best network of all is on every front, so there is one.

    Examples
    --------
    >>> front_excess([1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [5.0, 6.0, 7.0])
    0.16666666666666666
    """
    measured, predicted, value = _columns(measured_s, predicted_s, quality)
    front = np.flatnonzero(latency_quality_front(measured, value))
    taken = np.flatnonzero(latency_quality_front(predicted, value))
    taken = taken[np.argsort(value[taken], kind="stable")]
    fastest_s = np.minimum.accumulate(measured[taken][::-1])[::-1]
    first = np.searchsorted(value[taken], value[front], side="left")
    return float((fastest_s[first] / measured[front] - 1.0).mean())


def _best_within(latency_s: NDArray[np.float64], quality: NDArray[np.float64], budget_s: float) -> int:
    """The best network within the budget, the fastest one where there is none."""
    within_s = max(budget_s, float(latency_s.min()))
    order = np.lexsort((latency_s, -quality))
    return int(order[latency_s[order] <= within_s][0])


def _part(lack: float, *, of: float) -> float | None:
    if not lack:
        return 0.0
    return lack / of if of > 0 else None


def _top_weights(values: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """1 for the values below the k-th least, and for those equal to it equal parts of what is left of k."""
    border = np.partition(values, k - 1)[k - 1]
    below, at = values < border, values == border
    return np.where(below, 1.0, np.where(at, (k - below.sum()) / at.sum(), 0.0))


def _columns(*columns: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    arrays: Sequence[NDArray[np.float64]] = [np.asarray(item, dtype=np.float64) for item in columns]
    shapes = [array.shape for array in arrays]
    if arrays[0].ndim != 1 or not len(arrays[0]) or len(set(shapes)) > 1:
        raise ModelError(f"ranking: shapes {shapes}, expected equal rows of at least one value")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ModelError("ranking: a value is not finite, expected numbers")
    return tuple(arrays)
