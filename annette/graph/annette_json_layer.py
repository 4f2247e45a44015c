"""A layer of the original ANNETTE's JSON graphs as the file has it: checked, its axes brought in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from annette.errors import GraphError

__all__ = ["JsonLayer", "batch_of", "channels_first"]

_MAX_RANK = 8
_MAX_SIZE = 1 << 31
_MAX_PARENTS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLayer:
    """One layer as the file has it, checked."""

    name: str
    """Its key in the file."""
    kind: str
    """Its ``type``."""
    parents: tuple[str, ...]
    """Names of the layers that it reads, in order."""
    fields: Mapping[str, Any]
    """Everything else, not checked yet."""

    @classmethod
    def parse(cls, name: str, item: object, known: Mapping[str, object]) -> JsonLayer:
        """The layer under ``name``, whose parents are among ``known``.

        Raises
        ------
        GraphError
            If it is no object with a type and a list of known parents.
        """
        if not isinstance(item, dict) or not isinstance(item.get("type"), str) or not item["type"]:
            raise GraphError(f'layer {name!r}: found no \'type\', expected one, as in "type": "Conv"')
        layer = cls(name=name, kind=item["type"], parents=(), fields=MappingProxyType(item))
        parents = item.get("parents", [])
        if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
            raise layer.fail(f"parents {parents!r:.60}", "a list of names of layers")
        unknown = [parent for parent in parents if parent not in known]
        if unknown:
            raise layer.fail(
                f"parent {unknown[0]!r:.60}, which is no layer", "the name of a layer of the file"
            )
        if len(parents) > _MAX_PARENTS:
            raise layer.fail(f"{len(parents)} parents", f"at most {_MAX_PARENTS}")
        return replace(layer, parents=tuple(parents))

    def fail(self, found: str, expected: str) -> GraphError:
        """The error that says what is wrong with the layer."""
        return GraphError(f"layer {self.name!r}: found {found}, expected {expected}")

    def shape(self, key: str) -> tuple[int, ...] | None:
        """A list of sizes, -1 where one is not known; ``None`` where the layer has none.

        Raises
        ------
        GraphError
            If it is anything else, as the placeholders of benchmark templates are.
        """
        value = self.fields.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > _MAX_RANK:
            raise self.fail(f"{key} {value!r:.60}", f"a list of at most {_MAX_RANK} numbers")
        for size in value:
            if isinstance(size, str):
                raise self.fail(
                    f"{key} with the placeholder {size!r:.40}", "numbers; this is a template of benchmarks"
                )
            if not isinstance(size, int) or isinstance(size, bool) or not -1 <= size <= _MAX_SIZE:
                raise self.fail(f"{key} {value!r:.60}", "whole numbers, or -1 for one not known")
        return tuple(value)

    def window(self, key: str, rank: int, default: int) -> tuple[int, ...]:
        """Sizes of the spatial axes alone: without the batch and the channels around them."""
        value = self.shape(key)
        if value is None:
            return (default,) * rank
        if len(value) != rank + 2 or min(value[1:-1], default=1) < 1:
            raise self.fail(f"{key} {list(value)}", f"{rank + 2} numbers, those of {rank} axes above 0")
        return value[1:-1]


def channels_first(shape: Sequence[int]) -> tuple[int, ...]:
    """(batch, height, width, channels) as (N, C, H, W); other numbers of axes stand as they are in the files.

    Examples
    --------
    >>> channels_first([-1, 224, 224, 3]), channels_first([-1, 1000])
    ((-1, 3, 224, 224), (-1, 1000))
    """
    return (shape[0], shape[3], shape[1], shape[2]) if len(shape) == 4 else tuple(shape)


def batch_of(shape: Sequence[int], batch: int) -> tuple[int, ...]:
    """The shape with ``batch`` in front where that is -1.

    Examples
    --------
    >>> batch_of((-1, 3), 4), batch_of((1, 3), 4)
    ((4, 3), (1, 3))
    """
    return (batch, *shape[1:]) if shape and shape[0] == -1 else tuple(shape)
