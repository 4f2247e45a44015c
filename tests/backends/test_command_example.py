"""The example that times networks over SSH, run through a local shell instead."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from annette.backends.command import open_command
from annette.backends.command_file import read_command_file
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Layer, Network, Tensor

pytest.importorskip("onnxruntime")

EXAMPLES = Path(__file__).resolve().parents[2] / "benchmarks" / "examples"


def test_the_example_times_networks_through_a_local_shell(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "ssh_onnxruntime.py", tmp_path)
    (tmp_path / "board.yaml").write_text(
        "schema_version: 1\nname: here\ninfer_mapping: false\n"
        f"command: [{sys.executable!r}, ssh_onnxruntime.py, sh, -c, {sys.executable!r}]\n"
    )
    build = NetworkBuilder("small")
    x = build.relu(build.conv(build.input("x", (1, 3, 16, 16)), 8, kernel=3))
    network = build.finish(build.linear(build.flatten(build.global_avg_pool(x)), 10))
    backend = open_command(str(tmp_path / "board.yaml"))
    assert dict(backend.info.environment)["runtime"].startswith("onnxruntime ")
    answer = backend.measure(network)
    assert answer.error is None
    assert 0 < answer.latency_s < 5
    assert len(answer.values_s or ()) >= 3
    layer = Layer(name="odd", op_type="Mystery", domain="org.example", inputs=("x",), outputs=("y",))
    tensors = {name: Tensor(name=name, shape=(1, 8)) for name in "xy"}
    strange = Network(name="odd", inputs=("x",), outputs=("y",), layers=(layer,), tensors=tensors)
    refused = backend.measure(strange)
    assert refused.error is not None
    assert backend.measure(network).error is None, "it goes on after a network that cannot be run"


def test_the_shipped_board_file_is_one() -> None:
    file = read_command_file(EXAMPLES / "board.yaml")
    assert file.visits == 3
    assert file.command[1] == "ssh_onnxruntime.py"
    assert (file.folder / file.command[1]).is_file()
