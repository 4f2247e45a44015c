"""The calibration on networks of a real board: networks are their pieces, halves are apart, figures hold."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from annette.hardware.codec import load_accelerator
from annette.simulator.run import simulate
from annette.zoo.spaces.registry import open_space

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT.parent / "shared" / "data" / "real" / "mnasnet_space_zcu102.parquet"
RECORDED = ROOT / "benchmarks" / "results" / "calibrate_zcu102_networks.json"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "studies"))
    return importlib.import_module("calibrate_zcu102_networks")


def test_a_network_takes_what_its_pieces_take(study: ModuleType) -> None:
    space, accelerator = open_space("mnasnet"), load_accelerator("zcu102-dpu")
    rows = space.sample(3, seed=5)
    pieces, counts = study.split(space, rows)
    networks = study.Networks(encodings=rows, measured_s=np.ones(3), pieces=pieces, counts=counts)
    whole = [simulate(space.network(row), accelerator).latency_s for row in rows.tolist()]
    assert study.simulated_s(accelerator, networks) == pytest.approx(whole, rel=1e-12)


def test_before_gates_ran_on_the_host_and_nothing_else_differs(study: ModuleType) -> None:
    space, now = open_space("mnasnet"), load_accelerator("zcu102-dpu")
    gates, plain = (space.network(space.parse(" ".join([f"e4k3l1{end}"] * 7))) for end in ("s", ""))
    old = study.before(now, on_host=True)
    units = [{item.kernel.unit for item in simulate(gates, device).kernels} for device in (old, now)]
    assert units == [{"array", "vector", "host"}, {"array", "vector"}]
    kernels = [
        {
            item.kernel: item.latency_s
            for item in simulate(plain, device).kernels
            if item.kernel.unit == "array"
        }
        for device in (old, now)
    ]
    assert kernels[0] == kernels[1]


def test_the_recorded_figures_are_those_of_the_preset(study: ModuleType) -> None:
    if not TABLE.is_file():
        pytest.skip(f"the measured networks are not here: {TABLE.name}")
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    networks = study.read_networks(TABLE)
    order = np.random.default_rng(recorded["settings"]["seed"]).permutation(len(networks.measured_s))
    judged = networks[np.sort(order[len(order) // 2 :])]
    found = study.figures(load_accelerator("zcu102-dpu"), judged, recorded["parameters"]["call_s"])
    for title, row in found.items():
        assert row == pytest.approx(recorded["held_out"]["after"][title], abs=2e-5)
    assert found["all"]["spearman"] >= 0.95
