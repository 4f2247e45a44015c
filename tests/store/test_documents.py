"""Files of strangers: told by how they begin, and no larger than memory bears, whoever reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from annette.cli.main import exit_code
from annette.errors import UsageError
from annette.store.documents import MAX_DOCUMENT_BYTES, file_kind, read_document


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"SQLite format 3\x00" + bytes(100), "campaign"),
        (b"PAR1" + bytes(100), "campaign"),
        (b'\n\t {"a": 1}', "json"),
        (b"[1]", "other"),
        (b"\x08\x07\x12\x04", "other"),
        (b" " * 64 + b"{}", "other"),
        (b"", "other"),
    ],
)
def test_a_file_is_told_by_how_it_begins(content: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert file_kind(tmp_path / "file") == kind


def test_a_document_may_be_of_the_largest_size_and_of_no_byte_more(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": "' + b"x" * (MAX_DOCUMENT_BYTES - 9) + b'"}')
    assert path.stat().st_size == MAX_DOCUMENT_BYTES
    assert read_document(path, "anything").keys() == {"a"}
    with path.open("ab") as file:
        file.write(b" ")
    with pytest.raises(UsageError, match=r"a\.json: 32000001 bytes, expected a JSON document of at most"):
        read_document(path, "anything")


@pytest.mark.parametrize("words", [["report", "a.json"], ["compare", "a.json", "a.json"]])
def test_commands_refuse_documents_that_would_take_gigabytes(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Path("a.json").open("wb") as file:
        file.write(b"{")
        file.truncate(96_000_000)  # of {} it took 2.4 GB
    assert exit_code(words) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "a.json: 96000000 bytes, expected a JSON document of at most 32000000" in error
