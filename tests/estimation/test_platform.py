"""Platforms: kept without loss, estimates that add up, populations equal to one by one."""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import annette
from annette.backends.simulator import open_simulator
from annette.errors import GraphError, StoreError, UsageError
from annette.estimation.catalogue import list_platforms, load_platform
from annette.estimation.platform import Platform
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Mapping
from annette.graph.network import Layer, Network, Tensor
from annette.models.layer_models import MODEL_NAMES
from annette.zoo.registry import zoo_network

NAMES = ("resnet18", "mobilenet_v2", "squeezenet1_1")


@pytest.fixture(scope="module")
def folder(small_platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("platforms") / "small"
    small_platform.save(path)
    return path


def test_a_platform_survives_its_folder(small_platform: Platform, folder: Path) -> None:
    again = annette.load(folder)
    assert (again.name, again.description, again.device) == (
        small_platform.name, small_platform.description, small_platform.device,
    )  # fmt: skip
    assert dict(again.metrics) == dict(small_platform.metrics)
    network = zoo_network("resnet18")
    assert again.estimate(network) == small_platform.estimate(network)
    assert again.describe() == small_platform.describe()


def test_saving_again_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    Platform.load(folder).save(tmp_path / "copy")
    for item in folder.iterdir():
        assert (tmp_path / "copy" / item.name).read_bytes() == item.read_bytes(), item.name


def test_a_platform_without_mapping_is_refused(small_platform: Platform, tmp_path: Path) -> None:
    from annette.store.bundle import write_bundle

    write_bundle(tmp_path / "half", {"name": "x"}, small_platform.layer_models.to_files())
    with pytest.raises(StoreError, match=r"no mapping\.json"):
        Platform.load(tmp_path / "half")


def test_unknown_platforms_suggest_the_nearest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
) -> None:
    shipped = tmp_path / "zcu102-dpu"
    Platform.load(folder).save(shipped)
    monkeypatch.setattr("annette.estimation.catalogue.resource_folder", lambda kind: tmp_path)
    assert load_platform("zcu102-dpu").name == "zcu102-dpu"
    assert [name for name, _ in list_platforms()] == ["zcu102-dpu"]
    with pytest.raises(UsageError, match="did you mean zcu102-dpu"):
        load_platform("zcu102")
    (shipped / "manifest.json").write_text("{")
    assert list_platforms()[0][1].startswith("not usable")


@pytest.mark.parametrize("name", ["../../etc", "/", "", "nowhere\n", "a" * 300])
def test_strange_names_are_refused(name: str) -> None:
    with pytest.raises((UsageError, StoreError)):
        load_platform(name)


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_kernels_add_up_to_the_network(small_platform: Platform, model: str) -> None:
    estimate = small_platform.estimate("zoo:mobilenet_v2", model=model)
    assert estimate.latency_s == pytest.approx(math.fsum(kernel.latency_s for kernel in estimate.kernels))
    assert all(kernel.latency_s > 0 and math.isfinite(kernel.latency_s) for kernel in estimate.kernels)
    layers = [name for kernel in estimate.kernels for name in kernel.layers]
    assert sorted([*layers, *estimate.eliminated_layers]) == sorted(
        layer.name for layer in zoo_network("mobilenet_v2").layers
    )


def test_json_has_the_promised_keys(small_platform: Platform) -> None:
    document = json.loads(json.dumps(small_platform.estimate("zoo:resnet18").to_dict(), allow_nan=False))
    assert set(document) == {
        "schema_version", "network", "device", "platform", "model", "latency_s", "interval_s", "verdict",
        "energy_j", "coverage", "kernels", "eliminated_layers",
    }  # fmt: skip
    assert {"name", "family", "layers", "latency_s", "bound"} <= set(document["kernels"][0])
    assert {"modelled_fraction", "generic_kernels", "out_of_range_kernels"} <= set(document["coverage"])


