"""Campaign plans: what to benchmark, as a value; planning makes tasks of it and touches nothing."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from annette.benchmark.blocks import BLOCKS
from annette.benchmark.micro_matrix import MATRIX_KERNELS, Sampler
from annette.benchmark.micro_other import OTHER_KERNELS
from annette.benchmark.micro_sequence import SEQUENCE_KERNELS
from annette.benchmark.mosaics import Limits, NetworkSizes, mosaic_tasks
from annette.benchmark.networks import network_tasks
from annette.benchmark.sampling import draws
from annette.benchmark.sweeps import Sweep, sweep_tasks
from annette.errors import HardwareError, UsageError
from annette.graph.builder import NetworkBuilder
from annette.resources import resource_folder
from annette.store.records import PlanRecord, Task

__all__ = [
    "MICRO_KERNELS",
    "PIECES",
    "Adaptive",
    "CampaignPlan",
    "Limits",
    "NetworkSizes",
    "list_plans",
    "load_plan",
    "plan_campaign",
    "sampled_tasks",
]

MICRO_KERNELS = {**MATRIX_KERNELS, **OTHER_KERNELS}
"""Samplers of micro-kernels by the name that plans use."""
PIECES = {
    **{f"{kind}_block" if kind in MICRO_KERNELS else kind: item for kind, item in BLOCKS.items()},
    **MICRO_KERNELS,
    **SEQUENCE_KERNELS,
}
"""Samplers of the pieces of mosaics: every micro-kernel, and every block by its name, ``_block`` after it
where a micro-kernel has the same."""

_MAX_ATTEMPTS = 50  # draws per wanted network before limits count as impossible to meet


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptive:
    """Which part of a campaign is decided on while it runs, by where the models err most."""

    share: float
    """Of all tasks, in (0, 1)."""
    steps: int
    """In how many steps; each looks at all that was measured before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignPlan:
    """What a campaign benchmarks."""

    name: str
    """Short name."""
    description: str
    """One line for people."""
    seed: int
    """Seed of all draws; each measurement's seed derives from it too."""
    limits: Limits
    """The largest networks."""
    micro_kernels: tuple[tuple[str, int], ...]
    """How many networks of each sampler of `MICRO_KERNELS`."""
    sweeps: tuple[Sweep, ...]
    """One-dimensional sweeps."""
    blocks: tuple[tuple[str, int], ...]
    """How many networks of each kind of `BLOCKS`."""
    sizes: NetworkSizes | None = None
    """How large mosaics and synthetic networks are; needed where there are any."""
    mosaics: tuple[tuple[str, int], ...] = ()
    """How many pieces of each kind of `MICRO_KERNELS` and `BLOCKS` are put together to mosaics."""
    mosaics_int8: tuple[tuple[str, int], ...] = ()
    """Likewise, of mosaics with activations and weights in eight bits."""
    networks: tuple[tuple[str, str, int], ...] = ()
    """How many synthetic networks of each variant (of `VARIANTS`) and theme (of `THEMES`)."""
    adaptive: Adaptive | None = None
    """What is decided on while the campaign runs; ``None``: nothing."""

    @property
    def record(self) -> PlanRecord:
        """What a store remembers of the plan; what a plan does not use does not change it."""
        content = dataclasses.asdict(self)
        for name in ("sizes", "mosaics", "mosaics_int8", "networks", "adaptive"):
            if not content[name]:
                del content[name]
        text = json.dumps(content, separators=(",", ":"), sort_keys=True)
        return PlanRecord(name=self.name, seed=self.seed, text=text)


