"""What a backend must offer: its device's identity and `measure`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from annette.graph.network import Network
from annette.measurement import DeviceInfo, Measurement

__all__ = ["Backend"]


@runtime_checkable
class Backend(Protocol):
    """Something that can time a network. Must survive pickling, since campaigns run in several processes."""

    @property
    def info(self) -> DeviceInfo:
        """Identity and data sheet of the device."""
        ...

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        """Time ``network`` once through: several runs, per kernel where the device tells.

        Never raises for a network the device cannot run: the `Measurement` then carries the error.
        The same network and seed give the same answer on a simulated device.
        """
        ...
