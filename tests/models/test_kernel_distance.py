"""How far back the inputs of a kernel were written, in bytes that other kernels moved since."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping
from annette.measurement import DeviceInfo
from annette.models.kernel_distance import reuse_distances
from annette.models.kernel_table import build_kernel_table

CPU = DeviceInfo(name="cpu", backend="test", cache_bytes=(32768,), vector_bytes=64)


def _alone(*names: str) -> Mapping:
    return Mapping(kernels=tuple(Kernel(layers=(name,), primary=name, unit="plain") for name in names))


def test_a_chain_reads_what_was_just_written() -> None:
    build = NetworkBuilder("chain")
    x = build.input("x", (1, 4))
    for name in "abc":
        x = build.relu(x, name=name)
    network = build.finish(x)
    found = reuse_distances(network, _alone("a", "b", "c"), [32.0, 32.0, 32.0], lambda name: name)
    assert found == [(0.0, 0.0, 0.0), (0.0, 0.0, 32.0), (0.0, 0.0, 64.0)]


def test_a_shortcut_is_as_old_as_what_was_moved_in_between() -> None:
    build = NetworkBuilder("shortcut")
    first = build.relu(build.input("x", (1, 4)), name="first")
    y = build.relu(build.relu(first, name="b"), name="c")
    network = build.finish(build.add("Add", y, first, name="add"))
    mapping = _alone("first", "b", "c", "add")
    moved = [1.0, 10.0, 100.0, 1000.0]
    assert reuse_distances(network, mapping, moved, lambda name: name)[3] == (0.0, 110.0, 111.0)


def test_a_vanished_layer_is_looked_through_and_a_move_writes_anew() -> None:
    build = NetworkBuilder("moved")
    first = build.relu(build.input("x", (1, 4)), name="first")
    view = build.add("Identity", first, name="view")
    network = build.finish(build.relu(view, name="last"), build.add("Neg", first, name="neg"))
    move = Kernel(tensor=first, unit="to_plain")
    kernels = (*_alone("first", "neg").kernels, move, *_alone("last").kernels)
    mapping = Mapping(kernels=kernels, eliminated_layers=("view",))
    behind = {view: first}
    found = reuse_distances(network, mapping, [1.0, 2.0, 4.0, 8.0], lambda name: behind.get(name, name))
    assert [item[:2] for item in found] == [(0.0, 0.0), (0.0, 0.0), (2.0, 2.0), (0.0, 0.0)]


def test_operands_behind_a_join_that_vanishes_are_each_seen() -> None:
    build = NetworkBuilder("join")
    first = build.relu(build.input("x", (1, 4)), name="first")
    left, right = build.relu(first, name="left"), build.add("Neg", first, name="right")
    joined = build.add("Concat", left, right, axis=1, name="join")
    network = build.finish(build.relu(joined, name="last"))
    kernels = _alone("first", "left", "right", "last").kernels
    mapping = Mapping(kernels=kernels, eliminated_layers=("join",))
    found = reuse_distances(network, mapping, [1.0, 2.0, 4.0, 8.0], lambda name: name)
    assert found[-1] == (0.0, 4.0, 7.0)


def test_only_the_kernels_just_before_are_recent() -> None:
    build = NetworkBuilder("long")
    x, names = build.input("x", (1, 4)), [f"relu_{number}" for number in range(20)]
    for name in names:
        x = build.relu(x, name=name)
    found = reuse_distances(build.finish(x), _alone(*names), [1.0] * 20, lambda name: name)
    assert [item[2] for item in found] == [float(min(number, 8)) for number in range(20)]


def test_the_table_knows_distances_where_there_are_caches() -> None:
    build = NetworkBuilder("shortcut")
    first = build.relu(build.input("x", (1, 4)), name="first")
    network = build.finish(build.add("Add", build.relu(first, name="b"), first, name="add"))
    items = [(network, _alone("first", "b", "add"))]
    with_caches = build_kernel_table(items, CPU)
    assert with_caches.column("far_bytes").tolist() == [0.0, 0.0, 32.0]
    assert with_caches.column("near_bytes").tolist() == [0.0, 0.0, 0.0]
    without = build_kernel_table(items, DeviceInfo(name="array", backend="test"))
    assert not without.column("far_bytes").any()
    assert not without.column("recent_bytes").any()
