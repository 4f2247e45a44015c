"""What a backend must offer: its device's identity and `measure`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from annette.graph.network import Network
from annette.measurement import DeviceInfo, Measurement

__all__ = ["Backend"]


@runtime_checkable
class Backend(Protocol):
    """Something that can time a network. Must survive pickling, since campaigns run in several processes.

    A device that times networks with noise that changes over minutes says so by `DeviceInfo.visits`: whoever
    measures then asks that often, at different times, and `annette.store.visits.combine_visits` makes one
    measurement of the answers.
    """

    @property
    def info(self) -> DeviceInfo:
        """Identity and data sheet of the device."""
        ...

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        """One visit of ``network``: it is made ready and run a few times, per kernel where the device tells.

        `Measurement.values_s` has a value per run or block of runs; kernels are of the network as it ran end
        to end, so that they add up to its time less what lies outside of kernels. What tells how fast the
        machine was just then goes to `Measurement.conditions`: ``reference_s`` (a fixed network timed beside
        this one), ``load_fraction`` (1: all processors busy), ``clock_hz``, ``started_s``.

        Never raises for a network that the device cannot run: the `Measurement` then carries the error.
        A device that cannot answer at all any more raises `annette.errors.DeviceLostError`.
        The same network and seed give the same answer on a simulated device.
        """
        ...
