"""Sweeps any numbers of an accelerator's description over a grid, and finds what no other point beats."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from annette.errors import AnnetteError, UsageError
from annette.explore.sweep_axes import Axis
from annette.explore.sweep_study import FailedPoint, SweepPoint, SweepStudy
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator, Memory
from annette.hardware.energy import EnergyTable, sram_j_per_byte, sram_mm2
from annette.hardware.kept_memory import KeptMemory
from annette.hardware.settings import Setting, change_accelerator, read_setting, require_path
from annette.parallel import run_in_order
from annette.simulator.compiled import PreparedNetwork
from annette.simulator.run import simulate

__all__ = [
    "OBJECTIVES",
    "change_with_costs",
    "default_objectives",
    "run_sweep",
]

OBJECTIVES = ("latency", "energy", "edp", "area", "macs", "buffer_bytes")
"""What a point may be judged by, less being better, beside any number of the description: seconds, joules and
their product (of several networks the geometric mean), square millimetres, multiply-accumulates a cycle,
bytes of all memories on the chip."""

_RATES = ("clock_hz", "bandwidth_bytes_per_s")
_MOST_CHUNK = 32
_MOST_POINTS = 1_000_000
_Progress = Callable[[int, int, int], None]
_Ram = TypeVar("_Ram", Memory, KeptMemory)


def default_objectives(accelerator: Accelerator, axes: Sequence[Axis]) -> tuple[str, ...]:
    """Latency, and what it is bought with: area if the description has it, else cells and memories; also the
    clocks and bandwidths that are varied."""
    bought = ("area",) if accelerator.area is not None else ("macs", "buffer_bytes")
    rates = [
        path
        for axis in axes
        for path in axis.paths[:1]
        if path.endswith(_RATES) and any(map(_is_number, axis.values))
    ]
    return ("latency", *bought, *rates)


def run_sweep(
    networks: Sequence[Network],
    accelerator: Accelerator,
    axes: Sequence[Axis],
    *,
    objectives: Sequence[str] = (),
    jobs: int = 1,
    on_progress: _Progress | None = None,
) -> SweepStudy:
    """The networks on every accelerator of the grid, in ``jobs`` processes.

    A point that cannot be is kept with its reason. On Ctrl-C what is done so far is returned. Where the
    size of an on-chip memory changes, so do its energies and its area: see `change_with_costs`.

    Parameters
    ----------
    objectives : sequence of str
        Some of `OBJECTIVES`, or paths of numbers; by default those of `default_objectives`. Repeats count
        once.
    on_progress : callable or None
        Called with what is done, what there is to do, and how many points failed.

    Raises
    ------
    UsageError
        For no network, too many points, an unknown path, an objective that is unknown or no number, or
        costs that the description does not tell.

    Examples
    --------
    >>> from annette.explore.sweep_axes import parse_axis
    >>> from annette.hardware.codec import load_accelerator
    >>> from annette.zoo.registry import zoo_network
    >>> axis = parse_axis("array.systolic.rows=8,32,128")
    >>> study = run_sweep([zoo_network("lenet5")], load_accelerator("systolic-32x32-ws"), [axis])
    >>> [point.settings for point in study.points]
    [(8,), (32,), (128,)]
    """
    chosen = tuple(dict.fromkeys(objectives)) or default_objectives(accelerator, axes)
    _require(networks, accelerator, axes, chosen)
    grid = list(itertools.product(*(axis.values for axis in axes)))
    job = _Job(networks=tuple(networks), accelerator=accelerator, axes=tuple(axes), objectives=chosen)
    points: list[SweepPoint] = []
    failures: list[FailedPoint] = []
    try:
        for answers in _answers(job, grid, jobs):
            points.extend(item for item in answers if isinstance(item, SweepPoint))
            failures.extend(item for item in answers if isinstance(item, FailedPoint))
            if on_progress is not None:
                on_progress(len(points) + len(failures), len(grid), len(failures))
    except KeyboardInterrupt:
        pass  # what is done is worth having
    return SweepStudy(
        device=accelerator.name,
        networks=tuple(network.name for network in networks),
        axes=tuple(axes),
        objectives=chosen,
        planned=len(grid),
        points=tuple(points),
        failures=tuple(failures),
    )


def change_with_costs(accelerator: Accelerator, settings: Mapping[str, Setting]) -> Accelerator:
    """`change_accelerator`, and what on-chip memories of another size cost where it is not set as well.

    Energies and areas go with the size as those of static RAM do, of the memories that keep tensors too. So
    does the energy of the vector unit's buffer; its area, a part of ``area.other_mm2``, stays.

    Raises
    ------
    UsageError, HardwareError
        As `change_accelerator` does.

    Examples
    --------
    >>> from annette.hardware.codec import load_accelerator
    >>> base = load_accelerator("systolic-32x32-ws")
    >>> larger = change_with_costs(base, {"memories[0].size_bytes": 4 * base.memories[0].size_bytes})
    >>> larger.memories[0].read_j_per_byte / base.memories[0].read_j_per_byte
    2.0
    """
    changed = change_accelerator(accelerator, settings)
    memories = tuple(
        _with_costs(old, new, f"memories[{index}]", settings)
        for index, (old, new) in enumerate(zip(accelerator.memories, changed.memories, strict=True))
    )
    kept = {
        name: _with_costs(old, new, name, settings)
        for name in ("activation_memory", "weight_memory")
        if (old := getattr(accelerator, name)) is not None and (new := getattr(changed, name)) is not None
    }
    return replace(changed, memories=memories, energy=_buffer_energy(accelerator, changed, settings), **kept)


def _with_costs(old: _Ram, new: _Ram, path: str, settings: Container[str]) -> _Ram:
    if old.size_bytes == new.size_bytes:
        return new
    energy = _energy_factor(old.size_bytes, new.size_bytes)
    factors = {
        "read_j_per_byte": energy,
        "write_j_per_byte": energy,
        "area_mm2": sram_mm2(new.size_bytes) / sram_mm2(old.size_bytes),
    }
    costs: dict[str, Any] = {
        name: getattr(new, name) * factor
        for name, factor in factors.items()
        if getattr(new, name) is not None and f"{path}.{name}" not in settings
    }
    return replace(new, **costs)


def _buffer_energy(old: Accelerator, new: Accelerator, settings: Container[str]) -> EnergyTable | None:
    """The table of energies of ``new``, with that of its vector unit's buffer."""
    table, path = new.energy, "energy.vector_buffer_j_per_byte"
    if table is None or table.vector_buffer_j_per_byte is None or path in settings:
        return table
    if old.vector is None or new.vector is None:
        return table
    factor = _energy_factor(old.vector.buffer_bytes, new.vector.buffer_bytes)
    return replace(table, vector_buffer_j_per_byte=table.vector_buffer_j_per_byte * factor)


