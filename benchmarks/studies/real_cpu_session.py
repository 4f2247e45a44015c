"""One session on one machine: several stores are measured in turns, a round of each after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from annette.backends.protocol import Backend
from annette.benchmark.campaign import CampaignSummary, run_campaign
from annette.benchmark.plan import CampaignPlan, plan_campaign
from annette.evaluation.adaptive import run_adaptive_campaign
from annette.store.campaign import CampaignStore
from annette.store.records import PlanRecord, Task

__all__ = ["Turn", "campaign_turn", "run_session", "tasks_turn"]

_Report = Callable[[int, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A store, and how it gets one round of visits."""

    path: Path
    backend: Backend
    plan: PlanRecord
    run_round: Callable[[CampaignStore, _Report], CampaignSummary]
    """Visits once what was visited least, and reports (done, total, failed)."""


def tasks_turn(path: Path, backend: Backend, tasks: Sequence[Task], *, seed: int) -> Turn:
    """Given networks, such as those of an evaluation."""

    def run_round(store: CampaignStore, report: _Report) -> CampaignSummary:
        return run_campaign(tasks, backend, store, max_rounds=1, on_progress=report)

    plan = PlanRecord(name="evaluation", seed=seed, text="\n".join(task.id for task in tasks))
    return Turn(path=path, backend=backend, plan=plan, run_round=run_round)


def campaign_turn(path: Path, backend: Backend, plan: CampaignPlan) -> Turn:
    """A campaign's plan, the steps that are drawn while it runs included.

    `annette benchmark` can go on with its store, and this with the store of `annette benchmark`.
    """
    tasks = plan_campaign(plan)

    def run_round(store: CampaignStore, report: _Report) -> CampaignSummary:
        return run_adaptive_campaign(plan, backend, store, one_round=True, tasks=tasks, on_progress=report)

    return Turn(path=path, backend=backend, plan=plan.record, run_round=run_round)


def run_session(turns: Sequence[Turn]) -> None:
    """Measure what the stores lack: always a round of the one that is least far, the first of equals.

    Can be stopped and started again; a round that was stopped is ended first.
    """
    with ExitStack() as stack:
        waiting = []
        for turn in turns:
            turn.path.parent.mkdir(parents=True, exist_ok=True)
            store = CampaignStore.open_or_create(turn.path, device=turn.backend.info, plan=turn.plan)
            waiting.append((turn, stack.enter_context(store)))
        while waiting:
            turn, store = min(waiting, key=lambda item: _least_visits(item[1]))
            summary = turn.run_round(store, _reporter(turn.path.name))
            _print_round(turn.path.name, summary, store)
            if not store.pending():
                waiting.remove((turn, store))


def _least_visits(store: CampaignStore) -> int:
    """Visits of the task that has the fewest of those that wait; 0 for a store without tasks."""
    counts = store.visit_counts()
    return min((counts[task_id] for task_id in store.pending()), default=0)


def _reporter(name: str) -> _Report:
    def report(done: int, total: int, failed: int) -> None:
        print(f"\r{name}: {done}/{total}, {failed} failed", end="", file=sys.stderr, flush=True)

    return report


def _print_round(name: str, summary: CampaignSummary, store: CampaignStore) -> None:
    print(
        f"\r{name}: a round of {summary.visits} visits in {summary.elapsed_s:.0f} s, "
        f"{summary.failed} failed; {len(store.pending())} of {summary.planned} benchmarks wait for more",
        file=sys.stderr,
    )
    for reason, count in summary.failures:
        print(f"  failed {count}x: {reason}", file=sys.stderr)
    for network, spread in summary.unstable:
        print(f"  unstable: {network} by {100 * spread:.0f} %", file=sys.stderr)
    if not store.pending():
        print(f"  {store.noise()}", file=sys.stderr)
