"""``annette explore tradeoff`` as a user meets it: tables, a document, files that stand alone, mistakes."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from annette.cli.main import exit_code
from annette.graph.builder import NetworkBuilder
from annette.graph.onnx_writer import write_onnx
from annette.hardware.codec import load_accelerator
from annette.simulator.run import simulate
from annette.zoo.registry import zoo_network

WORDS = (
    "-n", "zoo:squeezenet1_1", "-n", "zoo:mobilenet_v2,width=0.5",
    "-d", "nvdla-small", "-d", "systolic-16x16-os",
)  # fmt: skip
SMALL = ("--macs", "64", "--buffer-kib", "64", "--jobs", "1")


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = exit_code(["explore", "tradeoff", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_tables_say_what_is_best(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(capsys, *WORDS, *SMALL)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("2 networks")
    assert out.count("Pareto front of accuracy against") == 3
    assert "the best of 12 systolic arrays of 64 cells" in out
    assert re.search(r"best for all +8x8", out)


def test_the_document_holds_what_the_simulator_says(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(capsys, *WORDS, "--no-arrays", "--jobs", "1", "--format", "json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["schema_version"] == 1
    assert "arrays" not in document
    assert (document["networks"], document["networks_with_accuracy"]) == (2, 1)
    front = document["fronts"]["energy"]  # only the network with its published sizes has an accuracy
    assert {item["network"] for item in front} == {"squeezenet1_1"}
    run = simulate(zoo_network("squeezenet1_1"), load_accelerator(front[0]["device"]))
    assert (front[0]["latency_s"], front[0]["energy_j"]) == (run.latency_s, run.energy_j)
    areas = {item["device"]: item["area_mm2"] for item in document["accelerators"]}
    assert areas == {name: load_accelerator(name).area_mm2 for name in ("nvdla-small", "systolic-16x16-os")}


def test_files_are_whole_and_need_nothing_from_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "study"
    code, _, err = _run(capsys, *WORDS, *SMALL, "--out", str(folder))
    assert code == 0
    assert "tradeoff.html" in err
    with (folder / "tradeoff.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    for row in rows:
        parts = sum(float(row[name]) for name in row if name.endswith("_j") and name != "energy_j")
        assert parts == pytest.approx(float(row["energy_j"]))
        assert float(row["edp_js"]) == pytest.approx(float(row["energy_j"]) * float(row["latency_s"]))
    assert {row["top1_fraction"] for row in rows if "mobilenet" in row["network"]} == {""}
    assert any(row["front_edp"] == "1" for row in rows)
    with (folder / "arrays.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 2 * 12
    page = (folder / "tradeoff.html").read_text(encoding="utf-8")
    assert "squeezenet1_1" in page
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=\"?(https?:)?//", page)
    assert (folder / "tradeoff.png").read_bytes().startswith(b"\x89PNG")


def test_accuracies_are_optional(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-n", "zoo:tc_resnet8", "-d", "ultratrail", "--no-arrays", "--jobs", "1", "--out", str(tmp_path))
    code, out, _ = _run(capsys, *words)
    assert code == 0
    assert "Pareto front of accuracy" not in out
    assert (tmp_path / "tradeoff.png").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-d", "zcu102-dpu", "-n", "zoo:lenet5"), "no table of energies"),
        (("-d", "onnxruntime", "-n", "zoo:lenet5"), "expected a preset"),
        (("-d", "nvdla-small", "-n", "zoo:lenet6"), "lenet5"),
        (("-d", "nvdla-small", "--suite", "classic13"), "did you mean 'classic12'"),
        (("-d", "nvdla-small", "-n", "zoo:lenet5", "--macs", "100"), "power of two"),
        (("-d", "nvdla-small", "-n", "zoo:lenet5", "--no-arrays", "--macs", "64"), "--macs with --no-arrays"),
        (("-n", "zoo:lenet5", "--no-arrays", "--buffer-kib", "64"), "--buffer-kib with --no-arrays"),
        (("-d", "nvdla-small", "-d", "nvdla-small", "-n", "zoo:lenet5"), "two accelerators named"),
    ],
)
def test_mistakes_get_one_clear_line(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, *words, "--jobs", "1")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_networks_that_run_nowhere_fail_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = NetworkBuilder("empty")
    write_onnx(build.finish(build.flatten(build.input("x", (1, 4, 4, 4)))), tmp_path / "empty.onnx")
    words = ("-d", "nvdla-small", "-n", str(tmp_path / "empty.onnx"), "--jobs", "1")
    for output in ("table", "json"):
        code, out, err = _run(capsys, *words, "--format", output)
        assert (code, out) == (1, "")
        assert "1 pair could not be run, the first" in err
        assert "no kernels" in err
        assert err.count("\n") == 1


def test_a_folder_that_cannot_be_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    words = ("-d", "nvdla-small", "-n", "zoo:lenet5", "--no-arrays", "--jobs", "1")
    code, _, err = _run(capsys, *words, "--out", str(tmp_path / "file"))
    assert code == 2
    assert "--out" in err


def test_help_says_what_an_interrupt_costs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "--help")
    assert code == 0
    assert "an interrupted study is lost" in " ".join(out.split())
