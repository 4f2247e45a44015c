"""Reads the YAML file that describes a device behind a program of the user's, strictly.

    schema_version: 1
    name: pi5-onnxruntime                 # letters, digits, dots, dashes and underscores
    description: Raspberry Pi 5, ONNX Runtime, one thread
    command: [python3, ssh_onnxruntime.py, ssh, pi@board, python3]  # started in this folder, without a shell

All other keys may be left out:

    timeout_s: 600          # for one network; the program is killed after it
    start_timeout_s: 60     # for the handshake
    visits: 1               # how often a campaign times each network, spread over its whole time
    exclusive: true         # only one network at a time
    infer_mapping: true     # if the program reports no kernels, find by timing what the device merges
    activation_bytes: 4     # the data sheet: what is known of it
    weight_bytes: 4
    peak_ops_per_s: 76.8e+9
    bandwidth_bytes_per_s: 17.0e+9
    cache_bytes: [65536, 524288, 2097152]
    vector_bytes: 16
    environment: {board: "Raspberry Pi 5"}  # whatever else the times depend on
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annette.errors import HardwareError, UsageError

__all__ = ["SCHEMA_VERSION", "CommandFile", "command_file_from_yaml", "read_command_file"]

SCHEMA_VERSION = 1
"""Version of the file's format."""

_REQUIRED = ("schema_version", "name", "command")
_MAX_TIMEOUT_S = 7 * 86_400.0
_MAX_ARGUMENTS = 1000
_MAX_PAIRS = 100
_MAX_BYTES = 1 << 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFile:
    """How a program is started, and what is known of the device behind it."""

    name: str
    """The device's short name."""
    command: tuple[str, ...]
    """Program and arguments."""
    folder: Path
    """Where the program is started: the folder of the YAML file."""
    description: str = ""
    """One line for people."""
    timeout_s: float = 600.0
    """Seconds that the answer for one network may take."""
    start_timeout_s: float = 60.0
    """Seconds from the start to the answer of the handshake."""
    visits: int = 1
    """How often a campaign times each network."""
    exclusive: bool = True
    """Whether the device takes one network at a time."""
    infer_mapping: bool = True
    """Whether to find the mapping by timing where the program reports no kernels."""
    activation_bytes: float | None = None
    """Bytes of one activation element; ``None``: as the network says."""
    weight_bytes: float | None = None
    """Bytes of one weight element; ``None``: as the network says."""
    peak_ops_per_s: float | None = None
    """Peak of the data sheet; ``None``: not known."""
    bandwidth_bytes_per_s: float | None = None
    """Memory bandwidth of the data sheet; ``None``: not known."""
    cache_bytes: tuple[int, ...] = ()
    """Sizes of the data caches, the smallest first."""
    vector_bytes: int | None = None
    """Width of the vector registers; ``None``: not known."""
    environment: tuple[tuple[str, str], ...] = ()
    """What else the times depend on, sorted by name."""


def read_command_file(path: str | Path) -> CommandFile:
    """The device described by the YAML file at ``path``.

    Raises
    ------
    UsageError
        If the file cannot be read or is faulty; names the first fault.
    """
    from annette.hardware.yaml_text import read_text

    file = Path(path)
    try:
        text = read_text(file, f"command {path}")
    except HardwareError as err:
        raise UsageError(str(err)) from err
    return command_file_from_yaml(text, str(path), folder=file.absolute().parent)


