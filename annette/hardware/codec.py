"""Reads accelerators from YAML and writes them back; every fault is named with its path."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
import re
import types
import typing
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from annette.errors import HardwareError, UsageError
from annette.hardware.accelerator import Accelerator, Precision, Provenance
from annette.hardware.checks import FieldFault
from annette.hardware.rules import FEATURES, Condition
from annette.hardware.systolic_array import SystolicArray

__all__ = [
    "SCHEMA_VERSION",
    "accelerator_from_dict",
    "accelerator_from_yaml",
    "accelerator_id",
    "accelerator_to_dict",
    "accelerator_to_yaml",
    "is_preset",
    "list_accelerators",
    "load_accelerator",
    "systolic_hint",
]

_STATIONARY = {"os": "output", "ws": "weight", "is": "input"}
SCHEMA_VERSION = 1
"""Version of the YAML schema; a text of another version is refused."""

_SYSTOLIC = re.compile(r"systolic-([0-9]{1,6})x([0-9]{1,6})-(os|ws|is)")
_PROVENANCE_KEYS = {"value", "source", "assumed"}


def load_accelerator(name_or_path: str | Path) -> Accelerator:
    """The accelerator of that preset name, or described by that YAML file.

    ``systolic-RxC-DATAFLOW`` is a preset for any number of rows and columns and each dataflow (``os``,
    ``ws``, ``is``), for example ``systolic-128x64-ws``.

    Raises
    ------
    UsageError
        If it is neither a preset nor a file; names the nearest preset.
    HardwareError
        If the file cannot be read or its description is wrong.

    Examples
    --------
    >>> load_accelerator("zcu102-dpu").array.macs_per_cycle
    2048
    """
    text = str(name_or_path)
    if text in _preset_names():
        return _preset(text)
    sized = _SYSTOLIC.fullmatch(text)
    if sized is not None:
        return _systolic_preset(int(sized[1]), int(sized[2]), sized[3])
    path = Path(name_or_path)
    if not os.path.exists(path) or path.is_dir():  # unlike `Path.exists` it never raises, whatever the name
        nearest = difflib.get_close_matches(text, _preset_names(), n=1, cutoff=0.4)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"presets: {', '.join(_preset_names())}"
        hint = systolic_hint(text) or hint
        found = "no such file" if text.endswith((".yaml", ".yml")) else "neither a preset nor a YAML file"
        raise UsageError(f"accelerator {text!r}: {found}; {hint}")
    from annette.hardware.yaml_text import read_text

    where = path.name or text
    return accelerator_from_yaml(read_text(path, where), where)


def list_accelerators() -> tuple[tuple[str, str], ...]:
    """Name and description of every preset, by name.

    Examples
    --------
    >>> {"ncs2", "zcu102-dpu"} <= {name for name, _ in list_accelerators()}
    True
    """
    return tuple((name, _preset(name).description) for name in _preset_names())


def is_preset(name: str) -> bool:
    """Whether `load_accelerator` knows ``name`` without a file.

    Examples
    --------
    >>> is_preset("zcu102-dpu"), is_preset("systolic-8x16-os"), is_preset("mine.yaml")
    (True, True, False)
    """
    return name in _preset_names() or _SYSTOLIC.fullmatch(name) is not None


def systolic_hint(name: str) -> str | None:
    """How a systolic preset is written, if ``name`` looks like one that is not written so.

    Examples
    --------
    >>> systolic_hint("systolic-8x8")
    'expected systolic-RxC-os|ws|is, as in systolic-8x8-ws'
    """
    if not name.lower().startswith("systolic-") or name.lower().endswith((".yaml", ".yml")):
        return None
    sizes = re.match(r"systolic-([0-9]{1,6})x([0-9]{1,6})(?:-(os|ws|is))?", name.lower())
    rows, columns, dataflow = sizes.groups() if sizes else ("32", "32", None)
    return f"expected systolic-RxC-os|ws|is, as in systolic-{rows}x{columns}-{dataflow or 'ws'}"


def accelerator_from_yaml(text: str, where: str) -> Accelerator:
    """The accelerator that a YAML text describes; ``where`` opens the messages.

    Raises
    ------
    HardwareError
        Naming the path of the first fault, what was found and what was expected.
    """
    from annette.hardware.yaml_text import read_yaml  # here, since PyYAML is slow to import

    data = read_yaml(text, where)
    try:
        if not isinstance(data, dict):
            raise HardwareError(f"found {_kind(data)}, expected a mapping with the keys of an accelerator")
        version = data.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise FieldFault("schema_version", f"found {version!r}, expected {SCHEMA_VERSION}")
        provenance: list[Provenance] = []
        plain = _strip_provenance(data, "", provenance)
        accelerator: Accelerator = _decode(Accelerator, plain, "")
    except HardwareError as err:
        raise HardwareError(f"{where}: {err}") from err
    return dataclasses.replace(accelerator, provenance=tuple(provenance))


def accelerator_from_dict(data: dict[str, Any], where: str) -> Accelerator:
    """The accelerator that plain values describe, in the keys of the YAML; ``where`` opens the messages.

    Raises
    ------
    HardwareError
        Naming the path of the first fault, what was found and what was expected.
    """
    try:
        accelerator: Accelerator = _decode(Accelerator, data, "")
    except HardwareError as err:
        raise HardwareError(f"{where}: {err}") from err
    return accelerator


def accelerator_to_dict(accelerator: Accelerator) -> dict[str, Any]:
    """The description as mappings, lists, numbers and text, without sources."""
    plain: dict[str, Any] = _plain(accelerator)
    return plain


def accelerator_to_yaml(accelerator: Accelerator) -> str:
    """The description as YAML, without sources; reading it back gives an equal accelerator."""
    import yaml

    data = {"schema_version": SCHEMA_VERSION, **_plain(accelerator)}
    return yaml.safe_dump(data, sort_keys=False, width=100)


def accelerator_id(accelerator: Accelerator) -> str:
    """16 hexadecimal digits that depend on what the description says, not on names or sources."""
    data = _plain(accelerator)
    for key in ("name", "description"):
        del data[key]
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# Presets -------------------------------------------------------------------------------------------


@cache
def _preset_names() -> tuple[str, ...]:
    folder = resources.files("annette.hardware").joinpath("presets")
    return tuple(sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".yaml")))


@cache
def _preset(name: str) -> Accelerator:
    file = resources.files("annette.hardware").joinpath("presets", f"{name}.yaml")
    return accelerator_from_yaml(file.read_text(encoding="utf-8"), f"preset {name}")


@cache
def _systolic_preset(rows: int, columns: int, dataflow: str) -> Accelerator:
    """The preset ``systolic-32x32-ws`` with an array of another size or dataflow."""
    name, template = f"systolic-{rows}x{columns}-{dataflow}", _preset("systolic-32x32-ws")
    try:
        systolic = SystolicArray(rows=rows, columns=columns, dataflow=dataflow.upper())
    except FieldFault as err:
        raise UsageError(f"accelerator {name!r}: {err}") from err
    sized = dataclasses.replace(
        template,
        name=name,
        description=f"Systolic array of {rows} x {columns} cells, {_STATIONARY[dataflow]} stationary (int8)",
        array=dataclasses.replace(template.array, systolic=systolic),
    )
    if sized.energy is None or sized.area_mm2 is None or not template.area_mm2:
        return sized
    leakage_w = sized.energy.leakage_w * sized.area_mm2 / template.area_mm2  # it goes with the area
    return dataclasses.replace(sized, energy=dataclasses.replace(sized.energy, leakage_w=leakage_w))


# Reading -------------------------------------------------------------------------------------------


def _strip_provenance(data: Any, path: str, found: list[Provenance]) -> Any:
    """``data`` with every ``{value: ..., source: ..., assumed: ...}`` replaced by its value."""
    if isinstance(data, list):
        return [_strip_provenance(item, f"{path}[{index}]", found) for index, item in enumerate(data)]
    if not isinstance(data, dict):
        return data
    if "value" not in data:
        return {key: _strip_provenance(item, _join(path, str(key)), found) for key, item in data.items()}
    unknown = sorted(str(key) for key in set(data) - _PROVENANCE_KEYS)
    if unknown:
        raise FieldFault(_join(path, unknown[0]), "unknown key, expected value, source and assumed")
    source, assumed = data.get("source", ""), data.get("assumed", False)
    if not isinstance(source, str):
        raise FieldFault(_join(path, "source"), f"found {source!r}, expected text")
    if not isinstance(assumed, bool):
        raise FieldFault(_join(path, "assumed"), f"found {assumed!r}, expected true or false")
    found.append(Provenance(path=path, source=source, assumed=assumed))
    return data["value"]


def _decode(kind: Any, data: Any, path: str) -> Any:
    """``data`` as a value of the annotated type ``kind``."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _decode_object(kind, data, path)
    if origin in (types.UnionType, typing.Union):
        return _decode_union(arguments, data, path)
    if origin is tuple:
        return _decode_tuple(arguments[0], data, path)
    if kind is float:
        if isinstance(data, bool) or not isinstance(data, (int, float)):
            hint = "; write powers of ten as 1.0e+9" if isinstance(data, str) else ""
            raise FieldFault(path, f"found {_kind(data)}, expected a number{hint}")
        return float(data)
    if kind is int:
        if isinstance(data, float) and data.is_integer():
            return int(data)
        if isinstance(data, bool) or not isinstance(data, int):
            raise FieldFault(path, f"found {_kind(data)}, expected an integer")
        return data
    if not isinstance(data, kind):
        raise FieldFault(path, f"found {_kind(data)}, expected {'text' if kind is str else kind.__name__}")
    return data


