"""What docs/search.md shows runs: its Python here, the commands of a cluster on one of two processes."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^\$ (.*)$", PAGE, flags=re.MULTILINE)
PLAN = """
schema_version: 1
name: tiny
description: some convolutions
seed: 3
limits: {macs: 1.0e+9, activation_elements: 4.0e+6, weight_elements: 20.0e+6}
sweeps:
  - name: wide
    layer: conv
    base: {in_channels: 32, out_channels: 48, out_h: 10, out_w: 12, kernel: 3}
    dimensions: [out_channels]
    dense_to: 10
    up_to: 10
"""


def _block(*words: str) -> str:
    (found,) = (block for block in BLOCKS if all(word in block for word in words))
    return str(found)


def _execute(text: str, name: str = "__main__") -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": name}
    exec(compile(text, "docs/search.md", "exec"), names)
    return names


def test_every_block_is_known_to_a_test() -> None:
    known = ("fastest", "evolve(", "optuna", "pymoo", "on_dask")
    assert [sum(word in block for word in known) for block in BLOCKS] == [1] * len(known)


def test_a_loop_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    names = _execute(_block("fastest"))
    assert 0 < len(names["kept"]) < 1000
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_evolution() -> None:
    names = _execute(_block("evolve("))
    found = names["found"]
    assert found.best_fitness >= 3
    assert names["constraint"](found.best) <= 0


def test_optuna() -> None:
    optuna = pytest.importorskip("optuna")
    if not hasattr(optuna.trial.Trial, "set_constraint"):
        pytest.skip("Optuna before 5")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert len(_execute(_block("optuna"))["study"].trials) == 20


def test_pymoo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pymoo is not installed, with a stand-in for its `Problem`."""
    if importlib.util.find_spec("pymoo") is None:
        for name in ("pymoo", "pymoo.core", "pymoo.core.problem"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))

        class Problem:
            def __init__(self, **options: Any) -> None:
                self.xu = options["xu"]

        monkeypatch.setattr(sys.modules["pymoo.core.problem"], "Problem", Problem, raising=False)
    names = _execute(_block("pymoo"))
    out: dict[str, Any] = {}
    problem = names["Cells"]()
    problem._evaluate(np.array([[0] * 6, problem.xu]), out)
    assert out["F"].shape == (2, 2)
    assert out["G"].shape == (2, 1)


def test_estimates_on_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("distributed")
    names = _execute(_block("on_dask"))
    alone_s = names["annette"].load("zcu102-dpu").estimate_space(names["space"], names["cells"])
    assert np.array_equal(names["latency_s"], alone_s)
    assert " ms" in capsys.readouterr().out


def test_a_campaign_on_a_cluster(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    (tmp_path / "tiny.yaml").write_text(PLAN, encoding="utf-8")
    schedule, work, benchmark = (line for line in COMMANDS if line.startswith(("dask", "annette")))
    shown = "tcp://10.0.0.1:8786"
    assert shown in work
    assert shown in benchmark
    schedule = schedule.replace("--port 8786", "--port 0 --host 127.0.0.1 --no-dashboard")
    with contextlib.ExitStack() as running:
        running.enter_context(_program(f"{schedule} --scheduler-file {tmp_path / 'it.json'}", tmp_path))
        address = _address(tmp_path / "it.json")
        for _ in range(2):
            running.enter_context(_program(f"{work.replace(shown, address)} --no-dashboard", tmp_path))
        words = shlex.split(benchmark.replace(shown, address).replace("quick", "tiny.yaml"))
        answer = subprocess.run(
            [sys.executable, "-m", *words, "--format", "json"], cwd=tmp_path, capture_output=True, text=True
        )
    assert answer.returncode == 0, answer.stderr
    document = json.loads(answer.stdout)
    assert document["measured"] == document["planned"] == document["visits"] > 0


@contextlib.contextmanager
def _program(line: str, folder: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-m", *shlex.split(line)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(path: Path) -> str:
    """What the scheduler wrote once it listened."""
    for _ in range(300):
        with contextlib.suppress(OSError, json.JSONDecodeError):
            return str(json.loads(path.read_text(encoding="utf-8"))["address"])
        time.sleep(0.1)
    raise AssertionError("the scheduler did not start")
