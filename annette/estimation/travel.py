"""Platforms on their way to another process: their files, pressed together."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from annette.estimation.platform import Platform

__all__ = ["pack", "unpack"]

_ARRIVED: dict[str, Platform] = {}
_MOST_ARRIVED = 4
_WHERE = Path("platform of another process")
_FASTEST = 1


def pack(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """The files of a platform as one piece, and a hash to know it by: what `unpack` takes."""
    names = sorted(files)
    head = json.dumps([manifest, [[name, len(files[name])] for name in names]]).encode()
    content = zlib.compress(b"\n".join((head, b"".join(files[name] for name in names))), _FASTEST)
    return hashlib.sha256(content).hexdigest(), content


def unpack(digest: str, content: bytes) -> Platform:
    """The platform of these files: one object, however often it arrives.

    So a process that is given one task after another remembers kernels from task to task.
    """
    found = _ARRIVED.get(digest)
    if found is None:
        from annette.estimation.platform import Platform

        head, rest = zlib.decompress(content).split(b"\n", 1)
        manifest, sizes = json.loads(head)
        files, start = {}, 0
        for name, size in sizes:
            files[name] = rest[start : start + size]
            start += size
        while len(_ARRIVED) >= _MOST_ARRIVED:
            _ARRIVED.pop(next(iter(_ARRIVED)))
        found = _ARRIVED[digest] = Platform.from_files(manifest, files, _WHERE)
    return found
