"""Python processes of `nas_speed.py`, in which nothing has been asked before, and the rows of its result."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["REPEATS", "STUDIES", "Row", "at_least", "at_most", "fresh", "process", "repeated"]

STUDIES = Path(__file__).resolve().parent
REPEATS = 5
"""Of what is cold: processes of which the median is taken."""

Row = dict[str, Any]


def process(
    *words: str, python: str | Path = sys.executable, home: str | None = None
) -> tuple[str, str, float]:
    """Output, messages and wall seconds of a fresh Python process."""
    environment = os.environ | ({"HOME": home} if home else {})
    start = time.perf_counter()
    done = subprocess.run([str(python), *words], capture_output=True, text=True, env=environment, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(words)[:200]}: {done.stderr.strip()[-2000:]}")
    return done.stdout, done.stderr, seconds


def fresh(task: str, **arguments: Any) -> tuple[dict[str, Any], Row]:
    """What a task gave in a process of its own; the load of the machine and the seconds of the process."""
    out, _, seconds = process(str(STUDIES / "nas_speed_tasks.py"), task, json.dumps(arguments))
    found = json.loads(out.splitlines()[-1])
    return found["answer"], {"load": found["load"], "process_s": seconds}


def repeated(task: str, count: int = REPEATS, **arguments: Any) -> tuple[list[dict[str, Any]], Row]:
    """What a task gave in several processes, one after the other."""
    runs = [fresh(task, **arguments) for _ in range(count)]
    about = {key: statistics.median(item[1][key] for item in runs) for key in ("load", "process_s")}
    return [answer for answer, _ in runs], about


def at_most(what: str, value: float, target: float | None, unit: str = "s", **more: Any) -> Row:
    """A row whose figure should be small."""
    met = None if target is None else value <= target
    return {"what": what, "value": value, "unit": unit, "target": target, "met": met, **more}


def at_least(what: str, value: float, target: float | None, unit: str = "networks/s", **more: Any) -> Row:
    """A row whose figure should be large."""
    met = None if target is None else value >= target
    return {
        "what": what,
        "value": value,
        "unit": unit,
        "target": target,
        "met": met,
        "more_is_better": True,
        **more,
    }
