"""What fuzzing (make fuzz) once found, and what is known to hurt readers: refused in one line, or taken.

A case is ``corpus/TARGET/NAME``; what TARGET means stands in benchmarks/fuzz/fuzz_targets.py. All run in one
process that may take 2 GB, ten seconds each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CORPUS = Path(__file__).parent / "corpus"
FUZZ = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz"
CASES = sorted(str(path.relative_to(CORPUS)) for path in CORPUS.glob("*/*"))


@pytest.fixture(scope="module")
def faults() -> dict[str, str | None]:
    """What is wrong with each case; a process that died has said nothing of the one it died of."""
    words = [sys.executable, str(FUZZ / "fuzz_worker.py"), str(CORPUS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    ended = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, timeout=120)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    found = {line["case"]: line["fault"] for line in lines}
    return {case: found.get(case, f"the process ended with {ended.returncode}") for case in CASES}


@pytest.mark.parametrize("case", CASES)
def test_a_case_of_the_corpus_is_taken_or_refused_in_one_line(
    faults: dict[str, str | None], case: str
) -> None:
    assert faults[case] is None
