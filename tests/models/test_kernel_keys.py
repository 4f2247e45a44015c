"""Kernels with equal keys have equal rows, and no row is kept for a kernel that has another."""

from __future__ import annotations

import pytest

from annette.estimation.catalogue import load_platform
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Layer, Network, Tensor
from annette.models.kernel_distance import reuse_distances, walk_distances
from annette.models.kernel_keys import KernelKeys
from annette.models.kernel_row import KernelReader
from annette.models.kernel_table import build_kernel_table, moved_bytes
from annette.zoo.nasbench101 import nasbench101_network
from annette.zoo.nasbench101_sampling import sample_cells
from annette.zoo.registry import list_networks, zoo_network

PLATFORMS = ("zcu102-dpu", "ncs2", "onnxruntime-epyc")


def quantised() -> Network:
    """Convolutions and an addition between (de)quantisers, as exported models have them."""
    build = NetworkBuilder("quantised")
    scale, zero = build.constant(()), build.constant((), dtype="int8")

    def through(x: str) -> str:
        q = build.add("QuantizeLinear", x, scale, zero)
        return build.add("DequantizeLinear", q, scale, zero)

    x = through(build.input("x", (1, 16, 28, 28)))
    for channels in (16, 16, 32):
        weight = build.constant((channels, build.channels(x), 3, 3), dtype="int8")
        w = build.add("DequantizeLinear", weight, scale, zero)
        y = build.add("Conv", x, w, kernel_shape=(3, 3), pads=(1, 1, 1, 1))
        y = through(build.relu(y))
        x = through(build.add("Add", x, y)) if channels == 16 else y
    return build.finish(build.flatten(build.global_avg_pool(x)))


def networks() -> list[Network]:
    zoo = [zoo_network(entry.name) for entry in list_networks()]
    return [*zoo, *(nasbench101_network(cell) for cell in sample_cells(6, seed=11)), quantised()]


@pytest.mark.parametrize("name", PLATFORMS)
def test_equal_keys_mean_equal_rows(name: str) -> None:
    platform = load_platform(name)
    model, device = platform.mapping_model, platform.device
    rows: dict[object, tuple[str, tuple[float, ...]]] = {}
    repeated = 0
    for network in networks():
        walk = model.walk(network)
        execution = list(model.execution(walk))
        mapping = model.mapping_of(walk, execution)
        reader, keys = KernelReader(network, mapping, device), KernelKeys(walk, device)
        of_walk = KernelReader.of_walk(walk, device)
        for item, kernel in zip(execution, mapping.kernels, strict=True):
            row = reader.family_key(kernel), reader.row(kernel)
            if isinstance(item, int):
                primary, unit = model.primary(walk, item), walk.unit(item)
                key = keys.key(item, primary, unit)
                assert of_walk.read(walk.kernels[item].layers, primary, unit) == row, kernel.name
            else:
                key = keys.move_key(item)
            repeated += key in rows
            assert rows.setdefault(key, row) == row, kernel.name
    assert repeated > 3 * len(rows) / 2


@pytest.mark.parametrize("network", [quantised(), zoo_network("shufflenet_v2")], ids=lambda item: item.name)
def test_distances_are_those_of_the_mapping(network: Network) -> None:
    platform = load_platform("onnxruntime-epyc")
    model = platform.mapping_model
    walk = model.walk(network)
    execution = list(model.execution(walk))
    mapping = model.mapping_of(walk, execution)
    reader, keys = KernelReader(network, mapping, platform.device), KernelKeys(walk, platform.device)
    moved = moved_bytes(build_kernel_table([(network, mapping)], platform.device).values)
    assert walk_distances(walk, execution, moved, keys.source) == reuse_distances(
        network, mapping, moved, reader.source
    )


def test_networks_whose_layers_make_constants_have_no_keys() -> None:
    tensors = (
        Tensor(name="x", shape=(1, 8)),
        Tensor(name="c", shape=(1, 8), is_constant=True),
        Tensor(name="y", shape=(1, 8)),
    )
    layers = (
        Layer(name="a", op_type="Relu", inputs=("x",), outputs=("c",)),
        Layer(name="b", op_type="Add", inputs=("x", "c"), outputs=("y",)),
    )
    network = Network(
        name="odd",
        inputs=("x",),
        outputs=("y",),
        layers=layers,
        tensors={item.name: item for item in tensors},
    )
    platform = load_platform("onnxruntime-epyc")
    assert KernelKeys(platform.mapping_model.walk(network), platform.device).is_odd
    assert platform.estimate_many([network])[0] == platform.estimate(network).latency_s > 0
