"""Kernels cut out of networks compute what they computed there, and others near them still fit together."""

from __future__ import annotations

import numpy as np
import pytest

from annette.benchmark.cuttings import cut_layers, vary_sizes
from annette.graph.codec import network_from_json, network_to_json
from annette.graph.work import network_work
from annette.zoo.registry import zoo_network

NETWORKS = ("mobilenet_v2", "squeezenet1_0", "lenet5")


@pytest.mark.parametrize("name", NETWORKS)
def test_cutting_out_every_layer_keeps_all_macs(name: str) -> None:
    network = zoo_network(name)
    cuts = [cut_layers(network, [layer.name], name=layer.name) for layer in network.layers]
    assert sum(network_work(cut).macs for cut in cuts if cut is not None) == network_work(network).macs


def test_several_layers_stay_connected_and_read_what_they_read() -> None:
    network = zoo_network("mobilenet_v2")
    names = [layer.name for layer in network.layers[:4]]
    cut = cut_layers(network, names, name="first")
    assert cut is not None
    assert [layer.op_type for layer in cut.layers] == [layer.op_type for layer in network.layers[:4]]
    assert [cut.tensors[item].shape for item in cut.inputs] == [
        network.tensors[item].shape for item in network.inputs
    ]
    assert len(cut.outputs) == 1
    assert cut.tensors[cut.outputs[0]].shape == network.tensors[network.layers[3].outputs[0]].shape
    assert network_from_json(network_to_json(cut)).id == cut.id


def test_a_residual_operand_becomes_a_second_input() -> None:
    network = zoo_network("resnet18")
    addition = next(layer for layer in network.layers if layer.op_type == "Add")
    cut = cut_layers(network, [addition.name], name="sum")
    assert cut is not None
    assert len(cut.inputs) == 2


def test_nothing_is_cut_out_of_no_layers() -> None:
    assert cut_layers(zoo_network("lenet5"), [], name="none") is None


@pytest.mark.parametrize("name", NETWORKS)
def test_varied_kernels_are_near_and_sound(name: str) -> None:
    network = zoo_network(name)
    rng = np.random.default_rng(3)
    varied = 0
    for layer in network.layers:
        cut = cut_layers(network, [layer.name], name="base")
        found = None if cut is None else vary_sizes(cut, rng, name="near")
        if cut is None or found is None:
            continue
        varied += 1
        assert network_from_json(network_to_json(found)).id == found.id  # shapes follow from the inputs
        assert [item.op_type for item in found.layers] == [item.op_type for item in cut.layers]
        for old, new in zip(cut.inputs, found.inputs, strict=True):
            before, after = cut.tensors[old].shape, found.tensors[new].shape
            assert before[0] == after[0]
            ratios = [max(a / b, b / a) for a, b in zip(before, after, strict=True)]
            assert max(ratios) <= 2.0, (before, after)  # 1.6, and rounding of small sizes
    assert varied > 0.8 * len(network.layers)


def test_depthwise_convolutions_keep_a_group_a_channel() -> None:
    network = zoo_network("mobilenet_v2")
    layer = next(item for item in network.layers if item.int_attribute("group", 1) > 1)
    cut = cut_layers(network, [layer.name], name="depthwise")
    assert cut is not None
    for seed in range(8):
        found = vary_sizes(cut, np.random.default_rng(seed), name="near")
        assert found is not None
        channels = found.tensors[found.inputs[0]].shape[1]
        assert found.layers[0].int_attribute("group", 1) == channels


def test_the_same_draws_give_the_same_network() -> None:
    cut = cut_layers(zoo_network("alexnet"), ["conv_2"], name="base")
    assert cut is not None
    first, second = (vary_sizes(cut, np.random.default_rng(5), name="near") for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.id == second.id != cut.id
