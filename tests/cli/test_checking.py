"""annette check as continuous integration meets it: exit codes, one line of why, a document for machines."""

from __future__ import annotations

import json

import pytest

from annette.cli.main import exit_code

LENET = ["check", "zoo:lenet5", "--platform", "zcu102-dpu"]


def test_a_network_within_its_budget_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([*LENET, "--max-latency", "30ms"]) == 0
    captured = capsys.readouterr()
    assert "within the budget" in captured.out
    assert "30.0 ms" in captured.out
    assert captured.err == ""


def test_a_network_over_its_budget_exits_with_1_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([*LENET, "--max-latency", "1us", "--format", "json"]) == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["passed"] is False
    assert document["max_latency_s"] == 1e-6 < document["latency_s"]
    assert document["verdict"]["level"] in ("solid", "check", "unreliable")
    assert captured.err.startswith("error: lenet5 on zcu102-dpu: the latency is ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "--max-latency"),
        (["--max-latency", "30"], "expected a number with its unit (s, ms, us, ns), as in 30ms"),
        (["--max-energy", "2ms"], "as in 2mJ"),
        (["--max-energy", "2mJ"], "knows no energy"),
        (["--max-latency", "1s", "--at-least", "sure"], "--at-least sure: expected solid or check"),
        (["--max-energy", "1J", "--upper-end"], "expected --max-latency beside it"),
    ],
)
def test_a_wrong_call_exits_with_2_in_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code([*LENET, *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert captured.err.count("\n") == 1
