"""More of a plan: what a campaign draws while it runs, as many of each source as it is told to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from types import MappingProxyType

from annette.benchmark.blocks import BLOCKS
from annette.benchmark.mosaics import mosaic_tasks
from annette.benchmark.network_images import Frame
from annette.benchmark.networks import VARIANTS, network_tasks, synthetic_network
from annette.benchmark.plan import MICRO_KERNELS, PIECES, CampaignPlan, sampled_tasks
from annette.benchmark.quantised import quantise
from annette.benchmark.sampling import draws
from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.families import layer_family
from annette.graph.network import Network
from annette.store.records import Task

__all__ = ["adaptive_step", "drawn_steps", "is_whole_network", "plan_more", "plan_sources", "source_families"]

_KERNELS_OF_A_PIECE = 3.0  # on average, those that lead over to it included
_PROBES = 12  # draws of a source, to see which families it consists of
_PROBE_FRAME = Frame(batch=1, macs=2e8, weight_elements=2e6, kernels=30)
_PROBE_SEED = 1
_TAG = "step"
_MOSAIC, _MOSAIC_INT8 = "mosaic", "mosaic-int8"


def plan_sources(plan: CampaignPlan) -> tuple[tuple[str, int], ...]:
    """What the plan draws from, and how many of each: ``micro-kernel/conv``, ``mosaic/conv``,
    ``mosaic-int8/conv``, ``network/int8/mobile``, ``block/residual``, ...

    Examples
    --------
    >>> from annette.benchmark.plan import load_plan
    >>> dict(plan_sources(load_plan("quick")))["micro-kernel/conv"]
    125
    """
    return (
        *((f"micro-kernel/{kind}", count) for kind, count in plan.micro_kernels if count),
        *((f"block/{kind}", count) for kind, count in plan.blocks if count),
        *((f"{_MOSAIC}/{kind}", count) for kind, count in plan.mosaics if count),
        *((f"{_MOSAIC_INT8}/{kind}", count) for kind, count in plan.mosaics_int8 if count),
        *((f"network/{variant}/{theme}", count) for variant, theme, count in plan.networks if count),
    )


@cache
def source_families(source: str) -> Mapping[str, float]:
    """The families of a source's layers as shares that sum to 1, from a few draws; ``@int8`` after each of
    quantised networks.

    Examples
    --------
    >>> dict(source_families("micro-kernel/gemm"))
    {'gemm': 1.0}
    """
    found: Counter[str] = Counter()
    for network in _probes(source):
        mark = "@int8" if source.startswith(("network/int8/", f"{_MOSAIC_INT8}/")) else ""
        found.update(layer_family(network, layer) + mark for layer in network.layers)
    total = found.total()
    return MappingProxyType({family: count / total for family, count in found.items()})


def _probes(source: str) -> list[Network]:
    category, _, kind = source.partition("/")
    points = [draw for draw, _ in zip(draws(_PROBE_SEED, source), range(_PROBES), strict=False)]
    if category == "network":
        variant, _, theme = kind.partition("/")
        return [synthetic_network(theme, draw, _PROBE_FRAME, variant=variant) for draw in points]
    samplers = {"micro-kernel": MICRO_KERNELS, "block": BLOCKS, _MOSAIC: PIECES, _MOSAIC_INT8: PIECES}
    networks = []
    for draw in points:
        build = NetworkBuilder(kind)
        network = build.finish(*samplers[category][kind](draw, build))
        networks.append(quantise(network) if category == _MOSAIC_INT8 else network)
    return networks


def plan_more(
    plan: CampaignPlan, weights: Mapping[str, float], number: int, *, step: int, taken: Collection[str] = ()
) -> tuple[Task, ...]:
    """About ``number`` further tasks of a plan, its sources as likely as their weights say; a pure function.

    Parameters
    ----------
    plan : CampaignPlan
        Gives seed, limits and sizes.
    weights : mapping
        Shares by the names of `plan_sources`, each >= 0; others are never drawn.
    number : int
        Tasks wanted. Pieces are put together to mosaics, some ten of them in one task.
    step : int
        From 1 on; each step draws other networks.
    taken : collection of str
        Ids of networks that are in the campaign already.

    Raises
    ------
    UsageError
        For weights of unknown sources or without any above 0, or where the limits leave too few networks.
    """
    known = dict(plan_sources(plan))
    unknown = [source for source in weights if source not in known]
    if unknown or not any(weight > 0 for weight in weights.values()):
        what = f"no source {unknown[0]!r}" if unknown else "no weight above 0"
        raise UsageError(f"plan {plan.name!r}: {what}; expected weights of {', '.join(known)}")
    in_one = plan.sizes.kernels / _KERNELS_OF_A_PIECE if plan.sizes is not None else 1.0
    total = sum(weights.values())
    wanted = {source: number * weight / total for source, weight in weights.items()}
    counts = _whole(
        {
            source: value * (in_one if source.partition("/")[0] in (_MOSAIC, _MOSAIC_INT8) else 1.0)
            for source, value in wanted.items()
        }
    )
    tasks: dict[str, Task] = {}
    for source, count in counts.items():
        category, _, kind = source.partition("/")
        if category == "micro-kernel":
            found = sampled_tasks(plan, "micro-kernel", kind, count, taken={*taken, *tasks}, step=step)
            tasks.update((task.network.id, task) for task in found)
        elif category == "block":
            found = sampled_tasks(plan, "block", kind, count, taken={*taken, *tasks}, step=step)
            tasks.update((task.network.id, task) for task in found)
    for task in _in_company(plan, counts, step, {*taken, *tasks}):
        tasks.setdefault(task.network.id, task)
    return tuple(_mark(task, step) for key, task in tasks.items() if key not in taken)


def _in_company(plan: CampaignPlan, counts: Mapping[str, int], step: int, taken: set[str]) -> list[Task]:
    if plan.sizes is None:
        return []
    kinds = [(source.split("/"), count) for source, count in counts.items()]
    pieces, pieces_int8 = (
        [(words[1], count) for words, count in kinds if words[0] == category]
        for category in (_MOSAIC, _MOSAIC_INT8)
    )
    themes = [(words[1], words[2], count) for words, count in kinds if words[0] == "network"]
    sizes, limits, seed = plan.sizes, plan.limits, plan.seed
    return [
        *mosaic_tasks(pieces, PIECES, sizes, limits, seed=seed, stream=f"mosaic-{step}", taken=taken),
        *mosaic_tasks(
            pieces_int8, PIECES, sizes, limits,
            seed=seed, stream=f"{_MOSAIC_INT8}-{step}", taken=taken, quantised=True,
        ),
        *network_tasks(themes, sizes, limits, seed=seed, stream=f"network-{step}", taken=taken),
    ]  # fmt: skip


def _whole(wanted: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers of about the same sum, by the largest remainders."""
    counts = {source: int(value) for source, value in wanted.items()}
    missing = round(sum(wanted.values())) - sum(counts.values())
    for source in sorted(wanted, key=lambda item: (counts[item] - wanted[item], item))[:missing]:
        counts[source] += 1
    return {source: count for source, count in counts.items() if count}


def _mark(task: Task, step: int) -> Task:
    """The task with the step that it was drawn in among its tags."""
    return Task(
        network=task.network,
        category=task.category,
        group=task.group,
        tags=(*task.tags, (_TAG, str(step))),
    )


def adaptive_step(task: Task) -> int:
    """In which step the task was drawn; 0 for one of the plan itself."""
    return int(task.tag(_TAG) or 0)


def drawn_steps(tasks: Sequence[Task]) -> int:
    """How many steps have been drawn already."""
    return max((adaptive_step(task) for task in tasks), default=0)


def is_whole_network(task: Task) -> bool:
    """Whether the task is a synthetic network, of any variant."""
    return (task.tag("kind") or "").partition("/")[0] in VARIANTS
