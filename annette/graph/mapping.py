"""The mapping: which layers form which kernels, which vanish, and which unit runs each kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from annette.errors import GraphError
from annette.graph.network import Network

__all__ = ["Kernel", "Mapping", "require_complete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """What the device executes as one timed unit: layers, one of them primary, or a move of one tensor.

    A move brings a tensor into another layout, memory or number format between two kernels. It belongs to no
    layer of the network: it has a `tensor`, and neither layers nor a primary.

    Examples
    --------
    >>> Kernel(layers=("conv", "relu"), primary="conv", unit="array").name
    'conv+relu'
    >>> Kernel(tensor="conv:out", unit="to_plain").name
    'conv:out to_plain'
    """

    layers: tuple[str, ...] = ()
    """Names of the merged layers, in the network's topological order; none for a move."""
    primary: str = ""
    """The layer that gives the kernel its family; one of `layers`, empty for a move."""
    unit: str
    """The part of the device that runs it, in the device's words: ``array``, ``vector``, ``host``, ...; of a
    move what it does: ``to_blocked``, ``to_plain``, ``cast``, ..."""
    tensor: str | None = None
    """The tensor that a move brings elsewhere; ``None`` for a kernel of layers."""

    def __post_init__(self) -> None:
        if self.tensor is not None:
            if self.layers or self.primary:
                raise GraphError(f"move of {self.tensor!r}: has layers {self.layers}, expected none")
        elif self.primary not in self.layers:
            raise GraphError(f"kernel of {self.layers}: primary {self.primary!r} is not one of its layers")

    @property
    def is_move(self) -> bool:
        """Whether it only moves a tensor."""
        return self.tensor is not None

    @property
    def key(self) -> tuple[frozenset[str], str, str]:
        """What it does and where: equal for the same layers, or the same moved tensor, on one unit."""
        return frozenset(self.layers), self.tensor or "", self.unit

    @property
    def name(self) -> str:
        """The primary layer's name, then the other layers', joined by ``+``; of a move tensor and unit."""
        if self.tensor is not None:
            return f"{self.tensor} {self.unit}"
        return "+".join((self.primary, *(name for name in self.layers if name != self.primary)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """What a device makes of a network: each layer is in exactly one kernel or eliminated.

    Between the kernels of layers there may be moves of tensors, where the device reports them.
    """

    kernels: tuple[Kernel, ...]
    """In order of execution."""
    eliminated_layers: tuple[str, ...] = ()
    """Names of the layers that vanish: folded, removed, or a mere change of view."""


def require_complete(network: Network, mapping: Mapping) -> None:
    """Check that every layer of ``network`` is in exactly one kernel or eliminated.

    Raises
    ------
    GraphError
        Naming the first layers that are missing, doubled or unknown.
    """
    seen = [name for kernel in mapping.kernels for name in kernel.layers]
    seen.extend(mapping.eliminated_layers)
    expected = {layer.name for layer in network.layers}
    doubled = _first(name for name, count in Counter(seen).items() if count > 1)
    missing, unknown = _first(expected.difference(seen)), _first(set(seen) - expected)
    strange = _first({kernel.tensor for kernel in mapping.kernels if kernel.tensor} - set(network.tensors))
    for problem, names in (
        ("mapped twice", doubled),
        ("not mapped", missing),
        ("unknown", unknown),
        ("unknown as moved tensors", strange),
    ):
        if names:
            raise GraphError(f"mapping of network {network.name!r}: layers {problem}: {names}")


def _first(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:5])
