"""The four layer models on a device whose every parameter is known."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import ModelError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network
from annette.graph.work import layer_work
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.models.kernel_table import KernelTable, build_kernel_table, concatenate_tables
from annette.models.layer_fit import fit_layer_models
from annette.models.layer_models import MODEL_NAMES, LayerModels
from annette.models.parameters import DeviceParameters, fit_parameters
from annette.models.training import TrainingData, training_data
from annette.store.campaign import Record, Task

DEVICE = DeviceInfo(name="analytic", backend="test", activation_bytes=1.0, weight_bytes=1.0)
PEAK, BANDWIDTH, OVERHEAD = 4e11, 6e9, 2e-5
IN_FACTOR, OUT_FACTOR = 12, 20
VECTOR_OVERHEAD = 8e-6


def analytic_s(network: Network) -> float:
    """What the made-up device takes for a network of one layer."""
    layer = network.layers[0]
    work = layer_work(network, layer)
    memory = (work.input_elements + work.weight_elements + work.output_elements) / BANDWIDTH
    if layer.op_type != "Conv":
        return VECTOR_OVERHEAD + memory
    in_channels = network.tensors[layer.inputs[0]].shape[1]
    out_channels = network.tensors[layer.outputs[0]].shape[1]
    padded = math.ceil(in_channels / IN_FACTOR) * IN_FACTOR / in_channels
    padded *= math.ceil(out_channels / OUT_FACTOR) * OUT_FACTOR / out_channels
    return OVERHEAD + max(work.ops * padded / PEAK, memory)


def conv(channels: int, size: int, out_channels: int, kernel: int) -> Network:
    build = NetworkBuilder("conv")
    x = build.input("x", (1, channels, size, size))
    return build.finish(build.conv(x, out_channels, kernel=kernel, padding=kernel // 2))


def unary(op_type: str, channels: int, size: int) -> Network:
    build = NetworkBuilder(op_type)
    return build.finish(build.add(op_type, build.input("x", (1, channels, size, size))))


def mapping_of(network: Network) -> Mapping:
    layer = network.layers[0]
    unit = "array" if layer.op_type == "Conv" else "vector"
    return Mapping(kernels=(Kernel(layers=(layer.name,), primary=layer.name, unit=unit),))


def record(network: Network, group: str, tags: tuple[tuple[str, str], ...] = ()) -> Record:
    seconds = analytic_s(network)
    kernels = (KernelMeasurement(kernel=mapping_of(network).kernels[0], values_s=(seconds,)),)
    measurement = Measurement(network_id=network.id, device=DEVICE, values_s=(seconds,), kernels=kernels)
    category = "sweep" if tags else "micro-kernel"
    return Record(
        task=Task(network=network, category=category, group=group, tags=tags), measurement=measurement
    )


@lru_cache
def campaign() -> tuple[Record, ...]:
    rng = np.random.default_rng(5)
    records = []
    for index in range(220):
        channels, out_channels = (int(2 ** rng.uniform(2, 8.5)) for _ in range(2))
        network = conv(channels, int(2 ** rng.uniform(2, 6.5)), out_channels, int(rng.choice([1, 3, 5])))
        records.append(record(network, f"conv/{index}"))
    for dimension in ("in_channels", "out_channels"):
        for value in (*range(1, 69), *range(72, 161, 8)):
            sizes = (value, 96) if dimension == "in_channels" else (96, value)
            tags = (("sweep", f"s/{dimension}"), ("dimension", dimension), ("value", str(value)))
            records.append(record(conv(sizes[0], 40, sizes[1], 3), f"sweep/{dimension}", tags))
    for index in range(60):
        op_type = ("Relu", "Sigmoid")[index % 2]
        network = unary(op_type, int(2 ** rng.uniform(2, 8)), int(2 ** rng.uniform(2, 6.5)))
        records.append(record(network, f"unary/{index}"))
    records.extend(record(unary("Softmax", 4 + index, 9), f"softmax/{index}") for index in range(6))
    return tuple(records)


@lru_cache
def data() -> TrainingData:
    return training_data(campaign(), DEVICE)


@lru_cache
def models() -> LayerModels:
    return fit_layer_models(data(), seed=3)


def table_of(*networks: Network) -> KernelTable:
    return build_kernel_table([(network, mapping_of(network)) for network in networks], DEVICE)


networks = st.builds(
    conv, st.integers(1, 300), st.integers(3, 60), st.integers(1, 300), st.sampled_from([1, 3])
) | st.builds(unary, st.sampled_from(["Relu", "Softmax", "Sin"]), st.integers(1, 300), st.integers(1, 60))


def test_parameters_of_the_device_come_back_from_its_measurements() -> None:
    family = models().parameters.family("conv")
    assert family.peak_ops_per_s == pytest.approx(PEAK, rel=0.03)
    assert family.bandwidth_bytes_per_s == pytest.approx(BANDWIDTH, rel=0.05)
    assert family.overhead_s == pytest.approx(OVERHEAD, rel=0.03)
    assert {fit.dimension: fit.factor for fit in family.unrolls} == {
        "in_channels": IN_FACTOR,
        "out_channels": OUT_FACTOR,
    }
    assert family.error < 0.02
    activation = models().parameters.family("activation")
    assert activation.overhead_s == pytest.approx(VECTOR_OVERHEAD, rel=0.05)


def test_kernels_never_seen_are_predicted_well_and_better_by_each_model() -> None:
    rng = np.random.default_rng(77)
    unseen = [
        conv(int(2 ** rng.uniform(3, 8)), int(2 ** rng.uniform(3, 6)), int(2 ** rng.uniform(3, 8)), 3)
        for _ in range(80)
    ]
    measured = np.array([analytic_s(network) for network in unseen])
    table = table_of(*unseen)
    error = {name: np.mean(np.abs(models().predict_s(table, name) / measured - 1)) for name in MODEL_NAMES}
    assert error["mixed"] < 0.02
    assert error["mixed"] < error["statistical"] < error["roofline"]
    assert error["refined_roofline"] < error["roofline"]


def test_the_overhead_is_kept_for_the_smallest_kernels() -> None:
    tiny = table_of(conv(4, 4, 4, 1))
    assert models().predict_s(tiny, "mixed")[0] == pytest.approx(OVERHEAD, rel=0.05)
    assert models().predict_s(tiny, "refined_roofline")[0] == pytest.approx(OVERHEAD, rel=0.05)
    assert models().predict_s(tiny, "roofline")[0] < OVERHEAD / 10
    assert models().bounds(tiny) == ("overhead",)


@settings(max_examples=20, deadline=None)
@given(chosen=st.lists(networks, min_size=1, max_size=12), data=st.data())
def test_a_batch_equals_one_by_one_in_any_order(chosen: list[Network], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(chosen))))
    table = table_of(*chosen)
    for name in MODEL_NAMES:
        together = models().predict_s(table, name)
        alone = [float(models().predict_s(table_of(network), name)[0]) for network in chosen]
        shuffled = models().predict_s(table_of(*(chosen[index] for index in order)), name)
        assert together.tolist() == alone
        assert shuffled.tolist() == [alone[index] for index in order]


def test_a_large_batch_equals_its_parts_to_the_last_bit() -> None:
    table = concatenate_tables([data().table] * 3)
    for name in MODEL_NAMES:
        whole = models().predict_s(table, name)
        part = models().predict_s(data().table.take(np.arange(10, 50)), name)
        np.testing.assert_array_equal(whole[10:50], part)
        np.testing.assert_array_equal(whole[: len(data())], whole[len(data()) : 2 * len(data())])


@settings(max_examples=40, deadline=None)
@given(network=networks)
def test_predictions_are_positive_and_finite_for_every_kernel(network: Network) -> None:
    table = table_of(network)
    for name in MODEL_NAMES:
        seconds = models().predict_s(table, name)
        assert np.isfinite(seconds).all()
        assert (seconds > 0).all()
    assert models().bounds(table)[0] in ("compute", "memory", "overhead", "host")


@settings(max_examples=40, deadline=None)
@given(
    channels=st.integers(1, 200), size=st.integers(1, 40), more=st.integers(1, 60), grow_size=st.booleans()
)
def test_a_larger_convolution_is_never_faster_on_the_rooflines(
    channels: int, size: int, more: int, grow_size: bool
) -> None:
    small = conv(channels, size, 32, 3)
    large = conv(channels, size + more, 32, 3) if grow_size else conv(channels + more, size, 32, 3)
    for name in ("roofline", "refined_roofline"):
        first, second = models().predict_s(table_of(small, large), name)
        # A softened staircase lets a size that fills its last step cost a little less than one before it.
        assert second >= first * (1 - 1e-9)


def test_faster_hardware_never_makes_a_roofline_slower() -> None:
    parameters = models().parameters
    families = tuple(
        dataclasses.replace(family, bandwidth_bytes_per_s=2 * family.bandwidth_bytes_per_s)
        for family in parameters.families
    )
    faster = dataclasses.replace(
        models(),
        parameters=DeviceParameters(
            peak_ops_per_s=2 * parameters.peak_ops_per_s,
            bandwidth_bytes_per_s=parameters.bandwidth_bytes_per_s,
            families=families,
        ),
    )
    for name in ("roofline", "refined_roofline"):
        assert (faster.predict_s(data().table, name) <= models().predict_s(data().table, name)).all()


def test_families_that_are_rare_or_unknown_fall_back_and_say_so() -> None:
    host = Mapping(kernels=(Kernel(layers=("relu_1",), primary="relu_1", unit="host"),))
    table = concatenate_tables(
        [
            table_of(
                conv(32, 16, 32, 3), unary("Softmax", 8, 9), unary("Relu", 32, 16), unary("Sin", 32, 16)
            ),
            build_kernel_table([(unary("Relu", 64, 30), host)], DEVICE),
        ]
    )
    assert models().generic_mask(table).tolist() == [False, True, False, False, True]
    assert models().out_of_range_mask(table).tolist() == [False, False, False, True, True]
    assert models().bounds(table)[-1] == "host"
    softmax = analytic_s(unary("Softmax", 8, 9))
    assert models().predict_s(table, "mixed")[1] == pytest.approx(softmax, rel=0.5)


def test_sizes_far_beyond_the_measured_ones_are_out_of_range() -> None:
    table = table_of(conv(64, 20, 64, 3), conv(4000, 20, 64, 3), conv(64, 20, 64, 9))
    assert models().out_of_range_mask(table).tolist() == [False, True, True]


def test_a_round_trip_through_files_changes_no_bit() -> None:
    files = models().to_files()
    again = LayerModels.from_files(files)
    assert again.to_files() == files
    for name in MODEL_NAMES:
        np.testing.assert_array_equal(
            again.predict_s(data().table, name), models().predict_s(data().table, name)
        )
    assert again.parameters == models().parameters
    assert again.generic_mask(data().table).tolist() == models().generic_mask(data().table).tolist()


def test_the_same_data_and_seed_give_the_same_files() -> None:
    assert fit_layer_models(data(), seed=3).to_files() == models().to_files()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index.update(schema_version=99), "schema version 99"),
        (lambda index: index["features"]["mixed"].reverse(), "other features"),
        (lambda index: index["forests"][0].update(file="absent.ubj"), "absent.ubj"),
        (lambda index: index["parameters"].update(peak_ops_per_s=-1.0), "expected > 0"),
        (lambda index: index["physics"][0].update(sharpness=0.0), "sharpness"),
        (lambda index: index.pop("ranges"), "ranges"),
        (lambda index: index["parameters"]["families"][0].pop("unrolls"), "unrolls"),
    ],
)
def test_a_damaged_index_is_a_model_error(change: object, message: str) -> None:
    files = models().to_files()
    index = json.loads(files["layer_models.json"])
    assert callable(change)
    change(index)
    with pytest.raises(ModelError, match=message):
        LayerModels.from_files({**files, "layer_models.json": json.dumps(index).encode()})


def test_missing_and_senseless_files_are_model_errors() -> None:
    with pytest.raises(ModelError, match=r"layer_models\.json"):
        LayerModels.from_files({})
    with pytest.raises(ModelError, match=r"layer_models\.json"):
        LayerModels.from_files({"layer_models.json": b"[]"})
    files = {
        name: content if name.endswith(".json") else b"{}" for name, content in models().to_files().items()
    }
    with pytest.raises(ModelError, match="train the platform again"):
        LayerModels.from_files(files).predict_s(table_of(conv(8, 8, 8, 3)), "mixed")


def test_an_unknown_model_and_an_empty_table() -> None:
    with pytest.raises(ModelError, match="roofline, refined_roofline, statistical, mixed"):
        models().predict_s(data().table, "oracle")
    empty = build_kernel_table([], DEVICE)
    for name in MODEL_NAMES:
        assert models().predict_s(empty, name).shape == (0,)
    assert models().bounds(empty) == ()
    assert models().generic_mask(empty).shape == models().out_of_range_mask(empty).shape == (0,)


def test_scores_are_held_out_and_complete() -> None:
    scores = models().scores["conv"]
    assert set(scores) == {"generic", *MODEL_NAMES}
    assert 0 < scores["mixed"]["mape"] < scores["statistical"]["mape"] < scores["roofline"]["mape"]


def test_training_data_leaves_out_failures_and_reads_devices_without_kernels() -> None:
    network = conv(8, 8, 8, 3)
    failed = Measurement(network_id=network.id, device=DEVICE, error="out of memory")
    whole = Measurement(network_id=network.id, device=DEVICE, values_s=(2.0, 3.0, 4.0))
    task = Task(network=network, category="micro-kernel", group="g")
    found = training_data([Record(task=task, measurement=item) for item in (failed, whole)], DEVICE)
    assert found.latency_s.tolist() == [3.0]
    assert found.table.families == ("conv@device",)
    with pytest.raises(ModelError, match="annette benchmark"):
        training_data([Record(task=task, measurement=failed)], DEVICE)


def test_parameters_need_rows() -> None:
    with pytest.raises(ModelError, match="no measured kernels"):
        fit_parameters(data().take(np.empty(0, dtype=np.int64)))
