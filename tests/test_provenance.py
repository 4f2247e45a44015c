"""What recorded results say of where they come from: a command that holds on any machine."""

from __future__ import annotations

import importlib.util
import json
import shlex
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
RESULTS = sorted((BENCHMARKS / "results").glob("*.json"))


@pytest.fixture(scope="module")
def provenance() -> ModuleType:
    path = BENCHMARKS / "studies" / "provenance.py"
    specification = importlib.util.spec_from_file_location("provenance_of_studies", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["/somewhere/study.py"], ""),
        (["study.py", "/an/environment/bin/python", "--jobs", "3"], " python --jobs 3"),
        (["study.py", "--venv=/an/environment", "--points", "../shared/a.csv"],
         " --venv=environment --points ../shared/a.csv"),
        (["study.py", "--name=a/b", "a=/b"], " --name=a/b a=/b"),
    ],
)  # fmt: skip
def test_absolute_paths_are_shown_by_their_name(provenance: ModuleType, words: list[str], shown: str) -> None:
    assert provenance.shown_command(words) == "python benchmarks/studies/study.py" + shown


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_no_recorded_command_names_a_path_of_one_machine(path: Path) -> None:
    command = json.loads(path.read_text(encoding="utf-8"))["provenance"]["command"]
    words = shlex.split(command)
    assert words[:1] == ["python"]
    assert (BENCHMARKS.parent / words[1]).is_file(), "the study that it came from"
    assert not [word for word in words if Path(word.partition("=")[2] or word).is_absolute()]
