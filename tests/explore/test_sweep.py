"""Sweeps: every point as if simulated alone, whatever the jobs; fronts, costs, failures, interrupts."""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import UsageError
from annette.explore import sweep as sweep_module
from annette.explore.sweep import change_with_costs, default_objectives, run_sweep
from annette.explore.sweep_axes import Axis, parse_axis
from annette.explore.sweep_plot import draw_sweep, drawn_objectives
from annette.explore.sweep_study import SweepStudy
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.codec import load_accelerator
from annette.hardware.settings import change_accelerator
from annette.simulator.run import simulate


def _network(channels: int = 32) -> Network:
    build = NetworkBuilder(f"net{channels}")
    x = build.relu(build.conv(build.input("x", (1, channels, 28, 28)), 2 * channels, kernel=3, padding=1))
    return build.finish(build.softmax(build.linear(build.flatten(x), 10)))


ROWS, MEMORY = parse_axis("array.systolic.rows=4..64*2"), parse_axis("memories[0].size_bytes=16384,65536")
SYSTOLIC = "systolic-32x32-ws"


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_point_is_what_the_simulator_says_of_it_alone(jobs: int) -> None:
    base, networks = load_accelerator(SYSTOLIC), [_network(), _network(8)]
    study = run_sweep(networks, base, [ROWS, MEMORY], objectives=("latency", "macs"), jobs=jobs)
    assert study.is_complete
    assert [point.settings for point in study.points] == list(itertools.product(ROWS.values, MEMORY.values))
    for point in study.points:
        machine = change_accelerator(
            base, {"array.systolic.rows": point.settings[0], "memories[0].size_bytes": point.settings[1]}
        )
        alone = [simulate(network, machine).latency_s for network in networks]
        assert point.latencies_s == tuple(alone)
        assert point.costs == pytest.approx((math.sqrt(alone[0] * alone[1]), machine.array.macs_per_cycle))


def test_no_point_beats_one_of_the_front_and_each_other_is_beaten() -> None:
    study = run_sweep([_network()], load_accelerator(SYSTOLIC), [ROWS, MEMORY])
    front = set(study.front)
    assert 0 < len(front) < len(study.points)
    for row, point in enumerate(study.points):
        beaten = any(
            all(a <= b for a, b in zip(other.costs, point.costs, strict=True)) and other.costs != point.costs
            for other in study.points
        )
        assert beaten == (row not in front)


def test_a_point_that_cannot_be_is_kept_with_its_reason() -> None:
    axes = [parse_axis("memories[0].size_bytes=1,524288"), parse_axis("clock_hz=1e9,-1")]
    study = run_sweep([_network()], load_accelerator("zcu102-dpu"), axes, objectives=("latency",))
    assert [point.settings for point in study.points] == [(524288, 1e9)]
    assert [item.settings for item in study.failures] == [(1, 1e9), (1, -1), (524288, -1)]
    assert "exceeds the on-chip memories" in study.failures[0].error
    assert "clock_hz: found -1" in study.failures[1].error
    assert study.is_complete


def test_an_interrupt_leaves_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = sweep_module._answers

    def interrupted(*arguments: Any) -> Iterator[Any]:
        yield from itertools.islice(answers(*arguments), 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep_module, "_answers", interrupted)
    study = run_sweep([_network()], load_accelerator(SYSTOLIC), [ROWS])
    assert len(study.points) == 3
    assert not study.is_complete
    assert study.front


def test_memories_of_another_size_cost_what_static_ram_costs() -> None:
    base = load_accelerator(SYSTOLIC)
    size = base.memories[0].size_bytes
    larger = change_with_costs(base, {"memories[0].size_bytes": 4 * size})
    old, new = base.memories[0], larger.memories[0]
    assert old.read_j_per_byte is not None
    assert new.read_j_per_byte == pytest.approx(2 * old.read_j_per_byte)
    assert larger.memories[1] == base.memories[1]
    given = change_with_costs(
        base, {"memories[0].size_bytes": 4 * size, "memories[0].read_j_per_byte": 1e-12}
    )
    assert given.memories[0].read_j_per_byte == 1e-12
    assert given.memories[0].area_mm2 == new.area_mm2 != old.area_mm2


