"""Completion in shells: every kind of name, files beside them, and bash's way with colons."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from annette.cli import completion


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("complete", "word", "expected"),
    [
        (completion.complete_network, "zoo:resnet1", ["zoo:resnet18", "zoo:resnet101"]),
        (completion.complete_network, "", ["zoo:", "mine/", "model.onnx"]),
        (completion.complete_network, "mo", ["model.onnx"]),
        (completion.complete_network, "nowhere/mo", []),
        (completion.complete_platform, "zcu", ["zcu102-dpu"]),
        (completion.complete_platform, "m", ["mine/"]),
        (completion.complete_device, "gemm", ["gemmini-16x16"]),
        (completion.complete_device, "simulator:gemm", ["simulator:gemmini-16x16"]),
        (completion.complete_device, "onnx", ["onnxruntime"]),
        (completion.complete_model, "r", ["roofline", "refined_roofline"]),
        (completion.complete_plan, "cpu", ["cpu", "cpu-quick"]),
        (completion.complete_suite, "classic", ["classic12"]),
        (completion.complete_target, "zcu", ["zcu102-dpu"]),
    ],
)
def test_a_word_becomes_what_it_may_become(
    complete: Callable[[str], list[str]], word: str, expected: list[str]
) -> None:
    assert complete(word) == expected


def test_what_bash_tears_at_colons_is_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {
        "_ANNETTE_COMPLETE": "complete_bash",
        "COMP_WORDS": "annette\nshow\nsimulator\n:\n",
        "COMP_CWORD": "3",
    }
    completion.join_bash_words(asked)
    assert (asked["COMP_WORDS"], asked["COMP_CWORD"]) == ("annette\nshow\n", "2")
    monkeypatch.setenv("_ANNETTE_COMPLETE_PREFIX", asked["_ANNETTE_COMPLETE_PREFIX"])
    assert "zcu102-dpu" in completion.complete_device("")
    assert not [name for name in completion.complete_device("") if name.startswith("simulator")]


@pytest.mark.parametrize(
    ("words", "at", "expected"),
    [
        ("annette\nestimate\nzoo\n:\nresnet5", 4, ["resnet50"]),
        ("annette\nestimate\nx\n--platform\nnc", 4, ["ncs2"]),
        ("annette\nevaluate\n--platform\nncs2\n--suite\nmod", 5, ["modern12"]),
        ("annette\nche", 1, ["check"]),
    ],
)
def test_bash_gets_its_answer_from_the_command_itself(words: str, at: int, expected: list[str]) -> None:
    asked = {"_ANNETTE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    answer = subprocess.run(
        [sys.executable, "-c", "import annette.cli.entry as entry; entry.run()"],
        env={**os.environ, **asked}, capture_output=True, text=True,
    )  # fmt: skip
    assert answer.stdout.split() == expected, answer.stderr
