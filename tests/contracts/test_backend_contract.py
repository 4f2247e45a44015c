"""What every backend promises, as it ships in `annette.testing`, on each implementation."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from annette.backends.protocol import Backend
from annette.backends.registry import open_device
from annette.backends.replay import open_replay
from annette.benchmark.campaign import run_campaign
from annette.store.campaign import CampaignStore
from annette.store.records import PlanRecord, Task
from annette.testing import BackendContract, benchmark_network

Opener = Callable[[], Backend]

SIMULATED_BOARD = """\
import json, sys
from annette.backends.simulator import open_simulator
from annette.graph.onnx_reader import read_onnx

backend = open_simulator("ncs2")
for line in sys.stdin:
    request = json.loads(line)
    if "hello" in request:
        print(json.dumps({"hello": {"board": "simulated"}}), flush=True)
        continue
    answer = {"id": request["id"]}
    measurement = backend.measure(read_onnx(request["onnx"]), seed=request["seed"])
    if measurement.error is not None:
        answer["error"] = measurement.error
    else:
        answer["values_s"] = measurement.values_s
        answer["eliminated_layers"] = measurement.eliminated_layers
        answer["kernels"] = [
            {"layers": item.kernel.layers, "primary": item.kernel.primary, "unit": item.kernel.unit,
             "values_s": item.values_s, "bound": item.bound, "counters": dict(item.counters)}
            for item in measurement.kernels
        ]
        if sys.argv[1] == "whole":
            del answer["kernels"], answer["eliminated_layers"]
    print(json.dumps(answer), flush=True)
"""
FEW = ("conv", "gemm", "pool", "conv_chain", "residual", "attention", "quantised")


def _without(package: str) -> pytest.MarkDecorator:
    found = importlib.util.find_spec(package) is not None
    return pytest.mark.skipif(not found, reason=f"{package} is not installed")


@pytest.mark.parametrize("preset", ["zcu102-dpu", "ncs2"], scope="class")
class TestSimulator(BackendContract):
    @pytest.fixture(scope="class")
    @classmethod
    def opener(cls, preset: str) -> Opener:
        return lambda: open_device(f"simulator:{preset}")


@_without("onnxruntime")
class TestOnnxRuntime(BackendContract):
    kinds = FEW

    @pytest.fixture(scope="class")
    @classmethod
    def opener(cls) -> Opener:
        return lambda: open_device("onnxruntime:threads=1")


@_without("openvino")
class TestOpenVino(BackendContract):
    kinds = FEW

    @pytest.fixture(scope="class")
    @classmethod
    def opener(cls) -> Opener:
        return lambda: open_device("openvino:threads=1")


@pytest.mark.parametrize("told", ["kernels", "whole"], scope="class")
class TestCommand(BackendContract):
    kinds = FEW

    @pytest.fixture(scope="class")
    @classmethod
    def opener(cls, told: str, tmp_path_factory: pytest.TempPathFactory) -> Opener:
        folder = tmp_path_factory.mktemp("board")
        (folder / "simulated_board.py").write_text(SIMULATED_BOARD)
        file = folder / "board.yaml"
        file.write_text(
            f"schema_version: 1\nname: board\ncommand: [{sys.executable!r}, simulated_board.py, {told}]\n"
        )
        return lambda: open_device(f"command:{file}")


class TestReplay(BackendContract):
    must_run = ()

    @pytest.fixture(scope="class")
    @classmethod
    def opener(cls, tmp_path_factory: pytest.TempPathFactory) -> Opener:
        store_path = tmp_path_factory.mktemp("replay") / "run.db"
        cls.record(store_path)
        return lambda: open_replay(str(store_path))

    @staticmethod
    def record(store_path: Path) -> None:
        backend = open_device("simulator:zcu102-dpu")
        tasks = [
            Task(network=benchmark_network(kind), category="block", group=kind)
            for kind in ("conv", "inception")
        ]
        plan = PlanRecord(name="few", seed=1, text="{}")
        with CampaignStore.create(store_path, device=backend.info, plan=plan) as store:
            run_campaign(tasks, backend, store)


def test_the_front_door_does_not_load_the_contract() -> None:
    import subprocess

    code = "import sys, annette; print('annette.testing' in sys.modules or 'pytest' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
