"""What the pages of the documentation show runs: their commands in order, their Python, their YAML.

Commands that the README shows too are run by its own test, which this one checks. Where a page trains a
platform, the same command runs with a smaller plan or suite (`SMALLER`).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import yaml

from annette.backends.command_file import command_file_from_yaml
from annette.cli.main import exit_code

sys.path.insert(0, str(Path(__file__).parent))
from pages import (
    DOCS,
    ROOT,
    all_pages,
    blocks,
    commands,
    execute,
    read_page,
    substituted,
    workflow_commands,
)

OWN_TEST = {
    "search.md": "tests/docs/test_search_page.py",
    "evaluation.md": "tests/docs/test_evaluation_page.py",
    "kernel_tables.md": "tests/docs/test_kernel_tables_page.py",
    "reports.md": "tests/docs/test_reports_page.py",
    "compare.md": "tests/docs/test_compare_page.py",
    "few_measurements.md": "tests/docs/test_few_measurements_page.py",
}
"""Pages whose blocks need more than a place to run in."""
PAGES = [name for name in all_pages() if name not in OWN_TEST]
SMALLER = {
    "quick": str(ROOT / "tests" / "data" / "plans" / "tiny.yaml"),
    "classic12": "nasbench101-2",
    "2": "1",  # processes: starting another takes longer than the campaign
}
NO_COMMANDS_OF_OURS = ("pip install ", "make ")
LANGUAGES = {"console", "python", "yaml", "text"}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that pages speak of: a network in ONNX and in the original ANNETTE's JSON."""
    from annette.graph.onnx_writer import write_onnx
    from annette.zoo.registry import zoo_network

    folder = tmp_path_factory.mktemp("docs")
    write_onnx(zoo_network("lenet5"), folder / "model.onnx")
    shutil.copy(ROOT / "tests" / "data" / "annette_json" / "small.json", folder / "net.json")
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(
    page: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace)
    elsewhere = commands(read_page("README.md"))
    for line in commands(read_page(page)):
        if line in elsewhere:
            continue
        if not line.startswith("annette "):
            assert line.startswith(NO_COMMANDS_OF_OURS), line
            continue
        code = exit_code(substituted(line, SMALLER))
        captured = capsys.readouterr()
        assert code == 0, f"{line}\n{captured.err}"
        assert captured.out.strip(), line


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(
    page: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace)
    for block in blocks(read_page(page), "python"):
        execute(block.text, page)
        assert not capsys.readouterr().err


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_is_of_a_kind_that_is_tested(page: str) -> None:
    assert {block.language for block in blocks(read_page(page))} <= LANGUAGES


def test_pages_with_a_test_of_their_own_have_it() -> None:
    for page, test in OWN_TEST.items():
        assert (DOCS / page).is_file()
        assert page in (ROOT / test).read_text(encoding="utf-8")


def test_the_board_of_the_page_is_a_description_that_is_read(tmp_path: Path) -> None:
    (block,) = blocks(read_page("your_device.md"), "yaml")
    found = command_file_from_yaml(block.text, "board.yaml", folder=tmp_path)
    assert found.name == "my-board"


def test_the_action_of_the_page_is_a_workflow_whose_checks_run(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = blocks(read_page("ci.md"), "yaml")
    document = yaml.safe_load(block.text)
    monkeypatch.chdir(workplace)
    checks = list(workflow_commands(document))
    assert len(checks) == 2
    for line in checks:
        assert exit_code(substituted(line, {})) == 0, line
