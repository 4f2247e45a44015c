"""Lessons of kernel tables: networks from elsewhere are mapped to the kernels that a table knows."""

from __future__ import annotations

import pytest

from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping, require_complete
from annette.graph.network import Network
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.models.mapping_lessons import ACTIVATIONS, fusion_lessons, seen_mappings
from annette.models.mapping_model import MappingModel, fit_mapping_model
from annette.store.records import TIMED_IN, Record, Task


def kernel_of(
    operator: str, unit: str, *, channels: int, fused: tuple[str, ...] = ()
) -> tuple[Network, Mapping]:
    """A kernel as a table has it: on its own, on tensors of its own."""
    build = NetworkBuilder(f"{unit} {channels}")
    size = 1 if unit == "small" else 14
    x = build.input("x", (1, channels, size, size))
    if operator == "Conv":
        y = build.conv(x, channels, kernel=1, name="first")
    elif operator == "Add":
        y = build.add("Add", x, build.input("z", (1, channels, size, size)), name="first")
    else:
        y = build.add(operator, x, name="first")
    for number, word in enumerate(fused):
        other = (build.input(f"o{number}", build.shape(y)),) if word in ("Add", "Mul") else ()
        y = build.add(word, y, *other, name=f"fused{number}")
    layers = ("first", *(f"fused{number}" for number in range(len(fused))))
    return build.finish(y), Mapping(kernels=(Kernel(layers=layers, primary="first", unit=unit),))


def table(
    *, fused: tuple[str, ...] = ("Relu",), extra: tuple[str, ...] = ()
) -> list[tuple[Network, Mapping]]:
    found = []
    for channels in range(8, 40, 8):
        found.append(kernel_of("Conv", "wide", channels=channels, fused=fused))
        found.append(kernel_of("Conv", "small", channels=channels))
        found.append(kernel_of("GlobalAveragePool", "mean", channels=channels))
        found.extend(kernel_of(operator, "alone", channels=channels) for operator in extra)
    return found


def taught(kernels: list[tuple[Network, Mapping]]) -> MappingModel:
    return fit_mapping_model([*kernels, *fusion_lessons(kernels)])


def kernels_in(model: MappingModel, network: Network) -> list[tuple[str, ...]]:
    mapping = model.predict(network)
    require_complete(network, mapping)
    return [kernel.layers for kernel in mapping.kernels]


def residual_network() -> Network:
    build = NetworkBuilder("residual")
    x = build.relu(build.batch_norm(build.conv(build.input("x", (1, 16, 14, 14)), 16, kernel=1)))
    y = build.batch_norm(build.conv(x, 16, kernel=1))
    y = build.relu(build.add("Add", y, x))
    return build.finish(build.conv(y, 8, kernel=1))


@pytest.mark.parametrize("seen", [(), ("Relu",), ("Add", "Relu")])
def test_every_lesson_is_a_complete_mapping(seen: tuple[str, ...]) -> None:
    lessons = fusion_lessons(table(fused=seen))
    assert lessons
    for network, mapping in lessons:
        require_complete(network, mapping)


def test_normalisations_and_activations_join_the_kernel_before_them() -> None:
    model = taught(table(fused=("Add", "Relu")))
    assert kernels_in(model, residual_network()) == [
        ("conv_1", "batchnormalization_1", "relu_1"),
        ("conv_2", "batchnormalization_2", "add_1", "relu_2"),
        ("conv_3",),
    ]


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"Clip", "PRelu"}))
def test_activations_that_no_table_names_are_fused(activation: str) -> None:
    build = NetworkBuilder("one")
    x = build.batch_norm(build.conv(build.input("x", (1, 16, 14, 14)), 16, kernel=1))
    network = build.finish(build.add(activation, x))
    assert len(kernels_in(taught(table(fused=())), network)) == 1


def test_an_activation_with_rows_of_its_own_stays_apart() -> None:
    build = NetworkBuilder("one")
    x = build.conv(build.input("x", (1, 16, 14, 14)), 16, kernel=1)
    network = build.finish(build.relu(build.add("HardSwish", x)))
    found = taught(table(fused=("Relu",), extra=("HardSwish",))).predict(network)
    assert [kernel.layers[0] for kernel in found.kernels] == ["conv_1", "hardswish_1"]
    assert found.kernels[1].unit == "alone"


def test_a_sum_that_a_table_never_shows_fused_stays_apart() -> None:
    found = kernels_in(taught(table(fused=("Relu",), extra=("Add",))), residual_network())
    assert ("conv_2", "batchnormalization_2") in found
    assert any("add_1" in layers and "conv_2" not in layers for layers in found)


def test_a_gate_is_no_part_of_the_kernel_that_computes_it() -> None:
    build = NetworkBuilder("gated")
    x = build.conv(build.input("x", (1, 16, 14, 14)), 16, kernel=1)
    gate = build.add("HardSigmoid", build.conv(build.global_avg_pool(x), 16, kernel=1))
    network = build.finish(build.relu(build.add("Mul", x, gate)))
    model = taught(table(fused=("Mul", "Relu")))
    assert ("conv_2", "hardsigmoid_1") in kernels_in(model, network)
    swish = NetworkBuilder("swish")
    y = swish.batch_norm(swish.conv(swish.input("x", (1, 16, 14, 14)), 16, kernel=1))
    assert len(kernels_in(model, swish.finish(swish.activation(y, "Swish")))) == 1


@pytest.mark.parametrize("operator", ["Flatten", "Identity", "Unsqueeze"])
def test_views_are_no_kernels(operator: str) -> None:
    build = NetworkBuilder("one")
    x = build.global_avg_pool(build.input("x", (1, 16, 14, 14)))
    if operator == "Unsqueeze":
        y = build.add("Unsqueeze", x, build.int_constant((0,)))
    else:
        y = build.add(operator, x)
    mapping = taught(table()).predict(build.finish(y))
    assert len(mapping.kernels) == len(mapping.eliminated_layers) == 1


def test_what_a_table_shows_is_not_overruled() -> None:
    kernels = table(fused=("Add", "Relu"))
    plain, model = fit_mapping_model(kernels), taught(kernels)
    for network, mapping in kernels:
        assert model.predict(network) == plain.predict(network) == mapping


def test_without_kernels_there_are_no_lessons() -> None:
    assert fusion_lessons([]) == []


def recorded(lesson: tuple[Network, Mapping], tags: tuple[tuple[str, str], ...]) -> Record:
    network, mapping = lesson
    kernels = tuple(KernelMeasurement(kernel=kernel, values_s=(1e-3,)) for kernel in mapping.kernels)
    device = DeviceInfo(name="made", backend="test")
    measurement = Measurement(network_id=network.id, device=device, values_s=(1e-3,), kernels=kernels)
    return Record(
        task=Task(network=network, category="block", group=network.name, tags=tags), measurement=measurement
    )


def test_a_campaign_is_taken_as_it_was_observed() -> None:
    kernels = table()
    observed, groups = seen_mappings([recorded(item, ()) for item in kernels])
    assert observed == kernels
    assert groups == [network.name for network, _ in kernels]
    more, _ = seen_mappings([recorded(item, ((TIMED_IN, "a"),)) for item in kernels])
    assert more[: len(kernels)] == kernels
    assert len(more) == len(kernels) + len(fusion_lessons(kernels))
