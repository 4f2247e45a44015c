"""What a campaign is made of, as values: tasks, their answers, the plan they come from, how far it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from annette.graph.network import Network
from annette.measurement import Measurement

__all__ = [
    "SALVAGED",
    "SUGGESTED",
    "SUGGESTED_FOR",
    "TIMED_IN",
    "WHOLE_NETWORK",
    "Category",
    "Noise",
    "PlanRecord",
    "Record",
    "StoreSummary",
    "Task",
]

SALVAGED = "salvaged"
"""The provenance's name for what a store lacks that was saved out of a damaged one."""
SUGGESTED = "suggested"
"""The tag of tasks that were chosen for what they tell of certain networks, with the platform that chose:
kernels to learn from, but no sample to judge by."""
SUGGESTED_FOR = "suggested_for"
"""The tag of such tasks with the networks that they were chosen for: the first 12 digits of each one's
`Network.id`, with spaces between. A platform that learned from them must not be judged by these networks."""
TIMED_IN = "timed_in"
"""The tag of kernels that were timed while a network ran, with the network's name."""
WHOLE_NETWORK = "whole_network"
"""The tag of tasks whose time is a network's from end to end: from them is learned what kernels alone do not
explain, and no kernel."""

Category = Literal["micro-kernel", "sweep", "block"]
"""One layer; one layer with one dimension swept; several layers."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One benchmark network of a campaign."""

    network: Network
    """What to time."""
    category: Category
    """Why it is timed."""
    group: str
    """Tasks of one group stay together in cross-validation."""
    tags: tuple[tuple[str, str], ...] = ()
    """What the planner knows, by name; of sweeps ``sweep``, ``dimension`` and ``value``."""

    @cached_property
    def id(self) -> str:
        """32 hexadecimal digits that depend on every field."""
        content = [self.network.id, self.category, self.group, self.tags]
        return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()[:32]

    def tag(self, name: str) -> str | None:
        """The tag of that name; ``None`` if there is none."""
        return next((value for key, value in self.tags if key == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A task and what the device answered."""

    task: Task
    measurement: Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """What a store remembers of the plan it serves."""

    name: str
    """For people."""
    seed: int
    """Seed of the plan; each measurement's seed derives from it."""
    text: str
    """The whole plan in canonical form: equal plans have equal text."""

    @property
    def hash(self) -> str:
        """32 hexadecimal digits of name, seed and text."""
        content = json.dumps([self.name, self.seed, self.text])
        return hashlib.sha256(content.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSummary:
    """How far a campaign is."""

    planned: int
    """Tasks in the store, those that were appended later included."""
    measured: int
    """Tasks with all their visits."""
    started: int
    """Tasks with some of their visits."""
    failed: int
    """Tasks that the device could not run."""
    failures: tuple[tuple[str, int], ...]
    """Reasons of failure and how often each, most frequent first."""
    categories: tuple[tuple[str, int], ...]
    """Planned tasks by category."""
    visits: int
    """Visits recorded of all tasks."""
    visits_per_task: int
    """Visits after which a task counts as measured."""

    @property
    def pending(self) -> int:
        """Tasks not measured yet, or not with all their visits."""
        return self.planned - self.measured - self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The circumstances of a campaign: how steady the machine was meanwhile."""

    reference_s: float | None
    """Median seconds of the reference network; ``None``: the device has none."""
    drift_fraction: float | None
    """(95 % quantile - 5 % quantile) / median of the reference network's seconds over the visits."""
    load_fraction: float | None
    """Median load of the machine, 1 for all processors busy; ``None``: not known."""
    peak_load_fraction: float | None
    """95 % quantile of the load."""
