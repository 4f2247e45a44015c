"""How much passes through the caches between the writing of a tensor and the kernel that reads it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence

from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network

__all__ = ["reuse_distances"]

_RECENT = 8
"""Kernels before one that count as recent: what they moved is what the caches still may hold."""


def reuse_distances(
    network: Network, mapping: Mapping, moved_bytes: Sequence[float], source: Callable[[str], str]
) -> list[tuple[float, float, float]]:
    """For each kernel the bytes that other kernels move since its inputs were written, and just before it.

    (least, most, by the eight kernels before). 0 for what the kernel before has just written. The inputs of
    the network were written before its first kernel. A kernel without activations as inputs has no age.

    Parameters
    ----------
    network : Network
        Whose layers the mapping names.
    mapping : Mapping
        Its kernels in the order of execution.
    moved_bytes : sequence of float
        What each kernel reads and writes, weights included.
    source : callable
        The tensor that is stored where layers vanish: `KernelReader.source`.
    """
    gone = frozenset(mapping.eliminated_layers)
    written_at: dict[str, float] = {}  # bytes that had been moved when the tensor was complete
    total = 0.0
    totals: list[float] = []  # before each kernel
    distances = []
    for kernel, moved in zip(mapping.kernels, moved_bytes, strict=True):
        ages = [total - written_at.get(name, 0.0) for name in _inputs(network, gone, kernel, source)]
        totals.append(total)
        recent = total - totals[max(len(totals) - 1 - _RECENT, 0)]
        distances.append((min(ages, default=0.0), max(ages, default=0.0), recent))
        total += moved
        for name in _outputs(network, kernel):
            written_at[name] = total
    return distances


def _inputs(
    network: Network, gone: Container[str], kernel: Kernel, source: Callable[[str], str]
) -> Iterator[str]:
    """The stored activations that a kernel reads; its own results are none of them."""
    if kernel.tensor is not None:
        yield from _stored(network, gone, kernel.tensor, source)
        return
    own = set(_outputs(network, kernel))
    for layer_name in kernel.layers:
        for name in network.layer(layer_name).inputs:
            if name and not network.tensors[name].is_constant:
                yield from (item for item in _stored(network, gone, name, source) if item not in own)


def _stored(network: Network, gone: Container[str], name: str, source: Callable[[str], str]) -> Iterator[str]:
    """What is stored of a tensor: several where a layer that vanishes has joined them."""
    pending, seen = [name], {name}
    while pending:
        stored = source(pending.pop())
        producer = network.producer(stored)
        if producer is None or producer.name not in gone:
            yield stored
            continue
        behind = [item.name for item in network.activation_inputs(producer) if item.name not in seen]
        pending += behind
        seen.update(behind)


def _outputs(network: Network, kernel: Kernel) -> Iterator[str]:
    """What a kernel writes."""
    if kernel.tensor is not None:
        yield kernel.tensor
        return
    for layer_name in kernel.layers:
        yield from filter(None, network.layer(layer_name).outputs)
