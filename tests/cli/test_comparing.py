"""annette compare and annette diagnose: what they print, and one clear line for each mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from annette.backends.registry import open_device
from annette.benchmark.campaign import measure_visits
from annette.cli.main import exit_code
from annette.store.campaign import CampaignStore, PlanRecord, Task
from annette.zoo.registry import zoo_network

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def annette(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        code = exit_code(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_two_networks_on_a_platform(annette: Run) -> None:
    code, text, _ = annette("compare", "zoo:resnet18", "zoo:resnet34", "-p", "zcu102-dpu")
    assert code == 0
    for words in ("A: resnet18 on zcu102-dpu, ", "B: resnet34 on zcu102-dpu, ", "B takes ", " more than A",
                  "22 kernels in A, 38 in B: 22 alike, 16 only in B; laid side by side by the order",
                  "only in B", "... and 28 more rows with ", "only in B: 16 kernels with "):  # fmt: skip
        assert words in text, words
    assert re.search(r"^conv +20 +36 ", text, flags=re.MULTILINE)
    assert "only in A" not in text


def test_a_network_on_two_platforms_with_every_kernel_and_a_page(annette: Run) -> None:
    words = ("compare", "zcu102-dpu", "ncs2", "-n", "zoo:squeezenet1_1", "--all", "--html", "x.html")
    code, text, err = annette(*words)
    assert code == 0
    assert "by the names of their layers" in text
    assert "more rows" not in text
    assert "wrote x.html" in err
    page = Path("x.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "squeezenet1_1 on ncs2" in page


def test_what_measure_and_estimate_print_is_compared(annette: Run) -> None:
    for name, words in (
        ("measured.json", ("measure", "zoo:lenet5", "-d", "zcu102-dpu")),
        ("estimated.json", ("estimate", "zoo:lenet5", "-p", "zcu102-dpu")),
    ):
        Path(name).write_text(annette(*words, "--format", "json")[1], encoding="utf-8")
    code, text, _ = annette("compare", "measured.json", "estimated.json", "--format", "json")
    assert code == 0
    document = json.loads(text)
    assert (document["a"]["kind"], document["b"]["kind"]) == ("measurement", "estimate")
    assert document["difference_s"] == document["b"]["latency_s"] - document["a"]["latency_s"]
    assert {item["kind"] for item in document["changes"]} == {"same"}
    assert annette("compare", "measured.json", "measured.json")[1].count("both take the same time") == 1


def test_a_measurement_is_the_same_side_out_of_a_store_and_as_printed(annette: Run) -> None:
    network, device = zoo_network("lenet5"), open_device("zcu102-dpu")
    (measured,) = measure_visits(device, network, 3)
    task = Task(network=network, category="block", group="lenet5")
    plan = PlanRecord(name="mine", seed=1, text="{}")
    with CampaignStore.create("run.db", device=device.info, plan=plan) as store:
        store.add_tasks([task])
        store.record(task.id, measured)
    printed = annette("measure", "zoo:lenet5", "-d", "zcu102-dpu", "--seed", "3", "--format", "json")[1]
    Path("a.json").write_text(printed, encoding="utf-8")
    document = json.loads(annette("compare", "run.db", "a.json", "--format", "json")[1])
    assert document["a"] == document["b"]
    assert document["a"]["repeats_s"] == [min(measured.values_s or ()), max(measured.values_s or ())]
    assert document["ranges_apart"] is False


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("compare zoo:lenet5 zoo:alexnet", "zoo:lenet5: is a network; say on which platform by --platform"),
        ("compare zcu102-dpu ncs2", "zcu102-dpu: is a platform; say of which network by --network"),
        (
            "compare zcu102-dpo ncs2 -n zoo:lenet5",
            "zcu102-dpo: no such file or platform; did you mean zcu102-dpu?",
        ),
        (
            "compare nothing.onnx zoo:lenet5 -p ncs2",
            "nothing.onnx: no such file or platform; expected a network",
        ),
        (
            "compare other.json zoo:lenet5",
            "other.json: neither what annette measure or annette estimate prints",
        ),
        ("compare broken.json zoo:lenet5", "broken.json: not readable as JSON"),
        ("compare wrong.json zoo:lenet5 -p ncs2", "wrong.json: network: found 3, expected text"),
        ("compare zoo:lenet5 zoo:lenet5 -p ncs2 -m best", "--model best: no such layer model"),
        ("compare zoo:lenet5 zoo:lenet5 -p ncs2 --html no/x.html", "--html no/x.html: no folder no"),
        ("diagnose zoo:lenet5 -p ncs2 -d nowhere", "device 'nowhere': not known"),
        ("diagnose zoo:lenet5 -p nowhere -d ncs2", "platform 'nowhere': neither a name"),
        ("diagnose zoo:lenet5 -p ncs2 -d ncs2 -s no.db", "--store no.db: no such file"),
        ("diagnose zoo:lenet5 -p ncs2 -d ncs2 -m best", "--model best: no such layer model"),
    ],
)
def test_a_wrong_call_is_one_line(words: str, line: str, annette: Run) -> None:
    Path("other.json").write_text('{"a": 1}')
    Path("broken.json").write_text('{"a": 1e999}')
    Path("wrong.json").write_text('{"network": 3, "device": "d", "latency_s": 1, "kernels": []}')
    code, out, err = annette(*words.split())
    assert (code, out, len(err.strip().splitlines())) == (2, "", 1)
    assert line in " ".join(err.split())


def test_a_diagnosis_is_words_then_a_table_then_what_to_do(annette: Run) -> None:
    words = ("diagnose", "zoo:mobilenet_v2", "-p", "zcu102-dpu", "-d", "ncs2")
    code, text, _ = annette(*words)
    assert code == 0
    order = ["mobilenet_v2 on ncs2, platform zcu102-dpu, mixed model", "Predicted ", "Of the ",
             "Drift since the campaign: not known", "\npart ", "\ngemm ", "beyond the kernels",
             "points: per cent of the measured latency", "A: measured, B: predicted", "what to do",
             "  1. The platform is of another device"]  # fmt: skip
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    rows = re.findall(r"^\w.* ([+-]?\d+\.\d) +-?\d+\.\d %$", text, flags=re.MULTILINE)
    *points, total = map(float, rows)
    assert sum(points) == pytest.approx(total, abs=0.05 * len(points))
    document = json.loads(annette(*words, "--format", "json")[1])
    assert sum(part["error_s"] for part in document["parts"]) == pytest.approx(document["error_s"])
    assert document["seed"] == 0


def test_a_network_that_the_device_cannot_run_is_one_line(annette: Run) -> None:
    Path("net.onnx").write_bytes(b"not a network")
    code, _, err = annette("diagnose", "net.onnx", "-p", "ncs2", "-d", "ncs2")
    assert (code, len(err.strip().splitlines())) == (1, 1)
