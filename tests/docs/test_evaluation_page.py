"""What docs/evaluation.md shows runs: its Python with small suites, its command on a table made here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annette.cli.main import exit_code
from annette.zoo.spaces.registry import open_space
from annette.zoo.suites import iterate_members

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^annette (.*)$", PAGE, flags=re.MULTILINE)


def _execute(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, "docs/evaluation.md", "exec"), names)
    return names


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the page, as if measured on a phone."""
    space, rng = open_space("nasbench201"), np.random.default_rng(0)
    cells = np.unique(space.sample(50, seed=0), axis=0)
    lines = [f"{space.format(cell)},{rng.uniform(5, 9)},{rng.uniform(80, 95)}" for cell in cells]
    (tmp_path / "latencies.csv").write_text("\n".join(["arch_str,pixel3,top1", *lines]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_every_block_is_known_to_a_test() -> None:
    known = ("evaluate_suite(", "evaluate_table(")
    assert [sum(word in block for word in known) for block in BLOCKS] == [1] * len(known)
    assert len(COMMANDS) == 1


def test_a_suite(capsys: pytest.CaptureFixture[str]) -> None:
    small = BLOCKS[0].replace("nasbench201-1000", "nasbench201-40").replace("ofa-1000", "ofa-3")
    answer = _execute(small.replace("jobs=2", "jobs=1"))["answer"]
    assert len(answer.networks) == 43
    assert "spearman" in capsys.readouterr().out


@pytest.mark.usefixtures("table")
def test_a_recorded_table(capsys: pytest.CaptureFixture[str]) -> None:
    answer = _execute(BLOCKS[1])["answer"]
    assert answer.device == "pixel3"
    assert "scale_factor" in capsys.readouterr().out


@pytest.mark.usefixtures("table")
def test_a_recorded_table_by_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(shlex.split(COMMANDS[0])) == 0
    assert "against pixel3 of latencies.csv" in capsys.readouterr().out


def test_as_many_networks_differ_as_the_page_says() -> None:
    space = open_space("nasbench201")
    every = np.array(list(space.enumerate()))
    assert f"{len(np.unique(space.canonical(every), axis=0)):,} such" in PAGE
    drawn = [space.parse(member.architecture or "") for member in iterate_members("nasbench201-2000")]
    assert len(np.unique(space.canonical(np.array(drawn)), axis=0)) == 2000
