"""The line protocol between annette and a program that times networks: requests out, answers in, checked.

annette starts the program once and keeps it running. It writes one line of JSON for each request and reads
one line of JSON for each answer. First comes a handshake; what the program answers (flat names and values:
versions, the board, its settings) becomes part of the device's identity:

    -> {"schema_version": 1, "hello": true}
    <- {"hello": {"runtime": "onnxruntime 1.31.1", "board": "Raspberry Pi 5"}}

Then one request for each network to time; the file is there until the answer has come:

    -> {"schema_version": 1, "id": 7, "onnx": "/tmp/annette-x1/network.onnx", "seed": 0}
    <- {"id": 7, "values_s": [0.00213, 0.00211]}

Of an answer only ``id`` and ``values_s`` are required: seconds, one value a run. A device that knows more
says more: ``kernels``, in order of execution, each with the ``layers`` merged in it, the ``primary`` of them,
the ``unit`` that ran it, its own ``values_s`` and optionally ``bound`` and ``counters`` (of a mere move of a
tensor between memories or layouts ``tensor`` instead of layers and primary); ``eliminated_layers``;
``conditions``, numbers by name. Each layer of the network must then be in one kernel or eliminated:

    <- {"id": 7, "values_s": [0.0021], "kernels": [{"layers": ["conv_1", "relu_1"], "primary": "conv_1",
        "unit": "npu", "values_s": [0.0021]}], "eliminated_layers": ["flatten_1"],
        "conditions": {"clock_hz": 1.5e9}}

A network that the device cannot run is answered with a reason, and the program goes on:

    <- {"id": 7, "error": "operator TopK is not supported"}

Standard error is free for anything: its last lines appear in messages. The input is closed at the end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from annette.errors import GraphError, MeasurementError
from annette.graph.mapping import Kernel, Mapping, require_complete
from annette.graph.network import Network
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.store.strict_json import parse_strict_json, shorten

__all__ = ["PROTOCOL_VERSION", "hello_request", "network_request", "read_answer", "read_hello"]

PROTOCOL_VERSION = 1
"""Sent as ``schema_version`` with each request."""

_MAX_VALUES = 100_000
_MAX_PAIRS = 100
_ANSWER_KEYS = ("id", "values_s", "kernels", "eliminated_layers", "conditions", "error")
_KERNEL_KEYS = ("layers", "primary", "unit", "tensor", "values_s", "bound", "counters")
_BOUNDS = ("compute", "memory", "overhead", "host")


def hello_request() -> bytes:
    """The line of the handshake.

    Examples
    --------
    >>> hello_request()
    b'{"schema_version":1,"hello":true}'
    """
    return _line({"schema_version": PROTOCOL_VERSION, "hello": True})


def network_request(number: int, onnx: Path, seed: int) -> bytes:
    """The line that asks for one network.

    Examples
    --------
    >>> network_request(7, Path("net.onnx"), 0)
    b'{"schema_version":1,"id":7,"onnx":"net.onnx","seed":0}'
    """
    return _line({"schema_version": PROTOCOL_VERSION, "id": number, "onnx": str(onnx), "seed": seed})


def read_hello(line: bytes) -> tuple[tuple[str, str], ...]:
    """Names and texts of the handshake's answer, sorted.

    Raises
    ------
    MeasurementError
        If the line is not such an answer.

    Examples
    --------
    >>> read_hello(b'{"hello": {"threads": 1, "board": "Pi"}}')
    (('board', 'Pi'), ('threads', '1'))
    """
    data = _object(line)
    if "error" in data:
        raise MeasurementError(f"the program refused the handshake: {shorten(data['error'], 300)}")
    found = data.get("hello")
    if set(data) != {"hello"} or not isinstance(found, dict) or len(found) > _MAX_PAIRS:
        raise MeasurementError(
            f'the program answered the handshake with {_shown(line)}, expected {{"hello": {{...}}}}'
        )
    pairs = []
    for key, value in found.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", key) or not isinstance(value, (str, int, float)):
            raise MeasurementError(
                f"the program's handshake: {shorten(key)}: {shorten(repr(value))}, expected a name of "
                "letters, digits, dots and dashes with a text or a number"
            )
        pairs.append((key, shorten(value, 200)))
    return tuple(sorted(pairs))


def read_answer(line: bytes, *, number: int, network: Network, device: DeviceInfo, seed: int) -> Measurement:
    """What the program answered for ``network``: values, or the error that it named.

    Raises
    ------
    MeasurementError
        If the line is not an answer to this request; says what was found and what was expected.
    """
    data = _object(line)
    _require_keys(data, _ANSWER_KEYS, "the program's answer")
    if data.get("id") != number or isinstance(data.get("id"), bool):
        raise MeasurementError(
            f"the program answered for id {shorten(repr(data.get('id')))}, expected id {number}: one line "
            "for each request, in their order"
        )
    error = data.get("error")
    if error is not None:
        if not isinstance(error, str) or not error.strip() or data.get("values_s") is not None:
            raise MeasurementError(
                f"the program's answer: error {shorten(repr(error))}, expected text, and no values beside it"
            )
        return Measurement(network_id=network.id, device=device, error=shorten(error, 500), seed=seed)
    values_s = _values(data.get("values_s"), "values_s")
    eliminated = _names(data.get("eliminated_layers", []), "eliminated_layers")
    kernels = _kernels(data.get("kernels"))
    if kernels is None and eliminated:
        raise MeasurementError("the program's answer: eliminated_layers without kernels, expected both")
    if kernels is not None:
        mapping = Mapping(kernels=tuple(item.kernel for item in kernels), eliminated_layers=eliminated)
        try:
            require_complete(network, mapping)
        except GraphError as err:
            raise MeasurementError(f"the program's answer: {err}") from err
    return Measurement(
        network_id=network.id,
        device=device,
        values_s=values_s,
        kernels=kernels,
        eliminated_layers=eliminated,
        conditions=_numbers(data.get("conditions", {}), "conditions"),
        seed=seed,
    )


def _kernels(data: Any) -> tuple[KernelMeasurement, ...] | None:
    if data is None:
        return None
    if not isinstance(data, list):
        raise MeasurementError(f"the program's answer: kernels {shorten(repr(data))}, expected a list")
    return tuple(_kernel(item, f"kernels[{index}]") for index, item in enumerate(data))


def _kernel(data: Any, where: str) -> KernelMeasurement:
    if not isinstance(data, dict):
        raise MeasurementError(f"the program's answer: {where} {shorten(repr(data))}, expected an object")
    _require_keys(data, _KERNEL_KEYS, f"the program's answer: {where}")
    texts = {key: data.get(key) for key in ("primary", "unit", "tensor", "bound")}
    for key, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise MeasurementError(
                f"the program's answer: {where}.{key} {shorten(repr(value))}, expected text"
            )
    layers = _names(data.get("layers", []), f"{where}.layers")
    if texts["bound"] not in (None, *_BOUNDS):
        raise MeasurementError(
            f"the program's answer: {where}.bound {shorten(repr(texts['bound']))}, "
            f"expected one of {', '.join(_BOUNDS)}"
        )
    try:
        kernel = Kernel(
            layers=layers,
            primary=texts["primary"] or (layers[0] if layers and texts["tensor"] is None else ""),
            unit=texts["unit"] or "device",
            tensor=texts["tensor"],
        )
    except GraphError as err:
        raise MeasurementError(f"the program's answer: {where}: {err}") from err
    return KernelMeasurement(
        kernel=kernel,
        values_s=_values(data.get("values_s"), f"{where}.values_s"),
        bound=texts["bound"],
        counters=_numbers(data.get("counters", {}), f"{where}.counters"),
    )


def _values(data: Any, where: str) -> tuple[float, ...]:
    good = isinstance(data, list) and 0 < len(data) <= _MAX_VALUES
    if not good or not all(_is_number(item) and item >= 0 for item in data):
        raise MeasurementError(
            f"the program's answer: {where} {shorten(repr(data))}, expected a list of seconds >= 0"
        )
    return tuple(map(float, data))


def _names(data: Any, where: str) -> tuple[str, ...]:
    if not isinstance(data, list) or not all(isinstance(item, str) for item in data):
        raise MeasurementError(
            f"the program's answer: {where} {shorten(repr(data))}, expected a list of names"
        )
    return tuple(data)


def _numbers(data: Any, where: str) -> dict[str, float]:
    if not isinstance(data, dict) or len(data) > _MAX_PAIRS or not all(map(_is_number, data.values())):
        raise MeasurementError(
            f"the program's answer: {where} {shorten(repr(data))}, expected finite numbers by name"
        )
    return {str(key): float(value) for key, value in data.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _require_keys(data: dict[str, Any], known: Collection[str], where: str) -> None:
    unknown = [key for key in data if key not in known]
    if unknown:
        raise MeasurementError(
            f"{where}: unknown key {shorten(repr(unknown[0]))}, expected {', '.join(known)}"
        )


def _object(line: bytes) -> dict[str, Any]:
    try:
        data = parse_strict_json(line)
    except ValueError as err:
        raise MeasurementError(
            f"the program wrote {_shown(line)}: {err}; expected one line of JSON for each request, and "
            "anything else on its standard error"
        ) from err
    if not isinstance(data, dict):
        raise MeasurementError(f"the program wrote {_shown(line)}, expected a JSON object")
    return data


def _shown(line: bytes) -> str:
    return shorten(repr(line[:200].decode("utf-8", "replace")), 120)


def _line(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()
