"""What people see of a device that is visited several times: repeatability, moves, noise, records."""

from __future__ import annotations

import json
import random
import sys
import types
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from annette.backends import registry
from annette.cli.main import exit_code
from annette.graph.mapping import Kernel
from annette.graph.network import Network
from annette.graph.work import network_work
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement

PLAN = """
schema_version: 1
name: tiny
description: Just enough to train on
seed: 1
limits: {macs: 1.0e+9, activation_elements: 1.0e+6, weight_elements: 1.0e+7}
micro_kernels: {conv: 40, pool: 10, gemm: 10}
blocks: {conv_chain: 10}
"""


class Board:
    """Times by MACs; ``shaky`` ones differ wildly from visit to visit; a layer a kernel, and one move."""

    def __init__(self, target: str) -> None:
        self.info = DeviceInfo(
            name="board", backend="probe", description="a board for tests", visits=3, is_exclusive=True,
            environment=(("mood", target),),
        )  # fmt: skip
        self._noise = random.Random(1)

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        worst = 2.0 if dict(self.info.environment)["mood"] == "shaky" else 1.01
        total_s = (1e-6 + 1e-11 * network_work(network).macs) * self._noise.uniform(1.0, worst)
        kernels = [Kernel(layers=(layer.name,), primary=layer.name, unit="plain") for layer in network.layers]
        kernels.append(Kernel(tensor=network.outputs[0], unit="to_plain"))
        return Measurement(
            network_id=network.id,
            device=self.info,
            values_s=(total_s,),
            kernels=tuple(
                KernelMeasurement(kernel=kernel, values_s=(total_s / len(kernels),)) for kernel in kernels
            ),
            conditions={"reference_s": 1e-3, "load_fraction": 0.25, "clock_hz": 2.5e9},
            seed=seed,
        )


@pytest.fixture(autouse=True)
def boards(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("probe_boards")
    module.open_board = Board  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "probe_boards", module)
    found = [EntryPoint(name="probe", value="probe_boards:open_board", group=registry.ENTRY_POINT_GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda *, group: found)


@pytest.fixture
def annette(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*words: str) -> tuple[int, str, str]:
        code = exit_code(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_measure_tells_latency_repeatability_and_executed_kernels(annette: Any) -> None:
    code, text, _ = annette("measure", "zoo:lenet5", "-d", "probe:calm")
    assert code == 0
    for words in ("lenet5 on board: ", "a board for tests", "steady: visits differ by", "least of 3 visits",
                  "drift divided out", "load of the machine 25", "clock 2.50 GHz", "and 1 move of tensors",
                  "unit", "to_plain", "by unit: plain"):  # fmt: skip
        assert words in text, words


def test_measure_says_what_to_do_about_an_unstable_machine(annette: Any) -> None:
    text = annette("measure", "zoo:lenet5", "-d", "probe:shaky")[1]
    assert "unstable: visits differ by" in text
    assert "stop other programs" in text


def test_measure_gives_machines_every_visit(annette: Any) -> None:
    document = json.loads(annette("measure", "zoo:lenet5", "-d", "probe:calm", "--format", "json")[1])
    values = [value for item in document["visits"] for value in item["values_s"]]
    assert len(values) == 3
    assert document["latency_s"] == min(values)
    assert document["stability"]["verdict"] == "steady"
    assert document["conditions"]["reference_s"] == 1e-3
    move = document["kernels"][-1]
    assert (move["family"], move["unit"], move["layers"]) == ("move", "to_plain", [])
    assert move["tensor"]
    assert sum(item["latency_s"] for item in document["kernels"]) == pytest.approx(document["latency_s"])


def test_benchmark_tells_noise_and_what_stays_unstable(annette: Any, tmp_path: Path) -> None:
    plan, store = tmp_path / "tiny.yaml", tmp_path / "run.db"
    plan.write_text(PLAN.replace("conv: 40, pool: 10, gemm: 10", "conv: 4"), encoding="utf-8")
    words = ("benchmark", "-d", "probe:shaky", "--plan", str(plan), "-s", str(store))
    code, text, err = annette(*words)
    assert code == 0, err
    assert "unstable: the visits of" in text
    assert "stop other programs" in text
    assert "noise: the reference network took 1.00 ms and drifted by 0" in text
    assert "3 or more of each" in text
    document = json.loads(annette(*words, "--format", "json")[1])
    assert document["visits"] > 3 * document["planned"]
    assert (document["visits_per_benchmark"], document["visits_now"]) == (3, 0)
    assert document["unstable"]
    assert document["noise"]["load_fraction"] == 0.25


def test_benchmark_refuses_what_would_make_every_time_wrong(annette: Any, tmp_path: Path) -> None:
    plan, store = tmp_path / "tiny.yaml", tmp_path / "run.db"
    plan.write_text(PLAN, encoding="utf-8")
    words = ("benchmark", "--plan", str(plan), "-s", str(store), "-d")
    code, _, err = annette(*words, "probe:calm", "--jobs", "2")
    assert (code, err.count("\n")) == (2, 1)
    assert "one network at a time" in err
    assert not store.exists()
    assert annette(*words, "probe:calm")[0] == 0
    code, _, err = annette(*words, "probe:shaky")
    assert (code, err.count("\n")) == (1, 1)
    assert "mood ('calm' then, 'shaky' now)" in err


def test_a_recorded_campaign_trains_and_replays_without_its_device(annette: Any, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    plan, store, recorded = tmp_path / "tiny.yaml", tmp_path / "run.db", tmp_path / "run.parquet"
    plan.write_text(PLAN, encoding="utf-8")
    words = ("benchmark", "--plan", str(plan), "-d")
    code, text, err = annette(*words, "zcu102-dpu", "-s", str(store), "--record", str(recorded))
    assert code == 0, err
    assert f"exported to {recorded}" in text
    folders = [tmp_path / "from_store", tmp_path / "from_parquet"]
    for source, folder in zip((store, recorded), folders, strict=True):
        code, _, err = annette("train", str(source), "--output", str(folder))
        assert code == 0, err
    files = [{item.name: item.read_bytes() for item in folder.iterdir()} for folder in folders]
    assert files[0] == files[1]
    code, text, err = annette(*words, f"replay:{recorded}", "-s", str(tmp_path / "again.db"))
    assert code == 0, err
    assert "70 of 70 benchmarks measured on zcu102-dpu, 0 failed" in text


@pytest.mark.parametrize("name", ["run.csv", "no/run.parquet", ""])
def test_a_place_that_cannot_hold_the_record_is_found_before_measuring(
    annette: Any, tmp_path: Path, name: str
) -> None:
    store = tmp_path / "run.db"
    words = ("benchmark", "-d", "probe:calm", "--plan", "quick", "-s", str(store))
    code, _, err = annette(*words, "--record", str(tmp_path / name))
    assert (code, err.count("\n")) == (2, 1)
    assert "--record" in err
    assert not store.exists()


def test_the_plans_are_named_in_the_help(annette: Any) -> None:
    from annette.benchmark.plan import list_plans

    text = " ".join(annette("benchmark", "--help")[1].split())
    assert all(name in text for name, _ in list_plans())
