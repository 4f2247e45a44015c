"""What if a device had more of something: the network on changed descriptions, its tilings chosen anew."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from annette.errors import HardwareError
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator, MacArray
from annette.hardware.checks import Bounds, bounds_of
from annette.hardware.rates import Rates
from annette.simulator.compiled import PreparedNetwork
from annette.simulator.roofs import memory_names
from annette.simulator.run import simulate

__all__ = ["MachineChange", "study_changes"]

_INDEX = re.compile(r"(\w+)\[(\d+)\]")
_LOOPS = ("out_channels", "in_channels", "out_h", "out_w", "groups", "kernel_h", "kernel_w")
"""Loops of a convolution that an array twice as large may do more of in a cycle."""
_FREE_CLOCK = 1e4
"""How much faster an array works whose multiply-accumulates are as good as free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineChange:
    """How much faster a network would be if one thing of the device were twice as good, or free."""

    ceiling: str
    """What is raised, in the words of `annette.simulator.roofs.kernel_ceilings` where it has them."""
    fields: tuple[str, ...]
    """Fields of the description that change."""
    doubled_speed_up: float
    """Old over new latency with twice the rate or size, or half the delay; >= 1."""
    removed_speed_up: float
    """The same with as much of it as a description may have, or no delay; >= `doubled_speed_up`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Fields of one part of a description that are scaled together."""

    path: str
    """Of the part, for example ``memories[0]``; empty: the accelerator itself."""
    more: tuple[str, ...] = ()
    """Fields of which more is better."""
    less: tuple[str, ...] = ()
    """Fields of which less is better."""

    def fields(self, accelerator: Accelerator) -> tuple[str, ...]:
        """Paths of those that the description has."""
        instance = _part_of(accelerator, self.path)
        names = (name for name in (*self.more, *self.less) if getattr(instance, name) is not None)
        return tuple(f"{self.path}.{name}" if self.path else name for name in names)


def study_changes(network: Network | PreparedNetwork, accelerator: Accelerator) -> tuple[MachineChange, ...]:
    """What twice as much of each thing that a description has would give, and what if it were free.

    Every change is simulated: tilings adapt, and what is added to a size on the chip may stay unused. Of
    twice the multiply-accumulates, the best of the ways to have them is taken for the network, rows or
    columns, this loop or that, or the array as it was with half of the cells idle. The most rewarding change
    comes first.

    Raises
    ------
    HardwareError
        If the accelerator cannot run the network.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> from annette.hardware.codec import load_accelerator
    >>> build = NetworkBuilder("one")
    >>> y = build.conv(build.input("x", (1, 512, 56, 56)), 512, kernel=3, padding=1)
    >>> changes = study_changes(build.finish(y), load_accelerator("zcu102-dpu"))
    >>> [(item.ceiling, round(item.doubled_speed_up, 1)) for item in changes[:3]]
    [('clock', 2.0), ('array MACs', 2.0), ('array overhead', 1.0)]
    """
    prepared = network if isinstance(network, PreparedNetwork) else PreparedNetwork(network)
    before_s = simulate(prepared, accelerator).latency_s

    def speed_up(machines: Sequence[Accelerator]) -> float:
        return before_s / min(_latency_s(prepared, machine) for machine in machines) if before_s else 1.0

    found = []
    for ceiling, parts, may_idle in _resources(accelerator, _kinds(prepared, accelerator)):
        twice, most = (_scaled(accelerator, parts, factor) for factor in (2.0, math.inf))
        doubled = speed_up([accelerator, twice] if may_idle else [twice])
        removed = speed_up([accelerator, twice, most] if may_idle else [most])
        changed = tuple(name for part in parts for name in part.fields(accelerator))
        found.append(_change(ceiling, changed, doubled, removed))
    found.append(_more_macs(accelerator, speed_up))
    return tuple(sorted(found, key=lambda item: (-item.doubled_speed_up, -item.removed_speed_up)))


def _change(ceiling: str, changed: tuple[str, ...], doubled: float, removed: float) -> MachineChange:
    return MachineChange(ceiling=ceiling, fields=changed, doubled_speed_up=doubled, removed_speed_up=removed)


def _latency_s(network: PreparedNetwork, accelerator: Accelerator) -> float:
    """Seconds; infinite where not even the smallest tile of an array that was changed fits its memories."""
    try:
        return simulate(network, accelerator).latency_s
    except HardwareError:
        return math.inf


# What there is to change -----------------------------------------------------------------------------


