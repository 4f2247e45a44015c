"""What docs/few_measurements.md shows runs: from suggestions to a model in a search loop, and its tables."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from annette.cli.main import exit_code
from annette.zoo.spaces.registry import open_space

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "studies"))
from pages import blocks, commands, execute, read_page

NAME = "few_measurements.md"
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
PAGE = read_page(NAME)
COMMANDS = commands(PAGE)


def _run(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    command, _, file = line.partition(" > ")
    assert exit_code(shlex.split(command)[1:]) == 0, line
    out = capsys.readouterr().out
    if file:
        Path(file).write_text(out, encoding="utf-8")
    return out


def test_the_commands_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("annette.calibration.sources.PRIOR_NETWORKS", 10)
    space = open_space("nasbench201")
    first, *others = COMMANDS
    _run(first, capsys)
    header, *rows = Path("ten.csv").read_text(encoding="utf-8").splitlines()
    filled = [f"{row}{2 + space.parse(row.rstrip(',')).count(3)}" for row in rows]  # timed on the device
    Path("ten.csv").write_text("\n".join([header, *filled]), encoding="utf-8")
    found = [_run(line, capsys) for line in others]
    assert "my-phone: calibrated by 10 latencies" in found[0]
    assert "on my-phone: " in found[2]
    assert "zcu102-dpu" in found[3]


def test_the_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(PAGE, "python")
    assert execute(block.text, NAME)["model"].name == "my-stick"
    assert "90 % between" in capsys.readouterr().out


def test_the_table_of_networks_is_calibrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(PAGE, "csv")
    Path("networks.csv").write_text(block.text, encoding="utf-8")
    (line,) = (item for item in PAGE.split("`") if item.startswith("annette calibrate networks.csv"))
    assert "calibrated by 5 latencies of networks" in _run(line, capsys)


def test_the_tables_say_what_was_recorded_and_how_much_is_covered() -> None:
    import readme_tables

    few, prior, intervals = (
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("few_measurements", "prior_zcu102", "few_intervals")
    )
    for table in (
        readme_tables.few_table(few, intervals),
        readme_tables.few_covered_table(intervals),
        readme_tables.few_devices_table(few, intervals),
        readme_tables.prior_table(prior),
    ):
        assert table in PAGE
    for way in ("without prior", "with prior"):
        covered = prior["5"][f"designed, {way}"]["coverage"]["mean"]
        (row,) = (line for line in PAGE.splitlines() if line.startswith("| 5 | "))
        assert f"| {covered:.0%} |" in row
    for sort, start in (
        ("designed", "Of ten designed ones 85 % are covered on"),
        ("random", "of ten random ones on"),
    ):
        enough = sum(item[f"10 {sort}"] >= 0.85 for item in intervals["coverage"].values())
        assert f"{start} {enough} " in " ".join(PAGE.split())
    missed = [key for key, item in intervals["coverage"].items() if item["5 designed"] < 0.85]
    (row,) = (line for line in PAGE.splitlines() if line.startswith("| 5 designed |"))
    counts = [int(cell.split(" of ")[0]) for cell in row.split("|") if " of " in cell]
    assert sum(counts) == len(intervals["coverage"]) - len(missed)