def _decode_union(arguments: tuple[Any, ...], data: Any, path: str) -> Any:
    if data is None:
        if type(None) in arguments:
            return None
        raise FieldFault(path, "found nothing, expected a value")
    choices = [item for item in arguments if item is not type(None)]
    if len(choices) == 1:
        return _decode(choices[0], data, path)
    if isinstance(data, bool) or not isinstance(data, tuple(choices)):
        raise FieldFault(path, f"found {_kind(data)}, expected a number or text")
    return data


def _decode_tuple(kind: Any, data: Any, path: str) -> tuple[Any, ...]:
    if kind is Condition and isinstance(data, dict):
        return tuple(_decode_condition(str(feature), item, path) for feature, item in data.items())
    if not isinstance(data, list):
        raise FieldFault(path, f"found {_kind(data)}, expected a list")
    return tuple(_decode(kind, item, f"{path}[{index}]") for index, item in enumerate(data))


def _decode_condition(feature: str, data: Any, path: str) -> Condition:
    """``feature: {minimum: ...}``, or ``feature: value`` for equality."""
    if feature not in FEATURES:
        raise FieldFault(_join(path, feature), f"unknown feature{_nearest(feature, FEATURES)}")
    if not isinstance(data, dict):
        data = {"one_of": [data]}
    condition: Condition = _decode_object(Condition, {"feature": feature, **data}, _join(path, feature))
    return condition


