"""Kill -9, full disks and a second process: what a campaign's store has reported as kept is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and forks are of POSIX")

STUDY = Path(__file__).resolve().parents[2] / "benchmarks" / "studies" / "kill_campaign.py"


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """The study with two kills and small campaigns."""
    words = [sys.executable, str(STUDY), "--kills", "2", "--networks", "24", "--print"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, timeout=300)
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


def test_a_killed_campaign_loses_doubles_and_changes_nothing(found: dict[str, Any]) -> None:
    killed = found["killed"]
    assert killed["kills"] == 2
    assert [killed[name] for name in ("lost", "doubled", "wrong", "unsound_stores")] == [0, 0, 0, 0]


@pytest.mark.parametrize("disk", ["limited_files", "full_file_system"])
def test_a_full_disk_is_said_in_one_line_and_loses_nothing(found: dict[str, Any], disk: str) -> None:
    if found[disk] is None:
        pytest.skip("no small file system can be made here")
    assert found[disk]["exit_code"] == 1
    assert found[disk]["message"].count("\n") == 0
    assert "the disk is full" in found[disk]["message"]
    assert found[disk]["reported"] > 0
    assert found[disk]["lost"] == 0


def test_a_second_process_is_refused_while_the_first_goes_on(found: dict[str, Any]) -> None:
    both = found["two_processes"]
    assert (both["first_exit_code"], both["second_exit_code"], both["lost"]) == (0, 1, 0)
    assert "another process is writing to it" in both["second_message"]
