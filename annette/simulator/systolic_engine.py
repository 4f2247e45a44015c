"""Times a loop nest on a systolic array: the closed form of its folds, and the memory behind its buffers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from annette.hardware.systolic_array import SystolicArray
from annette.simulator.array_engine import ArrayMachine
from annette.simulator.nests import ArrayNest, KernelTime
from annette.simulator.systolic import count_systolic
from annette.simulator.systolic_accesses import systolic_accesses
from annette.simulator.systolic_traffic import BufferSizes, SystolicTraffic, count_traffic

__all__ = [
    "NestProduct",
    "bus_bytes",
    "choose_product",
    "moved_bytes",
    "nest_product",
    "product_traffic",
    "time_product",
    "time_systolic",
]

_PIECES = tuple(1 << power for power in range(1, 20))
"""In how many pieces a stream is cut: a fixed grid, so that a better machine is never slower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NestProduct:
    """A loop nest as matrix products of M x K by K x N, done so many times with operands of their own."""

    m: int
    k: int
    n: int
    repeats: int
    """Groups, times the pieces into which the stream is cut."""
    input_fetches: int = 1
    """How often the left matrix is fetched for that; > 1 where the inputs stay in the array."""
    weight_fetches: int = 1
    """How often the right matrix is fetched for that; > 1 where the weights stay in the array."""

    def cut(self, pieces: int, dataflow: str) -> NestProduct:
        """The same with its stream in pieces; the last is padded to the size of the others."""
        if dataflow == "WS":
            return replace(self, m=-(-self.m // pieces), repeats=self.repeats * pieces, weight_fetches=pieces)
        return replace(self, n=-(-self.n // pieces), repeats=self.repeats * pieces, input_fetches=pieces)

    def loads(self, traffic: SystolicTraffic, element_bytes: float) -> tuple[float, float]:
        """How often input and weights cross the bus."""
        left, right = self.m * self.k * element_bytes, self.k * self.n * element_bytes
        return (
            float(traffic.input_bytes[0]) / left * self.input_fetches,
            float(traffic.weight_bytes[0]) / right * self.weight_fetches,
        )

    def spilled_bytes(self, traffic: SystolicTraffic, element_bytes: float) -> float:
        """Bytes of partial sums that leave the chip and come back, both ways."""
        return (float(traffic.output_bytes[0]) - self.m * self.n * element_bytes) * self.repeats


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
    return _traffic([product], array, machine)


def _traffic(products: Sequence[NestProduct], array: SystolicArray, machine: ArrayMachine) -> SystolicTraffic:
    m, k, n = np.array([(item.m, item.k, item.n) for item in products], dtype=np.int64).T
    shares = [machine.sizes_bytes[holder] / machine.holders.count(holder) for holder in machine.holders]
    return count_traffic(
        m, k, n,
        rows=array.rows,
        columns=array.columns,
        dataflow=array.dataflow,
        buffers=BufferSizes(input_bytes=shares[0], weight_bytes=shares[1], output_bytes=shares[2]),
        element_bytes=machine.activation_bytes,
        sum_bytes=machine.accumulator_bytes,
    )  # fmt: skip


def time_systolic(nest: ArrayNest, array: SystolicArray, machine: ArrayMachine) -> KernelTime:
    """The time of ``nest``, launch included, with its stream cut as `choose_product` says."""
    return _chosen(nest, array, machine)[1]


def choose_product(nest: ArrayNest, array: SystolicArray, machine: ArrayMachine) -> NestProduct:
    """The products that ``nest`` is, their stream cut so that it takes the least time.

    Where an operand stays in the array, partial sums of all that streams by wait in the output buffer. A
    compiler that finds no room there cuts the stream: each piece fetches the stationary operand again and
    fills the array again, but its sums stay on chip. A kernel that waits for no memory is left whole, in
    the cycles of SCALE-Sim.
    """
    return _chosen(nest, array, machine)[0]


@lru_cache(maxsize=65536)
def _chosen(nest: ArrayNest, array: SystolicArray, machine: ArrayMachine) -> tuple[NestProduct, KernelTime]:
    """What `choose_product` says, and its time."""
    whole = nest_product(nest)
    time = time_product(nest, whole, array, machine)
    if array.dataflow == "OS" or time.bound != "memory":
        return whole, time
    through = whole.m if array.dataflow == "WS" else whole.n
    cuts = [whole, *(whole.cut(pieces, array.dataflow) for pieces in _PIECES if pieces < through)]
    sizes = [(item.m, item.k, item.n, item.repeats) for item in cuts]
    m, k, n, repeats = np.array(sizes, dtype=np.int64).T
    counts, traffic = count_systolic(m, k, n, array), _traffic(cuts, array, machine)
    folds = counts.folds * repeats
    overhead = (machine.pass_cycles + machine.weight_switch_cycles) * folds + machine.tile_cycles * repeats
    compute_s = (counts.cycles * repeats + overhead) / machine.clock_hz
    bus_s = (
        np.array([bus_bytes(nest, item, traffic.at(index), machine) for index, item in enumerate(cuts)])
        / machine.external.bandwidth_bytes_per_s
    )
    seconds = bus_s / folds + np.maximum(compute_s, bus_s * (folds - 1) / folds)
    best = cuts[int(np.argmin(seconds))]
    return best, time if best is whole else time_product(nest, best, array, machine)


def time_product(
    nest: ArrayNest, product: NestProduct, array: SystolicArray, machine: ArrayMachine
) -> KernelTime:
    """The time of ``nest`` as these products, launch included.

    The folds follow one another without a gap, in the cycles of `count_systolic`, as long as the memory keeps
    up: operands are fetched one fold ahead, so that the first fold waits for its own and the rest takes as
    long as its cycles or its bytes ask for, whichever is longer.

    Convolutions are products of their windows, read from the buffers window by window. The external memory
    holds the feature map itself: it crosses the bus as often as the product reads its left matrix.
    """
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
    if nest.has_computed_weights:
        return others + weights
    weights *= machine.weight_bus_factor
    return max(others, weights) if machine.has_weight_port else others + weights


def _moved_parts(
    nest: ArrayNest, product: NestProduct, traffic: SystolicTraffic, machine: ArrayMachine
) -> tuple[float, float]:
    """Bytes of weights, and of everything else."""
    activation_bytes = machine.activation_bytes
    weight_bytes = activation_bytes if nest.has_computed_weights else machine.weight_bytes
    input_loads, weight_loads = product.loads(traffic, activation_bytes)
    others = (
        nest.input_elements * activation_bytes * input_loads
        + (nest.extra_elements + nest.store_elements) * activation_bytes
        + product.spilled_bytes(traffic, activation_bytes)
    )
    return nest.weight_elements * weight_bytes * weight_loads, others