def _decode_object(kind: Any, data: Any, path: str) -> Any:
    if not isinstance(data, dict):
        raise FieldFault(path or "accelerator", f"found {_kind(data)}, expected a mapping")
    if kind is Precision:
        data = _bits_to_bytes(data, path)
    fields = {item.name: item for item in dataclasses.fields(kind) if item.name != "provenance"}
    for key in data:
        if key not in fields:
            raise FieldFault(_join(path, str(key)), f"unknown key{_nearest(str(key), tuple(fields))}")
    hints = _type_hints(kind)
    values: dict[str, Any] = {}
    for name, item in fields.items():
        if name in data:
            values[name] = _decode(hints[name], data[name], _join(path, name))
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise FieldFault(_join(path, name), "missing, expected a value; add the key")
    try:
        return kind(**values)
    except FieldFault as err:
        raise FieldFault(_join(path, err.path), err.problem) from err


@cache
def _type_hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _bits_to_bytes(data: dict[str, Any], path: str) -> dict[str, Any]:
    """Precision is written in bits and kept in bytes."""
    converted: dict[str, Any] = {}
    for key, value in data.items():
        if not str(key).endswith("_bits"):
            keys = tuple(f"{item.name[:-5]}bits" for item in dataclasses.fields(Precision))
            raise FieldFault(_join(path, str(key)), f"unknown key{_nearest(str(key), keys)}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= 128:
            raise FieldFault(_join(path, str(key)), f"found {value!r}, expected bits from 1 to 128")
        converted[f"{str(key)[:-4]}bytes"] = value / 8
    return converted


def _nearest(word: str, words: tuple[str, ...]) -> str:
    found = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else f"; expected one of {', '.join(words)}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _kind(data: Any) -> str:
    if data is None:
        return "nothing"
    if isinstance(data, (dict, list)):
        return "a mapping" if isinstance(data, dict) else "a list"
    text = repr(data)
    return text if len(text) <= 60 else f"{text[:57]}..."


# Writing -------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """A frozen description as mappings, lists, numbers and text, in the schema's own keys."""
    if isinstance(value, Precision):
        return {f"{item.name[:-5]}bits": getattr(value, item.name) * 8 for item in dataclasses.fields(value)}
    if dataclasses.is_dataclass(value):
        items = {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
        return {key: item for key, item in items.items() if item is not None and key != "provenance"}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
