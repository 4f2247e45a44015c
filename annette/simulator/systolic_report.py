"""A network on one systolic array, layer by layer: cycles, utilisation, accesses, bandwidth of the DRAM."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import HardwareError, UsageError
from annette.hardware.accelerator import Accelerator
from annette.hardware.scalesim_files import ScaleSimConfiguration
from annette.hardware.systolic_array import SystolicArray
from annette.simulator.products import MatrixProducts
from annette.simulator.systolic import SystolicCounts, count_systolic
from annette.simulator.systolic_traffic import BufferSizes, SystolicTraffic, count_traffic, default_sum_bytes

__all__ = [
    "SystolicReport",
    "SystolicSystem",
    "accelerator_system",
    "configuration_system",
    "report_systolic",
]

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
OPERANDS = ("input", "weight", "output")


@dataclass(frozen=True, slots=True, kw_only=True)
class SystolicSystem:
    """A systolic array, its buffers, and the width of what they hold."""

    array: SystolicArray
    buffers: BufferSizes
    """Of the array; half of each holds what is at work, the other half what comes next."""
    element_bytes: float = 1.0
    """Of an input and of a result; > 0."""
    weight_bytes: float = 1.0
    """Of a weight; > 0."""
    sum_bytes: float = 4.0
    """Of a partial sum, in the output buffer and where it leaves and comes back; > 0."""
    clock_hz: float | None = None
    """``None``: not known; bandwidths are given per cycle only."""


def accelerator_system(accelerator: Accelerator) -> SystolicSystem:
    """The systolic array of ``accelerator``; a memory for several operands is shared out evenly among them.

    Raises
    ------
    HardwareError
        If it has none.
    """
    array = accelerator.array.systolic
    if array is None:
        raise HardwareError(
            f"accelerator {accelerator.name!r}: no array.systolic, expected a systolic array such as that of "
            "systolic-32x32-ws"
        )
    holders = [accelerator.memory_index(operand) for operand in OPERANDS]
    shares = [accelerator.memories[index].size_bytes / holders.count(index) for index in holders]
    precision = accelerator.precision
    return SystolicSystem(
        array=array,
        buffers=BufferSizes(input_bytes=shares[0], weight_bytes=shares[1], output_bytes=shares[2]),
        element_bytes=precision.activation_bytes,
        weight_bytes=precision.weight_bytes,
        sum_bytes=precision.accumulator_bytes,
        clock_hz=accelerator.clock_hz,
    )


def configuration_system(
    configuration: ScaleSimConfiguration,
    *,
    element_bytes: float = 1.0,
    sum_bytes: float | None = None,
    clock_hz: float | None = None,
) -> SystolicSystem:
    """What a configuration of SCALE-Sim describes, with widths, which its files do not hold.

    ``sum_bytes`` of a partial sum are by default those of
    `annette.simulator.systolic_traffic.default_sum_bytes`.
    """
    return SystolicSystem(
        array=configuration.array,
        buffers=BufferSizes(
            input_bytes=configuration.input_buffer_bytes,
            weight_bytes=configuration.weight_buffer_bytes,
            output_bytes=configuration.output_buffer_bytes,
        ),
        element_bytes=element_bytes,
        weight_bytes=element_bytes,
        sum_bytes=default_sum_bytes(element_bytes) if sum_bytes is None else sum_bytes,
        clock_hz=clock_hz,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SystolicReport:
    """A network on one systolic array; arrays of shape (n_layers,).

    A layer of several products (groups, matrices of a stack) does one after another.
    """

    system: SystolicSystem
    products: MatrixProducts
    counts: SystolicCounts
    """Of one product of each layer."""
    traffic: SystolicTraffic
    """Of one product of each layer."""

    @property
    def total_cycles(self) -> _Ints:
        """The index of each layer's last cycle, as SCALE-Sim reports it."""
        return self.counts.cycles * self.products.repeats - 1

    @property
    def overall_efficiency(self) -> _Floats:
        """Multiply-accumulates over what the array could have done in `total_cycles`."""
        peak = float(self.system.array.macs_per_cycle)
        return self.products.macs / (np.maximum(self.total_cycles, 1) * peak)

    @property
    def sram_accesses(self) -> Mapping[str, _Ints]:
        """Elements read (``input``, ``weight``) and written (``output``) by the array."""
        counts = (self.counts.input_reads, self.counts.weight_reads, self.counts.output_writes)
        return {name: count * self.products.repeats for name, count in zip(OPERANDS, counts, strict=True)}

    @property
    def dram_bytes(self) -> Mapping[str, _Floats]:
        """Bytes between DRAM and buffers by operand; ``output`` with sums that leave and come back."""
        moved = (self.traffic.input_bytes, self.traffic.weight_bytes, self.traffic.output_bytes)
        return {name: value * self.products.repeats for name, value in zip(OPERANDS, moved, strict=True)}

    @property
    def average_bytes_per_cycle(self) -> Mapping[str, _Floats]:
        """`dram_bytes` over the cycles of the layer: the bandwidth that each operand asks for on average."""
        cycles = self.counts.cycles * self.products.repeats
        return {name: value / cycles for name, value in self.dram_bytes.items()}

    @property
    def stall_free_bytes_per_cycle(self) -> _Floats:
        """The bandwidth at which no fold waits: the most bytes of a fold over its cycles."""
        return self.traffic.peak_bytes_per_fold * self.counts.folds / self.counts.cycles

    def to_dict(self) -> dict[str, Any]:
        """Totals and layers as JSON types."""
        system = self.system
        return {
            "array": {
                "rows": system.array.rows,
                "columns": system.array.columns,
                "dataflow": system.array.dataflow,
            },
            "buffer_bytes": {name: float(getattr(system.buffers, f"{name}_bytes")) for name in OPERANDS},
            "element_bytes": system.element_bytes,
            "weight_bytes": system.weight_bytes,
            "sum_bytes": system.sum_bytes,
            "clock_hz": system.clock_hz,
            "total": self._total(),
            "layers": [self._layer(row) for row in range(len(self.products.names))],
        }

    def _total(self) -> dict[str, Any]:
        cycles, macs = int(self.total_cycles.sum()), int(self.products.macs.sum())
        moved = {name: float(value.sum()) for name, value in self.dram_bytes.items()}
        peak = float(self.system.array.macs_per_cycle)
        return {
            "macs": macs,
            "total_cycles": cycles,
            "overall_efficiency": macs / (max(cycles, 1) * peak),
            "sram_accesses": {name: int(value.sum()) for name, value in self.sram_accesses.items()},
            "dram_bytes": moved,
            **self._bandwidths(
                {name: value / max(cycles, 1) for name, value in moved.items()},
                float(self.stall_free_bytes_per_cycle.max()),
            ),
        }

    def _layer(self, row: int) -> dict[str, Any]:
        products, counts = self.products, self.counts
        return {
            "layer": products.names[row],
            **{name: int(getattr(products, name)[row]) for name in ("m", "k", "n", "repeats", "macs")},
            "total_cycles": int(self.total_cycles[row]),
            "overall_efficiency": float(self.overall_efficiency[row]),
            "mapping_efficiency": float(counts.mapping_efficiency[row]),
            "compute_efficiency": float(counts.compute_efficiency[row]),
            "sram_accesses": {name: int(value[row]) for name, value in self.sram_accesses.items()},
            "dram_bytes": {name: float(value[row]) for name, value in self.dram_bytes.items()},
            **self._bandwidths(
                {name: float(value[row]) for name, value in self.average_bytes_per_cycle.items()},
                float(self.stall_free_bytes_per_cycle[row]),
            ),
        }

    def _bandwidths(self, average: dict[str, float], stall_free: float) -> dict[str, Any]:
        """Per cycle, and per second where the clock is known."""
        found: dict[str, Any] = {
            "average_bytes_per_cycle": average,
            "stall_free_bytes_per_cycle": stall_free,
        }
        clock_hz = self.system.clock_hz
        if clock_hz is not None:
            found["average_bytes_per_s"] = {name: value * clock_hz for name, value in average.items()}
            found["stall_free_bytes_per_s"] = stall_free * clock_hz
        return found

    def to_csv(self) -> str:
        """A row a layer: SCALE-Sim's columns under its names, those of the DRAM under names of our own."""
        percent = {
            "Overall Util %": self.overall_efficiency,
            "Mapping Efficiency %": self.counts.mapping_efficiency,
            "Compute Util %": self.counts.compute_efficiency,
        }
        sram = dict(
            zip(
                ("SRAM IFMAP Reads", "SRAM Filter Reads", "SRAM OFMAP Writes"),
                self.sram_accesses.values(),
                strict=True,
            )
        )
        average = {f"Average {name} bytes/cycle": item for name, item in self.average_bytes_per_cycle.items()}
        columns: dict[str, Any] = {
            "LayerID": np.arange(len(self.products.names)),
            "Layer": np.array(self.products.names, dtype=object),
            "Total Cycles": self.total_cycles,
            "Stall Cycles": np.zeros(len(self.products.names), dtype=np.int64),
            **{name: 100 * value for name, value in percent.items()},
            **sram,
            **{f"DRAM {name} bytes": value for name, value in self.dram_bytes.items()},
            **average,
            "Stall-free bytes/cycle": self.stall_free_bytes_per_cycle,
        }
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(value.tolist() for value in columns.values()), strict=True))
        return text.getvalue()


