"""Adaptive campaigns: part of the benchmarks is drawn while the campaign runs, where models err most."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from types import MappingProxyType

import numpy as np

from annette.backends.protocol import Backend
from annette.benchmark.adaptation import (
    drawn_steps,
    is_whole_network,
    plan_more,
    plan_sources,
    source_families,
)
from annette.benchmark.campaign import CampaignSummary, run_campaign
from annette.benchmark.plan import CampaignPlan, plan_campaign
from annette.errors import ModelError
from annette.measurement import DeviceInfo
from annette.models.layer_fit import fit_layer_models
from annette.models.training import TrainingData, training_data
from annette.store.campaign import CampaignStore
from annette.store.records import Record, Task

__all__ = ["FamilyNeed", "family_needs", "run_adaptive_campaign", "source_weights"]

_LOG = logging.getLogger(__name__)

_LEARNING_RATE = 0.31
"""Exponent by which errors fall with the number of kernels: with ONNX Runtime 21 real networks were predicted
to 16 % from 150 kernels, to 8.4 % from 600, to 6.3 % from 3,000."""
_EVEN_SHARE = 0.15
"""Part of each step that is spread as the plan is, whatever the errors say."""

_FEWEST_TYPICAL = 10
"""Synthetic networks that must have been measured before they say which families take the time."""

OnProgress = Callable[[int, int, int], None]
"""As `run_campaign` has it: visits done, visits to do, tasks that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyNeed:
    """How well one family of kernels is known, and which share of further kernels it should get."""

    family: str
    """Family key of the kernel table."""
    kernels: int
    """Measured so far."""
    error: float
    """Cross-validated error, weighted with time, as a fraction."""
    time_share: float
    """Share of the time of typical networks, in [0, 1]."""
    share: float
    """Of the next kernels; the families' shares sum to 1."""


def family_needs(
    data: TrainingData, *, seed: int, growth: float = 0.25, typical: TrainingData | None = None
) -> tuple[FamilyNeed, ...]:
    """What each family should get of the next kernels, the neediest first.

    Errors fall as ``c / n**rate`` with the number ``n`` of a family's kernels. The sum of the families'
    errors, weighted with their shares of the time, is least where ``n`` is proportional to ``(c * time)``
    to the power ``1 / (1 + rate)``; a family's share is what it lacks to that, once the campaign has grown
    by ``growth``.

    Parameters
    ----------
    data : TrainingData
        All kernels measured so far.
    seed : int
        Of the models that are cross-validated.
    growth : float
        By how much the number of kernels is about to grow, as a fraction.
    typical : TrainingData, optional
        Kernels of networks like those that will be asked for; they say which families take the time. By
        default all kernels say so.

    Raises
    ------
    ModelError
        Without rows.
    """
    models, table = fit_layer_models(data, seed=seed), data.table
    keys = [key for key in sorted(table.family_names) if len(table.rows_of(key)) and key in models.scores]
    counts = np.array([len(table.rows_of(key)) for key in keys], dtype=np.float64)
    usual = _time_shares(data if typical is None else typical)
    times = np.array([usual.get(key, 0.0) for key in keys])
    scores = [models.scores[key].get("mixed") or models.scores[key]["generic"] for key in keys]
    errors = np.array([score["time_weighted_error"] for score in scores])
    times = (1.0 - _EVEN_SHARE) * times + _EVEN_SHARE * counts / counts.sum()
    aims = (errors * counts**_LEARNING_RATE * times) ** (1.0 / (1.0 + _LEARNING_RATE))
    aims = aims / max(aims.sum(), np.finfo(float).tiny) * counts.sum() * (1.0 + growth)
    lacking = np.maximum(aims - counts, 0.0)
    shares = lacking / lacking.sum() if lacking.sum() > 0 else counts / counts.sum()
    found = [
        FamilyNeed(
            family=key, kernels=int(count), error=float(error), time_share=float(time), share=float(share)
        )
        for key, count, error, time, share in zip(keys, counts, errors, times, shares, strict=True)
    ]
    return tuple(sorted(found, key=lambda need: (-need.share, need.family)))


def _time_shares(data: TrainingData) -> dict[str, float]:
    """The families' shares of a network's time, as means over the networks, whatever these take."""
    table = data.table
    totals = np.bincount(table.network_index, weights=data.latency_s, minlength=table.n_networks)
    parts = data.latency_s / totals[table.network_index] / max(int((totals > 0).sum()), 1)
    return {key: float(parts[table.rows_of(key)].sum()) for key in table.family_names}


def source_weights(plan: CampaignPlan, needs: Iterable[FamilyNeed]) -> dict[str, float]:
    """How much of the next step each source of the plan should give, so that families get what they need.

    A source counts by the share of its layers that are of the families in need; a part of every step is
    spread as the plan is.
    """
    wanted: dict[str, float] = {}
    for need in needs:
        family = _as_drawn(need.family)
        wanted[family] = wanted.get(family, 0.0) + need.share
    sources = plan_sources(plan)
    planned = sum(count for _, count in sources)
    gains = {source: _gain(source_families(source), wanted) for source, _ in sources}
    total = sum(gains.values())
    return {
        source: _EVEN_SHARE * count / planned
        + ((1.0 - _EVEN_SHARE) * gains[source] / total if total > 0 else 0.0)
        for source, count in sources
    }


