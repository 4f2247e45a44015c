"""ONNX files without their weights: a bounded walk over protobuf's wire format that leaves tensor data out.

A weight-bearing file of hundreds of megabytes costs memory for its graph only: the file is mapped, every
message is skipped over by its length, and only what is no tensor data is copied. Letters of the format:
a message is a sequence of fields, each a tag (field number * 8 + wire type) and a value, which is a varint
(wire type 0), eight bytes (1), a length and that many bytes (2), or four bytes (5).

References
----------
Protocol Buffers, "Encoding"; field numbers from onnx.proto (ONNX IR).
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from annette.errors import GraphError

__all__ = ["MAX_DATA_BYTES", "MAX_DATA_ELEMENTS", "MAX_NODES", "read_without_weights", "strip_weights"]

MAX_DATA_ELEMENTS = 1024
"""Tensors with more elements lose their data: no shape is computed from that many numbers."""
MAX_DATA_BYTES = 8 * MAX_DATA_ELEMENTS
"""Tensors with more bytes of data lose them."""
MAX_STRING_BYTES = 1 << 16
"""String attributes above this (compiled blobs that some runtimes embed) lose their contents."""
MAX_STRUCTURE_BYTES = 256 << 20
"""A model with more bytes than this besides its weights is refused (in use, 20 MB is a lot)."""
MAX_NODES = 1_000_000
"""A model with more nodes, subgraphs' nodes included, is refused."""
MAX_ENTRIES = 4 * MAX_NODES
"""A model with more entries in its graphs (nodes, weights, descriptions of tensors) is refused."""
MAX_DEPTH = 24
"""Graphs inside graphs; protobuf itself allows messages 100 deep, which is 33 graphs."""

_WHOLE_BYTES = 4096
"""Nodes and tensors up to this size are copied as they are: there is nothing in them worth leaving out."""
_LENGTH = 2
_FIXED = {1: 8, 5: 4}

_Handler = Callable[["_Stripper", int, int, int], bytes | None]
_DROP = b"\xff drop"
"""What a handler returns to leave a field out; no message starts with this tag."""