def report_systolic(products: MatrixProducts, system: SystolicSystem) -> SystolicReport:
    """What each layer does on a systolic array, in SCALE-Sim's counts, and what it asks of the DRAM.

    Cycles, efficiencies and accesses are those of SCALE-Sim 3.0.0 without memory stalls. The DRAM traffic is
    our own model, not SCALE-Sim's, which replays addresses; on some layers the two differ, most often in the
    outputs, where ours moves less (benchmarks/results/scalesim_equality.json counts them). It is that of
    `annette.simulator.systolic_traffic.count_traffic`: the least bytes of the two orders of folds, and the
    bandwidth at which no fold waits for its operands.

    Parameters
    ----------
    products : MatrixProducts
        Of a network or of a topology; at least one.
    system : SystolicSystem
        The array and its buffers.

    Raises
    ------
    UsageError
        For a network without products.
    HardwareError
        For a product of more than 2**44 multiply-accumulates.

    Examples
    --------
    >>> from annette.hardware.codec import load_accelerator
    >>> from annette.simulator.products import network_products
    >>> from annette.zoo.registry import zoo_network
    >>> system = accelerator_system(load_accelerator("systolic-32x32-os"))
    >>> report = report_systolic(network_products(zoo_network("resnet18"), "scalesim"), system)
    >>> report.to_dict()["total"]["total_cycles"]
    1718353
    """
    if not products.names:
        raise UsageError("nothing to report; expected a network with convolutions or matrix products")
    array = system.array
    counts = count_systolic(products.m, products.k, products.n, array)
    traffic = count_traffic(
        products.m, products.k, products.n,
        rows=array.rows,
        columns=array.columns,
        dataflow=array.dataflow,
        buffers=system.buffers,
        element_bytes=system.element_bytes,
        weight_bytes=system.weight_bytes,
        sum_bytes=system.sum_bytes,
        input_share=products.input_share,
    )  # fmt: skip
    return SystolicReport(system=system, products=products, counts=counts, traffic=traffic)
