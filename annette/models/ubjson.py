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
_NUMBERS = MappingProxyType(
    {
        ord(marker): (struct.Struct(code), np.dtype(code))
        for marker, code in zip("iUIlLdD", (">b", ">B", ">h", ">i", ">q", ">f", ">d"), strict=True)
    }
)
"""By the marker's byte how a number of that type is read, alone and in a list."""
_INTEGERS = MappingProxyType({byte: _NUMBERS[byte][0] for byte in b"iUIlL"})
_CONSTANTS = MappingProxyType({ord("Z"): None, ord("T"): True, ord("F"): False})
_SHORT_LONG = b"L" + bytes(7)
"""How a length of eight bytes begins that is below 256."""
_LONG_ZEROS, _LONG_HEAD = 8, 9
_TEXT, _LIST, _END_OF_LIST, _OBJECT, _END_OF_OBJECT, _TYPE, _COUNT = b"S[]{}$#"


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
    value = reader.value(0)
    if reader.position != len(content):
        raise ModelError(f"UBJSON: {len(content) - reader.position} bytes after the end of the value")
    return value


class _Reader:
    """Reads values one after the other; bytes are compared as numbers: a platform has 100,000 of them."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.position = 0

    def _cut_short(self) -> ModelError:
        return ModelError(f"UBJSON: cut short at byte {self.position}; train the platform again")

    def _take(self, count: int) -> bytes:
        start = self.position
        self.position = end = start + count
        if count < 0 or end > len(self._content):
            self.position = start
            raise self._cut_short()
        return self._content[start:end]

    def _byte(self) -> int:
        """The next byte, which is taken."""
        try:
            byte = self._content[self.position]
        except IndexError:
            raise self._cut_short() from None
        self.position += 1
        return byte

    def _peek(self) -> int:
        """The next byte, which stays; -1 at the end."""
        return self._content[self.position] if self.position < len(self._content) else -1

    def _number(self, packed: struct.Struct) -> Any:
        try:
            found = packed.unpack_from(self._content, self.position)[0]
        except struct.error:
            raise self._cut_short() from None
        self.position += packed.size
        return found

    def _length(self) -> int:
        packed = _INTEGERS.get(self._byte())
        if packed is None:
            marker = self._content[self.position - 1 : self.position]
            raise ModelError(
                f"UBJSON: a length of type {marker!r} at byte {self.position}, expected an integer"
            )
        length: int = self._number(packed)
        if not 0 <= length <= len(self._content):
            raise ModelError(f"UBJSON: a length of {length} at byte {self.position}")
        return length

    def _text(self) -> str:
        start = self.position
        head = self._content[start : start + _LONG_HEAD]
        if head[:_LONG_ZEROS] == _SHORT_LONG and len(head) == _LONG_HEAD:  # as XGBoost writes all its lengths
            end = start + _LONG_HEAD + head[-1]
            text = self._content[start + _LONG_HEAD : end]
            if end <= len(self._content) and text.isascii():
                self.position = end
                return text.decode("ascii")
        try:
            return self._take(self._length()).decode("utf-8")
        except UnicodeDecodeError as err:
            raise ModelError(f"UBJSON: text at byte {self.position} is not UTF-8") from err

    def value(self, depth: int) -> Any:
        """The next value."""
        if depth > _MAX_DEPTH:
            raise ModelError(f"UBJSON: nested deeper than {_MAX_DEPTH}")
        marker = self._byte()
        if marker == _LIST:
            return self._array(depth)
        if marker == _TEXT:
            return self._text()
        if marker == _OBJECT:
            return self._object(depth)
        if marker in _NUMBERS:
            return self._number(_NUMBERS[marker][0])
        if marker not in _CONSTANTS:
            raise ModelError(f"UBJSON: unknown type {bytes((marker,))!r} at byte {self.position}")
        return _CONSTANTS[marker]

    def _object(self, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while self._peek() != _END_OF_OBJECT:
            key = self._text()
            result[key] = self.value(depth + 1)
        self.position += 1
        return result

    def _array(self, depth: int) -> Any:
        first = self._peek()
        if first == _TYPE:
            self.position += 1
            kind = self._byte()
            if kind not in _NUMBERS or self._byte() != _COUNT:
                raise ModelError(f"UBJSON: a typed list of {bytes((kind,))!r} at byte {self.position}")
            code = _NUMBERS[kind][1]
            return np.frombuffer(self._take(self._length() * code.itemsize), dtype=code)
        if first == _COUNT:
            self.position += 1
            return [self.value(depth + 1) for _ in range(self._length())]
        items = []
        while self._peek() != _END_OF_LIST:
            items.append(self.value(depth + 1))
        self.position += 1
        return items
