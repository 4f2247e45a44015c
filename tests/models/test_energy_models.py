"""Models of energy on a device whose joules per operation, byte and kernel are known."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annette.errors import ModelError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network
from annette.graph.work import layer_work
from annette.measurement import ENERGY_COUNTER, DeviceInfo, KernelMeasurement, Measurement
from annette.models.kernel_table import KernelTable, build_kernel_table
from annette.models.layer_fit import fit_layer_models
from annette.models.layer_models import MODEL_NAMES, LayerModels
from annette.models.parameters import DeviceParameters
from annette.models.target import ENERGY, LATENCY, target_of
from annette.models.training import TrainingData, energy_data, training_data
from annette.store.campaign import Record, Task

DEVICE = DeviceInfo(name="metered", backend="test", activation_bytes=1.0, weight_bytes=1.0)
OP_J, BYTE_J, LAUNCH_J = 0.8e-12, 90e-12, 40e-9
RELU_BYTE_J = 120e-12


def truth_j(network: Network) -> float:
    """What the made-up device takes for a network of one layer."""
    layer = network.layers[0]
    work = layer_work(network, layer)
    moved = work.input_elements + work.weight_elements + work.output_elements
    if layer.op_type == "Conv":
        return LAUNCH_J + work.ops * OP_J + moved * BYTE_J
    return LAUNCH_J + moved * RELU_BYTE_J


def conv(channels: int, size: int, out_channels: int, kernel: int) -> Network:
    build = NetworkBuilder("conv")
    x = build.input("x", (1, channels, size, size))
    return build.finish(build.conv(x, out_channels, kernel=kernel, padding=kernel // 2))


def relu(channels: int, size: int) -> Network:
    build = NetworkBuilder("relu")
    return build.finish(build.relu(build.input("x", (1, channels, size, size))))


def mapping_of(network: Network) -> Mapping:
    layer = network.layers[0]
    unit = "array" if layer.op_type == "Conv" else "vector"
    return Mapping(kernels=(Kernel(layers=(layer.name,), primary=layer.name, unit=unit),))


def record(network: Network, group: str, *, joules: float | None) -> Record:
    """A measurement whose seconds say nothing of its energy."""
    counters = {} if joules is None else {ENERGY_COUNTER: joules}
    kernel = KernelMeasurement(kernel=mapping_of(network).kernels[0], values_s=(1e-3,), counters=counters)
    measurement = Measurement(network_id=network.id, device=DEVICE, values_s=(1e-3,), kernels=(kernel,))
    return Record(task=Task(network=network, category="micro-kernel", group=group), measurement=measurement)


@lru_cache
def campaign() -> tuple[Record, ...]:
    rng = np.random.default_rng(8)

    def size(low: float, high: float) -> int:
        return int(2 ** rng.uniform(low, high))

    convs = [conv(size(2, 8), size(2, 6), size(2, 8), int(rng.choice([1, 3]))) for _ in range(70)]
    relus = [relu(size(2, 8), size(2, 6)) for _ in range(36)]
    return tuple(
        record(network, f"{index}", joules=truth_j(network)) for index, network in enumerate(convs + relus)
    )


@lru_cache
def data() -> TrainingData:
    found = energy_data(training_data(campaign(), DEVICE))
    assert found is not None
    return found


@lru_cache
def models() -> LayerModels:
    return fit_layer_models(data(), seed=3)


def table_of(*networks: Network) -> KernelTable:
    return build_kernel_table([(network, mapping_of(network)) for network in networks], DEVICE)


def test_joules_per_op_byte_and_kernel_come_back_from_the_measurements() -> None:
    family = models().parameters.family("conv")
    assert family.peak_ops_per_s is not None
    assert 1 / family.peak_ops_per_s == pytest.approx(OP_J, rel=0.01)
    assert 1 / family.bandwidth_bytes_per_s == pytest.approx(BYTE_J, rel=0.01)
    assert family.overhead_s == pytest.approx(LAUNCH_J, rel=0.02)
    assert family.error < 0.001
    assert all(fit.sharpness == 1.0 for fit in models().physics.fits)


def test_energy_is_a_sum_where_latency_is_a_maximum() -> None:
    table = table_of(conv(64, 28, 64, 3))
    truth = truth_j(conv(64, 28, 64, 3))
    parameters = models().parameters
    assert models().predict_j(table, "refined_roofline")[0] == pytest.approx(truth, rel=0.01)
    as_latency = replace(models(), parameters=replace(parameters, target=LATENCY))
    compute, memory = table.column("ops")[0] * OP_J, table.moved_bytes[0] * BYTE_J
    longer = LAUNCH_J + max(compute, memory)
    assert as_latency.predict_s(table, "refined_roofline")[0] == pytest.approx(longer, rel=0.01)
    assert min(compute, memory) > 0.1 * truth


def test_kernels_never_seen_are_predicted_well() -> None:
    rng = np.random.default_rng(77)
    unseen = [
        conv(int(rng.integers(4, 200)), int(rng.integers(5, 50)), int(rng.integers(4, 200)), 3)
        for _ in range(60)
    ]
    unseen += [relu(int(rng.integers(4, 200)), int(rng.integers(5, 50))) for _ in range(20)]
    truth = np.array([truth_j(network) for network in unseen])
    error = {
        name: np.abs(models().predict_j(table_of(*unseen), name) / truth - 1).mean() for name in MODEL_NAMES
    }
    assert error["mixed"] < 0.01
    assert error["refined_roofline"] < 0.01
    assert error["roofline"] > error["mixed"]


@given(st.sampled_from(MODEL_NAMES), st.integers(1, 300), st.integers(1, 60))
def test_every_energy_is_positive_and_finite(model: str, channels: int, size: int) -> None:
    joules = models().predict_j(table_of(conv(channels, size, 7, 1), relu(channels, size)), model)
    assert (joules > 0).all()
    assert np.isfinite(joules).all()


def test_kernels_of_less_than_a_nanojoule_are_told_apart() -> None:
    scaled = tuple(
        record(item.task.network, item.task.group, joules=1e-6 * truth_j(item.task.network))
        for item in campaign()[70:]
    )
    small = energy_data(training_data(scaled, DEVICE))
    assert small is not None
    table = table_of(relu(8, 8), relu(64, 32))
    said = fit_layer_models(small, seed=3).predict_j(table, "mixed")
    np.testing.assert_allclose(said, 1e-6 * np.array([truth_j(relu(8, 8)), truth_j(relu(64, 32))]), rtol=0.05)


def test_models_survive_their_files_whose_names_carry_joules() -> None:
    files = models().to_files()
    again = LayerModels.from_files(files)
    assert again.target is ENERGY
    assert again.to_files() == files
    table = data().table
    for name in MODEL_NAMES:
        np.testing.assert_array_equal(again.predict_j(table, name), models().predict_j(table, name))
    index = json.loads(files["layer_models.json"])
    assert index["parameters"]["target"] == "energy"
    assert "peak_ops_per_j" in index["parameters"]
    assert {"overhead_j", "j_per_op", "j_per_weight_byte"} <= set(index["physics"][0]["coefficients"])


def test_models_of_one_target_do_not_answer_for_the_other() -> None:
    table = table_of(relu(8, 8))
    with pytest.raises(ModelError, match="asked for latency, fitted to energy"):
        models().predict_s(table, "mixed")
    as_latency = replace(models(), parameters=replace(models().parameters, target=LATENCY))
    with pytest.raises(ModelError, match="asked for energy, fitted to latency"):
        as_latency.predict_j(table, "mixed")
    with pytest.raises(ModelError, match="expected one of latency, energy"):
        target_of("power")
    document = {**models().parameters.to_json(), "target": "power"}
    with pytest.raises(ModelError, match="'power'"):
        DeviceParameters.from_json(document)


def test_latency_does_not_depend_on_whether_energy_was_measured() -> None:
    bare = tuple(record(item.task.network, item.task.group, joules=None) for item in campaign()[:31])
    metered = training_data(campaign()[:31], DEVICE)
    silent = training_data(bare, DEVICE)
    assert silent.energy_j is None
    assert fit_layer_models(metered, seed=1).to_files() == fit_layer_models(silent, seed=1).to_files()


def test_kernels_without_energy_are_left_out_and_totals_are_not_used() -> None:
    network = relu(4, 4)
    known = record(relu(8, 8), "a", joules=1e-6)
    silent, free = record(network, "b", joules=None), record(network, "c", joules=0.0)
    whole = Measurement(
        network_id=network.id, device=DEVICE, values_s=(1e-3,), conditions={ENERGY_COUNTER: 1e-6}
    )
    total = Record(task=silent.task, measurement=whole)
    found = training_data([known, silent, free, total], DEVICE)
    assert found.energy_j is not None
    assert [math.isnan(value) for value in found.energy_j] == [False, True, True, True]
    energy = energy_data(found)
    assert energy is not None
    assert energy.cost.tolist() == [1e-6]
    assert found.cost.tolist() == [1e-3] * 4
    assert energy_data(training_data([silent, total], DEVICE)) is None
    with pytest.raises(ModelError, match="lack the target"):
        replace(found, target=ENERGY)
    with pytest.raises(ModelError, match="energies > 0 J"):
        replace(found, energy_j=-found.latency_s)


@given(st.recursive(st.floats(0, 1) | st.text(max_size=3), lambda inner: st.dictionaries(
    st.sampled_from(["peak_ops_per_s", "overhead_s", "s_per_op", "sharpness", "n_rows"]), inner, max_size=4
) | st.lists(inner, max_size=3), max_leaves=8))  # fmt: skip
def test_own_names_can_be_undone(document: object) -> None:
    assert ENERGY.from_own_names(ENERGY.to_own_names(document)) == document
    assert LATENCY.to_own_names(document) is document


def test_seconds_do_not_stand_in_for_joules() -> None:
    found = data().take(np.arange(3))
    assert (found.cost < 1e-3).all()  # joules; each took a millisecond
    object.__setattr__(found, "energy_j", None)  # past the checks of new data
    with pytest.raises(ModelError, match="the target is energy, but no kernel's energy is known"):
        _ = found.cost
