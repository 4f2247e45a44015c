"""``annette explore sweep`` as a user meets it: the front, a document, files, one line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annette.cli.explore_sweep import default_jobs
from annette.cli.main import exit_code
from annette.explore import sweep as sweep_module
from annette.graph.builder import NetworkBuilder
from annette.graph.onnx_writer import write_onnx

WORDS = ("-d", "systolic-8x8-ws", "-n", "zoo:lenet5", "--vary", "array.systolic.rows=4..32*2")


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = exit_code(["explore", "sweep", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_sweep_prints_the_front_and_what_it_dominates(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(
        capsys, *WORDS, "--vary", "clock_hz=-1,1e9,2e9", "--top", "2", "--set", "array.launch_s=0"
    )
    assert (code, err) == (0, "")
    assert "lenet5 on 8 points of systolic-8x8-ws" in out
    assert "objectives: latency, area, clock_hz\n" in out
    assert "the Pareto front has" in out
    assert "the first 2 are shown" in out
    assert "4 points cannot be, the first at array.systolic.rows=4, clock_hz=-1" in out


def test_sweep_gives_a_document_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot, table = tmp_path / "s.svg", tmp_path / "s.csv"
    code, out, err = _run(capsys, *WORDS, "--format", "json", "--plot", str(plot), "--csv", str(table))
    assert (code, err.splitlines()) == (0, [f"note: wrote {table}", f"note: wrote {plot}"])
    document = json.loads(out)
    assert document["schema_version"] == 1
    assert len(document["points"]) == 4
    assert table.read_text(encoding="utf-8").count("\n") == 5
    assert plot.stat().st_size > 1000


@pytest.mark.parametrize("values", ["array.systolic.rows=-1,0", "clock_hz=none"])
def test_a_sweep_without_any_point_fails_with_the_reason(
    values: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*WORDS[:4], "--vary", values)
    code, out, err = _run(capsys, *words)
    assert (code, out) == (1, "")
    assert "cannot be, the first at" in err
    assert err.count("\n") == 1
    code, out, _ = _run(capsys, *words, "--format", "json")
    assert code == 1
    assert json.loads(out)["failures"]


def test_points_of_a_network_without_kernels_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = NetworkBuilder("empty")
    write_onnx(build.finish(build.flatten(build.input("x", (1, 4, 4, 4)))), tmp_path / "empty.onnx")
    words = ("-d", "systolic-8x8-ws", "-n", str(tmp_path / "empty.onnx"), "--vary", "clock_hz=1e9,2e9")
    code, out, _ = _run(capsys, *words)
    assert code == 0
    assert "the Pareto front has 0 points and dominates 0" in out
    assert "not compared: 2 points without a value of latency" in out


def test_an_interrupted_sweep_prints_what_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = sweep_module._answers

    def interrupted(*arguments: object) -> object:
        yield next(answers(*arguments))  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep_module, "_answers", interrupted)
    code, out, err = _run(capsys, *WORDS)
    assert code == 130
    assert "on 1 point of" in out
    assert "1 of 4 points were done" in err
    assert "what was done until then is printed" in err


def test_an_interrupt_before_the_first_point_says_that_nothing_was_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep_module, "_answers", interrupted)
    code, out, err = _run(capsys, *WORDS, "--csv", str(tmp_path / "s.csv"))
    assert (code, out, list(tmp_path.iterdir())) == (130, "", [])
    assert err == "error: interrupted; nothing was done yet\n"


@pytest.mark.parametrize("option", ["--csv", "--plot"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep_module, "run_sweep", lambda *_, **__: pytest.fail("worked"))
    (tmp_path / "folder.png").mkdir()
    for path, message in (("none/s.png", "no folder"), ("folder.png", "found a folder")):
        code, out, err = _run(capsys, *WORDS, option, str(tmp_path / path))
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"{option} {tmp_path / path}: {message}" in err


@pytest.mark.parametrize("option", ["--csv", "--plot"])
def test_a_write_that_fails_comes_after_the_table_and_names_the_file(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "full.png"
    path.symlink_to("/dev/full")
    code, out, err = _run(capsys, *WORDS, option, str(path))
    assert code == 1
    assert "the Pareto front has" in out
    assert err == f"error: {option} {path}: cannot be written: No space left on device\n"


def test_only_large_grids_start_processes() -> None:
    assert default_jobs([2, 3]) == 1
    assert default_jobs([100, 100]) >= 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*WORDS, "--vary", "array.systolic.cols=4"), "did you mean array.systolic.columns"),
        ((*WORDS, "--objective", "speed"), "or one of latency, energy, edp"),
        ((*WORDS, "--plot", "front.doc"), "expected a name that ends in .png"),
        ((*WORDS[:4], "--vary", "clock_hz"), "expected PATH=v1,v2"),
        ((*WORDS[:4], "--vary", "clock_hz=1e9,inf", "-f", "json"), "--vary clock_hz=1e9,inf: found inf"),
        ((*WORDS, "--set", "clock_hz=-1"), "--set clock_hz=-1: "),
        ((*WORDS, "--set", "array.systolic.rows=8"), "--set array.systolic.rows: --vary varies it as well"),
        ((*WORDS, "--set", "clock_hz=1e9", "--set", "clock_hz=2e9"), "clock_hz is set twice"),
        (("-d", "onnxruntime", *WORDS[2:]), "expected a preset"),
    ],
)
def test_mistakes_get_one_clear_line(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
