"""What in a kernel table looks like a mistake although every row can be read: units, rows twice."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from annette.graph.builder import NetworkBuilder
from annette.graph.work import network_work
from annette.tables.importing import ImportedTable
from annette.tables.kernel import TableKernel, add_kernel

__all__ = ["find_doubts"]

_FASTEST_OPS_PER_S = 1e15
"""No device of those that networks are timed on computes as fast."""
_SLOWEST_OPS_PER_S = 3e6
"""A microcontroller without floating point is faster on its best kernel."""
_MOST_SUM = 3.0
"""Kernels may run side by side and profilers slow them down, but not that much."""
_LEAST_SUM = 0.01
_TWICE_FRACTION = 0.4
"""Networks repeat layers, and times in whole microseconds agree by chance; of a table that was put together
twice half of the rows are there already."""


def find_doubts(table: ImportedTable) -> tuple[str, ...]:
    """Sentences about what a reader should look at; none where all is as expected."""
    return (*_rates(table), *_sums(table), *_repeats(table))


def _rates(table: ImportedTable) -> Iterator[str]:
    """The best rate of computing says whether times are in the unit that the schema says."""
    rates = [_ops(kernel) / kernel.latency_s for kernel in table.timed if kernel.latency_s is not None]
    best = max((rate for rate in rates if rate > 0), default=None)
    if best is not None and not _SLOWEST_OPS_PER_S <= best <= _FASTEST_OPS_PER_S:
        much = "more" if best > _FASTEST_OPS_PER_S else "less"
        yield (
            f"the best kernel computes {best:.2g} ops/s, {much} than any device that is known: are the times "
            "in the unit that the schema says?"
        )


def _ops(kernel: TableKernel) -> int:
    build = NetworkBuilder("one")
    return network_work(build.finish(add_kernel(build, kernel)[1])).ops


def _sums(table: ImportedTable) -> Iterator[str]:
    """Kernels' times and end-to-end times are in units that fit each other."""
    sums: dict[str, float] = {}
    untimed = set()
    for kernel in table.kernels:
        if kernel.latency_s is None:
            untimed.add(kernel.network)
        sums[kernel.network] = sums.get(kernel.network, 0.0) + (kernel.latency_s or 0.0)
    wholes = {name: value for name, value in table.whole_networks().items() if name not in untimed}
    if not wholes:
        return
    ratio = statistics.median(sums[name] / value for name, value in wholes.items())
    if not _LEAST_SUM <= ratio <= _MOST_SUM:
        yield (
            f"the kernels of a network take {ratio:.2g} times what it takes from end to end: are both in the "
            "units that the schema says?"
        )


def _repeats(table: ImportedTable) -> Iterator[str]:
    """Rows that are there twice, the time included."""
    seen = set()
    twice = 0
    for kernel in table.timed:
        key = (
            kernel.network, kernel.operator, kernel.input_shape, kernel.output_shape, kernel.kernel,
            kernel.groups, kernel.unit, kernel.fused, kernel.latency_s,
        )  # fmt: skip
        twice += key in seen
        seen.add(key)
    if twice > _TWICE_FRACTION * len(table.timed):
        yield (
            f"{twice} rows are like an earlier one of their network to the last digit of the time: was the "
            "table put together twice?"
        )