def _kinds(network: PreparedNetwork, accelerator: Accelerator) -> dict[str, tuple[str, ...]]:
    """Kinds of work that the vector unit and the host do, where there are several."""
    compiled, external = network.compiled(accelerator), accelerator.external_memory
    found: dict[str, set[str]] = {"vector": set(), "host": set()}
    for kernel in compiled.mapping.kernels:
        if kernel.unit in found:
            found[kernel.unit] |= {kind for kind, _ in compiled.stream(kernel.layers, external).work}
    kinds = [item.name for item in fields(Rates)]
    return {
        unit: tuple(kind for kind in kinds if kind in done) if len(done) > 1 else ()
        for unit, done in found.items()
    }


def _resources(
    accelerator: Accelerator, kinds: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, tuple[_Part, ...], bool]]:
    """All that a description has but for multiply-accumulates: name, fields, whether more may lie idle."""
    vector = () if accelerator.vector is None else (_Part(path="vector", more=("clock_hz",)),)
    yield "clock", (_Part(path="", more=("clock_hz",)), *vector), False
    cycles = ("pass_cycles", "weight_switch_cycles", "weight_load_cycles", "tile_cycles")
    yield "array overhead", (_Part(path="array", more=("cycle_efficiency",), less=cycles),), False
    yield "post-processor", (_Part(path="array", more=("post_elements_per_cycle",)),), False
    yield from _memory_resources(accelerator)
    parts = ("array", "vector") if vector else ("array",)
    yield "launches", tuple(_Part(path=path, less=("launch_s",)) for path in parts), False
    rates = tuple(item.name for item in fields(Rates))
    if vector:
        yield "vector", (_Part(path="vector.rates", more=rates),), False
        for kind in kinds["vector"]:
            yield f"vector {kind}", (_Part(path="vector.rates", more=(kind,)),), False
        yield "vector buffer", (_Part(path="vector", more=("buffer_bytes",)),), True
        yield "vector tiles", (_Part(path="vector", less=("tile_cycles",)),), False
    if accelerator.host is not None:
        yield "host", (_Part(path="host.rates", more=rates),), False
        for kind in kinds["host"]:
            yield f"host {kind}", (_Part(path="host.rates", more=(kind,)),), False
        yield "host link", (_Part(path="host", more=("bandwidth_bytes_per_s",)),), False
        yield "host round trip", (_Part(path="host", less=("round_trip_s",)),), False


def _memory_resources(accelerator: Accelerator) -> Iterator[tuple[str, tuple[_Part, ...], bool]]:
    for index, name in enumerate(memory_names(accelerator)):
        path, memory = f"memories[{index}]", accelerator.memories[index]
        # The tiles that seem best may not be, in a larger one: a compiler may leave room unused.
        yield f"{name} size", (_Part(path=path, more=("size_bytes",)),), True
        if memory.read_bytes_per_cycle is not None or memory.write_bytes_per_cycle is not None:
            ports = ("read_bytes_per_cycle", "write_bytes_per_cycle")
            yield f"{name} ports", (_Part(path=path, more=ports),), False
    external = "external_memory"
    yield "external memory", (_Part(path=external, more=("bandwidth_bytes_per_s",)),), False
    yield "external memory latency", (_Part(path=external, less=("latency_s",)),), False
    granules = ("burst_bytes", "channel_alignment")
    yield "external memory granules", (_Part(path=external, less=granules),), False
    for path in ("activation_memory", "weight_memory"):
        if getattr(accelerator, path) is not None:
            name = path.replace("_", " ")
            # What is kept decides what else finds room: a larger one may be used as if it were not.
            yield f"{name} size", (_Part(path=path, more=("size_bytes",)),), True
            yield name, (_Part(path=path, more=("bandwidth_bytes_per_s",)),), False


def _scaled(accelerator: Accelerator, parts: Sequence[_Part], factor: float) -> Accelerator:
    for part in parts:
        accelerator = _scaled_part(accelerator, part.path, part, factor)
    return accelerator


def _scaled_part(instance: Any, path: str, part: _Part, factor: float) -> Any:
    """The description with the fields of ``part`` raised or lowered, as far as their bounds allow.

    Whole numbers are halved where nothing is left over, so that smaller granules still fill the larger ones.
    """
    if not path:
        changed: dict[str, Any] = {}
        for name in (*part.more, *part.less):
            value = getattr(instance, name)
            if value is not None:
                scale = _more if name in part.more else _less
                changed[name] = scale(value, factor, bounds_of(instance, name))
                if _is_whole(instance, name):
                    changed[name] = int(changed[name]) if changed[name] % 1 == 0 else value
        return replace(instance, **changed)
    head, _, rest = path.partition(".")
    item = _INDEX.fullmatch(head)
    if item is None:
        return replace(instance, **{head: _scaled_part(getattr(instance, head), rest, part, factor)})
    entries = list(getattr(instance, item[1]))
    entries[int(item[2])] = _scaled_part(entries[int(item[2])], rest, part, factor)
    return replace(instance, **{item[1]: tuple(entries)})


