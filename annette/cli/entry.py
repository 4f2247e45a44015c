"""Starts the annette command: even a Ctrl-C while modules are still loading ends in one line."""

from __future__ import annotations

import sys

__all__ = ["run"]


def run() -> None:
    """Run the command line; exit code 0 done, 1 failed, 2 wrong call, 130 interrupted."""
    try:
        from annette.cli.main import run as run_command
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted; nothing was written\n")
        sys.exit(130)
    run_command()
