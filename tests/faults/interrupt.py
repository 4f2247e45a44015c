"""Runs commands and interrupts them (SIGINT) midway, each in a process that is forked off; prints JSON lines.

``interrupt.py FOLDER SHARE``: each command runs once undisturbed, then again until it is interrupted after
that share of its time; a campaign with its third measurement.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from annette.cli import entry
from annette.measurement import Measurement
from annette.store.campaign import CampaignStore

EXAMPLES = Path(__file__).resolve().parents[1] / "data" / "schema"
LONG = ("evaluate", "explore")
"""Commands that take longer than two seconds, within which they are interrupted."""
PLAN = """schema_version: 1
name: interrupted
description: "Some small networks"
seed: 5
limits: {macs: 1.0e+9, activation_elements: 1.0e+6, weight_elements: 1.0e+6}
micro_kernels: {conv: 30, gemm: 20, pool: 20}
"""


def commands(folder: Path) -> dict[str, list[str]]:
    """A call of each command that takes long enough to be interrupted; what it writes is in the folder."""
    (folder / "plan.yaml").write_text(PLAN, encoding="utf-8")
    rng = random.Random(0)
    rows = [[rng.randrange(5) for _ in range(6)] for _ in range(12)]
    from annette.zoo.spaces.registry import open_space

    space = open_space("nasbench201")
    lines = ["arch,phone", *(f"{space.format(row)},{2 + row.count(3) + 0.1 * row.count(1)}" for row in rows)]
    (folder / "ten.csv").write_text("\n".join(lines), encoding="utf-8")
    store, platform = str(EXAMPLES / "store-3.sqlite"), str(EXAMPLES / "platform-1")
    out = str(folder / "out")
    sweep = ["--vary", "clock_hz=1e9..2e9+2e6", "-n", "zoo:lenet5"]
    return {
        "benchmark": [
            "benchmark",
            "--device",
            "ncs2",
            "--plan",
            str(folder / "plan.yaml"),
            "--store",
            f"{out}.db",
        ],
        "train": ["train", store, "--output", out],
        "estimate": ["estimate", "zoo:resnet152", "--platform", platform],
        "evaluate": ["evaluate", "--platform", platform, "--device", "zcu102-dpu", "--suite", "classic12"],
        "calibrate": ["calibrate", str(folder / "ten.csv"), "--output", out],
        "explore": ["explore", "sweep", "--device", "systolic-32x32-ws", *sweep, "--jobs", "1"],
    }


def run(words: list[str], after_s: float | None) -> tuple[int, str, float]:
    """Exit code, standard error and seconds of a command that is interrupted after ``after_s`` seconds."""
    here, there = os.pipe()
    start = time.monotonic()
    process = os.fork()
    if not process:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(there, 2)
        sys.stdout, sys.stderr = io.StringIO(), os.fdopen(2, "w", buffering=1)
        sys.argv = ["annette", *words]
        if after_s is not None:
            signal.signal(signal.SIGALRM, lambda number, frame: os.kill(os.getpid(), signal.SIGINT))
            signal.setitimer(signal.ITIMER_REAL, after_s)
        code = 71
        try:
            entry.run()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        except BaseException:  # noqa: BLE001  # a traceback, which is the fault that is looked for
            import traceback

            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stderr.flush()
            os._exit(code)
    os.close(there)
    with os.fdopen(here, encoding="utf-8", errors="replace") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), said, time.monotonic() - start


def main() -> None:
    folder, share = Path(sys.argv[1]), float(sys.argv[2])
    import annette.cli.main
    import annette.estimation.platform
    import annette.models.generator  # noqa: F401  # before forking: commands start at once

    keep, kept = CampaignStore.record, []

    def record_and_stop(self: CampaignStore, task_id: str, measurement: Measurement) -> None:
        keep(self, task_id, measurement)
        kept.append(task_id)
        if len(kept) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    CampaignStore.record = record_and_stop  # type: ignore[method-assign]
    for name, words in commands(folder).items():
        place = folder / name
        place.mkdir()
        words = [word.replace(str(folder / "out"), str(place / "calm")) for word in words]
        whole_s = 100.0 if name == "benchmark" else 2.0 if name in LONG else run(words, None)[2]
        words = [word.replace("calm", "out") for word in words]
        code, said, _ = run(words, whole_s * share)
        left = sorted(item.name for item in place.iterdir() if not item.name.startswith("calm"))
        print(json.dumps({"command": name, "code": code, "said": said, "left": left}), flush=True)


if __name__ == "__main__":
    main()
