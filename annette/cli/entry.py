"""Starts the annette command: even a Ctrl-C while modules are still loading ends in one line."""

from __future__ import annotations

import signal
import sys
from types import FrameType

__all__ = ["run"]

_TERMINATED = 143
"""What shells expect of a command ended by SIGTERM."""


def run() -> None:
    """Run the command line; exit code 0 done, 1 failed, 2 wrong call, 130 interrupted, 143 terminated."""
    terminated = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends the process at once
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        from annette.cli.main import run as run_command

        run_command()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted; nothing was written\n")
        sys.exit(_TERMINATED if terminated else 130)
    except SystemExit as end:
        if terminated and end.code == 130:
            sys.exit(_TERMINATED)
        raise
