"""Changes numbers of a description by their paths, as its YAML has them: ``memories[0].size_bytes``."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from annette.errors import UsageError
from annette.hardware.accelerator import Accelerator, Precision
from annette.hardware.codec import accelerator_from_dict, accelerator_to_dict

__all__ = ["Setting", "change_accelerator", "list_paths", "parse_setting", "read_setting", "require_path"]

Setting = float | int | str | bool | None
"""A value of a description; ``None`` leaves the field away."""

_STEP = re.compile(r"\.?([A-Za-z_]\w*)|\[(\d{1,6})\]", re.ASCII)
_NO_SETTINGS = ("name", "description", "provenance")
_WORDS: Mapping[str, Setting] = {"true": True, "false": False, "none": None}


def change_accelerator(accelerator: Accelerator, settings: Mapping[str, Setting]) -> Accelerator:
    """The accelerator with these values at these paths; sources of numbers are left out.

    Raises
    ------
    UsageError
        If a path leads nowhere; names the nearest.
    HardwareError
        If a field cannot have that value.

    Examples
    --------
    >>> from annette.hardware.codec import load_accelerator
    >>> changed = change_accelerator(load_accelerator("systolic-32x32-ws"), {"array.systolic.rows": 64})
    >>> changed.array.macs_per_cycle
    2048
    """
    data = accelerator_to_dict(accelerator)
    for path, value in settings.items():
        require_path(accelerator, path)
        *parents, last = _steps(path)
        part: Any = data
        for step in parents:
            part = part[step]
        if value is None and isinstance(part, dict):
            part.pop(last, None)
        else:
            part[last] = value
    where = f"{accelerator.name} with {', '.join(f'{path}={value}' for path, value in settings.items())}"
    return accelerator_from_dict(data, where)


def read_setting(accelerator: Accelerator, path: str) -> Setting:
    """The value at ``path``; ``None`` where the description leaves it away.

    Raises
    ------
    UsageError
        If the path leads nowhere; names the nearest.

    Examples
    --------
    >>> from annette.hardware.codec import load_accelerator
    >>> read_setting(load_accelerator("zcu102-dpu"), "array.unroll.out_h")
    8
    """
    part: Any = accelerator
    for step in _steps(path):
        if isinstance(part, tuple) and isinstance(step, int) and step < len(part):
            part = part[step]
        elif isinstance(part, Precision) and f"{str(step)[:-4]}bytes" in _field_names(part):
            part = 8 * getattr(part, f"{str(step)[:-4]}bytes")
        elif step in _field_names(part):
            part = getattr(part, str(step))
        else:
            part = None
    if part is None or isinstance(part, tuple) or dataclasses.is_dataclass(part):
        require_path(accelerator, path)
    value: Setting = part
    return value


@lru_cache(maxsize=16)
def list_paths(accelerator: Accelerator) -> tuple[str, ...]:
    """The paths of all single values that a description has or may have.

    Examples
    --------
    >>> from annette.hardware.codec import load_accelerator
    >>> [path for path in list_paths(load_accelerator("zcu102-dpu")) if path.startswith("external")][:2]
    ['external_memory.bandwidth_bytes_per_s', 'external_memory.latency_s']
    """
    return tuple(_leaves(accelerator, ""))


def require_path(accelerator: Accelerator, path: str) -> None:
    """Nothing, if the path leads to a value.

    Raises
    ------
    UsageError
        Otherwise; names the nearest.
    """
    known = list_paths(accelerator)
    if path in known:
        return
    last = path.rpartition(".")[2]
    below = [item for item in known if item.startswith((f"{path}.", f"{path}["))]
    same = [item for item in known if item.rpartition(".")[2] == last]
    same.sort(key=lambda item: -difflib.SequenceMatcher(None, item, path).ratio())
    near = below or same or difflib.get_close_matches(path, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near[:3])}?" if near else "paths are those of the YAML, as clock_hz"
    raise UsageError(f"{path}: no such number in the description of {accelerator.name!r}; {hint}")


def parse_setting(text: str) -> Setting:
    """A number, ``true``, ``false``, ``none``, or the text as it is.

    Raises
    ------
    UsageError
        For a number that is not finite, or too large for a float.

    Examples
    --------
    >>> [parse_setting(text) for text in ("64", "1.5e9", "WS", "none")]
    [64, 1500000000.0, 'WS', None]
    """
    text = text.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        return int(text)
    try:
        value = float(text)
    except ValueError:
        return text
    if not math.isfinite(value):
        raise UsageError(f"found {text}, expected a finite number")
    return value


def _field_names(part: Any) -> frozenset[str]:
    """Of a part of a description; none of a single value."""
    return frozenset(getattr(type(part), "__dataclass_fields__", ()))


def _steps(path: str) -> list[str | int]:
    """The keys and positions on the way."""
    return [name or int(index) for name, index in _STEP.findall(path)]


def _leaves(part: Any, path: str) -> Iterator[str]:
    """Paths of the single values below ``part``."""
    if isinstance(part, tuple):
        for index, item in enumerate(part):
            yield from _leaves(item, f"{path}[{index}]")
    elif dataclasses.is_dataclass(part):
        for item in dataclasses.fields(part):
            if path or item.name not in _NO_SETTINGS:
                name = f"{item.name[:-5]}bits" if isinstance(part, Precision) else item.name
                value = getattr(part, item.name)
                if value is not None or _is_single(str(item.type)):
                    yield from _leaves(value, f"{path}.{name}" if path else name)
    else:
        yield path


def _is_single(annotation: str) -> bool:
    """Whether a field that may be left away is one value, and not a part of the description."""
    return annotation.removesuffix(" | None") in ("float", "int", "str", "bool")
