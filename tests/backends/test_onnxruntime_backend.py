"""The ONNX Runtime backend on tiny networks: structure, sums, mapping and errors; never how long it took."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from dataclasses import replace

import pytest

from annette.backends import ort_visit
from annette.backends.fixed_networks import empty_network
from annette.backends.onnxruntime_backend import OnnxRuntimeBackend, open_onnxruntime
from annette.backends.ort_graph import ExecutedKernel
from annette.backends.ort_visit import anchored_kernels
from annette.backends.protocol import Backend
from annette.backends.runtime_options import RuntimeOptions
from annette.errors import MeasurementError, UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, require_complete
from annette.graph.network import Layer, Network, Tensor
from annette.measurement import KernelMeasurement, Measurement


@pytest.fixture(scope="module")
def backend() -> OnnxRuntimeBackend:
    return open_onnxruntime("visits=2")


def convolutions(name: str = "small", batch: int = 1) -> Network:
    build = NetworkBuilder(name)
    x = build.relu(build.conv(build.input("image", (batch, 3, 16, 16)), 16, kernel=3, padding=1))
    x = build.max_pool(build.relu(build.conv(x, 16, kernel=3, padding=1)), kernel=2, stride=2)
    return build.finish(build.linear(build.flatten(x), 10))


def tokens() -> Network:
    build = NetworkBuilder("tokens")
    ids = build.input("ids", (1, 6), dtype="int64")
    x = build.layer_norm(build.add("Gather", build.constant((40, 16)), ids, axis=0))
    x = build.add("Add", x, build.linear(x, 16))
    return build.finish(build.softmax(x))


def integers() -> Network:
    """A quantised convolution in QDQ form."""
    build = NetworkBuilder("integers")
    scale, zero = build.constant(()), build.constant((), dtype="uint8")
    x = build.add("QuantizeLinear", build.input("x", (1, 8, 8, 8)), scale, zero)
    x = build.add("DequantizeLinear", x, scale, zero)
    weight_scale, weight_zero = build.constant(()), build.constant((), dtype="int8")
    weights = build.constant((8, 8, 3, 3), dtype="int8")
    weight = build.add("DequantizeLinear", weights, weight_scale, weight_zero)
    x = build.add("Conv", x, weight, pads=(1, 1, 1, 1), kernel_shape=(3, 3))
    x = build.add("QuantizeLinear", x, scale, zero)
    return build.finish(build.add("DequantizeLinear", x, scale, zero))


def require_sound(found: Measurement, network: Network, backend: OnnxRuntimeBackend) -> None:
    assert found.error is None
    assert found.network_id == network.id
    assert found.device == backend.info
    assert found.values_s is not None
    assert all(math.isfinite(value) and value > 0 for value in found.values_s)
    assert found.kernels is not None
    assert found.mapping is not None
    require_complete(network, found.mapping)
    assert all(len(item.values_s) == 1 and item.values_s[0] > 0 for item in found.kernels)
    assert all(item.counters["profile_s"] > 0 for item in found.kernels)
    assert sum(item.latency_s for item in found.kernels) == pytest.approx(min(found.values_s))
    assert found.conditions["reference_s"] > 0
    assert found.conditions["started_s"] > 1.7e9
    assert 0 < found.conditions["profile_own_fraction"] <= 1


@pytest.mark.parametrize(
    "network", [convolutions(), convolutions(batch=3), tokens(), integers()], ids=lambda item: item.name
)
def test_a_visit_times_the_whole_and_shares_it_out_to_its_kernels(
    backend: OnnxRuntimeBackend, network: Network
) -> None:
    for seed in (0, 1):
        require_sound(backend.measure(network, seed=seed), network, backend)


def test_convolutions_are_merged_with_what_follows_and_run_blocked(backend: OnnxRuntimeBackend) -> None:
    found = backend.measure(convolutions()).kernels
    assert found is not None
    units = {item.kernel.unit for item in found}
    merged = [item.kernel for item in found if len(item.kernel.layers) > 1]
    assert "blocked" in units
    assert {kernel.unit for kernel in merged} == {"blocked"}


def test_the_mapping_is_the_same_in_each_visit(backend: OnnxRuntimeBackend) -> None:
    first, second = (backend.measure(tokens(), seed=seed) for seed in (3, 4))
    assert first.mapping == second.mapping


def test_without_optimisation_each_layer_is_a_kernel() -> None:
    backend = open_onnxruntime("optimization=none")
    network = convolutions()
    found = backend.measure(network)
    require_sound(found, network, backend)
    assert found.mapping is not None
    layered = [kernel for kernel in found.mapping.kernels if not kernel.is_move]
    assert len(layered) + len(found.eliminated_layers) == len(network.layers)
    assert backend.info != open_onnxruntime("").info


def test_two_threads_are_timed_too() -> None:
    backend = OnnxRuntimeBackend(options=RuntimeOptions(threads=2))
    require_sound(backend.measure(convolutions()), convolutions(), backend)
    assert dict(backend.info.environment)["clock"] == "wall time"


def test_kernels_none_times_the_whole_only() -> None:
    found = open_onnxruntime("kernels=none").measure(convolutions())
    assert found.values_s is not None
    assert found.kernels is None
    assert found.eliminated_layers == ()


@pytest.mark.parametrize("network", [convolutions(), tokens(), integers()], ids=lambda item: item.name)
def test_kernels_alone_are_those_of_the_profile_timed_by_themselves(
    backend: OnnxRuntimeBackend, network: Network
) -> None:
    found = open_onnxruntime("kernels=alone").measure(network)
    assert found.error is None
    assert found.kernels is not None
    assert found.mapping == backend.measure(network).mapping
    assert all(item.latency_s > 0 for item in found.kernels)


def test_an_operator_that_the_runtime_lacks_is_an_error_that_names_it(backend: OnnxRuntimeBackend) -> None:
    shimmer = Layer(name="odd", op_type="Shimmer", domain="somewhere", inputs=("x",), outputs=("y",))
    tensors = {name: Tensor(name=name, shape=(1, 4)) for name in ("x", "y")}
    network = Network(name="strange", inputs=("x",), outputs=("y",), layers=(shimmer,), tensors=tensors)
    found = backend.measure(network, seed=7)
    assert found.values_s is None
    assert found.error is not None
    assert "Shimmer" in found.error
    assert "\n" not in found.error
    assert ".cc:" not in found.error
    assert found.seed == 7


def test_an_input_that_cannot_be_made_up_is_an_error_that_names_it(backend: OnnxRuntimeBackend) -> None:
    build = NetworkBuilder("words")
    network = build.finish(build.add("Identity", build.input("text", (1,), dtype="string")))
    assert "input 'text' is of dtype string" in str(backend.measure(network).error)


def test_a_network_too_large_for_this_machine_is_an_error_in_the_measurement(
    backend: OnnxRuntimeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort_visit, "available_bytes", lambda: 1000)
    assert "network 'small': needs up to" in str(backend.measure(convolutions()).error)


def test_an_empty_network_costs_nothing_but_is_measured(backend: OnnxRuntimeBackend) -> None:
    found = backend.measure(empty_network())
    assert found.error is None
    assert found.values_s is not None
    assert min(found.values_s) > 0


def test_it_is_a_backend_that_survives_pickling(backend: OnnxRuntimeBackend) -> None:
    backend.measure(convolutions())
    again = pickle.loads(pickle.dumps(backend))  # noqa: S301 (our own bytes)
    assert isinstance(again, Backend)
    assert again == backend
    assert again.info == backend.info
    require_sound(again.measure(convolutions()), convolutions(), backend)


def test_its_identity_holds_machine_runtime_and_options() -> None:
    info = open_onnxruntime("").info
    facts = dict(info.environment)
    assert (info.name, info.backend, info.visits, info.is_exclusive) == (
        "cpu-onnxruntime",
        "onnxruntime",
        4,
        True,
    )
    assert {"host", "cpu", "onnxruntime", "threads", "optimization", "kernels"} <= set(facts)
    others = [open_onnxruntime(text).info for text in ("optimization=basic", "kernels=none", "visits=5")]
    assert len({info, *others}) == 4


def test_wrong_options_are_refused() -> None:
    with pytest.raises(UsageError, match="device onnxruntime: option 'graph' is not known"):
        open_onnxruntime("graph=all")


def kernel(*layers: str) -> Kernel:
    return Kernel(layers=layers, primary=layers[0], unit="plain")


def shared_out(node_s: Mapping[str, float], **settings: float) -> tuple[KernelMeasurement, ...]:
    kernels = (
        ExecutedKernel(kernel=kernel("one"), nodes=("a",)),
        ExecutedKernel(kernel=kernel("two"), nodes=("b", "c")),
    )
    return anchored_kernels(kernels, node_s, 6.0, **settings)


def test_shares_are_scaled_to_the_total_and_nodes_of_one_kernel_add_up() -> None:
    found = shared_out({"a": 1.0, "b": 1.0, "c": 1.0, "other": 50.0})
    assert [item.values_s for item in found] == [pytest.approx((2.0,)), pytest.approx((4.0,))]
    assert [item.counters["profile_s"] for item in found] == [1.0, 2.0]


def test_what_profiling_costs_goes_off_each_node_but_never_all_of_it() -> None:
    found = shared_out({"a": 3.0, "b": 2.0, "c": 0.5}, node_cost_s=1.0)
    assert [item.latency_s for item in found] == pytest.approx([4.0, 2.0])
    assert all(item.latency_s > 0 for item in shared_out({"a": 1.0, "b": 1.0}, node_cost_s=5.0))


def test_a_profile_without_a_kernel_s_nodes_is_refused() -> None:
    with pytest.raises(MeasurementError, match="holds nothing of the executed nodes b, c"):
        shared_out({"a": 1.0})


def test_a_visit_s_profile_is_deleted(
    backend: OnnxRuntimeBackend, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("profiles")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert backend.measure(replace(convolutions(), name="another")).error is None
    assert list(folder.iterdir()) == []
