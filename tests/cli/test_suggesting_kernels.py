"""``annette suggest --platform`` and ``annette benchmark --suggested`` as a user meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from annette.cli.main import exit_code
from annette.estimation.platform import Platform

Run = tuple[int, str, str]


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, small_platform: Platform, small_store_path: Path
) -> Path:
    """A platform, and the store that it was trained on."""
    found = tmp_path_factory.mktemp("suggest")
    small_platform.save(found / "mine")
    shutil.copy(small_store_path, found / "run.db")
    return found


def _run(capsys: pytest.CaptureFixture[str], *words: object) -> Run:
    code = exit_code([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_suggested_kernels_are_measured_into_the_store(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, store = folder / "suggested.json", folder / "run.db"
    words = ("suggest", "zoo:lenet5", "-p", folder / "mine", "-s", store, "-n", "6", "-o", file)
    code, out, err = _run(capsys, *words)
    assert code == 0, err
    for text in ("6 micro-kernels to measure on zcu102-dpu", "90 % intervals reach", "activation@host",
                 "lenet5: ", "do not judge the platform by them", "--suggested"):  # fmt: skip
        assert text in out, text
    assert f"wrote {file}" in err
    document = json.loads(_run(capsys, *words, "--format", "json")[1])
    assert document == json.loads(file.read_text(encoding="utf-8"))
    assert document["expected_half_width_fraction"] < document["half_width_fraction"]
    measure = ("benchmark", "-d", "zcu102-dpu", "-s", store, "--suggested", file, "--format", "json")
    first, again = (json.loads(_run(capsys, *measure)[1]) for _ in range(2))
    assert (first["done_now"], again["done_now"], first["failed"]) == (6, 0, 0)
    assert first["plan"] == "quick"  # the store's own
    assert first["planned"] == first["done_before"] + 6


def test_suggested_kernels_can_start_a_store(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "space.json"
    words = ("suggest", "--space", "nasbench201", "-p", folder / "mine", "-n", "4", "-o", file)
    code, out, err = _run(capsys, *words)
    assert code == 0, err
    assert "for space nasbench201: " in out
    code, out, err = _run(capsys, "benchmark", "-d", "ncs2", "-s", folder / "other.db", "--suggested", file)
    assert code == 0, err
    assert "4 of 4 benchmarks measured on ncs2, 0 failed" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("suggest", "zoo:lenet5", "-p", "mine", "--space", "fbnet"),
            "expected networks or a space, not both",
        ),
        (("suggest", "zoo:lenet5", "-p", "mine", "--format", "csv"), "no table to fill in"),
        (("suggest", "zoo:lenet5", "-p", "mine", "--measured", "x.csv"), "with --platform name its --store"),
        (("suggest", "zoo:lenet5", "-p", "mine", "-o", "."), "found a folder"),
        (("suggest", "zoo:lenet5", "-p", "mine", "-m", "mix"), "did you mean mixed"),
        (("suggest", "zoo:lenet5", "-p", "mine", "-s", "no.db"), "no.db"),
        (("suggest", "zoo:lenet5", "-p", "none"), "platform 'none'"),
        (("suggest", "zoo:lenet5", "-s", "run.db"), "--store run.db: goes with --platform"),
        (("suggest", "zoo:lenet5", "-o", "a.json"), "--output a.json: goes with --platform"),
        (("suggest", "--space", "nasbench201", "-m", "roofline"), "--model roofline: goes with --platform"),
        (("suggest", "zoo:lenet5", "zoo:alexnet", "--seed", "9"), "--seed 9: nothing is drawn"),
        (("benchmark", "-d", "ncs2", "-s", "run.db", "--suggested", "bad.json"), "cannot be read"),
        (
            ("benchmark", "-d", "ncs2", "-s", "new.db", "--plan", "quick", "--suggested", "bad.json"),
            "stands in place of --plan quick",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(
    words: tuple[str, ...], message: str, folder: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    code, _, err = _run(capsys, *words)
    assert code != 0
    assert message in " ".join(err.split())
    assert "Traceback" not in err
