"""Every command and every Python block that the README shows is run here."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


TINY_PLAN = ROOT / "tests" / "data" / "plans" / "tiny-cpu.yaml"
# A campaign on a processor takes twenty minutes: the test runs it with a small plan and fewer visits.
SHORTER = {"cpu": str(TINY_PLAN), "onnxruntime": "onnxruntime:visits=2"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    lines = (line for block in blocks("console") for line in block.splitlines())
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one's own with the ONNX file that the README speaks of."""
    from annette.graph.onnx_writer import write_onnx
    from annette.zoo.registry import zoo_network

    folder = tmp_path_factory.mktemp("readme")
    write_onnx(zoo_network("squeezenet1_1"), folder / "model.onnx")
    return folder


def test_annette_commands_of_the_readme_run(workplace: Path) -> None:
    shown = [shlex.split(line, comments=True) for line in commands() if line.startswith("annette ")]
    assert len(shown) >= 8
    for words in shown:
        words = [SHORTER.get(word, word) for word in words]
        answer = subprocess.run(
            [sys.executable, "-m", "annette", *words[1:]], cwd=workplace, capture_output=True, text=True
        )
        assert answer.returncode == 0, f"{shlex.join(words)}\n{answer.stderr}"
        assert answer.stdout.strip(), shlex.join(words)


def test_make_targets_of_the_readme_exist() -> None:
    targets = {line.split()[1] for line in commands() if line.startswith("make ")}
    assert {"demo", "test"} <= targets
    for target in targets:
        answer = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr


def test_python_blocks_of_the_readme_run(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    shown = blocks("python")
    assert shown
    for text in shown:
        if ">>>" in text:
            test = doctest.DocTestParser().get_doctest(text, {}, "README", None, 0)
            failures = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed
            assert not failures
        else:
            exec(compile(text, "README.md", "exec"), {})


def test_every_other_command_of_the_readme_is_known_to_this_test() -> None:
    known = ("annette ", "make ", "git clone ", "cd ", "pip install .", 'pip install -e ".[')
    assert [line for line in commands() if not line.startswith(known)] == []


def test_the_accuracy_table_is_that_of_the_recorded_study() -> None:
    answer = subprocess.run(
        [sys.executable, "benchmarks/studies/readme_tables.py", "--check"], cwd=ROOT, capture_output=True
    )
    assert answer.returncode == 0, "run benchmarks/studies/readme_tables.py"
