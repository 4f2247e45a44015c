"""What the commands say of energy: where it is known, and nothing where it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annette.cli.main import exit_code
from annette.estimation.platform import Platform
from annette.store.campaign import CampaignStore
from annette.units import format_joules

Run = Callable[..., str]
DEVICE = "systolic-32x32-ws"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> str:
        assert exit_code(list(words)) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return call


@pytest.fixture(scope="module")
def folder(energy_platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("platform") / "metered"
    energy_platform.save(path)
    return str(path)


def _json(run: Run, *words: str) -> Any:
    return json.loads(run(*words, "--format", "json"))


def test_estimate_shows_joules_of_the_network_and_of_each_kernel(run: Run, folder: str) -> None:
    words = ("estimate", "zoo:squeezenet1_1", "--platform", folder)
    document, text = _json(run, *words), run(*words)
    assert document["energy_j"] == pytest.approx(sum(item["energy_j"] for item in document["kernels"]))
    lines = text.splitlines()
    assert lines[0].endswith(format_joules(document["energy_j"]))
    header = next(line for line in lines if line.startswith("kernel "))
    assert header.split()[-1] == "energy"
    costliest = max(document["kernels"], key=lambda item: item["latency_s"])
    row = next(line for line in lines if line.startswith(costliest["name"][:40]))
    assert row.endswith(format_joules(costliest["energy_j"]))


def test_estimate_without_energy_has_no_such_column(run: Run) -> None:
    words = ("estimate", "zoo:squeezenet1_1", "--platform", "zcu102-dpu")
    assert _json(run, *words)["energy_j"] is None
    assert "energy" not in run(*words)


def test_measure_shows_the_energy_of_a_device_that_knows_it(run: Run) -> None:
    words = ("measure", "zoo:squeezenet1_1", "--device", DEVICE)
    document, text = _json(run, *words), run(*words)
    assert document["energy_j"] == pytest.approx(sum(item["energy_j"] for item in document["kernels"]))
    assert text.splitlines()[0].endswith(format_joules(document["energy_j"]))
    silent = ("measure", "zoo:squeezenet1_1", "--device", "zcu102-dpu")
    assert _json(run, *silent)["energy_j"] is None
    assert "energy" not in run(*silent)


def test_show_names_what_an_operation_a_byte_and_a_kernel_take(
    run: Run, folder: str, energy_platform: Platform
) -> None:
    document, text = _json(run, "show", folder), run("show", folder)
    parameters = document["energy_parameters"]
    assert parameters["target"] == "energy"
    heading = "energy: joules = ops * per op + bytes * per byte + per kernel"
    lines = text.partition(heading)[2].splitlines()
    everything = next(line for line in lines if line.startswith("all others"))
    assert format_joules(1 / parameters["peak_ops_per_j"]) in everything
    assert format_joules(1 / parameters["bandwidth_bytes_per_j"]) in everything
    assert _json(run, "show", "zcu102-dpu")["energy_parameters"] is None
    assert "energy" not in run("show", "zcu102-dpu").partition("mapping rules")[0]


def test_train_says_that_energy_was_learned(run: Run, energy_store_path: Path, tmp_path: Path) -> None:
    with CampaignStore.open(energy_store_path) as store:
        records = list(store.records())[:40]
        with CampaignStore.create(tmp_path / "run.db", device=store.device, plan=store.plan) as few:
            few.add_tasks([record.task for record in records])
            for record in records:
                few.record(record.task.id, record.measurement)
    text = run("train", str(tmp_path / "run.db"), "--output", str(tmp_path / "new"))
    assert "energy: joules = ops * per op" in text
    assert _json(run, "show", str(tmp_path / "new"))["metrics"]["energy"]["measured_kernels"] > 0


def test_evaluate_reports_energy_beside_latency(run: Run, folder: str) -> None:
    words = ("evaluate", "--platform", folder, "--suite", "nasbench101-2")
    document, text = _json(run, *words), run(*words)
    assert set(document["energy"]["models"]) == set(document["models"])
    latency, _, energy = text.partition("\nenergy\n")
    assert "Kendall tau" in latency
    assert format_joules(document["networks"][0]["measured_j"]) in energy
    mape = f"{100 * document['energy']['models']['mixed']['mape']:.1f} %"
    assert mape in next(line for line in energy.splitlines() if line.startswith("mixed"))
