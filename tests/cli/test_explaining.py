"""``annette explain`` as a user meets it: tables, a document, NVDLA's sheet, one line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from annette.cli.main import exit_code
from annette.graph.builder import NetworkBuilder
from annette.graph.onnx_writer import write_onnx
from annette.hardware.codec import accelerator_to_dict, load_accelerator
from annette.units import format_joules


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = exit_code(["explain", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_explain_prints_causes_kernels_and_changes(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(capsys, "zoo:lenet5", "--device", "nvdla-small", "--top", "2")
    assert (code, err) == (0, "")
    for title in ("root causes", "slowest kernels", "speed-up of the network", "more changes that help"):
        assert title in out


def test_explain_gives_a_document_of_the_changed_device(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("zoo:lenet5", "-d", "simulator:zcu102-dpu", "--format", "json", "--batch", "2")
    code, out, _ = _run(capsys, *words)
    slow, fast = json.loads(out), json.loads(_run(capsys, *words, "--set", "array.launch_s=0")[1])
    assert code == 0
    assert slow["schema_version"] == 1
    assert fast["latency_s"] < slow["latency_s"]
    assert sum(item["fraction"] for item in slow["root_causes"]) == pytest.approx(1)


def test_explain_by_the_sheet_gives_nvdlas_published_cycles(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("zoo:alexnet,two_towers=true", "-d", "nvdla-full", "--sheet", "alexnet")
    words += ("--set", "external_memory.bandwidth_bytes_per_s=10e9")
    code, out, err = _run(capsys, *words)
    assert (code, err) == (0, "")
    assert "895,443.56 cycles" in out
    assert "long pole" in out
    document = json.loads(_run(capsys, *words, "--format", "json")[1])
    assert document["cycles"] == pytest.approx(895_443.56, abs=0.005)
    assert document["columns"]["Long Pole"].count("DRAM") > 0


def test_the_sheet_prints_equal_groups_of_a_layer_as_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("zoo:mobilenet_v2", "-d", "nvdla-full", "--sheet", "alexnet")
    code, out, err = _run(capsys, *words)
    columns = json.loads(_run(capsys, *words, "--format", "json")[1])["columns"]
    layers = len({line.split()[0] for line in out.splitlines() if line.startswith("conv_")})
    assert (code, err) == (0, "")
    assert "conv_2 x32 " in out
    assert "conv_2  " not in out
    assert "cycles of all of them" in out
    assert out.count("\n") < layers + 20
    assert len(columns["Long Pole"]) > 1000


def test_the_sheet_of_a_network_without_groups_explains_no_groups(capsys: pytest.CaptureFixture[str]) -> None:
    out = _run(capsys, "zoo:lenet5", "-d", "nvdla-full", "--sheet", "alexnet")[1]
    assert "long pole" in out
    assert "groups" not in out


@pytest.mark.parametrize("sheet", [(), ("--sheet", "alexnet")])
def test_explain_says_what_was_changed(sheet: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    words = ("zoo:lenet5", "-d", "nvdla-full", *sheet)
    change = ("--set", "clock_hz=5e8", "--set", "external_memory.bandwidth_bytes_per_s=1e9")
    heading = _run(capsys, *words, *change)[1].splitlines()[0]
    assert "on nvdla-full with clock_hz=5e8, external_memory.bandwidth_bytes_per_s=1e9" in heading
    assert " with " not in _run(capsys, *words)[1].splitlines()[0]
    document = json.loads(_run(capsys, *words, *change, "--format", "json")[1])
    assert document["settings"] == {"clock_hz": 5e8, "external_memory.bandwidth_bytes_per_s": 1e9}
    assert json.loads(_run(capsys, *words, "--format", "json")[1])["settings"] == {}


def test_explain_shows_energy_where_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("zoo:lenet5", "-d", "systolic-32x32-ws")
    document = json.loads(_run(capsys, *words, "--format", "json")[1])
    assert document["energy_j"] == pytest.approx(sum(item["energy_j"] for item in document["kernels"]))
    assert document["energy_j"] > 0
    assert f", {format_joules(document['energy_j'])} in " in _run(capsys, *words)[1].splitlines()[0]
    words = ("zoo:lenet5", "-d", "ncs2")
    assert load_accelerator("ncs2").energy is None
    assert "J" not in _run(capsys, *words)[1].splitlines()[0]
    assert json.loads(_run(capsys, *words, "--format", "json")[1])["energy_j"] is None


def test_the_sheet_takes_an_nvdla_of_any_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    machine = accelerator_to_dict(load_accelerator("nvdla-full")) | {"schema_version": 1, "name": "mine"}
    path.write_text(yaml.safe_dump(machine), encoding="utf-8")
    words = ("zoo:alexnet", "--sheet", "resnet50", "--format", "json")
    own, preset = (_run(capsys, *words, "-d", device) for device in (f"simulator:{path}", "nvdla-full"))
    assert (own[0], own[2]) == (0, "")
    assert json.loads(own[1])["cycles"] == json.loads(preset[1])["cycles"]


def test_a_network_without_kernels_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build = NetworkBuilder("empty")
    write_onnx(build.finish(build.flatten(build.input("x", (1, 4, 4, 4)))), tmp_path / "empty.onnx")
    code, out, err = _run(capsys, str(tmp_path / "empty.onnx"), "-d", "zcu102-dpu")
    assert (code, err) == (0, "")
    assert "no kernels" in out
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-d", "onnxruntime"), "expected a preset (annette devices lists them) or simulator:FILE.yaml"),
        (("-d", "replay:run.db"), "only of simulated accelerators"),
        (("-d", "zcu102-dpv"), "did you mean 'zcu102-dpu'?"),
        (("-d", "zcu102-dpu", "--sheet", "alexnet"), "expected an array that unrolls in_channels"),
        (("-d", "nvdla-full", "--sheet", "vgg"), "expected one of alexnet, resnet50"),
        (("-d", "nvdla-full", "--sheet", "alexnet", "--top", "10"), "--top with --sheet"),
        (("-d", "nvdla-full", "--set", "clock"), "--set clock: expected PATH=VALUE"),
        (("-d", "nvdla-full", "--set", "memories[0].size=3"), "did you mean memories[0].size_bytes"),
        (("-d", "nvdla-full", "--set", "clock_hz=fast"), "clock_hz: found 'fast'"),
        (("-d", "nvdla-full", "--set", "clock_hz=nan"), "--set clock_hz=nan: found nan, expected a finite"),
        (("-d", "nvdla-full", "--set", "clock_hz=inf"), "--set clock_hz=inf: found inf, expected a finite"),
        (("-d", "nvdla-full", "--set", "clock_hz=-1"), "--set clock_hz=-1: "),
    ],
)
def test_mistakes_get_one_clear_line(
    options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, "zoo:lenet5", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