def load_plan(name_or_path: str | Path) -> CampaignPlan:
    """The plan of that name that ships with annette, or the plan in that YAML file.

    Raises
    ------
    UsageError
        If there is no such plan or file, or its contents are faulty.

    Examples
    --------
    >>> load_plan("quick").name
    'quick'
    """
    from annette.benchmark.plan_codec import plan_from_yaml
    from annette.hardware.yaml_text import read_text

    path = Path(name_or_path)
    shipped = resource_folder("plans") / f"{name_or_path}.yaml"
    if path.suffix not in (".yaml", ".yml") and path.name == str(name_or_path):
        if not os.path.isfile(shipped):  # unlike `Path.is_file` it never raises, whatever the name
            names = [name for name, _ in list_plans()]
            near = difflib.get_close_matches(str(name_or_path), names, n=1) or names
            raise UsageError(
                f"plan {str(name_or_path)!r}: not known, did you mean {' or '.join(near)}? "
                "A plan of your own is named by its file, ending in .yaml"
            )
        path = shipped
    try:
        text = read_text(path, f"plan {path}")
    except HardwareError as err:
        raise UsageError(str(err)) from err
    return plan_from_yaml(text, str(path))


def list_plans() -> tuple[tuple[str, str], ...]:
    """Names and descriptions of the plans that ship with annette."""
    paths = sorted(resource_folder("plans").glob("*.yaml"))
    return tuple((path.stem, load_plan(path).description) for path in paths)


def plan_campaign(plan: CampaignPlan) -> tuple[Task, ...]:
    """The tasks of a plan: no network twice, the same for the same plan.

    Raises
    ------
    UsageError
        If the limits leave too few networks of a kind.
    """
    tasks: dict[str, Task] = {}
    for sweep in plan.sweeps:
        for task in sweep_tasks(sweep):
            if not plan.limits.admit(task.network):
                raise UsageError(
                    f"plan {plan.name!r}: sweep {sweep.name!r} reaches beyond the plan's limits at "
                    f"{task.network.name}; lower its base or raise the limits"
                )
            tasks.setdefault(task.network.id, task)
    for kind, count in plan.micro_kernels:
        for task in sampled_tasks(plan, "micro-kernel", kind, count, taken=tasks):
            tasks[task.network.id] = task
    for kind, count in plan.blocks:
        for task in sampled_tasks(plan, "block", kind, count, taken=tasks):
            tasks[task.network.id] = task
    if plan.sizes is not None:
        for task in _in_company(plan, plan.sizes, set(tasks)):
            tasks[task.network.id] = task
    return tuple(tasks.values())


def _in_company(plan: CampaignPlan, sizes: NetworkSizes, taken: set[str]) -> Iterator[Task]:
    """The plan's mosaics and synthetic networks."""
    try:
        yield from mosaic_tasks(plan.mosaics, PIECES, sizes, plan.limits, seed=plan.seed, taken=taken)
        yield from mosaic_tasks(
            plan.mosaics_int8, PIECES, sizes, plan.limits,
            seed=plan.seed, stream="mosaic-int8", taken=taken, quantised=True,
        )  # fmt: skip
        yield from network_tasks(plan.networks, sizes, plan.limits, seed=plan.seed, taken=taken)
    except UsageError as err:
        raise UsageError(f"plan {plan.name!r}: {err}") from err


def sampled_tasks(
    plan: CampaignPlan,
    category: Literal["micro-kernel", "block"],
    kind: str,
    count: int,
    *,
    taken: Collection[str] = (),
    step: int = 0,
) -> tuple[Task, ...]:
    """The first ``count`` draws of one sampler within the limits, and not among the ids ``taken``.

    Each ``step`` draws others.

    Raises
    ------
    UsageError
        If the limits leave too few.
    """
    sampler: Sampler = {"micro-kernel": MICRO_KERNELS, "block": BLOCKS}[category][kind]
    more, seen = f"-{step}" if step else "", set(taken)
    stream, tasks = draws(plan.seed, f"{category}/{kind}{more}"), list[Task]()
    for _ in range(count * _MAX_ATTEMPTS):
        if len(tasks) == count:
            break
        identity = f"{kind}{more}/{len(tasks)}"
        build = NetworkBuilder(identity)
        network = build.finish(*sampler(next(stream), build))
        if network.id in seen or not plan.limits.admit(network):
            continue
        seen.add(network.id)
        group = f"{category}/{identity}"
        tasks.append(Task(network=network, category=category, group=group, tags=(("kind", kind),)))
    if len(tasks) < count:
        raise UsageError(
            f"plan {plan.name!r}: only {len(tasks)} of {count} {kind!r} networks fit the limits; "
            "raise the limits or ask for fewer"
        )
    return tuple(tasks)
