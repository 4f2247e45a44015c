"""Moves between layouts, inherited units and kernels of several roots are learned from what was observed."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from annette.errors import ModelError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping, require_complete
from annette.graph.network import Layer, Network, Tensor
from annette.models.generator import cross_validate_mapping
from annette.models.mapping_model import MappingModel, exact_kernels, fit_mapping_model


def compile_blocked(network: Network) -> Mapping:
    """A runtime with a blocked layout: convolutions choose it, what follows inherits it, others are plain.

    A convolution is plain if it has more than 16 input channels and their number is no multiple of 4; with
    fewer than 16 it reads the plain layout itself.
    """
    units: dict[str, str] = {}
    home: dict[str, str] = {}
    layers: dict[str, list[str]] = {}
    order: list[Kernel] = []
    done: set[tuple[str, str]] = set()

    def source(tensor: str) -> str | None:
        producer = network.producer(tensor)
        return None if producer is None else home[producer.name]

    def unit_of(tensor: str) -> str:
        kernel = source(tensor)
        return "input" if kernel is None else units[kernel]

    def move(tensor: str, unit: str) -> None:
        if (tensor, unit) not in done:
            done.add((tensor, unit))
            order.append(Kernel(tensor=tensor, unit=unit))

    for layer in network.layers:
        reads = [name for name in layer.inputs if not network.tensors[name].is_constant]
        channels = network.tensors[reads[0]].shape[1]
        first = source(reads[0])
        is_alone = len(network.consumers(reads[0])) == 1
        if layer.op_type == "Relu" and first and is_alone and network.layer(first).op_type == "Conv":
            home[layer.name] = first
            layers[first].append(layer.name)
            continue
        if layer.op_type == "Conv":
            unit = "plain" if channels > 16 and channels % 4 else "blocked"
        else:
            unit = "blocked" if all(unit_of(name) == "blocked" for name in reads) else "plain"
        if layer.op_type == "Softmax":
            unit = "plain"
        for name in reads:
            made = unit_of(name)
            if unit == "plain" and made == "blocked":
                move(name, "to_plain")
            elif unit == "blocked" and made != "blocked" and channels >= 16:
                move(name, "to_blocked")
        home[layer.name] = layer.name
        units[layer.name] = unit
        layers[layer.name] = [layer.name]
        order.append(Kernel(layers=(layer.name,), primary=layer.name, unit=unit))
    for name in network.outputs:
        if unit_of(name) == "blocked":
            move(name, "to_plain")
    whole = (
        kernel if kernel.is_move else dataclasses.replace(kernel, layers=tuple(layers[kernel.primary]))
        for kernel in order
    )
    return Mapping(kernels=tuple(whole))


def random_network(number: int) -> Network:
    rng = np.random.default_rng(number)
    build = NetworkBuilder(f"random_{number}")
    channels = int(rng.choice([3, 8, 15, 16, 17, 18, 20, 24, 30, 32, 36, 64]))
    ends = [build.input("x", (1, channels, 8, 8))]
    for _ in range(int(rng.integers(4, 14))):
        x = ends[int(rng.integers(max(len(ends) - 3, 0), len(ends)))]
        kind = int(rng.integers(6))
        if kind <= 2:
            x = build.conv(x, int(rng.choice([6, 16, 18, 20, 24, 32, 34, 48])))
            x = build.relu(x) if rng.random() < 0.6 else x
        elif kind == 3:
            x = build.relu(x)
        elif kind == 4:
            twins = [item for item in ends if build.shape(item) == build.shape(x) and item != x]
            x = build.add("Add", x, twins[-1]) if twins else build.add("Sigmoid", x)
        else:
            x = build.add("Softmax", x, axis=1)
        ends.append(x)
    return build.finish(ends[-1])


def observe(numbers: range) -> list[tuple[Network, Mapping]]:
    networks = [random_network(number) for number in numbers]
    return [(network, compile_blocked(network)) for network in networks]


@pytest.fixture(scope="module")
def model() -> MappingModel:
    return fit_mapping_model(observe(range(120)))


def test_moves_and_inherited_units_hold_on_networks_never_seen(model: MappingModel) -> None:
    n_kernels = n_exact = n_surplus = 0
    for network, truth in observe(range(1000, 1060)):
        predicted = model.predict(network)
        require_complete(network, predicted)
        exact = exact_kernels(truth, predicted)
        n_kernels, n_exact = n_kernels + len(exact), n_exact + sum(exact)
        n_surplus += len(predicted.kernels) - sum(exact)
    assert n_exact / n_kernels > 0.99
    assert n_surplus / n_kernels < 0.01


def test_a_move_stands_before_its_first_reader_and_behind_its_maker(model: MappingModel) -> None:
    for network, _ in observe(range(2000, 2020)):
        made = set(network.inputs)
        waiting = {kernel.tensor for kernel in model.predict(network).kernels if kernel.is_move}
        for kernel in model.predict(network).kernels:
            if kernel.tensor is not None:
                assert kernel.tensor in made
                waiting.discard(kernel.tensor)
            for name in kernel.layers:
                made.update(network.layer(name).outputs)
        assert not waiting


def test_models_with_moves_survive_their_text(model: MappingModel) -> None:
    again = MappingModel.from_json(model.to_json())
    assert again.to_json() == model.to_json()
    network = random_network(5000)
    assert again.predict(network) == model.predict(network)
    broken = json.loads(model.to_json())
    broken["moves"] = {"to_plain + blocked": next(iter(broken["moves"].values()))}
    with pytest.raises(ModelError, match="3 names"):
        MappingModel.from_json(json.dumps(broken))


def test_rules_of_moves_are_printed_and_their_words_explained(model: MappingModel) -> None:
    lines = [line for line in model.describe() if line.startswith("a tensor made on")]
    assert "a tensor made on blocked, read on output -> always to_plain" in " ".join(lines)
    assert any("read on blocked -> to_blocked if" in line for line in lines)
    assert not any("made on plain, read on plain" in line for line in lines)
    assert all(meaning for _, meaning in model.glossary())


def test_a_device_without_moves_leaves_no_trace_of_them() -> None:
    observations = [
        (network, Mapping(kernels=tuple(k for k in mapping.kernels if not k.is_move)))
        for network, mapping in observe(range(30))
    ]
    model = fit_mapping_model(observations)
    assert not model.moves
    assert "moves" not in json.loads(model.to_json())
    assert not any(kernel.is_move for kernel in model.predict(random_network(31)).kernels)


def test_cross_validation_counts_moves() -> None:
    observations = observe(range(24))
    scores = cross_validate_mapping(observations, [network.name for network, _ in observations])
    assert scores["kernels"] == sum(len(m.kernels) for n, m in observations if len(n.layers) > 1)


def test_a_move_may_be_named_by_any_tensor_of_its_kernel() -> None:
    def named(network: Network, mapping: Mapping) -> Mapping:
        """Name each moved tensor by the first output in the kernel that makes it."""
        first = {name: kernel.layers[0] for kernel in mapping.kernels for name in kernel.layers}
        kernels = []
        for kernel in mapping.kernels:
            producer = network.producer(kernel.tensor) if kernel.tensor else None
            if producer is not None:
                kernel = Kernel(tensor=network.layer(first[producer.name]).outputs[0], unit=kernel.unit)
            kernels.append(kernel)
        return Mapping(kernels=tuple(kernels))

    observations = [(network, named(network, mapping)) for network, mapping in observe(range(40))]
    model = fit_mapping_model(observations)
    assert any(key == ("to_plain", "blocked", "output") for key in model.moves)


def quantised_sum(number: int) -> tuple[Network, Mapping]:
    """Two quantised tensors are summed, and two others: only the first sum takes its operands in."""
    rng = np.random.default_rng(number)
    shape = (1, int(rng.integers(4, 40)), 4, 4)
    tensors = {name: Tensor(name=name, shape=shape, dtype="int8" if "8" in name else "float32")
               for name in ("a8", "b8", "a", "b", "c", "c8", "d", "e", "f", "g", "h")}  # fmt: skip
    tensors["s"] = Tensor(name="s", shape=(), is_constant=True)

    def layer(name: str, op_type: str, reads: tuple[str, ...], result: str) -> Layer:
        return Layer(name=name, op_type=op_type, inputs=reads, outputs=(result,))

    layers = (
        layer("dq_a", "DequantizeLinear", ("a8", "s"), "a"),
        layer("dq_b", "DequantizeLinear", ("b8", "s"), "b"),
        layer("add", "Add", ("a", "b"), "c"),
        layer("q", "QuantizeLinear", ("c", "s"), "c8"),
        layer("dq_c", "DequantizeLinear", ("c8", "s"), "d"),
        layer("tanh", "Tanh", ("d",), "e"),
        layer("exp", "Exp", ("d",), "f"),
        layer("plus", "Add", ("e", "f"), "g"),
        layer("relu", "Relu", ("g",), "h"),
    )
    network = Network(name=f"q{number}", inputs=("a8", "b8"), outputs=("h",), layers=layers, tensors=tensors)
    kernels = [Kernel(layers=("dq_a", "dq_b", "add", "q"), primary="add", unit="integer")]
    alone = ("dq_c", "tanh", "exp", "plus", "relu")
    kernels += [Kernel(layers=(name,), primary=name, unit="plain") for name in alone]
    return network, Mapping(kernels=tuple(kernels))


def test_a_kernel_may_begin_with_several_layers_that_a_later_one_unites() -> None:
    model = fit_mapping_model([quantised_sum(number) for number in range(12)])
    network, truth = quantised_sum(99)
    assert all(exact_kernels(truth, model.predict(network)))
    assert model.unites == {("DequantizeLinear", "Add")}
    assert MappingModel.from_json(model.to_json()).unites == model.unites


def test_units_are_inherited_through_networks_deeper_than_the_stack(model: MappingModel) -> None:
    build = NetworkBuilder("deep")
    x = build.conv(build.input("x", (1, 32, 2, 2)), 32)
    for _ in range(500):
        x = build.relu(x)
        x = build.add("Sigmoid", x)
    network = build.finish(x)
    units = {kernel.unit for kernel in model.predict(network).kernels if not kernel.is_move}
    assert units == {"blocked"}
