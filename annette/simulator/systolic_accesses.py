"""Counts what a systolic array reads and writes: SCALE-Sim's accesses, and what its buffers exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annette.hardware.systolic_array import SystolicArray
from annette.simulator.accesses import Accesses
from annette.simulator.array_accesses import BufferBytes, memory_accesses
from annette.simulator.nests import ArrayNest
from annette.simulator.systolic import SystolicCounts
from annette.simulator.systolic_traffic import SystolicTraffic

if TYPE_CHECKING:
    from annette.simulator.array_engine import ArrayMachine
    from annette.simulator.systolic_engine import NestProduct

__all__ = ["systolic_accesses"]


def systolic_accesses(
    nest: ArrayNest, product: NestProduct, counts: SystolicCounts, traffic: SystolicTraffic,
    machine: ArrayMachine, array: SystolicArray,
) -> Accesses:  # fmt: skip
    """What ``nest`` does as products of matrices.

    Reads of the operands and writes of results and partial sums are those of `count_systolic`, element by
    element. Where operands stay in the array, each partial sum that is written is read back; SCALE-Sim does
    not count that. Where results stay (OS), there are no partial sums to write: SCALE-Sim counts rows +
    columns more writes than results for each fold, an artefact of its traces that is left out here. Operands
    that move through the array are written to and read from the registers of every cell they pass, those that
    stay are read.

    Parameters
    ----------
    nest, machine, array
        What runs on what.
    product, counts, traffic
        The nest as products, and what one of them does.
    """
    element, weight = machine.activation_bytes, machine.activation_bytes
    if not nest.has_computed_weights:
        weight = machine.weight_bytes
    results = product.m * product.n
    input_loads, weight_loads = product.loads(traffic, element)
    partial = 0.0
    if array.dataflow != "OS":
        partial = float(counts.output_writes[0] - results) * product.repeats * machine.accumulator_bytes
    found = BufferBytes(
        input_reads=float(counts.input_reads[0]) * product.repeats * element,
        weight_reads=float(counts.weight_reads[0]) * product.repeats * weight,
        extra_reads=nest.extra_elements * element,
        result_writes=float(results) * product.repeats * element,
        input_fills=nest.input_elements * element * input_loads,
        weight_fills=nest.weight_elements * weight * weight_loads,
        stores=nest.store_elements * element,
        spills=product.spilled_bytes(traffic, element) / 2,
    )
    return Accesses(
        macs=float(nest.macs),
        register_bytes=nest.macs * _cell_bytes(array, element, weight, machine.accumulator_bytes),
        memories=memory_accesses(machine, found),
        partial_sum_read_bytes=partial,
        partial_sum_write_bytes=partial,
        external_read_bytes=float(found.external_reads),
        external_weight_bytes=float(found.weight_fills),
        external_write_bytes=float(found.stores + found.spills),
        vector_ops=float(nest.post_elements),
    )


def _cell_bytes(array: SystolicArray, element: float, weight: float, accumulator: float) -> float:
    """Bytes through the registers of a cell for each multiply-accumulate."""
    inputs, weights = (2.0 if array.dataflow != stays else 1.0 for stays in ("IS", "WS"))
    return inputs * element + weights * weight + 2.0 * accumulator
