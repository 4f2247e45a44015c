"""Care for a visit of a device that is this machine: circumstances, memory, no garbage collection."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from annette.backends.machine import clock_hz, load_fraction
from annette.errors import MeasurementError
from annette.graph.network import Network

__all__ = ["require_memory", "visit_conditions", "without_collection"]

_MEMORY_SHARE = 0.5  # of the available memory, for one network
_WEIGHT_COPIES = 3  # as the model's bytes, as parsed, and as packed for the kernels


def visit_conditions(reference_s: float) -> Mapping[str, float]:
    """The circumstances of a visit that begins now, as far as the machine tells them.

    Examples
    --------
    >>> visit_conditions(0.002)["reference_s"]
    0.002
    """
    found = {
        "started_s": time.time(),
        "reference_s": reference_s,
        "load_fraction": load_fraction(),
        "clock_hz": clock_hz(),
    }
    return {name: value for name, value in found.items() if value is not None}


@contextmanager
def without_collection() -> Iterator[None]:
    """Python's garbage collector rests meanwhile: it would run on the time of what is measured."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def require_memory(network: Network, available: int | None) -> None:
    """Refuse what would make the machine swap; ``available`` bytes, ``None`` where not known.

    Raises
    ------
    MeasurementError
        If the network needs more than half of the available memory; says how much it needs.
    """
    if available is None:
        return
    weights = sum(tensor.size_bytes for tensor in network.tensors.values() if tensor.is_constant)
    others = sum(tensor.size_bytes for tensor in network.tensors.values() if not tensor.is_constant)
    needed, most = _WEIGHT_COPIES * weights + others, int(_MEMORY_SHARE * available)
    if needed > most:
        raise MeasurementError(
            f"network {network.name!r}: needs up to {needed} bytes of memory ({weights} of weights, "
            f"{others} of activations), expected at most {most}, half of what is available; use a smaller "
            "batch or input"
        )