def _part_of(instance: Any, path: str) -> Any:
    """The part of a description at ``path``."""
    for head in path.split(".") if path else ():
        item = _INDEX.fullmatch(head)
        instance = getattr(instance, head) if item is None else getattr(instance, item[1])[int(item[2])]
    return instance


def _more(value: float, factor: float, bounds: Bounds) -> float:
    return value * factor if bounds.at_most is None else min(value * factor, bounds.at_most)


def _less(value: float, factor: float, bounds: Bounds) -> float:
    return max(value / factor, bounds.at_least or 0.0)


def _most(instance: Any, name: str) -> float:
    """The upper bound of a field."""
    at_most = bounds_of(instance, name).at_most
    return math.inf if at_most is None else at_most


def _is_whole(instance: Any, name: str) -> bool:
    return any(item.name == name and item.type == "int" for item in fields(instance))


# Multiply-accumulates --------------------------------------------------------------------------------


def _more_macs(accelerator: Accelerator, speed_up: Callable[[Sequence[Accelerator]], float]) -> MachineChange:
    """Twice the cells in the way that suits the network best, and cells as good as free."""
    ways = {name: replace(accelerator, array=array) for name, array in _larger_arrays(accelerator.array)}
    gains = {name: speed_up([machine]) for name, machine in ways.items()}
    best = max(gains, key=lambda name: gains[name], default="")
    doubled = max(gains.get(best, 1.0), 1.0)
    removed = max(speed_up([_free_macs(accelerator)]), doubled)
    return _change("array MACs", (best,) if doubled > 1 else tuple(ways)[:1], doubled, removed)


def _larger_arrays(array: MacArray) -> Iterator[tuple[str, MacArray]]:
    """Arrays of twice as many cells, each with the path of the field that grows."""
    if array.systolic is not None:
        for name in ("rows", "columns"):
            side = 2 * getattr(array.systolic, name)
            if bounds_of(array.systolic, name).allows(side):
                yield (
                    f"array.systolic.{name}",
                    replace(array, systolic=replace(array.systolic, **{name: side})),
                )
    if array.unroll is None:
        return
    for name in _LOOPS:
        if not bounds_of(array.unroll, name).allows(2 * getattr(array.unroll, name)):
            continue
        depthwise = array.depthwise_unroll
        if depthwise is not None:
            loop = "groups" if name in ("out_channels", "in_channels") else name
            wider = replace(depthwise, **{loop: 2 * getattr(depthwise, loop)})
            depthwise = wider if bounds_of(depthwise, loop).allows(getattr(wider, loop)) else depthwise
        yield (
            f"array.unroll.{name}",
            replace(
                array,
                unroll=replace(array.unroll, **{name: 2 * getattr(array.unroll, name)}),
                alternative_unrolls=array.unrolls,  # as it was, with half of the cells idle
                depthwise_unroll=depthwise,
            ),
        )


def _free_macs(accelerator: Accelerator) -> Accelerator:
    """An array whose multiply-accumulates take no time and all else as long as before.

    A description knows no such array, but one whose clock is far faster, and all else that is counted in its
    cycles as much slower.
    """
    array = accelerator.array
    names = ("pass_cycles", "weight_switch_cycles", "weight_load_cycles", "tile_cycles")
    cycles = {name: getattr(array, name) for name in names if getattr(array, name)}
    ports = ("read_bytes_per_cycle", "write_bytes_per_cycle")
    factor = (1 - 1e-9) * min(  # no bound is passed for the last bit of a float
        _FREE_CLOCK,
        _most(accelerator, "clock_hz") / accelerator.clock_hz,
        *(_most(array, name) / value for name, value in cycles.items()),
    )

    def slower(instance: Any, names: Iterable[str]) -> dict[str, Any]:
        known = ((name, getattr(instance, name)) for name in names)
        return {name: value / factor for name, value in known if value is not None}

    changed: dict[str, Any] = {name: value * factor for name, value in cycles.items()}
    changed |= slower(array, ("post_elements_per_cycle",))
    return replace(
        accelerator,
        clock_hz=accelerator.clock_hz * factor,
        array=replace(array, **changed),
        memories=tuple(replace(item, **slower(item, ports)) for item in accelerator.memories),
    )