def test_the_frame_has_a_row_a_kernel(small_platform: Platform) -> None:
    estimate = small_platform.estimate("zoo:resnet18")
    frame = estimate.to_frame()
    assert len(frame) == len(estimate.kernels)
    assert frame["latency_s"].sum() == pytest.approx(estimate.latency_s)


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_populations_equal_one_by_one_to_the_last_bit(small_platform: Platform, model: str) -> None:
    networks = [zoo_network(name) for name in NAMES]
    one_by_one = [small_platform.estimate(network, model=model).latency_s for network in networks]
    assert small_platform.estimate_many(networks, model=model).tolist() == one_by_one
    backwards = small_platform.estimate_many(networks[::-1], model=model)
    assert backwards.tolist() == one_by_one[::-1]
    assert small_platform.estimate_many([]).shape == (0,)


def test_models_at_once_equal_models_one_by_one(small_platform: Platform) -> None:
    network = zoo_network("resnet18")
    together = small_platform.estimate_models(network)
    assert together == {model: small_platform.estimate(network, model=model) for model in MODEL_NAMES}


def test_a_given_mapping_replaces_the_predicted_one(small_platform: Platform) -> None:
    network = zoo_network("resnet18")
    observed = open_simulator("zcu102-dpu").measure(network).mapping
    assert observed is not None
    estimate = small_platform.estimate(network, mapping=observed)
    assert [kernel.layers for kernel in estimate.kernels] == [kernel.layers for kernel in observed.kernels]
    with pytest.raises(GraphError):
        small_platform.estimate(network, mapping=Mapping(kernels=observed.kernels[1:]))


def _with_unknown_layer() -> Network:
    build = NetworkBuilder("odd")
    x = build.relu(build.conv(build.input("x", (1, 16, 28, 28)), 32, kernel=3, padding=1))
    network = build.finish(x)
    layer = Layer(name="wavelet", op_type="Wavelet", domain="mine", inputs=(x,), outputs=("y",))
    return Network(
        name="odd", inputs=network.inputs, outputs=("y",), layers=(*network.layers, layer),
        tensors={**network.tensors, "y": Tensor(name="y", shape=(1, 32, 28, 28))},
    )  # fmt: skip


def test_unknown_operators_cost_something_and_are_named(small_platform: Platform) -> None:
    estimate = small_platform.estimate(_with_unknown_layer())
    kernel = next(item for item in estimate.kernels if item.name == "wavelet")
    assert kernel.is_generic
    assert kernel.latency_s > 0
    assert estimate.coverage.generic_operators == ("mine::Wavelet",)
    assert estimate.coverage.generic_fraction == pytest.approx(kernel.latency_s / estimate.latency_s)
    assert estimate.coverage.modelled_fraction == pytest.approx(1 - estimate.coverage.generic_fraction)


def test_sizes_never_measured_are_out_of_range(small_platform: Platform) -> None:
    build = NetworkBuilder("huge")
    network = build.finish(build.conv(build.input("x", (1, 8192, 64, 64)), 8192, kernel=3, padding=1))
    assert small_platform.estimate(network).coverage.out_of_range_fraction == 1.0


def test_a_network_without_layers_takes_no_time(small_platform: Platform) -> None:
    network = Network(
        name="empty", inputs=("x",), outputs=("x",), layers=(), tensors={"x": Tensor(name="x", shape=(1,))}
    )
    estimate = small_platform.estimate(network)
    assert (estimate.latency_s, estimate.kernels, estimate.coverage.modelled_fraction) == (0.0, (), 1.0)
    assert small_platform.estimate_many([network, zoo_network("resnet18"), network])[[0, 2]].tolist() == [
        0,
        0,
    ]


def _grown(steps: list[tuple[str, int]]) -> list[Network]:
    """The network after each step; every step appends one layer to a chain."""
    networks = []
    for count in range(1, len(steps) + 1):
        build = NetworkBuilder("chain")
        x = build.input("x", (1, 32, 28, 28))
        for kind, channels in steps[:count]:
            x = build.conv(x, channels, kernel=3, padding=1) if kind == "conv" else build.add(kind, x)
        networks.append(build.finish(x))
    return networks


