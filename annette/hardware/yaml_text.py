"""YAML to plain values, safely: bounded text and numbers, no aliases, no doubled keys, no Python types."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from annette.errors import HardwareError

__all__ = ["MAX_CHARACTERS", "read_text", "read_yaml"]

MAX_CHARACTERS = 200_000
"""A description of an accelerator has a few thousand; a larger text is a mistake or an attack."""

_MAX_INTEGER = 2**63 - 1
"""Larger ones fit neither a float nor a store, and Python refuses to print the largest."""


class _StrictLoader(yaml.SafeLoader):
    """`yaml.SafeLoader` without aliases (they can blow a small text up) and without doubled keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="found an alias (*name), expected the value written out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"found key {key!r} twice, expected it once", problem_mark=key_node.start_mark
                )
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        number = int(super().construct_yaml_int(node))
        if abs(number) > _MAX_INTEGER:
            raise yaml.MarkedYAMLError(
                problem=f"found an integer beyond {_MAX_INTEGER}, expected a smaller number",
                problem_mark=node.start_mark,
            )
        return number


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_yaml_int)


def read_text(path: Path, where: str, *, kind: str = "YAML file") -> str:
    """The text of a file, read no further than what `read_yaml` takes; ``kind`` names what is expected.

    Raises
    ------
    HardwareError
        If the file is missing, a folder, not UTF-8, too large or cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except (OSError, ValueError) as err:
        reason = getattr(err, "strerror", None) or str(err)
        raise HardwareError(f"{where}: cannot be read: {reason}; expected a {kind} in UTF-8") from err
    if len(text) > MAX_CHARACTERS:
        raise HardwareError(f"{where}: found a larger file, expected at most {MAX_CHARACTERS} characters")
    return text


def read_yaml(text: str, where: str) -> Any:
    """The plain value (mappings, lists, numbers, strings) that ``text`` stands for.

    Raises
    ------
    HardwareError
        If the text is too large or is not YAML; with the line.
    """
    if len(text) > MAX_CHARACTERS:
        raise HardwareError(f"{where}: found {len(text)} characters, expected at most {MAX_CHARACTERS}")
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise HardwareError(f"{where}: {line}{err.problem or 'not YAML'}") from err
    except (yaml.YAMLError, ValueError, AttributeError, LookupError) as err:  # also of its constructors
        raise HardwareError(f"{where}: not YAML: {' '.join(str(err).split())[:200]}") from err
    except RecursionError as err:
        raise HardwareError(f"{where}: nested too deeply, expected a description of a few levels") from err
