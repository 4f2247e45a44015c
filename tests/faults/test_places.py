"""Folders that may not be written: each command that writes says so in one line, before or after its work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="permissions are of POSIX")

EXAMPLES = Path(__file__).resolve().parents[1] / "data" / "schema"
PLAN = """schema_version: 1
name: places
description: "A few networks"
seed: 5
limits: {macs: 1.0e+9, activation_elements: 1.0e+6, weight_elements: 1.0e+6}
micro_kernels: {conv: 6, gemm: 4}
"""
BENCHMARK = ["benchmark", "--device", "ncs2", "--plan", "{open}/plan.yaml"]
COMMANDS = {
    "benchmark": [*BENCHMARK, "--store", "{place}/run.db"],
    "continued": [*BENCHMARK, "--store", "{place}/kept.db"],
    "train": ["train", "{open}/store.db", "--output", "{place}/platform"],
    "export": ["store", "export", "{open}/store.db", "{place}/new.db"],
    "check": ["store", "check", "{place}/kept.db"],
}  # fmt: skip
SCRIPT = """
import contextlib, io, json, os, sys
from annette.cli.main import exit_code
commands, place, free = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
def run(words, folder):
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        code = exit_code([word.format(place=folder, open=free) for word in words])
    return code, errors.getvalue()
for name, words in commands.items():  # where everything may be written, so that all modules are loaded
    if name not in ("continued", "train"):
        run(words, free)
import annette.estimation.platform, annette.models.generator
if os.geteuid() == 0:
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)  # permissions do not bind root
print(json.dumps({name: run(words, place) for name, words in commands.items()}))
"""


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[str, Any]]:
    """How each command ends whose folder may only be read."""
    folder = Path(tempfile.mkdtemp(prefix="annette-places-"))
    try:
        place, free = folder / "read-only", folder / "open"
        place.mkdir()
        free.mkdir()
        (free / "plan.yaml").write_text(PLAN, encoding="utf-8")
        shutil.copy(EXAMPLES / "store-3.sqlite", free / "store.db")
        shutil.copy(EXAMPLES / "store-3.sqlite", place / "kept.db")
        for path in (folder, place):
            path.chmod(0o555)
        free.chmod(0o777)
        words = [sys.executable, "-c", SCRIPT, json.dumps(COMMANDS), str(place), str(free)]
        answer = subprocess.run(words, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        yield {"left": sorted(item.name for item in place.iterdir()), **json.loads(answer.stdout)}
    finally:
        for path in (folder, folder / "read-only"):
            path.chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "check"])
def test_a_command_that_may_not_write_says_so_in_one_line(answers: dict[str, Any], name: str) -> None:
    code, said = answers[name]
    assert code in (1, 2), said
    faults = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(faults) == 1, said
    assert "Traceback" not in said
    assert "written" in faults[0] or "another device" in faults[0] or "readonly" in faults[0], said


def test_a_store_in_such_a_folder_can_be_read_and_nothing_is_left_there(answers: dict[str, Any]) -> None:
    assert answers["check"][0] == 0
    assert answers["left"] == ["kept.db"]
