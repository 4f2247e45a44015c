"""What docs/kernel_tables.md shows runs: schema and rows, and the commands on a larger table of that kind."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from annette.cli.main import exit_code
from annette.tables.importing import read_table
from annette.tables.schema import SHAPES, SIZES, list_schemas, read_schema

sys.path.insert(0, str(Path(__file__).parents[1] / "tables"))
import made_table

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "kernel_tables.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (.*)$", PAGE, flags=re.MULTILINE)


def _block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return str(found)


def test_the_schema_reads_the_rows_that_the_page_shows(tmp_path: Path) -> None:
    schema = made_table.write_schema(tmp_path, _block("yaml"))
    (tmp_path / "kernels.csv").write_text(_block("csv"))
    found = read_table(tmp_path / "kernels.csv", read_schema(schema))
    assert not found.problems
    assert [kernel.operator for kernel in found.kernels] == ["Conv", "MaxPool", "Gemm"]
    assert found.kernels[0].fused == ("Relu",)


def test_the_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = made_table.rows()
    made_table.write(tmp_path, rows)
    made_table.write_networks(tmp_path, rows)
    made_table.write_schema(tmp_path, _block("yaml"))
    assert len(COMMANDS) == 7
    for command in COMMANDS:
        assert exit_code(shlex.split(command)[1:]) == 0, command
    text = capsys.readouterr().out
    assert "on winograd if" in text
    assert "beyond the kernels" in text
    assert "2 networks of the table (6 more, trained on, left out)" in text


@pytest.mark.parametrize("name", [*list_schemas(), *SIZES, *SHAPES])
def test_every_size_and_format_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE
