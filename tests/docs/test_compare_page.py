"""What docs/compare.md shows runs: its commands in order, with smaller networks, and its Python."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from annette.cli.main import exit_code

sys.path.insert(0, str(Path(__file__).parent))
from pages import blocks, commands, execute, read_page, substituted

NAME = "compare.md"
PAGE = read_page(NAME)
SMALLER = {
    "zoo:mobilenet_v3_large": "zoo:lenet5",
    "zoo:resnet18": "zoo:lenet5",
    "zoo:squeezenet1_1": "zoo:lenet5",
    "./mine": "zcu102-dpu",  # training takes long, and the tutorial's test does it
    "quick": "twenty.yaml",
}
PLAN = """
schema_version: 1
name: twenty
description: As many benchmarks as drift is looked for in
seed: 1
limits: {macs: 1.0e+8, activation_elements: 1.0e+6, weight_elements: 1.0e+6}
micro_kernels: {conv: 20}
"""
SHOWN = {"compare": "B takes ", "diagnose": "what to do"}


def test_the_commands_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("twenty.yaml").write_text(PLAN, encoding="utf-8")
    seen = set()
    for line in commands(PAGE):
        command, _, file = line.partition(" > ")
        words = substituted(command, SMALLER)
        if words[0] == "train":
            continue
        assert exit_code(words) == 0, f"{line}\n{capsys.readouterr().err}"
        printed = capsys.readouterr().out
        assert SHOWN.get(words[0], "") in printed
        seen.add(words[0])
        if file:
            Path(file).write_text(printed, encoding="utf-8")
        if "--store" in words and words[0] == "diagnose":
            assert "benchmarks of the campaign, timed again, take" in printed
    assert seen == {"compare", "measure", "estimate", "diagnose", "benchmark"}


def test_the_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = blocks(PAGE, "python")
    assert execute(first.text, NAME)["found"].count("only_b") == 16
    assert "16 kernels only in resnet34" in capsys.readouterr().out
    found = execute(second.text, NAME)["found"]
    assert sum(part.error_s for part in found.parts) == pytest.approx(found.error_s)
