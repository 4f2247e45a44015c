"""Sessions of ONNX Runtime: bound once, profiled and then as before, errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annette.backends.feeds import random_feeds
from annette.backends.ort_session import OrtSession, error_line, node_durations, profile_folder, read_profile
from annette.backends.runtime_options import RuntimeOptions
from annette.errors import MeasurementError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.graph.onnx_writer import to_onnx_model


def model_bytes(network: Network) -> bytes:
    data: bytes = to_onnx_model(network, weights="random").SerializeToString()
    return data


def activations() -> Network:
    build = NetworkBuilder("two")
    return build.finish(
        build.add("Tanh", build.add("Neg", build.input("x", (2, 64)), name="neg"), name="tanh")
    )


def test_a_profile_holds_each_run_of_each_node_until_it_ends() -> None:
    network = activations()
    with profile_folder() as prefix:
        session = OrtSession.of_network(
            network, model_bytes(network), RuntimeOptions(), profile_prefix=prefix
        )
        for _ in range(4):
            session.run()
        path = session.end_profile()
        session.run()
        durations = node_durations(read_profile(path))
        assert path.exists()
    assert not path.exists()
    assert len(durations) == 2
    assert {len(values) for values in durations.values()} == {5}
    assert all(value >= 0.5e-6 for values in durations.values() for value in values)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int64", "int8", "uint8", "bool"])
def test_inputs_of_each_dtype_can_be_bound(dtype: str) -> None:
    build = NetworkBuilder("copy")
    network = build.finish(build.add("Identity", build.input("x", (2, 3), dtype=dtype)))
    OrtSession.of_network(network, model_bytes(network), RuntimeOptions()).run()


def test_a_model_that_the_runtime_cannot_load_is_refused_in_one_line() -> None:
    network = activations()
    with pytest.raises(MeasurementError, match="onnxruntime: ") as caught:
        OrtSession.of_network(network, b"nonsense", RuntimeOptions())
    assert "\n" not in str(caught.value)


def test_a_model_with_an_input_that_nobody_feeds_is_refused() -> None:
    network = activations()
    with pytest.raises(MeasurementError, match="input 'x' of the model has no contents"):
        OrtSession(model_bytes(network), RuntimeOptions(), feeds={}, dtypes={})


def test_inputs_that_the_model_lacks_are_left_out() -> None:
    network = activations()
    feeds = random_feeds(network)
    dtypes = {"x": "float32", "gone": "float32"}
    OrtSession(
        model_bytes(network), RuntimeOptions(), feeds={**feeds, "gone": feeds["x"]}, dtypes=dtypes
    ).run()


def test_half_a_microsecond_is_added_since_profiles_round_down(tmp_path: Path) -> None:
    events = [
        {"cat": "Session", "name": "run", "dur": 99},
        {"cat": "Node", "name": "a_kernel_time", "dur": 3},
        {"cat": "Node", "name": "a_fence_before", "dur": 50},
        {"cat": "Node", "name": "b_kernel_time_kernel_time", "dur": 0},
        {"cat": "Node", "name": "a_kernel_time", "dur": 4},
    ]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(events))
    found = node_durations(read_profile(path))
    assert found == {"a": pytest.approx((3.5e-6, 4.5e-6)), "b_kernel_time": pytest.approx((0.5e-6,))}


@pytest.mark.parametrize("text", ["", "[1]", "{}", "{}x"])
def test_what_is_no_profile_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(MeasurementError, match=r"profile profile\.json: "):
        read_profile(path)
    with pytest.raises(MeasurementError, match=r"profile gone\.json: "):
        read_profile(tmp_path / "gone.json")


@pytest.mark.parametrize(
    "event", [{"name": "a_kernel_time"}, {}, {"name": 3, "dur": 1}, {"name": "a_kernel_time", "dur": None}]
)
def test_an_event_without_a_duration_is_refused(event: dict[str, object]) -> None:
    with pytest.raises(MeasurementError, match="profile of the runtime: "):
        node_durations([{"cat": "Node", **event}])


def test_errors_lose_the_runtime_s_paths_and_their_length() -> None:
    text = "[ONNXRuntimeError] : 1 : FAIL : Exception:\n /src/onnxruntime/core/graph/graph.cc:1234 Bad node"
    assert error_line(RuntimeError(text)) == "FAIL : Exception: Bad node"
    assert error_line(RuntimeError()) == "RuntimeError"
    assert len(error_line(RuntimeError("x" * 5000))) == 400
