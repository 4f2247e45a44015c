"""Care for a visit of a device that is this machine: circumstances, memory, no garbage collection."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from annette.backends.machine import clock_hz, load_fraction
from annette.errors import MeasurementError
from annette.graph.network import Network
from annette.graph.onnx_values import OPAQUE_DOMAIN
from annette.graph.onnx_writer import MAX_MODEL_BYTES

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["require_expressed", "require_memory", "visit_conditions", "without_collection"]

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
    """Refuse what no model holds, or would make the machine swap.

    Parameters
    ----------
    network
        What is to be measured.
    available
        Bytes of memory; ``None`` where not known.

    Raises
    ------
    MeasurementError
        If the network needs more than half of the available memory, or its weights do not fit into one
        model; says how much it needs.
    """
    weights = sum(tensor.size_bytes for tensor in network.tensors.values() if tensor.is_constant)
    others = sum(tensor.size_bytes for tensor in network.tensors.values() if not tensor.is_constant)
    needed = _WEIGHT_COPIES * weights + others
    most = needed if available is None else int(_MEMORY_SHARE * available)
    if needed > most:
        raise MeasurementError(
            f"network {network.name!r}: needs up to {needed} bytes of memory ({weights} of weights, "
            f"{others} of activations), expected at most {most}, half of what is available; use a smaller "
            "batch or input"
        )
    if weights > MAX_MODEL_BYTES:
        raise MeasurementError(
            f"network {network.name!r}: {weights} bytes of weights, expected at most {MAX_MODEL_BYTES} in "
            "one model; measure a part of it"
        )


def require_expressed(model: ModelProto) -> None:
    """Refuse a written model with layers that ONNX cannot express as annette keeps them.

    Raises
    ------
    MeasurementError
        Names the first of them and its operator.
    """
    for node in model.graph.node:
        if node.domain.startswith(OPAQUE_DOMAIN):
            raise MeasurementError(
                f"layer {node.name!r}: operator {node.op_type} cannot be written as ONNX as the network has "
                "it (bodies of loops and branches and shapes that depend on data are not kept), expected "
                "operators of ONNX whose shapes follow from their inputs; cut the network there"
            )
