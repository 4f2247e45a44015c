"""OpenVINO for real on tiny networks: structure and identity, never times."""

from __future__ import annotations

import pickle

import pytest

from annette.backends.openvino_backend import OpenVinoBackend, open_openvino
from annette.backends.protocol import Backend
from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import require_complete
from annette.graph.network import Layer, Network, Tensor

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def backend() -> OpenVinoBackend:
    return open_openvino("threads=1")


def small_network() -> Network:
    build = NetworkBuilder("small")
    x = build.relu(build.batch_norm(build.conv(build.input("x", (1, 3, 12, 12)), 8, kernel=3)))
    x = build.global_avg_pool(build.relu(build.conv(x, 16, kernel=3)))
    return build.finish(build.softmax(build.linear(build.flatten(x), 10)))


def test_kernels_hold_every_layer_once_and_sum_to_the_least_block(backend: OpenVinoBackend) -> None:
    network = small_network()
    measurement = backend.measure(network, seed=3)
    assert measurement.error is None
    mapping = measurement.mapping
    assert mapping is not None
    assert measurement.kernels is not None
    assert measurement.values_s is not None
    require_complete(network, mapping)
    total_s = sum(item.latency_s for item in measurement.kernels)
    assert total_s == pytest.approx(min(measurement.values_s))
    assert measurement.seed == 3
    assert {"reference_s", "started_s"} <= set(measurement.conditions)


def test_normalizations_and_activations_join_their_convolutions(backend: OpenVinoBackend) -> None:
    mapping = backend.measure(small_network()).mapping
    assert mapping is not None
    names = [kernel.name for kernel in mapping.kernels]
    assert "conv_1+batchnormalization_1+relu_1" in names
    assert "flatten_1" in mapping.eliminated_layers
    assert {kernel.unit for kernel in mapping.kernels if not kernel.is_move} <= {
        "blocked",
        "plain",
        "integer",
    }


def test_the_same_network_has_the_same_kernels_again(backend: OpenVinoBackend) -> None:
    first, second = (backend.measure(small_network()).mapping for _ in range(2))
    assert first == second


def test_a_network_of_views_alone_has_no_kernels(backend: OpenVinoBackend) -> None:
    build = NetworkBuilder("views")
    measurement = backend.measure(build.finish(build.flatten(build.input("x", (1, 3, 4)))))
    assert measurement.kernels == ()
    assert measurement.eliminated_layers == ("flatten_1",)


def test_an_operator_that_the_runtime_lacks_is_named_in_the_error(backend: OpenVinoBackend) -> None:
    network = Network(
        name="strange",
        inputs=("x",),
        outputs=("y",),
        layers=(Layer(name="foo", op_type="Foo", domain="my.domain", inputs=("x",), outputs=("y",)),),
        tensors={"x": Tensor(name="x", shape=(1, 2)), "y": Tensor(name="y", shape=(1, 2))},
    )
    error = backend.measure(network).error
    assert error is not None
    assert "strange" in error
    assert "my.domain.Foo" in error
    assert "\n" not in error


def test_errors_speak_of_the_network_by_its_own_names(backend: OpenVinoBackend) -> None:
    network = Network(
        name="wrong",
        inputs=("x",),
        outputs=("y",),
        layers=(
            Layer(name="soft", op_type="Softmax", inputs=("x",), outputs=("y",), attributes=(("axis", 9),)),
        ),
        tensors={"x": Tensor(name="x", shape=(1, 2)), "y": Tensor(name="y", shape=(1, 2))},
    )
    error = backend.measure(network).error
    assert error is not None
    assert "'wrong'" in error
    assert "soft" in error
    assert "annette_layer" not in error


def test_half_precision_and_batches_are_measured(backend: OpenVinoBackend) -> None:
    build = NetworkBuilder("half")
    x = build.add(
        "Conv", build.input("x", (4, 3, 9, 9), dtype="float16"), build.constant((8, 3, 3, 3), dtype="float16")
    )
    network = build.finish(build.relu(x))
    mapping = backend.measure(network).mapping
    assert mapping is not None
    require_complete(network, mapping)


def test_the_backend_survives_pickling_after_it_has_measured(backend: OpenVinoBackend) -> None:
    backend.measure(small_network())
    copy = pickle.loads(pickle.dumps(backend))  # noqa: S301
    assert isinstance(copy, Backend)
    assert copy.info == backend.info
    assert copy.measure(small_network()).error is None


def test_options_are_part_of_the_identity() -> None:
    plain, other = open_openvino(""), open_openvino("precision=bf16,visits=2,kernels=none")
    assert (plain.info.name, plain.info.backend, plain.info.is_exclusive) == (
        "cpu-openvino",
        "openvino",
        True,
    )
    assert (plain.info.visits, other.info.visits) == (4, 2)
    assert dict(plain.info.environment)["precision"] == "f32"
    assert dict(other.info.environment)["precision"] == "bf16"
    assert other.measure(small_network()).kernels is None


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("kernels=alone", "profile or none"),
        ("precision=f16", "f32 or bf16"),
        ("precision=f32,precision=f32", "twice"),
        ("precison=f32", "did you mean precision"),
        ("optimization=all", "threads, kernels, visits or precision"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_expected(target: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        open_openvino(target)