@settings(deadline=None, max_examples=25)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["conv", "Relu", "Sigmoid", "Identity"]), st.sampled_from([16, 32, 96])),
        min_size=2, max_size=7,
    ),
    model=st.sampled_from(MODEL_NAMES),
)  # fmt: skip
def test_an_appended_layer_costs_something_or_joins_its_predecessor(
    small_platform: Platform, steps: list[tuple[str, int]], model: str
) -> None:
    """What is appended may change the last kernel by being merged into it, and nothing before."""
    estimates = [small_platform.estimate(network, model=model) for network in _grown(steps)]
    for shorter, longer in pairwise(estimates):
        assert len(longer.kernels) >= len(shorter.kernels)
        assert longer.kernels[: len(shorter.kernels) - 1] == shorter.kernels[:-1]
        is_merged = len(longer.kernels) == len(shorter.kernels)
        last_s = shorter.kernels[-1].latency_s if shorter.kernels else 0.0
        slack = 0.25 * last_s if is_merged else 0.0
        assert longer.latency_s >= shorter.latency_s - slack


def test_networks_of_operators_never_seen_do_not_claim_to_be_measured(small_platform: Platform) -> None:
    build = NetworkBuilder("odd")
    x = build.add("Hardmax", build.input("x", (8, 64)))
    estimate = small_platform.estimate(build.finish(x))
    assert estimate.latency_s > 0
    assert max(estimate.coverage.generic_fraction, estimate.coverage.out_of_range_fraction) == 1.0


def test_long_chains_are_estimated_in_linear_time(small_platform: Platform) -> None:
    def seconds(count: int) -> float:
        build = NetworkBuilder("chain")
        x = build.input("x", (1, 16, 8, 8))
        for _ in range(count):
            x = build.add("Relu", x)
        network = build.finish(x)
        gc.collect()
        gc.disable()  # what else lives in this process is none of the network's time
        try:
            start = time.process_time()
            assert small_platform.estimate(network).latency_s > 0
            return time.process_time() - start
        finally:
            gc.enable()

    assert min(seconds(6000) for _ in range(2)) < 30 * min(seconds(600) for _ in range(3))


def test_unknown_models_and_networks_are_wrong_calls(small_platform: Platform) -> None:
    with pytest.raises(UsageError, match="layer model 'best'"):
        small_platform.estimate("zoo:resnet18", model="best")
    with pytest.raises(UsageError):
        small_platform.estimate("zoo:resnet51")
    with pytest.raises(UsageError, match="layer model"):
        small_platform.estimate_many([], model="best")


def test_a_second_estimate_takes_milliseconds(small_platform: Platform) -> None:
    network = zoo_network("resnet50")
    small_platform.estimate(network)
    times = []
    for _ in range(8):
        start = time.perf_counter()
        small_platform.estimate(network)
        times.append(time.perf_counter() - start)
    assert np.min(times) < 0.05  # 7 ms on a quiet machine


def test_importing_annette_loads_nothing_heavy() -> None:
    heavy = {"pandas", "sklearn", "xgboost", "onnx", "scipy", "joblib", "rich", "typer", "yaml"}
    code = f"import sys, annette; print(sorted({heavy!r} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_files_dynamic_inputs_are_bound_by_shapes_or_batch(small_platform: Platform) -> None:
    fixture = Path(__file__).resolve().parents[1] / "data" / "onnx" / "residual_torchscript.onnx"
    with pytest.raises(GraphError, match="--batch"):
        small_platform.estimate(fixture)
    one, four = (small_platform.estimate(fixture, batch=batch).latency_s for batch in (1, 4))
    assert 0 < one < four
    with pytest.raises(UsageError, match="has its shapes already"):
        small_platform.estimate(zoo_network("lenet5"), batch=2)


def test_what_is_no_network_is_refused_by_its_type(small_platform: Platform) -> None:
    with pytest.raises(UsageError, match="found bytes, expected a Network"):
        small_platform.estimate(b"model")  # type: ignore[arg-type]