def test_memories_that_keep_tensors_and_the_vector_buffer_cost_what_static_ram_costs() -> None:
    base = load_accelerator("edge-tpu")
    for name in ("activation_memory", "weight_memory"):
        old = getattr(base, name)
        new = getattr(change_with_costs(base, {f"{name}.size_bytes": 4 * old.size_bytes}), name)
        assert new.read_j_per_byte == pytest.approx(2 * old.read_j_per_byte)
        assert new.write_j_per_byte == pytest.approx(2 * old.write_j_per_byte)
        assert new.area_mm2 == pytest.approx(4 * old.area_mm2)
        assert old.read_j_per_byte > 0
        assert old.area_mm2 > 0
    base = load_accelerator(SYSTOLIC)
    assert base.vector is not None
    assert base.energy is not None
    assert base.energy.vector_buffer_j_per_byte is not None
    buffer = {"vector.buffer_bytes": 4 * base.vector.buffer_bytes}
    costs = change_with_costs(base, buffer).energy
    assert costs is not None
    assert costs.vector_buffer_j_per_byte == pytest.approx(2 * base.energy.vector_buffer_j_per_byte)
    kept = change_with_costs(base, {**buffer, "energy.vector_buffer_j_per_byte": 1e-12}).energy
    assert kept is not None
    assert kept.vector_buffer_j_per_byte == 1e-12
    assert change_with_costs(base, buffer).area == base.area


def test_an_objective_named_twice_counts_once() -> None:
    study = run_sweep([_network()], load_accelerator(SYSTOLIC), [ROWS], objectives=("latency", "latency"))
    assert study.objectives == ("latency",)


def test_points_without_a_value_are_not_compared() -> None:
    axis = parse_axis("memories[0].read_bytes_per_cycle=none,64,128")
    study = run_sweep(
        [_network()], load_accelerator("zcu102-dpu"), [axis], objectives=("latency", axis.paths[0])
    )
    assert study.is_known.tolist() == [False, True, True]
    assert study.gaps == axis.paths
    assert 0 not in study.front


def test_energy_area_and_paths_are_objectives_where_the_description_has_them() -> None:
    objectives = ("latency", "energy", "edp", "area", "buffer_bytes", "array.systolic.rows")
    study = run_sweep([_network()], load_accelerator(SYSTOLIC), [ROWS], objectives=objectives)
    for point in study.points:
        latency, energy, edp, _, _, rows = point.costs
        assert edp == pytest.approx(latency * energy)
        assert rows == point.settings[0]
        assert min(point.costs) > 0
    areas = [point.costs[3] for point in study.points]
    assert areas == sorted(areas)
    assert default_objectives(load_accelerator("zcu102-dpu"), [parse_axis("clock_hz=1e8")]) == (
        "latency", "macs", "buffer_bytes", "clock_hz",
    )  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(
    begin=st.integers(1, 100), end=st.integers(1, 5000), step=st.integers(2, 50), sign=st.sampled_from("*+")
)
def test_ranges_hold_what_they_say(begin: int, end: int, step: int, sign: str) -> None:
    text = f"clock_hz={begin}..{end}{sign}{step}"
    if end < begin:
        with pytest.raises(UsageError, match=r"expected FIRST\.\.LAST"):
            parse_axis(text)
        return
    values = parse_axis(text).values
    assert values[0] == begin
    assert all(isinstance(value, int) for value in values)
    assert all(value <= end for value in values)  # type: ignore[operator]
    following = values[-1] * step if sign == "*" else values[-1] + step  # type: ignore[operator]
    assert following > end


def test_several_paths_change_together_and_floats_have_ranges() -> None:
    axis = parse_axis("clock_hz+vector.clock_hz=1e9..2e9+5e8, 3e9")
    assert axis == Axis(paths=("clock_hz", "vector.clock_hz"), values=(1e9, 1.5e9, 2e9, 3e9))
    study = run_sweep([_network()], load_accelerator(SYSTOLIC), [axis], objectives=("vector.clock_hz",))
    assert [point.costs for point in study.points] == [(1e9,), (1.5e9,), (2e9,), (3e9,)]


