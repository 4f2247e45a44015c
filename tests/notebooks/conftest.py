"""What the tests of notebooks share: a fresh run, and what a notebook imports."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture(scope="session")
def run_notebook() -> Callable[[str], list[nbformat.NotebookNode]]:
    """Runs a notebook by its name and gives its outputs; an error in a cell is raised."""
    path = NOTEBOOKS / "execute.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(name: str) -> list[nbformat.NotebookNode]:
        notebook = module.execute(NOTEBOOKS / f"{name}.ipynb")
        return [output for cell in notebook.cells for output in cell.get("outputs", ())]

    return run


@pytest.fixture(scope="session")
def private_uses() -> Callable[[str], set[str]]:
    """What a notebook takes from annette though it is no promise: outside ``__all__``, or ``_private``."""

    def find(name: str) -> set[str]:
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
        nodes = list(ast.walk(ast.parse(code)))
        ours = [
            node
            for node in nodes
            if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "annette"
        ]
        assert ours
        offered = {str(node.module): importlib.import_module(str(node.module)).__all__ for node in ours}
        imported = {
            f"{node.module}.{item.name}"
            for node in ours
            for item in node.names
            if item.name not in offered[str(node.module)]
        }
        attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        return imported | {name for name in attributes if name.startswith("_")}

    return find


@pytest.fixture(scope="session")
def notebook_words() -> Callable[[str], str]:
    """The text cells of a notebook as one line."""

    def read(name: str) -> str:
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        text = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        return " ".join(text.split())

    return read


@pytest.fixture(scope="module")
def outputs(
    request: pytest.FixtureRequest, run_notebook: Callable[[str], list[nbformat.NotebookNode]]
) -> list[nbformat.NotebookNode]:
    """What the notebook of a test module, its ``NAME``, puts out in a fresh run."""
    return run_notebook(request.module.NAME)


@pytest.fixture(scope="module")
def text(outputs: list[nbformat.NotebookNode]) -> str:
    """The words among that."""
    return "\n".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs
    )
