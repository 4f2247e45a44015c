"""What docs/reports.md shows runs: its commands in order, fed with what they print, and its Python."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from annette.cli.main import exit_code

sys.path.insert(0, str(Path(__file__).parent))
from pages import DOCS, ROOT, blocks, commands, execute, read_page, substituted

PAGE = read_page("reports.md")
SMALLER = {
    "zoo:resnet50": "zoo:lenet5",
    "classic12": "nasbench201-2",
    "quick": str(ROOT / "tests" / "data" / "plans" / "tiny.yaml"),
}


def test_the_commands_run_and_write_what_they_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in commands(PAGE):
        command, _, target = line.partition(" > ")
        assert exit_code(substituted(command, SMALLER)) == 0, capsys.readouterr().err
        printed = capsys.readouterr().out
        assert printed.strip()
        if target:
            Path(target).write_text(printed, encoding="utf-8")
        for name in re.findall(r"\S+\.html", command):
            assert Path(name).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks(PAGE, "python")
    execute(block.text, "reports.md")
    assert int(capsys.readouterr().out.split()[-1]) > 10_000


def test_the_figures_of_the_page_are_the_studies() -> None:
    found, near = (
        json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("report_speed", "what_if_accuracy")
    )
    mean, worst, kernel = (100 * near[f"{name}_error"] for name in ("mean", "worst", "worst_kernel"))
    assert f"off by {mean:.1f} % on the mean and by {worst:.1f} % at worst" in PAGE
    assert f"that of a single kernel by {kernel:.0f} % at worst" in PAGE
    assert f"{found['kernels']:,} kernels gives a file of {found['page_bytes'] / 1e6:.1f} MB" in PAGE
    assert found["met"]
    assert found["open_s"] < 0.8
    assert found["frame_median_s"] < 1 / 58


def test_the_pictures_are_there_and_small() -> None:
    for name in re.findall(r"\(assets/(\S+\.png)\)", PAGE):
        assert (DOCS / "assets" / name).stat().st_size < 150_000
