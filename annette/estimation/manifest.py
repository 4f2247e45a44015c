"""Reads the manifest of a platform folder: what is not what it should be is named with its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annette.errors import StoreError
from annette.measurement import DeviceInfo
from annette.store.codec import device_from_json
from annette.store.strict_json import shorten

__all__ = ["read_device", "read_table", "read_text"]


def read_device(manifest: Mapping[str, Any], where: Path) -> DeviceInfo:
    """The device in the manifest; what `DeviceInfo` takes on trust is checked here.

    Raises
    ------
    StoreError
        If there is none, or one of its fields is not what it should be.
    """
    try:
        device = device_from_json(json.dumps(manifest.get("device")))
    except StoreError as err:
        raise StoreError(f"{where}: {shorten(err, 300)}; train the platform again") from err
    texts = (device.name, device.backend, device.description)
    numbers = (
        device.activation_bytes, device.weight_bytes, device.peak_ops_per_s, device.bandwidth_bytes_per_s,
    )  # fmt: skip
    if not all(isinstance(text, str) for text in texts):
        raise StoreError(f"{where}: 'device' has a name that is no text; train the platform again")
    if not all(value is None or _is_positive(value) for value in numbers):
        raise StoreError(
            f"{where}: 'device' has the sizes and rates {shorten(numbers)}, expected numbers > 0; "
            "train the platform again"
        )
    return device


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def read_text(manifest: Mapping[str, Any], name: str, where: Path) -> str:
    """The text of that name in the manifest; StoreError for anything else."""
    value = manifest.get(name)
    if not isinstance(value, str):
        raise StoreError(
            f"{where}: {name!r} is {shorten(repr(value))}, expected text; train the platform again"
        )
    return value


def read_table(manifest: Mapping[str, Any], name: str, where: Path) -> dict[str, Any]:
    """The object of that name in the manifest; StoreError for anything else."""
    value = manifest.get(name)
    if not isinstance(value, dict):
        raise StoreError(f"{where}: {name!r} is {type(value).__name__}, expected an object; train it again")
    return value
