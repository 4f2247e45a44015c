"""``annette explore`` as a user meets it: tables, documents, plots, one clear line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annette.cli.main import exit_code

TOPOLOGY = "Layer,M,N,K,\nfirst,100,70,30,\nsecond,64,64,64,\n"


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = exit_code(["explore", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_scale_prints_the_best_partition_of_every_bandwidth(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(
        capsys, "scale", "--macs", "1024", "--network", "zoo:alexnet", "-n", "zoo:lenet5", "--layers"
    )
    assert (code, err) == (0, "")
    assert out.count("the best of") == 2
    assert out.count("free") >= 4
    assert "by layer at 16 B/cycle" in out


def test_scale_gives_a_document_and_draws_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    topology, plot = tmp_path / "net.csv", tmp_path / "scale.svg"
    topology.write_text(TOPOLOGY, encoding="utf-8")
    options = ("--bandwidth", "8,free", "--dataflow", "ws", "--plot", str(plot), "--format", "json")
    code, out, err = _run(capsys, "scale", "--macs", "256", "--network", str(topology), *options)
    assert (code, err) == (0, f"note: wrote {plot}\n")
    study = json.loads(out)["studies"][0]
    assert study["dataflow"] == "WS"
    assert [item["bandwidth_bytes_per_cycle"] for item in study["bandwidths"]] == [8.0, None]
    assert [layer["layer"] for layer in study["bandwidths"][0]["layers"]] == ["first", "second"]
    assert "<svg" in plot.read_text(encoding="utf-8")


def test_scale_tries_all_dataflows_and_all_sides_in_one_call(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("scale", "--macs", "512", "--network", "zoo:lenet5", "--dataflow", "all", "--sides", "all")
    code, out, err = _run(capsys, *words, "--bandwidth", "4,free", "--format", "json")
    assert (code, err) == (0, "")
    study = json.loads(out)["studies"][0]
    assert study["dataflow"] == "all"
    assert {layer["best"]["dataflow"] for layer in study["bandwidths"][0]["layers"]} <= {"OS", "WS", "IS"}
    code, out, _ = _run(capsys, *words, "--bandwidth", "free")
    assert any(f"{name} " in out for name in ("OS", "WS", "IS"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--macs", "10"), "budget of 10 MACs"),
        (("--macs", "256", "--bandwidth", "8,fast"), "found 'fast', expected bytes a cycle"),
        (("--macs", "256", "--bandwidth", "nan"), "found 'nan'"),
        (("--macs", "256", "--bandwidth", "8,inf"), "found 'inf'"),
        (("--macs", "256", "--dataflow", "XS"), "expected one of OS, WS, IS"),
        (("--macs", "256", "--sides", "odd"), "sides 'odd', expected one of powers, all"),
        (("--macs", "256", "--bandwidth", "1e-310"), "found '1e-310', expected bytes a cycle from 1e-06"),
        (("--macs", "256", "--convention", "same"), "--convention same: expected one of onnx, scalesim"),
        (("--macs", "256", "--network", "NET.CSV", "--batch", "2"), "NET.CSV: a topology has its sizes"),
        (
            ("--macs", "256", "--network", "NET.CSV", "--convention", "onnx"),
            "NET.CSV: a topology is by SCALE-Sim's convention, expected no --convention onnx",
        ),
        (("--macs", "256", "--plot", "plot.doc"), "expected a name that ends in .png"),
        (("--macs", "256", "--plot", "none/plot.png"), "--plot none/plot.png: no folder none"),
        (
            ("--macs", "256", "--network", "missing.csv"),
            "missing.csv: cannot be read: No such file or directory; expected a CSV file",
        ),
    ],
)
def test_mistakes_get_one_clear_line(
    options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, "scale", "--network", "zoo:lenet5", *options)
    assert code in (1, 2)
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_scale_takes_the_width_of_partial_sums(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("scale", "--macs", "512", "--network", "zoo:lenet5", "--buffer-kib", "0.5", "--format", "json")
    moved = {}
    for dataflow in ("WS", "OS"):
        for width in ("1", "4"):
            options = ("--dataflow", dataflow, "--bandwidth", "4", "--sum-bytes", width)
            study = json.loads(_run(capsys, *words, *options)[1])["studies"][0]
            moved[dataflow, width] = study["bandwidths"][0]["cycles"]
    assert moved["WS", "4"] > moved["WS", "1"]
    assert moved["OS", "4"] == moved["OS", "1"], "results that stay until complete are no partial sums"


def test_scale_prints_before_a_write_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "full.png"
    path.symlink_to("/dev/full")
    code, out, err = _run(capsys, "scale", "--macs", "256", "-n", "zoo:lenet5", "--plot", str(path))
    assert code == 1
    assert "the best of" in out
    assert err == f"error: --plot {path}: cannot be written: No space left on device\n"


def test_explore_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(capsys)
    assert (code, out) == (2, "")
    assert "scale" in err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "scale", "--help")
    assert code == 0
    assert "Example" in out
