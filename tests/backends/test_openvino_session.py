"""What is read from OpenVINO's counters and errors, and how it is imported."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from annette.backends.openvino_names import layer_of, number_names
from annette.backends.openvino_session import error_line, import_openvino, mean_run_s
from annette.errors import MeasurementError
from annette.graph.builder import NetworkBuilder


def counter_readings(run_us: float, *, cold_us: float, pauses: dict[int, float], runs: int = 33) -> list[int]:
    """The counter after each run: the mean of whole microseconds so far, rounded down."""
    rng = random.Random(7)
    total, found = 0, []
    for count in range(1, runs + 1):
        total += int(run_us + rng.random() + (cold_us if count == 1 else 0.0) + pauses.get(count, 0.0))
        found.append(total // count)
    return found


@pytest.mark.parametrize("run_us", [1.2, 4.0, 12.0, 150.0, 4000.0])
def test_the_time_of_a_run_is_found_within_a_microsecond_or_half_a_percent(run_us: float) -> None:
    found_us = 1e6 * mean_run_s(counter_readings(run_us, cold_us=3 * run_us, pauses={}))
    assert found_us == pytest.approx(run_us + 0.5, abs=1.0, rel=0.005)


def test_runs_that_the_machine_disturbed_are_left_out() -> None:
    calm = mean_run_s(counter_readings(50.0, cold_us=100.0, pauses={}))
    disturbed = mean_run_s(counter_readings(50.0, cold_us=100.0, pauses={9: 4000.0, 20: 900.0}))
    assert disturbed == pytest.approx(calm, rel=0.05)


def test_a_node_that_showed_once_takes_half_a_step_of_the_counter() -> None:
    assert mean_run_s([3, 1, 1, 0, 0, 0]) == 0.5e-6
    assert mean_run_s([0, 0, 0]) == 0.0
    assert mean_run_s([7]) == pytest.approx(7.5e-6)


def test_errors_become_one_line_without_marks_of_the_source() -> None:
    text = (
        "Exception from src/inference/src/cpp/core.cpp:105:\nCheck 'false' failed at src/a/b.cpp:151:\n"
        "FrontEnd API failed with OpConversionFailure:\nModel wasn't fully converted. Failed operations "
        "detailed log:\n-- Softmax-18 with a message:\nAxis 9 out of range.\n\nSummary:\n-- Conversion failed"
    )
    line = error_line(RuntimeError(text))
    assert "Axis 9 out of range." in line
    assert "\n" not in line
    assert ".cpp" not in line
    assert "Summary" not in line


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MeasurementError, match=r'pip install "annette\[openvino\]"'):
        import_openvino()


def test_importing_the_runtime_leaves_its_telemetry_out() -> None:
    program = (
        "import sys\n"
        "from annette.backends.openvino_session import import_openvino\n"
        "import_openvino()\n"
        "assert not any(name.startswith('openvino_telemetry') for name in sys.modules)\n"
    )
    subprocess.run((sys.executable, "-c", program), check=True, timeout=60)


def test_numbers_as_names_keep_the_network_and_find_the_way_back() -> None:
    build = NetworkBuilder("one")
    network = build.finish(build.relu(build.input("a,b/c", (1, 3)), name="x, y"))
    numbered = number_names(network)
    assert numbered.id == network.id
    found = layer_of(network, f"{numbered.layers[0].name}/WithoutBiases")
    assert found is not None
    assert found.name == "x, y"
    by_output = layer_of(network, numbered.outputs[0])
    assert by_output is not None
    assert by_output.name == "x, y"
    assert layer_of(network, "annette_layer_9") is None
