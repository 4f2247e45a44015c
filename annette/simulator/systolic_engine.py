"""Times a loop nest on a systolic array: the closed form of its folds, and the memory behind its buffers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from annette.hardware.systolic_array import SystolicArray
from annette.simulator.array_engine import ArrayMachine
from annette.simulator.nests import ArrayNest, KernelTime
from annette.simulator.systolic import count_systolic
from annette.simulator.systolic_accesses import systolic_accesses
from annette.simulator.systolic_traffic import BufferSizes, SystolicTraffic, count_traffic

__all__ = ["NestProduct", "bus_bytes", "moved_bytes", "nest_product", "product_traffic", "time_systolic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NestProduct:
    """A loop nest as matrix products of M x K by K x N, done so many times with operands of their own."""

    m: int
    k: int
    n: int
    repeats: int


def nest_product(nest: ArrayNest) -> NestProduct:
    """The matrix products that ``nest`` is, one a group."""
    taps = nest.kernel_h * nest.kernel_w
    positions = nest.batch * nest.positions_h * nest.positions_w
    if nest.is_transposed:  # every input position meets every tap; the results are added up behind
        return NestProduct(m=positions, k=nest.in_channels, n=nest.out_channels * taps, repeats=nest.groups)
    return NestProduct(m=positions, k=nest.in_channels * taps, n=nest.out_channels, repeats=nest.groups)


def product_traffic(product: NestProduct, array: SystolicArray, machine: ArrayMachine) -> SystolicTraffic:
    """What one of the products moves between the buffers and the external memory.

    A memory that holds several operands is shared out evenly among them.
    """
    m, k, n = (np.array([size], dtype=np.int64) for size in (product.m, product.k, product.n))
    shares = [machine.sizes_bytes[holder] / machine.holders.count(holder) for holder in machine.holders]
    return count_traffic(
        m, k, n,
        rows=array.rows,
        columns=array.columns,
        dataflow=array.dataflow,
        buffers=BufferSizes(input_bytes=shares[0], weight_bytes=shares[1], output_bytes=shares[2]),
        element_bytes=machine.activation_bytes,
    )  # fmt: skip


@lru_cache(maxsize=65536)
def time_systolic(nest: ArrayNest, array: SystolicArray, machine: ArrayMachine) -> KernelTime:
    """The time of ``nest``, launch included.

    The folds follow one another without a gap, in the cycles of `count_systolic`, as long as the memory keeps
    up: operands are fetched one fold ahead, so that the first fold waits for its own and the rest takes as
    long as its cycles or its bytes ask for, whichever is longer.

    Convolutions are products of their windows, read from the buffers window by window. The external memory
    holds the feature map itself: it crosses the bus as often as the product reads its left matrix.
    """
    product = nest_product(nest)
    counts = count_systolic([product.m], [product.k], [product.n], array)
    traffic = product_traffic(product, array, machine)
    bandwidth, clock_hz = machine.external.bandwidth_bytes_per_s, machine.clock_hz
    moved, bus = (count(nest, product, traffic, machine) for count in (moved_bytes, bus_bytes))
    folds = int(counts.folds[0]) * product.repeats
    useful = float(counts.cycles[0]) * product.repeats
    overhead = (
        machine.pass_cycles + machine.weight_switch_cycles
    ) * folds + machine.tile_cycles * product.repeats
    post = nest.post_elements / machine.post_elements_per_cycle
    accesses = systolic_accesses(nest, product, counts, traffic, machine, array)
    ports = float(machine.port_cycles(item.parts for item in accesses.memories)) if machine.has_ports else 0.0
    compute_s = max(useful + overhead, post, ports) / clock_hz
    first_s = machine.external.latency_s + bus / folds / bandwidth
    pipeline_s = first_s + max(compute_s, bus * (folds - 1) / folds / bandwidth) + machine.external.latency_s
    parts = {
        "compute": max(useful, ports) / clock_hz,
        "memory": bus / bandwidth,
        "overhead": machine.launch_s + overhead / clock_hz,
    }
    return KernelTime(
        latency_s=machine.launch_s + pipeline_s,
        bound=max(parts, key=lambda name: parts[name]),
        compute_s=parts["compute"],
        memory_s=parts["memory"],
        overhead_s=parts["overhead"],
        moved_bytes=moved,
        macs=nest.macs,
        accesses=accesses,
    )


def moved_bytes(
    nest: ArrayNest, product: NestProduct, traffic: SystolicTraffic, machine: ArrayMachine
) -> float:
    """Bytes moved: the nest's own tensors, as often as the product moves its matrices.

    Windows share elements, a bias comes beside the weights, a merged pool shrinks what is stored; only
    partial sums that leave the array and come back are as many as the product says.
    """
    return sum(_moved_parts(nest, product, traffic, machine))


def bus_bytes(
    nest: ArrayNest, product: NestProduct, traffic: SystolicTraffic, machine: ArrayMachine
) -> float:
    """The same as the bytes of activations that take as long: weights may come from another memory."""
    weights, others = _moved_parts(nest, product, traffic, machine)
    return others + weights * (1.0 if nest.has_computed_weights else machine.weight_bus_factor)


def _moved_parts(
    nest: ArrayNest, product: NestProduct, traffic: SystolicTraffic, machine: ArrayMachine
) -> tuple[float, float]:
    """Bytes of weights, and of everything else."""
    activation_bytes = machine.activation_bytes
    weight_bytes = activation_bytes if nest.has_computed_weights else machine.weight_bytes
    left, right = product.m * product.k * activation_bytes, product.k * product.n * activation_bytes
    results = product.m * product.n * activation_bytes
    input_loads, weight_loads = float(traffic.input_bytes[0]) / left, float(traffic.weight_bytes[0]) / right
    spilled = (float(traffic.output_bytes[0]) / results - 1.0) * product.m * product.n * product.repeats
    others = (
        nest.input_elements * activation_bytes * input_loads
        + (nest.extra_elements + nest.store_elements) * activation_bytes
        + spilled * machine.accumulator_bytes
    )
    return nest.weight_elements * weight_bytes * weight_loads, others
