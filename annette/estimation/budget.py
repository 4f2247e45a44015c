"""Budgets: whether an estimate keeps a latency and an energy, and is sure enough to say so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annette.errors import UsageError
from annette.estimation.verdict import CHECK, LEVELS, SOLID, level_title
from annette.units import format_joules, format_seconds

if TYPE_CHECKING:
    from annette.estimation.estimate import Estimate

__all__ = ["AT_LEAST", "Budget", "BudgetCheck", "check_budget"]

AT_LEAST = (SOLID, CHECK)
"""Verdicts that a budget may ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a network may take, and how sure the estimate has to be.

    Raises
    ------
    UsageError
        If nothing is limited, a limit is not a number above 0, or `at_least` is none of `AT_LEAST`.
    """

    max_latency_s: float | None = None
    """Seconds; > 0. ``None``: the latency is free."""
    max_energy_j: float | None = None
    """Joules; > 0. ``None``: the energy is free."""
    at_least: str = CHECK
    """The worst verdict that is good enough: ``solid``, or ``check``, which refuses ``unreliable`` only."""
    upper_end: bool = False
    """Whether the upper end of the 90 % interval has to keep the latency, in place of the estimate itself."""

    def __post_init__(self) -> None:
        if self.max_latency_s is None and self.max_energy_j is None:
            raise UsageError("budget: nothing is limited, expected a latency or an energy")
        for name, limit in (("max_latency_s", self.max_latency_s), ("max_energy_j", self.max_energy_j)):
            if limit is not None and not (math.isfinite(limit) and limit > 0):
                raise UsageError(f"budget: {name} is {limit}, expected a finite number above 0")
        if self.at_least not in AT_LEAST:
            raise UsageError(f"budget: at_least is {self.at_least!r}, expected {' or '.join(AT_LEAST)}")
        if self.upper_end and self.max_latency_s is None:
            raise UsageError("budget: upper_end without a latency; intervals are of latencies only")


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetCheck:
    """What came out of comparing an estimate with a budget."""

    estimate: Estimate
    """What was predicted."""
    budget: Budget
    """What it was compared with."""
    failures: tuple[str, ...]
    """Why the budget is not kept, one sentence each; empty: it is kept."""

    @property
    def passed(self) -> bool:
        """Whether nothing stands against it."""
        return not self.failures

    def to_dict(self) -> dict[str, object]:
        """The comparison as JSON types; seconds and joules."""
        found, budget = self.estimate, self.budget
        return {
            "schema_version": 1,
            "network": found.network,
            "platform": found.platform,
            "model": found.model,
            "passed": self.passed,
            "failures": list(self.failures),
            "latency_s": found.latency_s,
            "interval_s": None if found.interval is None else found.interval.to_list(),
            "energy_j": found.energy_j,
            "verdict": found.verdict.to_dict(),
            "max_latency_s": budget.max_latency_s,
            "max_energy_j": budget.max_energy_j,
            "at_least": budget.at_least,
            "upper_end": budget.upper_end,
        }


def check_budget(estimate: Estimate, budget: Budget) -> BudgetCheck:
    """Whether ``estimate`` keeps ``budget``: not above a limit, and a verdict that is good enough.

    Raises
    ------
    UsageError
        If the platform cannot say what is asked: it knows no energy, or no interval for ``upper_end``.

    Examples
    --------
    >>> import annette
    >>> found = annette.load("zcu102-dpu").estimate("zoo:squeezenet1_1")
    >>> check_budget(found, Budget(max_latency_s=0.030)).passed
    True
    >>> check_budget(found, Budget(max_latency_s=0.0001)).failures[0].endswith("more than 100 us")
    True
    """
    failures: list[str] = []
    if budget.max_latency_s is not None:
        latency_s, what = estimate.latency_s, "latency"
        if budget.upper_end:
            if estimate.interval is None:
                raise UsageError(
                    f"platform {estimate.platform!r}: no intervals are known for its {estimate.model} model, "
                    "so the upper end cannot be checked; check the estimate itself, or train it anew"
                )
            latency_s, what = estimate.interval.high_s, "upper end of the latency's interval"
        if latency_s > budget.max_latency_s:
            failures.append(_over(what, format_seconds(latency_s), format_seconds(budget.max_latency_s)))
    if budget.max_energy_j is not None:
        if estimate.energy_j is None:
            raise UsageError(
                f"platform {estimate.platform!r}: it knows no energy, so none can be checked; expected a "
                "platform trained on a device that tells joules"
            )
        if estimate.energy_j > budget.max_energy_j:
            failures.append(
                _over("energy", format_joules(estimate.energy_j), format_joules(budget.max_energy_j))
            )
    verdict = estimate.verdict
    if LEVELS.index(verdict.level) > LEVELS.index(budget.at_least):
        failures.append(
            f"the verdict is {verdict.title}, expected {level_title(budget.at_least)}"
            f"{'' if budget.at_least == SOLID else ' or better'}: {' '.join(verdict.reasons)}".rstrip(".")
        )
    return BudgetCheck(estimate=estimate, budget=budget, failures=tuple(failures))


def _over(what: str, found: str, limit: str) -> str:
    """Says it so that two numbers which look alike are not said to differ."""
    return f"the {what} is {found}, " + (f"more than {limit}" if found != limit else f"just above {limit}")