def _energy_factor(old_bytes: int, new_bytes: int) -> float:
    return sram_j_per_byte(new_bytes) / sram_j_per_byte(old_bytes)


# One point -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What is the same for all points."""

    networks: tuple[Network, ...]
    accelerator: Accelerator
    axes: tuple[Axis, ...]
    objectives: tuple[str, ...]


def _run_chunk(job: _Job, chunk: Sequence[tuple[Setting, ...]]) -> list[SweepPoint | FailedPoint]:
    prepared = [PreparedNetwork(network) for network in job.networks]
    return [_run_point(job, prepared, settings) for settings in chunk]


def _run_point(
    job: _Job, prepared: Sequence[PreparedNetwork], settings: tuple[Setting, ...]
) -> SweepPoint | FailedPoint:
    values = {path: value for axis, value in zip(job.axes, settings, strict=True) for path in axis.paths}
    try:
        machine = change_with_costs(job.accelerator, values)
        runs = [simulate(network, machine) for network in prepared]
        energies = [run.energy_j for run in runs] if {"energy", "edp"} & set(job.objectives) else []
    except AnnetteError as err:
        return FailedPoint(settings=settings, error=str(err))
    latencies = tuple(run.latency_s for run in runs)
    known = {"latency": _mean(latencies), "energy": _mean([item or math.nan for item in energies])}
    return SweepPoint(
        settings=settings,
        latencies_s=latencies,
        costs=tuple(_cost(name, machine, known) for name in job.objectives),
    )