@pytest.mark.parametrize(
    ("axes", "objectives", "message"),
    [
        (["array.systolic.row=1"], (), "did you mean array.systolic.rows"),
        (["clock_hz=1", "clock_hz=2"], (), "found clock_hz on two axes"),
        (["clock_hz=1e9"], ("speed",), "or one of latency, energy"),
        (["clock_hz=1e9"], ("energy",), "no table under energy"),
        (["clock_hz=1e9"], ("area",), "no table under area"),
        (["clock_hz=1e9"], ("array.systolic.dataflow",), "found WS, expected a number"),
        (["clock_hz=1..1001+1", "vector.clock_hz=1..1000+1"], (), "found 1,001,000 points, expected at most"),
    ],
)
def test_mistakes_are_told(axes: list[str], objectives: tuple[str, ...], message: str) -> None:
    device = load_accelerator("zcu102-dpu" if objectives in (("energy",), ("area",)) else SYSTOLIC)
    with pytest.raises(UsageError, match=message):
        run_sweep([_network()], device, [parse_axis(text) for text in axes], objectives=objectives)


@pytest.mark.parametrize(
    "text",
    [
        "clock_hz", "=3", "clock_hz=", "clock_hz=1,,2", "clock_hz=1..8*1", "x=1..1e9+1",
        "clock_hz=1e9,inf", "clock_hz=nan", "clock_hz=1..1e999*2",
    ],
)  # fmt: skip
def test_axes_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--vary"):
        parse_axis(text)


@pytest.fixture(scope="module")
def study() -> SweepStudy:
    axes = [ROWS, parse_axis("memories[0].size_bytes=16384,-5")]
    return run_sweep([_network()], load_accelerator(SYSTOLIC), axes)


def test_all_points_are_in_the_table_and_the_document(study: SweepStudy) -> None:
    rows = list(csv.DictReader(study.to_csv().splitlines()))
    assert len(rows) == study.planned == 10
    assert sum(row["is_on_front"] == "True" for row in rows) == len(study.front)
    assert sum(bool(row["error"]) for row in rows) == len(study.failures) == 5
    document = json.loads(json.dumps(study.to_dict(), allow_nan=False))
    assert [item["is_on_front"] for item in document["points"]] == study.is_on_front.tolist()
    assert document["points"][0]["settings"] == {"array.systolic.rows": 4, "memories[0].size_bytes": 16384}


@pytest.mark.parametrize(
    ("name", "holds"), [("sweep.svg", "<svg"), ("sweep.html", "array.systolic.rows = 4")]
)
def test_the_front_is_drawn(study: SweepStudy, name: str, holds: str, tmp_path: Path) -> None:
    draw_sweep(study, tmp_path / name)
    assert holds in (tmp_path / name).read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="expected a name that ends in"):
        draw_sweep(study, tmp_path / "sweep.doc")


def test_an_objective_that_is_equal_everywhere_is_not_drawn() -> None:
    objectives = ("latency", "buffer_bytes", "macs", "external_memory.bandwidth_bytes_per_s")
    study = run_sweep([_network()], load_accelerator(SYSTOLIC), [ROWS], objectives=objectives)
    assert drawn_objectives(study) == (2, 0)
    still = run_sweep([_network()], load_accelerator(SYSTOLIC), [ROWS], objectives=objectives[1:4:2])
    assert drawn_objectives(still) == (1, 0)


def test_the_picture_has_the_front_that_was_computed(tmp_path: Path) -> None:
    """A third objective keeps points on the front that the first two alone would take off it."""
    clock = parse_axis("clock_hz=5e8,1e9")
    for objectives in (("latency", "macs", "clock_hz"), ("latency", "macs")):
        study = run_sweep([_network()], load_accelerator(SYSTOLIC), [ROWS, clock], objectives=objectives)
        draw_sweep(study, tmp_path / "sweep.html")
        page = (tmp_path / "sweep.html").read_text(encoding="utf-8")
        data = re.search(r"Plotly\.newPlot\(\s*\"[^\"]*\",\s*(\[.*?\}\]),\s*\{", page, flags=re.DOTALL)
        assert data is not None
        front = json.loads(data[1])[1]
        assert front["mode"] == ("markers" if len(objectives) == 3 else "lines+markers")
        assert sorted(front["y"]) == sorted(study.points[row].costs[0] for row in study.front)
        assert len(study.front) == (len(study.points) if len(objectives) == 3 else len(ROWS.values))
