"""Kills campaigns at random moments, fills their disk, runs two at once: what was stored is there.

A process runs ``annette benchmark`` on the simulator and tells through a pipe each measurement that its store
has reported as kept. It is killed (SIGKILL) at a random moment, and started again on the same store, until
the campaign is whole; then the next campaign begins. After each kill the store must be sound, hold every
measurement that was told with the very same numbers, and none twice; a whole campaign must equal one that
nobody disturbed. Full disks are a limit on the size of files and, for root on Linux, a file system of 300 kB.

Writes benchmarks/results/kill_campaign.json.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from provenance import record

from annette.backends.registry import open_device
from annette.cli.main import exit_code
from annette.store.campaign import CampaignStore
from annette.store.salvage import check_store

DEVICE = "zcu102-dpu"
PAUSE_S = 0.003
PLAN = """schema_version: 1
name: kill
description: "A few hundred small networks"
seed: 5
limits: {macs: 1.0e+9, activation_elements: 1.0e+6, weight_elements: 1.0e+6}
micro_kernels: {conv: %d, depthwise_conv: %d, gemm: %d, pool: %d}
"""


def run_campaign(plan: Path, store: Path, told: int, pause_s: float = PAUSE_S) -> int:
    """``annette benchmark`` in this process; each kept measurement is told to the pipe at once."""
    keep = CampaignStore.record

    def record_and_tell(self: CampaignStore, task_id: str, measurement: Any) -> None:
        keep(self, task_id, measurement)
        os.write(told, f"{task_id} {measurement.values_s!r}\n".encode())
        time.sleep(pause_s)  # a real device takes its time, too

    CampaignStore.record = record_and_tell  # type: ignore[method-assign]
    with contextlib.redirect_stdout(io.StringIO()):
        return exit_code(["benchmark", "--device", DEVICE, "--plan", str(plan), "--store", str(store)])


def forked(action: Callable[[int], int]) -> tuple[int, int]:
    """A process that runs ``action`` with the end of a pipe to write to; its id and the end to read."""
    here, there = os.pipe()
    process = os.fork()
    if process:
        os.close(there)
        return process, here
    os.close(here)
    code = 70
    try:
        code = action(there)
    finally:
        os._exit(code)


def told_until(
    pipe: int, process: int, kill_at: float | None, kill_after: int | None = None
) -> tuple[str, int]:
    """What came through the pipe until the process ended or was killed, and how it ended.

    It is killed at a time, or a moment after it has told so many measurements.
    """
    found, killed = b"", False
    while True:
        left = None if kill_at is None or killed else max(kill_at - time.monotonic(), 0.0)
        ready, _, _ = select.select([pipe], [], [], left)
        if not ready:
            os.kill(process, signal.SIGKILL)
            killed = True
            continue
        data = os.read(pipe, 1 << 16)
        if not data:
            break
        found += data
        if kill_after is not None and found.count(b"\n") >= kill_after:
            kill_at, kill_after = time.monotonic() + random.random() * PAUSE_S * 2, None
    os.close(pipe)
    return found.decode(), os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def stored(path: Path) -> dict[str, list[str]]:
    """The values of each visit by task, as text."""
    with CampaignStore.open(path) as store:
        return {task.id: [repr(visit.values_s) for visit in visits] for task, visits in store.visits()}


def kill_often(folder: Path, plan: Path, kills: int, seed: int) -> dict[str, Any]:
    """Campaigns that are killed ``kills`` times in all."""
    rng = random.Random(seed)
    calm = folder / "calm.db"
    start = time.monotonic()
    process, pipe = forked(lambda told: run_campaign(plan, calm, told))
    said, code = told_until(pipe, process, None)
    if code:
        raise SystemExit(f"the campaign that nobody disturbs ended with {code}")
    whole_s, expected = time.monotonic() - start, stored(calm)
    if len(said.splitlines()) != len(expected):
        raise SystemExit("the campaign that nobody disturbs told other measurements than it kept")
    done = {"kills": 0, "campaigns": 0, "before_the_store": 0, "while_planning": 0, "while_measuring": 0}
    lost = doubled = wrong = unsound = 0
    number, reported = 0, {}
    while done["kills"] < kills:
        path = folder / f"killed-{number}.db"
        moment = time.monotonic() + rng.uniform(0, whole_s) if rng.random() < 0.5 else None
        count = rng.randrange(1, len(expected)) if moment is None else None
        process, pipe = forked(lambda told, path=path: run_campaign(plan, path, told))
        said, code = told_until(pipe, process, moment, count)
        lines = [line for line in said.splitlines(keepends=True) if line.endswith("\n")]
        reported.update(line.strip().split(" ", 1) for line in lines)
        found: dict[str, list[str]] = {}
        if code == -signal.SIGKILL:
            done["kills"] += 1
            phase = "while_measuring" if lines else "while_planning" if path.exists() else "before_the_store"
            done[phase] += 1
        with contextlib.suppress(Exception):  # a store whose tables were not made yet holds nothing
            unsound += not check_store(path).is_sound
            found = stored(path)
        lost += sum(values not in found.get(task, []) for task, values in reported.items())
        doubled += sum(len(visits) > 1 for visits in found.values())
        wrong += sum(visits != expected[task] for task, visits in found.items())
        if code == 0:
            wrong += found != expected
            done["campaigns"] += 1
            number, reported = number + 1, {}
    result = {"lost": lost, "doubled": doubled, "wrong": wrong, "unsound_stores": unsound}
    return {**done, **result, "networks": len(expected), "undisturbed_s": round(whole_s, 2)}


def full_disk(folder: Path, plan: Path, limit_bytes: int) -> dict[str, Any]:
    """A campaign whose files may not grow beyond the limit, then continued without it."""
    path = folder / "limited.db"

    def limited(told: int) -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            code = run_campaign(plan, path, told)
        os.write(told, f"ERROR {errors.getvalue()}".encode())
        return code

    return _filled(path, plan, limited)


def _filled(path: Path, plan: Path, action: Callable[[int], int]) -> dict[str, Any]:
    process, pipe = forked(action)
    said, code = told_until(pipe, process, None)
    lines, _, error = said.partition("ERROR ")
    reported = dict(line.split(" ", 1) for line in lines.splitlines())
    found = stored(path) if path.exists() and reported else {}
    lost = sum(values not in found.get(task, []) for task, values in reported.items())
    message = _without_folder(error, path)
    return {"exit_code": code, "message": message, "reported": len(reported), "lost": lost}


def _without_folder(text: str, path: Path) -> str:
    return text.strip().replace(str(path), path.name)


def full_tmpfs(folder: Path, plan: Path) -> dict[str, Any] | None:
    """A campaign on a file system of 300 kB; ``None`` where none can be made."""
    place = folder / "small"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(words, capture_output=True, check=False).returncode:
        return None
    try:
        path = place / "run.db"

        def filling(told: int) -> int:
            errors = io.StringIO()
            with contextlib.redirect_stderr(errors):
                code = run_campaign(plan, path, told)
            os.write(told, f"ERROR {errors.getvalue()}".encode())
            return code

        return _filled(path, plan, filling)
    finally:
        subprocess.run(["umount", str(place)], check=False)


def two_at_once(folder: Path, plan: Path) -> dict[str, Any]:
    """Two processes on one store at a time: one is refused in a line, the other goes on."""
    path = folder / "shared.db"

    def one(told: int) -> int:
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            code = run_campaign(plan, path, told, pause_s=0.01)
        os.write(told, f"ERROR {errors.getvalue()}".encode())
        return code

    first, pipe = forked(one)
    select.select([pipe], [], [])
    os.kill(first, signal.SIGSTOP)  # so that it holds the store for as long as the second tries
    second, other = forked(one)
    refused, code = told_until(other, second, None)
    os.kill(first, signal.SIGCONT)
    said, first_code = told_until(pipe, first, None)
    reported = dict(line.split(" ", 1) for line in said.partition("ERROR ")[0].splitlines())
    found = stored(path)
    return {
        "first_exit_code": first_code,
        "second_exit_code": code,
        "second_message": _without_folder(refused.partition("ERROR ")[2], path),
        "lost": sum(values not in found.get(task, []) for task, values in reported.items()),
    }


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="annette-kill-") as name:
        yield Path(name)


def study(*, kills: int, networks: int, seed: int) -> dict[str, Any]:
    """All of it; plain values."""
    import annette.evaluation.adaptive  # noqa: F401  # before forking: each process starts at once
    from annette.benchmark.plan import load_plan, plan_campaign

    share = max(networks // 4, 1)
    with _folder() as folder:
        plan = folder / "plan.yaml"
        plan.write_text(PLAN % (share, share, share, share), encoding="utf-8")
        tasks = plan_campaign(load_plan(str(plan)))
        open_device(DEVICE).measure(tasks[0].network)
        return {
            "killed": kill_often(folder, plan, kills, seed),
            "limited_files": full_disk(folder, plan, (folder / "calm.db").stat().st_size + 60_000),
            "full_file_system": full_tmpfs(folder, plan),
            "two_processes": two_at_once(folder, plan),
        }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--networks", type=int, default=400, help="of a campaign (400)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--print", action="store_true", dest="only_print", help="print, and record nothing")
    options = parser.parse_args()
    result = study(kills=options.kills, networks=options.networks, seed=options.seed)
    if options.only_print:
        import json

        print(json.dumps(result))
    else:
        print(record("kill_campaign", result, seed=options.seed))
    parts = [part for part in result.values() if part is not None]
    return int(
        any(part.get(name) for part in parts for name in ("lost", "doubled", "wrong", "unsound_stores"))
    )


if __name__ == "__main__":
    sys.exit(main())
