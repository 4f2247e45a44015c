"""Reads every topology and configuration of a SCALE-Sim checkout, beside the loaders of SCALE-Sim 3.0.0.

    python -m venv VENV && VENV/bin/pip install scalesim==3.0.0 numpy==2.3.5
    python benchmarks/studies/scalesim_files.py VENV/bin/python CHECKOUT

Says which files either refuses and why, and whether M, K, N of every layer, or array and buffers, are equal
where both read them. The package of SCALE-Sim holds none of these files; a checkout of its repository does.
Prints only: what is in a checkout is not ours to record.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from scalesim_reference import reference_reports

from annette.errors import HardwareError
from annette.hardware.scalesim_files import read_configuration, read_topology


def is_product(path: Path) -> bool:
    """Whether the first line names M, N and K; SCALE-Sim has to be told."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    names = [cell.strip().lower() for cell in lines[0].split(",")] if lines else []
    return names[1:4] == ["m", "n", "k"]


def ours(path: Path) -> dict[str, Any]:
    """What annette reads, in the words of scalesim_run.py."""
    try:
        if path.suffix == ".cfg":
            found = read_configuration(path)
            buffers = (found.input_buffer_bytes, found.weight_buffer_bytes, found.output_buffer_bytes)
            array = found.array
            sizes = [size // 1024 for size in buffers]
            return {"configuration": [array.rows, array.columns, array.dataflow, *sizes]}
        return {"layers": [[item.m, item.k, item.n] for item in read_topology(path)]}
    except HardwareError as error:
        return {"error": str(error)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("python", help="The Python of an environment with scalesim 3.0.0.")
    parser.add_argument("checkout", type=Path)
    arguments = parser.parse_args()
    root = arguments.checkout
    paths = [*sorted((root / "topologies").rglob("*.csv")), *sorted((root / "configs").rglob("*.cfg"))]
    jobs = [{"load": str(path), "is_product": is_product(path)} for path in paths]
    outcomes: Counter[str] = Counter()
    for path, theirs in zip(paths, reference_reports(arguments.python, jobs), strict=True):
        found, name = ours(path), path.relative_to(root)
        if "error" in found:
            outcome = f"refused by {'both' if 'error' in theirs else 'annette only'}: {found['error']}"
        elif "error" in theirs:
            outcome = f"read, refused by SCALE-Sim: {theirs['error'][:60]}"
        else:
            outcome = "equal" if found == theirs else f"DIFFERENT: {found} {theirs}"
        outcomes[outcome.partition(":")[0]] += 1
        print(f"{name}: {outcome}")
    print(dict(outcomes))


if __name__ == "__main__":
    main()
