"""Which kernel reads what another wrote: through layers that vanish, and past moves."""

from __future__ import annotations

import annette
from annette.estimation.estimate import KernelEstimate
from annette.graph.builder import NetworkBuilder
from annette.report.kernel_graph import kernel_edges
from annette.zoo.registry import zoo_network


def _kernel(name: str, layers: tuple[str, ...], unit: str = "array") -> KernelEstimate:
    return KernelEstimate(
        name=name, family="conv", layers=layers, unit=unit, latency_s=1e-6, bound="compute",
        is_generic=False, is_out_of_range=False, ops=1, memory_bytes=1,
    )  # fmt: skip


def test_a_residual_sum_reads_two_kernels() -> None:
    network = zoo_network("resnet18")
    kernels = annette.load("ncs2").estimate(network).kernels
    edges = kernel_edges(network, kernels)
    sums = [number for number, kernel in enumerate(kernels) if any("add" in name for name in kernel.layers)]
    assert sums
    assert all(sum(target == number for _, target in edges) == 2 for number in sums)
    assert all(source < target for source, target in edges)


def test_every_kernel_but_the_first_reads_some_other() -> None:
    network = zoo_network("inception_v1")
    kernels = annette.load("zcu102-dpu").estimate(network).kernels
    targets = {target for _, target in kernel_edges(network, kernels)}
    assert targets == set(range(1, len(kernels)))


def test_what_vanishes_hands_on_and_a_move_stands_between() -> None:
    build = NetworkBuilder("moves")
    x = build.conv(build.input("x", (1, 3, 8, 8)), 4, name="first")
    flat = build.flatten(x)  # vanishes
    network = build.finish(build.softmax(flat))
    first, flatten, softmax = network.layers
    tensor = first.outputs[0]
    kernels = (
        _kernel("first", (first.name,)),
        _kernel(f"{tensor} to_plain", (), "to_plain"),
        _kernel("softmax", (softmax.name,)),
    )
    assert flatten.name not in {name for kernel in kernels for name in kernel.layers}
    assert kernel_edges(network, kernels) == [(0, 1), (1, 2)]
    assert kernel_edges(network, (kernels[0], kernels[2])) == [(0, 1)]
