"""Profiles of runtimes: their nodes become rows, what is no profile is said so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annette.errors import StoreError
from annette.tables.importing import read_table
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


def test_events_of_onnxruntime_become_kernels_with_the_mean_of_their_runs(tmp_path: Path) -> None:
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


def test_counters_of_openvino_become_kernels(tmp_path: Path) -> None:
    nodes = [
        {
            "node_type": "Convolution", "exec_type": "brgconv_avx2_1x1_FP32", "real_time": 0.25e3,
            "status": "EXECUTED", "input_shape": [1, 8, 16, 16], "weight_shape": [4, 8, 1, 1],
            "output_shape": [1, 4, 16, 16],
        },
        {"node_type": "Reorder", "status": "NOT_RUN", "real_time": 0.0},
    ]  # fmt: skip
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"detailed_performance": [{"nodes": nodes}]}))
    (kernel,) = read_table(path, read_schema("openvino-profile")).kernels
    assert kernel.unit == "brgconv_avx2_1x1_FP32"
    assert kernel.latency_s == pytest.approx(250e-6)


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
