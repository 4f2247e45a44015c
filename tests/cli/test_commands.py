"""The annette command as a user meets it: tables, JSON documents, one clear line for each mistake."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from annette.cli.console import error_line, print_line, print_table
from annette.cli.evaluate import print_evaluation
from annette.cli.main import exit_code
from annette.cli.options import parse_shapes
from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.onnx_writer import write_onnx
from annette.zoo.registry import zoo_network

PLAN = """
schema_version: 1
name: tiny
description: Just enough to train on
seed: 1
limits: {macs: 1.0e+9, activation_elements: 1.0e+6, weight_elements: 1.0e+7}
micro_kernels: {conv: 40, pool: 10, gemm: 10}
sweeps:
  - name: conv-3x3
    layer: conv
    base: {in_channels: 64, out_channels: 64, out_h: 14, out_w: 14, kernel: 3}
    dimensions: [out_channels]
    dense_to: 20
    up_to: 40
blocks: {conv_chain: 10}
"""


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def annette(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    def run(*words: str) -> Answer:
        code = exit_code(list(words))
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "lenet5.onnx"
    write_onnx(zoo_network("lenet5"), path)
    return path


@pytest.mark.parametrize("command", ["networks", "devices", "platforms"])
def test_lists_are_tables_for_people_and_objects_for_machines(annette: Any, command: str) -> None:
    entries = annette(command, "--format", "json").document
    assert entries
    assert all(item["name"] and item["description"] for item in entries)
    table = annette(command).out
    assert all(item["name"] in table for item in entries)


def test_measure_answers_with_the_kernels_and_their_sum(annette: Any) -> None:
    document = annette("measure", "zoo:resnet18", "--device", "zcu102-dpu", "--format", "json").document
    assert {"schema_version", "network", "device", "latency_s", "kernels", "eliminated_layers"} <= set(
        document
    )
    for kernel in document["kernels"]:
        assert {"name", "family", "layers", "latency_s", "bound"} <= set(kernel)
    total_s = sum(kernel["latency_s"] for kernel in document["kernels"])
    assert document["latency_s"] == pytest.approx(total_s, rel=0.05)


def test_measuring_twice_with_one_seed_gives_one_answer(annette: Any) -> None:
    words = ("measure", "zoo:squeezenet1_1", "--device", "ncs2", "--format", "json", "--seed")
    assert annette(*words, "3").out == annette(*words, "3").out
    assert annette(*words, "3").out != annette(*words, "4").out


@pytest.mark.parametrize("model", ["roofline", "refined_roofline", "statistical", "mixed"])
def test_estimate_has_the_promised_keys_for_every_model(annette: Any, model: str) -> None:
    document = annette(
        "estimate", "zoo:mobilenet_v2", "-p", "zcu102-dpu", "--model", model, "-f", "json"
    ).document
    assert document["platform"] == "zcu102-dpu"
    assert document["model"] == model
    assert set(document["coverage"]) >= {"modelled_fraction", "generic_kernels", "out_of_range_kernels"}
    assert document["latency_s"] == pytest.approx(sum(item["latency_s"] for item in document["kernels"]))


def test_an_onnx_file_and_the_zoo_network_it_was_written_from_get_one_estimate(
    annette: Any, onnx_file: Path
) -> None:
    latency = {
        source: annette("estimate", source, "-p", "ncs2", "-f", "json").document["latency_s"]
        for source in (str(onnx_file), "zoo:lenet5")
    }
    assert len(set(latency.values())) == 1


def test_people_see_latency_share_and_coverage(annette: Any) -> None:
    text = annette("estimate", "zoo:resnet50", "--platform", "zcu102-dpu").out
    assert text.startswith("resnet50 on zcu102-dpu: ")
    for word in ("4.09 GMAC", "25.6 M parameters", "kernel", "share", "coverage:", "by family: conv"):
        assert word in text
    everything = annette("estimate", "zoo:resnet50", "--platform", "zcu102-dpu", "--all").out
    assert everything.count("conv_") > text.count("conv_")


@pytest.mark.parametrize("what", ["zcu102-dpu", "zoo:lenet5", "simulator:ncs2"])
def test_show_knows_platforms_networks_and_accelerators(annette: Any, what: str) -> None:
    assert annette("show", what).out.strip()
    assert annette("show", what, "--format", "json").document["schema_version"] == 1


def test_show_prints_readable_mapping_rules(annette: Any) -> None:
    text = annette("show", "zcu102-dpu").out
    assert "mapping rules" in text
    assert "Conv + BatchNormalization" in text


def test_show_names_the_source_of_an_unroll_beside_each_of_its_loops(annette: Any) -> None:
    for device, key in (("zcu102-dpu", "unroll"), ("eyeriss-v1", "unroll"), ("systolic-8x8-os", "systolic")):
        rows = annette("show", f"simulator:{device}", "-f", "json").document["fields"]
        assert all(row["source"] for row in rows if row["field"].startswith(f"array.{key}."))
    text = annette("show", "simulator:eyeriss-v1").out
    assert "array.unroll.kernel_h" in text
    assert "array.unroll.kernel_w" not in text, "loops that are not unrolled say nothing"


def test_evaluate_reports_every_model_and_network(annette: Any) -> None:
    words = ("evaluate", "-p", "zcu102-dpu", "--suite", "nasbench101-3")
    document = annette(*words, "-f", "json").document
    assert {"platform", "suite", "device", "mapping_accuracy", "models", "networks"} <= set(document)
    for values in document["models"].values():
        assert {"mape", "bias", "spearman", "kendall_tau", "within_10_percent"} <= set(values)
    assert len(document["networks"]) == 3
    table = annette(*words).out
    assert all(word in table for word in ("MAPE", "Spearman", "mixed", "mapping:"))


def test_the_chain_from_benchmark_to_estimate_and_its_resumption(annette: Any, tmp_path: Path) -> None:
    plan, store, folder = tmp_path / "tiny.yaml", tmp_path / "run.db", tmp_path / "mine"
    plan.write_text(PLAN, encoding="utf-8")
    words = ("benchmark", "--device", "zcu102-dpu", "--plan", str(plan), "--store", str(store), "-f", "json")
    ran = annette(*words)
    assert ran.code == 0, ran.err
    first = ran.document
    assert first["measured"] == first["planned"] == first["done_now"]
    again = annette(*words).document
    assert (again["done_before"], again["done_now"]) == (first["planned"], 0)
    other = annette("benchmark", "-d", "ncs2", "--plan", str(plan), "-s", str(store))
    assert (other.code, other.err.count("\n")) == (1, 1)

    trained = annette("train", str(store), "--output", str(folder))
    assert trained.code == 0, trained.err
    assert "conv" in trained.out
    taken = annette("train", str(store), "--output", str(folder))
    assert taken.code == 2
    assert "--force" in taken.err
    estimate = annette("estimate", "zoo:lenet5", "--platform", str(folder), "-f", "json").document
    assert estimate["latency_s"] > 0


WRONG_CALLS = [
    (("estimate", "zoo:resnet50"), "--platform"),
    (("estimate", "zoo:resnt50", "-p", "zcu102-dpu"), "resnet50"),
    (("estimate", "zoo:resnet50", "-p", "zcu102"), "zcu102-dpu"),
    (("estimate", "zoo:resnet50", "-p", "zcu102-dpu", "-m", "magic"), "mixed"),
    (("estimate", "nowhere.onnx", "-p", "zcu102-dpu"), "no such file"),
    (("measure", "zoo:resnet50", "-d", "ncs3"), "ncs2"),
    (("measure", "zoo:resnet50", "-d", "ncs2", "--shape", "x=a"), "1,3,224,224"),
    (("evaluate", "-p", "zcu102-dpu", "--suite", "classic"), "classic12"),
    (("benchmark", "-d", "ncs2", "-s", "x.db", "--plan", "standart"), "standard"),
    (("measure", "zoo:resnet50", "-d", "ncs2", "--batch", "0"), "batch"),
    (("show", "zcu102-dpu", "--batch", "4"), "--batch"),
    (("show", "simulator:ncs2", "--shape", "x=1"), "--shape"),
    (("demo", "--plan", "standart", "--folder", "never-made"), "standard"),
    (("demo", "--suite", "classic", "--folder", "never-made"), "classic12"),
    (("train", "never-read.db", "-o", "never-made", "--name", "a\x1b[31m"), "letters"),
    (("train", "never-read.db", "-o", "never-made", "--name", ""), "letters"),
    (("nonsense",), "nonsense"),
]


@pytest.mark.parametrize(("words", "hint"), WRONG_CALLS, ids=lambda item: " ".join(item))
def test_a_wrong_call_is_one_line_with_a_hint_and_code_2(annette: Any, words: Any, hint: str) -> None:
    answer = annette(*words)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert hint in answer.err


def test_a_broken_file_is_one_line_and_code_1(annette: Any, tmp_path: Path, onnx_file: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(onnx_file.read_bytes()[:-1000])
    text = tmp_path / "text.onnx"
    text.write_text("no network", encoding="utf-8")
    for path in (cut, text):
        answer = annette("estimate", str(path), "-p", "zcu102-dpu")
        assert (answer.code, answer.err.count("\n")) == (1, 1)
        assert str(path) in answer.err or path.name in answer.err


def test_training_on_an_unfinished_campaign_says_so(annette: Any, tmp_path: Path) -> None:
    from annette.backends.registry import open_device
    from annette.benchmark.campaign import run_campaign
    from annette.benchmark.plan import load_plan, plan_campaign
    from annette.store.campaign import CampaignStore

    file, store = tmp_path / "tiny.yaml", tmp_path / "part.db"
    file.write_text(PLAN, encoding="utf-8")
    plan, backend = load_plan(str(file)), open_device("zcu102-dpu")
    tasks = plan_campaign(plan)

    def stop(done: int, total: int, failed: int) -> None:
        if done > total - 10:
            raise KeyboardInterrupt

    with CampaignStore.open_or_create(store, device=backend.info, plan=plan.record) as kept:
        kept.add_tasks(tasks)
        with pytest.raises(KeyboardInterrupt):
            run_campaign(tasks, backend, kept, on_progress=stop)
    answer = annette("train", str(store), "--output", str(tmp_path / "part"))
    assert answer.code == 0
    assert answer.err.startswith("note: ")
    assert "not measured yet" in answer.err
    assert "unfinished campaign" in annette("show", str(tmp_path / "part")).out


def test_help_teaches_every_command(annette: Any) -> None:
    for command in ("estimate", "measure", "evaluate", "benchmark", "train", "show", "demo"):
        text = annette(command, "--help").out
        assert "Example" in text, command


def test_shapes_are_read_from_text() -> None:
    assert parse_shapes(["a=1,3", "b:0=2x4"]) == {"a": (1, 3), "b:0": (2, 4)}
    with pytest.raises(UsageError, match="NAME=D,D"):
        parse_shapes(["3,4"])


def test_a_bare_call_shows_the_help_and_is_a_wrong_call(annette: Any) -> None:
    answer = annette()
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("Usage: annette")
    assert answer.err.count("\n") > 10


def test_an_unwritable_folder_is_found_before_training(annette: Any, tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("mine")
    for folder in (taken, taken / "inside"):
        answer = annette("train", "never-read.db", "-o", str(folder), "--force")
        assert (answer.code, answer.err.count("\n")) == (1, 1)
        assert str(folder) in answer.err
    assert taken.read_text() == "mine"


def test_a_network_of_which_nothing_runs_says_so(annette: Any, tmp_path: Path) -> None:
    build = NetworkBuilder("views")
    write_onnx(build.finish(build.add("Identity", build.input("x", (1, 4)))), tmp_path / "views.onnx")
    words = ("estimate", str(tmp_path / "views.onnx"), "-p", "zcu102-dpu")
    assert "no kernel is expected to run" in annette(*words).out
    assert annette(*words, "-f", "json").document["latency_s"] == 0


def test_control_characters_of_a_file_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_line("a\x1b[31mb")
    print_table(("name\x07",), [("two\nlines\x1b",)])
    error_line("c\x1b]0;title")
    captured = capsys.readouterr()
    assert not set(captured.out + captured.err) & {"\x1b", "\x07"}
    assert "two lines?" in captured.out


@pytest.mark.parametrize("words", ["networks", "show zcu102-dpu", "estimate zoo:lenet5 -p ncs2 -f json"])
def test_a_reader_that_leaves_early_is_no_failure(words: str) -> None:
    command = [sys.executable, "-m", "annette", *words.split()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, error = process.communicate()
    assert (process.returncode, error) == (0, b"")


def test_closed_streams_are_no_crash() -> None:
    command = f"exec {shlex.quote(sys.executable)} -m annette estimate zoo:lenet5 -p ncs2 >&- 2>&-"
    assert subprocess.run(["sh", "-c", command]).returncode == 0


def test_an_interrupt_is_one_line_and_130(annette: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("annette.estimation.catalogue.load_platform", interrupt)
    answer = annette("estimate", "zoo:lenet5", "-p", "zcu102-dpu")
    assert (answer.code, answer.out, answer.err.count("\n")) == (130, "", 1)
    assert "interrupted" in answer.err


def test_verbose_machines_still_get_one_document(annette: Any) -> None:
    words = ("estimate", "zoo:lenet5", "-p", "zcu102-dpu", "-f", "json")
    assert annette("-vv", *words).out == annette(*words).out


def test_a_device_without_kernels_has_no_mapping_to_judge(
    annette: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("evaluate", "-p", "zcu102-dpu", "--suite", "nasbench101-1", "-f", "json")
    print_evaluation({**annette(*words).document, "mapping_accuracy": None})
    assert "mapping: not known" in capsys.readouterr().out


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_terminal_is_too_narrow_for_numbers(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annette.cli.console.PIPE_WIDTH", width)
    print_table(("kernel", "first", "second"), [("a" * 50, "123.456 ms", "98.7654321 %")])
    text = capsys.readouterr().out
    assert "123.456 ms" in text
    assert "98.7654321 %" in text
    assert text.count("a") == 50
