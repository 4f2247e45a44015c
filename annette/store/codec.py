"""Measurements, device identities and networks as the text and bytes that a campaign store keeps."""

from __future__ import annotations

import dataclasses
import json
import zlib
from typing import Any

from annette.errors import AnnetteError, StoreError
from annette.graph.codec import network_from_json, network_to_json
from annette.graph.mapping import Kernel
from annette.graph.network import Network
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.store.strict_json import parse_strict_json

__all__ = [
    "device_from_json",
    "device_to_json",
    "measurement_from_json",
    "measurement_to_json",
    "network_from_bytes",
    "network_to_bytes",
    "pack_text",
    "pairs_from_json",
    "unpack_text",
]

MAX_TEXT_BYTES = 64 * 1024 * 1024
"""No packed text is larger once unpacked: the largest network of a campaign has some 50 kB."""

_MALFORMED = (KeyError, TypeError, ValueError, AttributeError)


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def device_to_json(device: DeviceInfo) -> str:
    """The device's identity as JSON; equal identities give equal text."""
    return json.dumps(dataclasses.asdict(device), separators=(",", ":"), allow_nan=False, sort_keys=True)


def device_from_json(text: str) -> DeviceInfo:
    """The device's identity from `device_to_json`'s text.

    Raises
    ------
    StoreError
        If the text is not one.
    """
    try:
        fields = parse_strict_json(text)
        environment = tuple((str(key), str(value)) for key, value in fields.pop("environment"))
        cache_bytes = tuple(int(size) for size in fields.pop("cache_bytes", ()))
        return DeviceInfo(**fields, cache_bytes=cache_bytes, environment=environment)
    except (*_MALFORMED, AnnetteError) as err:
        raise StoreError(f"device of the store: {err}, expected a device's identity as JSON") from err


def pairs_from_json(text: str) -> tuple[tuple[str, str], ...]:
    """Names and texts from JSON: a list of pairs, or an object.

    Raises
    ------
    StoreError
        If the text is neither.
    """
    try:
        found = parse_strict_json(text)
        items = found.items() if isinstance(found, dict) else found
        return tuple((str(key), str(value)) for key, value in items)
    except _MALFORMED as err:
        raise StoreError(
            f"tags or provenance of the store: {err}; the store is damaged, restore a copy of it"
        ) from err


def measurement_to_json(measurement: Measurement) -> str:
    """The values of a successful measurement as JSON, floats without loss; network and device apart."""
    kernels = None
    if measurement.kernels is not None:
        kernels = [_kernel_fields(item) for item in measurement.kernels]
    document: dict[str, object] = {
        "values_s": measurement.values_s,
        "kernels": kernels,
        "eliminated": measurement.eliminated_layers,
    }
    if measurement.conditions:
        document["conditions"] = dict(measurement.conditions)
    if measurement.spread_fraction is not None:
        document["spread_fraction"] = measurement.spread_fraction
    return _dump(document)


def _kernel_fields(item: KernelMeasurement) -> dict[str, object]:
    kernel = item.kernel
    return {
        "layers": kernel.layers,
        "primary": kernel.primary,
        "unit": kernel.unit,
        **({} if kernel.tensor is None else {"tensor": kernel.tensor}),
        "values_s": item.values_s,
        "bound": item.bound,
        "counters": dict(item.counters),
    }


def measurement_from_json(text: str, *, network_id: str, device: DeviceInfo, seed: int | None) -> Measurement:
    """The successful measurement from `measurement_to_json`'s text.

    Raises
    ------
    StoreError
        If the text is not one.
    """
    try:
        fields = parse_strict_json(text)
        kernels = fields["kernels"]
        spread = fields.get("spread_fraction")
        return Measurement(
            network_id=network_id,
            device=device,
            values_s=tuple(map(float, fields["values_s"])),
            kernels=None if kernels is None else tuple(_read_kernel(item) for item in kernels),
            eliminated_layers=tuple(fields["eliminated"]),
            conditions={str(key): float(value) for key, value in fields.get("conditions", {}).items()},
            spread_fraction=None if spread is None else float(spread),
            seed=seed,
        )
    except (*_MALFORMED, AnnetteError) as err:
        raise StoreError(
            f"measurement of network {network_id}: {err}; the store is damaged, restore a copy of it"
        ) from err


def _read_kernel(fields: dict[str, Any]) -> KernelMeasurement:
    return KernelMeasurement(
        kernel=Kernel(
            layers=tuple(fields["layers"]),
            primary=fields["primary"],
            unit=fields["unit"],
            tensor=fields.get("tensor"),
        ),
        values_s=tuple(map(float, fields["values_s"])),
        bound=fields["bound"],
        counters={str(key): float(value) for key, value in fields["counters"].items()},
    )


def network_to_bytes(network: Network) -> bytes:
    """The network as compressed JSON."""
    return pack_text(network_to_json(network))


def network_from_bytes(data: bytes, *, network_id: str) -> Network:
    """The network from `network_to_bytes`, checked against its id.

    Raises
    ------
    StoreError
        If the bytes are damaged, too large once unpacked, or another network's.
    """
    where = f"network {network_id} of the store"
    try:
        network = network_from_json(unpack_text(data, where))
    except _MALFORMED as err:
        raise StoreError(f"{where}: {err}; the store is damaged, restore a copy of it") from err
    if network.id != network_id:
        raise StoreError(f"{where}: holds network {network.id}; the store is damaged, restore a copy of it")
    return network


def pack_text(text: str) -> bytes:
    """The text in few bytes."""
    return zlib.compress(text.encode(), 6)


def unpack_text(data: bytes, where: str) -> str:
    """The text that `pack_text` packed; ``where`` names its source in messages.

    Raises
    ------
    StoreError
        If the bytes are damaged, or too large once unpacked.
    """
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(data, MAX_TEXT_BYTES)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise StoreError(
                f"{where}: truncated, or more than {MAX_TEXT_BYTES} bytes once unpacked; restore a copy"
            )
        return text.decode()
    except (TypeError, ValueError, zlib.error) as err:
        raise StoreError(f"{where}: {err}; the store is damaged, restore a copy of it") from err
