"""YAML text to plain values, safely: bounded size, no aliases, no doubled keys, no types of Python's."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from annette.errors import HardwareError

__all__ = ["MAX_CHARACTERS", "read_yaml"]

MAX_CHARACTERS = 200_000
"""A description of an accelerator has a few thousand; a larger text is a mistake or an attack."""


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
    except (yaml.YAMLError, ValueError) as err:
        raise HardwareError(f"{where}: not YAML: {' '.join(str(err).split())[:200]}") from err
    except RecursionError as err:
        raise HardwareError(f"{where}: nested too deeply, expected a description of a few levels") from err
