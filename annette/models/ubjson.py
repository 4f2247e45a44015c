"""Reads Universal Binary JSON as XGBoost writes it, bounded and checked, without XGBoost.

A platform's forests are read here and not by XGBoost for the reasons given in `annette.models.forest`.
"""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import Any

import numpy as np

from annette.errors import ModelError

__all__ = ["read_ubjson"]

_MAX_BYTES = 64 * 1024 * 1024
_MAX_DEPTH = 32
_FORMATS = MappingProxyType(
    {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
)
_STRUCTS = MappingProxyType(
    {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
)
_INTEGERS = frozenset(b"iUIlL")


def read_ubjson(content: bytes) -> Any:
    """The value in ``content``: dictionaries, lists, arrays for typed lists, numbers, text, booleans, None.

    Raises
    ------
    ModelError
        If the content is cut short, too large, too deep, or not UBJSON.

    References
    ----------
    Universal Binary JSON, draft 12 (ubjson.org): strongly typed containers are read for numbers only.
    """
    if len(content) > _MAX_BYTES:
        raise ModelError(f"UBJSON of {len(content)} bytes, expected at most {_MAX_BYTES}")
    reader = _Reader(content)
    value = reader.value(reader.marker(), 0)
    if reader.position != len(content):
        raise ModelError(f"UBJSON: {len(content) - reader.position} bytes after the end of the value")
    return value


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self.position = 0

    def _take(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self._content):
            raise ModelError(f"UBJSON: cut short at byte {self.position}; train the platform again")
        part = self._content[self.position : end]
        self.position = end
        return part

    def marker(self) -> bytes:
        return self._take(1)

    def _peek(self) -> bytes:
        return self._content[self.position : self.position + 1]

    def _number(self, marker: bytes) -> int | float:
        size = np.dtype(_FORMATS[marker]).itemsize
        number: int | float = struct.unpack(_STRUCTS[marker], self._take(size))[0]
        return number

    def _length(self) -> int:
        marker = self.marker()
        if marker[0] not in _INTEGERS:
            raise ModelError(
                f"UBJSON: a length of type {marker!r} at byte {self.position}, expected an integer"
            )
        length = int(self._number(marker))
        if not 0 <= length <= len(self._content):
            raise ModelError(f"UBJSON: a length of {length} at byte {self.position}")
        return length

    def _text(self) -> str:
        try:
            return self._take(self._length()).decode("utf-8")
        except UnicodeDecodeError as err:
            raise ModelError(f"UBJSON: text at byte {self.position} is not UTF-8") from err

    def value(self, marker: bytes, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ModelError(f"UBJSON: nested deeper than {_MAX_DEPTH}")
        if marker in _FORMATS:
            return self._number(marker)
        if marker == b"S":
            return self._text()
        if marker == b"{":
            return self._object(depth)
        if marker == b"[":
            return self._array(depth)
        constants = {b"Z": None, b"T": True, b"F": False}
        if marker not in constants:
            raise ModelError(f"UBJSON: unknown type {marker!r} at byte {self.position}")
        return constants[marker]

    def _object(self, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while self._peek() != b"}":
            key = self._text()
            result[key] = self.value(self.marker(), depth + 1)
        self.position += 1
        return result

    def _array(self, depth: int) -> Any:
        if self._peek() == b"$":
            self.position += 1
            kind = self.marker()
            if kind not in _FORMATS or self.marker() != b"#":
                raise ModelError(f"UBJSON: a typed list of {kind!r} at byte {self.position}")
            code = np.dtype(_FORMATS[kind])
            return np.frombuffer(self._take(self._length() * code.itemsize), dtype=code)
        if self._peek() == b"#":
            self.position += 1
            return [self.value(self.marker(), depth + 1) for _ in range(self._length())]
        items = []
        while self._peek() != b"]":
            items.append(self.value(self.marker(), depth + 1))
        self.position += 1
        return items