def _mean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return (
        math.exp(math.fsum(map(math.log, values)) / len(values)) if values and min(values) > 0 else math.nan
    )


def _cost(name: str, machine: Accelerator, known: Mapping[str, float]) -> float:
    if name in known:
        return known[name]
    if name == "edp":
        return known["latency"] * known["energy"]
    if name == "area":
        return math.nan if machine.area_mm2 is None else machine.area_mm2
    if name == "macs":
        return float(machine.array.macs_per_cycle)
    if name == "buffer_bytes":
        return float(_buffer_bytes(machine))
    value = read_setting(machine, name)
    return float(value) if value is not None and _is_number(value) else math.nan


def _is_number(value: Setting) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _buffer_bytes(machine: Accelerator) -> int:
    kept = [
        item.size_bytes for item in (machine.activation_memory, machine.weight_memory) if item is not None
    ]
    vector = 0 if machine.vector is None else machine.vector.buffer_bytes
    return sum(memory.size_bytes for memory in machine.memories) + sum(kept) + vector


# All points ------------------------------------------------------------------------------------------


def _answers(
    job: _Job, grid: Sequence[tuple[Setting, ...]], jobs: int
) -> Iterator[list[SweepPoint | FailedPoint]]:
    """What each part of the grid gives, in its order; with several jobs in as many processes."""
    size = max(1, min(_MOST_CHUNK, len(grid) // (8 * jobs)))
    chunks = [grid[start : start + size] for start in range(0, len(grid), size)]
    if jobs == 1 or len(chunks) == 1:
        prepared = [PreparedNetwork(network) for network in job.networks]
        yield from ([_run_point(job, prepared, settings)] for settings in grid)
        return
    yield from run_in_order(_run_chunk, [(job, chunk) for chunk in chunks], jobs)


def _require(
    networks: Sequence[Network], accelerator: Accelerator, axes: Sequence[Axis], objectives: Sequence[str]
) -> None:
    if not networks or not axes:
        raise UsageError("sweep: expected at least one network and one axis")
    paths = [path for axis in axes for path in axis.paths]
    twice = [path for path in paths if paths.count(path) > 1]
    if twice:
        raise UsageError(f"sweep: found {twice[0]} on two axes, expected each path once")
    points = math.prod(len(axis.values) for axis in axes)
    if points > _MOST_POINTS:
        raise UsageError(
            f"sweep: found {points:,} points, expected at most {_MOST_POINTS:,}; vary fewer paths or values"
        )
    for path in paths:
        require_path(accelerator, path)
    for name in objectives:
        if name not in OBJECTIVES:
            _require_objective(accelerator, axes, name)
        if (name in ("energy", "edp") and accelerator.energy is None) or (
            name == "area" and accelerator.area is None
        ):
            part = "area" if name == "area" else "energy"
            raise UsageError(
                f"objective {name!r}: {accelerator.name!r} has no table under {part} in its description; "
                "expected one, or another objective"
            )


def _require_objective(accelerator: Accelerator, axes: Sequence[Axis], name: str) -> None:
    """Nothing, if ``name`` is the path of what is a number somewhere on the grid."""
    try:
        require_path(accelerator, name)
    except UsageError as err:
        raise UsageError(f"objective {err}; or one of {', '.join(OBJECTIVES)}") from err
    varied = [value for axis in axes if name in axis.paths for value in axis.values]
    values = varied or [read_setting(accelerator, name)]
    if not any(map(_is_number, values)):
        raise UsageError(
            f"objective {name}: found {values[0]}, expected a number, or one of {', '.join(OBJECTIVES)}"
        )
