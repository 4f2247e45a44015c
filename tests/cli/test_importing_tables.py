"""``annette import``: a table of others becomes a store that trains; what is wrong is told in one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from annette.cli.main import exit_code

sys.path.insert(0, str(Path(__file__).parents[1] / "tables"))
import made_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("import")
    rows = made_table.rows()
    made_table.write_networks(path, rows)
    rows[3] = (rows[3][0], "magic", *rows[3][2:])
    made_table.write(path, rows)
    made_table.write_schema(path)
    return path


def run(folder: Path, *words: str) -> int:
    return exit_code(["import", str(folder / "kernels.csv"), "-c", str(folder / "schema.yaml"), *words])


def test_the_report_says_what_was_read_and_what_was_not(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    networks = ("--networks", str(folder / "networks.csv"))
    assert run(folder, "--store", str(tmp_path / "made.db"), *networks) == 0
    text = capsys.readouterr().out
    for part in ("111 kernels of 112 rows", "winograd", "7 networks with end-to-end times", "row 4, type"):
        assert part in text
    assert "'magic'" in text


def test_the_document_holds_every_problem(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "--store", str(tmp_path / "made.db"), "--format", "json", "--device", "made") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["device"] == "made"
    assert document["timed_kernels"] == 111
    assert [item["row"] for item in document["problems"]] == [4]


def test_what_is_imported_trains_shows_and_estimates(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, platform = str(tmp_path / "made.db"), str(tmp_path / "platform")
    assert run(folder, "--store", store, "--networks", str(folder / "networks.csv")) == 0
    assert exit_code(["train", store, "--output", platform, "--name", "made"]) == 0
    assert exit_code(["show", platform]) == 0
    assert "learned from 7 networks" in capsys.readouterr().out
    assert exit_code(["estimate", "zoo:squeezenet1_1", "--platform", platform]) == 0
    assert "beyond the kernels: " in capsys.readouterr().out


def test_what_was_left_out_evaluates_the_platform(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, platform = str(tmp_path / "made.db"), str(tmp_path / "platform")
    networks = ("--networks", str(folder / "networks.csv"))
    words = ("--device", "made", *networks)
    kept = ("--leave-out", "net5", "--leave-out", "net6", "--leave-out", "3", "--seed", "3")
    assert run(folder, "--store", store, *kept, *words, "--format", "json") == 0
    gone = set(json.loads(capsys.readouterr().out)["left_out_networks"])
    assert {"net5", "net6"} < gone
    assert exit_code(["train", store, "--output", platform, "--name", "made"]) == 0
    capsys.readouterr()
    table = ["--kernel-table", str(folder / "kernels.csv"), "--columns", str(folder / "schema.yaml"), *words]
    assert exit_code(["evaluate", "--platform", platform, *table, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    names = {item["name"] for item in document["networks"]}
    assert names == gone - {"net0"}  # of which a row could not be read
    assert document["models"]["mixed"]["mape"] < 0.2
    assert exit_code(["evaluate", "--platform", platform, *table]) == 0
    trained = f"({8 - len(gone)} more, trained on, left out)"
    assert f"{len(gone)} networks of the table {trained}" in capsys.readouterr().out
    for wrong, expected in (
        (["--columns", "tflite-gpu"], "belong to --kernel-table"),
        (table[:2], "what do its columns hold"),
        ([*table, "--suite", "classic12"], "expected one of"),
        ([*table, "--seed", "1"], "say nothing of --kernel-table"),
    ):
        code = exit_code(["evaluate", "--platform", platform, *wrong])
        message = capsys.readouterr().err
        assert code == 2
        assert expected in message.replace("\n", " ")


def test_a_store_is_not_written_over(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made.db").write_text("mine")
    assert run(folder, "--store", str(tmp_path / "made.db")) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "made.db").read_text() == "mine"


def test_a_table_without_a_row_that_fits_leaves_no_store(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made_table.write(tmp_path, [("a", "magic", *made_table.rows()[3][2:])])
    words = ["import", str(path), "-c", str(folder / "schema.yaml"), "-s", str(tmp_path / "made.db")]
    assert exit_code(words) == 2
    assert "none of 1 rows" in capsys.readouterr().err
    assert not (tmp_path / "made.db").exists()
