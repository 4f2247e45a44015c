"""``annette suggest`` and ``annette calibrate`` as a user meets them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

import annette
from annette.calibration.calibrate import calibrate_networks, calibrate_space
from annette.calibration.codec import load_calibrated, save_calibrated
from annette.calibration.design import suggest_architectures
from annette.cli.main import exit_code
from annette.errors import UsageError
from annette.estimation.search import LatencyConstraint, LatencyObjective
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.graph.onnx_writer import write_onnx
from annette.zoo.spaces.registry import open_space

SPACE = open_space("nasbench201")


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = exit_code(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def _filled(capsys: pytest.CaptureFixture[str], path: Path) -> Path:
    """What a user does: suggestions as CSV, with latencies of a made-up device written in."""
    words = ("suggest", "--space", "nasbench201", "-n", "10", "--format", "csv")
    rows = list(csv.reader(io.StringIO(_run(capsys, *words)[1])))
    lines = ["arch,latency,twin"]
    for arch, _ in rows[1:]:
        latency_ms = 2.0 + SPACE.parse(arch).count(3)
        lines.append(f"{arch},{latency_ms},{latency_ms * 3}")
    path.write_text("\n".join(lines))
    return path


def test_ten_suggestions_become_a_device(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = _filled(capsys, tmp_path / "ten.csv")
    words = ("calibrate", str(table), "--space", "nasbench201", "--device-column", "latency", "--unit", "ms")
    code, out, err = _run(capsys, *words, "--source", "twin", "-o", str(tmp_path / "toy"))
    assert code == 0
    assert "wrote" in err
    for text in ("calibrated by 10 latencies", "left out", "conv_kernels", "the next network to time"):
        assert text in out
    model = load_calibrated(tmp_path / "toy")
    assert model.predict_space(SPACE, [(3, 0, 0, 3, 0, 0)]).latency_s[0] == pytest.approx(4e-3, rel=0.1)
    document = json.loads(_run(capsys, *words, "--source", str(tmp_path / "toy"), "--format", "json")[1])
    assert document["device"] == "latency"
    assert SPACE.parse(document["next"])


def test_suggestions_go_with_what_is_timed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = _filled(capsys, tmp_path / "ten.csv")
    words = ("suggest", "--space", "nasbench201", "-n", "3", "--measured", str(table), "--format", "json")
    document = json.loads(_run(capsys, *words)[1])
    assert len(document["networks"]) == 3
    assert not [item for item in document["networks"] if item["arch"] in table.read_text()]


def test_networks_without_a_space_are_suggested_and_calibrated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    names = ("zoo:lenet5", "zoo:alexnet", "zoo:squeezenet1_0", "zoo:mobilenet_v2", "zoo:resnet18")
    code, out, _ = _run(capsys, "suggest", *names, "-n", "2")
    assert code == 0
    assert sum(name in out for name in names) == 2
    table = tmp_path / "networks.csv"
    table.write_text("network,phone\n" + "\n".join(f"{name},{place + 1}" for place, name in enumerate(names)))
    code, out, _ = _run(capsys, "calibrate", str(table), "--unit", "ms")
    assert code == 0
    assert "phone: calibrated by 5 latencies of networks" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("suggest",), "expected either --space NAME or networks"),
        (("suggest", "--space", "nasbench"), "no such search space"),
        (("suggest", "zoo:lenet5", "-n", "2"), "2 networks asked for, found 1"),
        (("suggest", "zoo:lenet5", "-n", "1", "--measured", "ten.csv"), "--measured: goes with --space"),
        (("calibrate", "ten.csv"), "--device-column: which one?"),
        (("calibrate", "ten.csv", "--device-column", "gpu"), "no column 'gpu'"),
        (("calibrate", "ten.csv", "--device-column", "latency", "--source", "nothing"), "nothing"),
        (("calibrate", "few.csv"), "found 2 latencies, expected 4 or more"),
        (("calibrate", "networks.csv", "--source", "ncs2"), "--source: goes with a search space"),
        (("calibrate", "networks.csv"), "row 1, column 'ms': found 'fast', expected a number"),
    ],
)
def test_mistakes_are_told_in_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
) -> None:
    _filled(capsys, tmp_path / "ten.csv")
    archs = [SPACE.format(row) for row in ((1, 1, 1, 1, 1, 1), (2, 2, 2, 2, 2, 2))]
    (tmp_path / "few.csv").write_text("arch,ms\n" + "\n".join(f"{arch},1" for arch in archs))
    (tmp_path / "networks.csv").write_text("network,ms\nzoo:lenet5,fast\n")
    monkeypatch.chdir(tmp_path)
    code, _, err = _run(capsys, *words)
    assert code in (1, 2)
    assert message in err
    assert err.strip().count("\n") == 0


def test_a_saved_model_stands_where_a_platform_does(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table, folder = _filled(capsys, tmp_path / "ten.csv"), str(tmp_path / "my-phone")
    column = ("--device-column", "latency")
    assert _run(capsys, "calibrate", str(table), *column, "--unit", "ms", "-o", folder)[0] == 0
    arch = SPACE.format((3, 1, 2, 3, 0, 4))
    document = json.loads(_run(capsys, "estimate", arch, "-p", folder, "--format", "json")[1])
    low_s, high_s = document["interval_s"]
    assert low_s < document["latency_s"] < high_s
    assert sum(document["terms_s"].values()) == pytest.approx(document["latency_s"])
    assert document["latency_s"] == annette.load(folder).estimate(arch).latency_s
    code, out, _ = _run(capsys, "estimate", arch, "-p", folder)
    assert code == 0
    assert f"{arch} on my-phone: " in out
    assert "my-phone: calibrated by 10 latencies" in _run(capsys, "show", folder)[1]
    words = ("evaluate", "-p", folder, "--recorded-table", str(table), "--unit", "ms")
    code, out, _ = _run(capsys, *words, *column)
    assert code == 0
    assert "calibrated" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("estimate", "zoo:lenet5"), "expected an architecture in the space's notation"),
        (("estimate", "|none~0|"), "no architecture"),
        (("estimate", "0", "--all"), "knows no kernels"),
        (("estimate", "0", "--batch", "2"), "--shape and --batch are for networks"),
        (("evaluate", "--suite", "classic12"), "knows no kernels, expected a platform"),
        (("check", "zoo:lenet5", "--max-latency", "1ms"), "knows no kernels, expected a platform"),
    ],
)
def test_what_a_saved_model_does_not_know_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], saved: str, words: tuple[str, ...], message: str
) -> None:
    code, _, err = _run(capsys, *words, "-p", saved)
    assert code == 2
    assert message in err
    assert err.strip().count("\n") == 0


def test_search_loops_take_a_saved_model(saved: str) -> None:
    model = annette.load(saved)
    objective = LatencyObjective(model, SPACE)
    rows = SPACE.sample(5, seed=0)
    np.testing.assert_array_equal(objective(rows), model.estimate_space(SPACE, rows))
    texts = [SPACE.format(row) for row in rows.tolist()]
    np.testing.assert_array_equal(objective(texts), objective(rows))
    found = model.estimate_space_intervals(SPACE, texts)
    np.testing.assert_array_equal(found.latency_s, objective(rows))
    assert (found.low_s < found.latency_s).all()
    assert LatencyConstraint(model, SPACE, budget_s=1.0)(rows[0]) < 0
    with pytest.raises(UsageError, match="found architectures of fbnet"):
        LatencyObjective(model, open_space("fbnet"))
    with pytest.raises(UsageError, match="predicts no energy"):
        LatencyObjective(model, SPACE, target="energy")
    with pytest.raises(UsageError, match="has one model, found 'roofline'"):
        LatencyObjective(model, SPACE, model="roofline")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    rows = suggest_architectures(SPACE, 6)
    folder = tmp_path_factory.mktemp("models") / "toy"
    save_calibrated(calibrate_space(SPACE, rows, 1e-3 + (rows == 3).sum(1) * 1e-3, device="toy"), folder)
    return str(folder)


@pytest.fixture(scope="module")
def of_networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of networks of convolutions, of a device on which multiply-accumulates count."""
    networks = [_convolutions(width, depth) for width, depth in ((8, 2), (8, 5), (16, 3), (32, 2), (24, 4))]
    latency_s = [1e-4 * len(network.layers) for network in networks]
    folder = tmp_path_factory.mktemp("networks") / "board"
    save_calibrated(calibrate_networks(networks, latency_s, device="board"), folder)
    return folder


