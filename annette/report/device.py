"""Finds the description of the simulated accelerator that a platform was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annette.hardware.codec import accelerator_id, is_preset, load_accelerator

if TYPE_CHECKING:
    from annette.hardware.accelerator import Accelerator
    from annette.measurement import DeviceInfo

__all__ = ["describes", "find_accelerator"]


def find_accelerator(device: DeviceInfo) -> Accelerator | None:
    """The preset that a device was simulated by; ``None`` for another device, or a preset that has changed.

    Examples
    --------
    >>> import annette
    >>> find_accelerator(annette.load("ncs2").device).name
    'ncs2'
    >>> find_accelerator(annette.load("onnxruntime-epyc").device) is None
    True
    """
    if device.backend != "simulator" or not is_preset(device.name):
        return None  # the name is out of a file: it may mean a preset, never a path
    found = load_accelerator(device.name)
    return found if describes(found, device) else None


def describes(accelerator: Accelerator, device: DeviceInfo) -> bool:
    """Whether a device was simulated by this very description."""
    return device.backend == "simulator" and dict(device.environment).get("accelerator") == accelerator_id(
        accelerator
    )
