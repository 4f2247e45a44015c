"""The graph of kernels: which kernel reads what another one wrote, across layers that vanish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annette.estimation.estimate import KernelEstimate
    from annette.graph.network import Network

__all__ = ["kernel_edges"]

_MOST_SOURCES = 64
"""Of one tensor behind layers that vanish: more are not followed."""


def kernel_edges(network: Network, kernels: Sequence[KernelEstimate]) -> list[tuple[int, int]]:
    """Pairs of kernels, by their places in ``kernels``: the second reads what the first wrote.

    What layers that vanish hand on is traced to the kernel behind them. A move stands between the kernel
    that wrote its tensor and all that read the tensor after the move.

    Examples
    --------
    >>> import annette
    >>> from annette.zoo.registry import zoo_network
    >>> network = zoo_network("lenet5")
    >>> kernel_edges(network, annette.load("zcu102-dpu").estimate(network).kernels)[:2]
    [(0, 1), (1, 2)]
    """
    roots = _roots(network, {name for kernel in kernels for name in kernel.layers})
    producer: dict[str, int] = {}
    found: set[tuple[int, int]] = set()

    def sources(tensor: str) -> list[int]:
        if tensor in producer:
            return [producer[tensor]]
        return [producer[root] for root in roots.get(tensor, ()) if root in producer]

    for number, kernel in enumerate(kernels):
        if not kernel.layers:  # a move: its name is the tensor's and the unit's
            tensor = kernel.name.removesuffix(f" {kernel.unit}")
            found.update((source, number) for source in sources(tensor))
            producer[tensor] = number
            continue
        inside = [network.layer(name) for name in kernel.layers]
        own = {tensor for layer in inside for tensor in layer.outputs}
        for layer in inside:
            for tensor in layer.inputs:
                if tensor and tensor not in own:
                    found.update((source, number) for source in sources(tensor) if source != number)
        producer.update((tensor, number) for tensor in own if tensor)
    return sorted(found)


def _roots(network: Network, executed: set[str]) -> dict[str, tuple[str, ...]]:
    """Tensors that layers which vanish hand on, each with those that layers of kernels wrote."""
    roots: dict[str, tuple[str, ...]] = {}
    for layer in network.layers:
        if layer.name in executed:
            continue
        behind = dict.fromkeys(
            root for tensor in layer.inputs if tensor for root in roots.get(tensor, (tensor,))
        )
        for tensor in layer.outputs:
            roots[tensor] = tuple(behind)[:_MOST_SOURCES]
    return roots
