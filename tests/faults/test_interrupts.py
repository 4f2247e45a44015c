"""Ctrl-C in the middle of a command: one line, exit code 130, no traceback, nothing half written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from annette.store.salvage import check_store

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and forks are of POSIX")

COMMANDS = ("benchmark", "train", "estimate", "evaluate", "calibrate", "explore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("interrupted")


@pytest.fixture(scope="module")
def ended(folder: Path) -> dict[str, Any]:
    """How each command ended that was interrupted."""
    words = [sys.executable, str(Path(__file__).with_name("interrupt.py")), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(words, capture_output=True, text=True, check=True, env=environment, timeout=300)
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    return {line["command"]: line for line in lines}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_interrupted_command_ends_in_one_line(ended: dict[str, Any], command: str) -> None:
    found = ended[command]
    assert found["code"] == 130, found["said"]
    assert "Traceback" not in found["said"]
    assert [line for line in found["said"].splitlines() if line.startswith("error: interrupted; ")]
    assert found["said"].count("error:") == 1


@pytest.mark.parametrize("command", [item for item in COMMANDS if item != "benchmark"])
def test_an_interrupted_command_leaves_nothing_half_written(ended: dict[str, Any], command: str) -> None:
    assert ended[command]["left"] == []


def test_an_interrupted_campaign_keeps_a_sound_store(ended: dict[str, Any], folder: Path) -> None:
    assert "the same command goes on from there" in ended["benchmark"]["said"]
    found = check_store(folder / "benchmark" / "out.db")
    assert found.is_sound
    assert (found.tasks, found.visits) == (70, 3)
