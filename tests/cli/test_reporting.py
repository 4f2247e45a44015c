"""annette report and annette estimate --html: what they write, and one clear line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annette.cli.main import exit_code
from annette.graph.onnx_writer import write_onnx
from annette.measurement import DeviceInfo
from annette.report.page import render_page
from annette.store.campaign import CampaignStore, PlanRecord
from annette.zoo.registry import zoo_network


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_network_is_reported_from_the_zoo_and_from_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    write_onnx(zoo_network("lenet5"), "lenet.onnx")
    assert exit_code(["report", "lenet.onnx", "--platform", "ncs2"]) == 0
    assert "wrote report.html" in capsys.readouterr().err
    assert exit_code(["report", "zoo:lenet5", "-p", "onnxruntime-epyc", "-o", "zoo.html"]) == 0
    pages = [Path(name).read_text(encoding="utf-8") for name in ("report.html", "zoo.html")]
    assert 'id="what-if"' in pages[0]
    assert 'id="what-if"' not in pages[1]  # a real device has no description to change
    assert "No what-if sliders" not in pages[1]


def test_an_estimate_writes_the_same_page_beside_its_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["report", "zoo:lenet5", "-p", "ncs2"]) == 0
    capsys.readouterr()
    assert exit_code(["estimate", "zoo:lenet5", "-p", "ncs2", "--html", "x.html", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["network"] == "lenet5"
    assert Path("x.html").read_bytes() == Path("report.html").read_bytes()


def test_the_document_behind_the_page_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["report", "zoo:lenet5", "-p", "onnxruntime-epyc", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == "estimate"
    assert len(document["graph"]["nodes"]) == len(document["kernels"])
    assert render_page(document) == Path("report.html").read_text(encoding="utf-8")


def test_documents_and_a_store_are_told_by_their_content(capsys: pytest.CaptureFixture[str]) -> None:
    networks = [{"name": f"n{place}", "measured_s": 0.1, "mixed_s": 0.1 + place} for place in range(3)]
    document = {"suite": "mine", "models": {"mixed": {"mape": 0.1}}, "networks": networks}
    Path("answer").write_text(json.dumps(document, indent=2), encoding="utf-8")
    assert exit_code(["report", "answer", "-o", "answer.html"]) == 0
    assert "networks 3, MAPE, mixed 10.0 %" in capsys.readouterr().out
    assert Path("answer.html").read_text(encoding="utf-8").count("<circle") == 3 * 3
    side = {"network": "n", "on": "d", "latency_s": 0.1}
    Path("pair").write_text(json.dumps({"a": side, "b": side, "difference_s": 0.0}), encoding="utf-8")
    assert exit_code(["report", "pair", "-o", "pair.html"]) == 0
    assert "B takes as long as A." in Path("pair.html").read_text(encoding="utf-8")
    device, plan = DeviceInfo(name="fake", backend="test"), PlanRecord(name="plan", seed=1, text="{}")
    with CampaignStore.create("run", device=device, plan=plan):
        pass
    assert exit_code(["report", "run", "-o", "run.html"]) == 0
    assert "Campaign plan on fake" in Path("run.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("nothing", "nothing: no such file; expected a network (zoo:NAME, an ONNX file) with --platform"),
        ("zoo:lenet5", "zoo:lenet5: is a network; say on which platform by --platform"),
        ("zoo:lenet5 -p ncs2 -o no/x.html", "--output no/x.html: no folder no; expected one that exists"),
        ("zoo:lenet5 -p ncs2 -m best", "--model best: no such layer model"),
        ("zoo:lenet5 -p ncs2 -d tpu-v1", "--device tpu-v1: is another device than that of platform ncs2"),
        (
            "other.json",
            "other.json: found no evaluation and no comparison in it; expected what annette evaluate",
        ),
        ("broken.json", "broken.json: not readable as JSON"),
        ("good.json --device ncs2", "good.json: is a document; --platform, --model, --device"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(
    words: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("other.json").write_text('{"a": 1}')
    Path("broken.json").write_text('{"a": 1e999}')
    Path("good.json").write_text('{"suite": "x", "models": {}, "networks": []}')
    assert exit_code(["report", *words.split()]) == 2
    error = capsys.readouterr().err
    assert line in " ".join(error.split())
    assert len(error.strip().splitlines()) == 1
    assert not list(Path().glob("*.html"))


def test_a_device_that_describes_the_platform_gives_sliders() -> None:
    assert exit_code(["report", "zoo:lenet5", "-p", "ncs2", "-d", "ncs2"]) == 0
    assert 'id="what-if"' in Path("report.html").read_text(encoding="utf-8")
