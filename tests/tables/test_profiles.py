"""Profiles of runtimes: their nodes become rows, what is no profile is said so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annette.errors import StoreError
from annette.graph.builder import NetworkBuilder
from annette.graph.onnx_writer import write_onnx
from annette.models.generator import generate_platform
from annette.store.campaign import CampaignStore
from annette.tables.importing import import_table, read_table
from annette.tables.schema import read_schema


def node(
    name: str, operator: str, inputs: list[list[int]], output: list[int], us: float
) -> dict[str, object]:
    """An event as ONNX Runtime writes it."""
    arguments = {
        "op_name": operator,
        "provider": "CPUExecutionProvider",
        "input_type_shape": [{"float": shape} for shape in inputs],
        "output_type_shape": [{"float": output}],
    }
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": us, "ts": 1, "args": arguments, "ph": "X"}


def layer(
    kind: str, order: int, time: str, inputs: list[list[int]], outputs: list[list[int]], names: str = ""
) -> str:
    """A layer as OpenVINO writes it."""

    def side(name: str, shapes: list[list[int]]) -> str:
        ports = "".join(f"<port>{''.join(f'<dim>{size}</dim>' for size in shape)}</port>" for shape in shapes)
        return f"<{name}>{ports}</{name}>"

    known = f'originalLayersNames="{names}" primitiveType="brgconv_avx2"'
    data = f'<data execOrder="{order}" execTimeMcs="{time}" {known} />'
    return f'<layer id="1" type="{kind}">{data}{side("input", inputs)}{side("output", outputs)}</layer>'


def test_events_of_onnxruntime_become_kernels_with_the_middle_of_their_runs(tmp_path: Path) -> None:
    conv = ([[1, 8, 16, 16], [12, 4, 3, 3], [12]], [1, 12, 8, 8])
    events = [
        {"cat": "Session", "name": "model_run", "dur": 900},
        {"cat": "Node", "name": "conv_fence_before", "dur": 1, "args": {"op_name": "Conv"}},
        node("conv", "Conv", *conv, 100.0),
        node("pool", "GlobalAveragePool", [[1, 12, 8, 8]], [1, 12, 1, 1], 20.0),
        node("fc", "Gemm", [[1, 12], [10, 12], [10]], [1, 10], 5.0),
        node("odd", "TopK", [[1, 10], [1]], [1, 5], 3.0),
        node("conv", "Conv", *conv, 200.0),
    ]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(events))
    found = read_table(path, read_schema("onnxruntime-profile"))
    assert [kernel.operator for kernel in found.kernels] == ["Conv", "GlobalAveragePool", "Gemm"]
    assert found.kernels[0].latency_s == pytest.approx(150e-6)
    assert found.kernels[0].groups == 2
    assert found.kernels[0].stride is None
    assert [problem.found for problem in found.problems] == ["'TopK'"]


def test_layers_of_openvino_become_kernels(tmp_path: Path) -> None:
    text = "".join(
        (
            layer("Input", 0, "not_executed", [], [[1, 8, 16, 16]]),
            layer("Pooling", 2, "20", [[1, 4, 16, 16]], [[1, 4, 8, 8]]),
            layer("Convolution", 1, "250", [[1, 8, 16, 16], [4, 1, 2, 3, 3]], [[1, 4, 16, 16]]),
        )
    )
    path = tmp_path / "exec.xml"
    path.write_text(f"<net><layers>{text}</layers></net>")
    conv, pool = read_table(path, read_schema("openvino-profile")).kernels
    assert (conv.unit, conv.groups, conv.kernel) == ("brgconv_avx2", 4, (3, 3))
    assert conv.latency_s == pytest.approx(250e-6)
    assert (pool.operator, pool.kernel) == ("MaxPool", None)


def test_names_of_openvino_say_what_is_fused_and_which_pool_ran(tmp_path: Path) -> None:
    conv = ([[1, 8, 16, 16], [8, 8, 1, 1]], [[1, 8, 16, 16]])
    pool = ([[1, 8, 16, 16]], [[1, 8, 8, 8]])
    text = "".join(
        (
            layer(
                "Convolution", 1, "9", *conv, "Multiply_7,/layer1/layer1.0/Add,/layer1/layer1.0/relu_1/Relu_1"
            ),
            layer("Convolution", 2, "9", *conv, "Multiply_8,quiet_1"),
            layer("Pooling", 3, "9", *pool, "/features/AveragePool_2"),
            layer("Pooling", 4, "9", *pool, "maxpool_1"),
        )
    )
    path = tmp_path / "exec.xml"
    path.write_text(f"<net><layers>{text}</layers></net>")
    found = read_table(path, read_schema("openvino-profile"))
    assert not found.problems
    assert [kernel.fused for kernel in found.kernels] == [("Add", "Relu"), (), (), ()]
    assert [kernel.operator for kernel in found.kernels[2:]] == ["AveragePool", "MaxPool"]


def test_onnxruntime_tells_end_to_end_times_fused_sums_and_a_first_run_that_warms_up(tmp_path: Path) -> None:
    conv = ([[1, 8, 16, 16], [8, 8, 1, 1], [8], [1, 8, 16, 16]], [1, 8, 16, 16])
    runs = [{"cat": "Session", "name": "model_run", "dur": value} for value in (9000, 500, 700)]
    events = [*runs, *(node("conv", "Conv", *conv, value) for value in (8000.0, 300.0, 500.0))]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(events))
    found = read_table(path, read_schema("onnxruntime-profile"))
    assert found.kernels[0].latency_s == pytest.approx(400e-6)
    assert found.kernels[0].fused == ("Add",)
    assert found.whole_networks() == {"profile": pytest.approx(600e-6)}


def test_an_execution_graph_with_entities_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "exec.xml"
    path.write_text('<!DOCTYPE net [<!ENTITY a "aaaa">]><net><layers>&a;</layers></net>')
    with pytest.raises(StoreError, match="entities"):
        read_table(path, read_schema("openvino-profile"))


def small_network(path: Path) -> Path:
    build = NetworkBuilder("small")
    x = build.input("x", (1, 4, 18, 18))
    for channels in range(8, 24):
        x = build.relu(build.conv(x, channels, kernel=3, padding=1))
    write_onnx(build.finish(build.global_avg_pool(build.max_pool(x, kernel=3, stride=2))), path)
    return path


def test_a_profile_that_onnxruntime_wrote_trains(tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "run")
    path = str(small_network(tmp_path / "small.onnx"))
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for _ in range(2):
        session.run(None, {"x": np.zeros((1, 4, 18, 18), dtype=np.float32)})
    schema = read_schema("onnxruntime-profile")
    found = read_table(session.end_profiling(), schema, device="here")
    assert sum(kernel.operator == "Conv" for kernel in found.kernels) == 16
    assert {problem.column for problem in found.problems} <= {"operator"}  # moves between layouts
    timed = [replace(kernel, latency_s=kernel.latency_s or 1e-6) for kernel in found.kernels]
    rows = [replace(kernel, row=kernel.row + 1000 * copy) for copy in (0, 1) for kernel in timed]
    import_table(replace(found, kernels=tuple(rows)), schema, tmp_path / "here.db")
    with CampaignStore.open(tmp_path / "here.db") as store:
        parts = generate_platform(store, seed=0)
    assert parts.metrics["measured_kernels"] == len(rows)


def test_an_execution_graph_that_openvino_wrote_is_read(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    model = openvino.Core().read_model(str(small_network(tmp_path / "small.onnx")))
    compiled = openvino.Core().compile_model(model, "CPU", {"PERF_COUNT": True})
    compiled.create_infer_request().infer([np.zeros((1, 4, 18, 18), dtype=np.float32)])
    openvino.serialize(compiled.get_runtime_model(), str(tmp_path / "exec.xml"))
    found = read_table(tmp_path / "exec.xml", read_schema("openvino-profile"))
    assert sum(kernel.operator == "Conv" for kernel in found.kernels) == 16


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '{"nodes": 5}', '[{"cat": "Node"}]', "[1e999]", '{"detailed_performance": [3]}'],
)
def test_what_is_no_profile_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(StoreError) as caught:
        read_table(path, read_schema("onnxruntime-profile"))
    assert "profile" in str(caught.value)
    assert "\n" not in str(caught.value)