_FOREIGN = (
    (0, b"PK\x03\x04", "a zip archive (a PyTorch checkpoint, or a model that needs unpacking)"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (4, b"ORTM", "a model in ONNX Runtime's own format"),
    (0, b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with 'git lfs pull'"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x80\x02", "a Python pickle"),
    (0, b"\x80\x04", "a Python pickle"),
    (0, b"<", "a text in XML or HTML"),
    (0, b"{", "a JSON text"),
)
"""Offset, bytes and words for files that people mistake for ONNX."""


def read_without_weights(path: str | os.PathLike[str]) -> bytes:
    """The model in the file as bytes of a ``ModelProto`` whose large tensors have no data.

    Files of external data are never opened.

    Raises
    ------
    GraphError
        If the file cannot be read, is cut off, or is no ONNX model.
    """
    where = Path(path).name or str(path)
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise GraphError(f"{where}: not a regular file, expected an ONNX model")
            if status.st_size == 0:
                raise GraphError(
                    f"{where}: the file is empty, expected an ONNX model; export or copy it again"
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                return strip_weights(mapped, where)
    except IsADirectoryError:
        raise GraphError(
            f"{where}: is a directory, expected an ONNX file; name the .onnx file in it"
        ) from None
    except OSError as err:
        reason = err.strerror or type(err).__name__
        raise GraphError(f"{where}: cannot be read ({reason}), expected an ONNX file") from err
    except ValueError as err:  # a path with a null byte
        if isinstance(err, GraphError):
            raise
        raise GraphError(f"{where!r}: no path of a file ({err}), expected an ONNX file") from err


def strip_weights(buffer: bytes | mmap.mmap, where: str) -> bytes:
    """The bytes of the same ``ModelProto`` with the data of large tensors left out.

    Initializers and tensors in attributes, in subgraphs and in functions too, keep name, dims and type.
    Documentation strings of the model, of graphs and of large nodes go as well.

    Parameters
    ----------
    buffer : bytes or mmap
        A serialized ``ModelProto``.
    where : str
        What errors call it.

    Raises
    ------
    GraphError
        If the bytes are cut off, are no ONNX model, or describe an absurdly large one.
    """
    for offset, magic, words in _FOREIGN:
        if buffer[offset : offset + len(magic)] == magic:
            raise GraphError(f"{where}: this is {words}, expected an ONNX model")
    return _Stripper(buffer, where).model()


class _Stripper:
    """Walks one buffer; holds the counts that bound the walk."""

    def __init__(self, buffer: bytes | mmap.mmap, where: str) -> None:
        self._buffer = buffer
        self._where = where
        self._nodes = 0
        self._entries = 0
        self._copied = 0

    def model(self) -> bytes:
        size = len(self._buffer)
        has_graph = False
        for number, wire, begin, _, _ in self._fields(0, size, "the model"):
            if _MODEL_WIRES.get(number, wire) != wire:
                raise self._foreign(begin)
            has_graph = has_graph or number == 7
        if not has_graph:
            raise GraphError(f"{self._where}: there is no graph in it, expected an ONNX model")
        result = self._rewrite(0, size, "the model", _MODEL, 0)
        return self._slice(0, size) if result is None else result

    def graph(self, start: int, end: int, depth: int) -> bytes | None:
        if depth >= MAX_DEPTH:
            raise GraphError(f"{self._where}: graphs nested more than {MAX_DEPTH} deep, expected fewer")
        return self._rewrite(start, end, "a graph", _GRAPH, depth + 1)

    def node(self, start: int, end: int, depth: int) -> bytes | None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise GraphError(f"{self._where}: more than {MAX_NODES} nodes, expected a network of fewer")
        return self._rewrite(start, end, "a node", _NODE, depth) if end - start > _WHOLE_BYTES else None

    def function(self, start: int, end: int, depth: int) -> bytes | None:
        return self._rewrite(start, end, "a function", _FUNCTION, depth)

    def attribute(self, start: int, end: int, depth: int) -> bytes | None:
        return self._rewrite(start, end, "an attribute", _ATTRIBUTE, depth)

    def sparse(self, start: int, end: int, depth: int) -> bytes | None:
        return self._rewrite(start, end, "a sparse tensor", _SPARSE, depth)

    def string(self, start: int, end: int, depth: int) -> bytes | None:
        return _DROP if end - start > MAX_STRING_BYTES else None

    def drop(self, start: int, end: int, depth: int) -> bytes | None:
        return _DROP

    def tensor(self, start: int, end: int, depth: int) -> bytes | None:
        """The tensor without its data, if they are more than a shape can depend on."""
        if end - start <= _WHOLE_BYTES:
            return None
        elements, data_bytes = 1, 0
        kept: list[tuple[int, int]] = []
        for number, wire, begin, value, stop in self._fields(start, end, "a tensor"):
            if number in _TENSOR_DATA:
                data_bytes += stop - value
                continue
            kept.append((begin, stop))
            if number == 1:
                position = value
                while position < stop:
                    size, position = self._varint(position, stop, "a tensor")
                    elements = min(elements * size, 1 << 62)
                    if wire != _LENGTH:
                        break
        if elements <= MAX_DATA_ELEMENTS and data_bytes <= MAX_DATA_BYTES:
            return None
        return b"".join(self._slice(*piece) for piece in kept)

    def _rewrite(
        self, start: int, end: int, inside: str, handlers: Mapping[int, _Handler], depth: int
    ) -> bytes | None:
        """The message with its handled fields replaced; ``None`` if it stays as it is."""
        pieces: list[bytes] = []
        copied_to = start
        for number, wire, begin, value, stop in self._fields(start, end, inside):
            self._entries += 1
            handler = handlers.get(number)
            if handler is None:
                continue
            if wire != _LENGTH:
                raise self._foreign(begin)
            replaced = handler(self, value, stop, depth)
            if replaced is None:
                continue
            if begin > copied_to:
                pieces.append(self._slice(copied_to, begin))
            if replaced is not _DROP:
                pieces += (_encode_varint(number << 3 | _LENGTH), _encode_varint(len(replaced)), replaced)
            copied_to = stop
        if self._entries > MAX_ENTRIES:
            raise GraphError(f"{self._where}: more than {MAX_ENTRIES} entries, expected a network of fewer")
        if copied_to == start:
            return None
        pieces.append(self._slice(copied_to, end))
        return b"".join(pieces)

    def _fields(self, start: int, end: int, inside: str) -> Iterator[tuple[int, int, int, int, int]]:
        """Number, wire type, start of the tag, start of the value and end of each field."""
        buffer, position = self._buffer, start
        while position < end:
            begin = position
            tag, position = self._varint(position, end, inside)
            number, wire = tag >> 3, tag & 7
            if number == 0 or number > 0x1FFFFFFF:
                raise self._foreign(begin)
            value = position
            if wire == _LENGTH:
                length = buffer[position] if position < end else 0x80
                if length < 0x80:
                    value = position + 1
                else:
                    length, value = self._varint(position, end, inside)
                position = value + length
            elif wire == 0:
                _, position = self._varint(position, end, inside)
            elif wire in _FIXED:
                position += _FIXED[wire]
            else:
                raise self._foreign(begin)
            if position > end:
                raise self._cut_off(position, end, inside)
            yield number, wire, begin, value, position

    def _varint(self, position: int, end: int, inside: str) -> tuple[int, int]:
        """The number that starts at ``position`` and where it ends."""
        result = shift = 0
        while position < end:
            byte = self._buffer[position]
            position += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result & 0xFFFFFFFFFFFFFFFF, position
            shift += 7
            if shift >= 70:
                raise self._foreign(position - 10)
        raise self._cut_off(position + 1, end, inside)

    def _slice(self, start: int, end: int) -> bytes:
        self._copied += end - start
        if self._copied > MAX_STRUCTURE_BYTES:
            raise GraphError(
                f"{self._where}: more than {MAX_STRUCTURE_BYTES >> 20} MiB besides the weights, "
                "expected a network of fewer"
            )
        return self._buffer[start:end]

    def _foreign(self, position: int) -> GraphError:
        return GraphError(
            f"{self._where}: byte {position} does not fit an ONNX model; "
            "expected a file that an exporter to ONNX wrote; check the path, export or copy it again"
        )

    def _cut_off(self, needed: int, end: int, inside: str) -> GraphError:
        size = len(self._buffer)
        if end < size:
            return GraphError(
                f"{self._where}: {inside} that ends at byte {end} holds a field that is longer than it; "
                "the file is damaged or no ONNX model; export or copy it again"
            )
        return GraphError(
            f"{self._where}: the file ends at byte {size} inside {inside}; it seems cut off; "
            f"expected at least {needed - size} bytes more; export or copy it again"
        )


def _encode_varint(number: int) -> bytes:
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)


_TENSOR_DATA = frozenset((4, 5, 6, 7, 9, 10, 11, 13))
"""float, int32, string, int64, raw, double and uint64 data, and where external data lie."""
_MODEL_WIRES: Mapping[int, int] = MappingProxyType(
    {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
)
"""Wire type of each field of a ``ModelProto``; another one there means that the file is no model."""
_SPARSE: Mapping[int, _Handler] = MappingProxyType({1: _Stripper.tensor, 2: _Stripper.tensor})
_ATTRIBUTE: Mapping[int, _Handler] = MappingProxyType(
    {
        4: _Stripper.string,
        5: _Stripper.tensor,
        6: _Stripper.graph,
        10: _Stripper.tensor,
        11: _Stripper.graph,
        13: _Stripper.drop,
        22: _Stripper.sparse,
        23: _Stripper.sparse,
    }
)
_NODE: Mapping[int, _Handler] = MappingProxyType(
    {5: _Stripper.attribute, 6: _Stripper.drop, 9: _Stripper.drop}
)
_GRAPH: Mapping[int, _Handler] = MappingProxyType(
    {1: _Stripper.node, 5: _Stripper.tensor, 10: _Stripper.drop, 15: _Stripper.sparse}
)
_FUNCTION: Mapping[int, _Handler] = MappingProxyType(
    {7: _Stripper.node, 8: _Stripper.drop, 11: _Stripper.attribute, 14: _Stripper.drop}
)
_MODEL: Mapping[int, _Handler] = MappingProxyType(
    {6: _Stripper.drop, 7: _Stripper.graph, 20: _Stripper.drop, 25: _Stripper.function}
)