def _convolutions(width: int, depth: int, softmaxes: int = 0) -> Network:
    build = NetworkBuilder("few")
    x = build.input("x", (1, 3, 16, 16))
    for _ in range(depth):
        x = build.relu(build.conv(x, width, kernel=3, padding=1))
    for _ in range(softmaxes):
        x = build.softmax(x)
    return build.finish(x)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("keeps_operators", [True, False])
def test_a_network_of_unseen_kinds_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, of_networks: Path, keeps_operators: bool
) -> None:
    write_onnx(_convolutions(3, 0, softmaxes=30), tmp_path / "soft.onnx")
    folder = of_networks if keeps_operators else _without_operators(of_networks, tmp_path / "old")
    code, out, err = _run(capsys, "estimate", str(tmp_path / "soft.onnx"), "-p", str(folder))
    assert (code, out) == (1, "")
    assert "no kind of its layers that takes time (Softmax) was in what board was calibrated on" in err
    assert err.strip().count("\n") == 0


def test_the_verdict_names_operators_that_no_sample_had(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, of_networks: Path
) -> None:
    write_onnx(_convolutions(8, 2, softmaxes=4), tmp_path / "half.onnx")
    words = ("estimate", str(tmp_path / "half.onnx"), "-p", str(of_networks))
    code, out, _ = _run(capsys, *words)
    assert code == 0
    assert "verdict: do not rely. " in out
    assert "of the network's work is of operators that no sample had: Softmax." in out
    document = json.loads(_run(capsys, *words, "--format", "json")[1])
    assert document["unseen_operators"] == ["Softmax"]
    assert document["verdict"]["level"] == "unreliable"


