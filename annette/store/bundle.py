"""Platform folders on disk: a manifest with checksums and a fixed set of files, written whole or not at all.

Reading trusts nothing: names come from the manifest but must be plain (no path parts), sizes are bounded,
every file must be a regular one with the length and SHA-256 that the manifest says, and nothing is executed.
The bytes depend on the contents alone: no clock, no machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from annette.errors import StoreError
from annette.store.strict_json import parse_strict_json, shorten

__all__ = [
    "BUNDLE_SCHEMA_VERSION",
    "MANIFEST_NAME",
    "Bundle",
    "read_bundle",
    "require_replaceable",
    "write_bundle",
]

BUNDLE_SCHEMA_VERSION = 1
"""Raised when the meaning of a manifest changes."""
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 4 << 20
MAX_FILE_BYTES = 64 << 20
MAX_TOTAL_BYTES = 256 << 20
MAX_FILES = 512

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}(\.[A-Za-z0-9][A-Za-z0-9_-]{0,80}){0,3}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a platform folder holds."""

    manifest: Mapping[str, Any]
    """The manifest without its list of files."""
    files: Mapping[str, bytes]
    """Contents by name; verified."""


def write_bundle(path: str | Path, manifest: Mapping[str, object], files: Mapping[str, bytes]) -> None:
    """Write a folder that `read_bundle` reads; a bundle that is there already is replaced.

    The folder is made beside its final place and renamed, so that a reader never meets half of one.

    Raises
    ------
    StoreError
        For a name or size outside the limits, a manifest that JSON cannot hold, a path that is taken by
        something else, or a folder that cannot be written.
    """
    path = Path(path)
    listing: dict[str, dict[str, object]] = {}
    for name, data in sorted(files.items()):
        _require_name(path, name)
        listing[name] = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    _require_sizes(path, {name: len(data) for name, data in files.items()})
    content = {**manifest, "schema_version": BUNDLE_SCHEMA_VERSION, "files": listing}
    try:
        text = json.dumps(content, sort_keys=True, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as err:
        raise StoreError(f"{path}: the manifest cannot be written as JSON: {err}") from err
    require_replaceable(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        try:
            for name, data in {**files, MANIFEST_NAME: text.encode()}.items():
                _write_file(draft / name, data)
            draft.chmod(0o755)
            _replace(draft, path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as err:
        raise StoreError(f"{path}: cannot be written: {err.strerror or err}; choose another folder") from err


def _write_file(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def require_replaceable(path: Path) -> None:
    """Refuse a path that `write_bundle` would refuse, before the work that leads there.

    Raises
    ------
    StoreError
        If the path is taken by something that is no bundle, or nothing can be written beside it.
    """
    if os.path.lexists(path) and not _is_replaceable(path):
        raise StoreError(
            f"{path}: exists and is not a platform folder, expected a new name; remove or rename it"
        )
    beside = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not (beside.is_dir() and os.access(beside, os.W_OK | os.X_OK)):
        raise StoreError(
            f"{path}: cannot be written, {beside} is no folder to write in; choose another folder"
        )


def _is_replaceable(path: Path) -> bool:
    """Whether the path is a folder that is empty or holds a bundle."""
    if path.is_symlink() or not path.is_dir():
        return False
    names = {item.name for item in path.iterdir()}
    return not names or MANIFEST_NAME in names


def _replace(draft: Path, path: Path) -> None:
    if not path.exists():
        draft.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    try:
        path.rename(old / "bundle")
        try:
            draft.rename(path)
        except OSError:
            (old / "bundle").rename(path)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def read_bundle(path: str | Path) -> Bundle:
    """The manifest and the files of a platform folder, all verified.

    Raises
    ------
    StoreError
        If it is missing, damaged, of another schema version, or not what a bundle may be.
    """
    path = Path(path)
    if not path.is_dir():
        raise StoreError(f"{path}: no such platform folder, expected one holding {MANIFEST_NAME}")
    manifest = _read_manifest(path)
    listing = manifest.pop("files", None)
    if not isinstance(listing, dict):
        _damaged(path / MANIFEST_NAME, f"'files' is {type(listing).__name__}, expected an object")
    sizes: dict[str, int] = {}
    for name, entry in listing.items():
        _require_name(path / MANIFEST_NAME, name)
        size = entry.get("size_bytes") if isinstance(entry, dict) else None
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            _damaged(path / MANIFEST_NAME, f"size of {name!r} is {shorten(repr(size))}, expected bytes")
        sizes[name] = size
    _require_sizes(path / MANIFEST_NAME, sizes)
    files = {}
    for name, size in sizes.items():
        data = _read_file(path / name, size)
        digest = hashlib.sha256(data).hexdigest()
        expected = listing[name].get("sha256")
        if not isinstance(expected, str) or not _DIGEST.fullmatch(expected) or digest != expected:
            _damaged(path / name, f"SHA-256 is {digest[:12]}..., expected {shorten(expected, 12)}")
        files[name] = data
    return Bundle(manifest=MappingProxyType(manifest), files=MappingProxyType(files))


def _read_manifest(path: Path) -> dict[str, Any]:
    where = path / MANIFEST_NAME
    data = _read_file(where, None)
    try:
        manifest = parse_strict_json(data)
    except ValueError as err:
        _damaged(where, str(err), err)
    if not isinstance(manifest, dict):
        _damaged(where, f"holds {type(manifest).__name__}, expected an object")
    version = manifest.pop("schema_version", None)
    if version != BUNDLE_SCHEMA_VERSION or isinstance(version, bool):
        raise StoreError(
            f"{where}: schema_version {shorten(repr(version))}, expected {BUNDLE_SCHEMA_VERSION}; train the "
            "platform again with this version of annette, or use the version that wrote it"
        )
    return manifest


def _read_file(path: Path, size: int | None) -> bytes:
    """The bytes of a regular file of that size, or of at most `MAX_MANIFEST_BYTES` where it is not known."""
    limit = MAX_MANIFEST_BYTES if size is None else size
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            _damaged(path, "not a regular file (links are not followed)")
        if status.st_size > limit or (size is not None and status.st_size != size):
            _damaged(path, f"{status.st_size} bytes, expected {'at most ' if size is None else ''}{limit}")
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError as err:
        raise StoreError(
            f"{path}: missing, expected in every such platform folder; restore or train it"
        ) from err
    except OSError as err:
        if isinstance(err, StoreError):
            raise
        raise StoreError(f"{path}: cannot be read: {err.strerror or err}") from err
    if len(data) > limit or (size is not None and len(data) != size):
        _damaged(path, f"changed while it was read, expected {limit} bytes")
    return data


def _require_name(where: Path, name: object) -> None:
    if not isinstance(name, str) or name == MANIFEST_NAME or not _NAME.fullmatch(name):
        raise StoreError(
            f"{where}: file name {str(name)[:80]!r}, expected letters, digits, _ - and inner dots"
        )


def _require_sizes(where: Path, sizes: Mapping[str, int]) -> None:
    if len(sizes) > MAX_FILES:
        raise StoreError(f"{where}: {len(sizes)} files, expected at most {MAX_FILES}")
    for name, size in sizes.items():
        if size > MAX_FILE_BYTES:
            raise StoreError(f"{where}: {name} has {size} bytes, expected at most {MAX_FILE_BYTES}")
    if sum(sizes.values()) > MAX_TOTAL_BYTES:
        raise StoreError(f"{where}: {sum(sizes.values())} bytes in all, expected at most {MAX_TOTAL_BYTES}")


def _damaged(where: Path, found: str, cause: BaseException | None = None) -> NoReturn:
    raise StoreError(f"{where}: damaged: {found}; restore a copy or train the platform again") from cause
