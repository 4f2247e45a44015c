"""The study of real devices and its notebook run from recorded data, here of a simulated device."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from annette.store.campaign import CampaignStore

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "real_cpu.ipynb"
RECORDED = ROOT / "data" / "real-cpu"
SUITE = """
schema_version: 1
name: tiny
description: to try the study
groups:
  networks: ["zoo:lenet5", "zoo:tc_resnet8", "zoo:squeezenet1_1"]
  cells: ["suite:nasbench101-3"]
"""


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_store_path: Path) -> Path:
    """A recorded campaign and evaluation of a simulated device."""
    folder = tmp_path_factory.mktemp("recorded")
    with CampaignStore.open(small_store_path) as store:
        store.export_campaign(folder / "campaign.parquet")
    suite = folder / "tiny.yaml"
    suite.write_text(SUITE, encoding="utf-8")
    command = [sys.executable, "benchmarks/studies/real_cpu.py", "--measure-only", "--folder", str(folder)]
    options = ["--suite", str(suite), "--device", "simulator:zcu102-dpu", "--lookup", "simulator:zcu102-dpu"]
    groups = ["--group", "networks", "--group", "cells"]
    subprocess.run([*command, *options, *groups], cwd=ROOT, check=True, capture_output=True)
    return folder


def test_the_study_records_what_scoring_needs(folder: Path) -> None:
    with CampaignStore.open(folder / "evaluation.parquet") as store:
        records = list(store.records())
    assert [record.task.group for record in records] == ["networks"] * 3 + ["cells"] * 3
    repeats = json.loads((folder / "repeats.json").read_text(encoding="utf-8"))
    assert len(repeats["lookup_fractions"]) == 3


def test_targets_say_what_was_reached() -> None:
    tables = _load(ROOT / "benchmarks" / "studies" / "real_cpu_tables.py")
    figures = {
        "networks": 40, "mape": 0.04, "bias": 0.01, "worst": 0.2, "within_10_percent": 0.95, "spearman": None,
    }  # fmt: skip
    document = {
        "groups": {
            "networks": {
                "mapping": {"accuracy": 0.99},
                "learned": dict.fromkeys(tables.MODELS, figures),
                "oracle": {"mixed": {**figures, "mape": 0.035}},
                "lookup": {**figures, "mape": 0.09},
                "repeat": {**figures, "mape": 0.02},
            }
        }
    }
    document["targets"] = tables.check_targets(document)
    verdicts = {row["figure"]: row["met"] for row in document["targets"]}
    assert verdicts == {
        "mape": True, "worst": False, "within_10_percent": True, "mape above oracle": True,
        "mape above look-up": True,
    }  # fmt: skip
    text = tables.markdown(document)
    assert "| 40 real networks | **mixed** | 4.0% | +1.0% | 20.0% | 95% | - | 99.0% |" in text
    assert "MISSED: networks worst" in text


def test_the_notebook_runs_on_recorded_data(folder: Path) -> None:
    notebook = _load(ROOT / "notebooks" / "execute.py").execute(NOTEBOOK, data=folder)
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 5


def _thin(source: Path, target: Path, step: int) -> None:
    """Every ``step``-th network of a recorded campaign; its visits are one already."""
    target.parent.mkdir(exist_ok=True)
    with CampaignStore.open(source) as whole:
        visited = list(whole.visits())[::step]
        device = replace(whole.device, visits=1)
        with CampaignStore.create(target.with_suffix(".db"), device=device, plan=whole.plan) as thin:
            thin.add_tasks([task for task, _ in visited])
            for task, visits in visited:
                for visit in visits:
                    thin.record(task.id, replace(visit, device=device))
            thin.export_campaign(target)


@pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded campaign in data/real-cpu")
def test_the_notebook_runs_on_a_part_of_the_recorded_campaign_of_a_real_cpu(tmp_path: Path) -> None:
    _thin(RECORDED / "campaign.parquet", tmp_path / "campaign.parquet", 20)
    _thin(RECORDED / "evaluation.parquet", tmp_path / "evaluation.parquet", 6)
    (tmp_path / "repeats.json").write_bytes((RECORDED / "repeats.json").read_bytes())
    notebook = _load(ROOT / "notebooks" / "execute.py").execute(NOTEBOOK, data=tmp_path)
    assert all(output.output_type != "error" for cell in notebook.cells for output in cell.get("outputs", ()))


@pytest.mark.slow
@pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded campaign in data/real-cpu")
def test_the_notebook_runs_on_the_recorded_campaign_of_a_real_cpu() -> None:
    notebook = _load(ROOT / "notebooks" / "execute.py").execute(NOTEBOOK)
    assert all(output.output_type != "error" for cell in notebook.cells for output in cell.get("outputs", ()))