def command_file_from_yaml(text: str, where: str, *, folder: Path) -> CommandFile:
    """The device that a YAML text describes; ``where`` opens the messages.

    Raises
    ------
    UsageError
        With the path of the first fault, what was found and what was expected.

    Examples
    --------
    >>> text = "{schema_version: 1, name: board, command: [ssh, pi@board, ./measure]}"
    >>> command_file_from_yaml(text, "board.yaml", folder=Path(".")).command
    ('ssh', 'pi@board', './measure')
    """
    from annette.hardware.yaml_text import read_yaml  # here, since PyYAML is slow to import

    try:
        data = read_yaml(text, where)
    except HardwareError as err:
        raise UsageError(str(err)) from err
    known = ("schema_version", *_READERS)
    if not isinstance(data, dict):
        raise UsageError(f"{where}: found {_kind(data)}, expected keys: {', '.join(known)}")
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"{where}: unknown key {key!r}{hint}; remove or rename it")
    for key in _REQUIRED:
        if key not in data:
            raise UsageError(f"{where}: {key} is missing; add it")
    if data["schema_version"] != SCHEMA_VERSION or isinstance(data["schema_version"], bool):
        raise UsageError(
            f"{where}: schema_version: found {data['schema_version']!r}, expected {SCHEMA_VERSION}; "
            "use the version of annette that the file was written for"
        )
    fields = {
        key: read(data[key], f"{where}: {key}")
        for key, read in _READERS.items()
        if key in data and data[key] is not None
    }
    for key in _REQUIRED[1:]:
        if key not in fields:
            raise UsageError(f"{where}: {key}: found nothing, expected a value; add it")
    return CommandFile(folder=folder, **fields)


# Values --------------------------------------------------------------------------------------------


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise UsageError(
            f"{where}: found {value!r}, expected up to 64 letters, digits, dots, dashes and underscores"
        )
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where}: found {_kind(value)}, expected text")
    return " ".join(value.split())


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{where}: found {_kind(value)}, expected true or false")
    return value


def _command(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or len(value) > _MAX_ARGUMENTS:
        raise UsageError(
            f"{where}: found {_kind(value)}, expected a list: the program, then its arguments, "
            "as in [python, measure.py, --fast]"
        )
    for index, item in enumerate(value):
        if isinstance(item, bool) or not isinstance(item, (str, int, float)) or "\0" in str(item):
            raise UsageError(f"{where}[{index}]: found {_kind(item)}, expected text")
    if not str(value[0]):
        raise UsageError(f"{where}[0]: found an empty text, expected a program")
    return tuple(map(str, value))


def _number(low: float, high: float) -> Callable[[Any, str], float]:
    def read(value: Any, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value <= high:
            raise UsageError(f"{where}: found {_kind(value)}, expected a number > {low:g} and <= {high:g}")
        return float(value)

    return read


def _integer(high: int) -> Callable[[Any, str], int]:
    def read(value: Any, where: str) -> int:
        whole = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not whole or value != int(value) or not 1 <= value <= high:
            raise UsageError(f"{where}: found {_kind(value)}, expected a whole number from 1 to {high}")
        return int(value)

    return read


def _sizes(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > 8:
        raise UsageError(f"{where}: found {_kind(value)}, expected a list of sizes in bytes, smallest first")
    read = _integer(_MAX_BYTES)
    sizes = tuple(read(item, f"{where}[{index}]") for index, item in enumerate(value))
    if list(sizes) != sorted(set(sizes)):
        raise UsageError(f"{where}: found {list(sizes)}, expected ascending sizes, the smallest first")
    return sizes


def _environment(value: Any, where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or len(value) > _MAX_PAIRS:
        raise UsageError(f"{where}: found {_kind(value)}, expected names and texts")
    pairs = []
    for key, item in value.items():
        if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", key):
            raise UsageError(f"{where}: found the name {key!r}, expected letters, digits, dots and dashes")
        if not isinstance(item, (str, int, float)):
            raise UsageError(f"{where}.{key}: found {_kind(item)}, expected text or a number")
        pairs.append((key, " ".join(str(item).split())))
    return tuple(sorted(pairs))


_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "name": _name,
    "description": _text,
    "command": _command,
    "timeout_s": _number(0.0, _MAX_TIMEOUT_S),
    "start_timeout_s": _number(0.0, _MAX_TIMEOUT_S),
    "visits": _integer(1000),
    "exclusive": _flag,
    "infer_mapping": _flag,
    "activation_bytes": _number(0.0, 64.0),
    "weight_bytes": _number(0.0, 64.0),
    "peak_ops_per_s": _number(0.0, 1e21),
    "bandwidth_bytes_per_s": _number(0.0, 1e18),
    "cache_bytes": _sizes,
    "vector_bytes": _integer(1 << 16),
    "environment": _environment,
}


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", type(None): "nothing"}
    text = repr(value)
    return names.get(type(value), text if len(text) <= 60 else f"{text[:57]}...")
