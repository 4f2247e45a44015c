"""How much passes through the caches between the writing of a tensor and the kernel that reads it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence

from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network
from annette.models.mapping_walk import Walk

__all__ = ["reuse_distances", "walk_distances"]

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
    kernels = (
        (_inputs(network, gone, kernel, source), _outputs(network, kernel)) for kernel in mapping.kernels
    )
    return _distances(kernels, moved_bytes)


def walk_distances(
    walk: Walk, execution: Sequence[int | Kernel], moved_bytes: Sequence[float], source: Callable[[str], str]
) -> list[tuple[float, float, float]]:
    """The same of the kernels of a walk, by number, and of moves between them, in order of execution."""
    outputs_of = [layer.outputs for layer in walk.view.layers]
    reads, kernel_of, producer_of = walk.view.reads, walk.kernel_of, walk.view.producer_of

    def stored(name: str) -> Iterator[str]:
        pending, seen = [name], {name}
        while pending:
            found = source(pending.pop())
            producer = producer_of.get(found)
            if producer is None or kernel_of[producer] >= 0:
                yield found
                continue
            behind = [item for item in reads[producer] if item not in seen]
            pending += behind
            seen.update(behind)

    def kernels() -> Iterator[tuple[Iterable[str], Iterable[str]]]:
        for item in execution:
            if isinstance(item, Kernel):
                tensor = item.tensor or ""
                yield stored(tensor), (tensor,)
                continue
            layers = walk.kernels[item].layers
            own = [name for layer in layers for name in outputs_of[layer] if name]
            if walk.vanished:
                found = [item for layer in layers for name in reads[layer] for item in stored(name)]
            else:
                found = [source(name) for layer in layers for name in reads[layer]]
            yield (found if len(layers) == 1 else [name for name in found if name not in own]), own

    return _distances(kernels(), moved_bytes)


def _distances(
    kernels: Iterable[tuple[Iterable[str], Iterable[str]]], moved_bytes: Sequence[float]
) -> list[tuple[float, float, float]]:
    """The distances of kernels of which the inputs and outputs are given, those that are stored."""
    written_at: dict[str, float] = {}  # bytes that had been moved when the tensor was complete
    total = 0.0
    totals: list[float] = []  # before each kernel
    distances = []
    for (inputs, outputs), moved in zip(kernels, moved_bytes, strict=True):
        ages = [total - written_at.get(name, 0.0) for name in inputs]
        totals.append(total)
        recent = total - totals[max(len(totals) - 1 - _RECENT, 0)]
        distances.append((min(ages, default=0.0), max(ages, default=0.0), recent))
        total += moved
        for name in outputs:
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