def _as_drawn(family: str) -> str:
    """The name by which `source_families` knows a family key: without its unit, integers marked.

    Transpositions, a family of their own on processors, are drawn with the other copies.
    """
    name, _, unit = family.partition("@")
    name = "copy" if name == "transpose" else name
    return f"{name}@int8" if unit == "integer" else name


def _gain(families: Mapping[str, float], wanted: Mapping[str, float]) -> float:
    return sum(share * wanted.get(family, 0.0) for family, share in families.items())


def run_adaptive_campaign(
    plan: CampaignPlan,
    backend: Backend,
    store: CampaignStore,
    *,
    jobs: int = 1,
    one_round: bool = False,
    seed: int = 0,
    tasks: tuple[Task, ...] | None = None,
    on_progress: OnProgress | None = None,
) -> CampaignSummary:
    """Run a plan, and then, where it says so, steps of further tasks that are drawn by what was measured.

    Can be stopped and started again: what was drawn is in the store, and a step that is not there yet is
    drawn from all that was measured until then. For a plan without ``adaptive`` the same as `run_campaign`.

    Parameters
    ----------
    plan : CampaignPlan
        The plan that the store was created for.
    jobs : int
        As for `run_campaign`.
    one_round : bool
        Stop after one round of visits, for a caller that measures something else between the rounds; until
        `CampaignStore.pending` is empty. The first round draws all steps too, each by the visits taken until
        then, and visits them once.
    seed : int
        Of the models that are cross-validated.
    tasks : tuple of Task, optional
        The plan's tasks, where they are known already.
    on_progress : callable, optional
        As for `run_campaign`; the visits of steps to come are counted in.

    Raises
    ------
    UsageError
        If the plan's limits leave too few networks.
    StoreError, MeasurementError
        As for `run_campaign`.
    """
    tasks = plan_campaign(plan) if tasks is None else tasks
    sizes = _step_sizes(plan, len(tasks))
    store.add_tasks(tasks)
    first = drawn_steps(tuple(store.tasks()))

    def run(coming: Sequence[int]) -> CampaignSummary:
        report = _report_with(sum(coming) * backend.info.visits, on_progress)
        most = 1 if one_round else None
        return run_campaign(tasks, backend, store, jobs=jobs, max_rounds=most, on_progress=report)

    is_due = one_round and first < len(sizes) and all(store.visit_counts().values())
    summaries = [] if is_due else [run(sizes[first:])]
    for step in range(first + 1, len(sizes) + 1):
        _append_step(plan, store, step=step, number=sizes[step - 1], seed=seed)
        summaries.append(run(sizes[step:]))
    return reduce(_joined, summaries)


def _step_sizes(plan: CampaignPlan, planned: int) -> list[int]:
    """How many tasks each step draws, so that all of them are the plan's share of the campaign."""
    if plan.adaptive is None:
        return []
    share, steps = plan.adaptive.share, plan.adaptive.steps
    extra = round(planned * share / (1.0 - share))
    return [extra // steps + (index < extra % steps) for index in range(steps)]


def _report_with(coming: int, on_progress: OnProgress | None) -> OnProgress | None:
    """A listener that counts in the visits to come."""
    if on_progress is None:
        return None
    return lambda done, total, failed: on_progress(done, total + coming, failed)


def _append_step(plan: CampaignPlan, store: CampaignStore, *, step: int, number: int, seed: int) -> None:
    """Draw a step by what was measured until now, and keep its tasks in the store."""
    taken = {task.network.id for task in store.tasks()}
    weights = _measured_weights(plan, store.records(partial=True), store.device, number / len(taken), seed)
    store.append_tasks(plan_more(plan, weights, number, step=step, taken=taken))


def _measured_weights(
    plan: CampaignPlan, records: Iterable[Record], device: DeviceInfo, growth: float, seed: int
) -> Mapping[str, float]:
    """Weights by what was measured; as the plan is where that says nothing of kernels."""
    kept = tuple(records)
    whole = [item for item in kept if is_whole_network(item.task)]
    try:
        typical = training_data(whole, device) if len(whole) >= _FEWEST_TYPICAL else None
        needs = family_needs(training_data(kept, device), seed=seed, growth=growth, typical=typical)
    except ModelError as err:
        _LOG.warning("further benchmarks are drawn as the plan is, not where models err: %s", err)
        return MappingProxyType({source: float(count) for source, count in plan_sources(plan)})
    for need in needs[:8]:
        _LOG.info(
            "family %s: %d kernels, error %.1f %%, %.1f %% of the time, gets %.1f %% of the next",
            need.family, need.kernels, 100 * need.error, 100 * need.time_share, 100 * need.share,
        )  # fmt: skip
    return source_weights(plan, needs)


def _joined(first: CampaignSummary, later: CampaignSummary) -> CampaignSummary:
    """What both runs did, seen from before the first."""
    failures: dict[str, int] = dict(first.failures)
    for reason, count in later.failures:
        failures[reason] = failures.get(reason, 0) + count
    return replace(
        later,
        done_before=first.done_before,
        measured=first.measured + later.measured,
        failed=first.failed + later.failed,
        failures=tuple(sorted(failures.items(), key=lambda item: (-item[1], item[0]))),
        visits=first.visits + later.visits,
        elapsed_s=first.elapsed_s + later.elapsed_s,
    )
