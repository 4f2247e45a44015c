"""The entry of the annette command: Ctrl-C and SIGTERM end in one line, whenever they come."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import pytest


def test_ctrl_c_while_modules_load_is_one_line() -> None:
    code = (
        "import sys, annette.cli.entry as entry\n"
        "class Stop:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'annette.cli.main': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "entry.run()\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 130
    assert answer.stderr == "error: interrupted; nothing was written\n"


@pytest.mark.skipif(os.name != "posix", reason="process groups are of POSIX")
def test_sigterm_leaves_no_process_behind() -> None:
    axes = ("clock_hz=1e9..2e9+1e6", "external_memory.bandwidth_bytes_per_s=1e9,2e9,3e9,4e9,5e9,6e9,7e9,8e9")
    words = ["explore", "sweep", "-d", "systolic-32x32-ws", "-n", "zoo:resnet50", "--jobs", "2"]
    for axis in axes:
        words += ["--vary", axis]
    command = subprocess.Popen(
        [sys.executable, "-c", _ENTRY_THAT_TELLS, *words],
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert command.stdout is not None
        assert command.stdout.readline() == "workers\n"
        command.terminate()
        _, err = command.communicate(timeout=60)
        assert command.returncode == 143
        assert "error: interrupted; what was done until then is printed" in err
        assert _within(60, lambda: not _group_lives(command.pid))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)


_ENTRY_THAT_TELLS = """
import annette.cli.entry as entry, annette.explore.sweep as sweep
answers = sweep._answers
def told(*arguments):
    for index, answer in enumerate(answers(*arguments)):
        if index == 1:  # the first is done
            print("workers", flush=True)
        yield answer
sweep._answers = told
entry.run()
"""
"""The command; it says when its workers have answered for the first time."""


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
