"""The rooms of the design: imports point down only, rooms on one line do not know each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "annette"

FLOORS = (
    ("cli", "testing"),  # the second is for tests of what others ship
    ("report", "explore", "calibration", "tables"),
    ("evaluation",),
    ("estimation",),
    ("benchmark", "models"),
    ("backends",),
    ("store",),  # below the backends: one of them replays recorded campaigns
    ("simulator", "zoo"),
    ("hardware", "measurement"),
    ("graph", "parallel"),
    ("units", "errors", "resources"),
)
LEVEL = {room: len(FLOORS) - index for index, rooms in enumerate(FLOORS) for room in rooms}
FRONT_DOORS = {"__init__", "__main__"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import, expected an absolute one"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_rooms(path: Path) -> set[str]:
    names = (name.split(".") for name in imported_modules(path))
    return {parts[1] for parts in names if parts[0] == "annette" and len(parts) > 1 and parts[1] in LEVEL}


def test_every_room_stands_in_the_plan() -> None:
    rooms = {room_of(path) for path in MODULES} - FRONT_DOORS
    assert rooms <= set(LEVEL), f"rooms without a floor: {rooms - set(LEVEL)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_only(path: Path) -> None:
    room = room_of(path)
    if room in FRONT_DOORS:
        return  # the package's front door may lead anywhere, lazily
    upwards = {other for other in imported_rooms(path) if other != room and LEVEL[other] >= LEVEL[room]}
    assert not upwards, f"{room} imports {sorted(upwards)}"


@pytest.mark.parametrize("room", ["models", "estimation"])
def test_what_predicts_never_sees_what_produces_the_truth(room: str) -> None:
    seen = {other for path in (PACKAGE / room).rglob("*.py") for other in imported_rooms(path)}
    assert not seen & {"simulator", "backends", "benchmark", "hardware"}


def test_no_module_reads_pickles_or_evaluates_text() -> None:
    unsafe = {"pickle", "dill", "cloudpickle", "marshal", "shelve"}
    for path in MODULES:
        assert not unsafe & {name.split(".")[0] for name in imported_modules(path)}, path
        calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
        names = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
        assert not names & {"eval", "exec", "compile"}, path


def test_each_module_opens_with_its_purpose() -> None:
    for path in MODULES:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert docstring, f"{path}: no docstring that says what the module is for"
        assert docstring.splitlines()[0], path


def test_importing_annette_loads_nothing_heavy() -> None:
    heavy = ("onnx", "pandas", "sklearn", "xgboost", "scipy", "joblib", "typer", "rich", "yaml", "plotly")
    heavy = (*heavy, "jinja2", "playwright")
    code = f"import sys, annette; print([name for name in {heavy!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
