"""What docs/suggest.md shows runs: from a platform to suggested kernels in its store, and its Python."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from annette.cli.main import exit_code
from annette.estimation.platform import Platform
from annette.store.campaign import CampaignStore

sys.path.insert(0, str(Path(__file__).parent))
from pages import ROOT, blocks, commands, execute, read_page, substituted

NAME = "suggest.md"
PAGE = read_page(NAME)
SMALLER = {"40": "4", "zoo:mobilenet_v2": "zoo:lenet5"}


def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    small_platform: Platform, small_store_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    small_platform.save("mine")
    shutil.copy(small_store_path, "run.db")
    lines = [substituted(line, SMALLER) for line in commands(PAGE)]
    assert [words[0] for words in lines] == ["benchmark", "train", "suggest", "benchmark", "train"]
    for words in lines[2:4]:  # the campaign and the trainings take long, and are those of the tutorial
        assert exit_code(words) == 0, capsys.readouterr().err
    assert "4 now in" in capsys.readouterr().out
    with CampaignStore.open("run.db") as store:
        before = store.summary().planned
    (block,) = blocks(PAGE, "python")
    execute(block.text, NAME)
    assert "hoped for" in capsys.readouterr().out
    with CampaignStore.open("run.db") as store:
        assert store.summary().pending == store.summary().planned - before == 20


def test_the_table_is_that_of_the_recorded_runs() -> None:
    sys.path.insert(0, str(ROOT / "benchmarks" / "studies"))
    import suggest_curve

    path = ROOT / "benchmarks" / "results" / "suggest_curve.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["curves"] == suggest_curve.summarise(result["runs"])
    assert suggest_curve.page_table(result) in PAGE
