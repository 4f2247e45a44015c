"""Layers that share one tensor out become one kernel where the device was seen to join them."""

from __future__ import annotations

import pytest

from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping, require_complete
from annette.graph.network import Network
from annette.models.mapping_model import MappingModel, fit_mapping_model


def _cut(width: int, parts: tuple[int, ...], *, step: int = 1, read_again: bool = False) -> Network:
    """A convolution whose channels are sliced into parts of these sizes, each then activated."""
    build = NetworkBuilder("cut")
    x = build.conv(build.input("x", (1, 8, 8, 8)), width)
    start, pieces = 0, []
    for number, part in enumerate(parts):
        begin, end = (start, start + part) if step == 1 else (number, width)
        bounds = [build.int_constant((item,)) for item in (begin, end, 1, step)]
        pieces.append(build.add("Slice", x, *bounds))
        start += part
    results = [build.relu(piece) for piece in pieces]
    return build.finish(*results, *([build.add("Neg", x)] if read_again else []))


def _answer(network: Network, *, joined: bool) -> Mapping:
    """One kernel a layer, save for slices of a device that joins them."""
    slices = tuple(layer.name for layer in network.layers if layer.op_type == "Slice")
    kernels, done = [], False
    for layer in network.layers:
        if layer.op_type == "Slice" and joined:
            if not done:
                kernels.append(Kernel(layers=slices, primary=slices[0], unit="plain"))
            done = True
        else:
            kernels.append(Kernel(layers=(layer.name,), primary=layer.name, unit="plain"))
    return Mapping(kernels=tuple(kernels))


def _model(*, joined: bool) -> MappingModel:
    seen = [_cut(width, (width // 2, width // 2)) for width in range(8, 24, 2)]
    return fit_mapping_model([(item, _answer(item, joined=joined)) for item in seen])


def _kernels_of_slices(mapping: Mapping, network: Network) -> list[int]:
    slices = {layer.name for layer in network.layers if layer.op_type == "Slice"}
    return sorted(len(kernel.layers) for kernel in mapping.kernels if slices & set(kernel.layers))


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (_cut(30, (10, 10, 10)), [3]),
        (_cut(30, (1, 29), read_again=True), [2]),
        (_cut(30, (10, 10)), [1, 1]),  # a third of the tensor is left
        (_cut(30, (15, 15), step=2), [1, 1]),  # every other channel
    ],
)
def test_siblings_are_joined_if_they_take_all_of_a_tensor(network: Network, expected: list[int]) -> None:
    mapping = _model(joined=True).predict(network)
    require_complete(network, mapping)
    assert _kernels_of_slices(mapping, network) == expected


def _twice(axes: tuple[int, int], starts: tuple[int, int]) -> Network:
    """Two slices of half a tensor."""
    build = NetworkBuilder("twice")
    x = build.conv(build.input("x", (1, 8, 8, 8)), 8)
    pieces = [
        build.slice(x, axis=axis, start=start, end=start + 4)
        for axis, start in zip(axes, starts, strict=True)
    ]
    return build.finish(*(build.relu(piece) for piece in pieces))


@pytest.mark.parametrize(
    ("axes", "starts", "expected"),
    [
        ((1, 1), (0, 4), [2]),
        ((1, -3), (0, 4), [2]),
        ((1, 1), (4, 0), [2]),
        ((1, 2), (0, 4), [1, 1]),
        ((1, 1), (0, 0), [1, 1]),
        ((1, 1), (0, 2), [1, 1]),
    ],
)
def test_only_parts_of_one_axis_that_do_not_overlap_are_joined(
    axes: tuple[int, int], starts: tuple[int, int], expected: list[int]
) -> None:
    network = _twice(axes, starts)
    assert _kernels_of_slices(_model(joined=True).predict(network), network) == expected


def _picked(*positions: int, axis: int) -> Network:
    build = NetworkBuilder("picked")
    x = build.conv(build.input("x", (3, 8, 8, 8)), 8)
    pieces = [
        build.add("Gather", x, build.constant((), dtype="int64", value=(item,)), axis=axis)
        for item in positions
    ]
    return build.finish(*(build.relu(piece) for piece in pieces))


@pytest.mark.parametrize(
    ("positions", "axis", "is_one"), [((0, 1, 2), 0, True), ((2, 0, -2), -4, True), ((0, 1, 1), 0, False)]
)
def test_look_ups_of_every_position_are_siblings(positions: tuple[int, ...], axis: int, is_one: bool) -> None:
    def answer(network: Network, *, joined: bool) -> Mapping:
        names = [layer.name for layer in network.layers]
        gathers = tuple(layer.name for layer in network.layers if layer.op_type == "Gather")
        parts = [(name,) for name in names if name not in gathers]
        parts[1:1] = [gathers] if joined else [(name,) for name in gathers]
        return Mapping(kernels=tuple(Kernel(layers=p, primary=p[0], unit="plain") for p in parts))

    seen = [_picked(0, 1, 2, axis=0)] * 3
    model = fit_mapping_model([(item, answer(item, joined=True)) for item in seen])
    network = _picked(*positions, axis=axis)
    assert set(model.predict(network).kernels) == set(answer(network, joined=is_one).kernels)


def test_siblings_stay_apart_on_a_device_that_keeps_them_apart() -> None:
    network = _cut(30, (10, 10, 10))
    model = _model(joined=False)
    assert model.siblings == frozenset()
    assert _kernels_of_slices(model.predict(network), network) == [1, 1, 1]


def test_siblings_are_kept_and_told() -> None:
    model = _model(joined=True)
    again = MappingModel.from_json(model.to_json())
    assert again.siblings == {"Slice"}
    assert again.to_json() == model.to_json()
    assert any(line.startswith("Slice + Slice -> merged if together") for line in again.describe())


def test_a_model_without_siblings_is_written_as_before() -> None:
    assert "siblings" not in _model(joined=False).to_json()
