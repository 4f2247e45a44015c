"""The searches that docs/search.md shows run, say what they found, and draw it."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from annette.errors import UsageError
from annette.zoo.spaces.registry import open_space

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "benchmarks" / "examples"
PAGE = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
SHOWN = dict(re.findall(r"^\$ python benchmarks/examples/(\w+)\.py (.*)$", PAGE, flags=re.MULTILINE))
TINY = {
    "evolve_nasbench201": "--population 10 --sample 3 --cycles 3 --batch 5 --budget-ms 0.8 --chosen 3",
    "search_ofa": "--population 8 --generations 2 --chosen 3",
}


def _run(name: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    if name == "search_ofa":
        pytest.importorskip("optuna")
    return subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *words], cwd=folder, capture_output=True, text=True
    )


def test_the_page_shows_every_example() -> None:
    assert set(SHOWN) == set(TINY)


@pytest.mark.parametrize("name", list(TINY))
def test_an_example_searches_measures_and_draws(name: str, tmp_path: Path) -> None:
    words = (*shlex.split(SHOWN[name]), *TINY[name].split())  # of an option said twice the second counts
    answer = _run(name, *words, "--out", "found.png", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "on the front; measured:" in answer.stdout
    assert "measured: MAPE" in answer.stdout
    assert (tmp_path / "found.png").read_bytes()[:4] == b"\x89PNG"


def test_a_budget_that_nothing_keeps_is_told_in_a_line(tmp_path: Path) -> None:
    words = TINY["evolve_nasbench201"].replace("0.8", "0.001").split()
    answer = _run("evolve_nasbench201", *words, folder=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: --budget-ms 0.001: nothing keeps it")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_done_is_told_before_the_search(
    report: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in (
        (("--seed", "-1"), "--seed -1, expected 0 or more"),
        (("--chosen", "0"), "--chosen 0, expected 1 or more"),
        (("--out", str(tmp_path / "none" / "a.png")), "expected a file in a folder that exists"),
        (("--out", str(tmp_path)), "expected a name that ends in one of"),
        (("--out", str(tmp_path / "a.xyz")), "expected a name that ends in one of"),
    ):
        parser = argparse.ArgumentParser()
        report.add_arguments(parser, out=str(tmp_path / "found.png"))
        with pytest.raises(SystemExit) as caught:
            report.run(lambda _: pytest.fail("searched"), parser.parse_args(words))
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert message in error


def test_rows_that_are_no_architectures_are_left_out(tmp_path: Path) -> None:
    words = "--space nasbench101 --population 60 --generations 2 --chosen 1 --out found.png"
    answer = _run("search_ofa", *shlex.split(words), folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout.split()[0]) < 120


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("search_report", EXAMPLES / "search_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "search_report", module)
    spec.loader.exec_module(module)
    return module


def test_a_table_gives_the_accuracies(report: ModuleType, tmp_path: Path) -> None:
    space = open_space("nasbench201,dead_code=true")
    cells = np.unique(space.sample(20, seed=0), axis=0)
    lines = [f"{space.format(cell)},{number / 100}" for number, cell in enumerate(cells)]
    (tmp_path / "table.csv").write_text("\n".join(["architecture,accuracy", *lines[:-1]]), encoding="utf-8")
    quality = report.open_quality(space, tmp_path / "table.csv", "accuracy")
    assert quality.ask(cells[:-1][::-1]).tolist() == [number / 100 for number in range(len(cells) - 1)][::-1]
    with pytest.raises(UsageError, match="no accuracy of") as caught:
        quality.ask(cells)
    assert space.format(cells[-1]) in str(caught.value)


def test_cells_that_differ_in_dead_edges_keep_their_own_accuracies(
    report: ModuleType, tmp_path: Path
) -> None:
    space = open_space("nasbench201")
    cells = np.array([(1, 0, 0, 3, 0, 0), (2, 0, 0, 3, 0, 0), (3, 0, 0, 3, 0, 0)])
    assert len(np.unique(space.canonical(cells), axis=0)) == 1
    lines = [f"{space.format(cell)},{accuracy}" for cell, accuracy in zip(cells, (0.7, 0.9), strict=False)]
    (tmp_path / "table.csv").write_text("\n".join(["arch,accuracy", *lines]), encoding="utf-8")
    quality = report.open_quality(space, tmp_path / "table.csv", "accuracy")
    assert quality.ask(cells[:2]).tolist() == [0.7, 0.9]
    assert quality.ask(cells[2:]).tolist() == [0.7]  # not in the table: the same network's
