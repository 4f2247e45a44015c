"""Files of strangers are data: nothing on the way of loading them can run code, and nothing does."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import annette

PACKAGE = Path(annette.__file__).parent
EXAMPLES = Path(__file__).resolve().parents[1] / "data"
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

FORBIDDEN_MODULES = frozenset(
    ("pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "code", "runpy")
)  # fmt: skip
FORBIDDEN_CALLS = frozenset(("eval", "exec", "compile", "__import__"))
FORBIDDEN_LOADERS = frozenset(
    ("joblib.load", "numpy.load", "np.load", "torch.load", "pandas.read_pickle", "pd.read_pickle",
     "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "os.system")
)  # fmt: skip
WORDS = re.compile(
    r"\b(_?pickle|marshal|shelve|dill|cloudpickle|code|runpy|eval|exec|(?<!re\.)compile|__import__|import_module|"
    r"load|read_pickle|unsafe_load|full_load|load_all|system|allow_pickle)\b"
)
NAMES_TO_MODULES = {
    Path("backends/registry.py"): "a table of ours, and entry points of installed packages",
    Path("zoo/registry.py"): "a table of ours",
    Path("zoo/spaces/registry.py"): "a table of ours",
}
"""Where a name leads to a module: never a name out of a file."""


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def _faults(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            names = [module] if isinstance(node, ast.ImportFrom) else [item.name for item in node.names]
            yield from (f"imports {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES)
            found = [f"{module}.{item.name}" for item in node.names]
            yield from (f"imports {name}" for name in found if name in FORBIDDEN_LOADERS)
        if isinstance(node, ast.Call):
            name = _called(node)
            if name in FORBIDDEN_CALLS or name in FORBIDDEN_LOADERS:
                yield f"calls {name}"
            if any(keyword.arg == "allow_pickle" for keyword in node.keywords):
                yield "passes allow_pickle"
            loaders = [ast.unparse(item.value) for item in node.keywords if item.arg == "Loader"]
            if name == "yaml.load" and loaders != ["_StrictLoader"]:
                yield "reads YAML with a loader that makes objects"


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    """The modules of the package (readers are a part of it) in whose text one of the words stands at all."""
    texts = {module: (PACKAGE / module).read_text(encoding="utf-8") for module in MODULES}
    return {module: ast.parse(text) for module, text in texts.items() if WORDS.search(text)}


def test_no_module_can_make_code_of_data(trees: dict[Path, ast.Module]) -> None:
    assert len(MODULES) > 200
    assert Path("hardware/yaml_text.py") in trees
    assert {str(module): faults for module, tree in trees.items() if (faults := list(_faults(tree)))} == {}


@pytest.mark.parametrize(
    "text",
    ["import pickle", "from marshal import loads", "import os, dill.x", "eval('1')", "joblib.load(p)",
     "f(allow_pickle=1)", "yaml.load(t, Loader=yaml.Loader)", "yaml.load(t)", "from numpy import load",
     "exec(compile(a, b, c))"],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(text: str) -> None:
    assert list(_faults(ast.parse(text)))


def test_names_lead_to_modules_in_known_places_only(trees: dict[Path, ast.Module]) -> None:
    found = {
        module
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _called(node).split(".")[-1] == "import_module"
    }
    assert found == set(NAMES_TO_MODULES)


WATCHED = """
import json, sys
from pathlib import Path
from annette.backends.replay import open_replay
from annette.calibration.codec import load_calibrated
from annette.estimation.platform import Platform
from annette.evaluation.repeats import read_repeats
from annette.graph.codec import network_from_json
from annette.graph.onnx_reader import read_onnx
from annette.hardware.codec import load_accelerator
from annette.store.campaign import CampaignStore

def use(folder):
    network = network_from_json((folder / "network-1.json").read_text())
    Platform.load(folder / "platform-1").estimate(network)
    load_calibrated(folder / "calibrated-1")
    read_repeats(folder / "repeats-1.json")
    read_onnx(folder / "network.onnx", batch=1)
    load_accelerator(str(folder / "accelerator.yaml"))
    open_replay(str(folder / "campaign-1.parquet"))
    for name in ("campaign-1.parquet", "store-2.sqlite"):
        with CampaignStore.open(folder / name) as store:
            list(store.records())

folder, again = map(Path, sys.argv[1:])
use(folder)  # whatever is imported is imported now
seen = []
def watch(event, arguments):
    kind = event.split(".")[0]
    is_code = kind in ("exec", "compile", "import", "pickle", "marshal", "code", "ctypes", "subprocess")
    is_deed = kind == "socket" or event in ("os.system", "os.exec", "os.fork", "os.remove", "os.rename")
    path = arguments[0] if event == "open" and isinstance(arguments[0], str) else str(again)
    if is_code or is_deed or not path.startswith((str(again), "/proc", "/sys")):
        seen.append([event, repr(arguments)[:200]])
sys.addaudithook(watch)
use(again)
print(json.dumps(seen))
"""


def test_loading_runs_no_code_starts_nothing_and_opens_only_what_it_was_given(tmp_path: Path) -> None:
    folders = (tmp_path / "first", tmp_path / "again")
    for folder in folders:
        shutil.copytree(EXAMPLES / "schema", folder)
        shutil.copy(EXAMPLES / "onnx" / "residual_dynamo.onnx", folder / "network.onnx")
        shutil.copy(PACKAGE / "hardware" / "presets" / "ncs2.yaml", folder / "accelerator.yaml")
    words = [sys.executable, "-c", WATCHED, *map(str, folders)]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == []
