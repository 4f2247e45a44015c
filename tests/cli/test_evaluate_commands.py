"""``annette evaluate`` on search spaces and on recorded tables, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annette.cli.evaluate_recorded import print_table_evaluation
from annette.cli.main import exit_code
from annette.zoo.spaces.registry import open_space


@pytest.fixture
def annette(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str) -> tuple[int, str, str]:
        code = exit_code(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A synthetic table of fifty cells in milliseconds; one was not measured on the board."""
    space = open_space("nasbench201")
    lines = ["arch,board,top1"]
    for number, row in enumerate(space.sample(50, seed=8).tolist()):
        latency = "" if number == 4 else str(1 + sum(row) * 0.25)
        lines.append(f"{space.format(row)},{latency},{80 + number / 10}")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_search_space_is_judged_by_what_a_search_would_find(annette: Any) -> None:
    code, out, _ = annette(
        "evaluate", "-p", "zcu102-dpu", "--suite", "nasbench201-41", "--suite", "ofa-2"
    )  # fmt: skip
    assert code == 0
    for text in (
        "... and 33 more networks", "each suite alone", "most MACs", "fastest 10", "front found",
        "by quartile of the measured latency, mixed model",
    ):  # fmt: skip
        assert text in out


def test_few_networks_are_not_ranked(annette: Any) -> None:
    _, out, _ = annette("evaluate", "-p", "zcu102-dpu", "--suite", "nasbench201-2")
    assert "quartile" not in out
    assert "each suite alone" not in out


def test_the_seed_draws_other_networks(annette: Any) -> None:
    words = ("evaluate", "-p", "ncs2", "--suite", "nasbench201-2", "-f", "json")
    drawn = [
        [item["architecture"] for item in json.loads(annette(*words, *seed)[1])["networks"]]
        for seed in ((), ("--seed", "7"), ("--seed", "7"))
    ]
    assert drawn[0] != drawn[1] == drawn[2]


def test_a_platform_is_judged_by_a_recorded_table(annette: Any, table: Path) -> None:
    words = ("evaluate", "-p", "zcu102-dpu", "--recorded-table", str(table), "--device-column", "board")
    words = (*words, "--unit", "ms")
    code, out, _ = annette(*words, "--quality-column", "top1")
    assert code == 0
    for text in ("49 networks of nasbench201", "left out: 1 network", "MAPE scaled", "the most top1"):
        assert text in out
    document = json.loads(annette(*words, "-f", "json")[1])
    assert 1e-3 < document["networks"][0]["measured_s"] < 1e-2
    assert (document["missing"], document["quality"]) == (1, "macs")
    assert "--unit" not in out


def test_a_factor_between_two_units_asks_for_the_unit(
    annette: Any, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("evaluate", "-p", "zcu102-dpu", "--recorded-table", str(table), "--device-column", "board")
    document = json.loads(annette(*words, "-f", "json")[1])
    asked = {}
    for factor in (1e-3, 2e-3, 0.1, 1.0, 20.0, 800.0, 2e6):
        document["models"]["mixed"]["scale_factor"] = factor
        print_table_evaluation(document)
        asked[factor] = "is --unit what the table has?" in capsys.readouterr().out
    assert [factor for factor, is_asked in asked.items() if is_asked] == [1e-3, 2e-3, 800.0, 2e6]


def test_a_factor_fitted_to_one_network_has_no_error(annette: Any, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(
        'op_idx_list,phone\n"[' + ", ".join("0" * 22) + ']",0.01\n', encoding="utf-8"
    )
    words = ("--recorded-table", str(tmp_path / "one.csv"), "--device-column", "phone")
    code, out, _ = annette("evaluate", "-p", "zcu102-dpu", *words)
    assert code == 0
    (line,) = (line for line in out.splitlines() if "mixed" in line.lower())
    assert line.split()[-2:] == ["-", "-"]


def test_wrong_calls_are_one_line_that_says_what_to_do(annette: Any, table: Path) -> None:
    recorded = ("--recorded-table", str(table))
    for words, hint in (
        ((), "expected one of --suite"),
        ((*recorded, "--suite", "classic12"), "expected one of --suite"),
        (("--suite", "classic12", "--space", "ofa"), "belong to --recorded-table"),
        (("--suite", "classic12", "--unit", "s"), "belong to --recorded-table"),
        (("--suite", "ofa-2", "--suite", "ofa-3", "--suite", "ofa-2"), "--suite ofa-2: given twice"),
        ((*recorded, "--device-column", "board", "--seed", "0"), "--seed belongs to --suite"),
        (recorded, "--device-column: which one of board, top1"),
        ((*recorded, "--device-column", "phone"), "expected one of board, top1"),
        ((*recorded, "--device-column", "board", "--device", "ncs2"), "choose a column"),
        ((*recorded, "--device-column", "board", "--unit", "min"), "min"),
        (("--suite", "nasbench201-0"), "found 0 networks, expected 1 to"),
        (("--suite", "ofa-all"), "as ofa-1000"),
    ):
        code, out, err = annette("evaluate", "-p", "zcu102-dpu", *words)
        assert (code, out, err.count("\n")) == (2, "", 1), words
        assert hint in err
