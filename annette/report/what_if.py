"""What if the simulated device had another clock, bandwidth or array: its kernels on a grid of changes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from annette.errors import HardwareError
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator, MacArray
from annette.hardware.checks import bounds_of
from annette.simulator.compiled import PreparedNetwork
from annette.simulator.run import simulate

__all__ = ["FACTORS", "interpolate_s", "simulate_grid"]

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the clock and of the bandwidth at which the network is simulated; between them it is interpolated."""
_ARRAYS = (0.5, 1.0, 2.0, 4.0)
"""Cells of the array relative to the description's."""
_LOOPS = ("out_channels", "in_channels", "out_h", "out_w", "groups", "kernel_h", "kernel_w")
_DIGITS = 5
"""Significant ones that are kept of a time."""


def simulate_grid(network: Network, accelerator: Accelerator) -> dict[str, Any]:
    """Seconds of each kernel with other clocks, bandwidths and arrays, as JSON types.

    Everything is simulated anew: tilings adapt. The clock is that of the array and the vector unit; the
    bandwidth is that of the external memory. An array of another size has the shape, out of those that one
    changed dimension gives, that suits the network best; sizes that the description cannot have are left out.

    Returns
    -------
    dict
        ``factors``: of the clock and of the bandwidth; ``base_s``: seconds of the network as it is;
        ``kernels``: names; ``arrays``: for each size ``factor``, ``change`` (a field's path, or none) and
        ``seconds``: of each kernel, a row a clock and a column a bandwidth.

    Raises
    ------
    HardwareError
        If the accelerator cannot run the network.

    Examples
    --------
    >>> from annette.hardware.codec import load_accelerator
    >>> from annette.zoo.registry import zoo_network
    >>> grid = simulate_grid(zoo_network("lenet5"), load_accelerator("zcu102-dpu"))
    >>> faster = sum(interpolate_s(grid, clock=2.0, bandwidth=2.0))
    >>> faster < grid["base_s"]
    True
    """
    prepared = PreparedNetwork(network)
    base = simulate(prepared, accelerator)
    arrays = []
    for factor in _ARRAYS:
        change, machine = _resized(prepared, accelerator, factor)
        if machine is None:
            continue
        seconds = [[_latencies(prepared, machine, clock, rate) for rate in FACTORS] for clock in FACTORS]
        if any(row is None for rows in seconds for row in rows):
            continue
        kernels = [
            [[cell[number] for cell in rows if cell is not None] for rows in seconds]
            for number in range(len(base.kernels))
        ]
        arrays.append({"factor": factor, "change": change, "seconds": kernels})
    return {
        "device": accelerator.name,
        "factors": list(FACTORS),
        "base_s": base.latency_s,
        "kernels": [item.kernel.name for item in base.kernels],
        "arrays": arrays,
    }


def interpolate_s(
    grid: Mapping[str, Any], *, clock: float, bandwidth: float, array: float = 1.0
) -> list[float]:
    """Seconds of each kernel for factors between those of the grid.

    A kernel's time is a sum of parts that go with one over the clock, with one over the bandwidth, or with
    neither, as long as the same ceiling binds: between the grid's factors it is interpolated in these.
    The page computes the same.

    Parameters
    ----------
    grid : mapping
        What `simulate_grid` gave.
    clock, bandwidth : float
        Within the grid's factors.
    array : float
        One of the grid's sizes.
    """
    rows = next(item["seconds"] for item in grid["arrays"] if item["factor"] == array)
    (i, u), (j, v) = (_cell(grid["factors"], value) for value in (clock, bandwidth))
    return [
        (1 - u) * ((1 - v) * cells[i][j] + v * cells[i][j + 1])
        + u * ((1 - v) * cells[i + 1][j] + v * cells[i + 1][j + 1])
        for cells in rows
    ]


def _cell(factors: Sequence[float], value: float) -> tuple[int, float]:
    """The cell of a factor, and how far in it the factor lies, in terms of one over it."""
    place = min(max(bisect_right(factors, value) - 1, 0), len(factors) - 2)
    low, high = factors[place], factors[place + 1]
    return place, (1 / low - 1 / value) / (1 / low - 1 / high)


def _latencies(
    network: PreparedNetwork, accelerator: Accelerator, clock: float, bandwidth: float
) -> list[float] | None:
    """Seconds of each kernel; ``None`` where the description cannot be so, or cannot run the network."""
    external, vector = accelerator.external_memory, accelerator.vector
    try:
        machine = replace(
            accelerator,
            clock_hz=accelerator.clock_hz * clock,
            vector=None if vector is None else replace(vector, clock_hz=vector.clock_hz * clock),
            external_memory=replace(
                external, bandwidth_bytes_per_s=external.bandwidth_bytes_per_s * bandwidth
            ),
        )
        run = simulate(network, machine)
    except HardwareError:
        return None
    return [float(f"{item.latency_s:.{_DIGITS - 1}e}") for item in run.kernels]


# Arrays of other sizes -------------------------------------------------------------------------------


def _resized(
    network: PreparedNetwork, accelerator: Accelerator, factor: float
) -> tuple[str | None, Accelerator | None]:
    """The accelerator with so many times the cells, in the way that suits the network best."""
    if factor == 1:
        return None, accelerator
    best: tuple[float, str, Accelerator] | None = None
    for path, array in _arrays(accelerator.array, factor):
        try:
            machine = replace(accelerator, array=array)
            latency_s = simulate(network, machine).latency_s
        except HardwareError:
            continue
        if best is None or latency_s < best[0]:
            best = latency_s, path, machine
    return (None, None) if best is None else best[1:]


def _arrays(array: MacArray, factor: float) -> Iterator[tuple[str, MacArray]]:
    """Arrays with one dimension changed, each with the path of its field."""
    if array.systolic is not None:
        for name in ("rows", "columns"):
            side = getattr(array.systolic, name) * factor
            if side % 1 == 0 and bounds_of(array.systolic, name).allows(int(side)):
                sides: dict[str, Any] = {name: int(side)}
                changed = replace(array.systolic, **sides)
                yield f"array.systolic.{name}", replace(array, systolic=changed)
    if array.unroll is None:
        return
    for name in _LOOPS:
        wide = getattr(array.unroll, name) * factor
        if wide % 1 or not bounds_of(array.unroll, name).allows(int(wide)):
            continue
        depthwise = array.depthwise_unroll
        if depthwise is not None:
            loop = "groups" if name in ("out_channels", "in_channels") else name
            value = getattr(depthwise, loop) * factor
            if value % 1 == 0 and bounds_of(depthwise, loop).allows(int(value)):
                depthwise = replace(depthwise, **{loop: int(value)})
        unroll = replace(array.unroll, **{name: int(wide)})
        yield f"array.unroll.{name}", replace(array, unroll=unroll, depthwise_unroll=depthwise)
