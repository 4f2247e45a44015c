"""The process that fuzzes one target: mutates, runs, and judges each case within bounds of time and memory.

A case is sound if it runs or raises an `AnnetteError` of one clear line. Found are: any other exception, a
warning, a case of more than ten seconds of the processor, more memory than 2 GB, a file of external data that
is opened, and (which the parent sees) a process that dies.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz_mutations import EXTERNAL
from fuzz_targets import ROOT, TARGETS, Target, require_clear

__all__ = ["CASE_SECONDS", "MEMORY_BYTES", "Finding", "judge", "judge_corpus", "limit_memory"]

CASE_SECONDS = 10.0
"""Of the processor; six times as long by the clock."""
MEMORY_BYTES = 2_000_000_000


class OutOfTime(BaseException):
    """A case took longer than it may; no handler of `Exception` swallows it."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Why a case is not sound."""

    kind: str
    """Name of the exception."""
    where: str
    """Last line of annette's code on the way."""
    text: str
    """Its message, shortened."""


def limit_memory(limit_bytes: int = MEMORY_BYTES) -> None:
    """Let this process take so much memory and no more."""
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


_OPENED: list[str] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("open", "os.listdir") and arguments and EXTERNAL in str(arguments[0]):
        _OPENED.append(str(arguments[0]))


def judge(target: Target, case: bytes, folder: Path, *, seconds: float = CASE_SECONDS) -> Finding | None:
    """Run the case in the folder; ``None`` if annette takes or refuses it as it should."""
    from annette.errors import AnnetteError

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    previous = [(number, signal.signal(number, stop)) for number in (signal.SIGPROF, signal.SIGALRM)]
    before = Path.cwd()
    os.chdir(folder)
    _OPENED.clear()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ResourceWarning)
            signal.setitimer(signal.ITIMER_PROF, seconds)  # of the processor: machines may be busy
            signal.setitimer(signal.ITIMER_REAL, 6 * seconds)  # waiting for something is a hang, too
            try:
                target.run(case, folder)
            except AnnetteError as err:
                require_clear(str(err))
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.setitimer(signal.ITIMER_REAL, 0)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as err:  # noqa: BLE001  # whatever comes out is what is looked for
        return Finding(kind=type(err).__name__, where=_where(err), text=" ".join(str(err).split())[:300])
    finally:
        for number, handler in previous:
            signal.signal(number, handler)
        os.chdir(before)
    if [name for name in _OPENED if not name.endswith(f"{folder.name}/{EXTERNAL}")] or len(_OPENED) > 1:
        return Finding(kind="External", where="", text=f"opened {_OPENED}")
    return None


def _where(err: BaseException) -> str:
    frames = traceback.extract_tb(err.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}annette{os.sep}" in frame.filename]
    if not ours:
        ours = frames[-1:]
    return f"{os.path.relpath(ours[-1].filename, ROOT)}:{ours[-1].lineno}" if ours else ""


def judge_corpus(corpus: Path) -> None:
    """Run ``corpus/TARGET/CASE`` for each case; one JSON line each says what is wrong with it, or null."""
    sys.addaudithook(_watch)
    limit_memory()
    for path in sorted(corpus.glob("*/*")):
        with tempfile.TemporaryDirectory(prefix="annette-fuzz-") as folder:
            start = time.monotonic()
            found = judge(TARGETS[path.parent.name], path.read_bytes(), Path(folder))
            text = None if found is None else f"{found.kind} at {found.where}: {found.text}"
            seconds = round(time.monotonic() - start, 3)
            line = {"case": f"{path.parent.name}/{path.name}", "seconds": seconds, "fault": text}
            print(json.dumps(line), flush=True)


def _main() -> None:
    """``fuzz_worker.py TARGET SEED SECONDS FOLDER``: one JSON line a finding, and one at the end.

    ``fuzz_worker.py CORPUS``: judges the cases that are kept there.
    """
    if len(sys.argv) == 2:
        judge_corpus(Path(sys.argv[1]))
        return
    name, seed, budget_s, kept = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])
    target = TARGETS[name]
    rng = random.Random(f"{name} {seed}")
    seeds = target.seeds(kept)
    sys.addaudithook(_watch)
    limit_memory()
    scratch = Path(tempfile.mkdtemp(prefix="annette-fuzz-"))
    current = kept / f"{name}.current"
    cases, slowest_s = 0, 0.0
    end = time.monotonic() + budget_s
    try:
        while time.monotonic() < end:
            case = target.mutate(rng, rng.choice(seeds), seeds)
            current.write_bytes(case)
            folder = scratch / str(cases)
            folder.mkdir()
            start = time.process_time()
            found = judge(target, case, folder)
            slowest_s = max(slowest_s, time.process_time() - start)
            shutil.rmtree(folder, ignore_errors=True)
            cases += 1
            if found is not None:
                path = kept / f"{name}-{seed}-{cases}"
                path.write_bytes(case)
                line = {"kind": found.kind, "where": found.where, "text": found.text, "case": str(path)}
                print(json.dumps(line), flush=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        json.dumps({"cases": cases, "slowest_s": round(slowest_s, 2), "peak_bytes": peak_bytes}), flush=True
    )


if __name__ == "__main__":
    _main()
