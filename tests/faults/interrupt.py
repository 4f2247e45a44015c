"""Runs commands and interrupts them (SIGINT) midway, each in a process that is forked off; prints JSON lines.

``interrupt.py FOLDER``: each command is interrupted when it has called so many functions of annette; a
campaign with its third measurement.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import sys
from pathlib import Path
from types import FrameType

from annette.cli import entry
from annette.measurement import Measurement
from annette.store.campaign import CampaignStore

EXAMPLES = Path(__file__).resolve().parents[1] / "data" / "schema"
AFTER_CALLS = {
    "benchmark": 10**12,
    "train": 20_000,
    "estimate": 2_000,
    "evaluate": 20_000,
    "calibrate": 1_000,
    "explore": 20_000,
}
"""Each makes more of them; time would tell nothing, since machines are more or less busy."""
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
        "estimate": ["estimate", "zoo:resnet101", "--platform", platform],
        "evaluate": ["evaluate", "--platform", platform, "--device", "zcu102-dpu", "--suite", "classic12"],
        "calibrate": ["calibrate", str(folder / "ten.csv"), "--output", out],
        "explore": ["explore", "sweep", "--device", "systolic-32x32-ws", *sweep, "--jobs", "1"],
    }


def interrupt_after(calls: int) -> None:
    """Send this process SIGINT once that many functions of annette were called."""
    left = calls

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal left
        if event == "call" and f"{os.sep}annette{os.sep}" in frame.f_code.co_filename:
            left -= 1
            if left == 0:
                sys.setprofile(None)
                os.kill(os.getpid(), signal.SIGINT)

    sys.setprofile(count)


def run(words: list[str], after_calls: int) -> tuple[int, str]:
    """Exit code and standard error of a command that is interrupted after so many calls."""
    here, there = os.pipe()
    process = os.fork()
    if not process:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(there, 2)
        sys.stdout, sys.stderr = io.StringIO(), os.fdopen(2, "w", buffering=1)
        sys.argv = ["annette", *words]
        signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let background jobs ignore it
        interrupt_after(after_calls)
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
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), said


def main() -> None:
    folder = Path(sys.argv[1])
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
        words = [word.replace(str(folder / "out"), str(place / "out")) for word in words]
        code, said = run(words, AFTER_CALLS[name])
        left = sorted(item.name for item in place.iterdir())
        print(json.dumps({"command": name, "code": code, "said": said, "left": left}), flush=True)


if __name__ == "__main__":
    main()
