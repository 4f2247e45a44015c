"""What if a device had more of something: never slower, the fields that were meant, the ways to have MACs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from annette.errors import HardwareError
from annette.explore.explain import explain_network
from annette.explore.what_if import study_changes
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator
from annette.hardware.codec import list_accelerators, load_accelerator
from annette.hardware.settings import change_accelerator, list_paths, read_setting
from annette.simulator.run import simulate
from annette.zoo.registry import zoo_network

PRESETS = [name for name, _ in list_accelerators()]
TOLERANCE = 1 - 1e-9


@st.composite
def machines(draw: st.DrawFn) -> Accelerator:
    """A preset, or a systolic array, with some of its numbers up to eight times smaller or larger."""
    sides = st.sampled_from((1, 4, 12, 32, 100))
    systolic = st.builds("systolic-{}x{}-{}".format, sides, sides, st.sampled_from(("os", "ws", "is")))
    base = load_accelerator(draw(st.one_of(st.sampled_from(PRESETS), systolic)))
    paths = [
        path
        for path in list_paths(base)
        if not path.startswith(("compiler.", "noise.", "precision.", "energy.", "area."))
        and isinstance(read_setting(base, path), float | int)
        and not isinstance(read_setting(base, path), bool)
    ]
    changes = {}
    for path in draw(st.lists(st.sampled_from(paths), max_size=8, unique=True)):
        value = read_setting(base, path)
        assert isinstance(value, float | int)
        scaled = value * draw(st.sampled_from((0.125, 0.3, 0.5, 2, 3, 8)))
        changes[path] = max(int(scaled), 1) if isinstance(value, int) else scaled
    try:
        return change_accelerator(base, changes)
    except HardwareError:  # out of bounds, or a cost that must go with another
        assume(False)
        raise


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """A few layers for the array, the vector unit and the host."""
    build = NetworkBuilder("some")
    x = build.input("x", (draw(st.sampled_from((1, 3))), draw(st.sampled_from((3, 16, 130))), 24, 24))
    kernel = draw(st.sampled_from((1, 3, 5)))
    x = build.conv(x, draw(st.sampled_from((8, 48, 256))), kernel=kernel, padding=kernel // 2)
    for step in draw(st.lists(st.sampled_from(("depthwise", "sum", "pool", "sigmoid", "relu")), max_size=4)):
        if step == "depthwise":
            x = build.depthwise_conv(x)
        elif step == "sum":
            x = build.add("Add", x, build.conv(x, build.channels(x)))
        elif step == "pool" and build.shape(x)[2] >= 4:
            x = build.max_pool(x, kernel=2, stride=2)
        elif step == "sigmoid":
            x = build.add("Sigmoid", x)
        else:
            x = build.relu(x)
    return build.finish(build.softmax(build.linear(build.flatten(x), 20)))


@settings(max_examples=10, deadline=None)
@given(machine=machines(), network=networks())
def test_more_of_anything_never_slows_a_network_down(machine: Accelerator, network: Network) -> None:
    try:
        changes = study_changes(network, machine)
    except HardwareError:
        assume(False)
        raise
    for item in changes:
        assert item.doubled_speed_up >= TOLERANCE, item
        assert item.removed_speed_up >= item.doubled_speed_up * TOLERANCE, item
        # The clock and everything that is counted in cycles are doubled at most, and so is all else.
        assert item.doubled_speed_up <= 2 / TOLERANCE or item.ceiling.endswith(("size", "MACs", "buffer")), (
            item
        )
    gains = [item.doubled_speed_up for item in changes]
    assert gains == sorted(gains, reverse=True)
    assert len({item.ceiling for item in changes}) == len(changes)


def test_a_larger_memory_whose_tiles_are_worse_is_left_unused() -> None:
    network, machine = zoo_network("squeezenet1_1"), load_accelerator("systolic-32x32-ws")
    outputs = machine.memories[2]
    larger = replace(outputs, size_bytes=2 * outputs.size_bytes)
    changed = replace(machine, memories=(*machine.memories[:2], larger))
    assert simulate(network, changed).latency_s > simulate(network, machine).latency_s  # what is tested
    change = next(item for item in study_changes(network, machine) if item.ceiling == "outputs size")
    assert change.doubled_speed_up == 1
    assert change.removed_speed_up >= 1


@pytest.mark.parametrize("preset", PRESETS)
def test_the_fields_of_a_change_are_paths_of_the_description(preset: str) -> None:
    build = NetworkBuilder("one")
    x = build.input("x", (1, 16, 16, 16))
    network = build.finish(build.softmax(build.add("Sigmoid", build.conv(x, 16))))
    machine = load_accelerator(preset)
    changes = study_changes(network, machine)
    known = set(list_paths(machine))
    for item in changes:
        assert item.fields
        assert set(item.fields) <= known, item
    assert {"clock", "array MACs", "external memory", "launches"} <= {item.ceiling for item in changes}


def test_what_doubling_gives_is_what_the_simulator_says() -> None:
    build = NetworkBuilder("one")
    network = build.finish(build.conv(build.input("x", (1, 64, 56, 56)), 96, kernel=3, padding=1))
    machine = load_accelerator("zcu102-dpu")
    bandwidth = machine.external_memory.bandwidth_bytes_per_s
    external = replace(machine.external_memory, bandwidth_bytes_per_s=2 * bandwidth)
    gain = (
        simulate(network, machine).latency_s
        / simulate(network, replace(machine, external_memory=external)).latency_s
    )
    changes = {item.ceiling: item for item in study_changes(network, machine)}
    assert changes["external memory"].doubled_speed_up == pytest.approx(gain)


def test_cells_are_doubled_where_the_network_uses_them() -> None:
    """A product of 4 rows and many columns fills columns of an output-stationary array only."""
    build = NetworkBuilder("flat")
    network = build.finish(build.linear(build.input("x", (4, 4096)), 4096))
    machine = load_accelerator("systolic-4x32-os")
    fast = replace(machine.external_memory, bandwidth_bytes_per_s=1e15, latency_s=0.0)
    changes = {item.ceiling: item for item in study_changes(network, replace(machine, external_memory=fast))}
    assert changes["array MACs"].fields == ("array.systolic.columns",)
    assert changes["array MACs"].doubled_speed_up == pytest.approx(2, rel=0.05)


def test_an_explanation_shares_out_all_of_the_time() -> None:
    build = NetworkBuilder("some")
    x = build.conv(build.input("x", (1, 3, 64, 64)), 32, kernel=3, padding=1)
    network = build.finish(build.softmax(build.linear(build.flatten(build.relu(x)), 10)))
    found = explain_network(network, load_accelerator("zcu102-dpu"))
    document = found.to_dict()
    assert sum(item.fraction for item in found.causes) == pytest.approx(1)
    assert sum(item.kernels for item in found.causes) == len(document["kernels"])
    assert sum(item["latency_s"] for item in document["kernels"]) == pytest.approx(document["latency_s"])
    for item in document["kernels"]:
        assert 0 < item["at_ceiling_fraction"] <= 1
        assert item["second_fraction"] is None or 0 <= item["second_fraction"] <= 1
        assert item["ceilings_s"][item["ceiling"]] == max(item["ceilings_s"].values())
