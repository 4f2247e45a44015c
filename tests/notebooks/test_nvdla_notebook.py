"""The case study of NVDLA runs with the public API alone, and what it says in words is what it finds."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

from annette.simulator.ceilings import find_root_causes
from annette.simulator.nvdla_description import Nvdla
from annette.simulator.nvdla_layers import sheet_network
from annette.simulator.nvdla_sheet import evaluate_sheet
from annette.zoo.registry import open_network

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "nvdla_case_study.ipynb"
FULL = Nvdla(macs_per_cycle=2048, buffer_bytes=512 * 1024, clock_hz=1e9, dram_bytes_per_s=10e9)


@pytest.fixture(scope="module")
def outputs() -> list[nbformat.NotebookNode]:
    """All outputs of a fresh run."""
    notebook = _execute_module().execute(NOTEBOOK)
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def _execute_module() -> ModuleType:
    path = ROOT / "notebooks" / "execute.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _code() -> str:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def _texts(outputs: list[nbformat.NotebookNode]) -> str:
    return "\n".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs
    )


def test_it_uses_nothing_but_what_is_promised() -> None:
    nodes = [node for node in ast.walk(ast.parse(_code())) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in nodes if node.module is not None and node.module.startswith("annette")]
    assert ours
    for node in ours:
        offered = importlib.import_module(str(node.module)).__all__
        assert {item.name for item in node.names} <= set(offered), node.module


def test_every_step_has_its_figure(outputs: list[nbformat.NotebookNode]) -> None:
    assert not [output for output in outputs if output.output_type == "error"]
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) == 6


def test_its_words_are_what_it_finds(outputs: list[nbformat.NotebookNode]) -> None:
    """Figures that the text names: cycles of both networks and the frames a second of the primer."""
    text = _texts(outputs)
    for figure in ("895,444", "268.8", "152.6", "92.95", "46.48", "19.98", "7.297", "3.648"):
        assert figure in text, figure
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    words = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    lenet = evaluate_sheet(sheet_network(open_network("zoo:lenet5")).layers, FULL).total_cycles
    alexnet = evaluate_sheet(sheet_network(open_network("zoo:alexnet,two_towers=true")).layers, FULL)
    assert f"{lenet:,.0f} cycles" in words
    assert f"{alexnet.total_cycles:,.4f} cycles" in words
    dram = find_root_causes(alexnet.ceilings)[0]
    assert (dram.ceiling, round(dram.fraction, 1)) == ("DRAM", 0.8), "four fifths of its time"


def test_the_outputs_that_are_kept_are_those_of_today(outputs: list[nbformat.NotebookNode]) -> None:
    """Of the sheet's rules; what the presets take may change with the simulator."""
    kept = nbformat.read(NOTEBOOK, as_version=4)
    lines = _texts([output for cell in kept.cells for output in cell.get("outputs", ())]).splitlines()
    fresh = _texts(outputs).splitlines()
    end = next(index for index, line in enumerate(lines) if "array.unroll" in line)
    assert end > 60
    assert lines[:end] == fresh[:end]
