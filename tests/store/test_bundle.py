"""Platform folders: what is written is read, whole and unchanged, and every fault has its message."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import StoreError
from annette.store import bundle
from annette.store.bundle import BUNDLE_SCHEMA_VERSION, MANIFEST_NAME, read_bundle, write_bundle

FILES = {"mapping.json": b"{}", "mixed.conv-host.ubj": bytes(range(256)), "empty.bin": b""}
MANIFEST = {"name": "here", "metrics": {"mape": 0.25}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "platform"
    write_bundle(path, MANIFEST, FILES)
    return path


def _edit(folder: Path, change: Callable[[dict[str, object]], None]) -> None:
    path = folder / MANIFEST_NAME
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_what_is_written_is_read(folder: Path) -> None:
    read = read_bundle(folder)
    assert dict(read.manifest) == MANIFEST
    assert dict(read.files) == FILES


@settings(max_examples=20, deadline=None)
@given(
    files=st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_-]{0,10}\.[a-z]{2,4}", fullmatch=True), st.binary(), max_size=5
    )
)
def test_any_files_survive(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    path = tmp_path_factory.mktemp("bundle") / "platform"
    write_bundle(path, {}, files)
    assert dict(read_bundle(path).files) == files


def test_the_same_contents_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    write_bundle(first, MANIFEST, FILES)
    write_bundle(second, dict(reversed(MANIFEST.items())), dict(reversed(FILES.items())))
    names = sorted(item.name for item in first.iterdir())
    assert names == sorted(item.name for item in second.iterdir())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_a_platform_is_replaced_without_a_trace_of_the_old_one(folder: Path) -> None:
    write_bundle(folder, {"name": "new"}, {"one.json": b"1"})
    assert sorted(item.name for item in folder.iterdir()) == [MANIFEST_NAME, "one.json"]
    assert [item.name for item in folder.parent.iterdir()] == [folder.name]


def test_a_failed_write_leaves_the_old_platform(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "_write_file", full_disk)
    with pytest.raises(StoreError, match="No space left"):
        write_bundle(folder, {"name": "new"}, {"one.json": b"1"})
    assert dict(read_bundle(folder).files) == FILES
    assert [item.name for item in folder.parent.iterdir()] == [folder.name]


def test_folders_of_others_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="not a platform folder"):
        write_bundle(tmp_path, {}, {})
    with pytest.raises(StoreError, match="not a platform folder"):
        write_bundle(tmp_path / "notes.txt", {}, {})


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "a/b.json",
        "/etc/passwd",
        "",
        ".hidden",
        "a..b",
        MANIFEST_NAME,
        "x" * 200,
        "a\n.json",
        "c:\\x",
    ],
)
def test_names_with_path_parts_are_refused_on_both_ways(folder: Path, name: str) -> None:
    with pytest.raises(StoreError, match="file name"):
        write_bundle(folder.parent / "other", {}, {name: b""})

    def smuggle(manifest: dict[str, object]) -> None:
        manifest["files"][name] = {"sha256": "0" * 64, "size_bytes": 0}  # type: ignore[index]

    _edit(folder, smuggle)
    with pytest.raises(StoreError, match="file name"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not readable as JSON"),
        (b'{"schema_version": 1, "files"', "not readable as JSON"),
        (b"\xff\xfe", "not readable as JSON"),
        (b'{"schema_version": 1, "files": {}, "x": NaN}', "not readable as JSON"),
        (b"[" * 100_000, "not readable as JSON"),
        (b"[]", "expected an object"),
        (b"{}", "schema_version None"),
        (b'{"schema_version": true, "files": {}}', "schema_version True"),
        (b'{"schema_version": 1}', "'files' is NoneType"),
        (b'{"schema_version": 1, "files": {"a.json": 3}}', "size of 'a.json'"),
        (b'{"schema_version": 1, "files": {"a.json": {"size_bytes": -1}}}', "size of 'a.json'"),
        (b'{"schema_version": 1, "files": {"a.json": {"size_bytes": 99999999999}}}', "expected at most"),
    ],
)
def test_bad_manifests_are_named(folder: Path, text: bytes, message: str) -> None:
    (folder / MANIFEST_NAME).write_bytes(text)
    with pytest.raises(StoreError, match=message):
        read_bundle(folder)


def test_another_schema_version_says_what_to_do(folder: Path) -> None:
    _edit(folder, lambda manifest: manifest.update(schema_version=BUNDLE_SCHEMA_VERSION + 1))
    with pytest.raises(StoreError, match=r"schema_version 2, expected 1; train the platform"):
        read_bundle(folder)


def test_a_changed_byte_is_found(folder: Path) -> None:
    data = bytearray(FILES["mixed.conv-host.ubj"])
    data[7] ^= 1
    (folder / "mixed.conv-host.ubj").write_bytes(bytes(data))
    with pytest.raises(StoreError, match=r"mixed\.conv-host\.ubj: damaged: SHA-256"):
        read_bundle(folder)


@pytest.mark.parametrize("data", [b"{", b"{} "])
def test_a_changed_length_is_found(folder: Path, data: bytes) -> None:
    (folder / "mapping.json").write_bytes(data)
    with pytest.raises(StoreError, match=r"mapping\.json: damaged: \d bytes, expected 2"):
        read_bundle(folder)


def test_missing_files_are_named(folder: Path) -> None:
    (folder / "mapping.json").unlink()
    with pytest.raises(StoreError, match=r"mapping\.json: missing"):
        read_bundle(folder)
    with pytest.raises(StoreError, match="no such platform folder"):
        read_bundle(folder / "nowhere")
    (folder / MANIFEST_NAME).unlink()
    with pytest.raises(StoreError, match=r"manifest\.json: missing"):
        read_bundle(folder)


def test_links_are_not_followed(folder: Path) -> None:
    secret = folder.parent / "secret"
    secret.write_bytes(b"{}")
    (folder / "mapping.json").unlink()
    (folder / "mapping.json").symlink_to(secret)
    with pytest.raises(StoreError, match="not a regular file"):
        read_bundle(folder)


def test_a_pipe_does_not_hang_the_reader(folder: Path) -> None:
    (folder / "empty.bin").unlink()
    os.mkfifo(folder / "empty.bin")
    with pytest.raises(StoreError, match="not a regular file"):
        read_bundle(folder)


def test_too_many_files_are_refused(folder: Path) -> None:
    files = {f"f{number}.json": b"" for number in range(bundle.MAX_FILES + 1)}
    with pytest.raises(StoreError, match="files, expected at most"):
        write_bundle(folder, {}, files)


def test_values_that_json_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written as JSON"):
        write_bundle(tmp_path / "x", {"mape": float("nan")}, {})
