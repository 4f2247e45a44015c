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
