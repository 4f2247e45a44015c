"""The study of speed on search spaces: its help, its bounds, and that it finds the steps it tells apart."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

STUDIES = Path(__file__).resolve().parents[2] / "benchmarks" / "studies"


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(STUDIES))


@pytest.fixture
def tasks(studies: None) -> ModuleType:
    return importlib.import_module("nas_speed_tasks")


@pytest.fixture
def steps(studies: None) -> ModuleType:
    return importlib.import_module("nas_speed_profile")


def test_help_says_what_is_timed_and_how_the_peer_is_installed() -> None:
    words = [sys.executable, str(STUDIES / "nas_speed.py"), "--help"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "cold" in text
    assert "pip install nn-meter" in text
    assert "--peer-python" in text


def test_the_bound_adds_up_one_look_up_a_column(tasks: ModuleType) -> None:
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 7, size=(tasks.CHUNK + 5, 9))
    prices = np.random.default_rng(1).random(9 * (int(rows.max()) + 1)).reshape(9, -1)
    slow = [sum(prices[column, value] for column, value in enumerate(row)) for row in rows.tolist()]
    np.testing.assert_allclose(tasks._look_up(rows), slow)


@pytest.mark.parametrize("family", ["nasbench101", "fbnet", "zoo", "mixed"])
def test_networks_never_seen_are_all_different(tasks: ModuleType, family: str) -> None:
    networks = list(tasks._networks(family, 12))
    assert len({network.id for network in networks}) == 12


def test_shares_of_the_steps_make_up_the_whole_and_are_drawn(steps: ModuleType, tmp_path: Path) -> None:
    found = steps.profile("zcu102-dpu", "fbnet", 20)
    for when in ("first", "more"):
        shares = found[when]["shares"]
        assert tuple(shares) == steps.STEPS
        assert sum(shares.values()) == pytest.approx(1.0)
        assert min(shares[step] for step in ("pieces", "assemble", "walk", "contents", "prices")) > 0.0
    steps.draw([found, {**found, "platform": "ncs2"}], tmp_path / "steps.png")
    assert (tmp_path / "steps.png").read_bytes()[:4] == b"\x89PNG"


def test_a_task_answers_in_its_last_line() -> None:
    arguments = json.dumps({"platform": "zcu102-dpu", "space": "fbnet", "count": 16})
    words = [sys.executable, str(STUDIES / "nas_speed_tasks.py"), "memory", arguments]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    answer = json.loads(text.splitlines()[-1])["answer"]
    assert answer["networks"] == 16
    assert answer["peak_bytes"] >= answer["peak_after_sampling_bytes"] > answer["encodings_bytes"] > 0


def test_a_figure_meets_its_target_on_the_side_that_counts(studies: None) -> None:
    rows = importlib.import_module("nas_speed_process")
    assert rows.at_most("time", 0.1, 0.2)["met"]
    assert not rows.at_most("time", 0.3, 0.2)["met"]
    assert rows.at_least("rate", 2.0, 1.0)["met"]
    assert not rows.at_least("rate", 0.5, 1.0)["met"]
    assert rows.at_most("time", 0.1, None)["met"] is None