def test_a_model_of_before_operators_were_kept_says_that_they_are_not_known(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, of_networks: Path
) -> None:
    old = _without_operators(of_networks, tmp_path / "old")
    write_onnx(_convolutions(8, 3), tmp_path / "known.onnx")
    words = ("estimate", str(tmp_path / "known.onnx"), "--format", "json", "-p")
    document, new = (json.loads(_run(capsys, *words, str(folder))[1]) for folder in (old, of_networks))
    assert document["unseen_operators"] is None
    assert "It is not known which operators" in " ".join(document["verdict"]["reasons"])
    assert new["unseen_operators"] == []
    assert new["latency_s"] == document["latency_s"]
    assert not [reason for reason in new["verdict"]["reasons"] if "operators" in reason]


def test_the_verdict_on_an_architecture_is_that_of_its_interval(
    capsys: pytest.CaptureFixture[str], saved: str
) -> None:
    arch = SPACE.format((3, 1, 2, 3, 0, 4))
    document = json.loads(_run(capsys, "estimate", arch, "-p", saved, "--format", "json")[1])
    low_s, high_s = document["interval_s"]
    half = (high_s - low_s) / 2 / document["latency_s"]
    expected = "solid" if half < 0.2 else "check" if half < 0.5 else "unreliable"
    assert document["verdict"]["level"] == expected
    title = {"solid": "solid", "check": "check.", "unreliable": "do not rely."}[expected]
    assert f"verdict: {title}" in _run(capsys, "estimate", arch, "-p", saved)[1]


def _without_operators(folder: Path, target: Path) -> Path:
    """The model as versions before this one wrote it."""
    document = json.loads((folder / "calibrated.json").read_text())
    assert document.pop("operators") == ["Conv", "Relu"]
    target.mkdir()
    (target / "calibrated.json").write_text(json.dumps(document))
    return target
