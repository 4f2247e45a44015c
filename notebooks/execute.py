"""Runs notebooks and keeps their outputs in them, so that people see the plots where notebooks are shown.

python notebooks/execute.py notebooks/real_cpu.ipynb [--data FOLDER] [--output FILE]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nbformat
from nbclient import NotebookClient

TIMEOUT_S = 600


def execute(path: Path, *, data: Path | None = None) -> nbformat.NotebookNode:
    """The notebook with fresh outputs; ``data`` takes the place of the folder that its parameters name."""
    notebook = nbformat.read(path, as_version=4)
    if data is not None:
        cell = next(item for item in notebook.cells if "parameters" in item.metadata.get("tags", ()))
        cell.source += f"\nDATA = Path({str(data.resolve())!r})"
    client = NotebookClient(notebook, timeout=TIMEOUT_S, resources={"metadata": {"path": str(path.parent)}})
    client.execute()
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--data", type=Path, help="read this folder instead")
    parser.add_argument("--output", type=Path, help="write here instead of in place")
    arguments = parser.parse_args()
    notebook = execute(arguments.notebook, data=arguments.data)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of the run: they differ each time
    nbformat.write(notebook, arguments.output or arguments.notebook)


if __name__ == "__main__":
    main()
