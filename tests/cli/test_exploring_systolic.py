"""``annette explore systolic`` as a user meets it: three ways to name an array, one line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annette.cli.main import exit_code

TOPOLOGY = "Layer,M,N,K,\nfirst,64,64,64,\nsecond,33,17,65,\n"
CONFIGURATION = """[general]
run_name = small
[architecture_presets]
ArrayHeight: 8
ArrayWidth: 8
IfmapSramSzkB: 64
FilterSramSzkB: 64
OfmapSramSzkB: 64
Dataflow: ws
[run_presets]
InterfaceBandwidth: CALC
"""


@pytest.fixture
def topology(tmp_path: Path) -> str:
    path = tmp_path / "net.csv"
    path.write_text(TOPOLOGY, encoding="utf-8")
    return str(path)


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = exit_code(["explore", "systolic", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_array_configuration_and_device_give_the_same_cycles(
    topology: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.cfg"
    config.write_text(CONFIGURATION, encoding="utf-8")
    for source in (
        ("--array", "8x8", "--dataflow", "ws"),
        ("--config", str(config), "--element-bytes", "2"),
        ("--device", "systolic-8x8-ws"),
    ):
        code, out, err = _run(capsys, topology, *source, "--format", "json")
        assert (code, err) == (0, "")
        document = json.loads(out)
        assert [item["total_cycles"] for item in document["layers"]] == [5503, 1484]
        assert document["total"]["total_cycles"] == 5503 + 1484
        assert ("average_bytes_per_s" in document["total"]) == (source[0] == "--device")


def test_the_table_has_a_row_a_layer_and_a_total(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(capsys, "zoo:lenet5", "--array", "12x14", "--clock-mhz", "200")
    assert (code, err) == (0, "")
    assert "zoo:lenet5 on 12x14, OS" in out
    assert out.count("conv_") == 3
    assert "total" in out
    assert "at 200 MHz" in out


def test_a_row_a_layer_is_written(topology: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.csv"
    code, _, err = _run(capsys, topology, "--array", "8x8", "--csv", str(path))
    assert (code, err) == (0, f"note: wrote {path}\n")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("LayerID,Layer,Total Cycles,Stall Cycles,Overall Util %")
    assert [line.split(",")[1:3] for line in lines[1:]] == [["first", "4991"], ["second", "1184"]]


def test_the_table_comes_before_a_write_that_fails(
    topology: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "full.csv"
    path.symlink_to("/dev/full")
    code, out, err = _run(capsys, topology, "--array", "8x8", "--csv", str(path))
    assert code == 1
    assert "total" in out
    assert err == f"error: --csv {path}: cannot be written: No space left on device\n"


def test_sizes_follow_the_convention(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("zoo:resnet18", "--array", "32x32", "--format", "json", "--convention")
    ours, theirs = (json.loads(_run(capsys, *words, name)[1]) for name in ("onnx", "scalesim"))
    assert ours["layers"][0]["m"] == 112 * 112
    assert theirs["layers"][0]["m"] == 110 * 110


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "expected one of --array 32x32, --config FILE.cfg and --device NAME"),
        (("--array", "8x8", "--device", "systolic-8x8-ws"), "expected one of --array"),
        (("--array", "8"), "--array 8: expected rows and columns, as in 32x32"),
        (("--array", "0x8"), "--array 0x8: rows: found 0, expected an integer >= 1"),
        (("--array", "8x8", "--dataflow", "XS"), "--dataflow XS: expected one of OS, WS, IS"),
        (("--device", "systolic-8x8-ws", "--sum-bytes", "2"), "--sum-bytes 2.0: --device says it already"),
        (("--array", "8x8", "--convention", "same"), "--convention same: expected one of onnx, scalesim"),
        (("--device", "systolic-8x8-ws", "--dataflow", "OS"), "--dataflow OS: --device says it already"),
        (("--device", "systolic-8x8-ws", "--clock-mhz", "5"), "--clock-mhz 5.0: --device says it already"),
        (("--array", "8x8", "--csv", "none/s.csv"), "--csv none/s.csv: no folder none; expected one"),
        (("--array", "8x8", "--csv", "/"), "--csv /: found a folder, expected the name of a file"),
        (("--config", "run.cfg", "--buffer-kib", "5"), "--buffer-kib 5.0: --config says it already"),
        (("--device", "zcu102-dpu"), "--device zcu102-dpu: accelerator 'zcu102-dpu': no array.systolic"),
    ],
)
def test_wrong_calls_get_one_line_that_names_the_option(
    options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, "zoo:lenet5", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_configuration_that_cannot_be_read_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(capsys, "zoo:lenet5", "--config", "missing.cfg")
    assert (code, out) == (1, "")
    assert "missing.cfg: cannot be read" in err
    assert err.count("\n") == 1


def test_a_topology_has_the_convention_of_scale_sim(
    topology: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, topology, "--array", "8x8", "--convention", "onnx")
    assert (code, out) == (2, "")
    assert f"{topology}: a topology is by SCALE-Sim's convention, expected no --convention onnx" in err
    assert _run(capsys, topology, "--array", "8x8", "--convention", "scalesim")[0] == 0


@pytest.mark.parametrize("source", ["--array", "--config"])
def test_partial_sums_have_four_bytes_unless_told_otherwise(
    source: str, topology: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Buffers of a few bytes: 8 and 9 folds along K spill all sums but those of the last, out and in."""
    config = tmp_path / "run.cfg"
    config.write_text(CONFIGURATION.replace("OfmapSramSzkB: 64", "OfmapSramSzkB: 1"), encoding="utf-8")
    array = ("--array", "8x8", "--dataflow", "WS", "--buffer-kib", "0.25")
    words = (topology, *(array if source == "--array" else (source, str(config))), "--format", "json")
    moved: dict[tuple[str, ...], dict[str, float]] = {}
    widths: dict[tuple[str, ...], int] = {("--sum-bytes", "1"): 1, ("--element-bytes", "8"): 8}
    options: tuple[str, ...]
    for options in ((), ("--sum-bytes", "4"), ("--sum-bytes", "1"), ("--element-bytes", "8")):
        document = json.loads(_run(capsys, *words, *options)[1])
        moved[options] = document["total"]["dram_bytes"]
        assert document["sum_bytes"] == widths.get(options, 4)
    first, second = 64 * 64, 33 * 17
    if source == "--array":
        assert moved[()]["output"] == first * (1 + 2 * 7 * 4) + second * (1 + 2 * 8 * 4)
    assert moved[()] == moved["--sum-bytes", "4"]
    assert moved[()]["output"] > moved["--sum-bytes", "1"]["output"]
    assert moved[()]["input"] == moved["--sum-bytes", "1"]["input"]
