"""The mapping: which layers form which kernels, which vanish, and which unit runs each kernel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from annette.errors import GraphError
from annette.graph.network import Network

__all__ = ["Kernel", "Mapping", "require_complete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """What the device executes as one timed unit: one or more layers, one of them primary."""

    layers: tuple[str, ...]
    """Names of the merged layers, in the network's topological order; at least one."""
    primary: str
    """The layer that gives the kernel its family; one of `layers`."""
    unit: str
    """The part of the device that runs it, in the device's words: ``array``, ``vector``, ``host``, ..."""

    def __post_init__(self) -> None:
        if self.primary not in self.layers:
            raise GraphError(f"kernel of {self.layers}: primary {self.primary!r} is not one of its layers")

    @property
    def name(self) -> str:
        """The primary layer's name, then the other layers', joined by ``+``."""
        return "+".join((self.primary, *(name for name in self.layers if name != self.primary)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """What a device makes of a network: each layer is in exactly one kernel or eliminated."""

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
    doubled = _first({name for name in seen if seen.count(name) > 1} if len(seen) != len(set(seen)) else ())
    missing, unknown = _first(expected.difference(seen)), _first(set(seen) - expected)
    for problem, names in (("mapped twice", doubled), ("not mapped", missing), ("unknown", unknown)):
        if names:
            raise GraphError(f"mapping of network {network.name!r}: layers {problem}: {names}")


def _first(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:5])
